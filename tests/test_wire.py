# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What is on the wire, as others see it; and what the wire may bring without harm.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b
                     tcpdump on va
                     injected packets go in at va, for b, and at vb, for a
"""

import collections
import random
import struct

import pytest
from pyverbs.qp import QPAttr

from lab import net, wire
from lab.byhand import MTU, SIZE, Answers, Line
from lab.marks import slow
from lab.rc import (Two, counters, counting, e, extend, flush_access, port_counters,
                    same)
from lab.verbs import ACCESS
from lab.window import TYPE_2, Window

SEND, SEND_IMM = e.IBV_WR_SEND, e.IBV_WR_SEND_WITH_IMM
WRITE, WRITE_IMM = e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_WRITE_WITH_IMM
READ = e.IBV_WR_RDMA_READ
CAS, FAA = e.IBV_WR_ATOMIC_CMP_AND_SWP, e.IBV_WR_ATOMIC_FETCH_AND_ADD
# One packet, two, and more, each with every pad.
LENGTHS = [base + more for base in (0, MTU, 2 * MTU) for more in (1, 2, 3, 4)] + [0, 9 * MTU]
INVALIDATING = (wire.SEND_LAST_INV, wire.SEND_ONLY_INV)
PAYLOAD_END = {wire.SEND_LAST, wire.SEND_LAST_IMM, wire.SEND_ONLY, wire.SEND_ONLY_IMM,
               wire.WRITE_LAST, wire.WRITE_LAST_IMM, wire.WRITE_ONLY,
               wire.WRITE_ONLY_IMM, wire.READ_LAST, wire.READ_ONLY, *INVALIDATING}


# All that came by the wire in one exchange; newer are its opcodes that are not of old.
Seen = collections.namedtuple("Seen", "ipv6 whole capture frames packets numbers newer")


@pytest.fixture(scope="module")
def seen(pair, request, tmp_path_factory):
    """An exchange whose packets are captured one by one, or as the batches that they
    travel in."""
    shape, version = request.param.split("-")
    with wire.one_by_one(pair, cut=shape != "whole"), \
         Two(pair, size=SIZE, ipv6=version == "ipv6", connect=False,
             b={"access": ACCESS | e.IBV_ACCESS_MW_BIND}) as (a, b):
        newer = make_ready(a, b)
        with wire.Capture(pair.a, tmp_path_factory.mktemp("wire") / "pcap") as capture:
            exchange(a, b, newer)
        numbers = numbers_of(a, b)
    return Seen(version == "ipv6", shape == "whole", capture, list(capture.frames()),
                capture.packets(), numbers, newer)


one_by_one = pytest.mark.parametrize("seen", ("cut-ipv4", "cut-ipv6"), indirect=True)
either_way = pytest.mark.parametrize("seen", (
    "cut-ipv4", slow("cut-ipv6"), slow("whole-ipv4"), "whole-ipv6"), indirect=True)


def make_ready(a, b):
    """Connect them so that b does all that this user library and this kernel let a ask
    for. Returns the opcodes of that which are not of old."""
    flush = flush_access(b.context)
    if flush:
        b.mr.close()
        b.access |= flush
        b.mr = b.register()
    operations = {wire.ATOMIC_WRITE: getattr(e, "IBV_QP_EX_WITH_ATOMIC_WRITE", 0),
                  wire.FLUSH: e.IBV_QP_EX_WITH_FLUSH if flush else 0}
    if any(operations.values()):
        extend(a, sum(operations.values()))
    a.connect(b.identity(), mtu=MTU)
    b.connect(a.identity(), mtu=MTU, access=ACCESS | flush)
    return {opcode for opcode, operation in operations.items() if operation}


def exchange(a, b, newer):
    """Every opcode with every pad, from a to b."""
    peer = b.identity()
    for node in (a, b):
        # Nothing that tshark might take for another protocol's first bytes.
        node.memory[0:SIZE] = bytes(0xe0 | byte & 15
                                    for byte in random.Random(3).randbytes(SIZE))
    for length in LENGTHS:
        for opcode in (SEND, SEND_IMM, WRITE, WRITE_IMM, READ):
            two_sided = opcode in (SEND, SEND_IMM, WRITE_IMM)
            if two_sided:
                b.post_receive(0, 16384)
            a.post(opcode, 0, length, None if opcode in (SEND, SEND_IMM) else peer,
                   imm=0x1234567)
            a.poll()
            if two_sided:
                b.poll_receive()
    for opcode in (CAS, FAA):
        a.post(opcode, 0, 8, peer, compare_add=1)
        a.poll()
    exchange_invalidating(a, b)
    for opcode in sorted(newer):
        exchange_newer(a, peer, opcode)


def exchange_invalidating(a, b):
    """SENDs that invalidate a window of b's, of one packet and of two."""
    window = Window(b, TYPE_2)
    for length in (1, 2, 3, 4, MTU + 1, MTU + 2, MTU + 3, MTU + 4):
        assert window.bind() == e.IBV_WC_SUCCESS
        b.post_receive(0, 16384)
        a.post(e.IBV_WR_SEND_WITH_INV, 0, length, imm=window.key)
        a.poll()
        done, = b.poll_receive()
        assert done.imm_data == window.key
    window.mw.close()


