# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Many objects on one link: what is said to be possible is, and the next object costs
what the first one did, to make and to destroy.

        10.3.0.1
        link a on d ---- (nothing: a dummy device)
"""

import json
import mmap
import statistics
import time

import pytest
from pyverbs.addr import AH
from pyverbs.cq import CQ
from pyverbs.mr import MR, MW
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsError
from pyverbs.qp import QP, QPCap, QPInitAttr
from pyverbs.srq import SRQ, SrqAttr, SrqInitAttr

from lab import machine, net, resources
from lab.command import run
from lab.mapping import write_file
from lab.rc import Node, e
from lab.verbs import ACCESS, Memory

LOCAL = e.IBV_ACCESS_LOCAL_WRITE


@pytest.fixture(scope="module")
def host(link_type):
    with net.Host(link_type) as made:
        made.a.link.gid_index(made.a.ipv4)
        yield made


@pytest.fixture
def node(host):
    made = Node(host.a, size=1 << 20)
    made.way_home = made.way_to(made.identity())
    yield made
    made.close()


def rc(node, **cap):
    cap = QPCap(**{"max_send_wr": 1, "max_recv_wr": 1, "max_send_sge": 1,
                   "max_recv_sge": 1, "max_inline_data": 0, **cap})
    return QPInitAttr(qp_type=e.IBV_QPT_RC, scq=node.cq, rcq=node.cq, cap=cap)


# --- what is reported can be reached ---------------------------------------


def test_queue_pair_limits(node):
    """As large as the device says, in every respect at once; and not larger."""
    device = node.context.query_device()
    most = {"max_send_wr": device.max_qp_wr, "max_recv_wr": device.max_qp_wr,
            "max_send_sge": device.max_sge, "max_recv_sge": device.max_sge}
    with QP(node.pd, rc(node, **most)) as made:
        cap = made.query(e.IBV_QP_CAP)[0].cap
        for name, value in most.items():
            assert getattr(cap, name) == value
    for name, value in most.items():
        with pytest.raises(PyverbsError):
            QP(node.pd, rc(node, **{name: value + 1}))


def test_completion_queue_limits(node):
    most = node.context.query_device().max_cqe
    with CQ(node.context, most) as made:
        assert made.cqe == most
    for entries in (0, most + 1):
        with pytest.raises(PyverbsError):
            CQ(node.context, entries)


def test_region_limits(node):
    """Any length that a process can map; where one page is as good as many."""
    assert node.context.query_device().max_mr_size == (1 << 64) - 1
    size = 1 << 40
    memory = Memory(size, mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE |
                                    mmap.MAP_ANONYMOUS | 0x4000))
    with MR(node.pd, size, ACCESS, address=memory.address) as made:
        assert made.length == size
    memory.close()


@pytest.mark.slow
def test_shared_queue_limit(node, debug_kernel):
    """As many as the device says; and not one more."""
    if debug_kernel:
        pytest.skip("takes too long there")
    most = node.context.query_device().max_srq
    # The user library maps each one's ring.
    write_file("/proc/sys/vm/max_map_count", 2 * most)
    one = SrqInitAttr(SrqAttr(max_wr=1, max_sge=1))
    made = [SRQ(node.pd, one) for _ in range(most)]
    with pytest.raises(PyverbsError):
        SRQ(node.pd, one)
    for queue in made:
        queue.close()


# --- many ------------------------------------------------------------------

KINDS = {
    "qp": (2000, lambda node: QP(node.pd, rc(node))),
    "cq": (2000, lambda node: CQ(node.context, 1)),
    "srq": (2000, lambda node: SRQ(node.pd, SrqInitAttr(SrqAttr(max_wr=1, max_sge=1)))),
    "mr": (10000, lambda node: MR(node.pd, 4096, LOCAL, address=node.memory.address)),
    "mw": (10000, lambda node: MW(node.pd, e.IBV_MW_TYPE_2)),
    "pd": (10000, lambda node: PD(node.context)),
    "ah": (5000, lambda node: AH(node.pd, attr=node.way_home)),
}


def timed(function, *args):
    start = time.perf_counter()
    made = function(*args)
    return made, time.perf_counter() - start


def check_flat(what, seconds, debug_kernel):
    """The last tenth costs about what the first tenth did. A wait for a grace period
    would be ten milliseconds and more for each."""
    tenth = len(seconds) // 10
    first, last = (statistics.median(part) for part in (seconds[:tenth], seconds[-tenth:]))
    print(f"{what}: {first * 1e6:.0f} us each at first, {last * 1e6:.0f} us at last")
    assert last < 3 * first + 20e-6, what
    assert statistics.median(seconds) < (0.03 if debug_kernel else 0.003), what


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many(node, kind, debug_kernel):
    """Thousands of one kind, destroyed in the order they were made or the other."""
    count, make = KINDS[kind]
    if debug_kernel:
        count //= 10
    for backwards in (False, True):
        made, seconds = zip(*(timed(make, node) for _ in range(count)))
        check_flat(f"making {count} {kind}", seconds, debug_kernel)
        if kind in ("qp", "cq", "mr", "srq", "pd"):
            assert resources.counts(node.end.link.name)[kind] >= count
        order = reversed(made) if backwards else made
        gone = [timed(one.close)[1] for one in order]
        check_flat(f"destroying {count} {kind}", gone, debug_kernel)
        del made


def used_memory():
    """Slab and vmalloc memory of the machine in KiB, once it has settled."""
    machine.drop_caches()
    return (machine.meminfo("SUnreclaim") + machine.meminfo("VmallocUsed")) >> 10


@pytest.mark.slow
def test_nothing_stays(host, debug_kernel):
    """Rounds of everything: memory returns to where it began."""
    def one_round():
        node = Node(host.a, size=1 << 20)
        made = [make(node) for count, make in KINDS.values()
                for _ in range(count // (200 if debug_kernel else 20))]
        for one in reversed(made):
            one.close()
        node.close()
    for _ in range(3):
        one_round()
    before = used_memory()
    for _ in range(10):
        one_round()
    def settled():
        return used_memory() < before + 2048
    net.wait_for(settled, 60, f"memory as before, {before} KiB")


@pytest.mark.slow
def test_listed(node, debug_kernel):
    """`rdma resource` lists each of many."""
    count = 200 if debug_kernel else 2000
    made = [QP(node.pd, rc(node)) for _ in range(count)]
    listed = json.loads(run("rdma", "-j", "resource", "show", "qp", "link",
                            node.end.link.name, timeout=120))
    numbers = {one["lqpn"] for one in listed}
    assert {one.qp_num for one in made} <= numbers
    for one in made:
        one.close()
