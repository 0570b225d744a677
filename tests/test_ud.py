# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Unreliable datagrams: where they go, who may send them, and what the receiver is
told.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b
                     packets are captured, and injected, at va
"""

import collections
import contextlib
import ipaddress
import random
import struct

import pytest
from pyverbs.addr import AH
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsRDMAError
from pyverbs.qp import QP, QPAttr, QPEx, QPInitAttrEx

from lab import net, perftest, wire
from lab.mapping import PAGE, Mapping
from lab.marks import one_host_too, slow
from lab.rc import GUARD, Node, counters, counting, e, same
from lab.ud import GRH, OWN_QKEY, QKEY, Mailbox, Two, check_grh

SEND, SEND_IMM = e.IBV_WR_SEND, e.IBV_WR_SEND_WITH_IMM
SIZE = 1 << 16
MTU = 1024  # what fits into 1500


def pass_on(a, b, length, imm=None, **options):
    """One datagram from a to b's memory behind GUARD; its completion."""
    b.post_receive(GUARD, GRH + length)
    a.send(b.identity(), 7, length, opcode=SEND if imm is None else SEND_IMM,
           imm=imm or 0, **options)
    a.poll()
    return b.poll_receive()[0]


@one_host_too
@pytest.mark.parametrize("ipv6", (False, True), ids=("ipv4", "ipv6"))
def test_datagrams(pair, ipv6):
    """What arrives, and what is told: bytes, length, sender, and the IP header."""
    dice = random.Random(1)
    with Two(pair, ipv6=ipv6, size=8192) as (a, b):
        for length in (0, 1, 2, 3, 4, 5, 63, 64, 1000, MTU - 1, MTU):
            for imm in (None, length):
                for box in (a, b):
                    box.memory[0:8192] = dice.randbytes(8192)
                wanted = bytearray(b.memory[0:8192])
                start = GUARD + GRH
                wanted[start:start + length] = a.memory[7:7 + length]
                done = pass_on(a, b, length, imm)
                assert done.byte_len == GRH + length and done.src_qp == a.qp.qp_num
                assert done.wc_flags == e.IBV_WC_GRH | (
                    e.IBV_WC_WITH_IMM if imm is not None else 0)
                assert imm is None or done.imm_data == imm
                grh = b.memory[GUARD:start]
                check_grh(grh, a.address, b.address, length + 4 * (imm is not None),
                          -length & 3)
                wanted[GUARD:start] = grh
                assert same(b.memory[0:8192], wanted)


@one_host_too
@pytest.mark.urxe_only("rdma_rxe does not tell")
@pytest.mark.parametrize("ipv6, header", ((False, 2), (True, 1)), ids=("ipv4", "ipv6"))
def test_which_header(pair, ipv6, header):
    """A program is told which IP header lies there, and that UDP followed, as RoCE NICs
    tell it."""
    with Two(pair, ipv6=ipv6, size=8192) as (a, b):
        assert pass_on(a, b, 100).sl == 8 | header


@one_host_too
def test_scattered_and_inline(pair):
    """The header may lie elsewhere than the payload, and be cut in two."""
    dice = random.Random(2)
    with Two(pair, size=8192, inline=128) as (a, b):
        a.memory[0:8192] = dice.randbytes(8192)
        for lists in ([(0, GRH), (100, 500)], [(0, 13), (50, 27), (200, 300), (3000, 700)]):
            b.post_receive_list(lists)
            a.send(b.identity(), 0, 500)
            assert b.poll_receive()[0].byte_len == GRH + 500
            data = b"".join(b.memory[at:at + length] for at, length in lists)
            check_grh(data[:GRH], a.address, b.address, 500, 0)
            assert same(data[GRH:GRH + 500], a.memory[0:500])
        a.poll(2)
        done = pass_on(a, b, 77, flags=e.IBV_SEND_SIGNALED | e.IBV_SEND_INLINE)
        assert done.byte_len == GRH + 77
        assert same(b.memory[GUARD + GRH:GUARD + GRH + 77], a.memory[7:84])


