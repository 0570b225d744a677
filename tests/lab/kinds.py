# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Kinds of network devices, and two ends with a link each on devices of a kind: on top
of a veth pair, two tun devices, the machine's own NICs, or loopback alone."""

import collections
import contextlib
import fcntl
import glob
import os
import struct
import subprocess
import sys

import pytest

from lab import net
from lab.command import TESTS, run
from lab.wire import in_namespace

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 0x0001, 0x1000
# More packets than both ends may have on their way.
LONG_QUEUE = 8192

Ends = collections.namedtuple("Ends", "a b")


def made_by(kind):
    """The module that a kind of device takes; not every kernel has it."""
    name = {"tap": "tun", "vlan": "8021q", "bond": "bonding"}.get(kind, kind)
    return not subprocess.run(["modprobe", "-q", name], check=False).returncode


def virtio_nics():
    """The virtio-net devices of this machine, whose other ends are each other."""
    run("modprobe", "-q", "virtio_net", check=False)
    return sorted(path.split("/")[4] for path in glob.glob("/sys/class/net/*/device/driver")
                  if os.path.basename(os.path.realpath(path)) == "virtio_net")


@contextlib.contextmanager
def namespaces(*names):
    net.ip_batch(None, *(f"netns add {name}" for name in names))
    try:
        yield
    finally:
        net.ip_batch(None, *(f"netns delete {name}" for name in names))


@contextlib.contextmanager
def on_veth(kind):
    with net.Pair(None, mtu=net.WIDE) as pair, net.stacked(pair, kind, 7) as ends:
        yield ends


def open_tun(end):
    """Make an end's device; it is there as long as this file descriptor."""
    def inside():
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", end.netdev.encode(),
                                               IFF_TUN | IFF_NO_PI))
        return fd
    return in_namespace(end.netns, inside)


@contextlib.contextmanager
def tun():
    """Two tun devices, each in a namespace, and a process for a cable."""
    ends = [net.End(f"tun{host}", f"tun{host}", f"10.5.0.{host}", f"fd05::{host}")
            for host in (1, 2)]
    with namespaces(*(end.netns for end in ends)):
        fds = [open_tun(end) for end in ends]
        # A thread of this process would wait for its turn for each packet.
        cable = subprocess.Popen([sys.executable, "-m", "lab.cable", *map(str, fds)],
                                 pass_fds=fds, cwd=TESTS)
        try:
            for end in ends:
                end.ip("link", "set", end.netdev, "txqueuelen", str(LONG_QUEUE))
                end.bring_up(net.WIDE)
            yield ends
        finally:
            cable.kill()
            cable.wait()
            for fd in fds:
                os.close(fd)


@contextlib.contextmanager
def virtio():
    """The machine's own NICs, of which one is in a namespace meanwhile."""
    nics = virtio_nics()[:2]
    if len(nics) < 2:
        pytest.skip("no virtio-net devices: tools/vm/run --extra-nic")
    ends = [net.End(nic, netns, f"10.4.0.{host}", f"fd04::{host}")
            for host, (nic, netns) in enumerate(zip(nics, ("virtio", None)), 1)]
    a, b = ends
    with namespaces("virtio"):
        run("ip", "link", "set", a.netdev, "netns", "virtio")
        try:
            for end in ends:
                end.bring_up(net.WIDE)
            yield ends
        finally:
            a.ip("link", "set", a.netdev, "netns", "1")
            run("ip", "addr", "flush", "dev", b.netdev)
            for end in ends:
                run("ip", "link", "set", end.netdev, "mtu", "1500", "down")


@contextlib.contextmanager
def loopback():
    """Both ends are one."""
    end = net.End("lo", None, "127.0.0.1", "::1")
    yield end, end


MAKERS = {"tun": tun, "virtio": virtio, "loopback": loopback}


@contextlib.contextmanager
def joined(kind, link_type):
    """Two ends joined by devices of a kind, with links on them."""
    if kind not in ("virtio", "loopback") and not made_by(kind):
        pytest.skip(f"this kernel has no {kind}")
    with MAKERS[kind]() if kind in MAKERS else on_veth(kind) as (a, b):
        for end in {a, b}:
            end.add_link(link_type)
        yield Ends(a, b)
        for end in {a, b}:
            end.link.delete()
            end.link = None
