# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Client and server on one machine: what holds over a wire holds without one.

        10.3.0.1, fd03::1
        link a on d ---- (nothing: a dummy device, which never sees a packet)
"""

import contextlib
import mmap
import random
import socket

import pytest

import test_data
import test_errors
from test_nopin import Owner

from lab import wire
from lab.rc import Two, counters, same
from lab.verbs import Connection, Side, e

globals().update({name: getattr(test_data, name) for name in (
    "test_write", "test_read", "test_send", "test_immediate", "test_atomics")})
# The rest of that file is slow here: see test_same_host_rc.py.
globals().update(test_read_dies_on_the_way=test_errors.test_read_dies_on_the_way)

ONE_HOST = True
SIZE = 1 << 20
MESSAGE = 100_000
MTU = 1024
ETH_P_ALL = 3


way_of_urxe = pytest.mark.urxe_only("about the way that urxe takes")


def roce_of(line):
    """The IPv4 packets to RoCE's port among those that a packet socket has heard."""
    with contextlib.suppress(BlockingIOError):
        while packet := line.recv(1 << 16, socket.MSG_DONTWAIT):
            if packet[0] == 0x45 and packet[9] == 17 \
               and packet[22:24] == wire.PORT.to_bytes(2, "big"):
                yield packet


@way_of_urxe
def test_no_wire(pair):
    """No device sees a packet; the link counts what a wire would have seen, each
    packet once: nobody is impatient."""
    with Connection(pair, SIZE, mtu=MTU, timeout=0) as (a, b), \
         socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)) as line:
        # Nothing has to be brought in later.
        for side in (a, b):
            side.memory[0:MESSAGE] = bytes(MESSAGE)
        a.post(e.IBV_WR_RDMA_WRITE, 0, 8, b.identity(), 0)
        a.poll()
        before = counters(pair.a.link)
        a.post(e.IBV_WR_RDMA_WRITE, 0, MESSAGE, b.identity(), 0)
        a.poll()
        after = counters(pair.a.link)
        packets = -(-MESSAGE // MTU) + 1
        assert after["tx_packets"] - before["tx_packets"] == packets
        assert after["rx_packets"] - before["rx_packets"] == packets
        # BTH and ICRC of each packet, one RETH, one AETH.
        carried = MESSAGE + packets * (12 + 4) + 16 + 4
        assert after["tx_bytes"] - before["tx_bytes"] == carried
        assert after["rx_bytes"] - before["rx_bytes"] == carried
        assert after["tx_ack"] - before["tx_ack"] == 1
        assert not list(roce_of(line))
        # What does go by way of a device is heard.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"a stranger", (pair.a.ipv4, wire.PORT))
        heard = list(roce_of(line))
        assert heard and all(b"a stranger" in packet for packet in heard)


@pytest.mark.slow
@way_of_urxe
def test_psns_come_round(pair):
    """A READ is remembered for when it comes again. 2^24 packets later another request has
    its number, and an answer of its own."""
    size = 256 << 20
    with Two(pair, size=size, mtu=256, reads=4, psns=(0, 0)) as (a, b):
        b.memory[0:8] = (1).to_bytes(8, "little")
        a.post(e.IBV_WR_RDMA_READ, 8, size - 8, b.identity(), 8)
        for _ in range((1 << 24) // (size // 256) - 1):
            a.post(e.IBV_WR_RDMA_WRITE, 8, size - 8, b.identity(), 8)
        for value in (1, 2, 3):
            a.post(e.IBV_WR_ATOMIC_FETCH_AND_ADD, 0, 8, b.identity(), 0, compare_add=1)
            a.poll(17 if value == 1 else 1, seconds=300)
            assert a.memory[0:8] == value.to_bytes(8, "little")


@pytest.fixture
def owner(pair):
    with Owner(pair.b, SIZE) as child:
        yield child


@way_of_urxe
def test_two_processes(pair, owner):
    """The other end is somebody else's, who has not touched the memory yet; then it is
    known where its pages are."""
    dice = random.Random(11)
    side = Side(pair.a, SIZE)
    side.connect(owner.peer())
    owner.ask(side.identity()._asdict())
    for length in (1, 100, 2048, 5000, 65536, 100_001, SIZE // 2):
        for _ in range(3):
            there = dice.randrange(SIZE // 2)
            data = dice.randbytes(length)
            side.memory[0:length] = data
            side.post(e.IBV_WR_RDMA_WRITE, 0, length, owner.peer(), there)
            side.post(e.IBV_WR_RDMA_READ, SIZE // 2, length, owner.peer(), there)
            side.poll()
            # While the write is done, another one from the same bytes is none.
            side.poll()
            assert same(side.memory[SIZE // 2:SIZE // 2 + length], data)
        answer = owner.ask([there, length])
        assert same(bytes.fromhex(answer["data"]), data)
    side.close()
    owner.close()


@way_of_urxe
def test_memory_comes_and_goes(pair, owner):
    """Messages out of, and into, pages that are taken away in between."""
    dice = random.Random(12)
    side = Side(pair.a, SIZE)
    side.connect(owner.peer())
    owner.ask(side.identity()._asdict())
    for round_ in range(20):
        data = dice.randbytes(SIZE // 2)
        side.memory[0:SIZE // 2] = data
        if round_ % 2:
            side.memory.map.madvise(mmap.MADV_DONTNEED, SIZE // 2, SIZE // 2)
        if round_ % 4 > 1:
            side.memory.map.madvise(mmap.MADV_DONTNEED, 0, SIZE // 2)
            data = bytes(SIZE // 2)
        side.post(e.IBV_WR_RDMA_WRITE, 0, SIZE // 2, owner.peer(), 0)
        side.post(e.IBV_WR_RDMA_READ, SIZE // 2, SIZE // 2, owner.peer(), 0)
        side.poll(2)
        assert same(side.memory[SIZE // 2:SIZE], data)
    side.close()
    owner.close()


@way_of_urxe
def test_answer_before_the_end(pair):
    """A READ has its answer though the request behind it ends the peer's queue pair."""
    with Two(pair, size=SIZE, timeout=0) as (a, b):
        data = random.Random(13).randbytes(65536)
        b.memory[0:65536] = data
        a.memory[0:65536] = bytes(65536)
        peer = b.identity()
        bad = a.request(e.IBV_WR_RDMA_WRITE, 0, 8, peer._replace(rkey=peer.rkey ^ 1),
                        wr_id=2)
        a.post(e.IBV_WR_RDMA_READ, 0, 65536, peer, wr_id=1, then=bad)
        assert a.statuses(2) == [(1, 0), (2, e.IBV_WC_REM_ACCESS_ERR)]
        assert same(a.memory[0:65536], data)


def test_path_mtus_differ(pair):
    """Which is a mistake, and would be one over a wire."""
    with Two(pair, size=SIZE, a={"mtu": 1024}, b={"mtu": 4096}) as (a, b):
        b.post_receive(0, 10240)
        a.post(e.IBV_WR_SEND, 0, 10240)
        assert a.statuses() == [(0, e.IBV_WC_REM_INV_REQ_ERR)]


@pytest.mark.slow
@way_of_urxe
def test_many_at_once(pair):
    """More than a window and a turn, both ways at the same time."""
    depth, dice = 48, random.Random(13)
    with Connection(pair, 8 * SIZE, mtu=MTU, depth=64) as (a, b):
        chunk = 4 * SIZE // depth
        for side in (a, b):
            side.memory[0:4 * SIZE] = dice.randbytes(4 * SIZE)
        for number in range(depth):
            at = number * chunk
            a.post(e.IBV_WR_RDMA_WRITE, at, chunk, b.identity(), 4 * SIZE + at, number)
            b.post(e.IBV_WR_RDMA_WRITE, at, chunk, a.identity(), 4 * SIZE + at, number)
        for one, other in ((a, b), (b, a)):
            assert [done.wr_id for done in one.poll(depth)] == list(range(depth))
            length = depth * chunk
            assert same(other.memory[4 * SIZE:4 * SIZE + length],
                        one.memory[0:length])


def test_gather(pair):
    """Lists on both sides, cut differently."""
    dice = random.Random(14)
    with Two(pair, size=SIZE, sges=4) as (a, b):
        a.memory[0:SIZE] = dice.randbytes(SIZE)
        source = [(10, 5000), (20_000, 1), (30_001, 60_000), (200_000, 9_999)]
        sink = [(7, 40_000), (50_000, 3), (60_000, 30_000), (100_000, 20_000)]
        b.post_receive_list(sink)
        a.post_list(e.IBV_WR_SEND, source)
        a.poll()
        total = sum(length for _, length in source)
        assert b.poll_receive()[0].byte_len == total
        sent = b"".join(bytes(a.memory[at:at + length]) for at, length in source)
        got = b"".join(bytes(b.memory[at:at + length]) for at, length in sink)
        assert same(got[:total], sent)


def test_local_key_is_the_senders_mistake(pair):
    """A key that is no good is found by its owner, whoever reads the bytes."""
    with Two(pair, size=SIZE) as (a, b):
        b.memory[0:SIZE] = b"b" * SIZE
        a.post_raw(e.IBV_WR_RDMA_WRITE, [(a.memory.address, MESSAGE, a.mr.lkey ^ 1)],
                   (b.mr.rkey, b.memory.address), wr_id=5)
        assert a.statuses() == [(5, e.IBV_WC_LOC_PROT_ERR)]
        assert same(b.memory[0:SIZE], b"b" * SIZE)
