# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Congestion: packets that a router marks are answered by notifications, and who gets
those sends less for a while.

        namespace A                       namespace B
        link a on va ------- veth ------- vb with link b
        netem marks some of what va sends
        and delays it

netem marks what it would have dropped if a packet says that its ends know of marks. ARP
does not, so the two find each other before.
"""

import random
import time

import pytest

from lab import wire
from lab.rc import Two, counters, e

PIECE = 1 << 20
ECT = 2         # the ends know of marks
RETRIES = ("retry_timeout", "retry_nak", "retry_implied_nak")


pytestmark = pytest.mark.urxe_only("rdma_rxe takes no notice of marks")


@pytest.fixture
def busy(pair):
    """Disturbs what a sends, until the test is over."""
    yield pair.a.netem
    pair.a.no_netem(check=False)


# Every third packet is marked, or lost if it may not be.
MARKING = ("loss", "30%", "ecn")


def change(link, before):
    return {name: value - before[name] for name, value in counters(link).items()}


def move(a, b, pieces):
    """WRITE the piece again and again; the seconds it takes."""
    peer = b.identity()
    a.memory[:PIECE] = random.randbytes(PIECE)
    start = time.monotonic()
    for number in range(pieces):
        a.post(e.IBV_WR_RDMA_WRITE, 0, PIECE, peer, wr_id=number)
    a.poll(pieces, 120)
    assert a.memory[:PIECE] == b.memory[:PIECE]
    return time.monotonic() - start


def connected(pair, ipv6=False):
    return Two(pair, size=PIECE, ipv6=ipv6, traffic_class=ECT, timeout=18)


@pytest.mark.parametrize("ipv6", (False, True), ids=("ipv4", "ipv6"))
def test_marked(pair, busy, ipv6):
    """Marks are told to the sender; nothing is lost, and nothing sent twice."""
    before = [counters(end.link) for end in pair.ends]
    with connected(pair, ipv6) as (a, b):
        busy(*MARKING)
        move(a, b, 8)
    at_a, at_b = (change(end.link, was) for end, was in zip(pair.ends, before))
    assert at_a["rx_cnp"] == at_b["tx_cnp"] > 0
    assert at_a["tx_cnp"] == at_b["rx_cnp"] == 0
    assert not any(at_a[name] for name in RETRIES)


def test_not_marked(pair):
    before = [counters(end.link) for end in pair.ends]
    with connected(pair) as (a, b):
        move(a, b, 8)
    for end, was in zip(pair.ends, before):
        now = change(end.link, was)
        assert now["tx_cnp"] == now["rx_cnp"] == 0


def test_slower(pair, busy, debug_kernel):
    """As long as there are marks; as fast as before when they are gone."""
    if debug_kernel:
        pytest.skip("its checks cost more than what is measured")
    delay = ("delay", "10ms", "limit", "10000")
    with connected(pair) as (a, b):
        busy(*delay)
        move(a, b, 8)
        free = move(a, b, 8)
        busy(*delay, *MARKING)
        congested = move(a, b, 8)
        busy(*delay)
        move(a, b, 24)
        again = move(a, b, 8)
    assert congested > 2 * free, f"{free:.3f} s, then {congested:.3f} s"
    assert again < congested / 2, f"{congested:.3f} s, then {again:.3f} s"


def test_notification(pair, busy, tmp_path):
    """What goes over the wire is what annex A17.9.3 says."""
    with connected(pair) as (a, b), wire.Capture(pair.a, tmp_path / "pcap") as capture:
        busy(*MARKING)
        move(a, b, 4)
        number = a.qp.qp_num
    told = [packet for packet in capture.packets() if packet.opcode == wire.CNP]
    assert told
    for packet in told:
        assert packet.qpn == number and packet.icrc_is_right()
        assert packet.reserved == (0x40, 0), "the BECN bit and no other"
        assert not (packet.psn or packet.migreq or packet.solicited or packet.ack_request)
        assert packet.roce[12:-4] == bytes(16)
    assert wire.CNP in {int(row[0], 0) for row in capture.tshark("infiniband.bth.opcode")}
