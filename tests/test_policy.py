# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The administrator's choice: a link that pins, for comparison.

        namespace A                       namespace B
        link a on va ------- veth ------- vb with link b
"""

import mmap
import pathlib

import pytest

from lab import resources
from lab.command import status_kib
from lab.verbs import Connection, e

SIZE = 1 << 20
PAGES = SIZE // mmap.PAGESIZE


def policy_file(link):
    return pathlib.Path(f"/sys/class/infiniband/{link.name}/memory_policy")


def pinned_kb():
    """What this process has pinned."""
    return status_kib("self", "VmPin")


pytestmark = pytest.mark.urxe_only("rdma_rxe has no choice")


def shown(side):
    """How the memory of a side's only region is held, and how many pages are pinned, as
    `rdma -dd resource show mr` tells it."""
    region, = resources.listed("mr", side.end.link.name)
    return region["drv_memory"], region["drv_pinned_pages"]


@pytest.fixture
def pinning(pair):
    for end in (pair.a, pair.b):
        policy_file(end.link).write_text("pinned", encoding="ascii")
    yield pair
    for end in (pair.a, pair.b):
        policy_file(end.link).write_text("unpinned", encoding="ascii")


def test_default(pair):
    assert policy_file(pair.a.link).read_text(encoding="ascii") == "unpinned\n"


def test_nonsense_is_refused(pair):
    with pytest.raises(OSError):
        policy_file(pair.a.link).write_text("both", encoding="ascii")
    assert policy_file(pair.a.link).read_text(encoding="ascii") == "unpinned\n"


@pytest.mark.pins
def test_pinned_while_registered(pinning):
    before = pinned_kb()
    with Connection(pinning, SIZE) as (a, b):
        assert pinned_kb() - before >= 2 * SIZE // 1024
        assert shown(a) == shown(b) == ("pinned", PAGES)
        a.memory[0:SIZE] = bytes(range(256)) * (SIZE // 256)
        a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, b.identity(), 0)
        a.poll()
        assert b.memory[0:SIZE] == a.memory[0:SIZE]
    assert pinned_kb() == before


def test_unpinned_pins_nothing(pair):
    before = pinned_kb()
    with Connection(pair, SIZE) as (a, b):
        a.memory[0:SIZE] = bytes(range(256)) * (SIZE // 256)
        a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, b.identity(), 0)
        a.poll()
        assert b.memory[0:SIZE] == a.memory[0:SIZE]
        assert pinned_kb() == before
        assert shown(a) == shown(b) == ("unpinned", 0)
