# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Life goes on while traffic runs: what a process, or the kernel, does to memory
that a peer writes and reads at the same time.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b
        writes, reads back, compares      its memory is what things happen to
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from lab import disk, machine
from lab.command import TESTS
from lab.mapping import (ANON, MADV_COLLAPSE, MADV_DONTNEED, MADV_FREE, MADV_HUGEPAGE,
                         MADV_MERGEABLE, MADV_PAGEOUT, MADV_SOFT_OFFLINE, MAP_HUGETLB, MIB,
                         PAGE, PRIVATE, PROT_NONE, PROT_READ, RW, Child, Mapping, in_child,
                         noise, read_file, write_file)
from lab.marks import slow, slow_but
from lab.net import wait_for
from lab.rc import Node, Two, counters, e, meet_child, meet_parent, same
from lab.verbs import Peer

SIZE = 64 * PAGE
ACCESS_ERROR = e.IBV_WC_REM_ACCESS_ERR


pytestmark = pytest.mark.urxe_only("rdma_rxe pins: its memory leads another life")


class Traffic(threading.Thread):
    """Writes all of b's memory, reads it back behind what was written, and compares, over
    and over, from a.

    A round's bytes are noise of their own. With zeroes, what is read back may be
    zero instead wherever it likes: the page may go and come at any moment."""

    def __init__(self, a, b, zeroes=False):
        super().__init__()
        self.a, self.b, self.zeroes = a, b, zeroes
        self.over, self.rounds, self.error = threading.Event(), 0, None

    def run(self):
        try:
            while not self.over.is_set():
                self.round()
                self.rounds += 1
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def bytes_of(self, number):
        return noise(SIZE, number)

    def round(self):
        want = self.bytes_of(self.rounds)
        self.a.memory[0:SIZE] = want
        self.a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, self.b.identity(), 0)
        self.a.post(e.IBV_WR_RDMA_READ, SIZE, SIZE, self.b.identity(), 0)
        self.a.poll(2)
        got = self.a.memory[SIZE:2 * SIZE]
        if self.zeroes:
            got = bytes(one or other for one, other in zip(got, want))
        assert same(got, want)

    def more(self, rounds=2):
        """Wait until so many rounds more are over, or traffic has stopped."""
        target = self.rounds + rounds
        wait_for(lambda: self.rounds >= target or not self.is_alive(), 60,
                 f"more than {self.rounds} rounds")
        if self.error:
            raise self.error

    def last_bytes(self):
        """Stop, and say what b's memory must be."""
        self.over.set()
        self.join()
        if self.error:
            raise self.error
        return self.bytes_of(self.rounds - 1)


@contextlib.contextmanager
def traffic(pair, memory, zeroes=False, asks=False):
    """Yields a Traffic that runs; it ends well, and so do both nodes. The memory is b's,
    or that of a, which asks."""
    mine, others = ({"memory": memory}, {"size": SIZE}) if asks else (
        {"size": 2 * SIZE}, {"memory": memory})
    with Two(pair, a=mine, b=others) as (a, b):
        running = Traffic(a, b, zeroes)
        running.start()
        try:
            running.more()
            yield running
            running.more()
        finally:
            running.over.set()
            running.join()
        if running.error:
            raise running.error


# --- fork ------------------------------------------------------------------------


@pytest.mark.parametrize("children", (slow("read"), "write"))
def test_fork(pair, children):
    """Children come while the parent's memory is written by the peer: each sees one
    moment of it for good, and what it writes nobody else sees."""
    there = Mapping(SIZE)

    def live():
        moment = there.peek()
        for _ in range(5):
            if children == "write":
                moment = noise(SIZE, os.getpid())
                there.poke(moment)
            time.sleep(0.01)
            assert same(there.peek(), moment)

    with traffic(pair, there) as running:
        for _ in range(8):
            in_child(live)
            running.more(1)
        assert same(running.last_bytes(), there.peek())


def anonymous():
    made = Mapping(SIZE)
    made.poke(noise(SIZE, 0))
    return made


