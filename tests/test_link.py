# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Links: on every kind of network device, in any namespace, and what becomes of
them when something under them changes or goes."""

import contextlib
import copy
import errno
import itertools
import json
import os
import re
import subprocess
import tempfile

import pytest
from pyverbs.addr import AH, AHAttr, GlobalRoute
from pyverbs.device import Context
from pyverbs.pd import PD

from lab import kinds, net, uverbs
from lab.command import run
from lab.machine import KERNEL
from lab.mapping import noise, read_file, write_file
from lab.marks import slow, slow_but
from lab.rc import counters, same
from lab.verbs import Connection, e

_serial = itertools.count()

# How each kind of network device is made; "lower" is a dummy device.
KINDS = {
    "veth": "{ip} link add name {dev} type veth peer name {dev}p",
    "dummy": "{ip} link add name {dev} type dummy",
    "vlan": "{ip} link add name {dev} link {lower} type vlan id 7",
    "bridge": "{ip} link add name {dev} type bridge",
    "bond": "{ip} link add name {dev} type bond mode active-backup",
    "macvlan": "{ip} link add name {dev} link {lower} type macvlan mode bridge",
    "tun": "{ip} tuntap add dev {dev} mode tun",
    "tap": "{ip} tuntap add dev {dev} mode tap",
}


pytestmark = pytest.mark.urxe_only("how urxe deals with its surroundings")


@pytest.fixture
def netns():
    name = f"n{next(_serial)}"
    run("ip", "netns", "add", name)
    yield name
    run("ip", "netns", "delete", name, check=False)


def ip(netns, *argv):
    return run("ip", *(["-n", netns] if netns else []), *argv)


def shown(name):
    """What `rdma link show` says of a link, or nothing."""
    links = json.loads(run("rdma", "-j", "link", "show") or "[]")
    return next((link for link in links if link["ifname"] == name), None)


def state(name):
    return (shown(name) or {}).get("state")


def port(name, field):
    """A field of `ibv_devinfo -v`."""
    text = run("ibv_devinfo", "-v", "-d", name)
    return re.search(rf"\b{field}:\s+(\S+)", text).group(1)


def gone(name):
    net.wait_for(lambda: not shown(name), 5, f"{name} to go")


@contextlib.contextmanager
def device(kind, netns=None):
    """A network device of a kind, up, with an address of each family."""
    if not kinds.made_by(kind):
        pytest.skip(f"this kernel has no {kind}")
    number = next(_serial)
    dev, lower = f"t{number}", f"l{number}"
    ip_cmd = f"ip -n {netns}" if netns else "ip"
    ip(netns, "link", "add", "name", lower, "type", "dummy")
    ip(netns, "link", "set", lower, "up")
    run(*KINDS[kind].format(ip=ip_cmd, dev=dev, lower=lower).split())
    try:
        net.set_sysctl(netns, f"ipv6.conf.{dev}.accept_dad", 0)
        ip(netns, "addr", "add", f"10.7.{number % 250}.1/24", "dev", dev)
        ip(netns, "addr", "add", f"fd07:{number:x}::1/64", "dev", dev, "nodad")
        ip(netns, "link", "set", dev, "up")
        if kind == "veth":
            ip(netns, "link", "set", f"{dev}p", "up")
        yield dev, [f"10.7.{number % 250}.1", f"fd07:{number:x}::1"]
    finally:
        run(*ip_cmd.split(), "link", "delete", dev, check=False)
        run(*ip_cmd.split(), "link", "delete", lower, check=False)


@pytest.mark.parametrize("kind", slow_but(("veth", "vlan", "bond", "tun"), KINDS))
@pytest.mark.parametrize("own", (False, slow(True)), ids=("first", "netns"))
def test_kinds(kind, own, netns):
    netns = netns if own else None
    with device(kind, netns) as (dev, addresses):
        link = net.Link("urxe", dev, netns)
        # The core names a NIC only to those in the NIC's namespace.
        links = json.loads(run(*net.in_netns(netns, ["rdma", "-j", "link"])))
        assert [one["netdev"] for one in links if one["ifname"] == link.name] == [dev]
        for address in addresses:
            link.gid_index(address)
        assert port(link.name, "link_layer") == "Ethernet"
        link.delete()
        assert not shown(link.name)


def test_speed():
    """As a number it is the NIC's own, in units of 100 Mb/s; else what some lanes have."""
    with device("tap") as (dev, _):
        run("ethtool", "-s", dev, "speed", "4000", "duplex", "full")
        link = net.Link("urxe", dev)
        assert port(link.name, "active_speed") == "5.0"
        with Context(name=link.name) as context:
            try:
                assert uverbs.port_speed(context) == 40
            except OSError as error:
                # EPROTONOSUPPORT: a kernel that has no such number.
                assert error.errno == errno.EPROTONOSUPPORT and KERNEL < (7, 2)


