# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Marks for the values of a parameter."""

import pytest

# Holds between two ends on one link as well: see conftest.py.
one_host_too = pytest.mark.one_host_too


def slow(*values):
    """Left out by --quick."""
    return pytest.param(*values, marks=pytest.mark.slow)


def slow_but(quick, values):
    """All values but the quick ones are left out by --quick."""
    return [value if value in quick else slow(value) for value in values]
