# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A page that takes its time holds up the queue pair that needs it, and nothing else;
and whatever is to end meanwhile ends.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b, whose memory has pages that
                                          a userfaultfd or a FUSE file system serves
"""

import contextlib
import os
import signal
import threading
import time

import pytest
from pyverbs.mr import MR
from pyverbs.pyverbs_error import PyverbsError

import test_srq

from lab import net, resources, ud, wire
from lab.mapping import MIB, PAGE, PRIVATE, Child, Mapping, Uffd, noise
from lab.marks import slow_but
from lab.rc import Node, Two, counters, counting, e, meet_child, meet_parent, same
from lab.slowfile import SlowFile
from lab.uverbs import PREFETCH_WRITE, REREG_TRANS, advise, rereg
from lab.verbs import ACCESS, Peer

SIZE = 16 * PAGE
# All the patience that a requester has with silence: 34 ms, and 67 ms three times.
IMPATIENT = {"timeout": 12, "retries": 3, "rnr_timer": 1}
LONG = 0.5


pytestmark = pytest.mark.urxe_only("rdma_rxe pins: its pages are there")


class UserFault:
    """Memory whose pages come from a userfaultfd of ours."""

    def __init__(self):
        self.mapping = Mapping(SIZE)
        self.uffd = Uffd(self.mapping)
        self.bytes = noise(SIZE)
        self.address = None

    def wait(self):
        self.address = self.uffd.wait() & -PAGE

    def answer(self):
        """The page that is waited for, and then all others at once."""
        for at in range(0, SIZE, PAGE):
            with contextlib.suppress(OSError):  # there already
                self.uffd.answer(self.mapping.addr + at, self.bytes[at:at + PAGE])

    def close(self):
        self.uffd.close()


class FuseFault:
    """A private mapping of a file that a FUSE server of ours serves."""

    def __init__(self):
        self.file = SlowFile(SIZE)
        self.file.__enter__()
        self.mapping = Mapping(SIZE, fd=self.file.fd, flags=PRIVATE)
        self.bytes = noise(SIZE)

    def wait(self):
        self.file.wait()

    def answer(self):
        self.file.answer()

    def close(self):
        with contextlib.suppress(OSError):
            self.mapping.unmap()
        self.file.__exit__()


SORTS = (pytest.param(UserFault, id="userfaultfd"),
         pytest.param(FuseFault, id="fuse", marks=pytest.mark.slow))


@pytest.fixture(params=SORTS)
def slow(request):
    made = request.param()
    yield made
    made.close()


# Who needs the page, and why. True: the peer waits for an answer, and is told.
def write(a, b):
    a.memory[0:PAGE] = noise(PAGE, 2)
    a.post(e.IBV_WR_RDMA_WRITE, 0, PAGE, b.identity(), PAGE)


def read(a, b):
    a.post(e.IBV_WR_RDMA_READ, 0, PAGE, b.identity(), PAGE)


def send(a, b):
    a.memory[0:PAGE] = noise(PAGE, 2)
    b.post_receive(PAGE, PAGE)
    a.post(e.IBV_WR_SEND, 0, PAGE)


def fetch_and_add(a, b):
    a.post(e.IBV_WR_ATOMIC_FETCH_AND_ADD, 0, 8, b.identity(), PAGE, compare_add=1)


def own_write(a, b):
    b.post(e.IBV_WR_RDMA_WRITE, PAGE, PAGE, a.identity(), 0)


def own_read(a, b):
    a.memory[0:PAGE] = noise(PAGE, 2)
    b.post(e.IBV_WR_RDMA_READ, PAGE, PAGE, a.identity(), 0)


def prefetched(a, b):
    """In the background."""
    advise(b.context, b.pd, PREFETCH_WRITE, [(b.memory.addr, SIZE, b.mr.lkey)], flush=False)


TOLD, NOT_TOLD = (write, read, send, fetch_and_add), (own_write, own_read)


def done(operate, a, b, slow):
    """It has succeeded, and the bytes are right at both ends."""
    (b if operate in NOT_TOLD else a).poll()
    old = slow.bytes[PAGE:2 * PAGE]
    if operate in (write, send, own_read):
        if operate is send:
            b.poll_receive()
        assert same(slow.mapping.peek(PAGE, PAGE), noise(PAGE, 2))
    elif operate is fetch_and_add:
        assert a.memory[0:8] == old[:8]
        value = int.from_bytes(old[:8], "little") + 1
        assert slow.mapping.peek(PAGE, 8) == (value & (1 << 64) - 1).to_bytes(8, "little")
    else:
        assert same(a.memory[0:PAGE], old)


@contextlib.contextmanager
def stuck(pair, slow, operate=write, **options):
    """Two nodes, of which b's memory keeps the operation waiting."""
    with Two(pair, a={"size": SIZE}, b={"memory": slow.mapping},
             **dict(IMPATIENT, **options)) as (a, b):
        operate(a, b)
        slow.wait()
        yield a, b
        b.memory = Mapping(PAGE)