def exchange_newer(a, peer, opcode):
    """An ATOMIC WRITE, or a FLUSH."""
    a.qp.wr_start()
    a.qp.wr_id, a.qp.wr_flags = 0, e.IBV_SEND_SIGNALED
    if opcode == wire.FLUSH:
        a.qp.wr_flush(peer.rkey, peer.address, 8, e.IBV_FLUSH_GLOBAL, e.IBV_FLUSH_RANGE)
    else:
        a.qp.wr_atomic_write(peer.rkey, peer.address, a.memory[0:8])
    a.qp.wr_complete()
    a.poll()


def numbers_of(*nodes):
    return tuple(node.qp.qp_num for node in nodes)


def check_headers(packets, numbers):
    """Of packets between two queue pairs of these numbers."""
    for packet in packets:
        assert packet.icrc_is_right(), packet.__dict__
        assert packet.dport == wire.PORT
        assert packet.migreq and packet.tver == 0 and packet.pkey == 0xffff
        assert packet.reserved == (0, 0)
        assert packet.padding == b"\0" * packet.pad
        assert (len(packet.payload) + packet.pad) % 4 == 0
        assert len(packet.payload) <= MTU
        assert packet.qpn in numbers
        assert 0xc000 <= packet.sport <= 0xffff
    # One port each way: a flow stays on one path through the network.
    for number in numbers:
        assert len({packet.sport for packet in packets if packet.qpn == number}) == 1


@either_way
def test_every_packet(seen):
    """Headers, pads and ICRCs of every opcode."""
    if seen.whole:
        assert len(seen.frames) < len(seen.packets), "nothing travelled in batches"
    else:
        assert len(seen.frames) == len(seen.packets)
    check_headers(seen.packets, seen.numbers)
    pads = collections.defaultdict(set)
    for packet in seen.packets:
        pads[packet.opcode].add(packet.pad)
    assert set(pads) == wire.OF_OLD | seen.newer
    for opcode in PAYLOAD_END:
        assert pads[opcode] == {0, 1, 2, 3}, opcode


@one_by_one
def test_every_packet_by_tshark(seen):
    """tshark finds the same in each packet, and nothing wrong."""
    rows = wire.check_by_tshark(seen.capture, seen.packets, "infiniband.ieth",
                                "infiniband.reth.va")
    for row, packet in zip(rows, seen.packets):
        if packet.opcode in INVALIDATING:
            assert bytes.fromhex(row[0].split(",")[0]) == packet.roce[12:16]
    # The tshark that comes with a library without FLUSH knows no ATOMIC WRITE either.
    if wire.FLUSH in seen.newer:
        for opcode, at in ((wire.FLUSH, 16), (wire.ATOMIC_WRITE, 12)):
            (found, there), = {(int(row[1], 0), int.from_bytes(packet.roce[at:at + 8], "big"))
                               for row, packet in zip(rows, seen.packets)
                               if packet.opcode == opcode}
            assert found == there


