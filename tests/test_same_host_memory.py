# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Every sort of memory, and all that may happen to it, once more between two ends on
one host, where bytes go from page to page.

        10.3.0.1, fd03::1
        link a on d ---- (nothing: a dummy device)
"""

import pytest

import test_life
import test_memory

from lab import again

globals().update(again.all_of(test_life, test_memory))
pytestmark = [pytest.mark.slow, test_memory.pytestmark]
ONE_HOST = True