def test_longest(pair):
    """One packet's worth, which follows the NIC's MTU; more is a local error, after
    which the send queue waits to be told to go on."""
    with Two(pair, size=8192) as (a, b):
        a.send(b.identity(), 0, MTU + 1, wr_id=1)
        a.send(b.identity(), 0, 1, wr_id=2)
        assert a.statuses(2) == [(1, e.IBV_WC_LOC_LEN_ERR), (2, e.IBV_WC_WR_FLUSH_ERR)]
        assert a.state() == e.IBV_QPS_SQE
        a.qp.modify(QPAttr(qp_state=e.IBV_QPS_RTS), e.IBV_QP_STATE)
        assert pass_on(a, b, MTU).byte_len == GRH + MTU
        with contextlib.ExitStack() as stack:
            for end in pair.ends:
                end.ip("link", "set", end.netdev, "mtu", "4200")
                stack.callback(end.ip, "link", "set", end.netdev, "mtu", "1500")
            assert pass_on(a, b, 4096).byte_len == GRH + 4096


def test_qkey(pair, tmp_path):
    """Only who knows the receiver's Q_Key gets through; with the top bit set a work
    request means its own queue pair's."""
    with Two(pair, size=8192, a={"qkey": 0x5555}) as (a, b):
        before = counters(b.end.link)["drop_qkey"]
        violations = b.context.query_port(1).qkey_viol_cntr
        b.post_receive(0, 4096)
        with wire.Capture(pair.a, tmp_path / "pcap") as capture:
            for qkey in (QKEY + 1, OWN_QKEY, 0xffffffff):
                a.send(b.identity(), 0, 10, qkey=qkey)
            a.poll(3)
            a.send(b.identity(), 0, 10)
            b.poll_receive()
        b.nothing(0)
        assert counters(b.end.link)["drop_qkey"] == before + 3
        assert b.context.query_port(1).qkey_viol_cntr == violations + 3
        sent = [struct.unpack_from("!II", packet.roce, 12) for packet in capture.packets()]
        assert sent == [(qkey, a.qp.qp_num)
                        for qkey in (QKEY + 1, 0x5555, 0x5555, QKEY)]


@pytest.mark.parametrize("address", ("10.1.0.9", "10.1.0.255"), ids=("other", "all"))
def test_not_to_the_port(pair, address):
    """What comes to the host, and to the queue pair's number, but not to an address of
    its port, is not for it."""
    pair.b.ip("addr", "add", "10.1.0.9/32", "dev", "lo")
    with contextlib.ExitStack() as stack:
        stack.callback(pair.b.ip, "addr", "delete", "10.1.0.9/32", "dev", "lo")
        _, b = stack.enter_context(Two(pair, size=8192))
        injector = stack.enter_context(contextlib.closing(wire.Injector(pair.a, pair.b)))
        b.post_receive(0, 4096)
        roce = wire.bth(wire.UD | wire.SEND_ONLY, b.qp.qp_num, 0, ack=False) + \
            struct.pack("!II", QKEY, 1) + b"good"
        with counting(b.end.link, drop_no_qp=1):
            injector.send_raw(wire.make(pair.a.ipv4, address, roce))
        b.nothing(0)
        injector.send(roce)
        assert b.poll_receive()[0].byte_len == GRH + 4


@one_host_too
def test_no_room(pair):
    """Without a receive request, or with one too small, a datagram is dropped and
    counted, and the receive request stays."""
    with Two(pair, size=8192) as (a, b):
        for counter in ("drop_no_rqe", "drop_refused"):
            before = counters(b.end.link)[counter]
            a.send(b.identity(), 0, 100)
            a.poll()
            net.wait_for(lambda: counters(b.end.link)[counter] == before + 1, 5, counter)
            b.nothing(0)
            if counter == "drop_no_rqe":
                b.post_receive(0, GRH + 99, wr_id=9)
        a.send(b.identity(), 0, 99)
        assert b.poll_receive()[0].wr_id == 9
        assert b.state() == e.IBV_QPS_RTS


