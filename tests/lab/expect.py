# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What is to go wrong, and how."""

import contextlib
import errno

import pytest


@contextlib.contextmanager
def fails(code):
    """A system call within the block is refused, with this code."""
    with pytest.raises(OSError) as caught:
        yield
    assert errno.errorcode[caught.value.errno] == errno.errorcode[code]
