# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Memory of a user who may lock 64 KiB: twice as much as the machine has, in
less than a millisecond, with nothing pinned.

        namespace A: link a <------- veth ------> namespace B: link b
        the test, root                         lab.owner, the user `dev`
        writes to pages of the owner's memory  8 GiB, never touched by itself
"""

import json
import os
import random
import re
import subprocess
import sys

import pytest

from lab import machine, resources
from lab.command import as_user, run
from lab.verbs import Connection, Peer, Side, e

SIZE = 8 << 30
PAGE = 4096
PAGES = 200

pytestmark = pytest.mark.urxe_only("another driver pins")


class Owner:
    """lab.owner as a child process."""

    def __init__(self, end, size):
        self.process = subprocess.Popen(
            as_user([sys.executable, "-m", "lab.owner", end.link.name, end.ipv4,
                     str(size)]), cwd=os.path.dirname(__file__), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.hello = self.hear()

    def hear(self):
        line = self.process.stdout.readline()
        assert line, f"the owner ended: {self.process.wait()}"
        return json.loads(line)

    def ask(self, thing):
        self.process.stdin.write(json.dumps(thing) + "\n")
        self.process.stdin.flush()
        return self.hear()

    def peer(self):
        return Peer(*(self.hello[field] for field in Peer._fields))

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=20) == 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def owner(pair):
    with Owner(pair.b, SIZE) as child:
        yield child


def test_more_memory_than_there_is(pair, owner, debug_kernel):
    assert owner.hello["uid"] != 0
    assert SIZE > machine.memory()
    limit = 0.02 if debug_kernel else 0.001
    assert min(owner.hello["seconds"]) < limit
    dice = random.Random(7)
    side = Side(pair.a, PAGE)
    side.connect(owner.peer())
    owner.ask(side.identity()._asdict())
    for _ in range(PAGES):
        offset = dice.randrange(SIZE - PAGE)
        side.memory[0:PAGE] = dice.randbytes(PAGE)
        side.post(e.IBV_WR_RDMA_WRITE, 0, PAGE, owner.peer(), offset)
        side.poll()
        answer = owner.ask([offset, PAGE])
        assert bytes.fromhex(answer["data"]) == side.memory[0:PAGE]
        assert answer["held"] == {"VmPin": 0, "VmLck": 0}
    side.close()
    owner.close()


# What README's list of places that pin uses of the kernel, and what umem/resident.c looks
# at pages with, whose references are gone at once. (The suffix is there from 6.2 on.)
PLACES = {"pin_user_pages_fast", "unpin_user_pages_dirty_lock",
          "dma_buf_get", "dma_buf_put", "dma_buf_attach", "dma_buf_detach",
          "dma_buf_map_attachment", "dma_buf_unmap_attachment", "dma_buf_vmap",
          "dma_buf_vunmap", "get_user_pages", "get_user_pages_fast_only"}


@pytest.mark.parametrize("module,places", (("ib_umem", PLACES), ("rdma_urxe", set())),
                         ids=("ib_umem", "rdma_urxe"))
def test_who_can_pin(module, places):
    """No other way to hold a page is linked into the modules."""
    symbols = run("nm", "-u", run("modinfo", "-F", "filename", module).strip()).split()
    holding = re.compile(r"(un)?pin_user_page|get_user_page|dma_buf_|hmm_|iov_iter_.*pages|"
                         r"follow_p|fixup_user_fault|__?account_locked_vm")
    assert {name.removesuffix("_unlocked") for name in symbols
            if holding.match(name)} == places


def test_nothing_pinned_while_connected(pair):
    """Our own process holds queues and regions at both ends."""
    with open("/proc/self/status", encoding="ascii") as status:
        before = [line for line in status if line.startswith(("VmPin", "VmLck"))]
    with Connection(pair, 64 << 20):
        assert resources.counts(pair.a.link.name)["mr"] == 1
        with open("/proc/self/status", encoding="ascii") as status:
            during = [line for line in status if line.startswith(("VmPin", "VmLck"))]
    assert before == during
