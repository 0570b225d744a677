# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Whatever can be mapped can be registered: every sort of memory, as target and
source of every operation, with the bytes compared at both ends.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b, whose memory is of that sort
"""

import contextlib
import errno
import os
import re

import pytest
from pyverbs.mr import MR
from pyverbs.pyverbs_error import PyverbsRDMAError

from lab import disk
from lab.command import memory
from lab.mapping import (ANON, MADV_HUGEPAGE, MAP_GROWSDOWN, MAP_HUGETLB, MIB, PAGE,
                         PRIVATE, PROT_READ, SHARED, Child, Mapping,
                         libc, noise, read_file, write_file)
from lab.marks import slow_but
from lab.rc import Node, Two, counters, e, meet_child, meet_parent, same
from lab.verbs import ACCESS

SIZE = 40 * PAGE
READABLE = e.IBV_ACCESS_REMOTE_READ


pytestmark = pytest.mark.urxe_only("rdma_rxe pins, and can't have all of this")


# --- sorts of memory -----------------------------------------------------------


class Sort:
    """A mapping, what is to be closed with it, and the file behind it, if writes
    are to be found there."""

    def __init__(self, mapping, file=None, *closing):
        self.mapping, self.file, self.closing = mapping, file, closing

    def in_file(self, length):
        return os.pread(self.file, length, 0)


def huge_bytes(mapping):
    """How much of it is in huge pages; or of what the kernel has made one with it."""
    inside = False
    for line in read_file("/proc/self/smaps").splitlines():
        if found := re.match(r"(\w+)-(\w+) ", line):
            inside = int(found[1], 16) <= mapping.addr < int(found[2], 16)
        elif inside and line.startswith("AnonHugePages:"):
            return int(line.split()[1]) << 10
    return 0


def anonymous():
    return Sort(Mapping(SIZE))


def anonymous_shared():
    return Sort(Mapping(SIZE, flags=SHARED | ANON & ~PRIVATE))


def transparent_huge():
    made = Mapping(4 * MIB)
    made.advise(MADV_HUGEPAGE)
    # There may be no huge page free.
    write_file("/proc/sys/vm/compact_memory", 1)
    # To be read first would make it the page of zeroes, which small ones take the place of.
    made.poke(noise(4 * MIB, 40))
    assert huge_bytes(made) >= 2 * MIB
    return Sort(made)


def huge():
    disk.huge_pages(8)
    return Sort(Mapping(4 * MIB, flags=ANON | MAP_HUGETLB))


def closes(file):
    """What does."""
    stack = contextlib.ExitStack()
    stack.callback(os.close, file)
    return stack


def memfd(flags, options=0, size=SIZE):
    def make():
        file = os.memfd_create("memory", options)
        os.ftruncate(file, size)
        return Sort(Mapping(size, fd=file, flags=flags),
                    file if flags == SHARED else None, closes(file))
    return make


def memfd_huge():
    disk.huge_pages(8)
    return memfd(SHARED, os.MFD_HUGETLB, 4 * MIB)()


def file_on(file_system, flags, size=SIZE):
    def make():
        stack = contextlib.ExitStack()
        place = stack.enter_context(file_system())
        file = place.file(size)
        stack.callback(os.close, file)
        made = Mapping(size, fd=file, flags=flags)
        return Sort(made, file if flags == SHARED else None, stack)
    return make


def stack_of_a_thread():
    return Sort(Mapping(SIZE, flags=ANON | MAP_GROWSDOWN | 0x20000))


def secret():
    """Pages that not even the kernel has mapped."""
    file = libc.syscall(447, 0)
    if file < 0:
        pytest.skip("this kernel keeps no secrets")
    os.ftruncate(file, SIZE)
    return Sort(Mapping(SIZE, fd=file, flags=SHARED), None, closes(file))


def device():
    """Physical memory that is none of the kernel's, through /dev/mem."""
    start = disk.reserved_memory()
    if start is None or not os.path.exists("/dev/mem"):
        pytest.skip("no device memory; boot with memmap=1M$0x50000000")
    file = os.open("/dev/mem", os.O_RDWR)
    return Sort(Mapping(SIZE, fd=file, flags=SHARED, offset=start), None, closes(file))


