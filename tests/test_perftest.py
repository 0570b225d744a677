# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""perftest's programs for the reliable connected service complete, in every
shape: all sizes, both ways, many queue pairs, every path MTU, IPv4 and IPv6.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b
        client                            server
"""

import pytest

from lab import net, perftest

BW = ("ib_write_bw", "ib_read_bw", "ib_send_bw")
LAT = ("ib_write_lat", "ib_read_lat", "ib_send_lat")
ATOMIC = ("ib_atomic_bw", "ib_atomic_lat")
MTUS = (256, 512, 1024, 2048, 4096)


PAIR_MTU = net.WIDE


@pytest.mark.slow
@pytest.mark.parametrize("tool", BW + LAT)
def test_all_sizes(pair, tool):
    result = perftest.run(pair, tool, "-a", "-n", 5, timeout=120)
    assert [row["#bytes"] for row in result.rows] == [2 ** n for n in range(1, 24)]


@pytest.mark.parametrize("tool", ATOMIC)
@pytest.mark.parametrize("kind", ("CMP_AND_SWAP", "FETCH_AND_ADD"))
def test_atomic(pair, tool, kind):
    result = perftest.run(pair, tool, "-A", kind, "-n", 200)
    assert result.rows


@pytest.mark.parametrize("tool", BW)
def test_both_ways(pair, tool):
    assert perftest.run(pair, tool, "-b", "-s", 65536, "-n", 50).rows


@pytest.mark.parametrize("tool", BW)
def test_eight_queue_pairs(pair, tool):
    assert perftest.run(pair, tool, "-q", 8, "-s", 16384, "-n", 50).rows


@pytest.mark.slow
@pytest.mark.parametrize("mtu", MTUS)
@pytest.mark.parametrize("tool", BW)
def test_path_mtu(pair, tool, mtu):
    assert perftest.run(pair, tool, "-m", mtu, "-s", 65536, "-n", 50).rows


@pytest.mark.parametrize("tool", BW + LAT + ATOMIC)
def test_ipv6(pair, where, tool):
    if where == net.Pair.TOGETHER:
        pytest.skip("one namespace routes its own IPv6 addresses to lo")
    assert perftest.run(pair, tool, "-n", 100, ipv6=True).rows