@one_by_one
def test_every_packet_by_scapy(seen):
    """scapy computes the same ICRC for one packet of each opcode and pad."""
    layer = wire.scapy_layer(seen.ipv6)
    if not layer:
        pytest.skip("scapy before 2.6 computes it for IPv4 only")
    wire.check_by_scapy(layer, seen.frames, seen.packets)


@pytest.mark.parametrize("ipv6", (slow(False), True), ids=("ipv4", "ipv6"))
def test_traffic_class(pair, tmp_path, ipv6):
    """DSCP and ECN are as the address vector says, in both directions; so is the
    flow label, where there is one."""
    for traffic_class in (0x00, 0x02, 0x48, 0xb9):
        with Two(pair, size=SIZE, ipv6=ipv6, traffic_class=traffic_class,
                 flow_label=0x12345) as (a, b):
            with wire.Capture(pair.a, tmp_path / "pcap") as capture:
                exchange_little(a, b)
            packets = capture.packets()
            assert len(packets) >= 5
            check_headers(packets, numbers_of(a, b))
            assert {packet.traffic_class for packet in packets} == {traffic_class}
            if ipv6:
                assert {packet.flow_label for packet in packets} == {0x12345}


def exchange_little(a, b):
    peer = b.identity()
    for opcode in (WRITE, READ, FAA):
        a.post(opcode, 0, 8, peer)
    a.poll(3)


def test_source_ports_differ(pair, tmp_path):
    """Connections spread over source ports, so that networks can spread them."""
    ports = set()
    with wire.Capture(pair.a, tmp_path / "pcap") as capture:
        for _ in range(8):
            with Two(pair, size=4096) as (a, b):
                exchange_little(a, b)
    ports = {packet.sport for packet in capture.packets()}
    assert len(ports) >= 4, ports


# --- injected packets ------------------------------------------------------


def test_dropped(pair):
    """Packets that are nobody's, or nothing, are passed over in silence."""
    with Line(pair) as line:
        good = line.write(0, 0, b"wrong!!!")
        silent = [
            (good, {"good": False}),                                # ICRC
            (good, {"source": "10.1.0.77"}),                        # another's address
            (good[:4] + struct.pack("!I", 0x3ffff0) + good[8:], {}),  # nobody's number
            (good[:2] + b"\x12\x34" + good[4:], {}),                # partition key
            (good[:1] + bytes([good[1] | 1]) + good[2:], {}),       # header version
        ]
        # Other services' operations, and unknown ones.
        for opcode in (0x2a, 0x35, 0x4a, 0x64, 0x81, 0xca, 0xff):
            silent.append((bytes([opcode]) + good[1:], {}))
        for roce, options in silent:
            assert line.ask(roce, seconds=0.15, **options) == [], (roce[:12], options)
        # Cut short within its headers, the ICRC right.
        for length in range(0, 28):
            line.injector.send(good[:length])
        assert line.injector.heard(0.3) == []
        line.works(0)


def test_drops_are_counted(pair):
    """By reason, one each; the performance class has those of broken packets in one."""
    link = pair.b.link
    with Line(pair) as line:
        good = line.write(0, 0, b"wrong!!!")

        def counted(name, roce, **options):
            before = counters(link)
            line.injector.send(roce, **options)
            net.wait_for(lambda: counters(link)[name] == before[name] + 1, 5, name)
            now = counters(link)
            assert {what for what in now if what.startswith("drop_") and
                    now[what] != before[what]} == {name}

        violations = line.b.context.query_port(1).bad_pkey_cntr
        counted("drop_icrc", good, good=False)
        counted("drop_malformed", good[:1] + bytes([good[1] | 1]) + good[2:])
        counted("drop_no_qp", good[:4] + struct.pack("!I", 0x3ffff0) + good[8:])
        counted("drop_wrong_peer", good, source="10.1.0.77")
        counted("drop_pkey", good[:2] + b"\x12\x34" + good[4:])
        assert line.b.context.query_port(1).bad_pkey_cntr == violations + 1
        broken = counters(link)["drop_icrc"] + counters(link)["drop_malformed"]
        assert port_counters(link)["port_rcv_errors"] == broken
        assert line.injector.heard(0.15) == []
        line.works(0)
        line.b.reset()
        counted("drop_qp_state", good)