# --- that queue pair ---------------------------------------------------------------


class Told:
    """How often peers of b have been told to wait, from now on."""

    def __init__(self, pair):
        self.link = pair.b.link
        self.before = self.now()

    def now(self):
        return counters(self.link)["tx_rnr_nak"]

    def count(self):
        return self.now() - self.before

    def wait_for(self, times):
        """Each wait is for as long as it has all taken: the third ends beyond the
        patience with silence, the fourth far beyond."""
        net.wait_for(lambda: self.count() >= times, 20, f"to be told {times} times to wait")


@pytest.mark.parametrize("operate", TOLD + NOT_TOLD, ids=lambda one: one.__name__)
def test_waits(pair, slow, operate):
    """Far beyond the peer's patience with silence, and then it goes on as if nothing
    had been. The peer was told to wait whenever it asked."""
    told = Told(pair)
    with stuck(pair, slow, operate) as (a, b):
        if operate in TOLD:
            told.wait_for(4)
        else:
            time.sleep(LONG)
        for node in (a, b):
            node.nothing(0)
        slow.answer()
        done(operate, a, b, slow)
        assert 4 <= told.count() < 20 if operate in TOLD else told.count() == 0
        # nothing is left behind
        a.memory[0:SIZE] = noise(SIZE, 4)
        a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, b.identity(), 0)
        a.poll()
        assert same(slow.mapping.peek(), noise(SIZE, 4))


def test_waits_in_the_middle(pair, slow):
    """Of a message, with others behind it; each is done once, in order."""
    told = Told(pair)
    with stuck(pair, slow, lambda a, b: a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE,
                                               b.identity(), 0)) as (a, b):
        for wr_id in range(1, 5):
            a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, b.identity(), 0, wr_id=wr_id)
        a.memory[0:8] = bytes(8)
        a.post(e.IBV_WR_ATOMIC_FETCH_AND_ADD, 8, 8, b.identity(), 0, compare_add=1,
               wr_id=5)
        told.wait_for(3)
        a.nothing(0)
        slow.answer()
        assert a.statuses(6) == [(n, e.IBV_WC_SUCCESS) for n in range(6)]
        assert slow.mapping.peek(0, 8) == (1).to_bytes(8, "little")


def test_a_peer_that_may_not_be_told(pair, slow):
    """Without retries for a receiver that is not ready, being told would be the end.
    Such a peer has its patience with silence, to the end of that."""
    told = Told(pair)
    with stuck(pair, slow, rnr_retries=0) as (a, b):
        assert a.statuses() == [(0, e.IBV_WC_RETRY_EXC_ERR)]
        assert told.count() == 0
        slow.answer()
        b.close()
        b.close = lambda: None


def test_a_peer_with_few_retries(pair, slow):
    """Each time it asks it is asked to wait for longer: three times are long enough
    for a page that comes after it has asked twice, which leaves a second for that."""
    with contextlib.closing(wire.Injector(pair.a, pair.b)) as line, \
         stuck(pair, slow, rnr_retries=3, timeout=14) as (a, b):
        answers = line.heard(20, 2)
        slow.answer()
        done(write, a, b, slow)
    assert [(one.opcode, one.roce[12] & 0xe0) for one in answers] == 2 * [(wire.ACK, 0x20)]
    # The timer codes count up with the wait, but for 0, which is the longest.
    first, second = ((one.roce[12] - 1) % 32 for one in answers)
    assert first < second or first == second == 31


