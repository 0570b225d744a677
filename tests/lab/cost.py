# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What a region costs by its size: time to register it and to give it up, and what is
held meanwhile."""

import collections
import contextlib
import os
import time

from pyverbs.device import Context
from pyverbs.mr import MR
from pyverbs.pd import PD

from lab import machine, net
from lab.command import memory
from lab.mapping import ANON, GIB, MAP_NORESERVE, Mapping
from lab.verbs import ACCESS

MADV_NOHUGEPAGE, MADV_POPULATE_WRITE = 15, 23

# times in microseconds; bytes per region
Cost = collections.namedtuple("Cost", "register deregister pinned locked slab")


class Contestant:
    """A way to register: a link, and the policy it is given, if it takes one."""

    def __init__(self, name, link, policy=None):
        self.name, self.link, self.policy = name, link, policy

    def pins(self):
        return self.policy != "unpinned"

    @contextlib.contextmanager
    def domain(self):
        """A protection domain; regions made in it are of this sort."""
        if self.policy:
            self.link.set_memory_policy(self.policy)
        with Context(name=self.link.name) as context, PD(context) as pd:
            yield pd


@contextlib.contextmanager
def contestants():
    """urxe, urxe that pins, and rdma_rxe, in one kernel.

        a namespace                       the first namespace
        urxe on va --------- veth ------- vb with rdma_rxe
    """
    net.load("urxe")
    net.load("rxe")
    with net.Pair("urxe", net.Pair.HALF, peer_type="rxe") as pair:
        yield [Contestant("unpinned", pair.a.link, "unpinned"),
               Contestant("pinned", pair.a.link, "pinned"),
               Contestant("rdma_rxe", pair.b.link)]
    net.unload("rxe")


@contextlib.contextmanager
def address_range(size, touched):
    """So much of the address space, with so much memory behind its begin, in pages of
    4 KiB: huge ones can't be counted on, and make it cheaper to pin."""
    with contextlib.closing(Mapping(size, flags=ANON | MAP_NORESERVE)) as made:
        made.advise(MADV_NOHUGEPAGE)
        made.advise(MADV_POPULATE_WRITE, 0, min(size, touched))
        yield made


def slab():
    """The bytes of memory in the kernel's own objects."""
    return machine.meminfo("Slab")


def held():
    mine = memory(os.getpid())
    return mine["VmPin"] << 10, mine["VmLck"] << 10, slab()


def once(pd, address, size):
    """(microseconds to register, microseconds to give up)"""
    start = time.perf_counter_ns()
    region = MR(pd, size, ACCESS, address=address)
    made = time.perf_counter_ns()
    region.close()
    return (made - start) / 1000, (time.perf_counter_ns() - made) / 1000


def held_by(pd, address, size, regions):
    """Bytes (pinned, locked, of slab) by each of so many regions."""
    before = held()
    made = [MR(pd, size, ACCESS, address=address) for _ in range(regions)]
    grown = [(now - was) / regions for now, was in zip(held(), before)]
    for region in made:
        region.close()
    return grown


def measure(contestant, mapping, size, rounds=5):
    """[Cost] of each round. What is held is found by as many regions at once as a
    machine can bear: slab grows by the page."""
    regions = max(1, min(256, GIB // 4 // size)) if contestant.pins() else 256
    with contestant.domain() as pd:
        once(pd, mapping.addr, size)
        grown = held_by(pd, mapping.addr, size, regions)
        return [Cost(*once(pd, mapping.addr, size), *grown) for _ in range(rounds)]
