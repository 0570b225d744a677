# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""ib_umem by itself: the cases that it has inside the kernel, accesses from every
context, and what is refused."""

import errno
import mmap
import re
import struct
import threading

import pytest

from lab.expect import fails
from lab.mapping import PAGE, PROT_NONE, in_child, noise
from lab.mapping import Mapping as Memory
from lab.umem import (ATOMIC_WRITE, CALLER, CALLER_NOWAIT, CAS, FAA, KTHREAD_NOWAIT, PINNED,
                      SOFTIRQ, UNPINNED, WHOLE_MM, WORKER, WRITABLE, Umem)
from lab.umem_bench import SIZE, vm_pin

pytestmark = [pytest.mark.pins, pytest.mark.usefixtures("umem_test", "no_umem_left")]


# ---- the cases inside the kernel

def test_cases_inside_the_kernel(umem_test):
    lines = re.findall(r"^\[[^]]*\]\s+(not )?ok \d+ (?:- )?(\w+)(.*)", umem_test,
                       re.M)
    cases = {name: not bad for bad, name, _ in lines}
    assert len(cases) >= 18
    assert all(cases.values()), umem_test


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