SORTS = {
    "anonymous": anonymous,
    "anonymous shared": anonymous_shared,
    "transparent huge": transparent_huge,
    "hugetlb": huge,
    "hugetlbfs": file_on(disk.Hugetlbfs, SHARED, 4 * MIB),
    "memfd": memfd(SHARED),
    "memfd private": memfd(PRIVATE),
    "memfd huge": memfd_huge,
    "ext4": file_on(disk.Ext4, SHARED),
    "ext4 private": file_on(disk.Ext4, PRIVATE),
    "tmpfs": file_on(disk.Tmpfs, SHARED),
    "tmpfs private": file_on(disk.Tmpfs, PRIVATE),
    "dax": file_on(disk.Dax, SHARED),
    "dax private": file_on(disk.Dax, PRIVATE),
    "stack": stack_of_a_thread,
    "secret": secret,
    "device": device,
}


# Those that --quick tries.
QUICK = ("anonymous", "ext4", "tmpfs private")


@pytest.fixture(params=slow_but(QUICK, SORTS))
def sort(request):
    made = SORTS[request.param]()
    yield made
    with contextlib.suppress(OSError):
        made.mapping.unmap()
    for thing in made.closing:
        thing.close()


# --- both ends of every operation ------------------------------------------------


def pieces(size):
    """Small and across pages; the last bytes; all of it, to end with."""
    return ((0, 1), (PAGE - 3, 7), (3 * PAGE + 5, 2 * PAGE + 11), (size - 9, 9), (0, size))


def test_every_operation(pair, sort):
    there = sort.mapping
    size = there.length
    with Two(pair, a={"size": size}, b={"memory": there}) as (a, b):
        into_it(a, b, there, size)
        out_of_it(a, b, there, size)
        atomics(a, b, there)
        assert memory(os.getpid()) == {"VmPin": 0, "VmLck": 0}
        if sort.file is not None:
            assert same(sort.in_file(size), there.peek())
        b.memory = Mapping(PAGE)    # for close(): the mapping is the fixture's


def into_it(a, b, there, size):
    """WRITE, SEND, and a READ that b posts."""
    want = bytearray(there.peek())
    for seed, (offset, length) in enumerate(pieces(size)):
        want[offset:offset + length] = noise(length, seed)
        a.memory[0:length] = noise(length, seed)
        a.post(e.IBV_WR_RDMA_WRITE, 0, length, b.identity(), offset)
        a.poll()
        assert same(there.peek(), want)
        want[offset:offset + length] = noise(length, seed + 10)
        a.memory[0:length] = noise(length, seed + 10)
        b.post_receive(offset, length)
        a.post(e.IBV_WR_SEND, 0, length)
        a.poll()
        b.poll_receive()
        assert same(there.peek(), want)
        want[offset:offset + length] = noise(length, seed + 20)
        a.memory[0:length] = noise(length, seed + 20)
        b.post(e.IBV_WR_RDMA_READ, offset, length, a.identity(), 0)
        b.poll()
        assert same(there.peek(), want)


def out_of_it(a, b, there, size):
    """READ, and b's SEND and WRITE."""
    there.poke(noise(size, 30))
    for offset, length in pieces(size):
        want = noise(size, 30)[offset:offset + length]
        a.memory[0:length] = bytes(length)
        a.post(e.IBV_WR_RDMA_READ, 0, length, b.identity(), offset)
        a.poll()
        assert same(a.memory[0:length], want)
        a.memory[0:length] = bytes(length)
        a.post_receive(0, length)
        b.post(e.IBV_WR_SEND, offset, length)
        b.poll()
        a.poll_receive()
        assert same(a.memory[0:length], want)
        a.memory[0:length] = bytes(length)
        b.post(e.IBV_WR_RDMA_WRITE, offset, length, a.identity(), 0)
        b.poll()
        assert same(a.memory[0:length], want)
    assert same(there.peek(), noise(size, 30))


