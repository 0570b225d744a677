# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What the verbs promise of a reliable connection when nothing goes wrong.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b
"""

import errno
import itertools
import random
import time

import pytest
from pyverbs.addr import GID, AHAttr, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.pyverbs_error import PyverbsRDMAError
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr

from lab import net
from lab.rc import GUARD, SENDS, TWO_SIDED, Node, Two, counters, e, extend, same
from lab.verbs import MTUS

WORD = (1 << 64) - 1


PAIR_MTU = net.WIDE


def number(side, offset):
    return int.from_bytes(side.memory[offset:offset + 8], "little")


def set_number(side, offset, value):
    side.memory[offset:offset + 8] = value.to_bytes(8, "little")


# --- every operation at every size and MTU ---------------------------------


def sizes_around(mtu):
    """Sizes where the number of packets, or the pad, changes."""
    found = {0, 1, 2, 3, 4, 5}
    for packets in (1, 2, 3, 17):
        found |= {packets * mtu + more for more in (-3, -1, 0, 1, 2)}
    return sorted(found)


class Message:
    """One message of a test and where its bytes are on both sides."""

    def __init__(self, opcode, length, slot, dice):
        self.opcode, self.length = opcode, length
        # Unaligned on both sides, and differently.
        self.source = slot + GUARD + dice.randrange(16)
        self.sink = slot + GUARD + dice.randrange(16)

    def move(self, a, b, peer, imm):
        """Do it, and say what it should have changed: (side, offset, data)."""
        source, sink = (b, a) if self.opcode == e.IBV_WR_RDMA_READ else (a, b)
        data = source.memory[self.source:self.source + self.length]
        if self.opcode in SENDS:
            b.post_receive(self.sink, self.length)
            a.post(self.opcode, self.source, self.length, imm=imm)
        else:
            if self.opcode in TWO_SIDED:
                b.post_receive(0, 0)
            local, remote = ((self.sink, self.source) if sink is a else
                             (self.source, self.sink))
            a.post(self.opcode, local, self.length, peer, remote, imm=imm)
        return sink, self.sink, data


def check_receive(message, completion, imm):
    assert completion.byte_len == message.length
    with_imm = message.opcode != e.IBV_WR_SEND
    assert bool(completion.wc_flags & e.IBV_WC_WITH_IMM) == with_imm
    if with_imm:
        assert completion.imm_data == imm
    assert completion.opcode == (
        e.IBV_WC_RECV if message.opcode in SENDS else e.IBV_WC_RECV_RDMA_WITH_IMM)


@pytest.mark.parametrize("ipv6", (False, True), ids=("ipv4", "ipv6"))
@pytest.mark.parametrize("mtu", sorted(MTUS))
def test_sizes(pair, mtu, ipv6):
    """Each operation, at sizes around packets, moves its bytes and no other."""
    dice = random.Random(mtu)
    step = 18 * mtu + 3 * GUARD
    opcodes = (*TWO_SIDED, e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_READ)
    cases = list(itertools.product(opcodes, sizes_around(mtu)))
    if ipv6:
        cases = dice.sample(cases, 24)
    size = step * 2
    with Two(pair, size=size, ipv6=ipv6, mtu=mtu) as (a, b):
        peer = b.identity()
        a.memory[0:size] = dice.randbytes(size)
        b.memory[0:size] = dice.randbytes(size)
        for count, (opcode, length) in enumerate(cases):
            message = Message(opcode, length, count % 2 * step, dice)
            wanted = {side: bytearray(side.memory[0:size]) for side in (a, b)}
            sink, offset, data = message.move(a, b, peer, count)
            wanted[sink][offset:offset + length] = data
            done, = a.poll()
            assert done.byte_len == length or opcode != e.IBV_WR_RDMA_READ
            if opcode in TWO_SIDED:
                check_receive(message, b.poll_receive()[0], count)
            for side in (a, b):
                assert same(side.memory[0:size], wanted[side])


@pytest.mark.parametrize("opcode", (e.IBV_WR_SEND, e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_READ),
                         ids=("send", "write", "read"))
def test_scatter_gather(pair, opcode):
    """Lists with entries of odd sizes, of nothing, and as long as allowed."""
    dice = random.Random(3)
    for count in (2, 3, 7, 32):
        with Two(pair, sges=count, size=1 << 18) as (a, b):
            for side in (a, b):
                side.memory[0:1 << 18] = dice.randbytes(1 << 18)
            def some_list(total):
                cuts = sorted(dice.randrange(total) for _ in range(count - 1))
                lengths = [after - before for before, after in
                           zip([0, *cuts], [*cuts, total])]
                spots = dice.sample(range(32), count)
                return [(spot * 8192 + dice.randrange(64), min(length, 8000))
                        for spot, length in zip(spots, lengths)]
            gather = some_list(9000)
            gather[0] = (gather[0][0], 0)
            total = sum(length for _, length in gather)
            local = b"".join(a.memory[at:at + length] for at, length in gather)
            if opcode == e.IBV_WR_SEND:
                scatter = some_list(20000)
                scatter[-1] = (scatter[-1][0], 8000)
                while sum(length for _, length in scatter) < total:
                    scatter = some_list(20000)
                b.post_receive_list(scatter)
                a.post_list(opcode, gather)
                a.poll()
                assert b.poll_receive()[0].byte_len == total
                landed = b"".join(b.memory[at:at + length] for at, length in scatter)
                assert same(landed[:total], local)
            else:
                remote = b.memory[5:5 + total]
                a.post_list(opcode, gather, b.identity(), 5)
                a.poll()
                if opcode == e.IBV_WR_RDMA_READ:
                    local = b"".join(a.memory[at:at + length] for at, length in gather)
                    assert same(local, remote)
                else:
                    assert same(b.memory[5:5 + total], local)


def test_inline(pair):
    """Inline data is taken when it is posted, and needs no region."""
    flags = e.IBV_SEND_SIGNALED | e.IBV_SEND_INLINE
    with Two(pair, inline=256, size=65536) as (a, b):
        peer = b.identity()
        assert a.init.cap.max_inline_data >= 256
        for length in (0, 1, 3, 64, 255, 256):
            data = random.Random(length).randbytes(length)
            a.memory[0:length] = data
            b.post_receive(4096, 256)
            parts = [(a.memory.address, length // 3, 0),
                     (a.memory.address + length // 3, length - length // 3, 0)]
            a.post_raw(e.IBV_WR_SEND, parts, flags=flags)
            a.post_raw(e.IBV_WR_RDMA_WRITE, parts, (peer.rkey, peer.address), flags)
            a.memory[0:length] = b"\xee" * length
            a.poll(2)
            b.poll_receive()
            assert same(b.memory[4096:4096 + length], data)
            assert same(b.memory[0:length], data)


# --- atomics ---------------------------------------------------------------


def test_atomics(pair):
    """Results are exact at the edges of 64 bits; the old value comes back."""
    with Two(pair, size=8192) as (a, b):
        peer = b.identity()
        def faa(value, add):
            set_number(b, 64, value)
            a.post(e.IBV_WR_ATOMIC_FETCH_AND_ADD, 8, 8, peer, 64, compare_add=add)
            assert a.poll()[0].opcode == e.IBV_WC_FETCH_ADD
            return number(a, 8), number(b, 64)
        def cas(value, compare, swap):
            set_number(b, 64, value)
            a.post(e.IBV_WR_ATOMIC_CMP_AND_SWP, 8, 8, peer, 64,
                   compare_add=compare, swap=swap)
            assert a.poll()[0].opcode == e.IBV_WC_COMP_SWAP
            return number(a, 8), number(b, 64)
        b.memory[56:80] = b"\x55" * 24
        for value, add in ((0, 0), (0, 1), (WORD, 1), (WORD, WORD), (1 << 63, 1 << 63)):
            assert faa(value, add) == (value, (value + add) & WORD)
        for value, compare, swap in ((0, 0, 1), (5, 6, 7), (WORD, WORD, 0), (7, 7, WORD),
                                     (1 << 32, 0, 9)):
            after = swap if value == compare else value
            assert cas(value, compare, swap) == (value, after)
        assert b.memory[56:64] == b.memory[72:80] == b"\x55" * 8


def test_atomics_are_atomic(pair):
    """Two connections to one word: no addition is lost, none is done twice."""
    rounds, window = 20, 16
    with Two(pair, size=8192, reads=16) as (a, b), \
         Two(pair, size=8192, reads=16) as (c, d):
        # Both responders work on b's memory.
        d.mr.close()
        d.memory.close()
        d.memory = b.memory
        d.mr = type(b.mr)(d.pd, 4096, 0xf, address=b.memory.address)
        set_number(b, 0, 0)
        targets = ((a, b.identity()), (c, d.identity()))
        for _ in range(rounds):
            for side, peer in targets:
                for slot in range(window):
                    side.post(e.IBV_WR_ATOMIC_FETCH_AND_ADD, 8 * slot, 8, peer, 0,
                              compare_add=3)
            for side, _ in targets:
                side.poll(window)
        assert number(b, 0) == 2 * rounds * window * 3
        d.memory = type(b.memory)(4096)


def test_atomic_write(pair):
    """Eight bytes at once, as they stood when they were posted."""
    if not hasattr(e, "IBV_QP_EX_WITH_ATOMIC_WRITE"):
        pytest.skip("libibverbs does not know it")
    with Two(pair, size=8192, connect=False) as (a, b):
        extend(a, e.IBV_QP_EX_WITH_ATOMIC_WRITE)
        a.connect(b.identity())
        b.connect(a.identity())
        peer = b.identity()
        def write(offset, value):
            a.qp.wr_start()
            a.qp.wr_id, a.qp.wr_flags = 7, e.IBV_SEND_SIGNALED
            a.qp.wr_atomic_write(peer.rkey, peer.address + offset, value)
            a.qp.wr_complete()
            done, = a.poll()
            assert (done.wr_id, done.opcode) == (7, e.IBV_WC_ATOMIC_WRITE)
        for value in (b"12345678", b"\0" * 8, b"\xff" * 8):
            b.memory[56:80] = b"\x55" * 24
            write(64, value)
            assert same(b.memory[56:80], b"\x55" * 8 + value + b"\x55" * 8)
        # And on a page that nobody has touched.
        write(4096, b"faultily")
        assert same(b.memory[4096:4112], b"faultily" + bytes(8))


# --- many at once ----------------------------------------------------------


@pytest.mark.parametrize("reads", (1, 2, 3, 16))
def test_outstanding(pair, reads):
    """As many READs and atomics as the queue takes, with few allowed at once,
    mixed with WRITEs: all are done, in order, and each once."""
    depth, step = 60, 4096
    dice = random.Random(reads)
    with Two(pair, size=depth * step + 4096, depth=64, reads=reads) as (a, b):
        peer = b.identity()
        for side in (a, b):
            side.memory[0:depth * step] = dice.randbytes(depth * step)
        total = depth * step
        for _ in range(3):
            set_number(b, total, 0)
            kinds = [dice.choice((e.IBV_WR_RDMA_READ, e.IBV_WR_RDMA_READ,
                                  e.IBV_WR_ATOMIC_FETCH_AND_ADD,
                                  e.IBV_WR_RDMA_WRITE)) for _ in range(depth)]
            lengths = [dice.randrange(step + 1) for _ in kinds]
            local, remote = a.memory[0:total], b.memory[0:total]
            for slot, (kind, length) in enumerate(zip(kinds, lengths)):
                if kind == e.IBV_WR_ATOMIC_FETCH_AND_ADD:
                    a.post(kind, slot * step, 8, peer, total, slot, compare_add=1)
                else:
                    a.post(kind, slot * step, length, peer, slot * step, slot)
            assert [one.wr_id for one in a.poll(depth)] == list(range(depth))
            sums = 0
            for slot, (kind, length) in enumerate(zip(kinds, lengths)):
                here = slice(slot * step, slot * step + length)
                if kind == e.IBV_WR_ATOMIC_FETCH_AND_ADD:
                    assert number(a, slot * step) == sums
                    sums += 1
                elif kind == e.IBV_WR_RDMA_READ:
                    assert same(a.memory[here], remote[here])
                else:
                    assert same(b.memory[here], local[here])
            assert number(b, total) == sums


def test_fence(pair):
    """A fenced WRITE sends what the atomic before it has fetched."""
    with Two(pair, size=8192, reads=8) as (a, b):
        peer = b.identity()
        set_number(b, 0, 1000)
        for turn in range(60):
            a.post(e.IBV_WR_ATOMIC_FETCH_AND_ADD, 0, 8, peer, 0, flags=0, compare_add=1)
            a.post(e.IBV_WR_RDMA_WRITE, 0, 8, peer, 8,
                   flags=e.IBV_SEND_SIGNALED | e.IBV_SEND_FENCE)
            a.poll()
            assert number(b, 8) == 1000 + turn


@pytest.mark.parametrize("every", (False, True))
def test_signalling(pair, every):
    """Unsignalled requests complete silently, unless all are to be told of."""
    with Two(pair, size=8192, depth=32, sq_sig_all=int(every)) as (a, b):
        peer = b.identity()
        for batch in range(8):
            for slot in range(16):
                a.post(e.IBV_WR_RDMA_WRITE, 8 * slot, 8, peer, 8 * slot,
                       wr_id=batch * 16 + slot,
                       flags=e.IBV_SEND_SIGNALED if slot == 15 else 0)
            wanted = range(16) if every else (15,)
            got = [one.wr_id - batch * 16 for one in a.poll(len(wanted))]
            assert got == list(wanted)
        a.nothing(0)


@pytest.mark.parametrize("mtu", (256, 4096))
def test_psn_wraps(pair, mtu):
    """The sequence number passes 2^24 in the middle of everything."""
    with Two(pair, size=1 << 17, mtu=mtu, psns=(0xfffff0, 0xfffffe), reads=4) as (a, b):
        dice = random.Random(4)
        for side in (a, b):
            side.memory[0:1 << 17] = dice.randbytes(1 << 17)
        for one, other in ((a, b), (b, a)):
            peer = other.identity()
            for length in (0, 1, 700, 5000, 9000, 40000):
                other.post_receive(65536, 65536)
                one.post(e.IBV_WR_SEND, 0, length)
                one.post(e.IBV_WR_RDMA_READ, 0, length, peer, 65536)
                one.post(e.IBV_WR_ATOMIC_FETCH_AND_ADD, 65528, 8, peer, 0, compare_add=0)
                one.poll(3)
                other.poll_receive()
                assert same(one.memory[0:length], other.memory[65536:65536 + length])
                assert same(one.memory[65528:65536], other.memory[0:8])


@pytest.mark.slow
def test_largest_message(pair, debug_kernel):
    """2^31 bytes in one request; one byte more is refused."""
    if debug_kernel:
        pytest.skip("takes too long there")
    size = 1 << 31
    dice = random.Random(5)
    marks = {dice.randrange(size // 4096) * 4096: dice.randbytes(4096) for _ in range(300)}
    marks[0], marks[size - 4096] = dice.randbytes(4096), dice.randbytes(4096)
    with Two(pair, a={"size": size + 4096}, b={"size": size}, mtu=4096) as (a, b):
        assert a.context.query_port(1).max_msg_sz == size
        for at, data in marks.items():
            a.memory[at:at + 4096] = data
        a.post(e.IBV_WR_RDMA_WRITE, 0, size, b.identity(), 0)
        a.poll(seconds=1200)
        nothing = bytes(1 << 20)
        for at in range(0, size, 1 << 20):
            wanted = bytearray(nothing)
            for mark in range(at, at + (1 << 20), 4096):
                if mark in marks:
                    wanted[mark - at:mark - at + 4096] = marks[mark]
            assert same(b.memory[at:at + (1 << 20)], wanted)
        a.post(e.IBV_WR_RDMA_WRITE, 0, size + 1, b.identity(), 0, wr_id=1)
        assert a.statuses() == [(1, e.IBV_WC_LOC_LEN_ERR)]


# --- completion channels ---------------------------------------------------


def test_completion_channel(pair):
    """Armed for all, an event comes once per arming; armed for solicited ones,
    only those and errors raise one."""
    with Two(pair, size=8192, channel=True) as (a, b):
        def send(flags=0):
            # It is acknowledged when it has raised what event it raises.
            a.post(e.IBV_WR_SEND, 0, 8, flags=e.IBV_SEND_SIGNALED | flags)
            a.poll()
        for slot in range(8):
            b.post_receive(8 * slot, 8)
        b.rcq.req_notify()
        assert not b.receive_event(0)
        send()
        assert b.receive_event()
        send()
        b.poll_receive(2)
        assert not b.receive_event(0), "an event without arming"
        b.rcq.req_notify(solicited_only=True)
        send()
        b.poll_receive()
        assert not b.receive_event(0), "an event for what is not solicited"
        send(e.IBV_SEND_SOLICITED)
        assert b.receive_event()
        b.poll_receive()
        # Who waits for all is not made to wait for solicited ones only.
        b.rcq.req_notify()
        b.rcq.req_notify(solicited_only=True)
        send()
        assert b.receive_event()
        b.rcq.req_notify(solicited_only=True)
        b.to_error()
        assert b.receive_event(), "no event for an error"
        b.poll_receive(4, check=False)


# --- completion queues -----------------------------------------------------


def test_cq_resize(pair):
    """Completions that wait survive a resize, in order; too small is refused."""
    with Two(pair, size=8192, depth=64, cqe=100) as (a, b):
        peer = b.identity()
        before = counters(a.end.link)["completions"]
        for wr_id in range(50):
            a.post(e.IBV_WR_RDMA_WRITE, 0, 8, peer, wr_id=wr_id)
        net.wait_for(lambda: counters(a.end.link)["completions"] == before + 50, 10,
                     "50 completions")
        with pytest.raises(PyverbsRDMAError):
            a.cq.resize(20)
        for size in (1000, 60, 5000):
            a.cq.resize(size)
            assert a.cq.cqe >= size
        assert [one.wr_id for one in a.poll(50)] == list(range(50))
        for wr_id in range(50):
            a.post(e.IBV_WR_RDMA_WRITE, 0, 8, peer, wr_id=wr_id)
        assert [one.wr_id for one in a.poll(50)] == list(range(50))


def test_cq_resize_under_traffic(pair):
    """Completions that come while the queue is exchanged are in order, and all there."""
    dice, many = random.Random(3), 32
    with Two(pair, size=1 << 16, depth=64, cqe=100) as (a, b):
        for turn in range(20):
            for wr_id in range(many):
                a.post(e.IBV_WR_RDMA_WRITE, 0, 1 << 16, b.identity(), wr_id=wr_id)
            for _ in range(3):
                a.cq.resize(dice.randrange(many, 5000))
            assert [one.wr_id for one in a.poll(many)] == list(range(many)), turn


def test_cq_overflow(pair):
    """A queue that is full goes to error and says so, once; and so does the queue pair whose
    completion is lost with that."""
    with Two(pair, size=8192, depth=64, a={"cqe": 15}) as (a, b):
        peer = b.identity()
        room = a.cq.cqe
        for wr_id in range(room + 5):
            a.post(e.IBV_WR_RDMA_WRITE, 0, 8, peer, wr_id=wr_id)
        assert a.events(2) == sorted((e.IBV_EVENT_CQ_ERR, e.IBV_EVENT_QP_FATAL))
        a.wait_state(e.IBV_QPS_ERR)
        assert a.event(0.2) is None
        assert [one.wr_id for one in a.poll(room)] == list(range(room))


def test_receive_cq_overflow(pair):
    """Nor is a message taken for delivered that its receiver will never hear of."""
    with Two(pair, size=8192, depth=64, b={"cqe": 15}) as (a, b):
        room = b.rcq.cqe
        for wr_id in range(room + 1):
            b.post_receive(0, 8, wr_id=wr_id)
            a.post(e.IBV_WR_SEND, 0, 8, wr_id=wr_id)
        assert a.statuses(room + 1) == [
            *((wr_id, 0) for wr_id in range(room)), (room, e.IBV_WC_REM_OP_ERR)]
        assert b.events(2) == sorted((e.IBV_EVENT_CQ_ERR, e.IBV_EVENT_QP_FATAL))
        assert [one.wr_id for one in b.poll_receive(room)] == list(range(room))


# --- states and attributes -------------------------------------------------


def stop_sending(node):
    """SQD, with an event when what is under way is finished."""
    attr = QPAttr(qp_state=e.IBV_QPS_SQD)
    attr.en_sqd_async_notify = 1
    node.qp.modify(attr, e.IBV_QP_STATE | e.IBV_QP_EN_SQD_ASYNC_NOTIFY)


def test_states(pair):
    """What is set can be queried, in each state."""
    with Two(pair, connect=False, size=4096) as (a, b):
        attr = a.attributes(b.identity(), psn=0x123456, peer_psn=0x654321, mtu=2048,
                            timeout=17, retries=5, rnr_retries=4, rnr_timer=9, reads=11,
                            traffic_class=0x48, flow_label=0x3f5)
        assert a.state() == e.IBV_QPS_RESET
        a.qp.to_init(attr)
        now, init = a.qp.query(0xffff)
        assert (now.qp_state, now.cur_qp_state) == (e.IBV_QPS_INIT,) * 2
        assert now.qp_access_flags == attr.qp_access_flags
        assert (now.port_num, now.pkey_index) == (1, 0)
        assert (init.cap.max_send_wr, init.cap.max_recv_wr) >= (64, 64)
        assert init.qp_type == e.IBV_QPT_RC
        a.qp.to_rtr(attr)
        now, _ = a.qp.query(0xffff)
        assert now.qp_state == e.IBV_QPS_RTR
        assert (now.path_mtu, now.dest_qp_num, now.rq_psn) == (
            e.IBV_MTU_2048, b.qp.qp_num, 0x654321)
        assert (now.max_dest_rd_atomic, now.min_rnr_timer) == (11, 9)
        assert now.ah_attr.is_global and now.ah_attr.dgid == b.identity().gid
        assert now.ah_attr.traffic_class == 0x48
        assert now.ah_attr.flow_label == 0x3f5
        a.qp.to_rts(attr)
        now, _ = a.qp.query(0xffff)
        assert now.qp_state == e.IBV_QPS_RTS
        assert (now.sq_psn, now.timeout, now.retry_cnt, now.rnr_retry,
                now.max_rd_atomic) == (0x123456, 17, 5, 4, 11)
        for state in (e.IBV_QPS_SQD, e.IBV_QPS_RTS, e.IBV_QPS_ERR, e.IBV_QPS_RESET):
            a.qp.modify(QPAttr(qp_state=state), e.IBV_QP_STATE)
            assert a.state() == state


def to_rtr_mask():
    return (e.IBV_QP_STATE | e.IBV_QP_AV | e.IBV_QP_PATH_MTU | e.IBV_QP_DEST_QPN |
            e.IBV_QP_RQ_PSN | e.IBV_QP_MAX_DEST_RD_ATOMIC | e.IBV_QP_MIN_RNR_TIMER)


def refused(node, attr, mask, *codes):
    """The modify fails, with one of these errors if any are given, and the state is as it
    was."""
    before = node.state()
    with pytest.raises(PyverbsRDMAError) as caught:
        node.qp.modify(attr, mask)
    assert not codes or caught.value.error_code in codes
    assert node.state() == before


def some(**values):
    """Attributes of which only these matter."""
    attr = QPAttr()
    for name, value in values.items():
        setattr(attr, name, value)
    return attr


def change(node, mask, **values):
    """What is modified can be queried then."""
    node.qp.modify(some(**values), mask)
    now, _ = node.qp.query(0xffff)
    for name, value in values.items():
        assert getattr(now, name) == value, name


def test_changes_in_rts(pair):
    """What may be changed while requests are sent, and what may not. The state that a
    program believes the queue pair to be in has to be the one it is in."""
    with Two(pair, size=4096) as (a, b):
        change(a, e.IBV_QP_MIN_RNR_TIMER, min_rnr_timer=5)
        change(a, e.IBV_QP_ACCESS_FLAGS, qp_access_flags=e.IBV_ACCESS_REMOTE_READ)
        believed = e.IBV_QP_CUR_STATE | e.IBV_QP_MIN_RNR_TIMER
        change(a, believed, cur_qp_state=e.IBV_QPS_RTS, min_rnr_timer=6)
        for state in (e.IBV_QPS_RTR, e.IBV_QPS_SQD, e.IBV_QPS_SQE):
            refused(a, some(cur_qp_state=state, min_rnr_timer=7), believed, errno.EINVAL)
        for mask in (e.IBV_QP_TIMEOUT, e.IBV_QP_RETRY_CNT, e.IBV_QP_RNR_RETRY,
                     e.IBV_QP_MAX_QP_RD_ATOMIC, e.IBV_QP_PATH_MTU, e.IBV_QP_DEST_QPN,
                     e.IBV_QP_AV):
            refused(a, a.attributes(b.identity(), mtu=512), mask, errno.EINVAL)
        now, _ = a.qp.query(0xffff)
        assert (now.min_rnr_timer, now.path_mtu) == (6, e.IBV_MTU_1024)
        a.post(e.IBV_WR_RDMA_WRITE, 0, 8, b.identity())
        a.poll()


def test_changes_in_sqd(pair):
    """What may be changed while nothing is sent, and that it is none the worse for it."""
    with Two(pair, size=4096) as (a, b):
        a.qp.modify(some(qp_state=e.IBV_QPS_SQD), e.IBV_QP_STATE)
        change(a, e.IBV_QP_TIMEOUT, timeout=15)
        change(a, e.IBV_QP_RETRY_CNT, retry_cnt=3)
        change(a, e.IBV_QP_RNR_RETRY, rnr_retry=2)
        change(a, e.IBV_QP_MAX_QP_RD_ATOMIC, max_rd_atomic=2)
        change(a, e.IBV_QP_MAX_DEST_RD_ATOMIC, max_dest_rd_atomic=3)
        change(a, e.IBV_QP_MIN_RNR_TIMER, min_rnr_timer=4)
        change(a, e.IBV_QP_ACCESS_FLAGS, qp_access_flags=e.IBV_ACCESS_REMOTE_READ)
        a.qp.modify(a.attributes(b.identity(), traffic_class=0x48), e.IBV_QP_AV)
        assert a.qp.query(0xffff)[0].ah_attr.traffic_class == 0x48
        refused(a, a.attributes(b.identity(), mtu=512), e.IBV_QP_PATH_MTU, errno.EINVAL)
        onwards = e.IBV_QP_STATE | e.IBV_QP_CUR_STATE
        refused(a, some(qp_state=e.IBV_QPS_RTS, cur_qp_state=e.IBV_QPS_RTS), onwards,
                errno.EINVAL)
        a.qp.modify(some(qp_state=e.IBV_QPS_RTS, cur_qp_state=e.IBV_QPS_SQD), onwards)
        assert a.state() == e.IBV_QPS_RTS
        for slot in range(4):
            a.post(e.IBV_WR_RDMA_READ, slot * 8, 8, b.identity())
        a.poll(4)


def test_no_other_path(pair):
    """There is one path to the peer: no second one can be loaded, nor migration to it be
    armed. (Of the former the kernel's core says so itself, which has its own error.)"""
    with Two(pair, size=4096) as (a, b):
        other = some(alt_ah_attr=a.way_to(b.identity()), alt_port_num=1, alt_timeout=14)
        refused(a, other, e.IBV_QP_ALT_PATH, errno.EINVAL, errno.EOPNOTSUPP)
        refused(a, some(path_mig_state=e.IBV_MIG_REARM), e.IBV_QP_PATH_MIG_STATE,
                errno.EINVAL)
        a.post(e.IBV_WR_RDMA_WRITE, 0, 8, b.identity())
        a.poll()


def test_wrong_attributes(pair):
    """What can't be is refused, and changes nothing."""
    init_mask = (e.IBV_QP_STATE | e.IBV_QP_PKEY_INDEX | e.IBV_QP_PORT |
                 e.IBV_QP_ACCESS_FLAGS)
    rts_mask = (e.IBV_QP_STATE | e.IBV_QP_TIMEOUT | e.IBV_QP_RETRY_CNT |
                e.IBV_QP_RNR_RETRY | e.IBV_QP_SQ_PSN | e.IBV_QP_MAX_QP_RD_ATOMIC)
    with Two(pair, connect=False, size=4096) as (a, b):
        def fresh(**changes):
            attr = a.attributes(b.identity())
            for name, value in changes.items():
                setattr(attr, name, value)
            return attr
        for state in (e.IBV_QPS_RTR, e.IBV_QPS_RTS, e.IBV_QPS_SQD, e.IBV_QPS_SQE):
            refused(a, fresh(qp_state=state), to_rtr_mask())
        init = e.IBV_QPS_INIT
        refused(a, fresh(qp_state=init, port_num=2), init_mask)
        refused(a, fresh(qp_state=init, port_num=0), init_mask)
        refused(a, fresh(qp_state=init, pkey_index=1), init_mask)
        refused(a, fresh(qp_state=init), init_mask & ~e.IBV_QP_PORT)
        refused(a, fresh(qp_state=init), init_mask | e.IBV_QP_QKEY)
        a.qp.to_init(fresh())
        rtr = e.IBV_QPS_RTR
        refused(a, fresh(qp_state=rtr, path_mtu=6), to_rtr_mask())
        refused(a, fresh(qp_state=rtr, path_mtu=0), to_rtr_mask())
        refused(a, fresh(qp_state=rtr, min_rnr_timer=32), to_rtr_mask())
        refused(a, fresh(qp_state=rtr, max_dest_rd_atomic=129), to_rtr_mask())
        refused(a, fresh(qp_state=rtr), to_rtr_mask() & ~e.IBV_QP_AV)
        refused(a, fresh(qp_state=rtr), to_rtr_mask() | e.IBV_QP_TIMEOUT)
        nowhere = fresh(qp_state=rtr)
        route = GlobalRoute(dgid=GID(b.identity().gid), sgid_index=200)
        nowhere.ah_attr = AHAttr(port_num=1, is_global=1, gr=route)
        refused(a, nowhere, to_rtr_mask())
        a.qp.to_rtr(fresh())
        rts = e.IBV_QPS_RTS
        refused(a, fresh(qp_state=rts, timeout=32), rts_mask)
        refused(a, fresh(qp_state=rts, retry_cnt=8), rts_mask)
        refused(a, fresh(qp_state=rts, rnr_retry=8), rts_mask)
        refused(a, fresh(qp_state=rts, max_rd_atomic=129), rts_mask)
        refused(a, fresh(qp_state=rts, cur_qp_state=e.IBV_QPS_RTS),
                rts_mask | e.IBV_QP_CUR_STATE)
        a.qp.to_rts(fresh())
        refused(a, fresh(qp_state=e.IBV_QPS_INIT), init_mask)
        refused(a, fresh(qp_state=rtr), to_rtr_mask())


def test_reset_and_reuse(pair):
    """After a reset the pair works as if new; what was posted is forgotten."""
    with Two(pair, size=65536, sges=1) as (a, b):
        for turn in range(4):
            b.post_receive(0, 64, wr_id=turn)
            a.post(e.IBV_WR_SEND, 0, 64)
            a.poll()
            assert b.poll_receive()[0].wr_id == turn
            for wr_id in range(5):
                b.post_receive(0, 64, wr_id=100 + wr_id)
            for node in (a, b):
                node.reset()
                assert node.state() == e.IBV_QPS_RESET
            for node, other in ((a, b), (b, a)):
                node.connect(other.identity(), psn=turn * 1000, peer_psn=turn * 1000)
            a.nothing(0)
            b.nothing(0)


def test_drain(pair):
    """SQD: what is under way is finished, what is new waits; then an event."""
    with Two(pair, size=1 << 20, rnr_timer=14) as (a, b):
        peer = b.identity()
        for wr_id in range(20):
            a.post(e.IBV_WR_RDMA_WRITE, 0, 1 << 18, peer, wr_id=wr_id)
        stop_sending(a)
        assert a.event(30) == e.IBV_EVENT_SQ_DRAINED
        assert a.qp.query(0)[0].sq_draining == 0
        done = 0
        while True:
            got, completions = a.cq.poll(16)
            if not got:
                break
            assert [one.status for one in completions] == [0] * got
            done += got
        a.post(e.IBV_WR_SEND_WITH_IMM, 0, 8, wr_id=99)
        b.post_receive(0, 8)
        # What a answers now comes behind what it would have sent.
        b.post(e.IBV_WR_RDMA_WRITE, 0, 8, a.identity())
        b.poll()
        a.nothing(0)
        b.nothing(0)
        a.qp.modify(QPAttr(qp_state=e.IBV_QPS_RTS), e.IBV_QP_STATE)
        got = [one.wr_id for one in a.poll(21 - done)]
        assert got == [*range(done, 20), 99]
        b.poll_receive()
        assert a.event(0) is None
        # Who does not ask is not told; what he asked for the last time is of then.
        a.qp.modify(QPAttr(qp_state=e.IBV_QPS_SQD), e.IBV_QP_STATE)
        net.wait_for(lambda: not a.qp.query(0)[0].sq_draining, 5, "a drained queue")
        assert a.event(0.2) is None


@pytest.mark.parametrize("ends", ("here", "there"))
def test_sent_too_early(pair, ends):
    """What ibv_post_send() has refused does not complete, not even flushed."""
    with Two(pair, size=8192, connect=False) as (a, b):
        b.connect(a.identity())
        a.qp.to_rtr(a.attributes(b.identity()))
        with pytest.raises(PyverbsRDMAError):
            a.post(e.IBV_WR_SEND, 0, 8)
        if ends == "here":
            a.to_error()
        else:
            b.post(e.IBV_WR_RDMA_WRITE, 0, 8, b.identity()._replace(address=0))
            a.wait_state(e.IBV_QPS_ERR)
        a.nothing()


def test_flush_order(pair):
    """In the error state all that is posted completes, flushed, in order."""
    with Two(pair, size=65536, depth=32, timeout=0) as (a, b):
        for wr_id in range(20):
            b.post_receive(0, 8, wr_id=wr_id)
        b.to_error()
        flushed = e.IBV_WC_WR_FLUSH_ERR
        assert b.receive_statuses(20) == [(wr_id, flushed) for wr_id in range(20)]
        # Nobody answers, so these are still under way.
        peer = b.identity()
        opcodes = (e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_READ, e.IBV_WR_SEND)
        for wr_id in range(20):
            a.post(opcodes[wr_id % 3], 0, 8, None if wr_id % 3 == 2 else peer,
                   wr_id=wr_id, flags=0)
        a.nothing(0.1)
        a.to_error()
        assert a.statuses(20) == [(wr_id, flushed) for wr_id in range(20)]
        for wr_id in range(3):
            a.post(e.IBV_WR_SEND, 0, 8, wr_id=wr_id)
        assert a.statuses(3) == [(wr_id, flushed) for wr_id in range(3)]
        a.nothing(0)


def test_receives_after_the_error(pair):
    """Posting a receive request is no system call, yet none is forgotten, however
    long the queue pair has been in error."""
    with Two(pair, size=4096) as (_, b):
        b.to_error()
        for wait in (0, 0.5, 2):
            time.sleep(wait)
            b.post_receive(0, 8, wr_id=7)
            assert b.receive_statuses(1, 5) == [(7, e.IBV_WC_WR_FLUSH_ERR)]
        b.nothing(0)


# --- limits ----------------------------------------------------------------


def test_limits_are_honest(pair):
    """What the device reports can be had, and no more than that."""
    with Two(pair, connect=False, size=4096) as (a, _):
        limits = a.context.query_device()
        assert limits.vendor_id not in (0, 0xffffff)
        big = Node(a.end, size=4096, depth=limits.max_qp_wr, sges=limits.max_sge,
                   cqe=limits.max_qp_wr)
        assert big.init.cap.max_send_wr >= limits.max_qp_wr
        big.close()
        CQ(a.context, limits.max_cqe).close()
        with pytest.raises(PyverbsRDMAError):
            CQ(a.context, limits.max_cqe + 1)
        def make(**changes):
            cap = QPCap(**{"max_send_wr": 1, "max_recv_wr": 1, "max_send_sge": 1,
                           "max_recv_sge": 1, "max_inline_data": 0, **changes})
            return QP(a.pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=a.cq, rcq=a.rcq, cap=cap))
        for name, value in (("max_send_wr", limits.max_qp_wr + 1),
                            ("max_recv_wr", limits.max_qp_wr + 1),
                            ("max_send_sge", limits.max_sge + 1),
                            ("max_recv_sge", limits.max_sge + 1),
                            ("max_inline_data", 1 << 20)):
            with pytest.raises(PyverbsRDMAError, match="Invalid argument"):
                make(**{name: value})
        make(max_send_wr=0, max_recv_wr=0).close()
        make().close()


@pytest.mark.parametrize("reads", (1, 16, 128))
def test_read_limit(pair, reads):
    """As many READs at once as the device says."""
    with Two(pair, size=1 << 20, depth=256, reads=reads, mtu=256) as (a, b):
        assert a.context.query_device().max_qp_rd_atom >= reads
        peer = b.identity()
        b.memory[0:1 << 20] = random.Random(8).randbytes(1 << 20)
        for slot in range(200):
            a.post(e.IBV_WR_RDMA_READ, slot * 1000, 1000, peer, slot * 1000)
        a.poll(200)
        assert same(a.memory[0:200_000], b.memory[0:200_000])