@one_host_too
def test_no_room_in_a_shared_queue(pair):
    """A request that is too small for one stays for another queue pair's datagram."""
    with Two(pair, size=8192, b={"srq": 8}) as (a, b), contextlib.ExitStack() as stack:
        other = stack.enter_context(QP(b.pd, b.init))
        attr = QPAttr(port_num=1)
        attr.qkey = QKEY
        other.to_rts(attr)
        b.post_shared(0, GRH + 99, wr_id=9)
        with counting(b.end.link, drop_refused=1):
            a.send(b.identity(), 0, 100)
            a.poll()
        b.reset()
        a.send(b.identity()._replace(qp_num=other.qp_num), 0, 99)
        assert b.poll_receive()[0].wr_id == 9


@one_host_too
def test_receive_error(pair):
    """A receive request without a right to its memory ends the queue pair."""
    with Two(pair, size=8192, b={"access": 0}) as (a, b):
        b.post_receive(0, 4096, wr_id=1)
        b.post_receive(0, 4096, wr_id=2)
        a.send(b.identity(), 0, 100)
        assert b.receive_statuses(2) == [(1, e.IBV_WC_LOC_PROT_ERR),
                                         (2, e.IBV_WC_WR_FLUSH_ERR)]
        assert b.state() == e.IBV_QPS_ERR


@one_host_too
def test_states(pair):
    """Datagrams are taken from RTR on, and sent from RTS on."""
    with Two(pair, size=8192, b={"ready": False}) as (a, b):
        attr = QPAttr(port_num=1)
        attr.qkey = QKEY
        b.qp.to_init(attr)
        b.post_receive(0, 4096)
        before = counters(b.end.link)["drop_qp_state"]
        a.send(b.identity(), 0, 10)
        net.wait_for(lambda: counters(b.end.link)["drop_qp_state"] == before + 1, 5,
                     "the drop")
        b.nothing(0)
        b.qp.modify(QPAttr(qp_state=e.IBV_QPS_RTR), e.IBV_QP_STATE)
        a.send(b.identity(), 0, 11)
        assert b.poll_receive()[0].byte_len == GRH + 11
        a.poll(2)


@one_host_too
def test_handles(pair):
    """An address handle of another protection domain sends nothing, nor does one
    that is gone; and some can't be made."""
    with Two(pair, size=8192) as (a, b):
        other = PD(a.context)
        foreign = AH(other, attr=a.way_to(b.identity()))
        gone = AH(a.pd, attr=a.way_to(b.identity()))
        gone.close()
        a.send_raw(foreign, b.qp.qp_num, [a.sge(0, 10)], wr_id=1)
        assert a.statuses() == [(1, e.IBV_WC_LOC_QP_OP_ERR)]
        foreign.close()
        other.close()
        bad = b.identity()._replace(gid=ipaddress.IPv6Address(pair.b.ipv6).exploded)
        with pytest.raises(PyverbsRDMAError):
            AH(a.pd, attr=a.way_to(bad))


@one_host_too
def test_memory_is_gone(pair):
    """A receive request's, unmapped since: its fault, and the end of that queue pair; the
    sender does not learn of it."""
    there = Mapping(SIZE)
    with Two(pair, a={"size": SIZE}, b={"memory": there}) as (a, b):
        there.unmap(0, PAGE)
        b.post_receive(PAGE, GRH + 100, wr_id=4)
        b.post_receive(0, GRH + 100, wr_id=5)
        for _ in range(2):
            a.send(b.identity(), 0, 100)
        a.poll(2)
        assert [(one.wr_id, one.status) for one in b.poll_receive(2, check=False)] == [
            (4, e.IBV_WC_SUCCESS), (5, e.IBV_WC_LOC_PROT_ERR)]
        assert (a.state(), b.state()) == (e.IBV_QPS_RTS, e.IBV_QPS_ERR)
        b.memory = Mapping(PAGE)


@one_host_too
def test_to_oneself(pair):
    """A link reaches itself, also the sending queue pair."""
    with Two(pair, size=8192) as (a, _):
        a.post_receive(GUARD, 4096)
        a.send(a.identity(), 0, 100)
        done, = a.poll_receive()
        assert (done.byte_len, done.src_qp) == (GRH + 100, a.qp.qp_num)
        check_grh(a.memory[GUARD:GUARD + GRH], a.address, a.address, 100, 0)


