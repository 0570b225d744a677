# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Registered regions that are changed: other memory, other rights, another protection
domain, in every combination. The user library of this driver has no ibv_rereg_mr(),
so the kernel is asked directly.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        writes                            a region that is changed
"""

import errno
import itertools
import os

import pytest
from pyverbs.mr import MW, MWBind, MWBindInfo
from pyverbs.pd import PD
from pyverbs.qp import QP

from lab.marks import one_host_too
from lab.rc import Two, e, same
from lab.uverbs import REREG_ACCESS as RIGHTS, REREG_PD as DOMAIN, REREG_TRANS as TRANS, rereg
from lab.verbs import ACCESS, Memory, Peer

pytestmark = one_host_too
SIZE = 1 << 16
GOOD, REFUSED = e.IBV_WC_SUCCESS, e.IBV_WC_REM_ACCESS_ERR


def write(a, key, address, length=100, offset=0):
    """The status of a WRITE of a's first bytes."""
    a.post(e.IBV_WR_RDMA_WRITE, offset, length, Peer(None, None, key, address))
    return a.statuses()[0][1]


@pytest.mark.parametrize("flags", range(1, 8))
def test_every_combination(pair, flags):
    """What was to be changed is, and what was not is as before; the old key opens
    nothing."""
    with Two(pair, size=SIZE) as (a, b):
        a.memory[0:SIZE] = os.urandom(SIZE)
        b.memory[0:SIZE] = untouched = bytes(SIZE)
        memory, pd = Memory(SIZE), PD(b.context)
        changes = {}
        if flags & TRANS:
            changes.update(start=memory.address + 100, length=5000)
        if flags & DOMAIN:
            changes.update(pd=pd)
        if flags & RIGHTS:
            changes.update(access=e.IBV_ACCESS_REMOTE_READ)
        old = b.mr.rkey
        lkey, rkey = rereg(b, flags, **changes)
        assert lkey == rkey != old
        if flags & DOMAIN:
            b.qp.close()
            b.qp = QP(pd, b.init)
            a.reset()
            a.connect(b.identity())
            b.connect(a.identity())
        at = memory.address + 100 if flags & TRANS else b.memory.address
        assert write(a, rkey, at) == (REFUSED if flags & RIGHTS else GOOD)
        for node in (a, b) if flags & RIGHTS else ():
            node.wait_state(e.IBV_QPS_ERR)
            node.reset()
        if flags & RIGHTS:
            a.connect(b.identity())
            b.connect(a.identity())
            a.post(e.IBV_WR_RDMA_READ, 200, 100, Peer(None, None, rkey, at))
            assert a.statuses() == [(0, GOOD)]
        elif flags & TRANS:
            assert same(memory[100:200], a.memory[0:100])
            assert same(b.memory[0:SIZE], untouched)
            assert write(a, rkey, at + 4999, 2) == REFUSED
        else:
            assert same(b.memory[0:100], a.memory[0:100])
            assert write(a, old, at) == REFUSED
        if flags & DOMAIN:
            b.qp.close()
        b.mr.close()
        pd.close()
        memory.close()


def test_other_addresses(pair):
    """The same bytes under other addresses."""
    with Two(pair, size=SIZE) as (a, b):
        a.memory[0:100] = os.urandom(100)
        page = 4096
        iova = 7 * page
        _, rkey = rereg(b, TRANS, b.memory.address, SIZE, iova)
        assert write(a, rkey, iova + 300) == GOOD
        assert same(b.memory[300:400], a.memory[0:100])


def refused_ways(node):
    """Changes that can't be made, by what is wrong with them."""
    nowhere = 1 << 46
    return {
        "unmapped": ((TRANS, nowhere, 4096), errno.EFAULT),
        "wraps": ((TRANS, (1 << 64) - 4096, 8192), errno.EINVAL),
        "rights": ((RIGHTS, 0, 0, None, None, 1 << 19), None),
        "write only": ((RIGHTS, 0, 0, None, None, e.IBV_ACCESS_REMOTE_WRITE), errno.EINVAL),
        "flags": ((8, node.memory.address, SIZE), errno.EOPNOTSUPP),
        "nothing": ((0, node.memory.address, SIZE), errno.EINVAL),
    }


def test_refused(pair):
    """What can't be changed stays as it was, with its key."""
    with Two(pair, size=SIZE) as (a, b):
        for arguments, code in refused_ways(b).values():
            with pytest.raises(OSError) as refused:
                rereg(b, *arguments)
            assert code in (None, refused.value.errno)
            assert write(a, b.mr.rkey, b.memory.address) == GOOD


def test_not_while_bound(pair):
    """A region with a window bound is not changed."""
    access = ACCESS | e.IBV_ACCESS_MW_BIND
    with Two(pair, size=SIZE, access=access) as (a, b):
        with MW(b.pd, e.IBV_MW_TYPE_1) as window:
            info = MWBindInfo(b.mr, b.memory.address, 100, e.IBV_ACCESS_REMOTE_WRITE)
            b.qp.bind_mw(window, MWBind(info, e.IBV_SEND_SIGNALED))
            assert b.statuses()[0][1] == GOOD
            with pytest.raises(OSError) as refused:
                rereg(b, RIGHTS, access=access)
            assert refused.value.errno == errno.EBUSY
            assert write(a, window.rkey, b.memory.address) == GOOD
            assert write(a, b.mr.rkey, b.memory.address) == GOOD
        _, rkey = rereg(b, RIGHTS, access=access)
        assert write(a, rkey, b.memory.address) == GOOD


def test_while_in_use(pair):
    """Again and again, while a peer writes by the key of the moment: no other byte is
    written, and nothing breaks but the requests that came too late."""
    with Two(pair, size=SIZE) as (a, b):
        a.memory[0:SIZE] = b"\xaa" * SIZE
        halves = (b.memory.address, b.memory.address + SIZE // 2)
        rkey = b.mr.rkey
        for turn, start in zip(range(12), itertools.cycle(halves)):
            _, rkey = rereg(b, TRANS, start, SIZE // 2)
            for _ in range(8):
                a.post(e.IBV_WR_RDMA_WRITE, 0, SIZE // 2, Peer(None, None, rkey, start))
            assert a.statuses(1) == [(0, GOOD)]
            other = halves[1] if start == halves[0] else halves[0]
            rereg(b, TRANS, other, SIZE // 2)
            at = start - b.memory.address
            b.memory[at:at + SIZE // 2] = bytes(SIZE // 2)
            late = [status for _, status in a.statuses(7)]
            if REFUSED in late:
                for node in (a, b):
                    node.wait_state(e.IBV_QPS_ERR)
                    node.reset()
                a.connect(b.identity())
                b.connect(a.identity())
            assert same(b.memory[at:at + SIZE // 2], bytes(SIZE // 2)), turn
