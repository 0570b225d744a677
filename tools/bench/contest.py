# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Who competes, where, and at what.

A player enters a place, which takes over UDP port 4791 and the network devices
there, measures each workload, and leaves; then the next one has its turn."""

import collections
import json
import os
import subprocess

from lab import net, perftest
from lab.command import run

# What a run of perftest does: enough work to outlast its start, in iterations
# for each size of message.
ITERATIONS = {64: 3000, 4096: 2000, 65536: 300, 1 << 20: 30}
LATENCY_ITERATIONS = 2000
WIDE = 4200

Workload = collections.namedtuple("Workload", "name tool size mtu unit")


def bandwidth(verb, size, mtu):
    return Workload(f"{verb} {size_name(size)} mtu {mtu}",
                    f"ib_{verb.lower()}_bw", size, mtu, "MiB/s")


def latency(verb):
    return Workload(f"{verb} 8 latency", f"ib_{verb.lower()}_lat", 8, 1024, "us")


def size_name(size):
    for unit, shift in (("M", 20), ("K", 10)):
        if size >= 1 << shift:
            return f"{size >> shift}{unit}"
    return str(size)


TCP = Workload("TCP stream", "iperf3", 0, 0, "MiB/s")

QUICK = [bandwidth("WRITE", 64, 1024), bandwidth("WRITE", 65536, 1024),
         bandwidth("WRITE", 65536, 4096), bandwidth("READ", 65536, 4096),
         bandwidth("SEND", 65536, 4096), latency("WRITE"), latency("SEND")]
FULL = [bandwidth(verb, size, mtu) for mtu in (1024, 4096)
        for verb in ("WRITE", "READ", "SEND") for size in sorted(ITERATIONS)]
FULL += [latency(verb) for verb in ("WRITE", "READ", "SEND")]


class Place:
    """Where a contest takes place: see the top of `guest`."""

    def __init__(self, name, players, workloads, where=None):
        self.name, self.players, self.workloads = name, players, workloads
        self.where = where

    def set_up(self, link_type):
        if self.where is None:
            return net.Host(link_type, WIDE)
        return net.Pair(link_type, self.where, WIDE)


class Verbs:
    """A driver of RDMA links. Only one is loaded at a time: both would want
    the first namespace's UDP port 4791."""

    def __init__(self, name, link_type, policy=None):
        self.name, self.link_type, self.policy = name, link_type, policy

    def takes_part(self, workload):
        return workload is not TCP

    def enter(self, place):
        net.load(self.link_type)
        turn = VerbsTurn(self.link_type, place.set_up(self.link_type))
        if self.policy:
            for end in (turn.pair.a, turn.pair.b):
                end.link.set_memory_policy(self.policy)
        return turn


class VerbsTurn:
    """One turn of a driver."""

    def __init__(self, link_type, pair):
        self.link_type = link_type
        self.pair = pair.__enter__()

    def measure(self, workload):
        if workload.unit == "us":
            result = self.perftest(workload, LATENCY_ITERATIONS)
            return result and result.column("t_typical")
        result = self.perftest(workload, ITERATIONS[workload.size])
        return result and result.column("BW_average")

    def perftest(self, workload, iterations):
        """A run that fails is a result too: none."""
        try:
            return perftest.run(self.pair, workload.tool, "-s", workload.size,
                                "-m", workload.mtu, "-n", iterations, timeout=60)
        except perftest.Failed as failed:
            print(f"{self.link_type}: {workload.name}: "
                  f"{str(failed).splitlines()[0]}", flush=True)
            return None

    def close(self):
        self.pair.__exit__()
        net.unload(self.link_type)


class Tcp:
    """iperf3 over the same kind of wire, for scale."""

    name = "tcp"

    def takes_part(self, workload):
        return workload is TCP

    def enter(self, place):
        return TcpTurn(net.Pair(None, net.Pair.APART, WIDE) if place.where else
                       None)


class TcpTurn:
    """One turn of TCP; without a pair it goes over the loopback device."""

    def __init__(self, pair):
        self.pair = pair and pair.__enter__()

    def measure(self, _workload):
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


def places(quick):
    """The contests of a benchmark."""
    urxe, rxe, tcp = Verbs("urxe", "urxe"), Verbs("rdma_rxe", "rxe"), Tcp()
    pinned = Verbs("pinned", "urxe", policy="pinned")
    work = [TCP] + (QUICK if quick else FULL)
    version = tuple(map(int, os.uname().release.split(".")[:2]))
    apart = [urxe, tcp] + ([rxe] if version >= (7, 1) else [])
    return [Place("veth", [urxe, pinned, rxe, tcp], work, net.Pair.TOGETHER),
            Place("netns", apart, work, net.Pair.APART),
            Place("host", [urxe, rxe, tcp], work)]


class Figures:
    """All that was measured."""

    def __init__(self):
        self.all = collections.defaultdict(list)

    def add(self, place, workload, player, value):
        if value is not None:
            self.all[place.name, workload.name, workload.unit, player.name].append(value)

    def of(self, place, workload, player):
        return self.all.get((place.name, workload.name, workload.unit, player.name), [])

    def as_list(self, summary):
        return [{"place": place, "workload": workload, "unit": unit,
                 "player": player, "figures": values, "median": summary(values)}
                for (place, workload, unit, player), values in self.all.items()]