def test_a_page_that_never_comes(pair, slow):
    """Few retries do end, in a status that says why."""
    with stuck(pair, slow, rnr_retries=1) as (a, _):
        assert a.statuses() == [(0, e.IBV_WC_RNR_RETRY_EXC_ERR)]


@pytest.mark.parametrize("operate", slow_but((read,), TOLD + NOT_TOLD))
def test_a_page_that_fails_late(pair, operate):
    """And each time it is asked for. The error is what is told in the end, to whom it
    concerns."""
    status = {send: e.IBV_WC_REM_OP_ERR, own_write: e.IBV_WC_LOC_PROT_ERR,
              own_read: e.IBV_WC_LOC_PROT_ERR}.get(operate, e.IBV_WC_REM_ACCESS_ERR)
    with SlowFile(SIZE, fails_after=0.05) as file:
        there = Mapping(SIZE, fd=file.fd, flags=PRIVATE)
        with Two(pair, a={"size": SIZE}, b={"memory": there}, timeout=14) as (a, b):
            operate(a, b)
            assert (b if operate in NOT_TOLD else a).statuses() == [(0, status)]


def test_what_is_done_is_acknowledged(pair, slow):
    """The message before the one that has to wait has been done, and its sender hears of
    it though it never asks again."""
    with contextlib.closing(Mapping(PAGE)) as there, \
         Two(pair, a={"size": SIZE}, b={"memory": slow.mapping}, timeout=0) as (a, b):
        there.poke(bytes(PAGE))
        with contextlib.closing(MR(b.pd, PAGE, ACCESS, address=there.addr)) as region:
            # Of one size, so that they come together.
            peer = b.identity()
            second = a.request(e.IBV_WR_RDMA_WRITE, 0, 1000, peer, wr_id=2)
            a.post(e.IBV_WR_RDMA_WRITE, 0, 1000,
                   peer._replace(rkey=region.rkey, address=there.addr), wr_id=1,
                   then=second)
            slow.wait()
            assert a.statuses() == [(1, 0)]
            a.nothing()
            slow.answer()
            assert a.statuses() == [(2, 0)]
        b.memory = Mapping(PAGE)


def test_own_page_is_not_the_peers_time(pair):
    """The peer has nothing to answer as long as the sender waits for the rest."""
    with contextlib.closing(UserFault()) as slow, \
         Two(pair, a={"size": SIZE}, b={"memory": slow.mapping}, timeout=15,
             retries=0) as (a, b):
        slow.uffd.answer(slow.mapping.addr, slow.bytes[:PAGE])
        b.post(e.IBV_WR_RDMA_WRITE, 0, 2 * PAGE, a.identity())
        slow.wait()
        time.sleep(LONG)
        slow.answer()
        b.poll()
        assert same(a.memory[0:2 * PAGE], slow.bytes[:2 * PAGE])
        b.memory = Mapping(PAGE)


def test_what_is_made_is_sent(pair):
    """A message whose page has come does not wait for the next one's; only its completion
    does, as all of that side of the queue pair."""
    with contextlib.closing(UserFault()) as slow, \
         Two(pair, a={"size": SIZE}, b={"memory": slow.mapping}, timeout=0) as (a, b):
        second = b.request(e.IBV_WR_RDMA_WRITE, PAGE, PAGE, a.identity(), wr_id=1)
        b.post(e.IBV_WR_RDMA_WRITE, 0, PAGE, a.identity(), wr_id=0, then=second)
        slow.wait()
        slow.uffd.answer(slow.mapping.addr, slow.bytes[:PAGE])
        slow.wait()
        net.wait_for(lambda: bytes(a.memory[0:PAGE]) == slow.bytes[:PAGE], 5,
                     "the first message")
        slow.answer()
        assert b.statuses(2) == [(0, 0), (1, 0)]
        b.memory = Mapping(PAGE)


def test_a_sender_that_is_told_nothing(pair):
    """UC has no acknowledgments: a sender on the receiver's host pauses when much of what
    it has sent waits for the page. None of twice as much as may wait is lost."""
    lots = 16 * MIB // SIZE
    slow = UserFault()
    def answer_late():
        slow.wait()
        time.sleep(0.3)
        slow.answer()
    answers = threading.Thread(target=answer_late)
    with contextlib.closing(slow), \
            Two(pair, a={"size": SIZE}, b={"memory": slow.mapping}, depth=lots,
                service=e.IBV_QPT_UC) as (a, b), counting(pair.b.link, drop_backlog=0):
        for _ in range(lots):
            b.post_receive(0, SIZE)
        answers.start()
        for _ in range(lots):
            a.post(e.IBV_WR_SEND, 0, SIZE)
        answers.join()
        for _ in range(lots):
            b.poll_receive()
        b.memory = Mapping(PAGE)


