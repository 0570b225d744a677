# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""FLUSH: what was written before is where everybody sees it.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
"""

import random

import pytest
from pyverbs.mr import MR
from pyverbs.pyverbs_error import PyverbsError

from lab.machine import KERNEL
from lab.marks import one_host_too
from lab.rc import FLUSH_GLOBAL_CAP, Two, e, extend, same
from lab.verbs import ACCESS

pytestmark = one_host_too
SIZE = 1 << 16
# Bits of the device's capabilities, of which older libraries have no name.
FLUSH_PERSISTENT_CAP, ATOMIC_WRITE_CAP = 1 << 39, 1 << 40
GOOD, REFUSED = e.IBV_WC_SUCCESS, e.IBV_WC_REM_ACCESS_ERR
# Whether the kernel has such a right.
KNOWN = KERNEL >= (6, 2)


def flush_right():
    """The right that a region and a queue pair must give."""
    if not hasattr(e, "IBV_ACCESS_FLUSH_GLOBAL"):
        pytest.skip("libibverbs does not know it")
    return e.IBV_ACCESS_FLUSH_GLOBAL


class Flushers(Two):
    """Nodes a and b; a's queue pair can ask for a flush."""

    def __init__(self, pair, access=None, qp_access=None):
        everything = ACCESS | flush_right()
        self.ready = False
        try:
            super().__init__(pair, size=SIZE, connect=False,
                             access=everything if access is None else access,
                             qp_access=everything if qp_access is None else qp_access)
        except PyverbsError:
            if KNOWN:
                raise
            pytest.skip("the kernel knows no such right")
        self.a, self.b = self.nodes
        extend(self.a, e.IBV_QP_EX_WITH_FLUSH | e.IBV_QP_EX_WITH_RDMA_WRITE)
        self.connect()

    def __enter__(self):
        return self

    def flush(self, offset=0, length=SIZE, kind=None, level=None, key=None, write=0):
        """The statuses of a WRITE of so many bytes, if any, and a flush behind it,
        posted at once."""
        a, b = self.a, self.b
        kind = e.IBV_FLUSH_GLOBAL if kind is None else kind
        level = e.IBV_FLUSH_RANGE if level is None else level
        a.qp.wr_start()
        a.qp.wr_flags = e.IBV_SEND_SIGNALED
        if write:
            a.qp.wr_id = 1
            a.qp.wr_rdma_write(b.mr.rkey, b.memory.address)
            a.qp.wr_set_sge(a.sge(0, write))
        a.qp.wr_id = 2
        a.qp.wr_flush(b.mr.rkey if key is None else key, b.memory.address + offset,
                      length, kind, level)
        a.qp.wr_complete()
        done = a.poll(2 if write else 1, check=False)
        for one in done:
            assert one.status or one.opcode == (
                e.IBV_WC_RDMA_WRITE if one.wr_id == 1 else e.IBV_WC_FLUSH)
        return [one.status for one in done]


def test_flush(pair):
    """Behind a WRITE: when it completes, the bytes are there; a range or the whole
    region, of which no address matters then."""
    dice = random.Random(1)
    with Flushers(pair) as two:
        for length in (1, 100, 5000, SIZE):
            data = dice.randbytes(length)
            two.a.memory[0:length] = data
            assert two.flush(0, length, write=length) == [GOOD, GOOD]
            assert same(two.b.memory[0:length], data)
        assert two.flush(SIZE - 1, 1) == [GOOD]
        assert two.flush(SIZE, 0) == [GOOD]
        assert two.flush(1 << 40, (1 << 32) - 1, level=e.IBV_FLUSH_MR) == [GOOD]


@pytest.mark.parametrize("what", ("range", "key", "region", "kind", "none"))
def test_refused(pair, what):
    """What lies outside, or may not be flushed, or not so."""
    everything = ACCESS | flush_right()
    access = ACCESS if what == "region" else everything
    for level in (e.IBV_FLUSH_RANGE, e.IBV_FLUSH_MR):
        if what == "range" and level == e.IBV_FLUSH_MR:
            continue
        with Flushers(pair, access=access) as two:
            arguments = {"range": {"offset": 1}, "key": {"key": two.b.mr.rkey ^ 1},
                         "kind": {"kind": e.IBV_FLUSH_PERSISTENT}, "none": {"kind": 0}}
            wanted = e.IBV_WC_LOC_QP_OP_ERR if what == "none" else REFUSED
            assert two.flush(level=level, **arguments.get(what, {})) == [wanted]


def test_not_by_this_queue_pair(pair):
    """A queue pair that does not give the right."""
    with Flushers(pair, qp_access=ACCESS) as two:
        assert two.flush() == [e.IBV_WC_REM_INV_REQ_ERR]


def test_reported(pair):
    """What the device says it can, and that what it does not say is refused."""
    with Two(pair) as (a, _):
        flags = a.context.query_device_ex().device_cap_flags_ex
        assert flags & ATOMIC_WRITE_CAP
        assert not flags & FLUSH_PERSISTENT_CAP
        assert bool(flags & FLUSH_GLOBAL_CAP) == KNOWN
        if not KNOWN:
            with pytest.raises(PyverbsError):
                MR(a.pd, 4096, e.IBV_ACCESS_LOCAL_WRITE | 1 << 8)
