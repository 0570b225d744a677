# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Each way a request can fail: the status on either side, the states of the queue
pairs afterwards, the asynchronous event, and that nothing else was touched.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b
"""

import ctypes
import random
import time

import pytest
from pyverbs.mr import MR

from lab import net, resources
from lab.rc import Node, Two, counters, counting, e, same
from lab.verbs import ACCESS
from lab.victim import Victim

LOCAL = e.IBV_ACCESS_LOCAL_WRITE
SIZE = 65536
FLUSHED = e.IBV_WC_WR_FLUSH_ERR

WRITE, READ = e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_READ
SEND, SEND_IMM, WRITE_IMM = (e.IBV_WR_SEND, e.IBV_WR_SEND_WITH_IMM,
                             e.IBV_WR_RDMA_WRITE_WITH_IMM)
CAS, FAA = e.IBV_WR_ATOMIC_CMP_AND_SWP, e.IBV_WR_ATOMIC_FETCH_AND_ADD
ONE_SIDED = (WRITE, WRITE_IMM, READ, CAS, FAA)
NAMES = {WRITE: "write", READ: "read", SEND: "send", SEND_IMM: "send_imm",
         WRITE_IMM: "write_imm", CAS: "cas", FAA: "faa"}
RIGHT = {WRITE: e.IBV_ACCESS_REMOTE_WRITE, WRITE_IMM: e.IBV_ACCESS_REMOTE_WRITE,
         READ: e.IBV_ACCESS_REMOTE_READ, CAS: e.IBV_ACCESS_REMOTE_ATOMIC,
         FAA: e.IBV_ACCESS_REMOTE_ATOMIC}

each_operation = pytest.mark.parametrize("opcode", ONE_SIDED,
                                         ids=[NAMES[one] for one in ONE_SIDED])


PAIR_MTU = net.WIDE


def fill(*nodes):
    """Known bytes everywhere; returns a function that says they still stand."""
    dice = random.Random(1)
    before = []
    for node in nodes:
        node.memory[0:SIZE] = dice.randbytes(SIZE)
        before.append(node.memory[0:SIZE])
    def untouched():
        for node, bytes_before in zip(nodes, before):
            assert same(node.memory[0:SIZE], bytes_before)
    return untouched


def post(node, opcode, peer, offset=0, wr_id=1, length=None):
    """The operation with all of its local side right."""
    atomic = opcode in (CAS, FAA)
    length = (8 if atomic else 3000) if length is None else length
    node.post(opcode, 0, length, peer, offset, wr_id=wr_id, compare_add=1, swap=2)


def dies(a, b, status, event, receives=()):
    """The request numbered 1 fails with status and the next is flushed; both queue
    pairs are in error; b gets the event; b's receive requests end like this. What
    is posted now is flushed behind all that, and there is nothing else."""
    assert a.statuses(2) == [(1, status), (2, FLUSHED)]
    a.wait_state(e.IBV_QPS_ERR)
    b.wait_state(e.IBV_QPS_ERR)
    if event is not None:
        assert b.event() == event
    if receives:
        assert b.receive_statuses(len(receives)) == list(receives)
    a.post(SEND, 0, 8, wr_id=3)
    assert a.statuses() == [(3, FLUSHED)]
    b.post_receive(0, 8, wr_id=9)
    assert b.receive_statuses() == [(9, FLUSHED)]
    for node in (a, b):
        node.nothing(0)
        assert node.event(0) is None


# --- the responder refuses -------------------------------------------------


def test_unharmed_by_a_failure_elsewhere(pair):
    """While one pair of the links fails, another carries on."""
    with Two(pair, size=SIZE) as (a, b), Two(pair, size=SIZE) as (c, d):
        fill(c, d)
        peer = d.identity()
        for turn in range(10):
            c.post(WRITE, 0, 5000, peer, turn)
            if turn == 5:
                post(a, WRITE, b.identity()._replace(rkey=0))
                post(a, SEND, None, wr_id=2)
            c.poll()
            assert same(d.memory[turn:turn + 5000], c.memory[0:5000])
        dies(a, b, e.IBV_WC_REM_ACCESS_ERR, e.IBV_EVENT_QP_ACCESS_ERR)


@each_operation
def test_wrong_key(pair, opcode):
    for change in (lambda key: 0, lambda key: key ^ 1, lambda key: key + 256,
                   lambda key: 0xffffffff):
        with Two(pair, size=SIZE) as (a, b):
            untouched = fill(a, b)
            peer = b.identity()
            post(a, opcode, peer._replace(rkey=change(peer.rkey)))
            post(a, SEND, None, wr_id=2)
            dies(a, b, e.IBV_WC_REM_ACCESS_ERR, e.IBV_EVENT_QP_ACCESS_ERR)
            untouched()


@each_operation
def test_out_of_range(pair, opcode):
    """One byte (of an atomic, one word) too far, on either end, and far away."""
    length = 8 if opcode in (CAS, FAA) else 3000
    step = 8 if opcode in (CAS, FAA) else 1
    for offset in (-step, SIZE - length + step, SIZE, -(1 << 40), 1 << 62):
        with Two(pair, size=SIZE) as (a, b):
            untouched = fill(a, b)
            post(a, opcode, b.identity(), offset)
            post(a, SEND, None, wr_id=2)
            dies(a, b, e.IBV_WC_REM_ACCESS_ERR, e.IBV_EVENT_QP_ACCESS_ERR)
            untouched()


@each_operation
def test_region_forbids(pair, opcode):
    allowed = (LOCAL | ACCESS) & ~RIGHT[opcode]
    with Two(pair, size=SIZE, b={"access": allowed}) as (a, b):
        untouched = fill(a, b)
        post(a, opcode, b.identity())
        post(a, SEND, None, wr_id=2)
        dies(a, b, e.IBV_WC_REM_ACCESS_ERR, e.IBV_EVENT_QP_ACCESS_ERR)
        untouched()


@each_operation
def test_queue_pair_forbids(pair, opcode):
    """What the queue pair is not set up for is an invalid request."""
    with Two(pair, size=SIZE, b={"qp_access": ACCESS & ~RIGHT[opcode]}) as (a, b):
        untouched = fill(a, b)
        post(a, opcode, b.identity())
        post(a, SEND, None, wr_id=2)
        dies(a, b, e.IBV_WC_REM_INV_REQ_ERR, e.IBV_EVENT_QP_REQ_ERR)
        untouched()


@each_operation
def test_other_domain(pair, opcode):
    """A key of another protection domain is as good as none."""
    with Two(pair, size=SIZE) as (a, b), Two(pair, size=SIZE) as (_, d):
        untouched = fill(a, d)
        post(a, opcode, d.identity())
        post(a, SEND, None, wr_id=2)
        dies(a, b, e.IBV_WC_REM_ACCESS_ERR, e.IBV_EVENT_QP_ACCESS_ERR)
        untouched()


@each_operation
def test_deregistered_key(pair, opcode):
    with Two(pair, size=SIZE) as (a, b):
        untouched = fill(a, b)
        peer = b.identity()
        b.mr.close()
        b.mr = MR(b.pd, 4096, ACCESS, address=b.memory.address)
        assert b.mr.rkey != peer.rkey
        post(a, opcode, peer)
        post(a, SEND, None, wr_id=2)
        dies(a, b, e.IBV_WC_REM_ACCESS_ERR, e.IBV_EVENT_QP_ACCESS_ERR)
        untouched()


@each_operation
def test_unmapped_target(pair, opcode):
    """The region stands, its memory is gone."""
    with Two(pair, size=SIZE) as (a, b):
        peer = b.identity()
        unmap(b.memory.address + 4096, 4096)
        post(a, opcode, peer, 4096)
        post(a, SEND, None, wr_id=2)
        dies(a, b, e.IBV_WC_REM_ACCESS_ERR, e.IBV_EVENT_QP_ACCESS_ERR)


def test_read_dies_on_the_way(pair):
    """The second half of what is READ is not there."""
    with Two(pair, size=SIZE, mtu=1024) as (a, b):
        unmap(b.memory.address + 32768, 32768)
        a.post(READ, 0, SIZE, b.identity(), 0, wr_id=1)
        post(a, SEND, None, wr_id=2)
        dies(a, b, e.IBV_WC_REM_ACCESS_ERR, e.IBV_EVENT_QP_ACCESS_ERR)


def unmap(address, length):
    libc = ctypes.CDLL(None, use_errno=True)
    assert not libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(length))


@pytest.mark.parametrize("opcode", (SEND, SEND_IMM), ids=("send", "send_imm"))
@pytest.mark.parametrize("room,length", ((0, 1), (100, 101), (1024, 1025), (2047, 9000)))
def test_receive_buffer_too_short(pair, opcode, room, length):
    with Two(pair, size=SIZE, mtu=1024) as (a, b):
        fill(a, b)
        behind = b.memory[room:SIZE]
        b.post_receive(0, room, wr_id=7)
        b.post_receive(0, room, wr_id=8)
        post(a, opcode, None, length=length)
        post(a, SEND, None, wr_id=2)
        dies(a, b, e.IBV_WC_REM_INV_REQ_ERR, None,
             [(7, e.IBV_WC_LOC_LEN_ERR), (8, FLUSHED)])
        assert same(b.memory[room:SIZE], behind)


@pytest.mark.parametrize("how", ("key", "rights", "range", "gone", "domain"))
def test_receive_buffer_unusable(pair, how):
    """The receiver's own fault: it sees a protection error, the sender that the
    other side could not do it."""
    with Two(pair, size=SIZE, b={"access": 0 if how == "rights" else ACCESS}) as (a, b), \
         Two(pair, size=SIZE) as (_, d):
        key, address = b.mr.lkey, b.memory.address
        if how == "key":
            key ^= 1
        elif how == "range":
            address += SIZE - 100
        elif how == "gone":
            unmap(address, 8192)
        elif how == "domain":
            key, address = d.mr.lkey, d.memory.address
        post_receive_raw(b, address, 4096, key, 7)
        b.post_receive(8192, 100, wr_id=8)
        post(a, SEND, None)
        post(a, SEND, None, wr_id=2)
        dies(a, b, e.IBV_WC_REM_OP_ERR, None,
             [(7, e.IBV_WC_LOC_PROT_ERR), (8, FLUSHED)])


def post_receive_raw(node, address, length, key, wr_id):
    from pyverbs.wr import SGE, RecvWR
    node.qp.post_recv(RecvWR(wr_id=wr_id, num_sge=1, sg=[SGE(address, length, key)]))


def test_send_with_invalidate(pair):
    """A key that can't be invalidated remotely: an ordinary region's, or none."""
    for pick in (lambda b: b.mr.rkey, lambda b: 0x12345600):
        with Two(pair, size=SIZE) as (a, b):
            b.post_receive(0, 4096, wr_id=7)
            a.post(e.IBV_WR_SEND_WITH_INV, 0, 100, wr_id=1, imm=pick(b))
            post(a, SEND, None, wr_id=2)
            assert a.statuses(2) == [(1, e.IBV_WC_REM_ACCESS_ERR), (2, FLUSHED)]
            (wr_id, status), = b.receive_statuses()
            assert wr_id == 7 and status != e.IBV_WC_SUCCESS
            a.wait_state(e.IBV_QPS_ERR)
            b.wait_state(e.IBV_QPS_ERR)


# --- the requester's own fault ---------------------------------------------


def test_local_protection(pair):
    """A wrong key, range, right or mapping in a gather or scatter list: the request
    fails here, and what went before it is done."""
    def wrong_key(a):
        return a.memory.address, 3000, a.mr.lkey ^ 1
    def wrong_range(a):
        return a.memory.address + SIZE - 2999, 3000, a.mr.lkey
    def unmapped(a):
        unmap(a.memory.address + 8192, 4096)
        return a.memory.address + 8192, 3000, a.mr.lkey
    def deregistered(a):
        key = a.mr.lkey
        a.mr.close()
        a.mr = MR(a.pd, 4096, ACCESS, address=a.memory.address)
        return a.memory.address, 3000, key
    for spoil in (wrong_key, wrong_range, unmapped, deregistered):
        for opcode in (WRITE, SEND, READ):
            with Two(pair, size=SIZE, mtu=1024) as (a, b):
                peer = b.identity()
                b.post_receive(0, 8192, wr_id=7)
                a.post(WRITE, 0, 5000, peer, 0, wr_id=0)
                a.poll()
                sge = spoil(a)
                a.post_raw(opcode, [sge], None if opcode == SEND else
                           (peer.rkey, peer.address), wr_id=1)
                a.post_raw(SEND, [sge], wr_id=2)
                assert a.statuses(2) == [(1, e.IBV_WC_LOC_PROT_ERR), (2, FLUSHED)], \
                    (spoil, opcode)
                a.wait_state(e.IBV_QPS_ERR)
                assert b.state() == e.IBV_QPS_RTS


def test_earlier_requests_are_done_first(pair):
    """A request that can't be sent does not overtake what was posted before it."""
    with Two(pair, size=SIZE, mtu=1024) as (a, b):
        fill(a, b)
        peer = b.identity()
        for wr_id in range(10):
            a.post(READ if wr_id % 2 else WRITE, 3000 * wr_id, 3000, peer, 3000 * wr_id,
                   wr_id=wr_id)
        a.post_raw(WRITE, [(a.memory.address, 8, 0)], (peer.rkey, peer.address), wr_id=10)
        a.post(SEND, 0, 8, wr_id=11)
        assert a.statuses(12) == [*((wr_id, 0) for wr_id in range(10)),
                                  (10, e.IBV_WC_LOC_PROT_ERR), (11, FLUSHED)]