# --- and no other --------------------------------------------------------------------


def exchange(a, b, times=10):
    """Traffic both ways that must not be held up."""
    start = time.monotonic()
    for turn in range(times):
        a.memory[0:SIZE] = noise(SIZE, turn)
        a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, b.identity(), 0)
        a.poll()
        assert same(b.memory[0:SIZE], noise(SIZE, turn))
        b.post(e.IBV_WR_RDMA_WRITE, 0, 100, a.identity(), SIZE - 100)
        b.poll()
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("operate", (write, own_write), ids=("responder", "requester"))
def test_others_go_on(pair, slow, operate):
    """Other queue pairs of the process, on memory of its own and pages never seen;
    another process; the other direction of the same queue pair."""
    with stuck(pair, slow, operate) as (a, b):
        with Two(pair, size=SIZE) as (c, d):
            exchange(c, d)
        def other_process():
            with Two(pair, size=SIZE) as (c, d):
                exchange(c, d)
        assert Child(lambda _: other_process()).end() == 0
        if operate is write:
            elsewhere = Mapping(SIZE)
            elsewhere.poke(noise(SIZE, 5))
            with contextlib.closing(MR(b.pd, SIZE, 1, address=elsewhere.addr)) as own:
                b.post_raw(e.IBV_WR_RDMA_WRITE, [(elsewhere.addr, SIZE, own.lkey)],
                           (a.mr.rkey, a.memory.address))
                b.poll()
            assert same(a.memory[0:SIZE], noise(SIZE, 5))
        slow.answer()
        a.poll() if operate is write else b.poll()


def test_shared_receive_queue(pair):
    """Who has taken a request whose page takes its time waits alone; the next request is
    for who comes next."""
    with contextlib.closing(UserFault()) as slow, \
         test_srq.Shared(pair, senders=2, b={"memory": slow.mapping}) as shared:
        (a, b), (c, d) = shared.pairs
        slow.uffd.answer(slow.mapping.addr, slow.bytes[:PAGE])
        for wr_id, at in ((1, PAGE), (2, 0)):
            b.post_shared(at, PAGE, wr_id)
        a.memory[0:2 * PAGE] = noise(2 * PAGE)
        a.post(e.IBV_WR_SEND, 0, PAGE)
        slow.wait()
        c.post(e.IBV_WR_SEND, PAGE, PAGE)
        c.poll()
        done, = b.poll_receive()
        assert (done.wr_id, done.qp_num) == (2, d.qp.qp_num)
        assert same(slow.mapping.peek(0, PAGE), a.memory[PAGE:2 * PAGE])
        slow.answer()
        a.poll()
        done, = b.poll_receive()
        assert (done.wr_id, done.qp_num) == (1, b.qp.qp_num)
        assert same(slow.mapping.peek(PAGE, PAGE), a.memory[0:PAGE])
        b.memory = Mapping(PAGE)


def test_own_page_without_acknowledgment(pair, slow):
    """UC: what is sent waits for its page, and leaves with the right bytes."""
    with Two(pair, a={"size": SIZE}, b={"memory": slow.mapping},
             service=e.IBV_QPT_UC) as (a, b):
        a.post_receive(0, PAGE)
        b.post(e.IBV_WR_SEND, PAGE, PAGE)
        slow.wait()
        with Two(pair, size=SIZE) as (c, d):
            exchange(c, d, 2)
        b.nothing(0)
        slow.answer()
        b.poll()
        a.poll_receive()
        assert same(a.memory[0:PAGE], slow.bytes[PAGE:2 * PAGE])
        b.memory = Mapping(PAGE)


