# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""FLUSH: what was written before is where everybody sees it, or stays.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
"""

import contextlib
import mmap
import os
import random

import pytest
from pyverbs.mr import MR
from pyverbs.pyverbs_error import PyverbsError

from lab import disk
from lab.machine import KERNEL
from lab.mapping import ANON, PRIVATE, SHARED, Mapping
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


def lasting_right():
    """Likewise, so that it outlives the machine."""
    return flush_right() and e.IBV_ACCESS_FLUSH_PERSISTENT


class Flushers(Two):
    """Nodes a and b; a's queue pair can ask for a flush of b's memory."""

    def __init__(self, pair, access=None, qp_access=None, memory=None):
        everything = ACCESS | flush_right() | lasting_right()
        access = ACCESS | flush_right() if access is None else access
        try:
            super().__init__(pair, connect=False, a={"size": SIZE},
                             b={"size": SIZE, "access": access, "memory": memory},
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
    right = flush_right()
    access = ACCESS | (0 if what == "region" else right)
    for level in (e.IBV_FLUSH_RANGE, e.IBV_FLUSH_MR):
        if what == "range" and level == e.IBV_FLUSH_MR:
            continue
        with Flushers(pair, access=access) as two:
            arguments = {"range": {"offset": 1}, "key": {"key": two.b.mr.rkey ^ 1},
                         "kind": {"kind": e.IBV_FLUSH_PERSISTENT}, "none": {"kind": 0}}
            wanted = e.IBV_WC_LOC_QP_OP_ERR if what == "none" else REFUSED
            assert two.flush(level=level, **arguments.get(what, {})) == [wanted]


def test_not_by_this_queue_pair(pair):
    """A queue pair that does not give the right, or not this one."""
    seen, lasts = flush_right(), lasting_right()
    for access, kind in ((0, e.IBV_FLUSH_GLOBAL), (seen, e.IBV_FLUSH_PERSISTENT),
                         (lasts, e.IBV_FLUSH_GLOBAL)):
        with Flushers(pair, qp_access=ACCESS | access) as two:
            assert two.flush(kind=kind) == [e.IBV_WC_REM_INV_REQ_ERR]


# --- what outlives the machine ----------------------------------------------

STAYS = {"ext4": disk.Ext4, "dax": disk.Dax}


class Kept(contextlib.ExitStack):
    """A file system with a file of zeroes that are on the storage: self.memory is a
    mapping of it that a region is to be made of."""

    def __init__(self, file_system):
        super().__init__()
        lasting_right()
        if not KNOWN:
            pytest.skip("the kernel knows no such right")
        self.place = self.enter_context(file_system())
        self.name = f"{self.place.path}/file"
        with open(self.name, "wb", 0) as file:
            file.write(bytes(SIZE))
        os.sync()
        self.memory = self.mapping()

    def mapping(self, flags=SHARED):
        file = os.open(self.name, os.O_RDWR)
        try:
            return Mapping(SIZE, fd=file, flags=flags)
        finally:
            os.close(file)

    def after_power_cut(self):
        """The file's bytes; to be called when no region or mapping is left."""
        self.place.mount_again()
        with open(self.name, "rb") as file:
            return file.read()


def lasting(pair, memory):
    return Flushers(pair, access=ACCESS | flush_right() | lasting_right(), memory=memory)


@pytest.mark.parametrize("level", ("RANGE", "MR"))
@pytest.mark.parametrize("sort", STAYS)
def test_stays(pair, sort, level):
    """What was written before a flush is there after a power cut."""
    data = random.Random(2).randbytes(SIZE)
    with Kept(STAYS[sort]) as kept:
        with lasting(pair, kept.memory) as two:
            two.a.memory[0:SIZE] = data
            assert two.flush(write=SIZE, kind=e.IBV_FLUSH_PERSISTENT,
                             level=getattr(e, f"IBV_FLUSH_{level}")) == [GOOD, GOOD]
            kept.place.stop()
        assert same(kept.after_power_cut(), data)


