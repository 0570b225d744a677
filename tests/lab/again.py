# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Tests of other files, once more in another place."""


def all_of(*modules):
    """What a file needs to have their tests: these, and the fixtures they use."""
    return {name: thing for module in modules for name, thing in vars(module).items()
            if not name.startswith("_")}
