# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""ib_umem by itself: what can happen to a process whose memory a driver has open.

umem_test, a module that is never installed, runs its own cases on load and
gives programs /dev/umem_test: a range per open file, accessed from the caller, a
softirq, a worker in the owner's mm, or a kernel thread outside any mm. Here a
process does to its memory what processes do, and the bytes are compared.

To be run as root inside the test machine.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import random
import re
import resource
import signal
import struct
import subprocess
import threading
import time

import pytest

from lab import machine
from lab.command import run, status_kib
from lab.mapping import (ANON, GIB, MADV_DONTNEED, MADV_FREE, MADV_HUGEPAGE,
                         MADV_MERGEABLE, MADV_PAGEOUT, MADV_SOFT_OFFLINE,
                         MAP_HUGETLB, MAP_NORESERVE, MIB, PAGE, PROT_NONE, RW,
                         Child, Swap, Uffd, check, in_child, libc, noise)
from lab.mapping import Mapping as Memory
from lab.umem import (ATOMIC_WRITE, CALLER, CALLER_NOWAIT, CAS, FAA, KTHREAD_NOWAIT, PINNED,
                      PINNED_DIRECT, PINNED_RECORDED, SOFTIRQ, UNPINNED, WORKER, WRITABLE,
                      Umem)

SIZE = 16 * PAGE
WHOLE_MM = (1 << 64) - 1

# The library can pin, and some of its tests have it do so.
pytestmark = pytest.mark.pins


@contextlib.contextmanager
def fails(code):
    with pytest.raises(OSError) as caught:
        yield
    assert errno.errorcode[caught.value.errno] == errno.errorcode[code]


def vm_pin():
    return status_kib("self", "VmPin") * 1024


def pin_balance():
    acquired, released = machine.vmstat("nr_foll_pin_acquired", "nr_foll_pin_released")
    return acquired - released


@pytest.fixture(scope="module", autouse=True)
def module():
    """The modules are loaded for these tests, and unload after them."""
    subprocess.run(["rmmod", "umem_test"], stderr=subprocess.DEVNULL)
    run("dmesg", "--clear")
    run("modprobe", "umem_test")
    log = subprocess.run(["dmesg"], check=True, capture_output=True, text=True)
    balance = pin_balance()
    yield log.stdout
    assert pin_balance() == balance, "pins are left"
    run("rmmod", "umem_test")


@pytest.fixture(autouse=True)
def tidy():
    """What a failed test leaves behind must not fail the next."""
    yield
    Child.kill_all()
    for umem in list(Umem.every):
        umem.drop()


@pytest.fixture
def memory():
    m = Memory()
    m.poke(noise(SIZE))
    yield m
    with contextlib.suppress(OSError):
        m.unmap()


@pytest.fixture(scope="module")
def swap():
    with Swap():
        yield


# ---- the cases inside the kernel

def test_cases_inside_the_kernel(module):
    lines = re.findall(r"^\[[^]]*\]\s+(not )?ok \d+ (?:- )?(\w+)(.*)", module,
                       re.M)
    cases = {name: not bad for bad, name, _ in lines}
    assert len(cases) >= 18
    assert all(cases.values()), module


# ---- the contexts

@pytest.mark.parametrize("kind", [UNPINNED, PINNED])
@pytest.mark.parametrize("where", [CALLER, CALLER_NOWAIT, SOFTIRQ, WORKER,
                                   KTHREAD_NOWAIT])
def test_bytes_arrive_from_every_context(memory, kind, where):
    u = Umem(memory, SIZE, WRITABLE, kind)
    off, data = PAGE - 5, noise(3 * PAGE + 9, seed=2)
    if kind == UNPINNED and where == KTHREAD_NOWAIT:
        with fails(errno.EAGAIN):
            u.write(where, off, data)
        with fails(errno.EAGAIN):
            u.read(where, off, len(data))
        assert memory.peek() == noise(SIZE)
        return
    assert u.read(where, off, len(data)) == noise(SIZE)[off:off + len(data)]
    u.write(where, off, data)
    assert memory.peek(off, len(data)) == data
    assert memory.peek(0, off) == noise(SIZE)[:off]
    assert memory.peek(off + len(data)) == noise(SIZE)[off + len(data):]