def huge():
    disk.huge_pages(8)
    made = Mapping(2 * MIB, flags=ANON | MAP_HUGETLB)
    made.poke(noise(SIZE, 0))
    return made


def transparent_huge():
    whole = Mapping(4 * MIB)
    made = Mapping(2 * MIB, addr=(whole.addr + 2 * MIB - 1) & -(2 * MIB))
    made.advise(MADV_HUGEPAGE)
    # There may be no huge page free.
    write_file("/proc/sys/vm/compact_memory", 1)
    before = machine.vmstat("thp_fault_alloc")
    made.poke(noise(SIZE, 0))
    assert machine.vmstat("thp_fault_alloc") > before
    return made


def private_file():
    """Not written yet: its pages are the file's."""
    file = os.memfd_create("file")
    os.pwrite(file, noise(SIZE, 0), 0)
    made = Mapping(SIZE, fd=file, flags=PRIVATE)
    os.close(file)
    return made


# What a fork shares in different ways until somebody writes. Each is noise(SIZE, 0).
FORKED = {"anonymous": anonymous, "transparent huge": transparent_huge,
          "hugetlb": huge, "private file": private_file}


@contextlib.contextmanager
def forked(there, turn, writes=False):
    """Meanwhile there is a child, which sees this moment of the memory, noise of this
    turn, to its end; or what it has written itself."""
    if turn:
        there.poke(noise(SIZE, turn))
    sees = noise(SIZE, 60 if writes else turn)

    def live(child):
        if writes:
            there.poke(sees)
        child.say()
        child.wait_go()
        assert same(there.peek(0, SIZE), sees)

    child = Child(live)
    child.listen()
    yield
    child.go()
    assert child.end() == 0


@pytest.mark.parametrize("kind", slow_but(("anonymous",), FORKED))
def test_fork_and_the_parent_writes(pair, kind):
    """The parent's own write after a fork makes a copy; the peer's next lands in it."""
    there = FORKED[kind]()
    with Two(pair, size=SIZE, b={"memory": there}) as (a, b):
        for turn in range(5):
            with forked(there, turn):
                there.poke(b"parent's", 8)
                a.memory[0:PAGE] = noise(PAGE, 100 + turn)
                a.post(e.IBV_WR_RDMA_WRITE, 0, PAGE, b.identity(), PAGE)
                a.post(e.IBV_WR_RDMA_READ, PAGE, 2 * PAGE, b.identity(), 0)
                a.poll(2)
                want = bytearray(noise(SIZE, turn)[0:PAGE])
                want[8:16] = b"parent's"
                assert same(a.memory[PAGE:3 * PAGE], want + noise(PAGE, 100 + turn))


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORKED)
def test_fork_and_the_peer_writes_first(pair, kind):
    """It is the peer's write that makes the copy, or finds that the child made one."""
    there = FORKED[kind]()
    with Two(pair, size=SIZE, b={"memory": there}) as (a, b):
        for turn in range(4):
            with forked(there, turn, writes=turn % 2):
                a.memory[0:PAGE] = noise(PAGE, 100 + turn)
                a.post(e.IBV_WR_RDMA_WRITE, 0, PAGE, b.identity(), PAGE + 5)
                a.poll()
                want = bytearray(noise(SIZE, turn))
                want[PAGE + 5:2 * PAGE + 5] = noise(PAGE, 100 + turn)
                assert same(there.peek(0, SIZE), want)


@pytest.mark.slow
def test_fork_of_the_sender(pair):
    """What is sent is the parent's, whatever children do to their copy."""
    with Two(pair, size=SIZE) as (a, b):
        for turn in range(5):
            a.memory[0:SIZE] = noise(SIZE, turn)
            child = Child(lambda c: (a.memory.__setitem__(slice(0, SIZE), bytes(SIZE)),
                                     c.say(), c.wait_go()))
            child.listen()
            a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, b.identity(), 0)
            a.poll()
            assert same(b.memory[0:SIZE], noise(SIZE, turn))
            child.go()
            assert child.end() == 0


# --- mappings --------------------------------------------------------------------