def test_read_only_here(pair):
    """READ and atomics write locally: a region that may not be written."""
    for opcode in (READ, FAA, CAS):
        with Two(pair, size=SIZE, a={"access": 0}) as (a, b):
            fill(a, b)
            before = a.memory[0:SIZE]
            post(a, opcode, b.identity())
            post(a, SEND, None, wr_id=2)
            assert a.statuses(2) == [(1, e.IBV_WC_LOC_PROT_ERR), (2, FLUSHED)]
            assert same(a.memory[0:SIZE], before)


def test_atomic_of_another_length(pair):
    with Two(pair, size=SIZE) as (a, b):
        untouched = fill(a, b)
        a.post(FAA, 0, 16, b.identity(), wr_id=1)
        post(a, SEND, None, wr_id=2)
        assert a.statuses(2) == [(1, e.IBV_WC_LOC_LEN_ERR), (2, FLUSHED)]
        untouched()


def test_operation_not_allowed(pair):
    """READ where none may be outstanding."""
    with Two(pair, size=SIZE, a={"reads": 0}) as (a, b):
        post(a, READ, b.identity())
        post(a, SEND, None, wr_id=2)
        assert a.statuses(2) == [(1, e.IBV_WC_LOC_QP_OP_ERR), (2, FLUSHED)]