def test_bytes_of_udp_that_are_not_there(pair):
    """Lengths that disagree, and frames that end early."""
    with Line(pair) as line:
        packet = wire.make("10.1.0.1", "10.1.0.2", line.write(0, 0, b"wrong!!!"))
        for at in range(20, len(packet) - 1):
            line.injector.send_raw(packet[:at])
        for length in (0, 7, 8, 9, 27, 65535):
            line.injector.send_raw(packet[:24] + struct.pack("!H", length) + packet[26:])
        line.works(0)


def test_duplicates(pair):
    """What comes twice is done once, and answered twice, alike."""
    with Line(pair) as line, counting(pair.b.link, rx_duplicate=9):
        b = line.b
        send = line.header(wire.SEND_ONLY, 0) + b"once"
        assert line.ask(send) == [(wire.ACK, 0, wire.ACCEPTED)]
        assert line.ask(send) == [(wire.ACK, 0, wire.ACCEPTED)]
        done, = b.poll_receive()
        assert (done.wr_id, done.byte_len) == (0, 4)
        faa = line.atomic(wire.FAA, 1, 64, 5)
        old = int.from_bytes(line.before[64:72], "little")
        for _ in range(3):
            assert line.found(faa, 1) == old
            assert same(b.memory[64:72], (old + 5).to_bytes(8, "little"))
        for _ in range(2):
            line.injector.heard(0.02)
            line.injector.send(line.read(2, 0, 3000))
            answers = line.injector.heard(2, 3)
            assert [(one.opcode, one.psn) for one in answers] == [
                (wire.READ_FIRST, 2), (wire.READ_MIDDLE, 3), (wire.READ_LAST, 4)]
            assert same(b"".join(one.payload for one in answers), b.memory[0:3000])
        # Of what is acknowledged now a READ is none, though it came later.
        assert line.ask(send) == [(wire.ACK, 0, wire.ACCEPTED)]
        # From the middle of it on, as one asks who has got the beginning.
        line.injector.send(line.read(3, 1024, 3000 - 1024))
        answers = line.injector.heard(2, 2)
        assert same(b"".join(one.payload for one in answers), b.memory[1024:3000])
        # And what one asks for who has got all but that.
        line.injector.send(line.read(3, 1024, 1024))
        answers = line.injector.heard(2, 1)
        assert same(b"".join(one.payload for one in answers), b.memory[1024:2048])
        # Not what was asked for the first time: no answer, no harm.
        assert line.ask(line.read(2, 0, 9999), seconds=0.2) == []
        write = line.write(5, 200, b"first")
        assert line.ask(write) == [(wire.ACK, 5, wire.ACCEPTED)]
        assert line.ask(line.write(5, 200, b"again")) == [(wire.ACK, 5, wire.ACCEPTED)]
        assert same(b.memory[200:205], b"first")
        b.nothing(0)
        assert b.state() == e.IBV_QPS_RTS


def test_compare_twice(pair):
    """The second time finds what the first has put there, and must not look."""
    with Line(pair) as line:
        old = int.from_bytes(line.before[64:72], "little")
        for _ in range(2):
            assert line.found(line.atomic(wire.CAS, 0, 64, 77, compare=old), 0) == old
            assert same(line.b.memory[64:72], (77).to_bytes(8, "little"))


IDENT, FLAGS, LIFE, SPORT = (5, 1), (6, 0x40), (8, 1), (21, 1)


def changed(packet, at, bits):
    """The packet with some bits of one byte flipped, and IP's own checksum right."""
    packet = bytearray(packet)
    packet[at] ^= bits
    packet[10:12] = bytes(2)
    packet[10:12] = struct.pack("!H", wire.checksum(bytes(packet[:20])))
    return bytes(packet)


def test_icrc_of_headers(pair):
    """What the ICRC covers of the headers differs from packet to packet: each goes by its
    own. What is changed on the way is dropped, unless routers may."""
    psn = 0
    with Line(pair) as line, counting(pair.b.link, drop_icrc=15):
        send = line.injector.send_raw
        for options in ({}, {"sport": 0xc321}, {"ident": 0x1234}, {"flags": 0}, {}):
            for change in (IDENT, FLAGS, SPORT):
                packet = wire.make(pair.a.ipv4, pair.b.ipv4, line.write(
                    psn, 0, bytes(4 + psn % 2 * 4)), **options)
                send(changed(packet, *change))
                send(changed(packet, *LIFE))
                answer, = line.injector.heard(2, 1)
                assert (answer.opcode, answer.psn) == (wire.ACK, psn)
                assert answer.icrc_is_right()
                psn += 1
        assert line.b.state() == e.IBV_QPS_RTS


