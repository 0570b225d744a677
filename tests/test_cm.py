# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The connection manager: connections found, made, refused and taken down by
rdma_cm, and the programs that live on it.

        namespace A                       namespace B
        10.1.0.1, fd01::1, fe80::...      10.1.0.2, fd01::2, fe80::...
        link a on va ------- veth ------- vb with link b
        client                            server
"""

import errno
import json
import os
import subprocess
import time

import pytest

from lab import machine, net, perftest, resources
from lab.command import run
from lab.mapping import noise
from lab.marks import slow, slow_but
from lab.programs import Failed, pair_up
from lab.rc import counters, same

CM = "/usr/lib/urxe/cm"
PORT = 7471


@pytest.fixture(scope="module")
def pair(link_type, where):
    if where == net.Pair.TOGETHER:
        pytest.skip("rdma_cm looks for a route, and finds it on lo")
    with net.Pair(link_type, where) as made:
        made.introduce()
        yield made


def addresses(pair, family):
    """(client's, server's) by family, as one of the two would write them."""
    if family == "link-local":
        return [f"{link_local(end)}%{pair.a.netdev if far else end.netdev}"
                for end, far in ((pair.a, False), (pair.b, True))]
    return [end.ipv4 if family == "ipv4" else end.ipv6 for end in (pair.a, pair.b)]


def link_local(end):
    shown = json.loads(end.ip("-j", "-6", "addr", "show", "dev", end.netdev,
                              "scope", "link"))
    return next(address["local"] for one in shown for address in one.get("addr_info", ())
                if "local" in address)


def connect(pair, server_address, client_address, *options, server=(), **how):
    """The programs `cm`, with the words of private data that the tests look for."""
    return pair_up(pair, [CM, "listen", "-v", *options, *server, server_address, PORT,
                          "welcome"],
                   [CM, "connect", "-v", *options, client_address, PORT, "may-I?"],
                   **how)


# --- connections -----------------------------------------------------------


@pytest.mark.parametrize("family", ("ipv4", "ipv6", slow("link-local")))
def test_connection(pair, family):
    """Resolution, connection, a message each way, disconnection; and the private data
    of both sides."""
    _, target = addresses(pair, family)
    here = f"{link_local(pair.b)}%{pair.b.netdev}" if family == "link-local" else target
    client, server = connect(pair, here, target)
    assert "RDMA_CM_EVENT_CONNECT_REQUEST 0 may-I?" in server
    assert "RDMA_CM_EVENT_ESTABLISHED 0 welcome" in client
    assert "RDMA_CM_EVENT_DISCONNECTED" in client and "RDMA_CM_EVENT_DISCONNECTED" in server


@pytest.mark.slow
@pytest.mark.parametrize("family", ("ipv4", "ipv6"))
def test_stranger(link_type, family):
    """To a neighbour that has to be looked for. Over veth its answer is there before the
    kernel's rdma_cm begins to wait for one, so it waits for as long as the program lets
    it, whatever the driver; and looks again."""
    with net.Pair(link_type) as pair:
        _, target = addresses(pair, family)
        client, _ = connect(pair, target, target)
        assert "RDMA_CM_EVENT_ESTABLISHED 0 welcome" in client


@pytest.mark.parametrize("family, wildcard", (("ipv4", "0.0.0.0"), ("ipv6", "::")))
def test_wildcard(pair, family, wildcard):
    """A server that listens everywhere, a client that binds to its address first."""
    source, target = addresses(pair, family)
    client, _ = connect(pair, wildcard, target, "-b", source)
    assert "RDMA_CM_EVENT_ESTABLISHED 0 welcome" in client


@pytest.mark.parametrize("family", ("ipv4", "ipv6"))
def test_datagrams(pair, family):
    """Without a connection: the server's queue pair and Q_Key are asked for."""
    _, target = addresses(pair, family)
    client, server = connect(pair, target, target, "-u")
    assert "RDMA_CM_EVENT_CONNECT_REQUEST 0 may-I?" in server
    assert "RDMA_CM_EVENT_ESTABLISHED 0 welcome" in client


@pytest.mark.parametrize("options", ((), ("-u",)), ids=("tcp", "udp"))
def test_refused(pair, options):
    client, server = connect(pair, "0.0.0.0", pair.b.ipv4, *options, server=("-x",),
                             client_status=3)
    refused = "UNREACHABLE" if options else "REJECTED"
    assert "RDMA_CM_EVENT_CONNECT_REQUEST 0 may-I?" in server
    assert refused in client
    if not options:
        assert "REJECTED 28 welcome" in client   # 28: by the consumer


