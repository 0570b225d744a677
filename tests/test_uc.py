# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Unreliable connections: a message arrives whole, or not at all; nobody waits for
an answer, and nobody is told.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b
                     packets are captured, and injected, at va
"""

import itertools
import random
import struct

import pytest
from pyverbs.pyverbs_error import PyverbsError, PyverbsRDMAError
from pyverbs.qp import QPAttr

from lab import machine, net, perftest, wire
from lab.mapping import PAGE, Mapping
from lab.marks import one_host_too, slow
from lab.rc import GUARD, SENDS, TWO_SIDED, Two, counters, e, same
from lab.verbs import MTUS

OPCODES = (*TWO_SIDED, e.IBV_WR_RDMA_WRITE)
SEND, WRITE = e.IBV_WR_SEND, e.IBV_WR_RDMA_WRITE
WRITE_IMM = e.IBV_WR_RDMA_WRITE_WITH_IMM
MTU = 1024
SIZE = 1 << 16


PAIR_MTU = net.WIDE


def two(pair, **options):
    options.setdefault("size", SIZE)
    return Two(pair, service=e.IBV_QPT_UC, **options)


def move(a, b, opcode, source, sink, length, imm=0, **options):
    """One message from a to b, in whatever way the opcode has."""
    if opcode in TWO_SIDED:
        b.post_receive(*((sink, length) if opcode in SENDS else (0, 0)))
    peer = None if opcode in SENDS else b.identity()
    a.post(opcode, source, length, peer, sink, imm=imm, **options)
    a.poll()
    if opcode in TWO_SIDED:
        done, = b.poll_receive()
        assert done.byte_len == length
        assert bool(done.wc_flags & e.IBV_WC_WITH_IMM) == (opcode != SEND)
        assert opcode == SEND or done.imm_data == imm


@one_host_too
@pytest.mark.parametrize("ipv6", (False, True), ids=("ipv4", "ipv6"))
@pytest.mark.parametrize("mtu", sorted(MTUS))
def test_sizes(pair, mtu, ipv6):
    """Each operation, at sizes around packets, moves its bytes and no other."""
    dice = random.Random(mtu)
    lengths = sorted({0, 1, 3, 4, *(n * mtu + more for n in (1, 2, 9)
                                    for more in (-1, 0, 1, 2))})
    size = 10 * mtu + 3 * GUARD
    with two(pair, size=size, ipv6=ipv6, mtu=mtu) as (a, b):
        for imm, (opcode, length) in enumerate(itertools.product(OPCODES, lengths)):
            for side in (a, b):
                side.memory[0:size] = dice.randbytes(size)
            source, sink = (GUARD + dice.randrange(16) for _ in range(2))
            wanted = bytearray(b.memory[0:size])
            wanted[sink:sink + length] = a.memory[source:source + length]
            sent = a.memory[0:size]
            move(a, b, opcode, source, sink, length, imm)
            if opcode == WRITE:
                net.wait_for(lambda: b.memory[0:size] == wanted, 5, "the bytes of a WRITE")
            assert same(b.memory[0:size], wanted) and same(a.memory[0:size], sent)


@one_host_too
def test_inline(pair):
    with two(pair, inline=256) as (a, b):
        for length in (0, 1, 255, 256):
            a.memory[0:256] = random.Random(length).randbytes(256)
            move(a, b, SEND, 0, 1000, length,
                 flags=e.IBV_SEND_SIGNALED | e.IBV_SEND_INLINE)
            assert same(b.memory[1000:1000 + length], a.memory[0:length])


@pytest.mark.slow
@pytest.mark.parametrize("ipv6", (False, True), ids=("ipv4", "ipv6"))
def test_packets(pair, tmp_path, ipv6):
    """On the wire: UC's opcodes, numbers in a row, right ICRCs, and nobody who asks
    for an acknowledgment or gives one."""
    with wire.one_by_one(pair), two(pair, mtu=MTU, psns=(0xfffff0, 7), ipv6=ipv6) as (a, b):
        a.memory[0:SIZE] = b"\xe7" * SIZE   # which tshark takes for nothing else
        with wire.Capture(pair.a, tmp_path / "pcap") as capture:
            for opcode, length in itertools.product(OPCODES, (5, 2 * MTU, 5 * MTU + 2)):
                move(a, b, opcode, 0, 0, length, imm=0x1234567)
        packets = capture.packets()
        wire.check_by_others(capture, packets, ipv6)
        assert {packet.opcode for packet in packets} == set(range(wire.UC, wire.UC + 12))
        assert [packet.psn for packet in packets] == [
            (0xfffff0 + number) % (1 << 24) for number in range(len(packets))]
        for packet in packets:
            assert packet.icrc_is_right() and packet.qpn == b.qp.qp_num
            assert not packet.ack_request and packet.reserved == (0, 0)
            assert packet.padding == b"\0" * packet.pad


@one_host_too
def test_done_when_sent(pair):
    """With no one at the other end everything completes, and nothing is sent again."""
    with two(pair) as (a, b):
        peer = b.identity()
        b.qp.close()
        before = counters(a.end.link)
        for opcode in OPCODES * 4:
            a.post(opcode, 0, 4 * MTU, None if opcode in SENDS else peer)
        a.poll(4 * len(OPCODES))
        after = counters(a.end.link)
        assert after["tx_packets"] - before["tx_packets"] == 4 * len(OPCODES) * 4
        assert after["retry_timeout"] == before["retry_timeout"]


class Lossy:
    """a's packets as made here, so that any of them can be missing."""

    def __init__(self, pair, b):
        self.pair, self.b, self.psn = pair, b, 0

    def __enter__(self):
        self.injector = wire.Injector(self.pair.a, self.pair.b)
        return self

    def __exit__(self, *exc):
        self.injector.close()

    def packet(self, opcode, payload=b"", header=b"", lost=False):
        if not lost:
            self.send(self.psn, opcode, payload, header)
        self.psn += 1

    def send(self, psn, opcode, payload=b"", header=b""):
        self.injector.send(wire.bth(wire.UC | opcode, self.b.qp.qp_num, psn, ack=False) +
                           header + payload)