@pytest.mark.slow
def test_mapped_over(pair):
    """A new mapping takes the old one's place: bytes land in what is there."""
    there = Mapping(SIZE)
    with traffic(pair, there, zeroes=True) as running:
        for _ in range(10):
            Mapping(SIZE, addr=there.addr)
            running.more(1)
        # Else the last one may have begun in the mapping before.
        running.more()
        assert same(running.last_bytes(), there.peek())


def move_away(there):
    place = Mapping(SIZE)
    place.unmap()
    there.home = there.addr
    there.move(place.addr)


def move_back(there):
    there.move(there.home)


# what happens, what makes it good again, and whether the bytes are still there
SPOILED = {
    "unmapped": (Mapping.unmap, lambda m: Mapping(SIZE, addr=m.addr), False),
    "moved": (move_away, move_back, True),
    "protected": (lambda m: m.protect(PROT_NONE), lambda m: m.protect(RW), True),
    "read-only": (lambda m: m.protect(PROT_READ), lambda m: m.protect(RW), True),
    "partly unmapped": (lambda m: m.unmap(SIZE // 2, PAGE),
                        lambda m: Mapping(SIZE, addr=m.addr), False),
}


def reconnect(a, b):
    for node in (a, b):
        node.reset()
        node.pending = []
    a.connect(b.identity())
    b.connect(a.identity())


@pytest.mark.parametrize("how", slow_but(("unmapped",), SPOILED))
def test_spoiled(pair, how):
    """Memory that may not be reached any more ends in an access error at both ends,
    at once, and is the region's memory again when it may."""
    spoil, mend, kept = SPOILED[how]
    there = Mapping(SIZE)
    with Two(pair, a={"size": 2 * SIZE}, b={"memory": there}) as (a, b):
        peer = b.identity()
        b.identity = lambda: peer
        running = Traffic(a, b)
        # elsewhere, but their pages may be those that are given up
        others = [Mapping(SIZE) for _ in range(4)]
        running.start()
        running.more()
        spoil(there)
        for other in others:
            other.poke(noise(SIZE, 50))
        running.join(60)
        assert not running.is_alive(), "a WRITE to nowhere does not end"
        assert f"status {ACCESS_ERROR}" in str(running.error)
        a.wait_state(e.IBV_QPS_ERR)
        b.wait_state(e.IBV_QPS_ERR)
        assert b.event() == e.IBV_EVENT_QP_ACCESS_ERR
        for other in others:
            assert same(other.peek(), noise(SIZE, 50))
            other.unmap()
        last = there.peek() if kept and how == "moved" else None
        mend(there)
        assert last is None or same(there.peek(), last)
        reconnect(a, b)
        running = Traffic(a, b)
        running.start()
        running.more()
        assert same(running.last_bytes(), there.peek())


def test_read_only_is_still_read(pair):
    there = Mapping(SIZE)
    there.poke(noise(SIZE, 1))
    with Two(pair, size=SIZE, b={"memory": there}) as (a, b):
        there.protect(PROT_READ)
        a.post(e.IBV_WR_RDMA_READ, 0, SIZE, b.identity(), 0)
        a.poll()
        assert same(a.memory[0:SIZE], noise(SIZE, 1))
        there.protect(RW)
        a.memory[0:SIZE] = noise(SIZE, 2)
        a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, b.identity(), 0)
        a.poll()
        assert same(there.peek(), noise(SIZE, 2))


@pytest.mark.parametrize("what", ("unmapped", "protected"))
def test_spoiled_at_the_sender(pair, what):
    """The sender's own memory: its request fails, nothing reaches the peer."""
    there = Mapping(SIZE)
    with Two(pair, size=SIZE, a={"memory": there}) as (a, b):
        SPOILED[what][0](there)
        b.post_receive(0, SIZE)
        before = counters(a.end.link)["tx_packets"]
        a.post(e.IBV_WR_SEND, 0, SIZE, wr_id=1)
        assert a.statuses() == [(1, e.IBV_WC_LOC_PROT_ERR)]
        # On one host what was offered to the peer counts, though it got nothing.
        assert a.end is b.end or counters(a.end.link)["tx_packets"] == before
        b.nothing(0)
        assert same(b.memory[0:SIZE], bytes(SIZE))