@pytest.mark.slow
def test_many_stuck_ones_hold_up_no_other(pair):
    """Two dozen of one process at once, each with a worker that waits."""
    slow = UserFault()
    before = counters(pair.b.link)["worker_handover"]
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(Two(pair, a={"size": PAGE}, b={"memory": slow.mapping,
                                                                    "depth": 4}))
                 for _ in range(24)]
        for a, b in nodes:
            write_small(a, b)
        # Each of them asks for the page.
        for _ in nodes:
            slow.wait()
        assert counters(pair.b.link)["worker_handover"] - before == len(nodes)
        with Two(pair, size=SIZE) as (c, d):
            exchange(c, d, 5)
        slow.answer()
        for a, b in nodes:
            a.poll()
            b.memory = Mapping(PAGE)
    slow.close()


def write_small(a, b):
    a.post(e.IBV_WR_RDMA_WRITE, 0, 8, b.identity(), PAGE)


# --- the end, with the page still missing ----------------------------------------------

ENDS_WITHIN = 15


@contextlib.contextmanager
def in_time():
    start = time.monotonic()
    yield
    assert time.monotonic() - start < ENDS_WITHIN


@pytest.mark.parametrize("operate", slow_but((write, own_write), TOLD + NOT_TOLD))
def test_queue_pair_is_destroyed(pair, slow, operate):
    with stuck(pair, slow, operate) as (a, b):
        with in_time():
            b.qp.close()
        with in_time():
            a.close()
            b.mr.close()
        a.close = b.close = lambda: None


@pytest.mark.parametrize("operate", (write, own_write), ids=("responder", "requester"))
def test_region_is_given_up(pair, slow, operate):
    """The access that waited fails, as one that comes too late does."""
    with stuck(pair, slow, operate) as (a, b):
        with in_time():
            b.mr.close()
        if operate is write:
            assert a.statuses() == [(0, e.IBV_WC_REM_ACCESS_ERR)]
        else:
            assert b.statuses() == [(0, e.IBV_WC_LOC_PROT_ERR)]


def test_region_is_changed(pair, slow):
    """To other memory, by ibv_rereg_mr(): likewise, and the new key is for that at once."""
    with contextlib.closing(Mapping(SIZE)) as other, stuck(pair, slow) as (a, b):
        with in_time():
            _, rkey = rereg(b, REREG_TRANS, other.addr, SIZE)
        assert a.statuses() == [(0, e.IBV_WC_REM_ACCESS_ERR)]
        for node in (a, b):
            node.wait_state(e.IBV_QPS_ERR)
            node.reset()
        slow.answer()
        a.connect(b.identity())
        b.connect(a.identity())
        a.post(e.IBV_WR_RDMA_WRITE, 0, PAGE, Peer(None, None, rkey, other.addr))
        a.poll()
        assert same(other.peek(0, PAGE), noise(PAGE, 2))
        assert same(slow.mapping.peek(), slow.bytes)


def test_queue_pair_is_reset(pair, slow):
    """And used again."""
    with stuck(pair, slow) as (a, b):
        with in_time():
            b.reset()
            a.reset()
        slow.answer()
        a.connect(b.identity())
        b.connect(a.identity())
        write(a, b)
        done(write, a, b, slow)


class Owner:
    """A child process whose memory keeps the parent's WRITE waiting, or an operation of
    its own."""

    def __init__(self, pair, slow_type, how, operate=write):
        self.slow_type, self.pair, self.how, self.operate = slow_type, pair, how, operate
        # Its server is ours: it must not go with the child, and must not outlive us.
        self.slow = slow_type() if slow_type is FuseFault else None
        self.child = Child(self.live)
        self.node = Node(pair.a, SIZE)
        self.peer = meet_child(self.child, self.node, **IMPATIENT)
        if operate is write:
            self.node.post(e.IBV_WR_RDMA_WRITE, 0, PAGE, self.peer, PAGE)
        else:
            self.child.go()
        self.child.listen()

    def live(self, child):
        slow = self.slow or self.slow_type()
        node = Node(self.pair.b, memory=slow.mapping)
        peer = meet_parent(child, node, **IMPATIENT)
        if self.operate is not write:
            child.wait_go()
            self.operate(Stranger(peer), node)
        slow.wait()
        child.say()
        self.how(child)


class Stranger:
    """A node of another process, as far as one can see it."""

    def __init__(self, peer):
        self.memory, self.identity = bytearray(PAGE), lambda: peer


