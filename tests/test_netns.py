# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Exclusive mode: each RDMA device is in one namespace, and nobody else sees it.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        va ------------- veth ----------- vb
        link a, made here                 link b, made here
        client                            server
"""

import pytest

from lab import net
from lab.command import run
from lab.marks import slow
from lab.programs import pair_up

CM = "/usr/lib/urxe/cm"


@pytest.fixture
def exclusive():
    """The mode can be changed only while there are no other namespaces."""
    net.wait_for(lambda: system_is("exclusive"), 10, "exclusive mode")
    yield
    net.wait_for(lambda: system_is("shared"), 10, "shared mode")


def system_is(mode):
    """Whether it can be, now: namespaces that were deleted take a moment to go."""
    try:
        run("rdma", "system", "set", "netns", mode)
    except RuntimeError:
        return False
    return True


def devices(netns):
    return run(*net.in_netns(netns, ["rdma", "dev", "show"]))


@pytest.fixture
def pair(exclusive, link_type):
    with net.Pair(link_type) as made:
        made.introduce()
        yield made
        for end in made.ends:
            run(*end.command(["rdma", "link", "delete", end.link.name]))
            end.link = None


def test_each_sees_its_own(pair):
    a, b = pair.ends
    assert a.link.name in devices(a.netns) and b.link.name in devices(b.netns)
    assert b.link.name not in devices(a.netns) and a.link.name not in devices(None)


@pytest.mark.parametrize("options", ((), slow(("-u",))), ids=("connected", "datagrams"))
def test_connection(pair, options):
    """Across the two, by rdma_cm and all the way."""
    for target in (pair.b.ipv4, pair.b.ipv6):
        client, server = pair_up(pair, [CM, "listen", "-v", *options, target, 7471, "welcome"],
                                 [CM, "connect", "-v", *options, target, 7471, "may-I?"])
        assert "RDMA_CM_EVENT_ESTABLISHED 0 welcome" in client
        assert "RDMA_CM_EVENT_CONNECT_REQUEST 0 may-I?" in server