def test_loopback():
    link = net.Link("urxe", "lo")
    assert state(link.name) == "ACTIVE"
    assert {"127.0.0.1", "::1"} <= set(link.gids())
    assert port(link.name, "active_mtu") == "4096"
    link.delete()


@pytest.fixture
def virtio():
    """A virtio-net device, if the machine has one."""
    nics = kinds.virtio_nics()
    return nics[0] if nics else pytest.skip("no virtio-net device")


def test_virtio(virtio):
    """rdma-core finds a NIC by way of the RDMA device's own parent."""
    link = net.Link("urxe", virtio)
    assert virtio in os.listdir(f"/sys/class/infiniband/{link.name}/device/net")
    link.delete()


def test_nic_driver_unbound(virtio):
    """The link goes before the NIC's own device does."""
    bus = os.path.basename(os.path.realpath(f"/sys/class/net/{virtio}/device"))
    link = net.Link("urxe", virtio)
    driver = "/sys/bus/virtio/drivers/virtio_net"
    for action in ("unbind", "bind"):
        with open(f"{driver}/{action}", "w", encoding="ascii") as file:
            file.write(bus)
        assert not shown(link.name)


@pytest.mark.parametrize("kind", ("veth", slow("vlan"), slow("bond"), "tun"))
def test_nic_deleted(kind):
    with device(kind) as (dev, _):
        link = net.Link("urxe", dev)
        ip(None, "link", "delete", dev)
        gone(link.name)


def test_lower_nic_deleted():
    with device("vlan") as (dev, _):
        link = net.Link("urxe", dev)
        ip(None, "link", "delete", dev.replace("t", "l"))
        gone(link.name)


@pytest.mark.parametrize("kind", ("veth", slow("vlan"), slow("dummy")))
def test_namespace_deleted(kind, netns):
    with device(kind, netns) as (dev, _):
        link = net.Link("urxe", dev, netns)
        run("ip", "netns", "delete", netns)
        gone(link.name)


def test_loopback_of_deleted_namespace(netns):
    ip(netns, "link", "set", "lo", "up")
    link = net.Link("urxe", "lo", netns)
    run("ip", "netns", "delete", netns)
    gone(link.name)


def test_nic_moves_away(netns):
    """The link stays behind with nothing to stand on, so it goes."""
    with device("veth") as (dev, _):
        link = net.Link("urxe", dev)
        ip(None, "link", "set", dev, "netns", netns)
        gone(link.name)
        net.Link("urxe", dev, netns).delete()


def test_namespace_goes_at_once():
    """Nobody waits between the parts."""
    for _ in range(5):
        name = f"n{next(_serial)}"
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "add", "name", "x", "type", "dummy")
        link = net.Link("urxe", "x", name)
        run("ip", "netns", "delete", name)
        gone(link.name)


def test_several_on_one_nic():
    with device("veth") as (dev, addresses):
        links = [net.Link("urxe", dev) for _ in range(3)]
        guids = {port(link.name, "node_guid") for link in links}
        assert len(guids) == 3
        for link in links:
            link.gid_index(addresses[0])
            link.delete()


