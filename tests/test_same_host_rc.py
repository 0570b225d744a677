# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""All that the verbs promise of a reliable connection, and all that can go wrong
with it, once more between two ends on one host.

        10.3.0.1, fd03::1
        link a on d ---- (nothing: a dummy device)
"""

import pytest

import test_errors
import test_rc

# Tests, and the fixtures they use.
globals().update({name: thing for module in (test_errors, test_rc)
                  for name, thing in vars(module).items() if not name.startswith("_")})
pytestmark = pytest.mark.slow
ONE_HOST = True