def test_word_twice(pair):
    """A word that is written at once is not written over what came since."""
    with Line(pair) as line:
        word = line.header(wire.ATOMIC_WRITE, 0) + line.reth(64, 8) + b"the word"
        assert line.ask(word) == [(wire.READ_ONLY, 0, wire.ACCEPTED)]
        assert same(line.b.memory[64:72], b"the word")
        assert line.ask(line.write(1, 64, b"since...")) == [(wire.ACK, 1, wire.ACCEPTED)]
        assert line.ask(word) == [(wire.READ_ONLY, 0, wire.ACCEPTED)]
        assert same(line.b.memory[64:72], b"since...")


def test_asked_again_too_late(pair):
    """A READ that is overtaken by the end of its key, when it comes for the second time,
    is no error: who asked has had the answer."""
    with Line(pair) as line:
        region = line.b.register()
        read = line.header(wire.READ_REQUEST, 0) + line.reth(0, 8, region.rkey)
        for _ in range(2):
            assert line.ask(read) == [(wire.READ_ONLY, 0, wire.ACCEPTED)]
        region.close()
        assert line.ask(read, seconds=0.3) == []
        line.works(1)


def test_changed_while_ready(pair):
    """In RTS: how long a sender is told to wait, and what it may do."""
    with Line(pair) as line:
        attr = line.b.attributes(line.a.identity(), rnr_timer=9,
                                 access=e.IBV_ACCESS_REMOTE_READ)
        line.b.qp.modify(attr, e.IBV_QP_MIN_RNR_TIMER | e.IBV_QP_ACCESS_FLAGS)
        for psn in range(4):
            assert line.ask(line.header(wire.SEND_ONLY, psn)) == [(wire.ACK, psn, wire.ACCEPTED)]
        assert line.ask(line.header(wire.SEND_ONLY, 4)) == [(wire.ACK, 4, 0x20 | 9)]
        assert line.ask(line.read(4, 0, 8)) == [(wire.READ_ONLY, 4, wire.ACCEPTED)]
        assert line.ask(line.write(5, 0, b"wrong")) == [(wire.ACK, 5, wire.INVALID)]
        line.b.wait_state(e.IBV_QPS_ERR)
        assert same(line.b.memory[0:SIZE], line.before)


@pytest.mark.parametrize("case", ("middle", "last", "short_first", "long_only", "cut_write",
                                  "mixed", "unaligned", "unaligned_word", "short_word",
                                  "long_word", "huge", "bad_key", "read_key", "fat_read",
                                  "fat_atomic", "reserved", "last_reserved"))