@pytest.mark.parametrize("where", [CALLER, CALLER_NOWAIT, SOFTIRQ, WORKER])
def test_atomics_from_every_context(memory, where):
    u = Umem(memory, SIZE)
    word = lambda: struct.unpack("Q", memory.peek(64, 8))[0]
    memory.poke(struct.pack("Q", 40), 64)
    assert u.atomic(FAA, where, 64, 2) == 40
    assert word() == 42
    assert u.atomic(CAS, where, 64, 7, 41) == 42
    assert word() == 42
    assert u.atomic(CAS, where, 64, 7, 42) == 42
    assert word() == 7
    u.atomic(ATOMIC_WRITE, where, 64, 99)
    assert word() == 99
    with fails(errno.EINVAL):
        u.atomic(FAA, where, 60)


def test_atomics_are_atomic_against_each_other(memory):
    """Four threads, two contexts, one word: no addition is lost."""
    u = [Umem(memory, SIZE) for _ in range(4)]
    memory.poke(bytes(8))

    def add(i):
        for _ in range(500):
            u[i].atomic(FAA, CALLER if i % 2 else WORKER, 0, 1)

    threads = [threading.Thread(target=add, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert struct.unpack("Q", memory.peek(0, 8))[0] == 2000


@pytest.mark.parametrize("where", [CALLER, CALLER_NOWAIT, SOFTIRQ])
def test_another_process_cannot_reach_in_place(memory, where):
    """The child has a mapping at the same address, which must not be touched."""
    u = Umem(memory, SIZE)

    def intrude():
        memory.poke(b"child---")
        with fails(errno.EAGAIN):
            u.read(where)
        with fails(errno.EAGAIN):
            u.write(where, 0, b"mistaken")
        with fails(errno.EAGAIN):
            u.atomic(FAA, where, 0, 1)
        assert memory.peek(0, 8) == b"child---"
        u.write(WORKER, 0, b"parent--")
        assert memory.peek(0, 8) == b"child---"

    in_child(intrude)
    assert memory.peek(0, 8) == b"parent--"


@pytest.mark.parametrize("where", [CALLER_NOWAIT, SOFTIRQ])
def test_absent_pages_are_left_to_the_sleeper(where):
    m = Memory()
    u = Umem(m, SIZE)
    for op in (lambda: u.read(where), lambda: u.write(where),
               lambda: u.atomic(FAA, where, 0, 1)):
        with fails(errno.EAGAIN):
            op()
    assert not m.present()
    u.write(WORKER, 0, b"12345678")
    assert m.present()
    assert u.read(where) == b"12345678"


# ---- what is refused

def test_open_refuses_what_pinning_refuses(memory):
    hole = Memory(4 * PAGE)
    hole.unmap(2 * PAGE, PAGE)
    readonly = Memory(prot=mmap.PROT_READ)
    none = Memory(prot=PROT_NONE)
    for kind in UNPINNED, PINNED:
        for code, args in (
                (errno.EINVAL, (memory, 0)),
                (errno.EINVAL, (memory, (1 << 64) - memory.addr)),
                (errno.EINVAL, (memory, SIZE, 8)),
                (errno.EFAULT, (hole, 4 * PAGE)),
                (errno.EFAULT, (hole.addr + PAGE, PAGE + 1)),
                (errno.EFAULT, (readonly, SIZE)),
                (errno.EFAULT, (none, SIZE, 0)),
                (errno.EFAULT, (1 << 47, PAGE)),
                (errno.EFAULT, (0xffff888000000000, PAGE))):
            with fails(code):
                Umem(*args, **({} if len(args) > 2 else {"flags": WRITABLE}),
                     kind=kind)
        Umem(hole, 2 * PAGE, kind=kind)
        Umem(readonly, SIZE, 0, kind=kind)
    assert vm_pin() == 0


def test_read_only_range_is_not_written(memory):
    u = Umem(memory, SIZE, 0)
    for where in CALLER, CALLER_NOWAIT, SOFTIRQ, WORKER:
        with fails(errno.EFAULT):
            u.write(where)
        with fails(errno.EFAULT):
            u.atomic(FAA, where)
        assert u.read(where) == noise(SIZE)[:8]
    assert memory.peek() == noise(SIZE)


def test_whole_address_space(memory):
    u = Umem(0, WHOLE_MM)
    later = Memory()
    later.poke(b"mapped after the open")
    for m in memory, later:
        for where in CALLER, SOFTIRQ, WORKER:
            assert u.read(where, m.addr, 21) == m.peek(0, 21)
            u.write(where, m.addr, b"%09d" % where)
            assert m.peek(0, 9) == b"%09d" % where
    later.unmap()
    with fails(errno.EFAULT):
        u.read(WORKER, later.addr)
    with fails(errno.EFAULT):
        u.read(WORKER, 0)
    with fails(errno.EFAULT):
        u.write(WORKER, 0xffff888000000000)
    with fails(errno.EFAULT):
        u.write(WORKER, (1 << 64) - 4)


# ---- the life of an owner

@pytest.mark.parametrize("kind", [UNPINNED, PINNED])
def test_owner_exits_while_the_range_is_open(kind):
    u = Umem()

    def owner(child):
        m = Memory()
        m.poke(noise(SIZE))
        u.open(m, SIZE, WRITABLE, kind)
        child.say()
        child.wait_go()

    child = Child(owner)
    child.listen()
    assert u.read(WORKER) == noise(SIZE)[:8]
    child.go()
    assert child.end() == 0
    if kind == UNPINNED:
        with fails(errno.ESRCH):
            u.read(WORKER)
        for where in CALLER, CALLER_NOWAIT, SOFTIRQ, KTHREAD_NOWAIT:
            with fails(errno.EAGAIN):
                u.write(where)
    else:
        assert u.read(KTHREAD_NOWAIT, 0, SIZE) == noise(SIZE)
        u.write(SOFTIRQ)
    u.close()


def test_owner_is_killed_during_accesses():
    """Again and again, at any moment."""
    for i in range(20):
        u = Umem()

        def owner(child):
            m = Memory(4 * MIB)
            u.open(m, 4 * MIB)
            child.say()
            while True:
                m.poke(noise(8))

        child = Child(owner)
        child.listen()
        killer = threading.Timer(0.002 * i, os.kill, (child.pid, signal.SIGKILL))
        killer.start()
        codes = set()
        for _ in range(2000):
            try:
                u.write(WORKER, random.randrange(4 * MIB - 8))
            except OSError as e:
                codes.add(e.errno)
                if e.errno == errno.ESRCH:
                    break
        killer.join()
        assert child.end() == -signal.SIGKILL
        assert codes <= {errno.ESRCH, errno.EFAULT}
        with fails(errno.ESRCH):
            u.write(WORKER)


def test_owner_executes_another_program():
    u = Umem()

    def owner(child):
        m = Memory()
        u.open(m, SIZE)
        os.set_inheritable(u.fd, True)
        os.execv("/bin/true", ["/bin/true"])

    assert Child(owner).end() == 0
    with fails(errno.ESRCH):
        u.read(WORKER)


# ---- what an owner does to its mappings

def test_unmapped(memory):
    u = Umem(memory, SIZE)
    memory.unmap(4 * PAGE, PAGE)
    for where in CALLER, WORKER:
        with fails(errno.EFAULT):
            u.read(where, 4 * PAGE)
        with fails(errno.EFAULT):
            u.write(where, 4 * PAGE - 4)
        with fails(errno.EFAULT):
            u.atomic(FAA, where, 4 * PAGE)
        assert u.read(where, 5 * PAGE) == memory.peek(5 * PAGE, 8)
    with fails(errno.EAGAIN):
        u.read(SOFTIRQ, 4 * PAGE)


def test_new_mapping_at_the_same_address(memory):
    u = Umem(memory, SIZE)
    memory.unmap()
    with fails(errno.EFAULT):
        u.read(WORKER)
    Memory(addr=memory.addr)
    for where in CALLER, WORKER:
        assert u.read(where) == bytes(8)
        u.write(where, 0, b"new page")
        assert memory.peek(0, 8) == b"new page"
        memory.poke(bytes(8))


def test_moved(memory):
    u = Umem(memory, SIZE)
    old, there = memory.addr, Memory()
    there.unmap()
    memory.move(there.addr)
    assert memory.addr != old
    for where in CALLER, WORKER:
        with fails(errno.EFAULT):
            u.write(where)
    memory.move(old)
    assert memory.addr == old
    assert u.read(WORKER, 0, SIZE) == noise(SIZE)


def test_made_read_only(memory):
    u = Umem(memory, SIZE)
    memory.protect(mmap.PROT_READ)
    for where in CALLER, WORKER:
        with fails(errno.EFAULT):
            u.write(where)
        with fails(errno.EFAULT):
            u.atomic(FAA, where, 0, 1)
        assert u.read(where) == noise(SIZE)[:8]
    with fails(errno.EAGAIN):
        u.write(SOFTIRQ)
    memory.protect(PROT_NONE)
    with fails(errno.EFAULT):
        u.read(WORKER)
    memory.protect(RW)
    u.write(WORKER, 0, b"writable")
    assert memory.peek(0, 8) == b"writable"


@pytest.mark.parametrize("where", [CALLER, CALLER_NOWAIT, SOFTIRQ, WORKER])
def test_forked(memory, where):
    """After a fork both have the page; a write through us is ours alone."""
    u = Umem(memory, SIZE)

    def child_fn(child):
        child.say()
        child.wait_go()
        assert memory.peek() == noise(SIZE)
        memory.poke(noise(SIZE, seed=4))
        child.say()
        child.wait_go()
        assert memory.peek() == noise(SIZE, seed=4)

    child = Child(child_fn)
    child.listen()
    try:
        u.write(where, 8, b"of ours!")
        u.atomic(ATOMIC_WRITE, where, PAGE, 1)
    except OSError as e:
        # copy on write takes a fault
        assert e.errno == errno.EAGAIN and where in (CALLER_NOWAIT, SOFTIRQ)
        u.write(WORKER, 8, b"of ours!")
        u.atomic(ATOMIC_WRITE, WORKER, PAGE, 1)
    else:
        assert where in (CALLER, WORKER)
    child.go()
    child.listen()
    expect = bytearray(noise(SIZE))
    expect[8:16] = b"of ours!"
    expect[PAGE:PAGE + 8] = struct.pack("Q", 1)
    assert memory.peek() == expect
    assert u.read(WORKER, 0, SIZE) == expect
    child.go()
    assert child.end() == 0


def test_swapped_out(memory, swap):
    u = Umem(memory, SIZE)
    for op in (lambda where: u.read(where, PAGE, 8),
               lambda where: u.write(where, PAGE, noise(SIZE)[PAGE:PAGE + 8]),
               lambda where: u.atomic(FAA, where, PAGE, 0)):
        memory.page_out()
        with fails(errno.EAGAIN):
            op(SOFTIRQ)
        assert memory.swapped(PAGE)
        op(WORKER)
        assert memory.present(PAGE)
        op(SOFTIRQ)
    memory.page_out()
    assert u.read(WORKER, 0, SIZE) == noise(SIZE)
    memory.page_out()
    u.write(WORKER, 100, b"not lost")
    memory.page_out()
    assert memory.peek(100, 8) == b"not lost"


def test_pinned_memory_is_not_swapped_out(memory, swap):
    """What the comparison is against: it can't leave, and the charge shows."""
    u = Umem(memory, SIZE, WRITABLE, PINNED)
    memory.advise(MADV_PAGEOUT)
    assert not memory.swapped()
    u.close()
    memory.page_out()


@pytest.mark.parametrize("advice", [MADV_DONTNEED, MADV_FREE])
def test_given_back(memory, swap, advice):
    u = Umem(memory, SIZE)
    memory.advise(advice)
    if advice == MADV_FREE:
        memory.advise(MADV_PAGEOUT)
    assert u.read(WORKER, 0, SIZE) == bytes(SIZE)
    u.write(WORKER, 0, b"new life")
    assert memory.peek(0, 8) == b"new life"


# ---- every sort of memory

def make_memory(kind):
    if kind == "thp":
        m = Memory(8 * MIB)
        m.advise(MADV_HUGEPAGE)
        return m
    if kind == "hugetlb":
        with open("/proc/sys/vm/nr_hugepages", "w") as f:
            f.write("8")
        return Memory(4 * MIB, flags=ANON | MAP_HUGETLB)
    if kind.startswith("memfd"):
        fd = os.memfd_create("umem")
    else:
        fd = os.open("/tmp", os.O_TMPFILE | os.O_RDWR)
    os.ftruncate(fd, SIZE)
    m = Memory(SIZE, fd=fd, flags=mmap.MAP_SHARED if kind.endswith("shared")
               else mmap.MAP_PRIVATE)
    m.fd = fd
    return m


@pytest.mark.parametrize("pinning", [UNPINNED, PINNED])
@pytest.mark.parametrize("kind", ["thp", "hugetlb", "memfd shared",
                                  "memfd private", "file shared",
                                  "file private"])
def test_every_sort_of_memory(kind, pinning):
    m = make_memory(kind)
    u = Umem(m, m.length, WRITABLE, pinning)
    data = noise(m.length, seed=5)
    u.write(WORKER, 0, data)
    assert m.peek() == data
    u.write(SOFTIRQ, PAGE - 1, b"abc")
    m.poke(b"owner", 100)
    assert u.read(WORKER, PAGE - 1, 3) == b"abc"
    assert u.read(SOFTIRQ, 100, 5) == b"owner"
    assert u.atomic(FAA, WORKER, 0, 1) == struct.unpack("Q", data[:8])[0]
    assert m.peek(0, 1)[0] == (data[0] + 1) % 256
    if hasattr(m, "fd"):
        in_file = os.pread(m.fd, 5, 100)
        assert in_file == (b"owner" if kind.endswith("shared") else bytes(5))
    u.close()
    m.unmap()


def test_shared_memory_written_through_another_owner():
    fd = os.memfd_create("umem")
    os.ftruncate(fd, SIZE)
    m = Memory(fd=fd, flags=mmap.MAP_SHARED)
    u = Umem(m, SIZE)
    in_child(lambda: m.poke(b"from the child"))
    assert u.read(WORKER, 0, 14) == b"from the child"
    u.write(WORKER, 0, b"to the child  ")
    in_child(lambda: m.peek(0, 14) == b"to the child  " or os._exit(1))


def test_truncated_file():
    fd = os.memfd_create("umem")
    os.ftruncate(fd, SIZE)
    m = Memory(fd=fd, flags=mmap.MAP_SHARED)
    u = Umem(m, SIZE)
    u.write(WORKER, 4 * PAGE)
    os.ftruncate(fd, PAGE)
    for where in CALLER, WORKER:
        with fails(errno.EFAULT):
            u.write(where, 4 * PAGE)
    with fails(errno.EAGAIN):
        u.read(SOFTIRQ, 4 * PAGE)


def test_read_only_file_mapping():
    fd = os.open("/bin/sh", os.O_RDONLY)
    for flags in mmap.MAP_SHARED, mmap.MAP_PRIVATE:
        m = Memory(fd=fd, prot=mmap.PROT_READ, flags=flags)
        for kind in UNPINNED, PINNED:
            with fails(errno.EFAULT):
                Umem(m, SIZE, WRITABLE, kind)
            u = Umem(m, SIZE, 0, kind)
            assert u.read(WORKER, 0, SIZE) == os.pread(fd, SIZE, 0)
            u.close()


def test_stack_and_program():
    with open("/proc/self/maps") as f:
        maps = f.read()
    for name in r"\[stack\]", r"\[vdso\]", r"\[heap\]":
        start, end = re.search(rf"^(\w+)-(\w+) .*{name}", maps, re.M).groups()
        start, end = int(start, 16), int(end, 16)
        u = Umem(end - PAGE, PAGE, 0)
        assert len(u.read(WORKER, 0, 64)) == 64
        assert u.read(WORKER, PAGE - 8) == u.read(CALLER, PAGE - 8)
        u.close()


def test_device_memory():
    """Pinning refuses it; copying does what the processor does."""
    try:
        fd = os.open("/dev/mem", os.O_RDONLY)
        m = Memory(PAGE, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED, fd=fd,
                   offset=0xf0000)
    except OSError as e:
        pytest.skip(f"no device memory to map: {e}")
    u = Umem(m, PAGE, 0)
    assert u.read(WORKER, 0, PAGE) == m.peek()
    assert u.read(CALLER, 0, PAGE) == m.peek()
    with fails(errno.EFAULT):
        Umem(m, PAGE, 0, PINNED)


def test_memory_under_a_protection_key():
    """The worker has the region's rights, not some thread's."""
    key = libc.syscall(330, 0, 0)
    if key < 0:
        pytest.skip("no protection keys")
    m = Memory()
    check(libc.syscall(329, ctypes.c_void_p(m.addr), SIZE, RW, key))
    u, pinned = Umem(m, SIZE), Umem(m, SIZE, WRITABLE, PINNED)
    u.write(WORKER, 0, noise(SIZE))
    assert u.read(WORKER, 0, SIZE) == noise(SIZE)
    assert pinned.read(WORKER, 0, SIZE) == noise(SIZE)
    u.atomic(FAA, WORKER, 0, 0)
    check(libc.mprotect(m.addr, SIZE, mmap.PROT_READ))
    with fails(errno.EFAULT):
        u.write(WORKER)


# ---- pages known to be resident

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


def test_notes_take_bounded_memory():
    """More pages than notes: old ones go, and all bytes are right."""
    length = 128 * MIB
    m = Memory(length)
    u = Umem(m, length)
    for off in range(0, length, MIB):
        u.write(WORKER, off, b"".join(
            struct.pack("Q", at) + bytes(PAGE - 8)
            for at in range(off, off + MIB, PAGE)))
    resident = u.info()["resident"]
    assert 1024 <= resident <= 16384
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


# ---- a fault that takes its time

class Stuck(threading.Thread):
    """An access by the worker, from a thread of its own."""

    def __init__(self, fn):
        super().__init__()
        self.fn, self.code = fn, None
        self.start()

    def run(self):
        try:
            self.fn()
            self.code = 0
        except OSError as e:
            self.code = e.errno

    def result(self, seconds=20):
        self.join(seconds)
        assert not self.is_alive(), "the access does not end"
        return self.code


ACCESSES = {
    "read": lambda u: u.read(WORKER, PAGE),
    "write": lambda u: u.write(WORKER, PAGE),
    "atomic": lambda u: u.atomic(FAA, WORKER, PAGE, 1),
}


@pytest.mark.parametrize("access", ACCESSES)
def test_fault_that_nobody_answers_is_interrupted(access):
    m = Memory()
    uffd, u = Uffd(m), Umem(m, SIZE)
    stuck = Stuck(lambda: ACCESSES[access](u))
    assert uffd.wait() == m.addr + PAGE
    time.sleep(0.2)
    assert stuck.is_alive()
    u.interrupt()
    assert stuck.result() == errno.EFAULT
    with fails(errno.EINTR):
        ACCESSES[access](u)
    uffd.close()
    u.resume()
    ACCESSES[access](u)


def test_fault_that_is_answered():
    m = Memory()
    uffd, u = Uffd(m), Umem(m, SIZE)
    got = []
    stuck = Stuck(lambda: got.append(u.read(WORKER, PAGE)))
    uffd.wait()
    with fails(errno.EAGAIN):
        u.read(SOFTIRQ, PAGE)
    uffd.answer(m.addr + PAGE, b"answered")
    assert stuck.result() == 0
    assert got == [b"answered"]
    uffd.close()


def test_a_stuck_worker_holds_up_no_other():
    m = Memory()
    uffd, stuck_one, free_one = Uffd(m), Umem(m, SIZE), Umem()
    other = Memory()
    free_one.open(other, SIZE)
    stuck = Stuck(lambda: stuck_one.read(WORKER, PAGE))
    uffd.wait()
    for _ in range(50):
        free_one.write(WORKER, 0, b"unharmed")
    assert other.peek(0, 8) == b"unharmed"
    assert stuck.is_alive()
    stuck_one.interrupt()
    assert stuck.result() == errno.EFAULT
    uffd.close()


def test_owner_dies_with_a_fault_under_way():
    """Its death closes its userfaultfd, which ends the fault."""
    u = Umem()

    def owner(child):
        m = Memory()
        uffd = Uffd(m)
        u.open(m, SIZE)
        child.say()
        uffd.wait()
        child.say()
        child.wait_go()

    child = Child(owner)
    child.listen()
    stuck = Stuck(lambda: u.read(WORKER, PAGE))
    child.listen()
    os.kill(child.pid, signal.SIGKILL)
    assert child.end() == -signal.SIGKILL
    assert stuck.result() in (0, errno.EFAULT)
    with fails(errno.ESRCH):
        u.read(WORKER)


def test_interrupt_at_any_moment():
    """No signal is left in the worker, whenever the interruption comes."""
    m = Memory()
    u = Umem(m, SIZE)
    stop = threading.Event()

    def pester():
        while not stop.is_set():
            u.interrupt()
            u.resume()

    pesterer = threading.Thread(target=pester)
    pesterer.start()
    results = set()
    try:
        for i in range(3000):
            if i % 16 == 0:
                m.advise(MADV_DONTNEED)
            try:
                u.write(WORKER, i % 16 * PAGE)
                results.add(0)
            except OSError as e:
                results.add(e.errno)
    finally:
        stop.set()
        pesterer.join()
    assert results <= {0, errno.EINTR, errno.EFAULT}
    assert 0 in results


# ---- what is charged

def test_pinning_is_charged_and_given_back(memory):
    assert vm_pin() == 0
    u = Umem(memory.addr + 1, SIZE - 1, WRITABLE, PINNED)
    assert u.info()["pinned_pages"] == SIZE // PAGE
    assert vm_pin() == SIZE
    v = Umem(memory, PAGE, WRITABLE, PINNED)
    assert vm_pin() == SIZE + PAGE
    u.close()
    v.close()
    assert vm_pin() == 0


def test_limit_of_locked_memory(memory):
    def limited():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (8 * PAGE, 8 * PAGE))
        Umem(memory, SIZE, WRITABLE, PINNED).close()    # CAP_IPC_LOCK
        os.setresuid(1000, 1000, 1000)
        with fails(errno.ENOMEM):
            Umem(memory, SIZE, WRITABLE, PINNED)
        with fails(errno.ENOMEM):
            Umem(memory.addr + 1, 8 * PAGE, WRITABLE, PINNED)
        one = Umem(memory, 6 * PAGE, WRITABLE, PINNED)
        with fails(errno.ENOMEM):
            Umem(memory, 3 * PAGE, WRITABLE, PINNED)
        two = Umem(memory, 2 * PAGE, WRITABLE, PINNED)
        one.close()
        two.close()
        Umem(memory, 8 * PAGE, WRITABLE, PINNED).close()
        Umem(memory, SIZE)

    in_child(limited)


def test_refused_mapping_leaves_no_charge(memory):
    u = Umem()
    balance = pin_balance()
    u.ioctl(Umem.FAIL_MAP)
    try:
        u.open(memory, SIZE, WRITABLE, PINNED_RECORDED)
    except OSError as e:
        if e.errno == errno.EOPNOTSUPP:
            pytest.skip("no DMA operations per device")
        assert e.errno == errno.ENOMEM
    else:
        pytest.fail("the mapping was not refused")
    assert vm_pin() == 0
    assert pin_balance() == balance


def test_pages_end_in_the_middle_of_pinning():
    """A file that is shorter than its mapping: the look at the mappings finds nothing
    wrong, and the pages before the file's end are pinned when the next can't be had."""
    fd = os.memfd_create("umem")
    os.ftruncate(fd, 4 * PAGE)
    m = Memory(4 * PAGE, fd=fd, flags=mmap.MAP_SHARED)
    os.ftruncate(fd, 2 * PAGE)
    for flags in WRITABLE, 0:
        ever, balance = machine.pages_pinned_ever(), pin_balance()
        with fails(errno.EFAULT):
            Umem(m, 4 * PAGE, flags, PINNED)
        assert machine.pages_pinned_ever() >= ever + 2, "none was pinned"
        assert pin_balance() == balance
        assert vm_pin() == 0
    m.unmap()
    os.close(fd)


def test_killed_while_pinning():
    """A fatal signal ends it early, and no page stays pinned."""
    balance = pin_balance()
    for delay in 0.01, 0.03, 0.06:
        child = Child(lambda c: (
            m := Memory(GIB, flags=ANON | MAP_NORESERVE), c.say(),
            Umem(m, GIB, WRITABLE, PINNED), c.say(), time.sleep(60)))
        child.listen()
        time.sleep(delay)
        os.kill(child.pid, signal.SIGKILL)
        assert child.end() == -signal.SIGKILL
        assert pin_balance() == balance


@pytest.mark.parametrize("attrs", [0, 1 << 1, 1 << 5 | 1 << 8])
def test_mapping_attributes_arrive_as_given(memory, attrs):
    u = Umem()
    before = u.info()
    try:
        u.open(memory, SIZE, WRITABLE, PINNED_RECORDED, attrs)
    except OSError as e:
        assert e.errno == errno.EOPNOTSUPP
        pytest.skip("no DMA operations per device")
    info = u.info()
    assert info["maps"] == before["maps"] + 1
    assert info["map_attrs"] == attrs
    assert info["map_dir"] == 0
    assert info["sg_bytes"] == SIZE
    assert info["dma_addr"] == info["phys_addr"] ^ 1 << 62
    u.close()
    info = u.info()
    assert info["unmaps"] == before["unmaps"] + 1
    assert info["unmap_attrs"] == attrs


def test_direct_mapping(memory):
    u = Umem(memory, SIZE, WRITABLE, PINNED_DIRECT)
    info = u.info()
    assert info["dma_addr"] == info["phys_addr"]
    assert info["phys_addr"] // PAGE == memory.frame()


def test_huge_page_is_one_entry():
    m = make_memory("hugetlb")
    u = Umem(m, m.length, WRITABLE, PINNED)
    info = u.info()
    assert info["pinned_pages"] == m.length // PAGE
    assert info["sg_entries"] <= 2
    u.close()
    m.unmap()


def test_opening_costs_the_same_for_any_size():
    def cost(length):
        m = Memory(length, flags=ANON | MAP_NORESERVE)
        u, times = Umem(), []
        for _ in range(50):
            start = time.perf_counter()
            u.open(m, length)
            times.append(time.perf_counter() - start)
            u.close()
        m.unmap()
        return sorted(times)[25]

    small, large = cost(PAGE), cost(64 * GIB)
    assert large < 1e-3
    assert large < 3 * small + 20e-6
    assert vm_pin() == 0
