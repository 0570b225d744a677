# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Regions on dma-bufs.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b, whose region is a dma-buf
"""

import contextlib
import errno
import os

import pytest

from lab import dmabuf, resources
from lab.command import memory
from lab.machine import KERNEL
from lab.mapping import PAGE, Child, noise
from lab.marks import slow
from lab.rc import Node, Two, counters, e, same
from lab.uverbs import PREFETCH_WRITE, DmabufRegion, advise
from lab.verbs import ACCESS

SIZE = 32 * PAGE
LOCAL = e.IBV_ACCESS_LOCAL_WRITE
READABLE = e.IBV_ACCESS_REMOTE_READ

# udmabuf does pin, when it makes one.
pytestmark = [pytest.mark.pins, pytest.mark.urxe_only("rdma_rxe takes no dma-buf")]


def available(maker):
    if not os.path.exists(dmabuf.MAKERS[maker][0]):
        pytest.skip(f"this kernel has no {maker}")
    if maker == "udmabuf" and KERNEL < (6, 2):
        pytest.skip("the udmabuf of 6.1 can't be mapped by the kernel")


@pytest.fixture(params=("udmabuf", slow("heap")))
def buffer(request):
    available(request.param)
    with contextlib.closing(dmabuf.Buffer(request.param, SIZE)) as made:
        yield made


def register(node, buffer, offset=0, length=SIZE, iova=1 << 40, access=ACCESS, fd=None):
    """A region of the buffer on the node's link; the address it goes by is iova."""
    return DmabufRegion(node.context, node.pd, buffer.fd if fd is None else fd,
                        offset, length, iova + offset % PAGE, access)


@contextlib.contextmanager
def region(node, *args, **options):
    """The same, and how a peer sees it."""
    with contextlib.closing(register(node, *args, **options)) as made:
        iova = options.get("iova", 1 << 40) + options.get("offset", 0) % PAGE
        yield made, node.identity()._replace(rkey=made.rkey, address=iova)


def test_one_sided(pair, buffer):
    """All of it, and pieces across pages; nothing else changes."""
    with Two(pair, size=SIZE) as (a, b), region(b, buffer) as (_, peer):
        a.memory[0:SIZE] = noise(SIZE)
        a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, peer, 0)
        a.poll()
        assert same(buffer.peek(), noise(SIZE))
        expect = bytearray(noise(SIZE))
        for offset, length in ((1, 1), (PAGE - 1, 2), (5 * PAGE - 7, 3 * PAGE + 11)):
            expect[offset:offset + length] = noise(length, offset)
            a.memory[0:length] = noise(length, offset)
            a.post(e.IBV_WR_RDMA_WRITE, 0, length, peer, offset)
            a.poll()
        assert same(buffer.peek(), expect)
        buffer.poke(noise(SIZE, 2))
        a.post(e.IBV_WR_RDMA_READ, 0, SIZE, peer, 0)
        a.poll()
        assert same(a.memory[0:SIZE], noise(SIZE, 2))


def test_atomics(pair, buffer):
    with Two(pair, size=SIZE) as (a, b), region(b, buffer) as (_, peer):
        buffer.poke((40).to_bytes(8, "little"), 4 * PAGE + 8)
        a.post(e.IBV_WR_ATOMIC_FETCH_AND_ADD, 0, 8, peer, 4 * PAGE + 8, compare_add=2)
        a.poll()
        assert a.memory[0:8] == (40).to_bytes(8, "little")
        a.post(e.IBV_WR_ATOMIC_CMP_AND_SWP, 0, 8, peer, 4 * PAGE + 8, compare_add=42,
               swap=9)
        a.poll()
        assert a.memory[0:8] == (42).to_bytes(8, "little")
        assert buffer.peek(4 * PAGE + 8, 8) == (9).to_bytes(8, "little")


def test_as_local_memory(pair, buffer):
    """Sent from, received into, gathered for a WRITE, filled by a READ."""
    with Two(pair, size=SIZE) as (a, b), region(b, buffer) as (made, peer):
        buffer.poke(noise(SIZE, 3))
        piece = lambda at, length: [(peer.address + at, length, made.lkey)]
        a.post_receive(0, PAGE)
        b.post_raw(e.IBV_WR_SEND, piece(7, PAGE))
        b.poll()
        a.poll_receive()
        assert same(a.memory[0:PAGE], noise(SIZE, 3)[7:PAGE + 7])
        there = a.identity()
        b.post_raw(e.IBV_WR_RDMA_WRITE, piece(0, SIZE), (there.rkey, there.address))
        b.poll()
        assert same(a.memory[0:SIZE], noise(SIZE, 3))
        a.memory[0:SIZE] = noise(SIZE, 4)
        b.post_raw(e.IBV_WR_RDMA_READ, piece(0, SIZE), (there.rkey, there.address))
        b.poll()
        assert same(buffer.peek(), noise(SIZE, 4))