def test_refused(pair, case):
    """Requests that make no sense: the error is told, once, and nothing is done."""
    page = bytes(MTU)
    with Line(pair) as line, counting(pair.b.link, tx_error_nak=1):
        first = line.header(wire.SEND_FIRST, 0, ack=False) + page
        packets, syndrome = {
            "middle": ([line.header(wire.SEND_MIDDLE, 0) + page], wire.INVALID),
            "last": ([line.header(wire.WRITE_LAST, 0) + b"four"], wire.INVALID),
            "short_first": ([line.header(wire.SEND_FIRST, 0) + page[4:]], wire.INVALID),
            "long_only": ([line.header(wire.SEND_ONLY, 0) + page + b"four"], wire.INVALID),
            "cut_write": ([line.header(wire.WRITE_ONLY, 0) + line.reth(0, 8) + b"four"],
                          wire.INVALID),
            "mixed": ([first, line.header(wire.WRITE_MIDDLE, 1) + page], wire.INVALID),
            "unaligned": ([line.atomic(wire.FAA, 0, 4, 1)], wire.INVALID),
            "unaligned_word": ([line.header(wire.ATOMIC_WRITE, 0) + line.reth(4, 8) +
                                b"the word"], wire.INVALID),
            "short_word": ([line.header(wire.ATOMIC_WRITE, 0) + line.reth(0, 4) + b"word"],
                           wire.INVALID),
            "long_word": ([line.header(wire.ATOMIC_WRITE, 0) + line.reth(0, 4096) +
                           b"the word"], wire.INVALID),
            "huge": ([line.read(0, 0, 0x80000001)], wire.INVALID),
            "bad_key": ([line.header(wire.WRITE_ONLY, 0) + line.reth(0, 4, 0) + b"four"],
                        wire.NO_ACCESS),
            "read_key": ([line.header(wire.READ_REQUEST, 0) + line.reth(0, 4, 1)],
                         wire.NO_ACCESS),
            "fat_read": ([line.read(0, 0, 8) + b"four"], wire.INVALID),
            "fat_atomic": ([line.atomic(wire.FAA, 0, 0, 1) + b"four"], wire.INVALID),
            "reserved": ([line.header(0x15, 0)], wire.INVALID),
            "last_reserved": ([line.header(0x1f, 0) + line.reth(0, 4) + b"four"], wire.INVALID),
        }[case]
        for packet in packets[:-1]:
            line.injector.send(packet)
        assert line.ask(packets[-1]) == [(wire.ACK, len(packets) - 1, syndrome)]
        line.b.wait_state(e.IBV_QPS_ERR)
        assert line.ask(line.write(0, 0, b"dead"), seconds=0.2) == []
        half = SIZE // 2
        assert same(line.b.memory[0:half], line.before[0:half])
        statuses = line.b.receive_statuses(4)
        assert e.IBV_WC_SUCCESS not in [status for _, status in statuses]


@pytest.mark.parametrize("length", (4, MTU, 2 * MTU))
def test_refused_read(pair, length):
    """A READ that has no right to what it asks for is answered where its data would be,
    and does not count as a message."""
    with Line(pair) as line, counting(pair.b.link, tx_error_nak=1):
        for psn in range(2):
            assert line.ask(line.write(psn, 0, b"four")) == [(wire.ACK, psn, wire.ACCEPTED)]
        line.injector.send(line.header(wire.READ_REQUEST, 2) + line.reth(0, length, 1))
        answer, = line.injector.heard(2, 1)
        assert (answer.opcode, answer.psn) == (wire.ACK, 2)
        assert answer.roce[12:16] == bytes((wire.NO_ACCESS, 0, 0, 2))
        line.b.wait_state(e.IBV_QPS_ERR)
        assert line.b.event() == e.IBV_EVENT_QP_ACCESS_ERR
        assert line.injector.heard(0.1) == []


def test_ghost_answers(pair):
    """Acknowledgments of what was never sent, or of what is long done, or from
    elsewhere, complete nothing."""
    with Answers(pair) as line:
        a = line.a
        before = counters(a.end.link)["rx_duplicate"]
        line.say(100)
        line.say(99)
        net.wait_for(lambda: counters(a.end.link)["rx_duplicate"] == before + 2, 5,
                     "the ghosts")
        a.nothing(0)
        for wr_id in range(3):
            a.post(SEND, 0, 4, wr_id=wr_id)
        sent = line.injector.heard(2, 3)
        assert [packet.psn for packet in sent] == [100, 101, 102]
        line.say(103)
        line.say(100 + (1 << 23))
        line.say(99)
        line.say(102, source="10.1.0.77")
        line.say(102, good=False)
        line.say(99, wire.INVALID)
        line.say(99, 0x20)
        line.say(101)
        assert a.statuses(2) == [(0, 0), (1, 0)]
        a.nothing(0)
        line.say(101)
        line.say(100, wire.FAILED)
        line.say(102)
        assert a.statuses(1) == [(2, 0)]
        a.nothing(0)
        assert a.state() == e.IBV_QPS_RTS


@pytest.mark.parametrize("syndrome,status", (
    (wire.INVALID, e.IBV_WC_REM_INV_REQ_ERR), (wire.NO_ACCESS, e.IBV_WC_REM_ACCESS_ERR),
    (wire.FAILED, e.IBV_WC_REM_OP_ERR)), ids=("request", "access", "operation"))
