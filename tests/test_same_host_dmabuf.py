# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Regions on dma-bufs, once more between two ends on one host.

        10.3.0.1, fd03::1
        link a on d ---- (nothing: a dummy device)
"""

import pytest

import test_dmabuf

# Tests, and the fixtures they use.
globals().update({name: thing for name, thing in vars(test_dmabuf).items()
                  if not name.startswith("_")})
pytestmark = [pytest.mark.slow, *test_dmabuf.pytestmark]
ONE_HOST = True
