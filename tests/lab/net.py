# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Network namespaces, veth pairs, and RDMA links on them."""

import contextlib
import copy
import ipaddress
import itertools
import json
import os
import socket
import struct
import time

from lab.command import run

MODULES = {"urxe": "rdma_urxe", "rxe": "rdma_rxe"}

# An MTU of network devices that leaves room for the largest path MTU.
WIDE = 4200

_serial = itertools.count()


def load(link_type):
    """Load what a link of this type takes, and the user side of RDMA."""
    run("modprobe", "-a", MODULES[link_type], "ib_uverbs", "rdma_ucm", "ib_umad")


def wait_for(condition, seconds, what):
    """Poll until the condition holds; return its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def unload(link_type):
    """Unload a driver, so that it leaves UDP port 4791 to the other one."""
    run("modprobe", "-r", MODULES[link_type])


def has_ipv6():
    """Whether there is IPv6: a kernel can be told at boot to do without."""
    return os.path.isdir("/proc/sys/net/ipv6")


def set_sysctl(netns, name, value):
    """Write one file below /proc/sys/net as a namespace sees it."""
    run(*in_netns(netns, ["sysctl", "-qw", f"net.{name}={value}"]))


def ip_batch(netns, *commands, family=None):
    """Run several of ip's commands in one namespace by one process; of a family (-4, -6)
    where they do not tell."""
    run("ip", *([family] if family else []), *(["-n", netns] if netns else []),
        "-batch", "-", input="\n".join(commands))


def in_netns(netns, argv):
    """The command line that runs argv in a namespace; None is the first one."""
    return ["ip", "netns", "exec", netns, *argv] if netns else list(argv)


class Link:
    """An RDMA link on a network device, for as long as this is used."""

    def __init__(self, link_type, netdev, netns=None):
        self.type, self.netdev, self.netns = link_type, netdev, netns
        self.name, self.indices = f"{link_type}{next(_serial)}", {}
        run(*in_netns(netns, ["rdma", "link", "add", self.name,
                              "type", link_type, "netdev", netdev]))

    @classmethod
    def existing(cls, name):
        """A link that somebody else made."""
        link = cls.__new__(cls)
        link.name, link.indices = name, {}
        return link

    @classmethod
    def all(cls):
        """Those that there are, of our type."""
        return [cls.existing(name) for name in sorted(os.listdir("/sys/class/infiniband"))
                if name.startswith("urxe")]

    def set_memory_policy(self, policy):
        """`pinned` or `unpinned`, for regions registered from now on."""
        path = f"/sys/class/infiniband/{self.name}/memory_policy"
        with open(path, "w", encoding="ascii") as setting:
            setting.write(policy)

    @contextlib.contextmanager
    def memory_policy(self, policy):
        """The same for as long as a `with` lasts."""
        self.set_memory_policy(policy)
        try:
            yield
        finally:
            self.set_memory_policy("unpinned")

    def delete(self):
        run("rdma", "link", "delete", self.name)

    @property
    def port(self):
        return f"/sys/class/infiniband/{self.name}/ports/1"

    def gid(self, index):
        """The address in one entry of the port's GID table, :: for none."""
        with open(f"{self.port}/gids/{index}", encoding="ascii") as gid:
            address = ipaddress.IPv6Address(gid.read().strip())
        return str(address.ipv4_mapped or address)

    def is_v2(self, index):
        """Whether an entry of the GID table is for RoCE v2."""
        try:
            with open(f"{self.port}/gid_attrs/types/{index}", encoding="ascii") as kind:
                return kind.read().strip() == "RoCE v2"
        except OSError:     # gone meanwhile
            return False

    def entries(self):
        """(address, index) of the port's RoCE v2 GIDs. There are hundreds of files to
        look at: who looks for one of the first need not look at all."""
        for index in sorted(map(int, os.listdir(f"{self.port}/gids"))):
            address = self.gid(index)
            if address != "::" and self.is_v2(index):
                yield address, index

    def gids(self):
        """{address: index} of them, each with its first."""
        found = {}
        for address, index in self.entries():
            found.setdefault(address, index)
        return found

    def gid_index(self, address):
        """The index of the GID that carries an address, once it is there. Where it was
        found is looked at first."""
        address = str(ipaddress.ip_address(address))
        def look():
            return next((entry for entry in self.entries() if entry[0] == address), None)
        if address not in self.indices or self.gid(self.indices[address]) != address:
            _, self.indices[address] = wait_for(look, 10, f"{self.name}: GID {address}")
        return self.indices[address]