def test_nobody_listens(pair):
    """A port without a listener: refused by the connection manager itself."""
    client, _ = pair_up(pair, ["true"], [CM, "connect", "-v", pair.b.ipv4, PORT, "hello"],
                        client_status=3)
    assert "RDMA_CM_EVENT_REJECTED 8" in client  # 8: no such service


def test_many(pair):
    """Some at a time, again and again."""
    before = resources.counts()
    client, server = pair_up(
        pair, [CM, "listen", "-n", 50, "-r", 3, "::", PORT, "welcome"],
        [CM, "connect", "-n", 50, "-r", 3, pair.b.ipv4, PORT, "may-I?"])
    assert "done 150" in client and "done 150" in server
    net.wait_for(lambda: resources.counts() == before, 5, f"{before}")


@pytest.mark.slow
def test_scale(pair, debug_kernel):
    """Two thousand connections at once, twenty times: nothing stays behind, neither
    objects nor memory."""
    count, rounds = (300, 4) if debug_kernel else (2000, 20)

    def go(rounds):
        said = pair_up(pair, [CM, "listen", "-n", count, "-r", rounds, "::", PORT, "welcome"],
                       [CM, "connect", "-n", count, "-r", rounds, pair.b.ipv4, PORT, "may-I?"],
                       timeout=1500)
        assert all(f"done {count * rounds}" in one for one in said)

    # A first time, for what is kept for ever once it has been made.
    go(1)
    objects, slab, caches = resources.counts(), settled_slab(), slab_caches()
    areas = vmalloc_areas()
    go(rounds)
    net.wait_for(lambda: resources.counts() == objects, 20, f"{objects}")
    net.wait_for(lambda: vmalloc_areas() == areas, 20, f"{areas} areas of vmalloc's")
    # A connection that was forgotten would cost several KiB.
    try:
        net.wait_for(lambda: settled_slab() < slab + count // 4, 120,
                     f"slab use back to {slab} KiB")
    except TimeoutError as late:
        grown = {name: size - caches.get(name, 0) for name, size in slab_caches().items()}
        worst = sorted(grown.items(), key=lambda item: -item[1])[:8]
        raise TimeoutError(f"{late}, now {settled_slab()}; KiB more: {worst}") from late


def slab_caches():
    """The KiB that each kind of the kernel's objects takes."""
    with open("/proc/slabinfo", encoding="ascii") as file:
        rows = [line.split() for line in file.readlines()[2:]]
    return {row[0]: int(row[2]) * int(row[3]) >> 10 for row in rows}


def vmalloc_areas():
    """How many the drivers of RDMA have."""
    with open("/proc/vmallocinfo", encoding="ascii") as file:
        return sum("[rdma_" in line for line in file)


def settled_slab():
    """Slab memory that can't be reclaimed, in KiB, when what was freed has gone. But for
    the kernel's notes of vmalloc's areas: it gets rid of them when there are some thousand
    pages of what was freed, which may have been a moment ago, or be next."""
    machine.drop_caches()
    for name in os.listdir("/sys/kernel/slab"):
        try:
            with open(f"/sys/kernel/slab/{name}/shrink", "w", encoding="ascii") as shrink:
                shrink.write("1")
        except OSError:
            pass
    return (machine.meminfo("SUnreclaim") >> 10) - slab_caches().get("vmap_area", 0)


@pytest.mark.parametrize("whose", ("client", "server"))
def test_device_goes(pair, link_type, whose):
    """Who has connections by way of it is told so, and the others that theirs have gone."""
    count, end = 8, pair.a if whose == "client" else pair.b

    def ready():
        """Whether all queue pairs of either side may send."""
        states = [[(one.get("type"), one["state"]) for one in
                   resources.listed("qp", side.link.name, True)] for side in pair.ends]
        return all(one.count(("RC", "RTS")) == count for one in states)

    def delete():
        net.wait_for(ready, 20, f"{count} connections")
        # A message each way, that is.
        before = None
        while before != (before := counters(end.link)["rx_packets"]):
            time.sleep(0.2)
        end.link.delete()
        end.link = None

    try:
        said = connect(pair, "0.0.0.0", pair.b.ipv4, "-n", count, "-k", meanwhile=delete)
    finally:
        if not end.link:
            end.add_link(link_type)
    told, gone = said if whose == "client" else reversed(said)
    assert told.count("RDMA_CM_EVENT_DEVICE_REMOVAL") == count
    assert gone.count("RDMA_CM_EVENT_DISCONNECTED") == count


