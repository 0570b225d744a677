# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""ib_umem by itself: memory that is pinned, what is charged for it, and how it is mapped
for DMA; and that to open a range without pinning costs the same for any size."""

import errno
import mmap
import os
import resource
import signal
import time

import pytest

from lab import machine
from lab.expect import fails
from lab.mapping import ANON, GIB, MAP_NORESERVE, PAGE, Child, in_child
from lab.mapping import Mapping as Memory
from lab.umem import PINNED, PINNED_DIRECT, PINNED_RECORDED, WRITABLE, Umem
from lab.umem_bench import SIZE, make_memory, pin_balance, vm_pin

pytestmark = [pytest.mark.pins, pytest.mark.usefixtures("umem_test", "no_umem_left")]


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
