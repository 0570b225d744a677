# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What arrives is what was sent, byte for byte.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b
"""

import random

import pytest

from lab import net
from lab.marks import slow
from lab.verbs import Connection, e

SIZE = 4 << 20
HALF = SIZE // 2
# Around a packet, around a page, odd pads, and many packets.
LENGTHS = (0, 1, 2, 3, 5, 255, 256, 257, 1023, 1024, 1025, 4095, 4096, 4097,
           65535, 65536, 1 << 20)
MTUS = (1024, slow(256), slow(4096))


PAIR_MTU = net.WIDE


def fill(side, seed):
    side.memory[0:SIZE] = random.Random(seed).randbytes(SIZE)


def expect(side, before, offset, data):
    """Only [offset, offset + len(data)) has changed, and to this."""
    wanted = before[:offset] + data + before[offset + len(data):]
    assert len(wanted) == SIZE
    if side.memory[0:SIZE] != wanted:
        now = side.memory[0:SIZE]
        first = next(n for n in range(SIZE) if now[n] != wanted[n])
        pytest.fail(f"byte {first}: {now[first]:#x}, not {wanted[first]:#x} "
                    f"(data at {offset}, {len(data)} bytes)")


@pytest.mark.parametrize("mtu", MTUS)
def test_write(pair, mtu, ipv6=False):
    with Connection(pair, SIZE, ipv6=ipv6, mtu=mtu) as (a, b):
        fill(a, 1)
        fill(b, 2)
        for offset, length in enumerate(LENGTHS, 13):
            before = b.memory[0:SIZE]
            a.post(e.IBV_WR_RDMA_WRITE, offset, length, b.identity(), HALF + 3)
            a.poll()
            expect(b, before, HALF + 3, a.memory[offset:offset + length])


@pytest.mark.parametrize("mtu", MTUS)
def test_read(pair, mtu, ipv6=False):
    with Connection(pair, SIZE, ipv6=ipv6, mtu=mtu) as (a, b):
        fill(a, 3)
        fill(b, 4)
        for offset, length in enumerate(LENGTHS, 13):
            before = a.memory[0:SIZE]
            a.post(e.IBV_WR_RDMA_READ, HALF + offset, length, b.identity(), 7)
            a.poll()
            expect(a, before, HALF + offset, b.memory[7:7 + length])


@pytest.mark.parametrize("mtu", MTUS)
def test_send(pair, mtu, ipv6=False):
    with Connection(pair, SIZE, ipv6=ipv6, mtu=mtu) as (a, b):
        fill(a, 5)
        fill(b, 6)
        for offset, length in enumerate(LENGTHS, 13):
            before = b.memory[0:SIZE]
            b.post_receive(offset, HALF, wr_id=length)
            a.post(e.IBV_WR_SEND, HALF + offset, length)
            a.poll()
            completion, = b.poll()
            assert (completion.wr_id, completion.byte_len) == (length, length)
            expect(b, before, offset, a.memory[HALF + offset:HALF + offset + length])


# For tests over another wire.
each_transfer = pytest.mark.parametrize("transfer", (test_write, test_read, test_send),
                                        ids=("write", "read", "send"))


def test_immediate(pair):
    with Connection(pair, SIZE) as (a, b):
        fill(a, 7)
        fill(b, 8)
        for opcode in (e.IBV_WR_SEND_WITH_IMM, e.IBV_WR_RDMA_WRITE_WITH_IMM):
            b.post_receive(0, HALF)
            peer = b.identity() if opcode == e.IBV_WR_RDMA_WRITE_WITH_IMM else None
            a.post(opcode, 11, 3000, peer, HALF, imm=0x12345678)
            a.poll()
            completion, = b.poll()
            where = HALF if peer else 0
            assert completion.imm_data == 0x12345678
            assert completion.wc_flags & e.IBV_WC_WITH_IMM
            assert b.memory[where:where + 3000] == a.memory[11:3011]


def test_atomics(pair):
    with Connection(pair, 4096) as (a, b):
        peer = b.identity()
        b.memory[64:72] = (40).to_bytes(8, "little")
        a.post(e.IBV_WR_ATOMIC_FETCH_AND_ADD, 0, 8, peer, 64, compare_add=2)
        a.poll()
        assert a.memory[0:8] == (40).to_bytes(8, "little")
        assert b.memory[64:72] == (42).to_bytes(8, "little")
        a.post(e.IBV_WR_ATOMIC_CMP_AND_SWP, 8, 8, peer, 64, compare_add=41, swap=7)
        a.poll()
        assert b.memory[64:72] == a.memory[8:16] == (42).to_bytes(8, "little")
        a.post(e.IBV_WR_ATOMIC_CMP_AND_SWP, 8, 8, peer, 64, compare_add=42, swap=7)
        a.poll()
        assert a.memory[8:16] == (42).to_bytes(8, "little")
        assert b.memory[64:72] == (7).to_bytes(8, "little")


def test_psn_wraps(pair):
    last = 0xffffff
    with Connection(pair, SIZE, psns=(last - 100, last - 3), mtu=256) as (a, b):
        fill(a, 9)
        for opcode in (e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_READ) * 3:
            a.post(opcode, 0, 100_000, b.identity(), 5)
            a.poll()
            assert a.memory[0:100_000] == b.memory[5:100_005]