def test_nak_codes(pair, syndrome, status):
    """An error completes its own request; the ones before are done."""
    with Answers(pair) as line, counting(pair.a.link, rx_error_nak=1):
        for wr_id in range(3):
            line.a.post(SEND, 0, 4, wr_id=wr_id)
        line.injector.heard(2, 3)
        line.say(101, syndrome)
        assert line.a.statuses(3) == [(0, 0), (1, status), (2, e.IBV_WC_WR_FLUSH_ERR)]
        line.a.wait_state(e.IBV_QPS_ERR)


def test_changed_while_drained(pair):
    """In SQD: the way to the peer, how often and how long it is waited for, and how much
    may be asked of it at once."""
    with Answers(pair) as line:
        a, peer = line.a, line.b.identity()
        a.qp.modify(QPAttr(qp_state=e.IBV_QPS_SQD), e.IBV_QP_STATE)
        # It had no end of patience.
        attr = a.attributes(peer, timeout=10, retries=2, reads=1, traffic_class=0x48)
        a.qp.modify(attr, e.IBV_QP_AV | e.IBV_QP_TIMEOUT | e.IBV_QP_RETRY_CNT |
                    e.IBV_QP_MAX_QP_RD_ATOMIC)
        for wr_id in range(2):
            a.post(READ, 0, 8, peer, wr_id=wr_id)
        assert line.injector.heard(0.2) == []
        a.qp.modify(QPAttr(qp_state=e.IBV_QPS_RTS), e.IBV_QP_STATE)
        assert [(one.opcode, one.psn, one.traffic_class)
                for one in line.injector.heard(2, 3)] == [(wire.READ_REQUEST, 100, 0x48)] * 3
        assert a.statuses(2) == [(0, e.IBV_WC_RETRY_EXC_ERR), (1, e.IBV_WC_WR_FLUSH_ERR)]
        assert line.injector.heard(0.1) == []


def test_not_begun_while_drained(pair):
    """In SQD nothing is begun, and so nothing fails: what is too much now may be asked for
    later."""
    with Answers(pair, reads=0) as line:
        a, peer = line.a, line.b.identity()
        a.qp.modify(QPAttr(qp_state=e.IBV_QPS_SQD), e.IBV_QP_STATE)
        a.post(READ, 0, 8, peer)
        a.nothing()
        assert a.state() == e.IBV_QPS_SQD
        a.qp.modify(a.attributes(peer, reads=1), e.IBV_QP_MAX_QP_RD_ATOMIC)
        a.qp.modify(QPAttr(qp_state=e.IBV_QPS_RTS), e.IBV_QP_STATE)
        assert [one.opcode for one in line.injector.heard(2, 1)] == [wire.READ_REQUEST]
        line.say(100, opcode=wire.READ_ONLY, more=b"the word")
        assert a.statuses(1) == [(0, 0)]


def test_wrong_responses(pair):
    """Answers that do not fit the question."""
    for opcode, length in ((wire.READ_ONLY, 96), (wire.READ_ONLY, 104),
                           (wire.ATOMIC_ACK, 8), (wire.READ_ONLY, 0)):
        with Answers(pair) as line:
            a = line.a
            a.memory[0:SIZE] = b"\x11" * SIZE
            a.post(READ, 0, 100, line.b.identity())
            line.injector.heard(2, 1)
            line.say(100, opcode=opcode, more=b"\x22" * length)
            assert a.statuses(1) == [(0, e.IBV_WC_BAD_RESP_ERR)]
            assert same(a.memory[0:SIZE], b"\x11" * SIZE)


@pytest.mark.parametrize("opcode, more", (
    (wire.READ_ONLY, b""), (wire.READ_ONLY, b"word"), (wire.ATOMIC_ACK, b"the word")))
def test_answer_to_nothing(pair, opcode, more):
    """A SEND is acknowledged, and has no other answer."""
    with Answers(pair) as line:
        line.a.post(SEND, 0, 4)
        line.injector.heard(2, 1)
        line.say(100, opcode=opcode, more=more)
        assert line.a.statuses(1) == [(0, e.IBV_WC_BAD_RESP_ERR)]