@pytest.mark.parametrize("opcode", (READ, CAS, FAA), ids=("read", "compare", "fetch_and_add"))
def test_inline_answer(pair, opcode):
    """An answer needs memory to go to; nothing is done without."""
    with Two(pair, size=SIZE) as (a, b):
        untouched = fill(b)
        a.post(opcode, 0, 8, b.identity(), compare_add=1, swap=2,
               flags=e.IBV_SEND_SIGNALED | e.IBV_SEND_INLINE)
        assert a.statuses() == [(0, e.IBV_WC_LOC_QP_OP_ERR)]
        untouched()


# --- receiver not ready ----------------------------------------------------


@pytest.mark.parametrize("opcode", (SEND, WRITE_IMM), ids=("send", "write_imm"))
@pytest.mark.parametrize("retries", (0, 1, 3, 6))
def test_rnr_exceeded(pair, retries, opcode):
    """As many tries as allowed, then the end; on this side only. (No time-out makes
    another one.)"""
    with Two(pair, size=SIZE, timeout=0, rnr_retries=retries, rnr_timer=14) as (a, b):
        peer = None if opcode == SEND else b.identity()
        with counting(a.end.link, rnr_retry_exceeded=1), \
             counting(b.end.link, tx_rnr_nak=retries + 1):
            post(a, opcode, peer)
            post(a, SEND, None, wr_id=2)
            assert a.statuses(2) == [(1, e.IBV_WC_RNR_RETRY_EXC_ERR), (2, FLUSHED)]
        assert b.state() == e.IBV_QPS_RTS


