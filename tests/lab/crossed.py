# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A pair for the kernel's own consumers of RDMA, with both ends in one kernel.

They know only the first network namespace, where an address of one's own is reached
without leaving the machine. Crossed makes the kernel look for the pair's addresses
beyond the other device, as it would between two machines:

        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
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

    def addresses(self):
        """([option of ip, a's address, b's]) of each family."""
        yield "-4", self.a.ipv4, self.b.ipv4
        if net.has_ipv6():
            yield "-6", self.a.ipv6, self.b.ipv6

    def bring_up(self):
        for family, a, b in self.addresses():
            commands = []
            for table, end, here, there in ((TABLES[0], self.a, a, b),
                                            (TABLES[1], self.b, b, a)):
                commands += [f"route replace {there} dev {end.netdev} src {here} table {table}"]
                # Who sends; and who asks, with a device in mind, where a peer would be.
                commands += [f"rule add pref {table} to {there} {way} lookup {table}"
                             for way in ("iif lo", f"oif {end.netdev}")]
            # What is for this machine comes after that.
            net.ip_batch(None, *commands, "rule add pref 200 lookup local",
                         "rule delete pref 0", family=family)

    def __enter__(self):
        super().__enter__()
        self.bring_up()
        return self

    def __exit__(self, *exc):
        for family, *_ in self.addresses():
            net.ip_batch(None, "rule add pref 0 lookup local",
                         *(f"rule delete pref {pref}" for pref in (200, *TABLES, *TABLES)),
                         family=family)
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
