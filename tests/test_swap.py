# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A region four times as large as the machine's memory, written and read all over.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b, most of whose memory is
                                          in swap, which is compressed memory

Takes a small machine, which `check` boots for it.
"""

import pytest

from lab import machine
from lab.mapping import ANON, GIB, MAP_NORESERVE, MIB, PAGE, Mapping, Swap, noise
from lab.rc import Two, e, same


def mebibyte(number):
    """Bytes like no other's, and each page like no other, that compress well."""
    line = noise(62, number)
    return b"".join((line + page.to_bytes(2, "little")) * (PAGE // 64)
                    for page in range(MIB // PAGE))


@pytest.mark.slow
@pytest.mark.urxe_only("rdma_rxe pins what it registers")
def test_four_times_the_machine(pair):
    if machine.memory() > 3 * GIB // 2:
        pytest.skip("would take too long; takes a small machine")
    size = 4 * machine.memory() & -MIB
    with Swap(size), Two(pair, a={"size": MIB}, b={
            "memory": Mapping(size, flags=ANON | MAP_NORESERVE)}) as (a, b):
        for at in range(0, size, MIB):
            a.memory[0:MIB] = mebibyte(at // MIB)
            a.post(e.IBV_WR_RDMA_WRITE, 0, MIB, b.identity(), at)
            a.poll(seconds=60)
        for at in range(0, size, MIB):
            a.post(e.IBV_WR_RDMA_READ, 0, MIB, b.identity(), at)
            a.poll(seconds=60)
            assert same(a.memory[0:MIB], mebibyte(at // MIB))
            assert same(b.memory.peek(at, MIB), mebibyte(at // MIB))
