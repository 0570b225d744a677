# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Who competes, and where.

A player enters a place, which takes over UDP port 4791 and the network devices
there, does some workloads, and leaves; then the next one has its turn."""

import json
import subprocess

from lab import net, perftest
from lab.command import run
from lab.machine import KERNEL
from lab.rc import counters

import workloads
from workloads import OF_TCP, TCP

# One packet of this MTU fits into it, two do not.
NARROW = 1500
FRAME = NARROW + 14


def lose_packets(end, share):
    """So much of what an end sends is lost, packet by packet.

    netem is asked before a batch is cut, whatever the device says it can do, and would
    lose all of it. So a token bucket stands in front, which never has to wait, but cuts
    what is longer than its bucket is deep. (What is not, such as some acknowledgments at
    once, stays whole.)"""
    for words in (f"root handle 1: tbf rate 1000gbit burst {FRAME} limit 100mb",
                  f"parent 1:1 netem limit 100000 loss {share}"):
        run(*end.command(["tc", "qdisc", "add", "dev", end.netdev, *words.split()]))


def lose_batches(end, share):
    end.netem("loss", share)


def met_by_netem(end):
    """(lost, all) packets, a lost batch being one."""
    found = json.loads(run(*end.command(["tc", "-s", "-j", "qdisc", "show",
                                         "dev", end.netdev])))
    lost, sent = (sum(one[what] for one in found if one["kind"] == "netem")
                  for what in ("drops", "packets"))
    return lost, lost + sent


class Place:
    """Where a contest takes place: see the top of `guest`."""

    def __init__(self, name, players, todo, where=None, loss=None):
        self.name, self.players, self.workloads = name, players, todo
        self.where, self.loss = where, loss

    def pair(self, link_type, where=None):
        if not self.where:
            return net.Host(link_type, net.WIDE)
        return net.Pair(link_type, where or self.where, NARROW if self.loss else net.WIDE)


class Turn:
    """One player in one place; without a pair TCP goes over the loopback device."""

    def __init__(self, pair, loss):
        self.pair, self.loss = pair and pair.__enter__(), loss
        if loss:
            lose, share = loss
            for end in self.pair.ends:
                lose(end, share)

    def tallies(self):
        """{what: (how much of it, of how much)}"""
        if not self.loss:
            return {}
        return {"lost": tuple(map(sum, zip(*map(met_by_netem, self.pair.ends))))}

    def close(self):
        if self.pair:
            self.pair.__exit__()


class Verbs:
    """A driver of RDMA links. Only one is loaded at a time: both would want
    the first namespace's UDP port 4791. Some workloads it does with pinned memory, too,
    as the player `pinned`, by turns within its turn."""

    def __init__(self, name, link_type, pinned=()):
        self.name, self.link_type, self.pinned = name, link_type, pinned

    def takes_part(self, workload):
        return workload not in OF_TCP

    def enter(self, place):
        net.load(self.link_type)
        return VerbsTurn(self, place)


class VerbsTurn(Turn):
    """One turn of a driver."""

    def __init__(self, player, place):
        super().__init__(place.pair(player.link_type), place.loss)
        self.player = player

    def variants(self, workload, number):
        """As whom to do it, in another order each time."""
        if workload not in self.player.pinned:
            yield self.player.name
            return
        both = ((self.player.name, "unpinned"), ("pinned", "pinned"))
        for name, policy in both[::-1] if number % 2 else both:
            for end in self.pair.ends:
                end.link.set_memory_policy(policy)
            yield name
        for end in self.pair.ends:
            end.link.set_memory_policy("unpinned")

    def perftest(self, tool, *options, **how):
        return perftest.run(self.pair, tool, *options, watched=False, **how)

    def tallies(self):
        """Of all copies of payload those made where it was met: the rest took a worker.
        Zeroes for who does not count that."""
        here = elsewhere = 0
        for link in {self.pair.a.link, self.pair.b.link}:
            found = counters(link)
            here += found.get("in_place", 0)
            elsewhere += found.get("by_worker", 0)
        return super().tallies() | {"in place": (here, here + elsewhere)}

    def close(self):
        super().close()
        net.unload(self.player.link_type)


class Tcp:
    """iperf3 over the same kind of wire, for scale."""

    name = "tcp"

    def takes_part(self, workload):
        return workload in OF_TCP

    def enter(self, place):
        return TcpTurn(place.where and place.pair(None, net.Pair.APART), place.loss)


class TcpTurn(Turn):
    """One turn of TCP."""

    def variants(self, _workload, _number):
        yield Tcp.name

    def iperf3(self, size, *options):
        """What the receiver says of a run."""
        here = self.pair.a.command if self.pair else list
        there = self.pair.b.command if self.pair else list
        address = self.pair.b.ipv4 if self.pair else "127.0.0.1"
        with subprocess.Popen(there(["iperf3", "-s", "-1", "-J"]),
                              stdout=subprocess.DEVNULL) as server:
            try:
                net.wait_for(lambda: perftest.listening(server.pid, 5201), 10, "iperf3")
                said = run(*here(["iperf3", "-c", address, "-J", "-l", str(size),
                                  *map(str, options)]))
            except (RuntimeError, TimeoutError, subprocess.TimeoutExpired) as error:
                server.kill()
                raise perftest.Failed(str(error)) from error
        return json.loads(said)["end"]["sum_received"]


def places(what):
    """The contests of a benchmark: of its `goals`, of `all`, or of `scaling`."""
    urxe, rxe, tcp = Verbs("urxe", "urxe"), Verbs("rdma_rxe", "rxe"), Tcp()
    together, apart = net.Pair.TOGETHER, net.Pair.APART
    if what == "scaling":
        return [Place("veth", [urxe, rxe], workloads.SCALING_WIRE, together),
                Place("host", [urxe, rxe], workloads.SCALING_HOST)]
    everything = what == "all"
    pinning = Verbs("urxe", "urxe",
                    workloads.ALL if everything else workloads.GOALS_PINNED)
    wire = [TCP] + (workloads.ALL if everything else workloads.GOALS_WIRE)
    host = [TCP] + (workloads.ALL if everything else workloads.GOALS_HOST)
    found = [Place("veth", [pinning, rxe, tcp], wire, together)]
    if everything:
        found.append(Place("netns", [urxe, tcp] + [rxe] * (KERNEL >= (7, 1)), wire, apart))
    found.append(Place("host", [urxe, rxe, tcp], host))
    losses = [("loss 0.1%", (lose_packets, "0.1%")), ("loss 1%", (lose_packets, "1%"))]
    if everything:
        losses.append(("loss 1%, batches", (lose_batches, "1%")))
    found += [Place(name, [urxe, rxe, tcp], workloads.LOSS, together, loss)
              for name, loss in losses]
    return found