@pytest.mark.parametrize("lost", range(5))
def test_loss_drops_the_message(pair, lost):
    """Of two SENDs one packet is missing: the message it is of vanishes, with
    nothing but the other one in the receive queue."""
    with two(pair, mtu=MTU) as (a, b), Lossy(pair, b) as sender:
        texts = [bytes([65 + number]) * MTU for number in range(5)]
        b.memory[0:SIZE] = bytes(SIZE)
        for wr_id in (1, 2):
            b.post_receive(wr_id * 8192, 8192, wr_id=wr_id)
        shape = (wire.SEND_FIRST, wire.SEND_MIDDLE, wire.SEND_LAST,
                 wire.SEND_FIRST, wire.SEND_LAST)
        for number, opcode in enumerate(shape):
            sender.packet(opcode, texts[number], lost=number == lost)
        whole = [texts[:3], texts[3:]][lost < 3]
        done, = b.poll_receive()
        assert (done.wr_id, done.byte_len) == (1, len(whole) * MTU)
        assert same(b.memory[8192:8192 + done.byte_len], b"".join(whole))
        # The next one takes the receive request that the lost one has left.
        sender.packet(wire.SEND_ONLY, b"next")
        done, = b.poll_receive()
        assert (done.wr_id, done.byte_len) == (2, 4)
        assert b.memory[16384:16388] == b"next"
        b.nothing(0)


