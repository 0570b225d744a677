# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Why a test may be skipped, with a distribution's kernel and what comes with it.

A test that is skipped for any other reason has failed: what it takes is missing from the
test machine, which would hide whatever the test is there to find. The debug kernel is
built with little more than it needs, so there a reason is as good as another."""

import re

from lab.machine import DEBUG, KERNEL

# Linux 6.1 comes with rdma-core 44, 7.x with a UCX that has no verbs.
OLD, NEW = KERNEL < (6, 2), KERNEL >= (7, 0)

REASONS = [re.compile(reason) for reason, here in (
    # Runs of their own, or of a selection.
    (r"takes a small machine", True),
    (r"takes a kernel without IPv6", True),
    (r"not all files have been run|test_pyverbs.py has not run it", True),
    # The debug kernel's alone.
    (r"in this kernel nothing fails on demand", True),
    # Of rdma_rxe, or of the user library.
    (r"of rdma_rxe: with its link as the client's", True),
    (r"the user library looks at this itself", True),
    (r"rdma_rxe of 6.1 (registers again|has no atomic write)", OLD),
    (r"libibverbs does not know it", OLD),
    (r"this perftest connects over IPv4 only", OLD),
    (r"scapy before 2.6 computes it for IPv4 only", OLD),
    (r"this UCX is built without verbs", NEW),
    # Of the kernel.
    (r"this kernel has no (udmabuf|heap)", OLD),
    (r"this kernel has no SMC", NEW),
    (r"ib_srp of 7.2 crashes when it logs out", NEW),
    (r"there a cpuset does not tell", OLD),
    (r"there no program sends a batch", OLD),
    (r"this kernel moved no page", True),
) if here]


def is_known(reason):
    return DEBUG or any(known.search(reason) for known in REASONS)
