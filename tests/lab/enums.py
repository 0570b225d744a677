# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The constants of libibverbs by their C names, wherever this version of pyverbs
keeps them: up to rdma-core 50 in one flat module, later in a class for each C
enumeration."""

import enum
import importlib


def _constants():
    try:
        source = importlib.import_module("pyverbs.libibverbs_enums")
    except ImportError:
        source = importlib.import_module("pyverbs.enums")
    for name, value in vars(source).items():
        if isinstance(value, type) and issubclass(value, enum.Enum):
            for member, number in value.__members__.items():
                yield member, int(number)
        elif isinstance(value, int):
            yield name, int(value)


globals().update(_constants())