@pytest.mark.parametrize("opcode", (SEND, WRITE_IMM), ids=("send", "write_imm"))
def test_rnr_for_ever(pair, opcode):
    """With seven retries the sender waits until there is a receive request, and
    the time the receiver asked for is kept to."""
    with Two(pair, size=SIZE, rnr_retries=7, rnr_timer=20) as (a, b):
        fill(a, b)
        before = counters(b.end.link)["tx_rnr_nak"]
        def sent():
            return counters(b.end.link)["tx_rnr_nak"] - before
        start = time.monotonic()
        post(a, opcode, None if opcode == SEND else b.identity(), length=5000)
        net.wait_for(lambda: sent() > 7, 20, "more than seven retries")
        # Timer code 20 stands for 10.24 ms.
        assert sent() <= (time.monotonic() - start) / 0.01024 + 1
        b.post_receive(0, 8192, wr_id=7)
        a.poll()
        done, = b.poll_receive()
        assert (done.wr_id, done.byte_len) == (7, 5000)
        assert same(b.memory[0:5000], a.memory[0:5000])


@pytest.mark.parametrize("opcode", (READ, FAA), ids=("read", "fetch_and_add"))
def test_rnr_drops_what_is_behind(pair, opcode):
    """What was on the wire behind the refused message is asked for again with it, not when
    a time-out says so: there is none."""
    with Two(pair, size=SIZE, timeout=0, rnr_retries=7, rnr_timer=14) as (a, b):
        fill(a, b)
        peer = b.identity()
        behind = a.request(opcode, 0, 8, peer, wr_id=2, compare_add=1)
        before = counters(b.end.link)["tx_rnr_nak"]
        a.post(SEND, 64, 8, wr_id=1, then=behind)
        net.wait_for(lambda: counters(b.end.link)["tx_rnr_nak"] > before, 5,
                     "receiver not ready")
        b.post_receive(64, 8)
        assert a.statuses(2) == [(1, 0), (2, 0)]
        b.poll_receive()


