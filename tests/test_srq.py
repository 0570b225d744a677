# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Shared receive queues: many queue pairs take from one.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        a queue pair per sender           as many, on one shared receive queue
"""

import copy
import random

import pytest
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsError
from pyverbs.qp import QP, QPCap, QPInitAttr
from pyverbs.srq import SRQ, SrqAttr, SrqInitAttr
from pyverbs.wr import SGE, RecvWR

from lab import net, perftest, resources
from lab.marks import one_host_too, slow
from lab.rc import Two, counters, e, same
from lab.verbs import ACCESS

pytestmark = one_host_too
SLOT = 8192
DEPTH = 16
SEND, WRITE_IMM = e.IBV_WR_SEND, e.IBV_WR_RDMA_WRITE_WITH_IMM
FLUSHED = e.IBV_WC_WR_FLUSH_ERR


class Shared:
    """`senders` queue pairs on side a, each with a peer on side b that shares b's
    receive queue. The first two are a and b themselves."""

    def __init__(self, pair, senders=1, srq=DEPTH, b=None, **options):
        self.two = Two(pair, size=SLOT * 2 * DEPTH, b={"srq": srq, **(b or {})}, **options)
        self.a, self.b = self.two.nodes
        self.pairs = [(self.a, self.b)]
        for _ in range(senders - 1):
            twins = [copy.copy(node) for node in (self.a, self.b)]
            for twin in twins:
                twin.qp = QP(twin.pd, twin.init)
            twins[0].connect(twins[1].identity())
            twins[1].connect(twins[0].identity())
            self.pairs.append(tuple(twins))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for twins in self.pairs[1:]:
            for twin in twins:
                twin.qp.close()
        self.two.__exit__()

    def set_limit(self, limit):
        self.b.srq.modify(SrqAttr(srq_limit=limit), e.IBV_SRQ_LIMIT)

    def resize(self, depth):
        self.b.srq.modify(SrqAttr(max_wr=depth), e.IBV_SRQ_MAX_WR)

    def send(self, count=1, length=100):
        """Messages from a to b, each completed on both sides."""
        done = []
        for _ in range(count):
            self.a.post(SEND, 0, length)
            self.a.poll()
            done += self.b.poll_receive()
        return done


@pytest.mark.parametrize("opcode", (SEND, WRITE_IMM), ids=("send", "write_imm"))
def test_many_queue_pairs(pair, opcode):
    """Requests are used in the order they were posted, by whoever is next; the
    completion says who that was, and the bytes are where the request said."""
    dice = random.Random(1)
    with Shared(pair, senders=5) as shared:
        a, b = shared.a, shared.b
        peers = {side.qp.qp_num: mine for mine, side in shared.pairs}
        for turn in range(4):
            for wr_id in range(DEPTH):
                b.post_shared(wr_id * SLOT, SLOT, wr_id)
            for wr_id in range(DEPTH):
                mine, its = dice.choice(shared.pairs)
                length = dice.randrange(1, SLOT)
                data = dice.randbytes(length)
                at = DEPTH * SLOT
                a.memory[at:at + length] = data
                mine.post(opcode, at, length, None if opcode == SEND else b.identity(),
                          at, imm=turn)
                a.poll()
                done, = b.poll_receive()
                assert (done.wr_id, done.byte_len) == (wr_id, length)
                assert done.qp_num == its.qp.qp_num and peers[done.qp_num] is mine
                assert done.src_qp == mine.qp.qp_num
                landed = wr_id * SLOT if opcode == SEND else at
                assert same(b.memory[landed:landed + length], data)


def test_receive_queue_of_its_own(pair):
    """What is said of one is not for a queue pair that uses another."""
    with Shared(pair) as shared:
        b = shared.b
        b.init.cap = QPCap(max_send_wr=1, max_recv_wr=1 << 20, max_send_sge=1,
                           max_recv_sge=1000)
        QP(b.pd, b.init).close()


def test_no_request_left(pair):
    """The sender is held off until there is one, whoever posts it."""
    with Shared(pair, senders=2) as shared:
        a, b = shared.a, shared.b
        before = counters(b.end.link)["tx_rnr_nak"]
        for mine, _ in shared.pairs:
            mine.post(SEND, 0, 64)
        net.wait_for(lambda: counters(b.end.link)["tx_rnr_nak"] >= before + 2, 5,
                     "receiver not ready")
        for wr_id in range(2):
            b.post_shared(wr_id * SLOT, SLOT, wr_id)
        a.poll(2)
        done = b.poll_receive(2)
        assert sorted(one.wr_id for one in done) == [0, 1]
        assert {one.qp_num for one in done} == {its.qp.qp_num for _, its in shared.pairs}


def test_capacity(pair):
    """As many requests as the queue says it has room for, and not one more."""
    with Shared(pair) as shared:
        b = shared.b
        room = b.srq.query().max_wr
        assert room >= DEPTH
        for wr_id in range(room):
            b.post_shared(0, SLOT, wr_id)
        with pytest.raises(PyverbsError):
            b.post_shared(0, SLOT)
        assert [one.wr_id for one in shared.send(room)] == list(range(room))


# --- the limit -------------------------------------------------------------


def test_limit(pair):
    """One event when the queue falls below the limit, not one more until it is
    armed again; at once when it is below already."""
    with Shared(pair) as shared:
        b = shared.b
        for wr_id in range(10):
            b.post_shared(0, SLOT, wr_id)
        assert b.srq.query().srq_limit == 0
        shared.set_limit(7)
        assert b.srq.query().srq_limit == 7
        shared.send(3)
        assert b.event(0) is None
        shared.send(1)
        assert b.event() == e.IBV_EVENT_SRQ_LIMIT_REACHED
        assert b.srq.query().srq_limit == 0
        shared.send(2)
        assert b.event(0) is None
        shared.set_limit(4)
        shared.send(1)
        assert b.event() == e.IBV_EVENT_SRQ_LIMIT_REACHED
        shared.set_limit(4)
        assert b.event() == e.IBV_EVENT_SRQ_LIMIT_REACHED
        shared.set_limit(2)
        shared.set_limit(0)
        shared.send(3)
        assert b.event(0) is None


# --- another size ----------------------------------------------------------


def test_resize(pair):
    """Larger and smaller with requests posted: none is lost, nor their order."""
    with Shared(pair) as shared:
        b = shared.b
        posted, taken = 0, 0
        def post(count):
            nonlocal posted
            for _ in range(count):
                b.post_shared(posted % DEPTH * SLOT, SLOT, posted)
                posted += 1
        def take(count):
            nonlocal taken
            wanted = list(range(taken, taken + count))
            assert [one.wr_id for one in shared.send(count)] == wanted
            taken += count
        post(14)
        take(9)
        for depth in (100, 1000, 40, 8):
            post(4)
            shared.resize(depth)
            assert b.srq.query().max_wr >= depth
            take(5)
        room = b.srq.query().max_wr
        post(room - (posted - taken))
        with pytest.raises(PyverbsError):
            b.post_shared(0, SLOT)
        with pytest.raises(PyverbsError):
            shared.resize(room // 2)
        assert b.srq.query().max_wr == room
        take(room)


def test_modify_refused(pair):
    """What can't be is refused, and changes nothing."""
    with Shared(pair) as shared:
        b = shared.b
        room = b.srq.query().max_wr
        most = b.context.query_device().max_srq_wr
        for limit in (room + 1, 1 << 31):
            with pytest.raises(PyverbsError):
                shared.set_limit(limit)
        for depth in (0, most + 1, (1 << 32) - 1):
            with pytest.raises(PyverbsError):
                shared.resize(depth)
        shared.set_limit(room)
        b.event()
        for wr_id in range(room):
            b.post_shared(0, SLOT, wr_id)
        shared.set_limit(room)
        with pytest.raises(PyverbsError):
            shared.resize(1)
        now = b.srq.query()
        assert (now.max_wr, now.srq_limit) == (room, room)


