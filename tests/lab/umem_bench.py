# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""ib_umem by itself: what can happen to a process whose memory a driver has open.

umem_test, a module that is never installed, runs its own cases on load and
gives programs /dev/umem_test: a range per open file, accessed from the caller, a
softirq, a worker in the owner's mm, or a kernel thread outside any mm. In these tests
a process does to its memory what processes do, and the bytes are compared.

A plugin of pytest's, for the fixtures. A file of such tests has umem_test and
no_umem_left in its marks; and `pins`, for the library can pin, and some of its tests
have it do so.
"""

import contextlib
import mmap
import os
import subprocess

import pytest

from lab import machine
from lab.command import run, status_kib
from lab.mapping import ANON, MADV_HUGEPAGE, MAP_HUGETLB, MIB, PAGE, Child, Swap, noise
from lab.mapping import Mapping as Memory
from lab.umem import Umem

SIZE = 16 * PAGE


def vm_pin():
    return status_kib("self", "VmPin") * 1024


def pin_balance():
    acquired, released = machine.vmstat("nr_foll_pin_acquired", "nr_foll_pin_released")
    return acquired - released


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


@pytest.fixture(scope="module")
def umem_test():
    """The modules are loaded for these tests, and unload after them."""
    subprocess.run(["rmmod", "umem_test"], stderr=subprocess.DEVNULL)
    run("dmesg", "--clear")
    run("modprobe", "umem_test")
    log = subprocess.run(["dmesg"], check=True, capture_output=True, text=True)
    balance = pin_balance()
    yield log.stdout
    assert pin_balance() == balance, "pins are left"
    run("rmmod", "umem_test")


@pytest.fixture
def no_umem_left():
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
