# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Queue pairs whose peer is the test: it makes their packets by hand, and reads those
that they send."""

import struct
import time

from lab import wire
from lab.rc import Two, e, same

SIZE = 65536
MTU = 1024


class ByHand:
    """Two queue pairs, and what speaks by hand for the one to the other."""

    def __init__(self, two, injector):
        self.two, self.injector = two, injector
        self.a, self.b = two.nodes

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.injector.close()
        self.two.__exit__()


class Line(ByHand):
    """A queue pair b whose peer is this test: packets go in by send(), b's answers
    come out of heard(). The real peer's queue pair stands by and ignores them."""

    def __init__(self, pair, **options):
        super().__init__(Two(pair, size=SIZE, mtu=MTU, **options),
                         wire.Injector(pair.a, pair.b))
        self.b.memory[0:SIZE] = bytes(range(256)) * (SIZE // 256)
        self.before = self.b.memory[0:SIZE]
        for wr_id in range(4):
            self.b.post_receive(SIZE // 2 + wr_id * 4096, 4096, wr_id=wr_id)

    def header(self, opcode, psn, **options):
        return wire.bth(opcode, self.b.qp.qp_num, psn, **options)

    def reth(self, offset, length, rkey=None):
        rkey = self.b.mr.rkey if rkey is None else rkey
        return struct.pack("!QII", self.b.memory.address + offset, rkey, length)

    def write(self, psn, offset, data, **options):
        return self.header(wire.WRITE_ONLY, psn, pad=-len(data) % 4, **options) + \
            self.reth(offset, len(data)) + data + bytes(-len(data) % 4)

    def atomic(self, opcode, psn, offset, swap, compare=0):
        return self.header(opcode, psn) + struct.pack(
            "!QIQQ", self.b.memory.address + offset, self.b.mr.rkey, swap, compare)

    def read(self, psn, offset, length):
        return self.header(wire.READ_REQUEST, psn) + self.reth(offset, length)

    def ask(self, roce, seconds=2, answers=1, **options):
        """What the answers say: (opcode, PSN, syndrome)."""
        self.injector.heard(0.02)
        self.injector.send(roce, **options)
        return self.answers(seconds, answers)

    def answers(self, seconds=2, answers=1):
        """What they say, as ask() has it."""
        return [(packet.opcode, packet.psn, packet.roce[12])
                for packet in self.injector.heard(seconds, answers)]

    def found(self, roce, psn):
        """What was in memory before this atomic, as the one answer to it says."""
        self.injector.heard(0.02)
        self.injector.send(roce)
        answer, = self.injector.heard(2, 1)
        assert (answer.opcode, answer.psn) == (wire.ATOMIC_ACK, psn)
        return int.from_bytes(answer.roce[16:24], "big")

    def works(self, psn):
        """b does what it is asked to next, and all before left no trace."""
        assert self.ask(self.write(psn, 100, b"right")) == [(wire.ACK, psn, wire.ACCEPTED)]
        assert same(self.b.memory[0:SIZE], self.before[:100] + b"right" + self.before[105:])
        self.b.nothing(0)
        assert self.b.state() == e.IBV_QPS_RTS


class Answers(ByHand):
    """A queue pair a that waits for answers, which this test gives in b's name."""

    def __init__(self, pair, **attributes):
        super().__init__(Two(pair, connect=False, size=SIZE, mtu=MTU),
                         wire.Injector(pair.b, pair.a))
        self.a.connect(self.b.identity(), psn=100, mtu=MTU,
                       **{"timeout": 0, **attributes})

    def hears(self, first, last):
        """All of these packets from a, and none behind them. Those that it was to have
        answered before may come once more: a does not wait for long."""
        missing, end = set(range(first, last + 1)), time.monotonic() + 2
        while missing and time.monotonic() < end:
            for packet in self.injector.heard(0.1, 1):
                assert packet.psn <= last
                missing.discard(packet.psn)
        assert not missing
        return packet

    def hears_no_more(self, last):
        """Nothing from a but what it may send once more."""
        assert all(packet.psn <= last for packet in self.injector.heard(0.1))

    def say(self, psn, syndrome=wire.ACCEPTED, opcode=wire.ACK, more=b"", **options):
        roce = wire.bth(opcode, self.a.qp.qp_num, psn, pad=-len(more) % 4) + \
            struct.pack("!I", syndrome << 24 | 1) + more + bytes(-len(more) % 4)
        self.injector.send(roce, **options)

    def repeat(self, psn, seconds=2, **options):
        """say() the same for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.say(psn, **options)
            time.sleep(0.02)
