# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""ib_umem by itself: a fault that takes its time, for a userfaultfd is to serve it, and
what interrupts it."""

import errno
import os
import signal
import threading
import time

import pytest

from lab.expect import fails
from lab.mapping import MADV_DONTNEED, PAGE, Child, Uffd
from lab.mapping import Mapping as Memory
from lab.umem import FAA, SOFTIRQ, WORKER, Umem
from lab.umem_bench import SIZE

pytestmark = [pytest.mark.pins, pytest.mark.usefixtures("umem_test", "no_umem_left")]


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
    assert 0 in results and results != {0}
