# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What kernel this is, what it says of the whole machine's memory, and what part of that
a program has."""

import contextlib
import os

from lab.command import run
from lab.mapping import read_file, write_file
from lab.net import wait_for

CGROUPS = "/sys/fs/cgroup"
# Its version, to be compared: (6, 12).
KERNEL = tuple(map(int, os.uname().release.split(".")[:2]))
# Whether it checks itself, and is slow because of it.
DEBUG = os.uname().release.endswith("-debug")
# Times as long may take there what moves many bytes: it does 20 MB/s, and with rdma_rxe one.
PATIENCE = 5 if DEBUG else 1


def memory():
    """Bytes of it."""
    return meminfo("MemTotal")


def meminfo(name):
    """A size from /proc/meminfo, in bytes."""
    for line in read_file("/proc/meminfo").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise KeyError(name)


def vmstat(*names):
    """Counters from /proc/vmstat."""
    # Each processor's share is added to the sum now and then, or when told to.
    write_file("/proc/sys/vm/stat_refresh", 1)
    counters = dict(line.split() for line in read_file("/proc/vmstat").splitlines())
    return [int(counters[name]) for name in names]


def pages_pinned_ever():
    """How many pages the kernel has pinned since it runs, for whomever."""
    return vmstat("nr_foll_pin_acquired")[0]


def drop_caches():
    write_file("/proc/sys/vm/drop_caches", 3)


@contextlib.contextmanager
def one_processor():
    """Stay on one, children too: what it sends arrives in order, while what waits in
    the queue of one processor may be overtaken by what another one sends."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextlib.contextmanager
def control_group(controller, settings):
    """A control group with such settings, one after the other; its path."""
    if not os.path.ismount(CGROUPS):
        run("mount", "-t", "cgroup2", "none", CGROUPS)
    write_file(f"{CGROUPS}/cgroup.subtree_control", f"+{controller}")
    path = f"{CGROUPS}/urxe-test"
    os.mkdir(path)
    try:
        for name, value in settings.items():
            write_file(f"{path}/{controller}.{name}", value)
            assert read_file(f"{path}/{controller}.{name}").strip() == str(value)
        yield path
    finally:
        wait_for(lambda: "populated 0" in read_file(f"{path}/cgroup.events"), 10,
                 "the group to be empty")
        os.rmdir(path)