@pytest.mark.parametrize("opcodes", (
    (wire.READ_LAST,), (wire.READ_ONLY,), (wire.READ_FIRST, wire.READ_LAST),
    (wire.READ_FIRST, wire.READ_MIDDLE, wire.READ_MIDDLE),
    (wire.READ_FIRST, wire.READ_MIDDLE, wire.READ_FIRST)))
def test_answers_in_disorder(pair, opcodes):
    """What says to be the last has to be, and what is has to say so."""
    with Answers(pair) as line:
        a, data = line.a, bytes(3 * MTU)
        a.post(READ, 0, len(data), line.b.identity())
        line.injector.heard(2, 1)
        for psn, opcode in enumerate(opcodes, 100):
            aeth = b"" if opcode == wire.READ_MIDDLE else struct.pack("!I", 0x1f000001)
            line.injector.send(wire.bth(opcode, a.qp.qp_num, psn) + aeth + bytes(MTU))
        assert a.statuses(1) == [(0, e.IBV_WC_BAD_RESP_ERR)]


def test_read_answered_by_hand(pair):
    """The right answer, in pieces, with one of them twice."""
    with Answers(pair) as line:
        a, data = line.a, random.Random(2).randbytes(2500)
        a.post(READ, 0, 2500, line.b.identity())
        line.injector.heard(2, 1)
        middle = wire.bth(wire.READ_MIDDLE, a.qp.qp_num, 101) + data[1024:2048]
        line.say(100, opcode=wire.READ_FIRST, more=data[:1024])
        line.injector.send(middle)
        line.injector.send(middle)
        line.say(100, opcode=wire.READ_FIRST, more=bytes(1024))
        line.say(102, opcode=wire.READ_LAST, more=data[2048:])
        assert a.statuses(1) == [(0, 0)]
        assert same(a.memory[0:2500], data)


def test_read_answered_from_the_middle(pair):
    """rdma_rxe of 6.1, asked again for what it has not begun to send, calls its first
    packet one of the middle. The packet's number says where its bytes belong."""
    with Answers(pair) as line:
        a, data = line.a, random.Random(4).randbytes(2500)
        a.post(READ, 0, 2500, line.b.identity())
        line.injector.heard(2, 1)
        for psn in (100, 101):
            at = (psn - 100) * MTU
            line.injector.send(wire.bth(wire.READ_MIDDLE, a.qp.qp_num, psn) +
                               data[at:at + MTU])
        line.say(102, opcode=wire.READ_LAST, more=data[2 * MTU:])
        assert a.statuses(1) == [(0, 0)]
        assert same(a.memory[0:2500], data)


def test_read_answered_again(pair):
    """Who has asked twice is answered twice; meanwhile the peer is not silent, whatever
    else it has been asked for."""
    with Answers(pair, timeout=16, retries=1) as line:
        a = line.a
        def ask():
            a.post(READ, 0, 8, line.b.identity())
            line.injector.heard(2, 1)
            a.nothing(0)
        def answered(psn, word):
            line.say(psn, opcode=wire.READ_ONLY, more=word)
            assert a.statuses(1) == [(0, 0)]
            assert same(a.memory[0:8], word)
        ask()
        answered(100, b"old word")
        ask()
        line.repeat(100, opcode=wire.READ_ONLY, more=b"old word")
        a.nothing(0)
        answered(101, b"the word")


@pytest.mark.slow
def test_read_answered_from_the_end(pair):
    """While what is behind a gap arrives the peer is not silent, however long it is at
    that: the requester, with one retry and half a second for each, goes on waiting."""
    with Answers(pair, timeout=16, retries=1) as line:
        a, data = line.a, random.Random(3).randbytes(2500)
        a.post(READ, 0, 2500, line.b.identity())
        line.injector.heard(2, 1)
        line.repeat(102, opcode=wire.READ_LAST, more=data[2048:])
        a.nothing(0)
        line.say(100, opcode=wire.READ_FIRST, more=data[:1024])
        line.injector.send(wire.bth(wire.READ_MIDDLE, a.qp.qp_num, 101) + data[1024:2048])
        line.say(102, opcode=wire.READ_LAST, more=data[2048:])
        assert a.statuses(1) == [(0, 0)]
        assert same(a.memory[0:2500], data)
