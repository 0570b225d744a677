# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Who competes, where, and at what.

A player enters a place, which takes over UDP port 4791 and the network devices
there, measures each workload, and leaves; then the next one has its turn. A workload
gives one figure or several."""

import collections
import json
import os
import subprocess

from lab import net, perftest
from lab.command import run
from lab.machine import KERNEL
from lab.rc import counters

SECONDS = 1
LATENCY_ITERATIONS = 2000

# The clock of perftest may run out before it begins to count: that says nothing.
TRIES = 2

# One figure of a workload: `column` is perftest's, `scale` makes it the unit's.
Figure = collections.namedtuple("Figure", "label unit column scale")


class Workload:
    """A run of a perftest program and the figures that come of it."""

    def __init__(self, name, tool, options, *figures):
        self.name, self.tool, self.options = name, tool, options
        self.figures = figures

    def measure(self, turn):
        """{(name, unit): value}; a run that fails is a result too: none."""
        for _ in range(TRIES):
            before = turn.moves()
            result = turn.perftest(self.name, self.tool, self.options)
            if not result:
                return None
            found = {(self.name + figure.label, figure.unit):
                     result.column(figure.column) * figure.scale
                     for figure in self.figures}
            if all(found.values()):
                return found | self.in_place(before, turn.moves())
        return None

    def in_place(self, before, after):
        here, all_moves = (now - was for now, was in zip(after, before))
        if not all_moves:
            return {}
        return {(self.name + ": in place", "%"): 100 * here / all_moves}


def size_name(size):
    for unit, shift in (("M", 20), ("K", 10)):
        if size >= 1 << shift:
            return f"{size >> shift}{unit}"
    return str(size)


def tool_of(verb, what):
    return f"ib_{verb.lower()}_{what}"


def bandwidth(verb, size, mtu, qps=1):
    """Messages of one size at one path MTU, one behind the other for so many seconds."""
    return Workload(f"{verb} {size_name(size)} mtu {mtu}" + (f" x{qps}" if qps > 1 else ""),
                    tool_of(verb, "bw"),
                    ("-s", size, "-m", mtu, "-q", qps, "-D", SECONDS),
                    Figure("", "MiB/s", "BW_average", 1))


def rate(verb, qps):
    return Workload(f"{verb} 64 rate" + (f" x{qps}" if qps > 1 else ""),
                    tool_of(verb, "bw"),
                    ("-s", 64, "-m", 1024, "-q", qps, "-D", SECONDS),
                    Figure("", "k/s", "MsgRate", 1000))


def latency(verb):
    return Workload(f"{verb} 8 latency", tool_of(verb, "lat"),
                    ("-s", 8, "-m", 1024, "-n", LATENCY_ITERATIONS),
                    Figure("", "us", "t_typical", 1), Figure(" p99", "us", "99%", 1))


class Cost:
    """What a message costs the machine: processor time, switches from task to task,
    interrupts. The programs sleep until there is a completion, which perftest has for
    all but WRITE. What starting them costs is taken off by the difference of a long run
    and a short one."""

    SHORT, LONG = 100, 1500

    def __init__(self, verb, size, mtu):
        self.name = f"{verb} {size_name(size)} mtu {mtu} cost"
        self.verb, self.size, self.mtu = verb, size, mtu

    def measure(self, turn):
        spent = []
        for messages in (self.SHORT, self.LONG):
            before = Spent()
            if not turn.perftest(self.name, tool_of(self.verb, "bw"),
                                 ("-s", self.size, "-m", self.mtu, "-e", "-n", messages)):
                return None
            spent.append(Spent().since(before))
        messages = self.LONG - self.SHORT
        cpu, switches, interrupts = (long - short for short, long in zip(*spent))
        return {(f"{self.name}: cpu", "s/GB"): cpu / (messages * self.size / 1e9),
                (f"{self.name}: cpu", "us/message"): cpu / messages * 1e6,
                (f"{self.name}: switches", "/message"): switches / messages,
                (f"{self.name}: interrupts", "/message"): interrupts / messages}


class Spent:
    """What the machine has spent since it was started."""

    def __init__(self):
        self.cpu = self.switches = self.interrupts = 0
        with open("/proc/stat", encoding="ascii") as stat:
            for line in stat:
                name, *values = line.split()
                if name == "cpu":
                    user, nice, system, _idle, _wait, irq, softirq = map(int, values[:7])
                    ticks = user + nice + system + irq + softirq
                    self.cpu = ticks / os.sysconf("SC_CLK_TCK")
                elif name == "ctxt":
                    self.switches = int(values[0])
                elif name == "intr":
                    self.interrupts = int(values[0])

    def since(self, before):
        return (self.cpu - before.cpu, self.switches - before.switches,
                self.interrupts - before.interrupts)


class TcpStream:
    """iperf3, for scale."""

    name = "TCP stream"

    def measure(self, turn):
        return {(self.name, "MiB/s"): turn.stream()}


TCP = TcpStream()

SIZES = (64, 4096, 65536, 1 << 20)
VERBS = ("WRITE", "READ", "SEND")

# What docs/performance.md has figures to reach for.
GOALS_WIRE = [bandwidth("WRITE", 65536, 4096), bandwidth("WRITE", 65536, 1024),
              rate("WRITE", 1), rate("WRITE", 8), Cost("SEND", 65536, 4096)]
GOALS_WIRE += [latency(verb) for verb in VERBS]
# Of these also against regions that are pinned.
GOALS_PINNED = [GOALS_WIRE[0], *GOALS_WIRE[-len(VERBS):]]
GOALS_HOST = [bandwidth(verb, size, 4096) for verb in VERBS for size in (65536, 1 << 20)]
GOALS_HOST += [latency("WRITE"), rate("WRITE", 1)]
GOALS_LOSS = [bandwidth("WRITE", 65536, 1024), bandwidth("READ", 65536, 1024)]

ALL = [bandwidth(verb, size, mtu) for mtu in (1024, 4096)
       for verb in VERBS for size in SIZES]
ALL += [rate(verb, qps) for verb in VERBS for qps in (1, 8)]
ALL += [Cost(verb, 65536, 4096) for verb in ("SEND", "READ")] + [Cost("SEND", 64, 1024)]
ALL += [latency(verb) for verb in VERBS]

SCALING = [workload for qps in (1, 2, 4, 8)
           for workload in (bandwidth("WRITE", 65536, 4096, qps), rate("WRITE", qps))]


class Place:
    """Where a contest takes place: see the top of `guest`."""

    def __init__(self, name, players, workloads, where=None, netem=()):
        self.name, self.players, self.workloads = name, players, workloads
        self.where, self.netem = where, netem

    def set_up(self, link_type):
        if self.where is None:
            return net.Host(link_type, net.WIDE)
        return net.Pair(link_type, self.where, net.WIDE)


class Verbs:
    """A driver of RDMA links. Only one is loaded at a time: both would want
    the first namespace's UDP port 4791."""

    def __init__(self, name, link_type, policy=None, only=None):
        self.name, self.link_type, self.policy, self.only = name, link_type, policy, only

    def takes_part(self, workload):
        return workload is not TCP and (not self.only or workload in self.only)

    def enter(self, place):
        net.load(self.link_type)
        turn = VerbsTurn(self.link_type, place.set_up(self.link_type))
        if self.policy:
            for end in (turn.pair.a, turn.pair.b):
                end.link.set_memory_policy(self.policy)
        if place.netem:
            turn.pair.netem(*place.netem)
        return turn