# --- where an address is ---------------------------------------------------


def test_own_host(pair):
    """Both ends on one link: the address of the host itself."""
    alone = pair.turned()
    alone.a = alone.b
    for target in (alone.b.ipv4, alone.b.ipv6):
        client, _ = connect(alone, target, target)
        assert "RDMA_CM_EVENT_ESTABLISHED 0 welcome" in client


@pytest.mark.parametrize("target", ("127.0.0.1", "::1", "0.0.0.0", "::"))
def test_no_way(pair, target):
    """Addresses that stand for this host and name no device: the kernel's rdma_cm knows
    of no route to them over RoCE, and says so in time."""
    asks = pair.a.command([CM, "connect", "-v", target, str(PORT), "may-I?"])
    done = subprocess.run(asks, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=20, check=False)
    assert done.stdout.split() == ["RDMA_CM_EVENT_ADDR_RESOLVED", "0"]
    assert done.stderr == f"cm: route: {os.strerror(errno.ENODEV)}\n"


@pytest.mark.slow
@pytest.mark.urxe_only("rdma_rxe has no links on VLANs")
@pytest.mark.parametrize("below", (False, True), ids=("link-on-vlan", "link-below"))
def test_vlan(link_type, where, below):
    """Addresses of a VLAN, by a link on it, or by one on the device below; either way
    there is no other link by which they could be reached."""
    with net.Pair(link_type if below else None, where) as pair, net.vlans(pair, 9) as ends:
        links = [lower.link if below else vlan.add_link(link_type)
                 for vlan, lower in zip(ends, pair.ends)]
        for link, vlan in zip(links, ends):
            for address in (vlan.ipv4, vlan.ipv6):
                link.gid_index(address)
        for target in (ends[1].ipv4, ends[1].ipv6):
            for options in ((), ("-u",)):
                before = [counters(link)["rx_packets"] for link in links]
                client, _ = connect(pair, target, target, *options)
                assert "RDMA_CM_EVENT_ESTABLISHED 0 welcome" in client
                # Of the connection, and the message.
                assert all(counters(link)["rx_packets"] > count + 1
                           for link, count in zip(links, before))


# --- programs --------------------------------------------------------------

PROGRAMS = {
    "rping": (["rping", "-s", "-C", 20, "-V", "-S", 4000],
              ["rping", "-c", "-a", "{b}", "-C", 20, "-V", "-S", 4000]),
    "rping-persistent": (["rping", "-s", "-a", "{b6}", "-C", 20],
                         ["rping", "-c", "-a", "{b6}", "-I", "{a6}", "-C", 20]),
    "ucmatose": (["ucmatose", "-c", 10], ["ucmatose", "-s", "{b}", "-c", 10, "-S", 3000]),
    "ucmatose-ipv6": (["ucmatose", "-b", "{b6}"], ["ucmatose", "-s", "{b6}", "-b", "{a6}"]),
    "udaddy": (["udaddy", "-c", 5], ["udaddy", "-s", "{b}", "-c", 5]),
    "udaddy-ipv6": (["udaddy", "-b", "{b6}"], ["udaddy", "-s", "{b6}", "-b", "{a6}"]),
    "cmtime": (["cmtime", "-c", 100], ["cmtime", "-s", "{b}", "-c", 100]),
    "rdma_xserver": (["rdma_xserver"], ["rdma_xclient", "-s", "{b}"]),
    "rdma_server": (["rdma_server"], ["rdma_client", "-s", "{b}"]),
    "rdma_server-ipv6": (["rdma_server", "-s", "{b6}"], ["rdma_client", "-s", "{b6}"]),
    "rstream": (["rstream", "-S", 5000, "-C", 50, "-T", "v"],
                ["rstream", "-s", "{b}", "-S", 5000, "-C", 50, "-T", "v"]),
    "rstream-async": (["rstream", "-b", "{b6}", "-S", 5000, "-C", 50, "-T", "a"],
                      ["rstream", "-s", "{b6}", "-S", 5000, "-C", 50, "-T", "a"]),
    "riostream": (["riostream", "-S", 5000, "-C", 50, "-T", "v"],
                  ["riostream", "-s", "{b}", "-S", 5000, "-C", 50, "-T", "v"]),
    "riostream-ipv6": (["riostream", "-b", "{b6}", "-S", 5000, "-C", 50, "-T", "v"],
                       ["riostream", "-s", "{b6}", "-S", 5000, "-C", 50, "-T", "v"]),
}

