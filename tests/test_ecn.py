# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Congestion: packets that a router marks are answered by notifications, and who gets
those sends less for a while.

        namespace A                       namespace B
        link a on va ------- veth ------- vb with link b
        netem marks what va sends

netem marks what it would have dropped if a packet says that its ends know of marks. ARP
does not, so the two are told where they are.
"""

import random

import pytest
from pyverbs.qp import QPAttr

from lab import net, wire
from lab.rc import Two, counters, e, same

PIECE = 1 << 20     # 1024 packets
ECT = 2             # the ends know of marks
# Every packet is marked, or lost if it may not be.
MARKING = ("loss", "100%", "ecn")

pytestmark = pytest.mark.urxe_only("rdma_rxe takes no notice of marks")


@pytest.fixture
def busy(pair):
    """Disturbs what a sends, until the test is over."""
    pair.introduce()
    yield pair.a.netem
    pair.a.no_netem(check=False)


def changes(pair, before):
    """What the counters of both links have gained."""
    return [{name: value - was[name] for name, value in counters(end.link).items()}
            for end, was in zip(pair.ends, before)]


def move(a, b, pieces):
    """WRITE the piece again and again."""
    peer = b.identity()
    a.memory[0:PIECE] = random.randbytes(PIECE)
    for number in range(pieces):
        a.post(e.IBV_WR_RDMA_WRITE, 0, PIECE, peer, wr_id=number)
    a.poll(pieces, 120)
    assert same(b.memory[0:PIECE], a.memory[0:PIECE])


def window(pair, a, b):
    """How many packets a puts on the wire while nobody answers."""
    pair.b.netem("loss", "100%")
    try:
        before = counters(pair.a.link)["tx_packets"]
        a.post(e.IBV_WR_RDMA_WRITE, 0, PIECE, b.identity())
        # A queue pair is modified, here into what it is, when all that it may send now
        # has been sent.
        a.qp.modify(QPAttr(qp_state=e.IBV_QPS_RTS), e.IBV_QP_STATE)
        return counters(pair.a.link)["tx_packets"] - before
    finally:
        pair.b.no_netem()


def connected(pair, ipv6=False):
    """Nothing is to be lost, so nobody waits for that."""
    return Two(pair, size=PIECE, ipv6=ipv6, traffic_class=ECT, timeout=0)


@pytest.mark.parametrize("ipv6", (False, True), ids=("ipv4", "ipv6"))
def test_marked(pair, busy, ipv6):
    """Marks are told to the sender, and what is marked is not lost."""
    before = [counters(end.link) for end in pair.ends]
    def all_arrived():
        at_a, at_b = changes(pair, before)
        return at_a["tx_packets"] == at_b["rx_packets"] and at_a["rx_cnp"] == at_b["tx_cnp"]
    with connected(pair, ipv6) as (a, b):
        busy(*MARKING)
        move(a, b, 4)
        net.wait_for(all_arrived, 5, "all packets and all notifications")
        at_a, at_b = changes(pair, before)
    assert at_a["rx_cnp"] > 0
    assert at_a["tx_cnp"] == at_b["rx_cnp"] == 0


def test_not_marked(pair):
    before = [counters(end.link) for end in pair.ends]
    with connected(pair) as (a, b):
        move(a, b, 8)
    for now in changes(pair, before):
        assert now["tx_cnp"] == now["rx_cnp"] == 0


def test_slower(pair, busy):
    """A narrow window as long as there are marks, and a wide one when they are gone.

    It begins with 512 packets. Marks halve it, to 4 at the least; 16 packets without
    any make it one wider. So 10 pieces make it as wide as it was, or half of that if
    something is asked for again at the very end."""
    with connected(pair) as (a, b):
        busy(*MARKING)
        move(a, b, 4)
        narrow = window(pair, a, b)
    with connected(pair) as (a, b):
        busy(*MARKING)
        move(a, b, 4)
        pair.a.no_netem()
        move(a, b, 10)
        wide = window(pair, a, b)
    assert 4 <= narrow <= 64 and 256 <= wide <= 512, (narrow, wide)


def test_notification(pair, busy, tmp_path):
    """What goes over the wire is what annex A17.9.3 says."""
    with connected(pair) as (a, b), wire.Capture(pair.a, tmp_path / "pcap") as capture:
        busy(*MARKING)
        move(a, b, 1)
        number = a.qp.qp_num
    told = [packet for packet in capture.packets() if packet.opcode == wire.CNP]
    assert told
    for packet in told:
        assert packet.qpn == number and packet.icrc_is_right()
        assert packet.reserved == (0x40, 0), "the BECN bit and no other"
        assert not (packet.psn or packet.migreq or packet.solicited or packet.ack_request)
        assert packet.roce[12:-4] == bytes(16)
    assert wire.CNP in {int(row[0], 0) for row in capture.tshark("infiniband.bth.opcode")}
