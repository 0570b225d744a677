# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What it costs to register memory: the same for every size, and next to nothing beside
what pinning costs.

        a namespace                       the first namespace
        urxe on va --------- veth ------- vb with rdma_rxe
"""

import pytest

from lab import cost
from lab.mapping import GIB, PAGE

SIZES = (PAGE, 1 << 20, GIB, 64 * GIB)
ROUNDS = 15

# The others in the comparison do pin.
pytestmark = [pytest.mark.pins, pytest.mark.slow,
              pytest.mark.urxe_only("compares urxe with others")]


@pytest.fixture(scope="module")
def ways():
    with cost.contestants() as all_of:
        yield {one.name: one for one in all_of}


def fastest(costs):
    """Whatever disturbs makes it slower."""
    return min(one.register for one in costs)


def test_time_does_not_grow(ways, debug_kernel):
    """From 4 KiB to 64 GiB: within twice the least."""
    if debug_kernel:
        pytest.skip("its checks cost more than what is measured")
    with cost.address_range(max(SIZES), PAGE) as mapping:
        times = [fastest(cost.measure(ways["unpinned"], mapping, size, ROUNDS))
                 for size in SIZES]
    assert max(times) <= 2 * min(times), times


def test_nothing_is_held(ways, debug_kernel):
    """Less than 1 KiB by each region, pinned, locked or in the kernel's objects (which
    a kernel that checks itself has larger)."""
    with cost.address_range(max(SIZES), PAGE) as mapping:
        for size in SIZES:
            one = cost.measure(ways["unpinned"], mapping, size, 1)[0]
            assert one.pinned == one.locked == 0
            assert one.slab < 1024 or debug_kernel


@pytest.mark.parametrize("other", ("pinned", "rdma_rxe"))
def test_a_gibibyte(ways, other, debug_kernel):
    """At least 100 times faster than who pins it."""
    if debug_kernel:
        pytest.skip("its checks cost more than what is measured")
    with cost.address_range(GIB, GIB) as mapping:
        ours, theirs = (fastest(cost.measure(ways[name], mapping, GIB, 3))
                        for name in ("unpinned", other))
    assert theirs > 100 * ours, (ours, theirs)