# How a process ends, and what it says of that.
def is_killed(child):
    os.kill(os.getpid(), signal.SIGKILL)


def exits(child):
    os._exit(3)


def executes(child):
    os.execv("/bin/sh", ["/bin/sh", "-c", "exit 3"])


@pytest.mark.parametrize("how,status", ((is_killed, -signal.SIGKILL), (exits, 3),
                                        (executes, 3)), ids=lambda one: getattr(
                                            one, "__name__", ""))
@pytest.mark.parametrize("slow_type", SORTS)
def test_process_ends(pair, slow_type, how, status):
    """Its queue pair goes with it, although the worker that waits for its page keeps
    its address space. (A userfaultfd goes too, and the page may come before that.)"""
    before = resources.counts(pair.b.link.name)["qp"]
    owner = Owner(pair, slow_type, how)
    with in_time():
        assert owner.child.end() == status
        ended = owner.node.statuses(seconds=ENDS_WITHIN)[0][1]
        assert ended or slow_type is UserFault
        net.wait_for(lambda: resources.counts(pair.b.link.name)["qp"] == before, ENDS_WITHIN,
                     "the queue pair to go")
    owner.node.close()
    if owner.slow:
        owner.slow.close()


@pytest.mark.slow
@pytest.mark.parametrize("how,status", ((is_killed, -signal.SIGKILL), (exits, 3)),
                         ids=("killed", "exits"))
@pytest.mark.parametrize("operate", NOT_TOLD + (prefetched,))
@pytest.mark.parametrize("slow_type", SORTS)
def test_process_ends_in_its_own_work(pair, slow_type, operate, how, status):
    """Likewise, where it is its own request, or its advice, that waits."""
    before = resources.counts(pair.b.link.name)["qp"]
    owner = Owner(pair, slow_type, how, operate)
    with in_time():
        assert owner.child.end() == status
        net.wait_for(lambda: resources.counts(pair.b.link.name)["qp"] == before, ENDS_WITHIN,
                     "the queue pair to go")
    owner.node.nothing(0)
    owner.node.close()
    if owner.slow:
        owner.slow.close()


def test_datagrams(pair, slow):
    """A datagram's receiver waits alone, too, and is destroyed in time."""
    with ud.Two(pair, a={"size": SIZE}, b={"memory": slow.mapping}) as (a, b):
        b.post_receive(PAGE, PAGE)
        a.send(b.identity(), 0, 100)
        a.poll()
        slow.wait()
        with ud.Two(pair, size=SIZE) as (c, d):
            c.memory[0:100] = noise(100)
            d.post_receive(0, PAGE)
            c.send(d.identity(), 0, 100)
            d.poll_receive()
            assert same(d.memory[ud.GRH:ud.GRH + 100], c.memory[0:100])
        with in_time():
            b.qp.close()
        b.memory = Mapping(PAGE)


def test_own_datagram(pair, slow):
    """And so does its sender, whose datagram leaves when it is whole."""
    with ud.Two(pair, a={"size": SIZE}, b={"memory": slow.mapping}) as (a, b):
        a.post_receive(0, PAGE)
        b.send(a.identity(), PAGE, 100)
        slow.wait()
        b.nothing(0)
        slow.answer()
        b.poll()
        a.poll_receive()
        assert same(a.memory[ud.GRH:ud.GRH + 100], slow.bytes[PAGE:PAGE + 100])
        b.memory = Mapping(PAGE)


@pytest.mark.parametrize("operate", slow_but((write,), (write, own_write, own_read,
                                                        prefetched)))
@pytest.mark.parametrize("ends", ("link", "module"))
def test_link_goes(link_type, pair, slow, ends, operate):
    """The link is deleted, the module unloaded, with all objects open."""
    took = told = None
    # What closes them finds them gone.
    with contextlib.suppress(PyverbsError), stuck(pair, slow, operate) as (_, b):
        took = -time.monotonic()
        if ends == "module":
            net.unload(link_type)
        else:
            pair.b.link.delete()
        took += time.monotonic()
        told = b.event()
    assert took is not None and took < ENDS_WITHIN
    assert told == e.IBV_EVENT_DEVICE_FATAL
    net.load(link_type)
    for end in pair.ends if ends == "module" else [pair.b]:
        end.add_link(link_type)
