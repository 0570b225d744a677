# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""ib_umem by itself: pages known to be resident, which are reached in place, outside
the owner's mm, until the owner does something to them."""

import errno
import mmap
import os
import random
import struct
import subprocess
import threading
import time

import pytest

from lab.command import run
from lab.expect import fails
from lab.mapping import (ANON, MADV_DONTNEED, MADV_MERGEABLE, MADV_SOFT_OFFLINE,
                         MAP_NORESERVE, MIB, PAGE, PROT_NONE, RW, Child, noise)
from lab.mapping import Mapping as Memory
from lab.umem import (ATOMIC_WRITE, CALLER, CALLER_NOWAIT, CAS, FAA, KTHREAD_NOWAIT, PINNED,
                      SOFTIRQ, WHOLE_MM, WORKER, WRITABLE, Umem)
from lab.umem_bench import SIZE, make_memory

pytestmark = [pytest.mark.pins, pytest.mark.usefixtures("umem_test", "no_umem_left")]


def note(u, data=None, length=SIZE):
    """Have the worker write all of a range, so that it is known."""
    u.write(WORKER, 0, data or noise(length))
    u.write(WORKER, 0, data or noise(length))   # the first may have made copies
    assert u.info()["resident"] == length // PAGE


def forgotten(u, off=0):
    """Nobody outside the owner reaches the page any more."""
    with fails(errno.EAGAIN):
        u.read(KTHREAD_NOWAIT, off)
    with fails(errno.EAGAIN):
        u.write(KTHREAD_NOWAIT, off, b"\xee" * 8)
    with fails(errno.EAGAIN):
        u.atomic(FAA, KTHREAD_NOWAIT, off, 1)


def test_pages_the_worker_touched_are_reached_in_place(memory):
    u = Umem(memory, SIZE)
    forgotten(u)
    assert u.read(WORKER, 3, SIZE - 3) == noise(SIZE)[3:]
    assert u.info()["resident"] == SIZE // PAGE
    assert u.read(KTHREAD_NOWAIT, 5, SIZE - 5) == noise(SIZE)[5:]
    with fails(errno.EAGAIN):
        u.write(KTHREAD_NOWAIT)     # only read so far
    with fails(errno.EAGAIN):
        u.atomic(FAA, KTHREAD_NOWAIT)
    u.write(WORKER, 0, noise(SIZE, seed=8))
    data = noise(3 * PAGE + 11, seed=9)
    u.write(KTHREAD_NOWAIT, PAGE - 7, data)
    assert memory.peek(PAGE - 7, len(data)) == data
    memory.poke(struct.pack("Q", 20), 8)
    assert u.atomic(FAA, KTHREAD_NOWAIT, 8, 22) == 20
    assert u.atomic(CAS, KTHREAD_NOWAIT, 8, 1, 42) == 42
    u.atomic(ATOMIC_WRITE, KTHREAD_NOWAIT, 16, 4)
    assert struct.unpack("QQ", memory.peek(8, 16)) == (1, 4)


def test_resident_pages_from_another_process(memory):
    """A softirq on the back of a process that is not the owner."""
    u = Umem(memory, SIZE)
    note(u)

    def another():
        mine = memory.peek()
        u.write(SOFTIRQ, PAGE, b"from afar")
        assert u.read(SOFTIRQ, PAGE, 9) == b"from afar"
        assert memory.peek() == mine

    child = Child(lambda c: (c.wait_go(), another()))
    u.write(WORKER, 0, noise(SIZE))     # the fork made them read-only
    u.write(WORKER, 0, noise(SIZE))
    child.go()
    assert child.end() == 0
    assert memory.peek(PAGE, 9) == b"from afar"


@pytest.mark.parametrize("length", (SIZE, 2 * MIB), ids=("small", "huge"))
def test_memory_never_written(length):
    """The kernel's page of zeroes stands for all of it, for readers, until somebody
    writes."""
    whole = Memory(2 * length)
    m = Memory(length, addr=(whole.addr + length - 1) & -length)
    u = Umem(m, length)
    forgotten(u)
    for _ in range(2):      # the notes become more while they are taken
        assert u.read(WORKER, 0, length) == bytes(length)
    assert u.info()["resident"] == length // PAGE
    assert u.read(KTHREAD_NOWAIT, 0, length) == bytes(length)
    with fails(errno.EAGAIN):
        u.write(KTHREAD_NOWAIT, PAGE)
    with fails(errno.EAGAIN):
        u.atomic(FAA, KTHREAD_NOWAIT, PAGE, 1)
    for off in range(0, SIZE, PAGE):
        m.poke(b"owner's", off + 9)
        forgotten(u, off)
        assert u.read(WORKER, off + 9, 7) == b"owner's"
    u.read(WORKER, 0, length)
    m.advise(MADV_DONTNEED)
    assert u.read(WORKER, 0, length) == bytes(length)
    assert u.read(KTHREAD_NOWAIT) == bytes(8)
    u.write(WORKER, 0, b"worker's")
    u.write(WORKER, 0, b"worker's")
    u.write(KTHREAD_NOWAIT, 8, b"in place")
    assert m.peek(0, 17) == b"worker'sin place\0"
    assert Memory(SIZE).peek() == bytes(SIZE)


