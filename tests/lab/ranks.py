# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What each process of an MPI job does: messages in a ring, all to all, and, if it is
to be one-sided too, memory of another's written and counted up."""

import array
import os
import random
import sys

JOB, *LINKS = sys.argv[1:]
# Each its own link, before anything looks for one.
os.environ["UCX_NET_DEVICES"] = LINKS[int(os.environ["OMPI_COMM_WORLD_RANK"]) % len(LINKS)] + ":1"

from mpi4py import MPI  # noqa: E402 pylint: disable=wrong-import-position

WORLD = MPI.COMM_WORLD
RANK, RANKS = WORLD.Get_rank(), WORLD.Get_size()
NEXT, LAST = (RANK + 1) % RANKS, (RANK - 1) % RANKS
PIECE, COUNTER, TIMES = 5000, 1 << 19, 50


def noise(rank, size):
    return random.Random(size * RANKS + rank).randbytes(size)


def messages():
    for size in (0, 1, 8, 1000, 8192, 65536, 1000003):
        got = bytearray(size)
        WORLD.Sendrecv(noise(RANK, size), NEXT, 1, got, LAST, 1)
        assert got == noise(LAST, size)
    assert WORLD.allreduce(RANK + 1) == RANKS * (RANKS + 1) // 2
    assert WORLD.allgather(noise(RANK, 100000)) == [
        noise(rank, 100000) for rank in range(RANKS)]


def write(window):
    window.Fence(0)
    window.Put(noise(RANK, PIECE), NEXT, [RANK * PIECE, PIECE, MPI.BYTE])
    window.Fence(0)
    assert bytes(window.tomemory()[LAST * PIECE:(LAST + 1) * PIECE]) == noise(LAST, PIECE)


def count(window):
    one, old = array.array("q", [1]), array.array("q", [0])
    window.Lock_all()
    for _ in range(TIMES):
        window.Fetch_and_op([one, MPI.INT64_T], [old, MPI.INT64_T], 0, COUNTER)
        window.Flush(0)
    window.Unlock_all()
    WORLD.Barrier()
    if not RANK:
        counted = window.tomemory()[COUNTER:COUNTER + 8]
        assert int.from_bytes(counted, "little") == TIMES * RANKS


messages()
if JOB == "one-sided":
    shared = MPI.Win.Allocate(1 << 20, 1, comm=WORLD)
    write(shared)
    count(shared)
    shared.Free()
print(f"rank {RANK} is done", flush=True)