def test_part_of_a_buffer(pair, buffer):
    """The region is what was asked for, and no byte around it."""
    at, length = 3 * PAGE + 100, 5 * PAGE
    with Two(pair, size=SIZE) as (a, b):
        with region(b, buffer, offset=at, length=length) as (_, peer):
            buffer.poke(noise(SIZE, 5))
            a.memory[0:SIZE] = noise(SIZE, 6)
            a.post(e.IBV_WR_RDMA_WRITE, 0, length, peer, 0)
            a.poll()
            expect = bytearray(noise(SIZE, 5))
            expect[at:at + length] = noise(SIZE, 6)[0:length]
            assert same(buffer.peek(), expect)
            a.post(e.IBV_WR_RDMA_WRITE, 0, 8, peer, length - 7, wr_id=1)
            assert a.statuses() == [(1, e.IBV_WC_REM_ACCESS_ERR)]
            assert same(buffer.peek(), expect)


def test_rights(pair, buffer):
    with Two(pair, size=SIZE) as (a, b), region(b, buffer, access=READABLE) as (_, peer):
        buffer.poke(noise(SIZE, 7))
        a.post(e.IBV_WR_RDMA_READ, 0, SIZE, peer, 0)
        a.poll()
        assert same(a.memory[0:SIZE], noise(SIZE, 7))
        a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, peer, 0, wr_id=1)
        assert a.statuses() == [(1, e.IBV_WC_REM_ACCESS_ERR)]
        assert same(buffer.peek(), noise(SIZE, 7))


def refused(node, buffer, code, **options):
    with pytest.raises(OSError) as caught:
        register(node, buffer, **options)
    assert errno.errorcode[caught.value.errno] == errno.errorcode[code]


def test_refused(pair, buffer):
    with Two(pair, size=SIZE) as (_, b):
        register(b, buffer).close()     # or skip: the next ones fail likewise
        for offset, length in ((0, SIZE + 1), (SIZE, 1), (PAGE, SIZE), (0, 0),
                               (1 << 63, 1 << 63), (PAGE, (1 << 64) - 1)):
            with pytest.raises(OSError) as caught:
                register(b, buffer, offset=offset, length=length)
            assert caught.value.errno == errno.EINVAL
        refused(b, buffer, errno.EBADF, fd=999)
        with open("/dev/null", "rb") as other, pytest.raises(OSError) as caught:
            register(b, buffer, fd=other.fileno())
        assert caught.value.errno == errno.EINVAL


def test_file_open_for_reading(pair):
    """Whoever got the buffer to read from does not write through the link."""
    available("heap")
    with contextlib.closing(dmabuf.ReadOnlyBuffer(SIZE)) as buffer, \
            Two(pair, size=SIZE) as (a, b):
        refused(b, buffer, errno.EACCES, access=LOCAL)
        with region(b, buffer, access=READABLE) as (_, peer):
            a.post(e.IBV_WR_RDMA_READ, 0, SIZE, peer, 0)
            a.poll()
            assert same(a.memory[0:SIZE], bytes(SIZE))


def test_outlives_its_file(pair, buffer):
    """The region holds the buffer, not the file descriptor."""
    with Two(pair, size=SIZE) as (a, b), region(b, buffer, fd=os.dup(buffer.fd)) as (_, peer):
        a.memory[0:SIZE] = noise(SIZE, 8)
        a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, peer, 0)
        a.poll()
        assert same(buffer.peek(), noise(SIZE, 8))


def test_owner_exits(pair, buffer):
    """With a region registered, without a word; others go on using the buffer."""
    def owner(child):
        node = Node(pair.b, SIZE)
        register(node, buffer)
        buffer.poke(b"last words")
        os._exit(0)

    register_probe = Node(pair.b, SIZE)
    try:
        register(register_probe, buffer).close()
    finally:
        register_probe.close()
    assert Child(owner).end() == 0
    assert buffer.peek(0, 10) == b"last words"


def test_nothing_is_pinned_or_faulted(pair, buffer):
    """Not by us; and its bytes are reached where the packet arrives."""
    with Two(pair, size=SIZE) as (a, b), region(b, buffer) as (made, peer):
        assert memory(os.getpid()) == {"VmPin": 0, "VmLck": 0}
        shown = resources.listed("mr", pair.b.link.name)
        assert any(one["drv_memory"] == "dma-buf" for one in shown), shown
        before = counters(pair.b.link)["worker_handover"]
        a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, peer, 0)
        a.poll()
        # The other end's memory is an ordinary one's.
        assert a.end is b.end or counters(pair.b.link)["worker_handover"] == before
        for flush in (True, False):
            advise(b.context, b.pd, PREFETCH_WRITE, [(peer.address, SIZE, made.lkey)],
                   flush)