def test_loss_in_write(pair):
    """A WRITE with a hole in it does not go on behind the hole, nor does its
    immediate data arrive."""
    with two(pair, mtu=MTU) as (a, b), Lossy(pair, b) as sender:
        b.memory[0:SIZE] = bytes(SIZE)
        b.post_receive(0, 0, wr_id=1)
        where = struct.pack("!QII", b.memory.address, b.mr.rkey, 3 * MTU)
        before = counters(b.end.link)["drop_sequence"]
        sender.packet(wire.WRITE_FIRST, b"1" * MTU, where)
        sender.packet(wire.WRITE_MIDDLE, b"2" * MTU, lost=True)
        sender.packet(wire.WRITE_LAST_IMM, b"3" * MTU, struct.pack("=I", 9))
        net.wait_for(lambda: counters(b.end.link)["drop_sequence"] == before + 1, 5,
                     "the drop of the last packet")
        assert same(b.memory[0:3 * MTU], b"1" * MTU + bytes(2 * MTU))
        where = struct.pack("!QII", b.memory.address, b.mr.rkey, 4)
        sender.packet(wire.WRITE_ONLY_IMM, b"next", where + struct.pack("=I", 7))
        done, = b.poll_receive()
        assert (done.wr_id, done.imm_data, b.memory[0:4]) == (1, 7, b"next")
        b.nothing(0)


def disorder(packets, dice):
    """What a bad wire makes of packets in a row: one in twenty is lost, one is doubled,
    and one is overtaken by the next."""
    found = []
    for packet in packets:
        luck = dice.random()
        found += [packet] * (0 if luck < 0.05 else 2 if luck > 0.95 else 1)
    for at in range(len(found) - 1):
        if dice.random() < 0.05:
            found[at], found[at + 1] = found[at + 1], found[at]
    return found


def taken_in(packets):
    """Whether each is, of packets (message, place in it) as they arrive: the first of a
    message, and what stands right behind one of it that was (IBTA 9.8.2.2)."""
    found, before, good = [], None, False
    for number, place in packets:
        good = place == 0 or good and before == (number, place - 1)
        before = number, place
        found.append(good)
    return found


def test_disorder(pair):
    """Packets that are lost, doubled and overtaken: just those messages arrive of which
    all packets came in a row, each once, and the other packets are counted."""
    total, size, dice = 64, 3 * MTU, random.Random(8)
    places = (wire.WRITE_FIRST, wire.WRITE_MIDDLE, wire.WRITE_LAST_IMM)
    packets = disorder(list(itertools.product(range(total), range(3))), dice)
    good = taken_in(packets)
    wanted = [number for (number, place), taken in zip(packets, good) if taken and place == 2]
    assert total // 4 < len(wanted) < total and wanted == sorted(set(wanted))
    data = dice.randbytes(total * size)
    with two(pair, mtu=MTU, size=total * size) as (_, b), Lossy(pair, b) as sender:
        for wr_id in range(total):
            b.post_receive(0, 0, wr_id=wr_id)
        before = counters(b.end.link)["drop_sequence"]
        def reth(offset, length):
            return struct.pack("!QII", b.memory.address + offset, b.mr.rkey, length)
        for number, place in packets:
            at = number * size + place * MTU
            header = (reth(at, size), b"", struct.pack("=I", number))[place]
            sender.send(3 * number + place, places[place], data[at:at + MTU], header)
        sender.send(3 * total, wire.WRITE_ONLY_IMM, b"", reth(0, 0) + struct.pack("=I", total))
        done = b.poll_receive(len(wanted) + 1)
        assert [(one.wr_id, one.imm_data) for one in done] == list(enumerate([*wanted, total]))
        assert counters(b.end.link)["drop_sequence"] - before == good.count(False)
        for number in wanted:
            span = slice(number * size, (number + 1) * size)
            assert same(b.memory[span], data[span])
        b.nothing(0)


REFUSED = {
    "no receive request": (e.IBV_WR_SEND, "drop_no_rqe", {}),
    "receive request too small": (e.IBV_WR_SEND, "drop_refused", {"room": 99}),
    "no such key": (WRITE, "drop_refused", {"rkey": 0x123456}),
    "beyond the region": (WRITE, "drop_refused", {"offset": SIZE - 99}),
    "no right": (WRITE, "drop_refused", {"qp_access": e.IBV_ACCESS_LOCAL_WRITE}),
}


