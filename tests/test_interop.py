# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The kernel's own rdma_rxe is a peer like any other.

        namespace A                       the first namespace
        10.1.0.1                          10.1.0.2
        urxe link on va ----- veth ------ vb with an rxe link

The kernels before 7.1 give rdma_rxe a socket in the first namespace only.
"""

import pytest

from lab import net, perftest

TOOLS = ("ib_write_bw", "ib_read_bw", "ib_send_bw", "ib_atomic_bw",
         "ib_write_lat", "ib_read_lat", "ib_send_lat")


@pytest.fixture(scope="module")
def pair(link_type):
    if link_type != "urxe":
        pytest.skip("takes two drivers")
    net.load("rxe")
    with net.Pair("urxe", net.Pair.HALF, peer_type="rxe") as made:
        yield made
    net.unload("rxe")


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("client", ("urxe", "rxe"))
def test_both_roles(pair, tool, client):
    view = pair if client == "urxe" else pair.turned()
    size = () if "atomic" in tool else ("-s", 8192)
    assert perftest.run(view, tool, *size, "-n", 100).rows


def test_both_ways(pair):
    assert perftest.run(pair, "ib_write_bw", "-b", "-s", 65536, "-n", 50).rows