def post_many(box, targets, length):
    """A datagram for each of the targets, (handle, queue pair's number), all by
    one doorbell."""
    box.qp.wr_start()
    for number, (way, qp_num) in enumerate(targets):
        box.qp.wr_id, box.qp.wr_flags = number, e.IBV_SEND_SIGNALED
        box.qp.wr_send()
        box.qp.wr_set_ud_addr(way, qp_num, QKEY)
        box.qp.wr_set_sge(box.sge(number, length))
    box.qp.wr_complete()


def batch_sender(end, depth):
    """A Mailbox whose queue pair can be posted to in batches."""
    box = Mailbox(end, size=8192, depth=depth, ready=False)
    init = QPInitAttrEx(qp_type=e.IBV_QPT_UD, scq=box.cq, rcq=box.rcq, cap=box.cap,
                        pd=box.pd, comp_mask=e.IBV_QP_INIT_ATTR_PD |
                        e.IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
                        send_ops_flags=e.IBV_QP_EX_WITH_SEND)
    box.qp.close()
    attr = QPAttr(port_num=1)
    attr.qkey = QKEY
    box.qp = QPEx(box.context, init, attr)
    return box


@one_host_too
def test_batches(pair):
    """Datagrams to one destination travel together, those to others do not get
    lost between them, and all arrive where they were sent."""
    count = 48
    a = batch_sender(pair.a, 64)
    boxes = [Mailbox(pair.b, size=SIZE * 2), Mailbox(pair.b, size=SIZE * 2, ipv6=True)]
    try:
        a.memory[0:8192] = random.Random(4).randbytes(8192)
        ways = []
        for box in boxes:
            a.address = pair.a.ipv6 if box.address == pair.b.ipv6 else pair.a.ipv4
            ways.append((a.way(box.identity()), box.qp.qp_num))
        for pattern, most in ((lambda n: 0, 4), (lambda n: n % 2, count),
                              (lambda n: n * 2 // count, 5)):
            expected = collections.defaultdict(list)
            for number in range(count):
                expected[pattern(number)].append(number)
            for which, numbers in expected.items():
                for number in numbers:
                    boxes[which].post_receive(number * 256, 256)
            before = counters(a.end.link)
            post_many(a, [ways[pattern(number)] for number in range(count)], 200)
            a.poll(count)
            after = counters(a.end.link)
            assert after["tx_packets"] - before["tx_packets"] == count
            assert after["tx_batches"] - before["tx_batches"] <= most
            for which, numbers in expected.items():
                boxes[which].poll_receive(len(numbers))
                for number in numbers:
                    at = number * 256
                    check_grh(boxes[which].memory[at:at + GRH],
                              (pair.a.ipv4, pair.a.ipv6)[which], boxes[which].address, 200, 0)
                    assert same(boxes[which].memory[at + GRH:at + GRH + 200],
                                a.memory[number:number + 200])
    finally:
        for box in (a, *boxes):
            box.close()


@pytest.mark.parametrize("ipv6", (slow(False), True), ids=("ipv4", "ipv6"))
def test_packets(pair, tmp_path, ipv6):
    """On the wire: UD's opcodes, numbers in a row, right ICRCs, no acknowledgments;
    class and flow label as the address handle says."""
    with Two(pair, size=8192, ipv6=ipv6, a={"psn": 0xfffffe}) as (a, b):
        a.memory[0:8192] = b"\x77" * 8192   # which tshark takes for nothing else
        with wire.Capture(pair.a, tmp_path / "pcap") as capture:
            for length in (0, 1, 2, 3, 500):
                pass_on(a, b, length)
                pass_on(a, b, length, imm=5)
            b.post_receive(0, 4096)
            way = a.way(b.identity(), traffic_class=0x48, flow_label=0x54321)
            a.send_raw(way, b.qp.qp_num, [a.sge(0, 8)])
            b.poll_receive()
        packets = capture.packets()
        wire.check_by_others(capture, packets, ipv6)
        assert len(packets) == 11
        assert {packet.opcode for packet in packets} == {
            wire.UD | wire.SEND_ONLY, wire.UD | wire.SEND_ONLY_IMM}
        assert [packet.psn for packet in packets] == [
            (0xfffffe + number) % (1 << 24) for number in range(11)]
        for packet in packets:
            assert packet.icrc_is_right() and not packet.ack_request
            assert packet.padding == b"\0" * packet.pad
        assert packets[-1].traffic_class == 0x48
        assert not ipv6 or packets[-1].flow_label == 0x54321
        assert len({packet.sport for packet in packets[:-1]}) == 1


@pytest.mark.parametrize("opcode", (wire.SEND_ONLY, wire.UC | wire.SEND_ONLY,
                                    wire.UD | wire.SEND_FIRST, wire.UD | wire.WRITE_ONLY))
def test_other_services(pair, opcode):
    """Packets of another service do nothing, whatever stands where the Q_Key would."""
    with Two(pair, size=8192) as (_, b), \
         contextlib.closing(wire.Injector(pair.a, pair.b)) as injector:
        b.post_receive(0, 4096)
        before = counters(b.end.link)
        deth = struct.pack("!II", QKEY, 1)
        injector.send(wire.bth(opcode, b.qp.qp_num, 0, ack=False) + deth + bytes(32))
        net.wait_for(lambda: counters(b.end.link)["drop_malformed"] ==
                     before["drop_malformed"] + 1, 5, "the drop")
        injector.send(wire.bth(wire.UD | wire.SEND_ONLY, b.qp.qp_num, 0, ack=False) +
                      deth + b"good")
        assert b.poll_receive()[0].byte_len == GRH + 4


@one_host_too
def test_not_to_connected(pair):
    """A datagram for a connected queue pair is dropped."""
    with Two(pair, size=8192) as (a, _):
        rc = Node(pair.b, size=4096)
        rc.connect(a.identity())
        rc.post_receive(0, 4096)
        before = counters(pair.b.link)["drop_malformed"]
        a.send(rc.identity(), 0, 100)
        a.poll()
        net.wait_for(lambda: counters(pair.b.link)["drop_malformed"] == before + 1, 5,
                     "the drop")
        rc.nothing(0)
        assert rc.state() == e.IBV_QPS_RTS
        rc.close()


@pytest.mark.parametrize("tool, options, ipv6", (
    ("ib_send_bw", ("-q", 2), False), ("ib_send_bw", ("-e", "-b"), True),
    ("ib_send_lat", (), True), ("ib_send_lat", ("-e",), False),
    slow("ib_send_bw", ("-I", 64, "-s", 64), False),
    slow("ib_send_lat", ("-I", 64, "-s", 64), True),
    slow("ib_send_bw", ("--use-srq", "-q", 2), False),
    slow("ib_send_lat", ("--use-srq",), False)))
def test_perftest(pair, where, tool, options, ipv6):
    if ipv6 and where == net.Pair.TOGETHER:
        pytest.skip("one namespace routes its own IPv6 addresses to lo")
    assert perftest.run_unreliable(pair, "UD", tool, "-n", 200, *options, ipv6=ipv6).rows


@pytest.mark.slow
@one_host_too
@pytest.mark.parametrize("options", ((), ("-b",), ("-q", "4")), ids="".join)
def test_perftest_defaults(pair, options):
    """Twice as many messages as the receiver has room for at first: it takes them as fast
    as they come."""
    assert perftest.run(pair, "ib_send_bw", "-c", "UD", *options, timeout=20).rows


@pytest.mark.slow
@pytest.mark.parametrize("tool", ("ib_send_bw", "ib_send_lat"))
def test_perftest_all_sizes(pair, tool):
    """A datagram is no longer than a packet."""
    result = perftest.run_unreliable(pair, "UD", tool, "-a", "-n", 50)
    assert result.sizes() == [size for size in perftest.ALL_SIZES if size <= MTU]
