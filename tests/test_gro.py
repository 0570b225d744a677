# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What the stack merges on its way from the NIC (GRO): the packets of a flow that have UDP
checksums and come one after the other.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b, which merges
        packets made by hand, in bursts

        namespace virtio                  the first namespace
        10.4.0.1                          10.4.0.2
        link a on a NIC ---- cable ------ link b on a NIC
"""

import contextlib

import pytest

from lab import kinds, perftest, wire
from lab.byhand import MTU, SIZE, Line
from lab.marks import slow
from lab.rc import counters, counting, gains, same

pytestmark = pytest.mark.urxe_only("how its own packets are merged")

PACKETS = 16
# A packet's number to its identification, and what has come of all of them: a first one is
# longer than the others, and takes no more than one along.
NUMBERED = {"counted": (lambda number: number, 2), "alike": (lambda number: 7, 2),
            "gaps": (lambda number: number * 64, PACKETS)}


@contextlib.contextmanager
def in_bursts(pair):
    """What a sends within so long comes to b at once, and b merges it: which a veth does not
    for a sender that could have sent it in one piece."""
    pair.a.offload("tso", "off")
    pair.b.offload("gro", "on")
    pair.a.netem("slot", "50ms", "50ms")
    try:
        yield
    finally:
        pair.a.no_netem()
        pair.b.offload("gro", "off")
        pair.a.offload("tso", "on")


def long_write(line, data):
    """Its packets."""
    opcodes = [wire.WRITE_FIRST, *[wire.WRITE_MIDDLE] * (PACKETS - 2), wire.WRITE_LAST]
    for psn, opcode in enumerate(opcodes):
        last = opcode == wire.WRITE_LAST
        head = line.header(opcode, psn, ack=last)
        if opcode == wire.WRITE_FIRST:
            head += line.reth(0, len(data))
        yield head + data[psn * MTU:(psn + 1) * MTU]


def answer_of(line):
    """But for what has come early, which is told, and kept."""
    while True:
        answer, = line.answers()
        if answer[2] != wire.EARLY:
            return answer


def arrive(pair, checked, ident):
    """The packets of a long WRITE, with a checksum where checked() says so of a number:
    all are for b."""
    data = bytes(range(1, 256)) * (PACKETS * MTU // 255 + 1)
    data = data[:PACKETS * MTU]
    with Line(pair) as line, in_bursts(pair):
        for number, roce in enumerate(long_write(line, data)):
            line.injector.send(roce, checked=checked(number), ident=ident(number))
        assert answer_of(line) == (wire.ACK, PACKETS - 1, wire.ACCEPTED)
        assert same(line.b.memory[0:SIZE], data + line.before[len(data):])


@pytest.mark.parametrize("numbered", ("counted", slow("alike"), "gaps"))
def test_merged(pair, numbered):
    """Each packet has its own ICRC, of its own IP header, of which the first one's is all
    that is left; so those whose identifications tell nothing of each other's must not be
    merged."""
    ident, batches = NUMBERED[numbered]
    with counting(pair.b.link, rx_packets=PACKETS, rx_batches=batches, drop_icrc=0,
                  rx_early=0):
        arrive(pair, lambda number: True, ident)


@pytest.mark.slow
def test_without_checksums(pair):
    """These are not merged, and come in order."""
    with counting(pair.b.link, rx_packets=PACKETS, rx_batches=PACKETS, drop_icrc=0,
                  rx_early=0):
        arrive(pair, lambda number: False, NUMBERED["counted"][0])


@pytest.mark.slow
def test_some_without_checksum(pair):
    """Those overtake the others, which wait to be merged. It does no harm."""
    before = counters(pair.b.link)
    with counting(pair.b.link, rx_packets=PACKETS, drop_icrc=0):
        arrive(pair, lambda number: number % 4, NUMBERED["counted"][0])
    assert counters(pair.b.link)["rx_early"] > before["rx_early"]


@pytest.fixture(scope="module")
def nics(link_type):
    """Two NICs with queues that drop nothing."""
    with kinds.joined("virtio", link_type) as ends:
        for end in ends:
            end.qdisc("pfifo", "limit", str(kinds.LONG_QUEUE))
        yield ends
        for end in ends:
            end.no_netem()


@pytest.mark.parametrize("tool", (slow("ib_write_bw"), "ib_read_bw", slow("ib_send_bw")))
def test_in_order(nics, tool):
    """A link's own packets are merged, and none of them overtakes others. The sender is
    patient, as the machine may not be fast."""
    with gains(nics) as gained:
        perftest.run(nics, tool, "-s", 65536, "-m", 1024, "-n", 200, "-u", 20)
    for counted in gained:
        assert not {name: count for name, count in counted.items() if count and
                    (name.startswith(("drop_", "retry_")) or name == "rx_early")}
        if counted["rx_packets"] > 10000:
            assert counted["rx_batches"] * 4 < counted["rx_packets"]
