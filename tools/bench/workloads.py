# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""At what is competed. A workload has a name, gives some figures each time, and is done
so many times in a turn; a run that fails raises Failed."""

import re
import statistics

from lab.perftest import Failed

from spent import difference, spent

SECONDS = 1

# What client and server of a latency run on: of an emulated machine's processors one may
# be half again as slow as the other, and a READ is all on one.
APART = (0, 1)
# What comes first in each run is left out: caches, and an emulator's translations.
LATENCY_RUNS = 5
ITERATIONS, WARM_UP = 2000, 500

# The clock of perftest may run out before it begins to count: that says nothing.
TRIES = 2


def size_name(size):
    for unit, shift in (("M", 20), ("K", 10)):
        if size >= 1 << shift:
            return f"{size >> shift}{unit}"
    return str(size)


def times(qps):
    return f" x{qps}" if qps > 1 else ""


def tool_of(verb, what):
    return f"ib_{verb.lower()}_{what}"


def shares(name, before, after):
    """What parts of what was tallied meanwhile: see tallies() of a turn."""
    found = {}
    for what, (part, whole) in after.items():
        part, whole = part - before[what][0], whole - before[what][1]
        if whole:
            found[f"{name}: {what}", "%"] = 100 * part / whole
    return found


class Bandwidth:
    """Messages one behind the other for so many seconds: bytes, or messages, a second."""

    def __init__(self, name, options, verb, unit, repeats=1):
        self.name, self.options, self.repeats = name, options, repeats
        self.tool = tool_of(verb, "bw")
        self.rows = [(name, unit)]

    def once(self, turn):
        before = turn.tallies()
        for _ in range(TRIES):
            result = turn.perftest(self.tool, *self.options, "-D", SECONDS)
            value = self.read(result)
            if value:
                return {self.rows[0]: value} | shares(self.name, before, turn.tallies())
        raise Failed("nothing was counted")

    def read(self, result):
        if self.rows[0][1] == "k/s":
            return 1000 * result.column("MsgRate")
        return result.column("BW_average")


def bandwidth(verb, size, mtu, qps=1, repeats=1):
    return Bandwidth(f"{verb} {size_name(size)} mtu {mtu}{times(qps)}",
                     ("-s", size, "-m", mtu, "-q", qps), verb, "MiB/s", repeats)


def rate(verb, qps=1):
    return Bandwidth(f"{verb} 64 rate{times(qps)}",
                     ("-s", 64, "-m", 1024, "-q", qps), verb, "k/s")


class Latency:
    """One message at a time: the median of a run, and its 99th percentile."""

    repeats = LATENCY_RUNS

    def __init__(self, verb):
        self.name = f"{verb} 8 latency"
        self.tool = tool_of(verb, "lat")
        self.rows = [(self.name, "us"), (f"{self.name} p99", "us")]

    def once(self, turn):
        result = turn.perftest(self.tool, "-s", 8, "-m", 1024, "-n", ITERATIONS, "-U",
                               cpus=APART)
        each = [float(value) for value in
                re.findall(r"^\d+, ([\d.e+]+)", result.output, re.MULTILINE)]
        each = each[WARM_UP:ITERATIONS]
        if len(each) < (ITERATIONS - WARM_UP) // 2:
            raise Failed(f"{len(each)} figures")
        return dict(zip(self.rows, (statistics.median(each),
                                    sorted(each)[len(each) * 99 // 100])))


class Cost:
    """What a message costs the machine. What starting the programs costs is taken off by
    the difference of a long run and a short one, which is long enough for a clock of
    10 ms."""

    repeats = 1

    def __init__(self, name, size):
        self.name, self.size = f"{name} cost", size
        self.short, self.long = (500, 6000) if size >= 4096 else (4000, 40000)
        self.rows = [(f"{self.name}: cpu", "s/GB"), (f"{self.name}: cpu", "us/message")]
        self.rows += [(f"{self.name}: {what}", "/message")
                      for what in ("switches", "wake-ups", "interrupts", "softirqs")]

    def once(self, turn):
        runs = []
        for messages in (self.short, self.long):
            before = spent()
            self.move(turn, messages)
            runs.append(difference(spent(), before))
        cpu, *others = (value / (self.long - self.short)
                        for value in difference(runs[1], runs[0]))
        return dict(zip(self.rows, (cpu / self.size * 1e9, cpu * 1e6, *others)))


class VerbsCost(Cost):
    """The programs sleep until there is a completion, which perftest has for all but
    WRITE."""

    def __init__(self, verb, size, mtu):
        super().__init__(f"{verb} {size_name(size)} mtu {mtu}", size)
        self.tool, self.mtu = tool_of(verb, "bw"), mtu

    def move(self, turn, messages):
        turn.perftest(self.tool, "-s", self.size, "-m", self.mtu, "-e", "-n", messages)


class TcpCost(Cost):
    """A message is a write() of that size."""

    def __init__(self, size):
        super().__init__(f"TCP {size_name(size)}", size)

    def move(self, turn, messages):
        turn.iperf3(self.size, "-n", messages * self.size)


class TcpStream:
    """iperf3, for scale."""

    name, repeats = "TCP stream", 1
    rows = [(name, "MiB/s")]

    def once(self, turn):
        before = turn.tallies()
        rate_of_bits = turn.iperf3(65536, "-t", 2)["bits_per_second"]
        return {self.rows[0]: rate_of_bits / 8 / (1 << 20)} | \
            shares(self.name, before, turn.tallies())


TCP, TCP_COST = TcpStream(), TcpCost(65536)
OF_TCP = (TCP, TCP_COST)

SIZES = (64, 4096, 65536, 1 << 20)
VERBS = ("WRITE", "READ", "SEND")
LATENCIES = [Latency(verb) for verb in VERBS]

# What docs/performance.md has figures to reach for.
GOALS_WIRE = [bandwidth("WRITE", 65536, 4096, repeats=5), bandwidth("WRITE", 65536, 1024),
              rate("WRITE"), rate("WRITE", 8),
              VerbsCost("SEND", 65536, 4096), TCP_COST, VerbsCost("SEND", 64, 1024),
              *LATENCIES]
# Of these also against regions that are pinned.
GOALS_PINNED = [GOALS_WIRE[0], *LATENCIES]
GOALS_HOST = [bandwidth(verb, size, 4096) for verb in VERBS for size in (65536, 1 << 20)]
GOALS_HOST += [LATENCIES[0], rate("WRITE")]
LOSS = [TCP, bandwidth("WRITE", 65536, 1024), bandwidth("READ", 65536, 1024)]

ALL = [bandwidth(verb, size, mtu) for mtu in (1024, 4096)
       for verb in VERBS for size in SIZES]
ALL += [rate(verb, qps) for verb in VERBS for qps in (1, 8)]
ALL += [VerbsCost(verb, 65536, 4096) for verb in ("SEND", "READ")]
ALL += [VerbsCost("SEND", 64, 1024), TCP_COST, *LATENCIES]

SCALING_WIRE = [workload for qps in (1, 4, 8)
                for workload in (bandwidth("WRITE", 65536, 4096, qps), rate("WRITE", qps))]
SCALING_HOST = [bandwidth("WRITE", 65536, 4096, qps) for qps in (1, 4)]
