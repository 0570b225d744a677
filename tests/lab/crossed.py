# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A pair for the kernel's own consumers of RDMA, with both ends in one kernel.

They know only the first network namespace, where an address of one's own is reached
without leaving the machine. Crossed makes the kernel look for the pair's addresses
beyond the other device, as it would between two machines:

        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        to 10.1.0.2: va                   to 10.1.0.1: vb
"""

import contextlib

import pytest

from lab import net
from lab.command import run
from lab.marks import slow

# (link type of the end that asks, of the one that serves)
ENDS = (("urxe", "urxe"), slow(("urxe", "rxe")), slow(("rxe", "urxe")))

TABLES = 101, 102


class Crossed(net.Pair):
    """A pair in the first namespace whose packets take the wire, whoever sends."""

    def __init__(self, link_type, peer_type=None, mtu=1500):
        super().__init__(link_type, net.Pair.TOGETHER, mtu, peer_type)

    def bring_up(self):
        a, b = self.ends
        commands = []
        for table, end, other in ((TABLES[0], a, b), (TABLES[1], b, a)):
            commands += [f"route replace {other.ipv4}/32 dev {end.netdev} "
                         f"src {end.ipv4} table {table}",
                         f"rule add pref {table} to {other.ipv4} iif lo lookup {table}"]
        # What is for this machine comes after that.
        net.ip_batch(None, *commands, "rule add pref 200 lookup local",
                     "rule delete pref 0")

    def __enter__(self):
        super().__enter__()
        self.bring_up()
        return self

    def __exit__(self, *exc):
        net.ip_batch(None, "rule add pref 0 lookup local", "rule delete pref 200",
                     *(f"rule delete pref {table}" for table in TABLES))
        super().__exit__()


@contextlib.contextmanager
def crossed(types):
    """A Crossed whose links know their addresses, one of rdma_rxe's if wanted."""
    if "rxe" in types:
        if "rdma_rxe" not in run("modinfo", "-F", "name", "rdma_rxe", check=False):
            pytest.skip("this kernel has no rdma_rxe")
        net.load("rxe")
    with Crossed(*types) as made:
        for end in made.ends:
            end.link.gid_index(end.ipv4)
        yield made
    if "rxe" in types:
        net.unload("rxe")
