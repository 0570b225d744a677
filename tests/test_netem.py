# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A bad wire: what is lost, doubled, reordered or corrupted still arrives
whole, in order, and once.

        namespace A                       namespace B
        link a on va ------- veth ------- vb with link b
        netem on what va sends            netem on what vb sends
"""

import contextlib
import random

import pytest

from lab import wire
from lab.command import run
from lab.marks import slow
from lab.rc import counters
from lab.verbs import Connection, e

BAD_WIRE = ("delay", "200us", "loss", "1%", "duplicate", "1%",
            "reorder", "95%", "corrupt", "0.5%")
WINDOW = 32
SLOT = 16384
SIZE = WINDOW * SLOT + 4096
COUNTER = WINDOW * SLOT
LENGTHS = (0, 1, 3, 64, 1000, 1024, 1025, 4096, 9001, SLOT)

TWO_SIDED = {e.IBV_WR_SEND, e.IBV_WR_SEND_WITH_IMM, e.IBV_WR_RDMA_WRITE_WITH_IMM}
ONE_SIDED = {e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_READ, e.IBV_WR_ATOMIC_FETCH_AND_ADD}


class Message:
    """One request, and what both sides must hold after it."""

    def __init__(self, number, slot, dice, lengths):
        self.number, self.slot = number, slot
        self.opcode = dice.choice(sorted(TWO_SIDED | ONE_SIDED))
        self.length = dice.choice(lengths)
        self.data = dice.randbytes(self.length)
        self.atomic = self.opcode == e.IBV_WR_ATOMIC_FETCH_AND_ADD

    @property
    def range(self):
        return slice(self.slot * SLOT, self.slot * SLOT + self.length)

    def prepare(self, a, b):
        source = b if self.opcode == e.IBV_WR_RDMA_READ else a
        if not self.atomic:
            source.memory[self.range] = self.data
        if self.opcode in TWO_SIDED:
            b.post_receive(self.slot * SLOT, SLOT, wr_id=self.number)

    def post(self, a, peer):
        length = 8 if self.atomic else self.length
        offset = COUNTER + 8 if self.atomic else self.slot * SLOT
        target = COUNTER if self.atomic else self.slot * SLOT
        two_sided = self.opcode in (e.IBV_WR_SEND, e.IBV_WR_SEND_WITH_IMM)
        a.post(self.opcode, offset, length, None if two_sided else peer, target,
               wr_id=self.number, imm=self.number, compare_add=1)

    def check(self, a, b):
        sink = a if self.opcode == e.IBV_WR_RDMA_READ else b
        if not self.atomic:
            assert sink.memory[self.range] == self.data, f"message {self.number}"


def exchange(a, b, peer, messages):
    """Post a window of messages and check all of it."""
    for message in messages:
        message.prepare(a, b)
    for message in messages:
        message.post(a, peer)
    done = [completion.wr_id for completion in a.poll(len(messages), 60)]
    assert done == [message.number for message in messages]
    two_sided = [message for message in messages if message.opcode in TWO_SIDED]
    for message, completion in zip(two_sided, b.poll(len(two_sided), 60)):
        assert completion.wr_id == message.number
        assert completion.byte_len == message.length
        if message.opcode != e.IBV_WR_SEND:
            assert completion.imm_data == message.number
    for message in messages:
        message.check(a, b)


# What of a bad wire both links together must have met.
MET = ("drop_icrc", "rx_duplicate", "tx_seq_nak", "retry_nak")


def met(pair):
    both = [counters(end.link) for end in pair.ends]
    return {name: sum(one[name] for one in both) for name in MET}


@contextlib.contextmanager
def bad(pair, *rules):
    """The wire between the ends meanwhile."""
    pair.netem(*rules)
    try:
        yield
    finally:
        pair.no_netem()


def survive(pair, rules, total, lengths=LENGTHS):
    """So many messages of all kinds arrive whole, in order, and once."""
    dice = random.Random(2026)
    with Connection(pair, SIZE, depth=2 * WINDOW, timeout=12) as (a, b):
        peer, atomics = b.identity(), 0
        with bad(pair, *rules):
            for first in range(0, total, WINDOW):
                window = [Message(number, number - first, dice, lengths)
                          for number in range(first, min(first + WINDOW, total))]
                exchange(a, b, peer, window)
                atomics += sum(message.atomic for message in window)
        assert int.from_bytes(b.memory[COUNTER:COUNTER + 8], "little") == atomics


@pytest.mark.slow
def test_bad_wire(pair, debug_kernel):
    before = met(pair)
    survive(pair, BAD_WIRE, 1_000 if debug_kernel else 10_000)
    after = met(pair)
    assert all(after[name] > before[name] for name in MET), after


@contextlib.contextmanager
def losing(pair, percent):
    """Each end loses some of what arrives there, wherever it was cut."""
    nft = [end.command(["nft"]) for end in pair.ends]
    for words in nft:
        run(*words, "add table inet hole; add chain inet hole in { type filter hook input "
            "priority 0 ; }; add rule inet hole in udp dport 4791 "
            f"meta random < {percent * 2 ** 32 // 100} drop")
    try:
        yield
    finally:
        for words in nft:
            run(*words, "delete table inet hole")


@pytest.mark.parametrize("cut", (slow(False), True), ids=("batches", "packets"))
@pytest.mark.parametrize("opcode", (e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_READ),
                         ids=("write", "read"))
def test_only_what_is_lost(pair, opcode, cut):
    """Of what arrives nearly nothing is sent twice, whether packets are lost one by one or
    by the batch."""
    length, many, rounds = 65536, 4, 32
    packets = many * rounds * length // 1024
    sender = pair.b if opcode == e.IBV_WR_RDMA_READ else pair.a
    with wire.one_by_one(pair, cut), \
            Connection(pair, many * length, mtu=1024, timeout=12) as (a, b):
        source, sink = (b, a) if opcode == e.IBV_WR_RDMA_READ else (a, b)
        before = counters(sender.link)
        with losing(pair, 2):
            for number in range(rounds):
                data = random.Random(number).randbytes(many * length)
                source.memory[0:len(data)] = data
                for slot in range(0, len(data), length):
                    a.post(opcode, slot, length, b.identity(), slot)
                a.poll(many, 60)
                assert sink.memory[0:len(data)] == data, f"round {number}"
        after = counters(sender.link)
    sent = after["tx_packets"] - before["tx_packets"]
    assert packets <= sent < 1.15 * packets, (packets, sent)
