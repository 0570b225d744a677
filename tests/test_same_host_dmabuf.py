# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Regions on dma-bufs, once more between two ends on one host.

        10.3.0.1, fd03::1
        link a on d ---- (nothing: a dummy device)
"""

import pytest

import test_dmabuf

from lab import again

globals().update(again.all_of(test_dmabuf))
pytestmark = [pytest.mark.slow, *test_dmabuf.pytestmark]
ONE_HOST = True