def test_part_stays(pair):
    """Of what was written only some pages, by a flush of both kinds. (Pages of one folio
    go to the storage together.)"""
    data = random.Random(3).randbytes(SIZE)
    first, end = 3 * mmap.PAGESIZE, 5 * mmap.PAGESIZE
    with Kept(disk.Ext4) as kept:
        with lasting(pair, kept.memory) as two:
            two.a.memory[0:SIZE] = data
            assert two.flush(first, end - first, write=SIZE,
                             kind=e.IBV_FLUSH_GLOBAL | e.IBV_FLUSH_PERSISTENT) \
                == [GOOD, GOOD]
            kept.place.stop()
        assert same(kept.after_power_cut()[first:end], data[first:end])


def test_what_all_see_is_not_kept(pair):
    """Without a flush to persistence a power cut takes it: so the others tell something."""
    with Kept(disk.Ext4) as kept:
        with lasting(pair, kept.memory) as two:
            two.a.memory[0:SIZE] = data = random.Random(3).randbytes(SIZE)
            assert two.flush(write=SIZE) == [GOOD, GOOD]
            assert same(kept.memory[0:SIZE], data)
            kept.place.stop()
        assert same(kept.after_power_cut(), bytes(SIZE))


def test_flushed_again(pair):
    """Pages that went to the storage, and were written anew since."""
    with Kept(disk.Ext4) as kept:
        with lasting(pair, kept.memory) as two:
            for seed in range(3):
                data = random.Random(seed).randbytes(SIZE)
                two.a.memory[0:SIZE] = data
                assert two.flush(write=SIZE, kind=e.IBV_FLUSH_PERSISTENT) == [GOOD, GOOD]
            kept.place.stop()
        assert same(kept.after_power_cut(), data)


def test_storage_that_fails(pair):
    """Is not the requester's fault."""
    with Kept(disk.Ext4) as kept:
        with lasting(pair, kept.memory) as two:
            two.a.memory[0:SIZE] = random.Random(4).randbytes(SIZE)
            two.a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, two.b.identity())
            two.a.poll()
            kept.place.stop()
            assert two.flush(kind=e.IBV_FLUSH_PERSISTENT) == [e.IBV_WC_REM_OP_ERR]
            two.b.wait_state(e.IBV_QPS_ERR)
        assert same(kept.after_power_cut(), bytes(SIZE))


def test_mapping_that_changed(pair):
    """What is there now can't be made to last."""
    with Kept(disk.Ext4) as kept:
        with lasting(pair, kept.memory) as two:
            Mapping(mmap.PAGESIZE, addr=kept.memory.addr + mmap.PAGESIZE)
            assert two.flush(0, mmap.PAGESIZE, kind=e.IBV_FLUSH_PERSISTENT) == [GOOD]
            assert two.flush(kind=e.IBV_FLUSH_PERSISTENT) == [REFUSED]


def test_memory_that_does_not_last(pair):
    """Is refused when it is registered; and a file is not, whatever the policy, since it
    is not pinned."""
    access = ACCESS | lasting_right()
    with Kept(disk.Ext4) as kept, contextlib.ExitStack() as stack, Two(pair) as (a, _):
        memory_file = os.memfd_create("memory")
        stack.callback(os.close, memory_file)
        os.ftruncate(memory_file, SIZE)
        for memory in (Mapping(SIZE), Mapping(SIZE, flags=SHARED | ANON & ~PRIVATE),
                       Mapping(SIZE, fd=memory_file, flags=SHARED),
                       kept.mapping(PRIVATE)):
            stack.callback(memory.close)
            with pytest.raises(PyverbsError, match="Invalid argument|Errno: 22"):
                MR(a.pd, SIZE, access, address=memory.addr)
        with pytest.raises(PyverbsError, match="Invalid argument|Errno: 22"):
            MR(a.pd, 0, access | e.IBV_ACCESS_ON_DEMAND, implicit=True)
        with pair.a.link.memory_policy("pinned"):
            MR(a.pd, SIZE, access, address=kept.memory.addr).close()
        kept.memory.close()


def test_reported(pair):
    """What the device says it can, and that what it does not say is refused."""
    with Two(pair) as (a, _):
        flags = a.context.query_device_ex().device_cap_flags_ex
        assert flags & ATOMIC_WRITE_CAP
        assert bool(flags & FLUSH_PERSISTENT_CAP) == KNOWN
        assert bool(flags & FLUSH_GLOBAL_CAP) == KNOWN
        if not KNOWN:
            for right in (1 << 8, 1 << 9):
                with pytest.raises(PyverbsError):
                    MR(a.pd, 4096, e.IBV_ACCESS_LOCAL_WRITE | right)