def test_only_the_worker_takes_notes(memory):
    u = Umem(memory, SIZE)
    for where in CALLER, CALLER_NOWAIT, SOFTIRQ:
        u.write(where)
        u.read(where)
    assert u.info()["resident"] == 0
    v = Umem(memory, SIZE, WRITABLE, PINNED)
    v.write(WORKER)
    assert v.info()["resident"] == 0


def test_notes_know_their_range(memory):
    u = Umem(memory.addr + PAGE, PAGE)
    u.write(WORKER)
    with fails(errno.EFAULT):
        u.read(KTHREAD_NOWAIT, PAGE)
    v = Umem(0, WHOLE_MM)
    v.write(WORKER, memory.addr)
    v.write(KTHREAD_NOWAIT, memory.addr, b"absolute")
    assert memory.peek(0, 8) == b"absolute"
    with fails(errno.EAGAIN):
        v.read(KTHREAD_NOWAIT, memory.addr + PAGE)
    Memory().unmap()
    v.write(KTHREAD_NOWAIT, memory.addr, b"no harm.")
    memory.unmap()
    forgotten(v, memory.addr)


# what the owner does, and whether the bytes are still there afterwards
EVENTS = {
    "unmaps": (lambda m: m.unmap(), None),
    "unmaps and maps": (lambda m: (m.unmap(), Memory(addr=m.addr)), False),
    "maps over it": (lambda m: Memory(addr=m.addr), False),
    "moves": (lambda m: m.move(Memory().addr), None),
    "moves and moves back": (
        lambda m: (old := m.addr, m.move(Memory().addr), m.move(old)), True),
    "gives back": (lambda m: m.advise(MADV_DONTNEED), False),
    "protects": (lambda m: m.protect(PROT_NONE), None),
    "protects and opens": (lambda m: (m.protect(PROT_NONE), m.protect(RW)),
                           True),
    "swaps": (Memory.page_out, True),
    "offlines": (lambda m: m.advise(MADV_SOFT_OFFLINE), True),
}


@pytest.mark.parametrize("event", EVENTS)
def test_resident_pages_are_forgotten_when_the_owner(event, swap):
    m = Memory()
    act, kept = EVENTS[event]
    u = Umem(m, SIZE)
    note(u)
    u.write(KTHREAD_NOWAIT, 2 * PAGE, b"trace")
    expect = bytearray(noise(SIZE))
    expect[2 * PAGE:2 * PAGE + 5] = b"trace"
    try:
        act(m)
    except OSError as e:
        assert event == "offlines" and e.errno == errno.EINVAL
        pytest.skip("this kernel takes no page offline")
    assert u.info()["resident"] == 0
    forgotten(u)
    forgotten(u, 2 * PAGE)
    if kept is None:
        with fails(errno.EFAULT):
            u.read(WORKER)
    else:
        assert u.read(WORKER, 0, SIZE) == (bytes(expect) if kept
                                           else bytes(SIZE))


def test_resident_page_made_read_only_is_only_read(memory):
    u = Umem(memory, SIZE)
    note(u)
    memory.protect(mmap.PROT_READ)
    forgotten(u)
    u.read(WORKER)
    assert u.read(KTHREAD_NOWAIT) == noise(SIZE)[:8]
    with fails(errno.EAGAIN):
        u.write(KTHREAD_NOWAIT)
    with fails(errno.EFAULT):
        u.write(WORKER)


def test_resident_pages_and_fork(memory):
    """What one of two processes with one page is given, the other never sees."""
    u = Umem(memory, SIZE)
    note(u)

    def child_fn(child):
        child.say()
        child.wait_go()
        assert memory.peek() == noise(SIZE)

    child = Child(child_fn)
    child.listen()
    with fails(errno.EAGAIN):
        u.write(KTHREAD_NOWAIT)
    u.read(WORKER)
    assert u.read(KTHREAD_NOWAIT) == noise(SIZE)[:8]
    with fails(errno.EAGAIN):
        u.write(KTHREAD_NOWAIT)     # the page is still the child's, too
    u.write(WORKER, 0, bytes(SIZE))
    u.write(WORKER, 0, bytes(SIZE))
    u.write(KTHREAD_NOWAIT, 8, b"only here")
    child.go()
    assert child.end() == 0
    assert memory.peek(8, 9) == b"only here"