def atomics(a, b, there):
    there.poke((1 << 40).to_bytes(8, "little"), PAGE)
    a.post(e.IBV_WR_ATOMIC_FETCH_AND_ADD, 0, 8, b.identity(), PAGE, compare_add=5)
    a.poll()
    assert a.memory[0:8] == (1 << 40).to_bytes(8, "little")
    a.post(e.IBV_WR_ATOMIC_CMP_AND_SWP, 0, 8, b.identity(), PAGE,
           compare_add=(1 << 40) + 5, swap=7)
    a.poll()
    assert a.memory[0:8] == ((1 << 40) + 5).to_bytes(8, "little")
    assert there.peek(PAGE, 8) == (7).to_bytes(8, "little")
    # the answer to b's own lands in it
    a.memory[8:16] = (3).to_bytes(8, "little")
    b.post(e.IBV_WR_ATOMIC_FETCH_AND_ADD, 16, 8, a.identity(), 8, compare_add=1)
    b.poll()
    assert there.peek(16, 8) == (3).to_bytes(8, "little")
    assert a.memory[8:16] == (4).to_bytes(8, "little")


# --- of another process ----------------------------------------------------------

# Of which there are no pages that could be noted: the kernel has none, or does not own them.
NEVER_IN_PLACE = ("secret", "device", "dax")
ROUNDS = 4


def owner(pair, sort):
    """A process that has the mapping, and a queue pair. When told to go it looks what is
    there, and in the file as it is on the disk."""
    def live(child):
        node = Node(pair.b, memory=sort.mapping)
        meet_parent(child, node)
        child.wait_go()
        if sort.file is not None:
            os.fsync(sort.file)
            os.posix_fadvise(sort.file, 0, 0, os.POSIX_FADV_DONTNEED)
            assert same(sort.in_file(SIZE), noise(SIZE, ROUNDS))
        assert same(sort.mapping.peek(0, SIZE), noise(SIZE, ROUNDS))
        node.close()
    return Child(live)


def test_owner_touches_nothing(pair, sort, request):
    """The first to need a page is a peer's WRITE: it is made then, and what follows finds
    it while its owner is elsewhere."""
    child = owner(pair, sort)
    with contextlib.closing(Node(pair.a, 2 * SIZE)) as node:
        there = meet_child(child, node)
        for number in range(1, ROUNDS + 1):
            before = counters(pair.b.link)["in_place"]
            node.memory[0:SIZE] = noise(SIZE, number)
            node.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, there)
            node.post(e.IBV_WR_RDMA_READ, SIZE, SIZE, there)
            node.poll(2)
            assert same(node.memory[SIZE:2 * SIZE], noise(SIZE, number))
        if request.node.callspec.params["sort"] not in NEVER_IN_PLACE:
            assert counters(pair.b.link)["in_place"] > before
        child.go()
        assert child.end() == 0


# --- shared with others ----------------------------------------------------------


def test_never_touched(pair):
    """What was never written reads as zeroes, and does not become memory."""
    def anonymous():
        return re.search(r"Anonymous: +(\d+)", read_file("/proc/self/smaps_rollup")).group(1)
    size = 32 * MIB
    there = Mapping(size)
    with Two(pair, a={"size": size}, b={"memory": there}) as (a, b):
        a.memory[0:size] = noise(MIB) * 32
        before = int(anonymous())
        a.post(e.IBV_WR_RDMA_READ, 0, size, b.identity(), 0)
        a.poll()
        assert (int(anonymous()) - before) << 10 < size // 2
        assert same(a.memory[0:size], bytes(size))


def test_file_as_others_see_it(pair):
    """A private mapping's writes stay out of the file, a shared one's are read by
    whoever reads it, also after all of it was written back and dropped."""
    with disk.Ext4() as place:
        file = place.file(SIZE)
        os.pwrite(file, noise(SIZE, 1), 0)
        private, shared = (Mapping(SIZE, fd=file, flags=flags)
                           for flags in (PRIVATE, SHARED))
        for there, seen in ((private, noise(SIZE, 1)), (shared, noise(SIZE, 2))):
            with Two(pair, a={"size": SIZE}, b={"memory": there}) as (a, b):
                a.post(e.IBV_WR_RDMA_READ, 0, SIZE, b.identity(), 0)
                a.poll()
                assert same(a.memory[0:SIZE], noise(SIZE, 1))
                a.memory[0:SIZE] = noise(SIZE, 2)
                a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, b.identity(), 0)
                a.poll()
                assert same(there.peek(), noise(SIZE, 2))
            assert same(os.pread(file, SIZE, 0), seen)
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            assert same(os.pread(file, SIZE, 0), seen)
        os.close(file)


