# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A kernel that was told at boot to do without IPv6 (ipv6.disable=1): links come and go,
and carry over IPv4 what they always do.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b

Takes a machine of its own, which `check` boots for it.
"""

import pytest

import test_data

from lab import net
from lab.programs import pair_up

globals().update({name: getattr(test_data, name) for name in (
    "test_write", "test_read", "test_send", "test_immediate", "test_atomics")})

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(net.has_ipv6(), reason="takes a kernel without IPv6")]

PAIR_MTU = net.WIDE


def test_gids(pair):
    """The address; and the one that the core makes of the MAC, whether or not the NIC
    has it."""
    for end in pair.ends:
        end.link.gid_index(end.ipv4)
        gids = {gid for gid in end.link.gids() if not gid.startswith("fe80:")}
        assert gids == {end.ipv4}


def test_link_again(pair, link_type):
    """The first link of a namespace opens what it takes, the last one closes it."""
    for end in pair.ends:
        end.link.delete()
        end.add_link(link_type).gid_index(end.ipv4)


def test_connection_manager(pair):
    pair_up(pair, ["rping", "-s", "-C", 5, "-V"],
            ["rping", "-c", "-C", 5, "-V", "-a", pair.b.ipv4])
