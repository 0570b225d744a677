# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""ib_umem by itself: the life of an owner, a process whose memory a driver has open, and
what it does to its mappings."""

import errno
import mmap
import os
import random
import signal
import struct
import threading

import pytest

from lab.expect import fails
from lab.mapping import (MADV_DONTNEED, MADV_FREE, MADV_PAGEOUT, MIB, PAGE, PROT_NONE, RW,
                         Child, noise)
from lab.mapping import Mapping as Memory
from lab.umem import (ATOMIC_WRITE, CALLER, CALLER_NOWAIT, FAA, KTHREAD_NOWAIT, PINNED,
                      SOFTIRQ, UNPINNED, WORKER, WRITABLE, Umem)
from lab.umem_bench import SIZE

pytestmark = [pytest.mark.pins, pytest.mark.usefixtures("umem_test", "no_umem_left")]


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
