# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""All that the verbs promise of a reliable connection, and all that can go wrong
with it, once more between two ends on one host.

        10.3.0.1, fd03::1
        link a on d ---- (nothing: a dummy device)
"""

import pytest

import test_errors
import test_rc

from lab import again

globals().update(again.all_of(test_errors, test_rc))
pytestmark = pytest.mark.slow
ONE_HOST = True
