# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Memory that runs out in the middle of a call, at every point of it.

        namespace A
        10.1.0.1
        link a on va ------- veth -------
"""

import contextlib
import json
import os
import pathlib
import sys

import pytest

from lab.command import TESTS, run
from lab.mapping import read_file, write_file

DEBUGFS = pathlib.Path("/sys/kernel/debug")
# By these every allocation can fail, also one that may wait for memory; and without a
# word in the log, where there would be a call trace for each.
SETTINGS = {
    "failslab/ignore-gfp-wait": "N", "failslab/verbose": 0,
    "fail_page_alloc/ignore-gfp-wait": "N", "fail_page_alloc/ignore-gfp-highmem": "N",
    "fail_page_alloc/min-order": 0, "fail_page_alloc/verbose": 0,
    "fail_usercopy/verbose": 0,
}
# The last is what the network says of a route that it has no memory for.
CLEAN = {"ENOMEM", "EFAULT", "ENOBUFS"}
# umem_test's own word for arguments that it can't read, so that EFAULT is ib_umem's.
CLEAN_OF_UMEM = CLEAN | {"EINVAL"}


@contextlib.contextmanager
def everything_can_fail():
    before = {name: read_file(DEBUGFS / name).strip() for name in SETTINGS}
    try:
        for name, value in SETTINGS.items():
            write_file(DEBUGFS / name, value)
        yield
    finally:
        for name, value in before.items():
            write_file(DEBUGFS / name, value)


@pytest.mark.pins
@pytest.mark.urxe_only("rdma_rxe is not what this is about")
def test_everything_fails_once(pair):
    """Each allocation of each call fails once, and each access to the caller's memory.
    The call's error says so, or it does without; nothing is left behind. (Memory that
    nobody knows of any more is found by kmemleak, at the end of the run.)"""
    if not os.path.exists("/proc/self/fail-nth"):
        pytest.skip("in this kernel nothing fails on demand")
    run("modprobe", "umem_test")
    try:
        with everything_can_fail():
            said = run(sys.executable, "-m", "lab.fail_nth", pair.a.link.name, pair.a.ipv4,
                       cwd=TESTS, timeout=200)
    finally:
        run("rmmod", "umem_test")
    print(said)
    found = [json.loads(line) for line in said.splitlines()]
    assert len(found) == 9
    for one in found:
        assert not one["wrong"], one["call"]
        clean = CLEAN_OF_UMEM if one["call"].startswith("umem_") else CLEAN
        assert one["failed"] and set(one["failed"]) <= clean, one["call"]