@one_host_too
@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_silence(pair, case):
    """What can't be done is dropped and counted. Both sides go on."""
    opcode, counter, options = REFUSED[case]
    access = {"b": {"qp_access": options["qp_access"]}} if "qp_access" in options else {}
    with two(pair, mtu=MTU, **access) as (a, b):
        b.memory[0:SIZE] = bytes(SIZE)
        if "room" in options:
            b.post_receive(0, options["room"], wr_id=5)
        peer = b.identity()
        peer = peer._replace(rkey=options.get("rkey", peer.rkey))
        before = counters(b.end.link)[counter]
        a.memory[0:SIZE] = b"x" * SIZE
        a.post(opcode, 0, 100, None if opcode == SEND else peer, options.get("offset", 0))
        a.poll()
        net.wait_for(lambda: counters(b.end.link)[counter] == before + 1, 5, counter)
        b.nothing(0)
        assert same(b.memory[0:SIZE], bytes(SIZE))
        assert (a.state(), b.state()) == (e.IBV_QPS_RTS, e.IBV_QPS_RTS)
        if "room" not in options:
            b.post_receive(0, 100)
        a.post(SEND, 0, 50)
        assert b.poll_receive()[0].byte_len == 50
        b.nothing(0)


@one_host_too
def test_memory_is_gone(pair):
    """What the receiver has unmapped since: a WRITE there is dropped in silence, and
    all goes on; a receive request of its own is a fault of its own."""
    there = Mapping(SIZE)
    with two(pair, mtu=MTU, a={"size": SIZE}, b={"memory": there}) as (a, b):
        there.unmap(0, PAGE)
        before = counters(b.end.link)["drop_refused"]
        a.post(WRITE, 0, 100, b.identity(), 0)
        a.poll()
        net.wait_for(lambda: counters(b.end.link)["drop_refused"] == before + 1, 5, "the drop")
        a.memory[0:100] = b"x" * 100
        move(a, b, WRITE_IMM, 0, PAGE, 100)
        assert same(there.peek(PAGE, 100), b"x" * 100)
        b.post_receive(0, 100, wr_id=5)
        a.post(SEND, 0, 100)
        a.poll()
        assert [(one.wr_id, one.status) for one in b.poll_receive(check=False)] == [
            (5, e.IBV_WC_LOC_PROT_ERR)]
        assert (a.state(), b.state()) == (e.IBV_QPS_RTS, e.IBV_QPS_ERR)
        b.memory = Mapping(PAGE)


@one_host_too
def test_only_what_uc_has(pair):
    """No READ, no atomics, no invalidation."""
    for opcode in (e.IBV_WR_RDMA_READ, e.IBV_WR_ATOMIC_CMP_AND_SWP,
                   e.IBV_WR_ATOMIC_FETCH_AND_ADD, e.IBV_WR_SEND_WITH_INV):
        with two(pair) as (a, b):
            try:
                a.post(opcode, 0, 8, b.identity())
            except (PyverbsError, PyverbsRDMAError):
                continue    # by the user library
            assert a.statuses() == [(0, e.IBV_WC_LOC_QP_OP_ERR)]


@one_host_too
def test_send_queue_error(pair):
    """A send that fails stops the send queue, and only it, until it is told to go
    on (IBTA 10.3.1.6)."""
    with two(pair) as (a, b):
        a.post(SEND, 0, 10, wr_id=1, flags=0)
        a.post_raw(SEND, [(a.memory.address, 10, 0x1234)], wr_id=2)
        a.post(SEND, 0, 10, wr_id=3)
        assert a.statuses(2) == [(2, e.IBV_WC_LOC_PROT_ERR), (3, e.IBV_WC_WR_FLUSH_ERR)]
        assert a.state() == e.IBV_QPS_SQE
        a.post(SEND, 0, 10, wr_id=4)
        assert a.statuses() == [(4, e.IBV_WC_WR_FLUSH_ERR)]
        a.post_receive(0, 100)
        b.post(SEND, 0, 33)
        assert a.poll_receive()[0].byte_len == 33
        attr = QPAttr(qp_state=e.IBV_QPS_RTS, cur_qp_state=e.IBV_QPS_SQE)
        a.qp.modify(attr, e.IBV_QP_STATE | e.IBV_QP_CUR_STATE)
        for length in (10, 3 * MTU):
            move(a, b, SEND, 0, 0, length)
        assert a.event(0) is None