# --- advice, and what the kernel does by itself ------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("advice", (MADV_DONTNEED, MADV_FREE), ids=("dontneed", "free"))
def test_given_back(pair, swap, advice):
    """Pages become zeroes at any moment, and take the next bytes as well."""
    there = Mapping(SIZE)
    with traffic(pair, there, zeroes=True) as running:
        for turn in range(20):
            there.advise(advice, turn % 4 * PAGE, SIZE // 2)
            if advice == MADV_FREE:
                there.advise(MADV_PAGEOUT)
            if turn % 4 == 0:
                running.more(1)
        running.more()
        assert same(running.last_bytes(), there.peek())


@pytest.mark.slow
def test_collapsed(pair):
    """Small pages become a huge one, which is split again."""
    whole = Mapping(4 * MIB)
    there = Mapping(SIZE, addr=(whole.addr + 2 * MIB - 1) & -(2 * MIB))
    block = Mapping(2 * MIB, addr=there.addr)
    block.advise(MADV_HUGEPAGE)
    with traffic(pair, there) as running:
        huge = 0
        for _ in range(5):
            try:
                block.advise(MADV_COLLAPSE)
            except OSError:
                continue    # a page was held for a moment
            huge += 1
            running.more(1)
            block.protect(PROT_READ, SIZE, PAGE)
            block.protect(RW, SIZE, PAGE)
            running.more(1)
        assert huge
        assert same(running.last_bytes(), there.peek())
    whole.unmap()


def scramble():
    """Have the kernel move what it can: by compacting, and for huge pages."""
    write_file("/proc/sys/vm/compact_memory", 1)
    before = read_file("/proc/sys/vm/nr_hugepages")
    write_file("/proc/sys/vm/nr_hugepages", int(before) + 50)
    write_file("/proc/sys/vm/nr_hugepages", before)


def migrate(mapping, page):
    """The same, and one page for certain where the kernel can declare it bad."""
    scramble()
    with contextlib.suppress(OSError):
        mapping.advise(MADV_SOFT_OFFLINE, page * PAGE, PAGE)


def frames_of(mapping):
    return [mapping.frame(at) for at in range(0, mapping.size, PAGE)]


@pytest.mark.slow
def test_migrated(pair, debug_kernel):
    """The bytes stay, at the same address, in other page frames."""
    there = Mapping(SIZE)
    moved = 0
    with traffic(pair, there) as running:
        for turn in range(2):
            frames = frames_of(there)
            migrate(there, turn)
            moved += frames != frames_of(there)
            running.more(1)
        assert same(running.last_bytes(), there.peek())
    if not moved and debug_kernel:
        pytest.skip("this kernel moved no page")
    assert moved


def pages_swapped_out():
    """By the whole machine, ever."""
    return machine.vmstat("pswpout")[0]


@pytest.mark.slow
def test_swapped_out(pair, swap):
    """Pages are written to swap while they are used, and come back. (Seldom are they
    found there: the next access is on its way.)"""
    there = Mapping(SIZE)
    with traffic(pair, there) as running:
        before = pages_swapped_out()
        for _ in range(5):
            # what another processor has just brought in is on its own list
            write_file("/proc/sys/vm/compact_memory", 1)
            there.advise(MADV_PAGEOUT)
            running.more(1)
        assert pages_swapped_out() > before
        want = running.last_bytes()
        there.page_out()
        assert same(there.peek(), want)


# What may happen to the memory of the one who asks, and changes no byte of it.
AT_THE_SENDER = {
    "swapped out": lambda there: (write_file("/proc/sys/vm/compact_memory", 1),
                                  there.advise(MADV_PAGEOUT)),
    "migrated": lambda there: migrate(there, 0),
    "overwritten by a child": lambda there: in_child(lambda: there.poke(bytes(2 * SIZE))),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", AT_THE_SENDER)
def test_pages_of_the_sender(pair, swap, debug_kernel, what):
    """Where a request's bytes come from, and where a READ's go to, is as free to move."""
    there = Mapping(2 * SIZE)
    before, moved = pages_swapped_out(), False
    with traffic(pair, there, asks=True) as running:
        for _ in range(5):
            frames = frames_of(there)
            AT_THE_SENDER[what](there)
            moved |= frames != frames_of(there)
            running.more(1)
        assert same(2 * running.last_bytes(), there.peek())
    assert what != "swapped out" or pages_swapped_out() > before
    assert what != "migrated" or moved or debug_kernel


def owner_in(group, pair, size, **attributes):
    """Who has memory, a process of a control group; where that is; and a peer."""
    def owner(child):
        write_file(f"{group}/cgroup.procs", os.getpid())
        node = Node(pair.b, memory=Mapping(size))
        meet_parent(child, node)
        child.wait_go()
    child = Child(owner)
    node = Node(pair.a, MIB)
    return child, meet_child(child, node, **attributes), node


@pytest.mark.slow
def test_less_memory_than_the_region(pair, swap):
    """The owner's group may have an eighth of the region: its pages are charged to
    it also when a peer touches them, and go to swap in turn."""
    size, limit = 64 * MIB, 8 * MIB
    with machine.control_group("memory", {"max": limit}) as group:
        child, peer, node = owner_in(group, pair, size)
        for at in range(0, size, MIB):
            node.memory[0:MIB] = noise(PAGE, at) * (MIB // PAGE)
            node.post(e.IBV_WR_RDMA_WRITE, 0, MIB, peer, at)
            node.poll(seconds=60)
        assert int(read_file(f"{group}/memory.current")) <= limit
        assert int(read_file(f"{group}/memory.swap.current")) > size // 2
        for at in range(0, size, MIB):
            node.post(e.IBV_WR_RDMA_READ, 0, MIB, peer, at)
            node.poll(seconds=60)
            assert same(node.memory[0:MIB], noise(PAGE, at) * (MIB // PAGE))
        node.close()
        child.go()
        assert child.end() == 0


@pytest.mark.slow
def test_no_memory_for_the_owner(pair):
    """Its group may have a quarter of the region, and no swap: the kernel kills it while
    a worker of ours brings in pages for it. Its peer is told, or hears no more."""
    size, limit = 64 * MIB, 16 * MIB
    with machine.control_group("memory", {"max": limit, "swap.max": 0}) as group:
        child, peer, node = owner_in(group, pair, size, timeout=12, retries=3)
        status = e.IBV_WC_SUCCESS
        for at in range(0, size, MIB):
            node.post(e.IBV_WR_RDMA_WRITE, 0, MIB, peer, at)
            status = node.statuses(seconds=60)[0][1]
            if status != e.IBV_WC_SUCCESS:
                break
        assert at <= limit
        assert status in ENDS
        assert child.end() == -signal.SIGKILL
        assert "oom_kill 1" in read_file(f"{group}/memory.events").splitlines()
        node.close()


class Elsewhere:
    """b, in a process of its own, which does something to its memory each time it is told
    to go; and in the end compares."""

    def __init__(self, pair, act):
        self.pair, self.act = pair, act
        self.child = Child(self.live)

    def meet(self, node):
        self.peer = meet_child(self.child, node)

    def identity(self):
        return self.peer

    def live(self, child):
        there = Mapping(SIZE)
        node = Node(self.pair.b, memory=there)
        meet_parent(child, node)
        while os.read(child.go_r, 1) == b"x":
            self.act(there)
            child.say()
        assert same(there.peek(), noise(SIZE, int(os.read(child.go_r, 100))))
        node.close()

    def acts(self):
        self.child.go()
        self.child.listen()

    def compares(self, number):
        os.write(self.child.go_w, b".%d" % number)
        assert self.child.end() == 0


ELSEWHERE = {
    "forks": lambda there: in_child(lambda: there.poke(bytes(SIZE))),
    "maps over it": lambda there: Mapping(SIZE, addr=there.addr),
    "moves something there": lambda there: Mapping(SIZE).move(there.addr),
    "gives back": lambda there: there.advise(MADV_DONTNEED),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", ELSEWHERE)
def test_owner_is_another_process(pair, what):
    """Whose packets arrive while its page tables are not at hand."""
    owner = Elsewhere(pair, ELSEWHERE[what])
    with contextlib.closing(Node(pair.a, 2 * SIZE)) as node:
        owner.meet(node)
        running = Traffic(node, owner, zeroes=what != "forks")
        running.start()
        for _ in range(10):
            owner.acts()
            running.more(1)
        running.more()
        running.last_bytes()
        owner.compares(running.rounds - 1)


@pytest.mark.slow
def test_merged(pair):
    """KSM makes one page of equal ones; a WRITE parts them again."""
    if not os.path.exists("/sys/kernel/mm/ksm/run"):
        pytest.skip("this kernel merges no pages")
    there = Mapping(SIZE)
    there.advise(MADV_MERGEABLE)
    with Two(pair, size=SIZE, b={"memory": there}) as (a, b):
        for turn in range(2):
            a.memory[0:SIZE] = noise(PAGE, turn) * (SIZE // PAGE)
            a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, b.identity(), 0)
            a.poll()
            write_file("/sys/kernel/mm/ksm/sleep_millisecs", 5)
            write_file("/sys/kernel/mm/ksm/pages_to_scan", 5000)
            write_file("/sys/kernel/mm/ksm/run", 1)
            try:
                wait_for(lambda: there.frame() == there.frame(SIZE - PAGE), 30,
                         "pages to be merged")
                a.memory[0:PAGE] = noise(PAGE, 90)
                a.post(e.IBV_WR_RDMA_WRITE, 0, PAGE, b.identity(), 3 * PAGE)
                a.post(e.IBV_WR_RDMA_READ, 0, SIZE, b.identity(), 0)
                a.poll(2)
            finally:
                write_file("/sys/kernel/mm/ksm/run", 2)
            want = bytearray(noise(PAGE, turn) * (SIZE // PAGE))
            want[3 * PAGE:4 * PAGE] = noise(PAGE, 90)
            assert same(a.memory[0:SIZE], want)
            assert same(there.peek(), want)


# --- the end -----------------------------------------------------------------------

# How the survivor's requests may end when the peer is gone, besides success.
ENDS = (e.IBV_WC_RETRY_EXC_ERR, e.IBV_WC_REM_ACCESS_ERR, e.IBV_WC_REM_OP_ERR,
        e.IBV_WC_REM_INV_REQ_ERR, e.IBV_WC_WR_FLUSH_ERR)


@pytest.mark.parametrize("moment", slow_but((1,), range(6)))
def test_exit_at_any_moment(pair, moment):
    """The owner is killed while its memory, never touched before, is written. At once
    the pages are somebody else's: nothing is written there."""
    size = 16 * MIB
    with subprocess.Popen([sys.executable, "-m", "lab.owner", pair.b.link.name,
                           pair.b.ipv4, str(size)], text=True, cwd=TESTS,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        hello = json.loads(owner.stdout.readline())
        peer = Peer(*(hello[field] for field in Peer._fields))
        node = Node(pair.a, MIB)
        node.memory[0:MIB] = b"\xee" * MIB
        node.connect(peer, timeout=10, retries=3)
        owner.stdin.write(json.dumps(node.identity()._asdict()) + "\n")
        owner.stdin.flush()
        assert json.loads(owner.stdout.readline()) == "connected"
        def kill():
            owner.kill()
            victim.poke(bytes(32 * MIB))
        victim = Mapping(32 * MIB)
        killer = threading.Timer(0.01 * moment ** 2, kill)
        killer.start()
        status = e.IBV_WC_SUCCESS
        for at in list(range(0, size, MIB)) * 100:
            node.post(e.IBV_WR_RDMA_WRITE, 0, MIB, peer, at)
            status = node.statuses(seconds=60)[0][1]
            if status != e.IBV_WC_SUCCESS:
                break
        killer.join()
        assert owner.wait() == -9
    assert status in ENDS
    assert victim.peek().count(b"\xee") == 0
    victim.unmap()
    node.close()
