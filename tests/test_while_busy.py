# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What a link stands on changes, or goes, while programs at both ends move bytes as fast
as they can: they are told, or go on; and when all is back, it works.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        lab.victim  <-- each uses the other's memory --> lab.victim
"""

import collections
import contextlib

import pytest

from lab import net
from lab.command import run
from lab.mapping import noise, read_file
from lab.marks import slow, slow_but
from lab.rc import counters, e, same
from lab.verbs import Connection
from lab.victim import Victim

SIZE = 100_001
# How a program ends whose device has gone, and one whose peer does not answer any more.
GONE, SILENCE = "gone", f"status {e.IBV_WC_RETRY_EXC_ERR}"
# Time-outs for a queue pair: it gives up after 2 seconds, or after 16.
SHORT, LONG = 14, 17


pytestmark = pytest.mark.urxe_only("how urxe deals with its surroundings")


@pytest.fixture
def pair(link_type):
    with net.Pair(link_type) as made:
        yield made


# --- what happens, and what makes it good again ------------------------------------


def nothing(pair):
    """Links that have gone are made again anyway."""


def delete_link(pair):
    pair.a.link.delete()


def unload(pair):
    net.unload(pair.a.link.type)


def load(pair):
    net.load(pair.a.link.type)


def delete_nic(pair):
    pair.a.ip("link", "delete", pair.a.netdev)


def delete_namespace(pair):
    run("ip", "netns", "delete", pair.a.netns)


def move(pair):
    pair.a.ip("link", "set", pair.a.netdev, "netns", pair.b.netns)


def move_back(pair):
    pair.b.ip("link", "set", pair.a.netdev, "netns", pair.a.netns)
    pair.a.bring_up(pair.mtu)


def delete_address(pair):
    pair.a.ip("addr", "delete", f"{pair.a.ipv4}/24", "dev", pair.a.netdev)


def add_address(pair):
    pair.a.ip("addr", "add", f"{pair.a.ipv4}/24", "dev", pair.a.netdev)


def cut(pair):
    """a loses its carrier, and b its routes."""
    pair.b.ip("link", "set", pair.b.netdev, "down")


def join(pair):
    """Each end has asked for its neighbour in vain, and may not have given up yet."""
    pair.b.ip("link", "set", pair.b.netdev, "up")
    for end, other in (pair.ends, pair.ends[::-1]):
        net.wait_for(lambda: answers(end, other), 10, f"{other.ipv4} to answer")


def answers(end, other):
    said = run(*end.command(["ping", "-c", "1", "-W", "1", other.ipv4]), check=False)
    return "1 received" in said


def cut_for_a_moment(pair):
    cut(pair)
    port_is(pair.a.link, "DOWN")
    join(pair)
    port_is(pair.a.link, "ACTIVE")


def port_is(link, state):
    net.wait_for(lambda: state in read_file(f"{link.port}/state"), 10, f"{link.name} {state}")


def name(pair, old, new):
    """A device can't change its name while it is up before Linux 6.2."""
    net.ip_batch(pair.a.netns, f"link set {old} down", f"link set {old} name {new}",
                 f"link set {new} up")


def rename(pair):
    name(pair, pair.a.netdev, "other")


def name_back(pair):
    name(pair, "other", pair.a.netdev)


# what, its mending, how the programs of a and b end: not at all, if nothing is said
Change = collections.namedtuple("Change", "do mend ends", defaults=(None,))

CHANGES = {
    "link-deleted": Change(delete_link, nothing, (GONE, SILENCE)),
    "module-unloaded": Change(unload, load, (GONE, GONE)),
    "nic-deleted": Change(delete_nic, net.Pair.lay, (GONE, GONE)),
    "namespace-deleted": Change(delete_namespace, net.Pair.lay, (GONE, GONE)),
    "nic-moved": Change(move, move_back, (GONE, SILENCE)),
    "address-deleted": Change(delete_address, add_address, (SILENCE, SILENCE)),
    "carrier-lost": Change(cut, join, (SILENCE, SILENCE)),
    "carrier-back": Change(cut_for_a_moment, nothing),
    "renamed": Change(rename, name_back),
}
QUICK = ("module-unloaded",)


# --- traffic -------------------------------------------------------------------------


def flow(pair, programs):
    """Packets arrive at both ends, and both programs are content with that."""
    def arrived():
        return [counters(end.link)["rx_packets"] for end in pair.ends]
    before = arrived()
    net.wait_for(lambda: all(now > was + 100 for now, was in zip(arrived(), before)), 60,
                 "more packets at both ends")
    assert all(program.works() for program in programs)


@contextlib.contextmanager
def traffic(pair, work, timeout):
    """A program at each end that does this work in the other's memory."""
    programs = [Victim(end, work, timeout) for end in pair.ends]
    try:
        for program, other in zip(programs, programs[::-1]):
            program.meet(other.peer)
        for program in programs:
            program.start()
        flow(pair, programs)
        yield programs
    finally:
        for program in programs:
            program.kill()


def check_bytes(pair):
    """A new connection carries bytes both ways."""
    with Connection(pair, 2 * SIZE) as sides:
        for one, other in (sides, sides[::-1]):
            one.memory[0:SIZE] = noise(SIZE, one.qp.qp_num)
            one.post(e.IBV_WR_RDMA_WRITE, 0, SIZE, other.identity(), SIZE)
            one.poll()
            assert same(other.memory[SIZE:2 * SIZE], one.memory[0:SIZE])


@pytest.mark.parametrize("work", ("write", slow("read")))
@pytest.mark.parametrize("what", slow_but(QUICK, CHANGES))
def test_change(pair, what, work):
    """Programs whose link goes are told so, and those that hear nothing from a peer give
    up; a short interruption harms nobody. Nothing is left that keeps it from working
    again."""
    change = CHANGES[what]
    ends = change.ends or ()
    with traffic(pair, work, SHORT if SILENCE in ends else LONG) as programs:
        change.do(pair)
        if ends:
            assert tuple(program.last_words(30) for program in programs) == ends
        else:
            flow(pair, programs)
    change.mend(pair)
    for end, last_words in zip(pair.ends, ends):
        if last_words == GONE:
            end.add_link(end.link.type)
    check_bytes(pair)