def test_bad_wire(pair, debug_kernel):
    """Losses and doubles: what arrives is whole, in order, and not twice.

    Nothing is overtaken here: a message that is overtaken as a whole arrives late, and
    is taken in. A message travels as two batches, and a fifth of these is lost: that
    all of 64 messages arrive, or no more than 16, happens less than once in 10^9."""
    total, slot = 64 if debug_kernel else 256, 4096
    with two(pair, size=slot * total, depth=total + 1, mtu=MTU) as (a, b):
        a.memory[0:slot * total] = random.Random(5).randbytes(slot * total)
        for number in range(total + 1):
            b.post_receive(0, 0, wr_id=number)
        pair.netem("loss", "20%", "duplicate", "10%")
        with machine.one_processor():
            try:
                for number in range(total):
                    a.post(WRITE_IMM, number * slot, 3 * MTU + 5, b.identity(),
                           number * slot, imm=number)
                a.poll(total)
            finally:
                pair.no_netem()
            a.post(WRITE_IMM, 0, 0, b.identity(), imm=total)
        a.poll()
        numbers = []
        while total not in numbers:
            numbers.append(b.poll_receive()[0].imm_data)
        assert numbers.pop() == total
        assert total // 4 < len(numbers) < total
        assert numbers == sorted(set(numbers))
        for number in numbers:
            span = slice(number * slot, number * slot + 3 * MTU + 5)
            assert same(b.memory[span], a.memory[span])


PERFTEST = ("ib_write_bw", "ib_send_bw", "ib_write_lat", "ib_send_lat")


@pytest.mark.parametrize("tool, options", (
    slow("ib_write_bw", ("-s", 4096)), ("ib_write_bw", ("-b", "-q", 3, "-s", 3000)),
    ("ib_write_lat", ()), slow("ib_send_bw", ("-s", 4096)), ("ib_send_bw", ("-e", "-b")),
    slow("ib_send_lat", ("-e",)), slow("ib_write_lat", ("-I", 64, "-s", 64)),
    slow("ib_send_bw", ("-I", 64, "-s", 64)), slow("ib_send_bw", ("--use-srq", "-q", 2)),
    slow("ib_send_lat", ("--use-srq",))))
def test_perftest(pair, tool, options):
    assert perftest.run_unreliable(pair, "UC", tool, "-n", 200, *options).rows


@pytest.mark.slow
@one_host_too
@pytest.mark.parametrize("options", ((), ("-b",), ("-q", "4")), ids="".join)
def test_perftest_defaults(pair, options):
    """Twice as many messages as the receiver has room for at first: it takes them as fast
    as they come."""
    assert perftest.run(pair, "ib_send_bw", "-c", "UC", *options, timeout=20).rows


@pytest.mark.slow
@pytest.mark.parametrize("tool", PERFTEST)
def test_perftest_all_sizes(pair, tool):
    result = perftest.run_unreliable(pair, "UC", tool, "-a", "-n", 5, timeout=120)
    assert result.sizes() == perftest.ALL_SIZES


@pytest.mark.slow
@pytest.mark.parametrize("tool", PERFTEST)
def test_perftest_by_ipv6(pair, where, tool):
    if where == net.Pair.TOGETHER:
        pytest.skip("one namespace routes its own IPv6 addresses to lo")
    assert perftest.run_unreliable(pair, "UC", tool, "-n", 200, ipv6=True).rows