class End:
    """One end of a pair: a network device with addresses, and its link."""

    def __init__(self, netdev, netns, ipv4, ipv6):
        self.netdev, self.netns, self.ipv4, self.ipv6 = netdev, netns, ipv4, ipv6
        self.link = None

    def command(self, argv):
        return in_netns(self.netns, argv)

    def ip(self, *argv):
        return run("ip", *(["-n", self.netns] if self.netns else []), *argv)

    def sockaddr(self, port):
        """A struct sockaddr_in, for families of sockets that Python has no addresses for."""
        return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + \
            socket.inet_aton(self.ipv4) + bytes(8)

    def bring_up(self, mtu):
        commands = ["link set lo up", f"addr add {self.ipv4}/24 dev {self.netdev}"]
        if has_ipv6():
            # Without the wait for duplicates an address can be used at once.
            dotless = self.netdev.replace(".", "/")
            set_sysctl(self.netns, f"ipv6.conf.{dotless}.accept_dad", 0)
            commands.append(f"addr add {self.ipv6}/64 dev {self.netdev} nodad")
        ip_batch(self.netns, *commands, f"link set {self.netdev} up mtu {mtu}")

    def hardware(self):
        """The network device's own address."""
        return self.shown()["address"]

    def add_link(self, link_type):
        self.link = Link(link_type, self.netdev, self.netns)
        return self.link

    def shown(self):
        """What `ip link show` says of the network device."""
        return json.loads(self.ip("-s", "-j", "link", "show", self.netdev))[0]

    def is_up(self):
        """Whether the kernel knows of a carrier, as it does some time after there is."""
        return self.shown()["operstate"] == "UP"

    def netem(self, *rules):
        """Disturb what this end sends, as `tc qdisc ... netem` says."""
        self.qdisc("netem", *rules)

    def qdisc(self, *rules):
        """What it sends waits in such a queue, until no_netem()."""
        run(*self.command(["tc", "qdisc", "replace", "dev", self.netdev, "root", *rules]))

    def offload(self, *states):
        """As `ethtool -K` says: what the network device is to do for the stack."""
        run(*self.command(["ethtool", "-K", self.netdev, *states]))

    def no_netem(self, check=True):
        run(*self.command(["tc", "qdisc", "delete", "dev", self.netdev, "root"]), check=check)

    def statistics(self, name):
        """A counter of the network device, such as tx_packets."""
        side, counter = name.split("_", 1)
        return self.shown()["stats64"][side][counter]