def test_two_vlans_of_one_nic():
    with device("vlan") as (dev, addresses):
        lower = dev.replace("t", "l")
        ip(None, "link", "add", "name", "v8", "link", lower, "type", "vlan", "id", "8")
        ip(None, "addr", "add", "10.8.8.8/24", "dev", "v8")
        ip(None, "link", "set", "v8", "up")
        links = [net.Link("urxe", dev), net.Link("urxe", "v8")]
        links[0].gid_index(addresses[0])
        links[1].gid_index("10.8.8.8")
        for link in links:
            link.delete()
        ip(None, "link", "delete", "v8")


def test_name_in_use():
    with device("dummy") as (dev, _):
        link = net.Link("urxe", dev)
        with pytest.raises(RuntimeError, match="exists"):
            run("rdma", "link", "add", link.name, "type", "urxe", "netdev", dev)
        link.delete()


def test_carrier():
    with device("veth") as (dev, _):
        link = net.Link("urxe", dev)
        assert state(link.name) == "ACTIVE"
        for action, expected in (("down", "DOWN"), ("up", "ACTIVE")):
            ip(None, "link", "set", f"{dev}p", action)
            net.wait_for(lambda e=expected: state(link.name) == e, 5, expected)
        ip(None, "link", "set", dev, "down")
        net.wait_for(lambda: state(link.name) == "DOWN", 5, "DOWN")
        assert counters(link)["link_downed"] == 2
        # What the port answers a management datagram, by way of the core.
        with open(f"/sys/class/infiniband/{link.name}/ports/1/counters/link_downed",
                  encoding="ascii") as file:
            assert int(file.read()) == 2
        link.delete()


class Watch:
    """A program that holds a device open and prints its events."""

    def __init__(self, name):
        self.argv = ["stdbuf", "-oL", "ibv_asyncwatch", "-d", name]

    def __enter__(self):
        self.output = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(self.argv, stdout=self.output,
                                        stderr=subprocess.STDOUT)
        self.expect("fd")
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self.output.close()

    def read(self):
        self.output.seek(0)
        return self.output.read().lower()

    def expect(self, text):
        try:
            net.wait_for(lambda: re.search(text, self.read()), 10, text)
        except TimeoutError:
            raise AssertionError(f"no {text!r} in: {self.read()}") from None


def test_events():
    with device("veth") as (dev, _):
        link = net.Link("urxe", dev)
        with Watch(link.name) as watch:
            ip(None, "link", "set", f"{dev}p", "down")
            watch.expect("port.err")
            ip(None, "link", "set", f"{dev}p", "up")
            watch.expect("port.active")
            ip(None, "addr", "add", "10.9.9.9/24", "dev", dev)
            watch.expect("gid.*change")
        link.delete()


@pytest.mark.parametrize("ethernet, rdma", (
    (1500, 1024), (4192, 4096), (4191, 2048), slow(9000, 4096), slow(608, 512),
    slow(352, 256)))
def test_mtu(ethernet, rdma):
    with device("dummy") as (dev, _):
        ip(None, "addr", "flush", "dev", dev)
        ip(None, "link", "set", dev, "mtu", str(ethernet))
        link = net.Link("urxe", dev)
        assert port(link.name, "active_mtu") == str(rdma)
        ip(None, "link", "set", dev, "mtu", "1500")
        assert port(link.name, "active_mtu") == "1024"
        link.delete()


def test_mtu_too_small():
    with device("dummy") as (dev, _):
        ip(None, "addr", "flush", "dev", dev)
        link = net.Link("urxe", dev)
        ip(None, "link", "set", dev, "mtu", "100")
        assert state(link.name) == "DOWN"
        ip(None, "link", "set", dev, "mtu", "1500")
        assert state(link.name) == "ACTIVE"
        link.delete()


def test_rename():
    with device("veth") as (dev, addresses):
        link = net.Link("urxe", dev)
        ip(None, "link", "set", dev, "down")
        ip(None, "link", "set", dev, "name", "other")
        ip(None, "link", "set", "other", "up")
        assert shown(link.name)["netdev"] == "other"
        link.gid_index(addresses[0])
        link.delete()
        ip(None, "link", "delete", "other")