class VerbsTurn:
    """One turn of a driver."""

    def __init__(self, link_type, pair):
        self.link_type = link_type
        self.pair = pair.__enter__()

    def perftest(self, name, tool, options):
        """None when it fails."""
        try:
            return perftest.run(self.pair, tool, *options, timeout=60)
        except perftest.Failed as failed:
            print(f"{self.link_type}: {name}: {str(failed).splitlines()[0]}",
                  flush=True)
            return None

    def moves(self):
        """How often payload was moved where it was met, and how often at all: the rest
        took a worker. Zeroes for who does not count that."""
        here = elsewhere = 0
        for link in {self.pair.a.link, self.pair.b.link}:
            found = counters(link)
            here += found.get("in_place", 0)
            elsewhere += found.get("by_worker", 0)
        return here, here + elsewhere

    def close(self):
        self.pair.__exit__()
        net.unload(self.link_type)


class Tcp:
    """iperf3 over the same kind of wire, for scale."""

    name = "tcp"

    def takes_part(self, workload):
        return workload is TCP

    def enter(self, place):
        turn = TcpTurn(net.Pair(None, net.Pair.APART, net.WIDE) if place.where else None)
        if place.netem:
            turn.pair.netem(*place.netem)
        return turn


class TcpTurn:
    """One turn of TCP; without a pair it goes over the loopback device."""

    def __init__(self, pair):
        self.pair = pair and pair.__enter__()

    def stream(self):
        here = self.pair.a.command if self.pair else list
        there = self.pair.b.command if self.pair else list
        address = self.pair.b.ipv4 if self.pair else "127.0.0.1"
        with subprocess.Popen(there(["iperf3", "-s", "-1", "-J"]),
                              stdout=subprocess.DEVNULL) as server:
            net.wait_for(lambda: perftest.listening(server.pid, 5201), 10, "iperf3")
            said = json.loads(run(*here(["iperf3", "-c", address, "-J", "-t", "2"])))
        return said["end"]["sum_received"]["bits_per_second"] / 8 / (1 << 20)

    def close(self):
        if self.pair:
            self.pair.__exit__()