class Pair:
    """A veth pair with an RDMA link on each end, in one of these ways:

    APART, in two network namespaces

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b

    TOGETHER, in the first namespace, which is where rdma_rxe of the older
    kernels has its only socket. `accept_local` lets an end receive what
    carries an address of this same namespace, and without `rp_filter` nobody
    asks which way such an address lies; a driver sends by way of its own
    device, so the packets do cross the veth

        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b

    HALF, with a in a namespace and b in the first one, which lets two drivers
    that both want the first namespace's UDP port 4791 meet

        namespace A                       the first namespace
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b
    """

    APART, TOGETHER, HALF = (True, True), (False, False), (True, False)

    def __init__(self, link_type, where=APART, mtu=1500, peer_type=None):
        """Without a link type the pair is a veth pair and nothing else."""
        self.where, self.mtu = where, mtu
        self.types = (link_type, peer_type or link_type)
        serial = next(_serial)
        netns = [f"{side}{serial}" if own else None
                 for side, own in zip("ab", where)]
        self.a = End(f"va{serial}", netns[0], "10.1.0.1", "fd01::1")
        self.b = End(f"vb{serial}", netns[1], "10.1.0.2", "fd01::2")

    @property
    def ends(self):
        return (self.a, self.b)

    def turned(self):
        """The same pair with a and b in each other's place."""
        other = copy.copy(self)
        other.a, other.b = self.b, self.a
        return other

    def lay(self):
        """The namespaces and the veth pair; or what is missing of that."""
        a, b = (f"name {end.netdev}" + (f" netns {end.netns}" if end.netns else "")
                for end in self.ends)
        ip_batch(None,
                 *(f"netns add {end.netns}" for end in self.ends
                   if end.netns and not os.path.exists(f"/run/netns/{end.netns}")),
                 f"link add {a} type veth peer {b}")
        if self.where == self.TOGETHER:
            self._join()
        for end in self.ends:
            end.bring_up(self.mtu)

    def __enter__(self):
        self.lay()
        for end, link_type in zip(self.ends, self.types):
            if link_type:
                end.add_link(link_type)
        return self

    def _join(self):
        set_sysctl(None, "ipv4.conf.all.rp_filter", 0)
        for end in self.ends:
            set_sysctl(None, f"ipv4.conf.{end.netdev}.accept_local", 1)
            set_sysctl(None, f"ipv4.conf.{end.netdev}.rp_filter", 0)

    def __exit__(self, *exc):
        for end in self.ends:
            if end.link:
                end.link.delete()
        self.a.ip("link", "delete", self.a.netdev)
        for end in self.ends:
            if end.netns:
                run("ip", "netns", "delete", end.netns)

    def introduce(self):
        """Each end knows for good where the other one is, and need not ask."""
        for end, other in (self.ends, self.ends[::-1]):
            where = f"lladdr {other.hardware()} dev {end.netdev} nud permanent"
            ip_batch(end.netns, *(f"neigh replace {address} {where}"
                                  for address in (other.ipv4, other.ipv6)))

    def netem(self, *rules):
        """Disturb what each end sends."""
        for end in self.ends:
            end.netem(*rules)

    def no_netem(self):
        for end in self.ends:
            end.no_netem()


# How a device of each kind is put on top of another one.
STACKED = {
    "vlan": ["link add link {lower} name {upper} type vlan id {number}"],
    "macvlan": ["link add link {lower} name {upper} type macvlan mode bridge"],
    "bridge": ["link add name {upper} type bridge", "link set {lower} master {upper}"],
    "bond": ["link add name {upper} type bond mode active-backup",
             "link set {lower} down", "link set {lower} master {upper}"],
}


@contextlib.contextmanager
def stacked(pair, kind, number):
    """A device of a kind on top of each end of a pair, with an End and no link yet on
    either side: 10.N.0.1 and fd0N::1 on a, .2 and ::2 on b."""
    ends = [End(f"{end.netdev}.{number}", end.netns,
                f"10.{number}.0.{host}", f"fd{number:02}::{host}")
            for host, end in enumerate(pair.ends, 1)]
    try:
        for upper, lower in zip(ends, pair.ends):
            ip_batch(lower.netns, *(
                command.format(upper=upper.netdev, lower=lower.netdev, number=number)
                for command in STACKED[kind]))
            upper.bring_up(pair.mtu)
        for upper in ends:
            wait_for(upper.is_up, 10, f"{upper.netdev} to be up")
        yield ends
    finally:
        for upper in ends:
            if upper.link:
                upper.link.delete()
            run(*upper.command(["ip", "link", "delete", upper.netdev]), check=False)


def vlans(pair, number):
    """A VLAN across a pair."""
    return stacked(pair, "vlan", number)


class Host:
    """One link that talks to itself: client and server on one machine.

        10.3.0.1
        link a on d ---- (nothing: a dummy device)
    """

    def __init__(self, link_type, mtu=1500):
        self.a = self.b = End(f"d{next(_serial)}", None, "10.3.0.1", "fd03::1")
        self.ends = self.a, self.b
        self.type, self.mtu = link_type, mtu

    def __enter__(self):
        run("ip", "link", "add", "name", self.a.netdev, "type", "dummy")
        self.a.bring_up(self.mtu)
        self.a.add_link(self.type)
        return self

    def __exit__(self, *exc):
        self.a.link.delete()
        run("ip", "link", "delete", self.a.netdev)