@pytest.mark.parametrize("kind", ("veth", "tun"))
def test_addresses(kind):
    with device(kind) as (dev, _):
        link = net.Link("urxe", dev)
        for address, width in (("10.9.9.9", 24), ("fd09::9", 64)):
            ip(None, "addr", "add", f"{address}/{width}", "dev", dev)
            link.gid_index(address)
            ip(None, "addr", "delete", f"{address}/{width}", "dev", dev)
            if kind == "veth" or KERNEL >= (6, 12):
                net.wait_for(lambda a=address: a not in link.gids(), 5, "GID to go")
        link.delete()


@pytest.mark.parametrize("kind", ("tun", "veth"))
def test_address_in_use(kind):
    """What refers to an address is not disturbed when there is another one."""
    with device(kind) as (dev, addresses):
        link = net.Link("urxe", dev)
        index = link.gid_index(addresses[0])
        with Context(name=link.name) as context, PD(context) as pd:
            route = GlobalRoute(dgid=context.query_gid(1, index), sgid_index=index)
            with AH(pd, attr=AHAttr(port_num=1, is_global=1, gr=route)):
                ip(None, "addr", "add", "10.9.9.9/24", "dev", dev)
                link.gid_index("10.9.9.9")
                assert link.gid_index(addresses[0]) == index
        link.delete()


def test_ipv6_disabled(netns):
    net.set_sysctl(netns, "ipv6.conf.all.disable_ipv6", 1)
    net.set_sysctl(netns, "ipv6.conf.default.disable_ipv6", 1)
    ip(netns, "link", "add", "name", "x", "type", "dummy")
    ip(netns, "addr", "add", "10.9.9.9/24", "dev", "x")
    ip(netns, "link", "set", "x", "up")
    link = net.Link("urxe", "x", netns)
    link.gid_index("10.9.9.9")
    link.delete()


def test_description():
    """rdma-ndd(8) writes the host's name there."""
    link = net.Link("urxe", "lo")
    path = f"/sys/class/infiniband/{link.name}/node_desc"
    assert read_file(path) == "urxe\n"
    write_file(path, "here urxe")
    assert read_file(path) == "here urxe\n"
    link.delete()


def test_deleted_while_open():
    with device("veth") as (dev, _):
        link = net.Link("urxe", dev)
        with Watch(link.name) as watch:
            link.delete()
            watch.expect("fatal")


def test_input_rules():
    """What a rule for INPUT drops does not arrive, until there is no such rule."""
    size = 1 << 14
    with net.Pair("urxe") as pair, Connection(pair, size) as (a, b):
        def nft(*words):
            return run(*pair.b.command(["nft", *words]))
        nft("add table inet wall; add chain inet wall in { type filter hook input "
            "priority 0; }; add rule inet wall in udp dport 4791 counter drop")
        a.memory[0:size] = noise(size)
        a.post(e.IBV_WR_RDMA_WRITE, 0, size, b.identity())
        net.wait_for(lambda: "packets 0 " not in nft("list table inet wall"), 5, "a drop")
        assert same(b.memory[0:size], bytes(size))
        nft("delete table inet wall")
        a.poll()
        assert same(b.memory[0:size], noise(size))


@pytest.mark.slow
def test_ipsec():
    """A tunnel of the kernel's own between the two ends carries our packets as others."""
    size, key = 1 << 20, "0x" + "5a" * 20
    with net.Pair("urxe") as pair:
        for end in pair.ends:
            for number, (source, target) in enumerate((pair.ends, pair.ends[::-1]), 1):
                way = f"src {source.ipv4} dst {target.ipv4} proto esp spi {number}".split()
                end.ip("xfrm", "state", "add", *way, "mode", "transport",
                       "aead", "rfc4106(gcm(aes))", key, "128")
                end.ip("xfrm", "policy", "add", *way[:4], "dir",
                       "out" if source is end else "in", "tmpl", *way[:6],
                       "mode", "transport")
        with Connection(pair, size) as (a, b):
            a.memory[0:size] = noise(size)
            a.post(e.IBV_WR_RDMA_WRITE, 0, size, b.identity())
            a.poll()
            assert same(b.memory[0:size], noise(size))
        for end in pair.ends:
            carried = end.ip("-s", "xfrm", "state")
            assert len(re.findall(r"[1-9]\d*\(packets\)", carried)) >= 2