def test_create_bounds(pair):
    """The largest that the device says it has can be had; larger is refused."""
    with Shared(pair) as shared:
        pd, device = shared.b.pd, shared.b.context.query_device()
        assert device.max_srq > 0 and device.device_cap_flags & e.IBV_DEVICE_SRQ_RESIZE
        most = SrqAttr(max_wr=device.max_srq_wr, max_sge=device.max_srq_sge)
        with SRQ(pd, SrqInitAttr(most)) as made:
            assert made.query().max_wr == device.max_srq_wr
            assert made.query().max_sge == device.max_srq_sge
        for wrs, sges in ((0, 1), (device.max_srq_wr + 1, 1), (1, device.max_srq_sge + 1)):
            with pytest.raises(PyverbsError):
                SRQ(pd, SrqInitAttr(SrqAttr(max_wr=wrs, max_sge=sges)))


# --- errors ----------------------------------------------------------------


def test_last_request(pair):
    """A queue pair in error leaves what is posted to the others, and says once that
    it takes no more."""
    with Shared(pair, senders=2) as shared:
        a, b = shared.a, shared.b
        for wr_id in range(4):
            b.post_shared(0, SLOT, wr_id)
        shared.send()
        b.to_error()
        assert b.event() == e.IBV_EVENT_QP_LAST_WQE_REACHED
        other, _ = shared.pairs[1]
        other.post(SEND, 0, 64)
        a.poll()
        assert b.poll_receive()[0].wr_id == 1
        b.nothing(0)
        assert b.event(0) is None
        # A new life, and a new end.
        b.reset()
        b.connect(a.identity())
        b.to_error()
        assert b.event() == e.IBV_EVENT_QP_LAST_WQE_REACHED


