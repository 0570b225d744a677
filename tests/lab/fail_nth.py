# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A process whose calls fail inside the kernel, at one point after the other:

    python3 -m lab.fail_nth DEVICE ADDRESS

Each call below is made again and again: the first time its first allocation fails, the
second time its second, until there is none left to fail. So does each access to this
process's memory. Prints a line of JSON for each call.

See /proc/self/fail-nth in the kernel's Documentation/fault-injection."""

import collections
import contextlib
import errno
import gc
import json
import os
import sys
import types

from pyverbs.cq import CQ
from pyverbs.mr import MR, MW
from pyverbs.pyverbs_error import PyverbsRDMAError
from pyverbs.qp import QP, QPCap, QPInitAttr
from pyverbs.srq import SRQ, SrqAttr, SrqInitAttr

from lab import net, resources
from lab.command import status_kib
from lab.mapping import MADV_DONTNEED_LOCKED, PAGE, Mapping, check, libc
from lab.rc import Node, e
from lab.umem import PINNED, UNPINNED, WRITABLE, Umem
from lab.uverbs import AddressHandle
from lab.verbs import ACCESS

# No call has so many allocations.
MOST = 2000
MCL_CURRENT, MCL_FUTURE = 1, 2


def close(made):
    if made:
        made.close()


def calls(node):
    """{name: (call, undo)}; undo is told what the call has made, or None."""
    init = QPInitAttr(qp_type=e.IBV_QPT_RC, scq=node.cq, rcq=node.rcq,
                      cap=QPCap(max_send_wr=4, max_recv_wr=4, max_send_sge=1,
                                max_recv_sge=1, max_inline_data=0))
    me, index = node.identity(), node.end.link.gid_index(node.address)
    attr = node.attributes(me)
    umem, memory = Umem(), Mapping(16 * PAGE)

    def range_of(kind):
        return lambda: umem.open(memory, memory.size, WRITABLE, kind)

    def close_range(_):
        umem.close()
        # Pages to be found again, by who pins.
        memory.advise(MADV_DONTNEED_LOCKED)

    return {
        "umem_open": (range_of(UNPINNED), close_range),
        "umem_get": (range_of(PINNED), close_range),
        "reg_mr": (lambda: MR(node.pd, node.memory.size, ACCESS,
                              address=node.memory.address), close),
        "create_cq": (lambda: CQ(node.context, 16), close),
        "create_qp": (lambda: QP(node.pd, init), close),
        "modify_qp": (lambda: node.qp.to_rts(attr), lambda _: node.reset()),
        "create_srq": (lambda: SRQ(node.pd, SrqInitAttr(SrqAttr(max_wr=4, max_sge=1))),
                       close),
        "alloc_mw": (lambda: MW(node.pd, e.IBV_MW_TYPE_2), close),
        "create_ah": (lambda: AddressHandle(node.context, node.pd, me.gid, index), close),
    }


class Fault:
    """The kernel's countdown to a fault in this process."""

    def __init__(self):
        self.fd = os.open("/proc/self/fail-nth", os.O_RDWR)

    def arm(self, nth):
        os.write(self.fd, b"%d" % nth)

    def disarm(self):
        """Whether it has come. To read the count, or to write it, is an access to this
        process's memory, too, and may be what fails."""
        try:
            left = int(os.pread(self.fd, 16, 0))
        except OSError:
            left = 1
        with contextlib.suppress(OSError):
            os.write(self.fd, b"0")
        return not left


def attempt(fault, nth, call, undo):
    """The error or 0, and whether there was a fault."""
    made, code = None, 0
    fault.arm(nth)
    try:
        made = call()
    except PyverbsRDMAError as error:
        code = error.error_code
    except OSError as error:
        code = error.errno
    except MemoryError:
        code = errno.ENOMEM     # of the interpreter's own
    came = fault.disarm()
    undo(made)
    return code, came


def exhaust(fault, call, undo, look):
    """Fail everything in a call: how often that ended in which error, and what is wrong
    with that. look() tells what must be as before."""
    for _ in range(3):
        undo(call())
    before, failed, wrong = look(), collections.Counter(), []
    for nth in range(1, MOST):
        code, came = attempt(fault, nth, call, undo)
        if code:
            failed[errno.errorcode.get(code, str(code))] += 1
        if code and not came:
            wrong.append(f"{nth}: error {code} without a fault")
        now = look()
        if now != before:
            wrong.append(f"{nth}: {now}, not {before}")
            before = now
        if not came:
            break
    else:
        wrong.append(f"{MOST} faults and no end")
    return {"faults": nth - 1, "failed": failed, "wrong": wrong}


def main(device, address):
    # While a fault is due nothing else is to be done that it could hit: no garbage is
    # collected, and no page of this process's is missing.
    gc.disable()
    check(libc.mlockall(MCL_CURRENT | MCL_FUTURE))
    node = Node(types.SimpleNamespace(link=net.Link.existing(device), ipv4=address,
                                      ipv6=None), size=1 << 16, depth=4)
    fault = Fault()

    def look():
        return resources.counts(device), status_kib(os.getpid(), "VmPin")

    for name, (call, undo) in calls(node).items():
        print(json.dumps({"call": name, **exhaust(fault, call, undo, look)}), flush=True)
    node.close()


main(*sys.argv[1:])