def reload(*options):
    run("modprobe", "-r", "rdma_urxe")
    run("modprobe", "rdma_urxe", *options)


def test_unloaded_while_open():
    with device("veth") as (dev, _):
        link = net.Link("urxe", dev)
        with Watch(link.name) as watch:
            reload()
            assert not shown(link.name)
            watch.expect("fatal")


def test_reloads(netns):
    with device("veth", netns) as (dev, _):
        for _ in range(5):
            net.Link("urxe", dev, netns)
            net.Link("urxe", "lo")
            reload()


def test_other_link_type():
    with pytest.raises(RuntimeError, match="Invalid argument"):
        reload("link_type=siw")
    reload("link_type=rxe")
    link = net.Link("rxe", "lo")
    assert "urxe" in run("cat", f"/sys/class/infiniband/{link.name}/node_desc")
    with pytest.raises(RuntimeError):
        net.Link("urxe", "lo")
    with pytest.raises(RuntimeError, match="busy"):
        run("modprobe", "rdma_rxe")
    link.delete()
    reload()
    net.load("rxe")
    with pytest.raises(RuntimeError, match="busy"):
        reload("link_type=rxe")
    net.unload("rxe")
    net.load("urxe")


@pytest.mark.parametrize("first, second", (("urxe", "rxe"), ("rxe", "urxe")))
def test_both_drivers(first, second):
    """Either may come first, and both may use one NIC."""
    run("modprobe", "-r", "rdma_urxe", "rdma_rxe")
    with device("veth") as (dev, addresses):
        links = []
        for link_type in (first, second):
            run("modprobe", net.MODULES[link_type])
            links.append(net.Link(link_type, dev))
        for link in links:
            link.gid_index(addresses[0])
        for link in links:
            link.delete()
        net.unload("rxe")
    net.load("urxe")


@contextlib.contextmanager
def on_the_same(pair, link_type):
    """A pair of links of another type on a pair's devices."""
    other = copy.copy(pair)
    other.a, other.b = (copy.copy(end) for end in pair.ends)
    for end in other.ends:
        end.add_link(link_type)
    try:
        yield other
    finally:
        for end in other.ends:
            end.link.delete()


@pytest.mark.pins
def test_both_drivers_at_work():
    """On the same two NICs at the same time, either with peers of its own kind."""
    size = 1 << 16
    net.load("rxe")
    with net.Pair("urxe", net.Pair.TOGETHER) as pair, on_the_same(pair, "rxe") as rival, \
         Connection(pair, size) as ours, Connection(rival, size) as theirs:
        for number in range(20):
            for kind, (a, b) in enumerate((ours, theirs)):
                a.memory[0:size] = noise(size, seed=2 * number + kind)
                a.post(e.IBV_WR_RDMA_WRITE, 0, size, b.identity())
            for kind, (a, b) in enumerate((ours, theirs)):
                a.poll()
                assert same(b.memory[0:size], noise(size, seed=2 * number + kind))
    net.unload("rxe")


def test_rdma_rxe_unloaded():
    """Its exit takes all links with its driver id along, ours included. They
    have to go cleanly, and can be made again."""
    net.load("rxe")
    with device("veth") as (dev, _):
        link = net.Link("urxe", dev)
        net.unload("rxe")
        gone(link.name)
        net.Link("urxe", dev).delete()


@pytest.mark.slow
def test_churn():
    with device("veth") as (dev, _):
        for _ in range(20):
            net.Link("urxe", dev).delete()
