# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The kernel's own rdma_rxe is a peer like any other.

        namespace A                       the first namespace
        10.1.0.1                          10.1.0.2
        urxe link on va ----- veth ------ vb with an rxe link

The kernels before 7.1 give rdma_rxe a socket in the first namespace only.
"""

import pytest

import test_cm
import test_data
import test_mcast
import test_mw
import test_netem
import test_programs
import test_rc
import test_uc
import test_ud

from lab import net, perftest
from lab.machine import KERNEL
from lab.marks import slow, slow_but

# rdma_rxe does pin.
pytestmark = [pytest.mark.pins, pytest.mark.urxe_only("takes two drivers")]


TOOLS = ("ib_write_bw", "ib_read_bw", slow("ib_send_bw"), "ib_atomic_bw",
         slow("ib_write_lat"), slow("ib_read_lat"), "ib_send_lat", slow("ib_atomic_lat"))


@pytest.fixture(scope="module")
def pair():
    net.load("rxe")
    with net.Pair("urxe", net.Pair.HALF, peer_type="rxe") as made:
        yield made
    net.unload("rxe")


@pytest.fixture(params=("urxe", "rxe"))
def view(pair, request):
    """The pair with this one's link at the client's end."""
    return pair if request.param == "urxe" else pair.turned()


def size(tool):
    """Atomics have but one."""
    return () if "atomic" in tool else ("-s", 8192)


@pytest.mark.parametrize("tool", TOOLS)
def test_both_roles(view, tool):
    assert perftest.run(view, tool, *size(tool), "-n", 100).rows


@pytest.mark.parametrize("tool", ("ib_write_bw", *map(slow, (
    "ib_read_bw", "ib_send_bw", "ib_atomic_bw", "ib_write_lat", "ib_read_lat", "ib_send_lat",
    "ib_atomic_lat"))))
def test_ipv6(view, tool):
    assert perftest.run(view, tool, *size(tool), "-n", 100, ipv6=True).rows


def test_lossy_wire(view):
    """Whoever keeps what comes behind a gap, and whoever does not: all arrives.

    Nothing of no bytes: after it, rdma_rxe answers a READ that is asked for once more
    by a NAK and a warning.
    """
    test_netem.survive(view, ("loss", "1%"), 320, test_netem.LENGTHS[1:])


@pytest.mark.slow
@pytest.mark.parametrize("tool", ("ib_write_bw", "ib_read_bw", "ib_send_bw"))
def test_all_sizes(view, tool):
    assert perftest.run(view, tool, "-a", "-n", 5, timeout=120).sizes() == perftest.ALL_SIZES


@pytest.mark.slow
@pytest.mark.parametrize("tool", ("ib_write_bw", "ib_read_bw", "ib_send_bw", "ib_atomic_bw"))
def test_eight_queue_pairs(view, tool):
    assert perftest.run(view, tool, "-q", 8, *size(tool), "-n", 50).rows


@pytest.mark.parametrize("ipv6", (False, slow(True)), ids=("ipv4", "ipv6"))
@pytest.mark.parametrize("mtu", (1024, slow(256)))
@test_data.each_transfer
def test_bytes(view, transfer, mtu, ipv6):
    """What one driver sends is what the other one receives, with every pad."""
    transfer(view, mtu, ipv6)


@pytest.mark.parametrize("transfer", (
    test_data.test_immediate, test_data.test_atomics, test_data.test_psn_wraps),
    ids=("immediate", "atomics", "psn-wraps"))
def test_other_bytes(view, transfer):
    transfer(view)


@pytest.mark.slow
@test_mw.TYPES
def test_window(pair, kind):
    """Of ours. (Of its own, rdma_rxe opens all of the region.)"""
    test_mw.test_range(pair.turned(), kind)


@pytest.mark.slow
@pytest.mark.parametrize("how", ("local", "remote"))
def test_window_ends(pair, how):
    """By its owner, and by a SEND of its user's. (An owner with rdma_rxe is not told by the
    completion.)"""
    test_mw.test_end(pair.turned(), how)


@pytest.mark.slow
def test_atomic_write(view):
    if KERNEL < (6, 2):
        pytest.skip("rdma_rxe of 6.1 has no atomic write")
    test_rc.test_atomic_write(view)


# What is lost stays lost, so there is room for all that is sent.
@pytest.mark.parametrize("tool, options", (
    ("ib_write_bw", ("-c", "UC", "-s", 8192)), slow("ib_send_bw", ("-c", "UC", "-r", 256)),
    slow("ib_send_lat", ("-c", "UC")), slow("ib_send_bw", ("-c", "UD", "-r", 256)),
    ("ib_send_lat", ("-c", "UD"))))
@pytest.mark.parametrize("ipv6", (False, slow(True)), ids=("ipv4", "ipv6"))
def test_unreliable(view, tool, options, ipv6):
    assert perftest.run(view, tool, *options, "-n", 100, ipv6=ipv6).rows


@pytest.mark.parametrize("ipv6", (False, slow(True)), ids=("ipv4", "ipv6"))
@pytest.mark.parametrize("mtu", (1024, slow(256)))
def test_bytes_without_acknowledgment(view, mtu, ipv6):
    """Over UC."""
    test_uc.test_sizes(view, mtu, ipv6)


@pytest.mark.parametrize("ipv6", (False, slow(True)), ids=("ipv4", "ipv6"))
def test_bytes_of_datagrams(view, ipv6):
    test_ud.test_datagrams(view, ipv6)


@pytest.mark.slow
@pytest.mark.parametrize("tool, options", (
    ("ib_write_bw", ("-b", "-q", 3, "-s", 3000)), ("ib_send_bw", ("-b", "-e", "-s", 8192)),
    ("ib_write_lat", ("-I", 64, "-s", 64)), ("ib_send_lat", ("-e",)),
    ("ib_send_lat", ("--use-srq",))))
def test_other_ways_unreliable(view, tool, options):
    assert perftest.run(view, tool, "-c", "UC", *options, "-n", 100).rows


@pytest.mark.slow
@pytest.mark.parametrize("tool, options", (
    ("ib_read_bw", ("-e",)), ("ib_send_lat", ("-e",)), ("ib_send_bw", ("-b", "-e")),
    ("ib_write_lat", ("-I", 64, "-s", 64)), ("ib_send_bw", ("-l", 10)),
    ("ib_send_bw", ("--use-srq", "-q", 4)), ("ib_send_lat", ("--use-srq",))))
def test_other_ways(view, tool, options):
    """Waiting for events, data within the request, lists of requests, a shared queue."""
    assert perftest.run(view, tool, *options, "-n", 100).rows


@pytest.mark.slow
@pytest.mark.parametrize("ipv6", (False, True), ids=("ipv4", "ipv6"))
@pytest.mark.parametrize("program, options", (
    ("ibv_rc_pingpong", ()), ("ibv_rc_pingpong", ("-e", "-s", 70000)), ("ibv_uc_pingpong", ()),
    ("ibv_ud_pingpong", ("-s", 1000)), ("ibv_srq_pingpong", ())))
def test_pingpong(view, program, options, ipv6):
    test_programs.test_pingpong(view, program, options, ipv6)


@pytest.mark.slow
@pytest.mark.parametrize("tests", test_programs.QPERF, ids=test_programs.QPERF_IDS)
def test_qperf(view, tests):
    test_programs.test_qperf(view, tests)


@pytest.mark.slow
@pytest.mark.parametrize("test", test_programs.QPERF_BY_LID)
def test_qperf_by_lid(view, test):
    """Nor with rdma_rxe."""
    test_programs.test_qperf_by_lid(view, test)


@pytest.mark.slow
@pytest.mark.parametrize("tool, options", test_cm.CONNECTED)
def test_perftest_by_cm(view, tool, options):
    test_cm.test_perftest(view, tool, options)


@pytest.mark.parametrize("family", ("ipv4", slow("ipv6"), slow("link-local")))
def test_private_data(view, family):
    test_cm.test_connection(view, family)


@pytest.mark.slow
@pytest.mark.parametrize("options", ((), ("-u",)), ids=("tcp", "udp"))
def test_refused(view, options):
    test_cm.test_refused(view, options)


@pytest.mark.parametrize("program", slow_but(("rping", "udaddy"), test_cm.PROGRAMS))
def test_connection_manager(view, program):
    test_cm.test_program(view, program)


@pytest.mark.parametrize("target", ("127.0.0.1", slow("::1"), slow("0.0.0.0"), slow("::")))
def test_no_way(view, target):
    """Nor does rdma_rxe make any."""
    test_cm.test_no_way(view, target)


@pytest.mark.slow
def test_multicast(pair):
    """To rdma_rxe only: mckey ends when it has posted, and what rdma_rxe has not sent by
    then is not sent at all."""
    test_cm.test_multicast(pair)


@pytest.mark.parametrize("kind", test_mcast.GROUPS)
def test_multicast_from_rxe(pair, kind):
    """By a program that stays until all has been sent."""
    group = test_mcast.GROUPS[kind]
    with test_mcast.both(pair.turned(), group) as (sender, member):
        for box in (0, 2):
            member.attach(box, group)
        texts = [f"message-{number}" for number in range(20)]
        for text in texts:
            sender.send(0, group, text)
        for box in (0, 2):
            assert member.taken(box, 20) == [(sender.numbers[0], group, text)
                                             for text in texts]
        test_mcast.nothing_more(sender, member)


def test_both_ways(pair):
    assert perftest.run(pair, "ib_write_bw", "-b", "-s", 65536, "-n", 50).rows
