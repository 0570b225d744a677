# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What the whole machine has spent since it was started."""

import collections
import os

from lab.command import run

# cpu in seconds, the rest how often: switches from task to task, wake-ups of a task.
Spent = collections.namedtuple("Spent", "cpu switches wakeups interrupts softirqs")

WAKEUPS = 5     # the column of /proc/schedstat for tasks woken on a processor


def count_wakeups():
    """The kernel does so when it is told to."""
    run("sysctl", "-qw", "kernel.sched_schedstats=1")


def lines(path):
    """(first word, other words) of each line."""
    with open(path, encoding="ascii") as file:
        for line in file:
            first, *others = line.split()
            yield first, others


def spent():
    stat = {name: list(map(int, values)) for name, values in lines("/proc/stat")}
    user, nice, system, _idle, _wait, irq, softirq = stat["cpu"][:7]
    return Spent(cpu=(user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK"),
                 switches=stat["ctxt"][0], interrupts=stat["intr"][0],
                 softirqs=stat["softirq"][0],
                 wakeups=sum(int(values[WAKEUPS - 1])
                             for name, values in lines("/proc/schedstat")
                             if name.startswith("cpu")))


def difference(after, before):
    return Spent(*(now - was for now, was in zip(after, before)))