def test_owner_of_resident_pages_writes_after_fork(memory):
    """A note of a page shared since the fork must not outlive the owner's copy."""
    u = Umem(memory, SIZE)
    child = Child(lambda c: (c.say(), c.wait_go()))
    child.listen()
    assert u.read(WORKER) == noise(SIZE)[:8]
    assert u.read(KTHREAD_NOWAIT) == noise(SIZE)[:8]
    memory.poke(b"my copy!")
    with fails(errno.EAGAIN):
        u.read(KTHREAD_NOWAIT)
    assert u.read(WORKER) == b"my copy!"
    child.go()
    assert child.end() == 0


def test_resident_pages_of_an_owner_that_exits():
    u = Umem()

    def owner(child):
        m = Memory()
        u.open(m, SIZE)
        child.say()
        child.wait_go()

    child = Child(owner)
    child.listen()
    note(u)
    u.write(KTHREAD_NOWAIT)
    child.go()
    assert child.end() == 0
    assert u.info()["resident"] == 0
    forgotten(u)


def test_resident_page_of_a_truncated_file():
    fd = os.memfd_create("umem")
    os.ftruncate(fd, SIZE)
    m = Memory(fd=fd, flags=mmap.MAP_SHARED)
    u = Umem(m, SIZE)
    note(u)
    u.write(KTHREAD_NOWAIT, 100, b"in the file")
    assert os.pread(fd, 11, 100) == b"in the file"
    os.ftruncate(fd, 0)
    forgotten(u)


@pytest.mark.parametrize("kind", ["thp", "hugetlb"])
def test_resident_huge_pages(kind):
    m = make_memory(kind)
    u = Umem(m, m.length)
    data = noise(MIB, seed=3)
    u.write(WORKER, MIB // 2, data)
    u.write(KTHREAD_NOWAIT, MIB - 3, b"second")
    assert m.peek(MIB - 3, 6) == b"second"
    if kind == "thp":
        Memory(PAGE, addr=m.addr + MIB)     # splits it
        forgotten(u, MIB)
    m.unmap()
    forgotten(u, MIB)
    assert u.info()["resident"] == 0


def test_merged_pages():
    """KSM: two equal pages become one, which is nobody's to write."""
    def ksm(name, value):
        with open(f"/sys/kernel/mm/ksm/{name}", "w") as f:
            f.write(str(value))

    if not os.path.exists("/sys/kernel/mm/ksm/run"):
        pytest.skip("this kernel merges no pages")
    m = Memory(2 * PAGE)
    u = Umem(m, 2 * PAGE)
    note(u, noise(PAGE) * 2, 2 * PAGE)
    m.advise(MADV_MERGEABLE)
    ksm("sleep_millisecs", 5)
    ksm("pages_to_scan", 5000)
    ksm("run", 1)
    try:
        for _ in range(100):
            if m.frame() == m.frame(PAGE):
                break
            time.sleep(0.1)
        else:
            pytest.fail("pages are not merged")
        ksm("run", 0)
        forgotten(u)
        forgotten(u, PAGE)
        u.read(WORKER, 0, 2 * PAGE)
        assert u.read(KTHREAD_NOWAIT, 0, 2 * PAGE) == noise(PAGE) * 2
        with fails(errno.EAGAIN):
            u.write(KTHREAD_NOWAIT)
        u.write(WORKER, 0, b"one of 2")
        assert m.peek(PAGE) == noise(PAGE)
    finally:
        ksm("run", 2)


def test_writes_to_resident_pages_survive_swap(memory, swap):
    u = Umem(memory, SIZE)
    for i in range(3):
        note(u)
        memory.page_out()
        assert u.read(WORKER, 0, SIZE) == noise(SIZE)   # clean, in swap
        with fails(errno.EAGAIN):
            u.write(KTHREAD_NOWAIT)
        u.write(WORKER, 0, noise(SIZE))
        u.write(WORKER, 0, noise(SIZE))
        trace = b"trace %d" % i
        for off in range(0, SIZE, PAGE):
            u.write(KTHREAD_NOWAIT, off, trace)
        memory.page_out()
        for off in range(0, SIZE, PAGE):
            assert memory.peek(off, len(trace)) == trace


@pytest.fixture
def disk(tmp_path):
    """A block device, and the file that is behind it."""
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, 4 * MIB)
    subprocess.run(["modprobe", "-q", "loop"])
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("this kernel makes no disk of a file")
    name = subprocess.run(["losetup", "-f", "--show", image], check=True,
                          capture_output=True, text=True).stdout.strip()
    yield name, image
    run("losetup", "-d", name)