# Newer ones of rdma-core are peers, which meet at a controller: on TCP's port of that number.
# cmtime knows IPv4 only.
CMTIME_PEERS = (["cmtime", "-L", "-b", "{b}", "-C", "{b}", "-c", 100],
                ["cmtime", "-b", "{a}", "-C", "{b}", "-c", 100])

QUICK = ("rping", "udaddy", "rstream")


def arguments_of(program):
    """(the server's, the client's, what else pair_up() is to know)"""
    if program != "cmtime":
        return *PROGRAMS[program], {}
    usage = run("cmtime", "-?", check=False)
    if "controller" in usage:
        return *CMTIME_PEERS, {"tcp_port": PORT}
    return *PROGRAMS[program], {"stays": "num_threads" not in usage}


# rstream -T a ends so (with POLLHUP) when it is told at once that the last bytes have come
# and that the server, which has all, has gone: it does not look for bytes then.
UNLUCKY = "exit status 16 (client), 0 (server)"


def with_luck(run_it, tries=5):
    for left in reversed(range(tries)):
        try:
            return run_it()
        except Failed as failed:
            if UNLUCKY not in str(failed) or not (left or machine.DEBUG):
                raise
    return pytest.skip("here the server has always gone when the client looks")


@pytest.mark.parametrize("program", slow_but(QUICK, PROGRAMS))
def test_program(pair, program):
    """rdma_core's own programs."""
    names = {"a": pair.a.ipv4, "a6": pair.a.ipv6, "b": pair.b.ipv4, "b6": pair.b.ipv6}
    *both, how = arguments_of(program)
    server, client = ([str(word).format(**names) for word in argv] for argv in both)
    def run_it():
        return pair_up(pair, server, client, **how)
    if program == "rstream-async":
        with_luck(run_it)
    else:
        run_it()


@pytest.mark.slow
def test_copied_file(pair, tmp_path):
    """rcopy: a file, by way of a mapping of it at either end."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(noise(1 << 20))
    client, _ = pair_up(pair, ["rcopy"], ["rcopy", source, f"{pair.b.ipv4}:{target}"],
                        stays=True)
    assert "1048576 bytes" in client
    assert same(target.read_bytes(), noise(1 << 20))


@pytest.mark.slow
def test_multicast(pair):
    """mckey joins a group by rdma_cm, which is for IPv4 only on a RoCE v2 link."""
    group = "239.7.7.7"
    def joined():
        return group in pair.b.ip("maddr", "show", "dev", pair.b.netdev)
    both = ["mckey", "-m", group, "-b"]
    client, server = pair_up(pair, [*both, pair.b.ipv4], [*both, pair.a.ipv4, "-s"],
                             ready=joined)
    assert "return status 0" in client and "return status 0" in server
    net.wait_for(lambda: not joined(), 5, "the group to be left")


CONNECTED = (("ib_send_bw", ()), ("ib_write_bw", ("-q", 3)), ("ib_read_lat", ()),
             ("ib_atomic_bw", ()), ("ib_send_bw", ("-c", "UD", "-r", 512)),
             ("ib_send_lat", ()), ("ib_write_lat", ()), ("ib_read_bw", ()),
             ("ib_atomic_lat", ()), ("ib_write_bw", ("-b",)), ("ib_send_bw", ("-b", "-e")),
             ("ib_read_bw", ("-e",)), ("ib_send_lat", ("-e",)))


@pytest.mark.slow
@pytest.mark.parametrize("tool, options", CONNECTED)
def test_perftest(pair, tool, options):
    """perftest with rdma_cm to connect it."""
    assert perftest.run(pair, tool, "-R", "-n", 100, *options).rows


@pytest.mark.slow
@pytest.mark.parametrize("tool, options", CONNECTED[:3])
def test_perftest_by_ipv6(pair, tool, options):
    if "--ipv6-addr" not in run(tool, "--help", check=False):
        pytest.skip("this perftest connects over IPv4 only")
    assert perftest.run(pair, tool, "-R", "--ipv6-addr", "-n", 100, *options, ipv6=True).rows