def test_memory_of_another_process(pair):
    """A child's writes are READ, what is written the child sees: it has mapped the
    memory elsewhere, and the region is not its own."""
    file = os.memfd_create("shared")
    os.ftruncate(file, SIZE)

    def other(child):
        mine = Mapping(SIZE, fd=file, flags=SHARED)
        mine.poke(noise(SIZE, 3))
        child.say()
        child.wait_go()
        assert same(mine.peek(), noise(SIZE, 4))

    with Two(pair, a={"size": SIZE},
             b={"memory": Mapping(SIZE, fd=file, flags=SHARED)}) as (a, b):
        child = Child(other)
        child.listen()
        a.post(e.IBV_WR_RDMA_READ, 0, SIZE, b.identity(), 0)
        a.poll()
        assert same(a.memory[0:SIZE], noise(SIZE, 3))
        a.memory[0:SIZE] = noise(SIZE, 4)
        a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, b.identity(), 0)
        a.poll()
        child.go()
        assert child.end() == 0
    os.close(file)


def test_stack_of_the_process(pair):
    """The far end of the main thread's stack, where nobody has been lately."""
    with open("/proc/self/maps", encoding="ascii") as maps:
        start = int(re.search(r"^(\w+)-\w+ .*\[stack\]", maps.read(), re.M)[1], 16)
    class Stack(Mapping):
        def __init__(self):
            self.addr, self.length = start, 2 * PAGE
        def close(self):
            pass
    there = Stack()
    with Two(pair, a={"size": SIZE}, b={"memory": there}) as (a, b):
        a.memory[0:SIZE] = noise(SIZE, 7)
        a.post(e.IBV_WR_RDMA_WRITE, 0, PAGE, b.identity(), 100)
        a.poll()
        assert same(there.peek(100, PAGE), noise(SIZE, 7)[0:PAGE])
        a.post(e.IBV_WR_RDMA_READ, PAGE, PAGE, b.identity(), 100)
        a.poll()
        assert same(a.memory[PAGE:2 * PAGE], noise(SIZE, 7)[0:PAGE])


# --- as far as the mapping allows ------------------------------------------------


def read_only_file():
    return Mapping(SIZE, PROT_READ, SHARED, os.open("/bin/bash", os.O_RDONLY))


def read_only_anonymous():
    made = Mapping(SIZE)
    made.poke(noise(SIZE, 8))
    made.protect(PROT_READ)
    return made


@pytest.mark.parametrize("make", (read_only_file, read_only_anonymous),
                         ids=("file", "anonymous"))
def test_read_only(pair, make):
    """Refused with a right to write, READ and sent from without, never written."""
    there = make()
    before = there.peek()
    with Two(pair, a={"size": SIZE}, b={"memory": there, "access": READABLE}) as (a, b):
        for access in (ACCESS, e.IBV_ACCESS_LOCAL_WRITE):
            with pytest.raises(PyverbsRDMAError) as refused:
                MR(b.pd, SIZE, access, address=there.addr)
            assert refused.value.error_code == errno.EFAULT
        a.post(e.IBV_WR_RDMA_READ, 0, SIZE, b.identity(), 0)
        a.poll()
        assert same(a.memory[0:SIZE], before)
        a.memory[0:SIZE] = bytes(SIZE)
        b.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, a.identity(), 0)
        b.poll()
        assert same(a.memory[0:SIZE], before)
        a.post(e.IBV_WR_RDMA_WRITE, 0, 8, b.identity(), 0, wr_id=1)
        assert a.statuses() == [(1, e.IBV_WC_REM_ACCESS_ERR)]
        assert same(there.peek(), before)


@pytest.mark.parametrize("prot,access", ((0, READABLE), (0, ACCESS), (PROT_READ, ACCESS)))
def test_mapping_forbids(pair, prot, access):
    there = Mapping(SIZE)
    there.protect(prot, SIZE // 2, PAGE)
    node = Node(pair.b, SIZE)
    with contextlib.closing(node), pytest.raises(PyverbsRDMAError) as refused:
        MR(node.pd, SIZE, access, address=there.addr)
    assert refused.value.error_code == errno.EFAULT
    there.unmap()


def test_hole(pair):
    there = Mapping(SIZE)
    there.unmap(SIZE // 2, PAGE)
    node = Node(pair.b, SIZE)
    with contextlib.closing(node), pytest.raises(PyverbsRDMAError) as refused:
        MR(node.pd, SIZE, READABLE, address=there.addr)
    assert refused.value.error_code == errno.EFAULT
