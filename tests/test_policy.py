# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The administrator's choice: a link that pins, for comparison.

        namespace A                       namespace B
        link a on va ------- veth ------- vb with link b
"""

import mmap
import pathlib
import subprocess
import sys

import pytest

from lab import resources
from lab.command import TESTS, as_user, status_kib
from lab.rc import Two
from lab.uverbs import REREG_TRANS, rereg
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
    with pair.a.link.memory_policy("pinned"), pair.b.link.memory_policy("pinned"):
        yield pair


def test_default(pair):
    assert policy_file(pair.a.link).read_text(encoding="ascii") == "unpinned\n"


def test_nonsense_is_refused(pair):
    with pytest.raises(OSError):
        policy_file(pair.a.link).write_text("both", encoding="ascii")
    assert policy_file(pair.a.link).read_text(encoding="ascii") == "unpinned\n"


@pytest.mark.pins
def test_each_link_has_its_own(pair):
    with pair.a.link.memory_policy("pinned"), Connection(pair, SIZE) as (a, b):
        assert (shown(a)[0], shown(b)[0]) == ("pinned", "unpinned")


def test_whose_choice_it_is(pair):
    """Everybody may look; the administrator decides."""
    file = policy_file(pair.a.link)
    look = subprocess.run(as_user(["cat", str(file)]), capture_output=True, text=True,
                          check=False)
    assert (look.returncode, look.stdout) == (0, "unpinned\n")
    choose = subprocess.run(as_user(["sh", "-c", f"echo pinned >{file}"]), check=False)
    assert choose.returncode
    assert file.read_text(encoding="ascii") == "unpinned\n"


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


@pytest.mark.pins
def test_from_now_on(pair):
    """What has been registered before the choice stays as it is."""
    with Connection(pair, SIZE) as (a, _):
        before = pinned_kb()
        with pair.a.link.memory_policy("pinned"):
            assert shown(a) == ("unpinned", 0)
            with a.register():
                assert pinned_kb() - before >= SIZE // 1024
        assert pinned_kb() == before


@pytest.mark.pins
def test_changed_region(pinning):
    """Of other memory other pages are pinned, and those of before no more."""
    with Two(pinning, size=SIZE) as (_, b):
        before = pinned_kb()
        rereg(b, REREG_TRANS, b.memory.address, SIZE // 4)
        assert shown(b) == ("pinned", PAGES // 4)
        assert before - pinned_kb() == SIZE * 3 // 4 // 1024


@pytest.mark.pins
def test_limit(pinning):
    """A user who may lock 64 KiB can register no more than that."""
    tried = subprocess.run(
        as_user([sys.executable, "-m", "lab.owner", pinning.b.link.name, pinning.b.ipv4,
                 str(SIZE)]), cwd=TESTS, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert tried.returncode and "Cannot allocate memory" in tried.stderr
