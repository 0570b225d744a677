# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The figures to reach, each a ratio of medians of one boot, and how far they are."""

import collections

from figures import by_key, median

# `rival` and `rival_workload` are what is divided by, and `most` says whether the
# result should be at most `want`, or at least: a figure for 6.1 and one for all later,
# None for what is shown for scale.
Goal = collections.namedtuple("Goal", "title place workload unit rival rival_workload want most")


def at_least(title, place, workload, unit, want, rival="rdma_rxe", rival_workload=None):
    return Goal(title, place, workload, unit, rival, rival_workload or workload,
                (want, want), False)


def at_most(title, place, workload, unit, want, rival_workload=None, rival="rdma_rxe"):
    return Goal(title, place, workload, unit, rival, rival_workload or workload,
                want, True)


GOALS = [at_least(f"same host, {size} {verb}", "host", f"{verb} {size} mtu 4096",
                  "MiB/s", 10)
         for verb in ("WRITE", "READ", "SEND") for size in ("64K", "1M")]
GOALS += [
    at_least("same host, 64K WRITE, against TCP", "host", "WRITE 64K mtu 4096", "MiB/s",
             1, "tcp", "TCP stream"),
    at_least("veth, 64K WRITE, MTU 4096", "veth", "WRITE 64K mtu 4096", "MiB/s", 2.5),
    at_least("veth, 64K WRITE, MTU 1024", "veth", "WRITE 64K mtu 1024", "MiB/s", 4),
    at_least("veth, 64 B messages, one QP", "veth", "WRITE 64 rate", "k/s", 3),
    at_least("veth, 64 B messages, eight QPs", "veth", "WRITE 64 rate x8", "k/s", 4),
]
for _verb in ("WRITE", "READ", "SEND"):
    GOALS += [
        at_most(f"8 B {_verb}, median", "veth", f"{_verb} 8 latency", "us",
                (0.7, 0.3)),
        at_most(f"8 B {_verb}, 99th percentile to median", "veth",
                f"{_verb} 8 latency p99", "us", (3, 3), f"{_verb} 8 latency"),
    ]
GOALS += [
    at_least("loss 1 %, 64K WRITE", "loss 1%", "WRITE 64K mtu 1024", "MiB/s", 3),
    at_least("loss 1 %, 64K READ", "loss 1%", "READ 64K mtu 1024", "MiB/s", 3),
    at_most("processor time per GB, 64K SEND", "veth", "SEND 64K mtu 4096 cost: cpu",
            "s/GB", (0.4, 0.4)),
    at_most("processor time per GB, 64K SEND, against TCP", "veth",
            "SEND 64K mtu 4096 cost: cpu", "s/GB", (None, None),
            "TCP 64K cost: cpu", "tcp"),
    at_least("unpinned to pinned, 64K WRITE", "veth", "WRITE 64K mtu 4096", "MiB/s", 0.95,
             "pinned"),
]
GOALS += [at_most(f"unpinned to pinned, 8 B {verb}", "veth", f"{verb} 8 latency", "us",
                  (1.15, 1.15), rival="pinned") for verb in ("WRITE", "READ", "SEND")]


class Boot:
    """The figures of one boot: what `bench` has written."""

    def __init__(self, results):
        self.kernel, self.commit = results["kernel"], results["commit"]
        self.rounds = results["rounds"]
        self.figures = by_key(results)

    def runs(self, goal):
        """Of us and of the rival: the figures, None for each run that failed."""
        return tuple(self.figures.get((goal.place, workload, goal.unit, player), [])
                     for workload, player in ((goal.workload, "urxe"),
                                              (goal.rival_workload, goal.rival)))

    def ratio(self, goal):
        """None when one of the two is missing."""
        ours, theirs = map(median, self.runs(goal))
        return ours / theirs if ours is not None and theirs else None

    def want(self, goal):
        return goal.want[not self.kernel.startswith("6.1.")]

    def missed(self, goal):
        ratio, want = self.ratio(goal), self.want(goal)
        if ratio is None or want is None:
            return False
        return ratio > want if goal.most else ratio < want

    def failed(self, goal):
        """In words, how many of the runs."""
        said = [f"{player} {values.count(None)} of {len(values)}"
                for player, values in zip(("urxe", goal.rival), self.runs(goal))
                if None in values]
        return "; failed: " + ", ".join(said) if said else ""
