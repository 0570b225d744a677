# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What gets lost is sent again, and what has arrived behind it is not: it is kept.

        namespace A                       namespace B
        link a on va ------- veth ------- vb with link b
        this test speaks for a to b, or for b to a, packet by packet
"""

import random

import pytest

from lab import wire
from lab.byhand import MTU, Answers, Line
from lab.machine import KERNEL
from lab.rc import counting, e, same

SEND, READ = e.IBV_WR_SEND, e.IBV_WR_RDMA_READ
SIGNALED = e.IBV_SEND_SIGNALED
# The time-out is far away.
PATIENT = {"timeout": 20}

NEEDS_BATCHES = pytest.mark.skipif(KERNEL < (6, 2), reason="there no program sends a batch")


def acked(psn):
    return [(wire.ACK, psn, wire.ACCEPTED)]


def nakked(psn):
    return [(wire.ACK, psn, wire.EARLY)]


# --- requests ---------------------------------------------------------------


def test_kept_until_due(pair):
    """A gap is reported once. When it is closed, what came behind it is done at once, in
    order and once, whatever the order it came in, and how often."""
    with Line(pair) as line, counting(pair.b.link, tx_seq_nak=1, rx_early=3, rx_duplicate=0):
        assert line.ask(line.write(3, 102, b"three")) == nakked(0)
        for psn, data in ((1, b"one.."), (2, b"two.."), (1, b"one..")):
            assert line.ask(line.write(psn, 100 + psn - 1, data), seconds=0.2) == []
        assert same(line.b.memory[0:4096], line.before[:4096])
        assert line.ask(line.write(0, 99, b"zero.")) == acked(3)
        assert same(line.b.memory[99:107], b"zotthree")
        assert line.ask(line.write(4, 99, b"right")) == acked(4)


def test_next_gap_is_reported(pair):
    """Behind what had been kept one more is missing: the peer need not wait to hear that."""
    with Line(pair) as line, counting(pair.b.link, tx_seq_nak=2):
        assert line.ask(line.write(1, 0, b"one")) == nakked(0)
        for psn in (2, 5):
            assert line.ask(line.write(psn, 0, b"more"), seconds=0.2) == []
        assert line.ask(line.write(0, 0, b"zero")) == nakked(3)
        # Who sends all of it again, one by one, is not told so each time.
        assert line.ask(line.write(3, 0, b"three")) == acked(3)
        assert line.ask(line.write(4, 0, b"four")) == acked(5)


def test_next_gap_is_reported_again(pair):
    """A peer that goes through all of it again may not have looked at what it was told."""
    with Line(pair) as line, counting(pair.b.link, tx_seq_nak=3):
        assert line.ask(line.write(1, 0, b"one")) == nakked(0)
        assert line.ask(line.write(3, 0, b"three"), seconds=0.2) == []
        assert line.ask(line.write(0, 0, b"zero")) == nakked(2)
        assert line.ask(line.write(1, 0, b"one")) == acked(1)
        assert line.ask(line.write(3, 0, b"three")) == nakked(2)
        assert line.ask(line.write(2, 0, b"two")) == acked(3)


@NEEDS_BATCHES
def test_gap_is_closed_within_a_batch(pair):
    """What comes next in it is from behind what had been kept: no more is missing."""
    with Line(pair) as line, counting(pair.b.link, tx_seq_nak=1, rx_early=1):
        assert line.ask(line.write(1, 0, b"one.")) == nakked(0)
        line.injector.send_run([line.write(0, 0, b"zero"), line.write(2, 4, b"two.")])
        assert line.answers() == acked(2)
        assert same(line.b.memory[0:8], b"one.two.")


@pytest.mark.parametrize("ask", ("read", "atomic"))
def test_what_asks_is_not_kept(pair, ask):
    """A READ or an atomic that came early is asked for again: it finds what was written
    before it. What came behind that is kept."""
    with Line(pair) as line:
        early = line.read(1, 100, 5) if ask == "read" else line.atomic(wire.FAA, 1, 64, 5)
        old = int.from_bytes(line.before[64:72], "little")
        assert line.ask(early) == nakked(0)
        assert line.ask(line.write(2, 100, b"later"), seconds=0.2) == []
        assert line.ask(line.write(0, 100, b"right")) == acked(0)
        line.injector.send(early)
        answer, ack = line.injector.heard(2, 2)
        assert (answer.psn, ack.opcode, ack.psn) == (1, wire.ACK, 2)
        if ask == "read":
            assert answer.payload == b"right"
        else:
            assert same(line.b.memory[64:72], (old + 5).to_bytes(8, "little"))
        assert same(line.b.memory[100:105], b"later")


def test_behind_not_ready(pair):
    """Whoever has to wait sends again all that was behind: none of that is kept."""
    with Line(pair) as line:
        for psn in range(4):
            assert line.ask(line.header(wire.SEND_ONLY, psn)) == acked(psn)
        send = line.header(wire.SEND_ONLY, 4)
        answer, = line.ask(send)
        assert answer[1:] == (4, answer[2]) and answer[2] & 0x60 == 0x20
        for psn in (5, 6, 7):
            assert line.ask(line.write(psn, 0, b"early"), seconds=0.2) == []
        line.b.post_receive(0, 16)
        assert line.ask(send) == acked(4)
        assert line.ask(line.write(5, 100, b"right")) == acked(5)
        assert same(line.b.memory[0:5], line.before[:5])


def test_dropped_with_the_connection(pair):
    """What is kept when a queue pair is reset is nothing to its next connection."""
    with Line(pair) as line:
        assert line.ask(line.write(1, 0, b"early")) == nakked(0)
        line.b.reset()
        line.b.connect(line.a.identity(), mtu=MTU)
        assert line.ask(line.write(0, 100, b"right")) == acked(0)
        assert line.ask(line.write(1, 105, b"right")) == acked(1)
        assert same(line.b.memory[0:110], line.before[:100] + b"rightright")


def test_too_much_to_keep(pair):
    """There is an end to it: then what does not fit is sent again."""
    count = 3000
    with Line(pair) as line:
        for psn in range(1, count):
            line.injector.send(line.write(psn, 0, psn.to_bytes(4, "big") + bytes(MTU - 4)))
        assert [one.psn for one in line.injector.heard(0.5)] == [0]
        line.injector.send(line.write(0, 0, bytes(MTU)))
        last = line.injector.heard(0.5)[-1].psn
        assert 256 < last < count - 1
        assert same(line.b.memory[0:4], last.to_bytes(4, "big"))
        assert line.ask(line.write(last + 1, 0, b"next")) == acked(last + 1)


# --- answers ----------------------------------------------------------------


def test_sent_again(pair):
    """A gap, or a receiver that is not ready, has it sent again from there, one packet
    first."""
    with Answers(pair, **PATIENT) as line, counting(pair.a.link, rx_seq_nak=1, retry_nak=1,
                                         rx_rnr_nak=1, retry_rnr=1, rx_ack=2):
        for wr_id in range(3):
            line.a.post(SEND, 0, 4, wr_id=wr_id)
        line.injector.heard(2, 3)
        line.say(101, wire.EARLY)
        line.hears(101, 101)
        line.say(101)
        line.hears(102, 102)
        line.say(102, 0x20 | 10)
        line.hears(102, 102)
        line.say(102)
        assert line.a.statuses(3) == [(0, 0), (1, 0), (2, 0)]


def test_not_ready_twice(pair):
    """What was dropped behind one that was not ready is sent again also when that one
    is done before its second time to wait is over."""
    with Answers(pair, **PATIENT) as line, counting(pair.a.link, retry_rnr=2):
        for wr_id in range(3):
            line.a.post(SEND, 0, 4, wr_id=wr_id)
        line.injector.heard(2, 3)
        line.say(100, 0x20 | 10)
        line.hears(100, 100)
        # Half a second.
        line.say(100, 0x20 | 31)
        line.injector.heard(0.1)
        line.say(100)
        line.hears(101, 102)
        line.say(102)
        assert line.a.statuses(3) == [(0, 0), (1, 0), (2, 0)]


@pytest.mark.parametrize("each", (False, True), ids=("burst", "each"))
def test_more_and_more_of_it(pair, each):
    """To a peer that keeps nothing all is sent again, in ever longer pieces. The next
    one waits until all of the last one is acknowledged."""
    with Answers(pair, **PATIENT) as line:
        for wr_id in range(30):
            line.a.post(SEND, 0, 4, wr_id=wr_id, flags=SIGNALED * (wr_id == 29))
        line.injector.heard(2, 30)
        line.say(100, wire.EARLY)
        for first, last in ((100, 100), (101, 104), (105, 120), (121, 129)):
            line.hears(first, last)
            for psn in range(first, last) if each else ():
                line.say(psn)
            line.hears_no_more(last)
            line.say(last)
        assert line.a.statuses(1) == [(29, 0)]


def test_only_what_is_missing(pair):
    """A peer that keeps what came gets no more than it lacks."""
    with Answers(pair, **PATIENT) as line, counting(pair.a.link, retry_nak=2):
        for wr_id in range(30):
            line.a.post(SEND, 0, 4, wr_id=wr_id, flags=SIGNALED * (wr_id == 29))
        line.injector.heard(2, 30)
        for psn in (103, 120):
            line.say(psn, wire.EARLY)
            line.hears(psn, psn)
        line.say(129)
        assert line.a.statuses(1) == [(29, 0)]
        line.hears_no_more(120)


def test_lost_again(pair):
    """To a peer that has just answered it is sent anew after a moment, some times, and
    not only when all of its time is up."""
    with Answers(pair, timeout=20) as line, counting(pair.a.link, retry_lost_again=2):
        for wr_id in range(3):
            line.a.post(SEND, 0, 4, wr_id=wr_id)
        line.injector.heard(2, 3)
        line.say(100, wire.EARLY)
        assert [one.psn for one in line.injector.heard(1, 4)] == [100] * 3
        line.say(102)
        assert line.a.statuses(3) == [(0, 0), (1, 0), (2, 0)]


def test_late_answers(pair):
    """After a time-out one packet goes first. Who then tells of more than that, and again
    of more, is alive, and is not sent the rest twice."""
    with Answers(pair, timeout=17) as line:
        for wr_id in range(6):
            line.a.post(SEND, 0, 4, wr_id=wr_id)
        line.injector.heard(2, 6)
        assert [one.psn for one in line.injector.heard(5, 1)] == [100]
        line.say(102)
        assert [one.psn for one in line.injector.heard(0.9, 1)] == [103]
        line.say(104)
        assert line.injector.heard(0.1) == []
        line.say(105)
        assert line.a.statuses(6) == [(wr_id, 0) for wr_id in range(6)]


def test_last_one_lost(pair):
    """One time-out, of more than a second, is enough to find what is missing behind what
    has arrived."""
    with Answers(pair, timeout=17) as line:
        for wr_id in range(4):
            line.a.post(SEND, 0, 4, wr_id=wr_id)
        line.injector.heard(2, 4)
        assert [one.psn for one in line.injector.heard(5, 1)] == [100]
        for psn in (102, 103):
            line.say(psn - 1)
            assert [one.psn for one in line.injector.heard(0.9, 1)] == [psn]
        line.say(103)
        assert line.a.statuses(4) == [(wr_id, 0) for wr_id in range(4)]


def test_answer_missing(pair):
    """An acknowledgment of what is behind a READ says that the READ's answer got lost.
    When that is there it need not be said again."""
    with Answers(pair, **PATIENT) as line, counting(pair.a.link, retry_implied_nak=1, rx_ack=1):
        line.a.post(READ, 0, 8, line.b.identity())
        line.a.post(SEND, 0, 4, wr_id=1)
        line.injector.heard(2, 2)
        line.say(101)
        line.hears(100, 100)
        line.say(100, opcode=wire.READ_ONLY, more=b"the word")
        assert line.a.statuses(2) == [(0, 0), (1, 0)]
        assert same(line.a.memory[0:8], b"the word")
        line.hears_no_more(100)


def test_no_time_out(pair):
    """Who has no time-out could not send anew what is lost again: he sends all at once."""
    with Answers(pair) as line:
        for wr_id in range(3):
            line.a.post(SEND, 0, 4, wr_id=wr_id)
        line.injector.heard(2, 3)
        line.say(100, wire.EARLY)
        assert [one.psn for one in line.injector.heard(2, 3)] == [100, 101, 102]
        line.say(102)
        assert line.a.statuses(3) == [(0, 0), (1, 0), (2, 0)]


class Read:
    """A READ of some packets and a bit, and what it is answered with."""

    def __init__(self, line, packets):
        self.line = line
        self.data = random.Random(7).randbytes(packets * MTU - 24)
        line.a.post(READ, 0, len(self.data), line.b.identity())
        line.injector.heard(2, 1)

    def part(self, nth):
        return self.data[nth * MTU:(nth + 1) * MTU]

    def middle(self, nth):
        return wire.bth(MIDDLE, self.line.a.qp.qp_num, 100 + nth) + self.part(nth)

    def answer(self, nth, opcode):
        if opcode == MIDDLE:
            self.line.injector.send(self.middle(nth))
        else:
            self.line.say(100 + nth, opcode=opcode, more=self.part(nth))

    def asked_again(self, nth, packets):
        """For so many packets, from the nth on."""
        again = self.line.hears(100 + nth, 100 + nth)
        length = min(packets * MTU, len(self.data) - nth * MTU)
        assert again.opcode == wire.READ_REQUEST
        peer = self.line.b.identity()
        assert again.roce[12:28] == \
            (peer.address + nth * MTU).to_bytes(8, "big") + \
            peer.rkey.to_bytes(4, "big") + length.to_bytes(4, "big")

    def is_done(self):
        assert self.line.a.statuses(1) == [(0, 0)]
        assert same(self.line.a.memory[0:len(self.data)], self.data)
        self.line.injector.heard(0.02)
        assert self.line.injector.heard(0.1) == []


FIRST, MIDDLE, LAST, ONLY = (wire.READ_FIRST, wire.READ_MIDDLE, wire.READ_LAST,
                             wire.READ_ONLY)


def test_middle_of_a_read(pair):
    """Of a READ only what is missing is asked for again."""
    with Answers(pair, **PATIENT) as line, counting(pair.a.link, retry_implied_nak=1, rx_early=3):
        read = Read(line, 6)
        for nth, opcode in ((0, FIRST), (3, MIDDLE), (5, LAST), (4, MIDDLE)):
            read.answer(nth, opcode)
        read.asked_again(1, 2)
        for nth, opcode in ((1, FIRST), (2, LAST)):
            read.answer(nth, opcode)
        read.is_done()


def test_gaps_of_a_read(pair):
    """One after the other, without a word from the peer."""
    with Answers(pair, **PATIENT) as line, counting(pair.a.link, retry_implied_nak=1):
        read = Read(line, 8)
        for nth, opcode in ((2, MIDDLE), (4, MIDDLE), (7, LAST)):
            read.answer(nth, opcode)
        read.asked_again(0, 2)
        for nth, opcode in ((0, FIRST), (1, LAST)):
            read.answer(nth, opcode)
        read.asked_again(3, 1)
        read.answer(3, ONLY)
        read.asked_again(5, 2)
        read.answer(5, FIRST)
        read.answer(6, LAST)
        read.is_done()


@NEEDS_BATCHES
def test_gap_of_a_read_is_closed_within_a_batch(pair):
    """Late, before the peer has heard that it is asked for again; and what is next in the
    batch is from behind what had been kept."""
    with Answers(pair, **PATIENT) as line, counting(pair.a.link, retry_implied_nak=1):
        read = Read(line, 6)
        read.answer(0, FIRST)
        read.answer(2, MIDDLE)
        read.asked_again(1, 1)
        line.injector.send_run([read.middle(1), read.middle(3)])
        read.answer(4, MIDDLE)
        read.answer(5, LAST)
        read.is_done()


def test_end_is_missing_too(pair):
    """With the answer to what was asked for again all else is here, or lost."""
    with Answers(pair, **PATIENT) as line, counting(pair.a.link, retry_implied_nak=1):
        read = Read(line, 6)
        read.answer(1, MIDDLE)
        read.asked_again(0, 1)
        read.answer(0, ONLY)
        read.asked_again(2, 4)
        for nth, opcode in ((2, FIRST), (3, MIDDLE), (4, MIDDLE), (5, LAST)):
            read.answer(nth, opcode)
        read.is_done()


def test_end_of_a_read(pair):
    """What is missing at the end of one, and all of the next, when a third one's is here."""
    with Answers(pair, **PATIENT) as line:
        read = Read(line, 2)
        for wr_id in (1, 2):
            line.a.post(READ, 4096 * wr_id, 8, line.b.identity(), wr_id=wr_id)
            line.injector.heard(2, 1)
        read.answer(0, FIRST)
        line.say(103, opcode=ONLY, more=b"the last")
        read.asked_again(1, 2)
        read.answer(1, ONLY)
        assert line.hears(102, 102).opcode == wire.READ_REQUEST
        line.say(102, opcode=ONLY, more=b"the next")
        assert line.a.statuses(3) == [(0, 0), (1, 0), (2, 0)]
        for at, word in ((4096, b"the next"), (8192, b"the last")):
            assert same(line.a.memory[at:at + 8], word)
        assert same(line.a.memory[0:len(read.data)], read.data)