# --- nobody answers --------------------------------------------------------


@pytest.mark.parametrize("opcode", (SEND, WRITE, READ, FAA),
                         ids=("send", "write", "read", "faa"))
def test_peer_gone(pair, opcode):
    """The peer's queue pair is destroyed: the retries are made, at the pace that
    the time-out sets, and then it's over."""
    for retries in (0, 2):
        with Two(pair, size=SIZE, timeout=14, retries=retries) as (a, b):
            peer = b.identity()
            b.qp.close()
            before = counters(a.end.link)
            start = time.monotonic()
            post(a, opcode, peer)
            post(a, SEND, None, wr_id=2)
            assert a.statuses(2) == [(1, e.IBV_WC_RETRY_EXC_ERR), (2, FLUSHED)]
            # 4.096 us * 2^14 is 67 ms.
            assert time.monotonic() - start > 0.067 * (retries + 1) - 0.01
            after = counters(a.end.link)
            assert after["retry_exceeded"] - before["retry_exceeded"] == 1
            assert after["retry_timeout"] - before["retry_timeout"] == retries + 1


class Transfer:
    """Requests of 1 MiB, one behind the other, some of them posted at any time until one
    fails. So whatever is to end it does not come too late."""

    AHEAD = 16

    def __init__(self, node, opcode, peer):
        self.node, self.opcode, self.peer = node, opcode, peer
        self.posted = self.done = 0

    def fill(self):
        while self.posted < self.done + self.AHEAD:
            post(self.node, self.opcode, self.peer, wr_id=self.posted, length=1 << 20)
            self.posted += 1

    def next(self):
        """The status of the next one; the queue is full again if that is good."""
        (wr_id, status), = self.node.statuses(seconds=60)
        assert wr_id == self.done
        self.done += 1
        if not status:
            self.fill()
        return status

    def begin(self):
        self.fill()
        assert self.next() == 0

    def ends(self, *statuses):
        """One fails, with one of these; those behind it are flushed."""
        end = time.monotonic() + 60
        while not (status := self.next()):
            assert time.monotonic() < end, "the transfer goes on"
        assert status in statuses
        flushed = range(self.done, self.posted)
        assert self.node.statuses(len(flushed)) == [(wr_id, FLUSHED) for wr_id in flushed]


