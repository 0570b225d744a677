# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""ib_umem by itself: every sort of memory."""

import ctypes
import errno
import mmap
import os
import re
import struct

import pytest

from lab.expect import fails
from lab.mapping import PAGE, RW, check, in_child, libc, noise
from lab.mapping import Mapping as Memory
from lab.umem import CALLER, FAA, PINNED, SOFTIRQ, UNPINNED, WORKER, WRITABLE, Umem
from lab.umem_bench import SIZE, make_memory

pytestmark = [pytest.mark.pins, pytest.mark.usefixtures("umem_test", "no_umem_left")]


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


def test_shared_memory_written_by_another_process():
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