def test_read_behind_a_read(pair):
    """No peer keeps a READ: when the first of two did not arrive, both are asked for again."""
    with Answers(pair, **PATIENT) as line, counting(pair.a.link, retry_nak=1):
        read = Read(line, 2)
        line.a.post(READ, 4096, 8, line.b.identity(), wr_id=1)
        line.injector.heard(2, 1)
        line.say(100, wire.EARLY)
        read.asked_again(0, 2)
        read.answer(0, FIRST)
        read.answer(1, LAST)
        assert line.hears(102, 102).opcode == wire.READ_REQUEST
        line.say(102, opcode=ONLY, more=b"the next")
        assert line.a.statuses(2) == [(0, 0), (1, 0)]
        assert same(line.a.memory[4096:4104], b"the next")
        assert same(line.a.memory[0:len(read.data)], read.data)


@pytest.mark.parametrize("nth", (1, 2))
def test_ends_too_early(pair, nth):
    """Only in front of what is here already may an answer say that it is the last."""
    with Answers(pair, **PATIENT) as line:
        read = Read(line, 6)
        read.answer(0, FIRST)
        read.answer(4, MIDDLE)
        read.asked_again(1, 3)
        for before in range(1, nth):
            read.answer(before, MIDDLE)
        read.answer(nth, LAST)
        assert line.a.statuses(1) == [(0, e.IBV_WC_BAD_RESP_ERR)]