def test_peer_destroyed_while_busy(pair):
    """In the middle of a long transfer, each way."""
    for opcode in (WRITE, READ):
        with Two(pair, size=1 << 20, timeout=14, retries=2) as (a, b):
            transfer = Transfer(a, opcode, b.identity())
            transfer.begin()
            b.qp.close()
            transfer.ends(e.IBV_WC_RETRY_EXC_ERR)


def test_region_withdrawn_while_busy(pair):
    """Deregistering waits for nobody, and nothing is written afterwards."""
    with Two(pair, size=1 << 20, mtu=1024) as (a, b):
        a.memory[0:1 << 20] = b"\xaa" * (1 << 20)
        transfer = Transfer(a, WRITE, b.identity())
        transfer.begin()
        b.mr.close()
        b.memory[0:1 << 20] = bytes(1 << 20)
        b.mr = MR(b.pd, 4096, ACCESS, address=b.memory.address)
        transfer.ends(e.IBV_WC_REM_ACCESS_ERR)
        assert same(b.memory[0:1 << 20], bytes(1 << 20))


# --- events ----------------------------------------------------------------


def test_communication_established(pair):
    """A queue pair that is ready to receive is told that its peer has begun."""
    with Two(pair, size=SIZE, connect=False) as (a, b):
        attr = b.attributes(a.identity())
        b.qp.to_rtr(attr)
        a.connect(b.identity())
        b.post_receive(0, 100)
        a.post(SEND, 0, 100)
        a.poll()
        b.poll_receive()
        assert b.event() == e.IBV_EVENT_COMM_EST
        a.post(WRITE, 0, 100, b.identity())
        a.poll()
        assert b.event(0) is None
        b.qp.to_rts(attr)
        assert b.state() == e.IBV_QPS_RTS


# --- processes that die ----------------------------------------------------


def victim_of(node, end, work):
    """A process of its own at one end, connected to a node of ours."""
    victim = Victim(end, work)
    victim.meet(node.identity())
    node.connect(victim.peer, timeout=14, retries=2)
    victim.start()
    return victim


@pytest.mark.parametrize("work", ("write", "read", "send"))
def test_killed_requester(pair, work):
    """A process killed while it sends: its peer carries on, with others too."""
    node = Node(pair.b, size=1 << 20)
    try:
        victim = victim_of(node, pair.a, work)
        for slot in range(32):
            node.post_receive(slot * 4096, 4096)
        before = counters(pair.b.link)["rx_packets"]
        net.wait_for(lambda: counters(pair.b.link)["rx_packets"] > before, 20,
                     "what the process sends")
        alive = resources.counts(pair.a.link.name)["qp"]
        victim.kill()
        net.wait_for(lambda: resources.counts(pair.a.link.name)["qp"] < alive, 5,
                     "the end of a killed process's queue pair")
        assert node.state() == e.IBV_QPS_RTS
    finally:
        node.close()


@pytest.mark.parametrize("opcode", (WRITE, READ, SEND), ids=("write", "read", "send"))
def test_killed_responder(pair, opcode):
    """A process killed while it is written to, or read from: the requester runs
    out of retries, and nothing worse."""
    node = Node(pair.b, size=1 << 20)
    try:
        victim = victim_of(node, pair.a, "wait")
        transfer = Transfer(node, opcode, None if opcode == SEND else victim.peer)
        transfer.begin()
        victim.process.kill()
        # Its memory may be gone before its queue pair is.
        transfer.ends(e.IBV_WC_RETRY_EXC_ERR, e.IBV_WC_REM_ACCESS_ERR, e.IBV_WC_REM_OP_ERR)
        victim.kill()
    finally:
        node.close()
