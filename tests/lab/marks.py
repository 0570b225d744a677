# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Marks for the values of a parameter."""

import pytest


def slow(*values):
    """Left out by --quick."""
    return pytest.param(*values, marks=pytest.mark.slow)
