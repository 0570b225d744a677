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
from lab.marks import slow, slow_but

BW = ("ib_write_bw", "ib_read_bw", "ib_send_bw")
LAT = ("ib_write_lat", "ib_read_lat", "ib_send_lat")
ATOMIC = ("ib_atomic_bw", "ib_atomic_lat")
QUICK = ("ib_write_bw", "ib_send_lat", "ib_atomic_bw")
MTUS = (256, 512, 1024, 2048, 4096)
# What can be asked of each program that is not for atomics.
SIZES = ("-a", "-n", 5)
BOTH_WAYS = ("-b", "-s", 65536, "-n", 50)
EIGHT = ("-q", 8, "-s", 16384, "-n", 50)
PATH_MTUS = [("-m", mtu, "-s", 65536, "-n", 50) for mtu in MTUS]


PAIR_MTU = net.WIDE


@pytest.mark.slow
@pytest.mark.parametrize("tool", BW + LAT)
def test_all_sizes(pair, tool):
    assert perftest.run(pair, tool, *SIZES, timeout=120).sizes() == perftest.ALL_SIZES


@pytest.mark.parametrize("tool", ATOMIC)
@pytest.mark.parametrize("kind", (slow("CMP_AND_SWAP"), "FETCH_AND_ADD"))
def test_atomic(pair, tool, kind):
    result = perftest.run(pair, tool, "-A", kind, "-n", 200)
    assert result.rows


@pytest.mark.parametrize("tool", BW)
def test_both_ways(pair, tool):
    assert perftest.run(pair, tool, *BOTH_WAYS).rows


@pytest.mark.parametrize("tool", BW)
def test_eight_queue_pairs(pair, tool):
    assert perftest.run(pair, tool, *EIGHT).rows


@pytest.mark.slow
@pytest.mark.parametrize("options", PATH_MTUS, ids=map(str, MTUS))
@pytest.mark.parametrize("tool", BW + LAT)
def test_path_mtu(pair, tool, options):
    assert perftest.run(pair, tool, *options).rows


@pytest.mark.parametrize("options", (
    ("-b",), ("-q", 8), *(slow(("-m", mtu)) for mtu in MTUS)),
    ids=lambda options: "".join(map(str, options)))
def test_atomic_shapes(pair, options):
    """Atomics have but one size."""
    assert perftest.run(pair, "ib_atomic_bw", *options, "-n", 200).rows


@pytest.mark.parametrize("tool, options", (
    ("ib_send_bw", ("-e",)), slow("ib_read_bw", ("-e",)),
    slow("ib_send_lat", ("-e",)), slow("ib_read_lat", ("-e",)), slow("ib_atomic_bw", ("-e",)),
    ("ib_write_lat", ("-I", 200, "-s", 200)), slow("ib_send_lat", ("-I", 200, "-s", 200)),
    slow("ib_write_bw", ("-I", 64, "-s", 64)), slow("ib_send_bw", ("-I", 64, "-s", 64)),
    slow("ib_write_bw", ("-l", 10)), slow("ib_send_bw", ("-l", 10, "-q", 2))))
def test_other_ways(pair, tool, options):
    """Waiting for events, data within the request, requests posted as lists."""
    assert perftest.run(pair, tool, *options, "-n", 200).rows


@pytest.mark.slow
@pytest.mark.parametrize("tool", BW + LAT)
def test_by_the_clock(pair, tool):
    assert perftest.run(pair, tool, "-D", 2).rows


@pytest.mark.slow
@pytest.mark.parametrize("tool", BW)
def test_all_together(pair, tool):
    """Every size, both ways, by eight queue pairs."""
    result = perftest.run(pair, tool, "-b", "-q", 8, *SIZES, timeout=600)
    assert result.sizes() == perftest.ALL_SIZES


@pytest.fixture
def apart(pair, where):
    """The pair, where its ends do not share a namespace: that would route its own IPv6
    addresses to lo."""
    if where == net.Pair.TOGETHER:
        pytest.skip("one namespace routes its own IPv6 addresses to lo")
    return pair


@pytest.mark.parametrize("tool", slow_but(QUICK, BW + LAT + ATOMIC))
def test_ipv6(apart, tool):
    assert perftest.run(apart, tool, "-n", 100, ipv6=True).rows


@pytest.mark.slow
@pytest.mark.parametrize("options", (SIZES, BOTH_WAYS, EIGHT, *PATH_MTUS),
                         ids=("sizes", "both-ways", "eight", *map(str, MTUS)))
@pytest.mark.parametrize("tool", BW)
def test_ipv6_shapes(apart, tool, options):
    assert perftest.run(apart, tool, *options, ipv6=True, timeout=120).rows