@pytest.mark.parametrize("what", ("too short", "wrong key", "not writable"))
def test_bad_request(pair, what):
    """A request that can't take its message ends with the error, and its queue pair
    with it; the others go on with the next one."""
    with Shared(pair, senders=2) as shared:
        a, b = shared.a, shared.b
        readable = MR(b.pd, SLOT, 0, address=b.memory.address)
        key = {"too short": b.mr.lkey, "wrong key": b.mr.lkey ^ 1,
               "not writable": readable.lkey}[what]
        length = 32 if what == "too short" else SLOT
        b.srq.post_recv(RecvWR(wr_id=1, num_sge=1, sg=[SGE(b.memory.address, length, key)]))
        b.post_shared(0, SLOT, 2)
        a.post(SEND, 0, 64)
        status, told = {"too short": (e.IBV_WC_LOC_LEN_ERR, e.IBV_WC_REM_INV_REQ_ERR)}.get(
            what, (e.IBV_WC_LOC_PROT_ERR, e.IBV_WC_REM_OP_ERR))
        assert a.statuses() == [(0, told)]
        assert b.receive_statuses() == [(1, status)]
        assert b.event() == e.IBV_EVENT_QP_LAST_WQE_REACHED
        other, _ = shared.pairs[1]
        other.post(SEND, 0, 64)
        a.poll()
        assert b.poll_receive()[0].wr_id == 2
        readable.close()


def test_keys_are_the_queues(pair):
    """The requests' keys are looked up in the protection domain of the queue, not in
    that of the queue pair."""
    with Shared(pair) as shared:
        a, b = shared.a, shared.b
        pd = PD(b.context)
        mine, its = copy.copy(a), copy.copy(b)
        mine.qp = QP(a.pd, a.init)
        its.qp = QP(pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=b.cq, rcq=b.rcq, srq=b.srq,
                                   cap=b.cap))
        mine.connect(its.identity())
        its.connect(mine.identity())
        foreign = MR(pd, SLOT, ACCESS, address=b.memory.address)
        b.post_shared(0, SLOT, 1)
        b.srq.post_recv(RecvWR(wr_id=2, num_sge=1,
                               sg=[SGE(b.memory.address, SLOT, foreign.lkey)]))
        mine.post(SEND, 0, 64)
        assert a.statuses() == [(0, 0)]
        mine.post(SEND, 0, 64)
        assert a.statuses() == [(0, e.IBV_WC_REM_OP_ERR)]
        assert b.receive_statuses(2) == [(1, 0), (2, e.IBV_WC_LOC_PROT_ERR)]
        for thing in (mine.qp, its.qp, foreign, pd):
            thing.close()


def test_no_queue_of_its_own(pair):
    """A queue pair on a shared receive queue has none itself; both are counted."""
    before = resources.counts(pair.b.link.name)
    with Shared(pair) as shared:
        b = shared.b
        cap = b.qp.query(e.IBV_QP_CAP)[0].cap
        assert (cap.max_recv_wr, cap.max_recv_sge) == (0, 0)
        with pytest.raises(PyverbsError):
            b.qp.post_recv(RecvWR(num_sge=1, sg=[b.sge(0, 64)]))
        objects = resources.counts(b.end.link.name)
        assert [objects[kind] - before[kind] for kind in ("srq", "qp")] == [
            1, 2 if pair.a is pair.b else 1]


@pytest.mark.parametrize("tool, options", (
    ("ib_send_bw", ("-q", 4)), ("ib_send_lat", ()), slow("ib_send_bw", ("-q", 2, "-e")),
    slow("ib_send_bw", ("-b",)), slow("ib_send_lat", ("-e",))))
def test_perftest(pair, tool, options):
    assert perftest.run(pair, tool, "--use-srq", "-n", 100, *options).rows


@pytest.mark.slow
@pytest.mark.parametrize("tool", ("ib_send_bw", "ib_send_lat"))
def test_perftest_all_sizes(pair, tool):
    result = perftest.run(pair, tool, "--use-srq", "-a", "-n", 5, timeout=120)
    assert result.sizes() == perftest.ALL_SIZES
