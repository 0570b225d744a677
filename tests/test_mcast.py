# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Multicast: who is in a group gets what is sent to it, once; and the network device
is in the group as long as anybody is.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b
        queue pairs 0, 1, 2               queue pairs 0, 1, 2
"""

import contextlib
import errno
import ipaddress
import json
import re
import subprocess

import pytest

from lab import machine, net
from lab.command import run
from lab.rc import counters

PROGRAM = "/usr/lib/urxe/mcast"
EVERYONE = 0xffffff
QKEY = 0x12345678
GROUPS = {"ipv4": "239.1.2.3", "ipv6": "ff0e::1:2:3"}


@pytest.fixture(params=sorted(GROUPS))
def group(request):
    return GROUPS[request.param]


def as_gid(address):
    """An address as the program reads and writes it."""
    address = ipaddress.ip_address(address)
    return str(address) if address.version == 6 else f"::ffff:{address}"


class Boxes:
    """Some datagram queue pairs of a link; closed at the end of a `with`."""

    def __init__(self, end, ipv6=False, count=3, link=None):
        self.end, self.link = end, link or end.link
        self.address = end.ipv6 if ipv6 else end.ipv4
        index = self.link.gid_index(self.address)
        with machine.one_processor():
            self.process = subprocess.Popen(
                [PROGRAM, self.link.name, str(index), hex(QKEY), str(count)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.numbers = [int(word) for word in self.process.stdout.readline().split()]

    def ask(self, *words):
        """The lines of an answer; raises OSError for one that says so."""
        print(*words, file=self.process.stdin, flush=True)
        lines = []
        while True:
            line = self.process.stdout.readline().strip()
            assert line, f"{words}: the program ended"
            if line == "ok":
                return lines
            if line.startswith("error"):
                raise OSError(int(line.split()[1]), f"{words}")
            lines.append(line)

    def attach(self, box, group):
        self.ask("attach", box, as_gid(group))

    def detach(self, box, group):
        self.ask("detach", box, as_gid(group))

    def send(self, box, to, text, qp_num=EVERYONE):
        self.ask("send", box, as_gid(to), qp_num, text)

    def taken(self, box, count, milliseconds=0):
        """[(sender's queue pair, group, text)] of the next that come, and of what comes
        within so long behind them; fewer after a long wait."""
        found = [line.split(" ", 2) for line in self.ask("take", box, count, milliseconds)]
        return [(int(sender), str(ipaddress.IPv6Address(gid).ipv4_mapped or gid), text)
                for sender, gid, text in found]

    def texts(self, box, count, milliseconds=0):
        return [text for _, _, text in self.taken(box, count, milliseconds)]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(20) == 0


@contextlib.contextmanager
def both(pair, group):
    ipv6 = ":" in group
    with Boxes(pair.a, ipv6) as a, Boxes(pair.b, ipv6) as b:
        yield a, b


@pytest.mark.slow
def test_limit(pair):
    """As many memberships as the device says it has, and not one more; each that is left
    makes room for another."""
    shown = run("ibv_devinfo", "-v", "-d", pair.a.link.name)
    most, *others = (int(re.search(rf"{name}:\s+(\d+)", shown).group(1)) for name in (
        "max_total_mcast_qp_attach", "max_mcast_qp_attach", "max_mcast_grp"))
    assert others == [most, most]
    with Boxes(pair.a) as boxes:
        groups = [f"239.9.{number >> 8}.{number & 255}" for number in range(most + 1)]
        for group in groups[:most]:
            boxes.attach(0, group)
        with pytest.raises(OSError) as refused:
            boxes.attach(1, groups[0])
        assert refused.value.errno == errno.ENOMEM
        boxes.detach(0, groups[7])
        boxes.attach(0, groups[most])
        for group in groups[:7] + groups[8:]:
            boxes.detach(0, group)


def nothing_more(sender, *receivers):
    """What each queue pair gets next is what is sent to it alone, behind all the rest;
    and then nothing."""
    for boxes in receivers:
        for box, number in enumerate(boxes.numbers):
            sender.send(0, boxes.address, "last", number)
            assert boxes.texts(box, 1, 20) == ["last"]


def joined(end, netdev=None):
    """The groups that a network device is in."""
    shown = json.loads(end.ip("-j", "maddr", "show", "dev", netdev or end.netdev))
    return {entry["address"] for one in shown for entry in one["maddr"]
            if "address" in entry}


def test_members_only(pair, group):
    """Those in the group get it, once, and are told where it was sent and who did;
    those outside get nothing."""
    with both(pair, group) as (a, b):
        for box in (0, 2):
            b.attach(box, group)
        for number in range(20):
            a.send(0, group, f"message-{number}")
        wanted = [(a.numbers[0], group, f"message-{number}") for number in range(20)]
        assert b.taken(0, 20) == wanted and b.taken(2, 20) == wanted
        nothing_more(a, a, b)


@pytest.fixture
def shrunk(pair):
    """Makes b's MTU too small for IPv6 for a moment, which takes its address along, and
    its settings: as in the whole lab, the new ones are not to wait for duplicates."""
    net.set_sysctl(pair.b.netns, "ipv6.conf.default.accept_dad", 0)
    def dip():
        for mtu in ("1000", "1500"):
            pair.b.ip("link", "set", pair.b.netdev, "mtu", mtu)
    yield dip
    pair.b.ip("addr", "replace", f"{pair.b.ipv6}/64", "dev", pair.b.netdev, "nodad")
    pair.b.link.gid_index(pair.b.ipv6)


def test_joined_again(pair, group, shrunk):
    """IPv6 leaves a device whose MTU is below 1280, and its groups are gone when it comes
    back: the members' device joins them again."""
    with both(pair, group) as (a, b):
        b.attach(0, group)
        shrunk()
        assert group in joined(pair.b)
        a.send(0, group, "again")
        assert b.texts(0, 1) == ["again"]


def test_own_host(pair, group):
    """What a host sends to a group that it is in comes to its own members too, the
    sender among them: once, though others hear it as well."""
    with both(pair, group) as (a, b):
        for boxes in (a, b):
            for box in (0, 1):
                boxes.attach(box, group)
        a.send(0, group, "from-a")
        b.send(2, group, "from-b")
        for boxes in (a, b):
            for box in (0, 1):
                assert sorted(boxes.texts(box, 2)) == ["from-a", "from-b"]
        for sender in (a, b):
            nothing_more(sender, a, b)


def test_groups_apart(pair, group):
    """Several groups at once; leaving one leaves the others."""
    other = "239.1.2.4" if "." in group else "ff0e::1:2:4"
    with both(pair, group) as (a, b):
        b.attach(0, group)
        b.attach(0, other)
        b.attach(1, other)
        def send():
            a.send(0, group, "one")
            a.send(0, other, "other")
        send()
        assert (b.texts(0, 2), b.texts(1, 1)) == (["one", "other"], ["other"])
        nothing_more(a, b)
        b.detach(0, other)
        send()
        assert (b.texts(0, 1), b.texts(1, 1)) == (["one"], ["other"])
        nothing_more(a, b)
        with pytest.raises(OSError):
            b.detach(0, other)


def test_device_joins(pair, group):
    """The network device is in the group while there are members, whichever way the
    last one goes."""
    with both(pair, group) as (a, b):
        assert group not in joined(pair.b)
        b.attach(0, group)
        b.attach(1, group)
        assert group in joined(pair.b) and group not in joined(pair.a)
        b.detach(0, group)
        assert group in joined(pair.b)
        b.detach(1, group)
        assert group not in joined(pair.b)
        b.attach(2, group)
        with pytest.raises(OSError) as refused:
            b.ask("close", 2)
        assert refused.value.errno == errno.EBUSY
        a.attach(0, group)
    net.wait_for(lambda: not any(group in joined(end) for end in pair.ends), 5,
                 "leaving the group with the process")


def test_others_stay_in(pair):
    """A program that is in the group by a socket stays in it."""
    group = GROUPS["ipv4"]
    with both(pair, group) as (_, b):
        pair.b.ip("addr", "add", f"{group}/32", "dev", pair.b.netdev, "autojoin")
        b.attach(0, group)
        b.detach(0, group)
        assert group in joined(pair.b)
        pair.b.ip("addr", "del", f"{group}/32", "dev", pair.b.netdev)
        assert group not in joined(pair.b)


def test_tells_the_network(pair, tmp_path, group):
    """Joining and leaving are reported as for any member, by IGMP or MLD."""
    path = tmp_path / "pcap"
    # MLD stands behind a header of hop-by-hop options.
    reports = "igmp or (ip6[6] == 0 and ip6[48] == 143)"
    with both(pair, group) as (_, b):
        process = subprocess.Popen(
            pair.a.command(["tcpdump", "-i", pair.a.netdev, "-n", "-v", "-l", reports]),
            stdout=open(path, "w", encoding="ascii"), stderr=subprocess.PIPE, text=True)
        net.wait_for(lambda: "listening" in process.stderr.readline(), 20, "tcpdump")
        b.attach(0, group)
        def told(what):
            return lambda: f"gaddr {group} {what}" in path.read_text(encoding="ascii")
        net.wait_for(told("to_ex"), 15, "a report of joining")
        b.detach(0, group)
        net.wait_for(told("to_in"), 15, "a report of leaving")
        process.terminate()
        process.communicate()


def test_not_a_group(pair):
    """An address that is no group's can't be entered, and a datagram for a group's
    queue pairs that goes to a host is for nobody."""
    with both(pair, "239.1.2.3") as (a, b):
        for address in ("10.1.0.2", "fd01::2"):
            with pytest.raises(OSError) as refused:
                b.attach(0, address)
            assert refused.value.errno == errno.EINVAL
        b.attach(0, "239.1.2.3")
        a.send(0, pair.b.ipv4, "astray")
        a.send(0, pair.b.ipv4, "straight", b.numbers[0])
        assert b.texts(0, 1) == ["straight"]
        nothing_more(a, b)


def test_counted(pair):
    with both(pair, "239.1.2.3") as (a, b):
        b.attach(0, "239.1.2.3")
        b.attach(1, "239.1.2.3")
        before = [counters(end.link) for end in pair.ends]
        for _ in range(5):
            a.send(0, "239.1.2.3", "text")
        a.send(0, pair.b.ipv4, "single", b.numbers[0])
        assert b.texts(0, 6) == 5 * ["text"] + ["single"] and b.texts(1, 5) == 5 * ["text"]
        after = [counters(end.link) for end in pair.ends]
        assert after[0]["tx_multicast_packets"] == before[0]["tx_multicast_packets"] + 5
        assert after[1]["rx_multicast_packets"] == before[1]["rx_multicast_packets"] + 5


@pytest.mark.urxe_only("one link a device")
def test_links_of_one_device(pair, link_type, group):
    """A second link on the same network device has members of its own."""
    link = net.Link(link_type, pair.b.netdev, pair.b.netns)
    try:
        ipv6 = ":" in group
        with both(pair, group) as (a, b), Boxes(pair.b, ipv6, link=link) as more:
            b.attach(0, group)
            more.attach(1, group)
            a.send(0, group, "text")
            assert b.texts(0, 1) == ["text"] and more.texts(1, 1) == ["text"]
            b.detach(0, group)
            assert group in joined(pair.b)
            a.send(0, group, "again")
            assert more.texts(1, 1) == ["again"]
            nothing_more(a, b, more)
    finally:
        link.delete()


@pytest.mark.urxe_only("one link a device")
def test_link_goes(pair, link_type, group):
    """A link that ends takes its members out of their groups."""
    link = net.Link(link_type, pair.b.netdev, pair.b.netns)
    boxes = Boxes(pair.b, ":" in group, link=link)
    boxes.attach(0, group)
    assert group in joined(pair.b)
    link.delete()
    net.wait_for(lambda: group not in joined(pair.b), 5, "leaving with the link")
    boxes.process.kill()
    boxes.process.communicate()


@pytest.mark.urxe_only("rdma_rxe does not tell them apart")
def test_one_namespace(link_type):
    """Two devices of one namespace are in the group: each member hears a message as
    often as there are ways for it to its own device, which is once."""
    with net.Pair(link_type, net.Pair.TOGETHER) as pair:
        with both(pair, "239.1.2.3") as (a, b):
            a.attach(0, "239.1.2.3")
            b.attach(0, "239.1.2.3")
            a.send(1, "239.1.2.3", "text")
            assert a.texts(0, 1) == ["text"] and b.texts(0, 1) == ["text"]
            nothing_more(a, a, b)


@pytest.mark.slow
@pytest.mark.urxe_only("rdma_rxe has no links on VLANs")
def test_vlan(pair, link_type):
    """A link on a VLAN joins there; a link below it hears the VLAN too, as it has
    the VLAN's addresses."""
    with net.vlans(pair, 7) as (vlan_a, vlan_b):
        for end in (vlan_a, vlan_b):
            end.add_link(link_type)
        with Boxes(vlan_a) as a, Boxes(vlan_b) as b:
            b.attach(0, "239.1.2.3")
            assert "239.1.2.3" in joined(pair.b, vlan_b.netdev)
            assert "239.1.2.3" not in joined(pair.b)
            a.send(0, "239.1.2.3", "in-the-vlan")
            assert b.texts(0, 1) == ["in-the-vlan"]
            with Boxes(pair.a) as plain, Boxes(pair.b) as below:
                below.attach(0, "239.1.2.3")
                plain.send(0, "239.1.2.3", "outside")
                a.send(0, "239.1.2.3", "inside")
                assert b.texts(0, 1) == ["inside"]
                assert sorted(below.texts(0, 2)) == ["inside", "outside"]
                nothing_more(a, b)
                nothing_more(plain, below)