def places(what):
    """The contests of a benchmark: of its `goals`, of `all`, or of `scaling`."""
    urxe, rxe, tcp = Verbs("urxe", "urxe"), Verbs("rdma_rxe", "rxe"), Tcp()
    together, apart = net.Pair.TOGETHER, net.Pair.APART
    if what == "scaling":
        return [Place("veth", [urxe, rxe], SCALING, together),
                Place("host", [urxe, rxe], SCALING)]
    everyone = what == "all"
    pinned = Verbs("pinned", "urxe", "pinned", None if everyone else GOALS_PINNED)
    wire = [TCP] + (ALL if everyone else GOALS_WIRE)
    found = [Place("veth", [urxe, rxe, tcp, pinned], wire, together)]
    if everyone:
        found.append(Place("netns", [urxe, tcp] + [rxe] * (KERNEL >= (7, 1)), wire, apart))
    found.append(Place("host", [urxe, rxe, tcp],
                       [TCP] + (ALL if everyone else GOALS_HOST)))
    for loss in ("0.1%", "1%"):
        found.append(Place(f"loss {loss}", [urxe, rxe, tcp], [TCP] + GOALS_LOSS,
                           together, ("loss", loss)))
    return found


class Figures:
    """All that was measured."""

    def __init__(self):
        self.all = collections.defaultdict(list)

    def add(self, place, player, measured):
        for (name, unit), value in (measured or {}).items():
            self.all[place.name, name, unit, player.name].append(value)

    def rows(self, place):
        """(name, unit) of what was measured in a place, in order."""
        return list(dict.fromkeys((name, unit) for where, name, unit, _ in self.all
                                  if where == place.name))

    def of(self, place, row, player):
        return self.all.get((place.name, *row, player), [])

    def as_list(self, summary):
        return [{"place": place, "workload": workload, "unit": unit,
                 "player": player, "figures": values, "median": summary(values)}
                for (place, workload, unit, player), values in self.all.items()]