def test_writes_to_resident_pages_reach_the_disk(disk):
    """Writeback cleans a page: what is written in place later is not lost."""
    name, image = disk
    fd = os.open(name, os.O_RDWR)
    m = Memory(fd=fd, flags=mmap.MAP_SHARED)
    u = Umem(m, SIZE)
    for i in range(3):
        note(u)
        trace = b"trace %d" % i
        u.write(KTHREAD_NOWAIT, PAGE, trace)
        os.fsync(fd)
        assert image.read_bytes()[PAGE:PAGE + len(trace)] == trace
        forgotten(u, PAGE)
        u.read(WORKER, 0, SIZE)         # known again, and clean
        with fails(errno.EAGAIN):
            u.write(KTHREAD_NOWAIT, PAGE)
        u.write(WORKER, 0, noise(8))    # dirty
        u.write(WORKER, 0, noise(8))
        u.write(KTHREAD_NOWAIT, 16, trace)
        m.advise(MADV_DONTNEED)
        os.fsync(fd)
        assert image.read_bytes()[16:16 + len(trace)] == trace
    u.close()
    m.unmap()
    os.close(fd)


@pytest.mark.slow
def test_notes_take_bounded_memory():
    """More pages than notes: old ones go, and all bytes are right."""
    length = 320 * MIB
    m = Memory(length)
    u = Umem(m, length)
    for off in range(0, length, MIB):
        u.write(WORKER, off, b"".join(
            struct.pack("Q", at) + bytes(PAGE - 8)
            for at in range(off, off + MIB, PAGE)))
    resident = u.info()["resident"]
    assert 16384 < resident <= 65536
    in_place = 0
    for off in random.Random(1).sample(range(0, length, PAGE), 200):
        try:
            assert u.read(KTHREAD_NOWAIT, off) == struct.pack("Q", off)
            in_place += 1
        except OSError as e:
            assert e.errno == errno.EAGAIN
    assert in_place > 200 * resident / (length // PAGE) / 2
    m.unmap()
    assert u.info()["resident"] == 0


def test_notes_are_left_for_others():
    """However many ranges want all they can get, the next one has some."""
    apart = 256 * MIB       # as many pages as one range has notes
    m = Memory(apart + MIB, flags=ANON | MAP_NORESERVE)
    greedy = [Umem(m, m.length) for _ in range(64)]
    for u in greedy:
        for _ in range(6):
            u.read(WORKER, 0)
            u.read(WORKER, apart)       # drives out the one before
    first = Umem(m, SIZE)
    few = Umem(m, 20 * PAGE)
    for u, pages in (first, SIZE // PAGE), (few, 20):
        u.read(WORKER, 0, pages * PAGE)
        assert u.info()["resident"] == pages
    many = Umem(m, m.length)
    for _ in range(4):
        many.read(WORKER, 0, MIB)
    assert 64 <= many.info()["resident"] <= MIB // PAGE
    m.unmap()


def test_no_byte_lands_in_memory_that_was_given_up():
    """Writers that never stop, while pages come, go, and become others'."""
    stop = time.monotonic() + 5
    m = Memory(64 * PAGE)
    mark = b"\xee" * 64
    us = [Umem(m, 64 * PAGE) for _ in range(2)]
    hits = [0, 0]

    def going():
        """Longer on a machine that is too busy to hit much."""
        now = time.monotonic()
        return now < stop or (min(hits) <= 10 and now < stop + 30)

    def write(i):
        rng = random.Random(i)
        while going():
            off = rng.randrange(64) * PAGE + 64
            try:
                us[i].write(KTHREAD_NOWAIT, off, mark)
                hits[i] += 1
            except OSError as e:
                assert e.errno == errno.EAGAIN
                us[i].write(WORKER, off, mark)

    writers = [threading.Thread(target=write, args=(i,)) for i in range(2)]
    [t.start() for t in writers]
    rng = random.Random(99)
    errors = 0
    while going():
        how = rng.randrange(4)
        if how == 0:
            Memory(64 * PAGE, addr=m.addr)
        elif how == 1:
            m.advise(MADV_DONTNEED)
        else:
            pid = os.fork()
            if not pid:
                time.sleep(0.005)
                mine = m.peek()
                time.sleep(0.01)
                os._exit(mine != m.peek())
            errors += os.waitpid(pid, 0)[1] != 0
        # pages just given up, most likely
        victim = Memory(64 * PAGE)
        victim.poke(b"\x11" * 64 * PAGE)
        time.sleep(0.005)
        errors += victim.peek() != b"\x11" * 64 * PAGE
        victim.unmap()
    [t.join() for t in writers]
    assert errors == 0
    assert min(hits) > 10
