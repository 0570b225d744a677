# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Reliable datagram sockets: those of the kernel, over RDMA.

        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        to 10.1.0.2: va                   to 10.1.0.1: vb
"""

import ctypes
import socket

import pytest

from lab import crossed, kinds
from lab.command import run
from lab.mapping import check, libc, noise
from lab.rc import counters

AF_RDS, PORT = 21, 4000


@pytest.fixture(scope="module")
def pair(link_type):
    if not kinds.made_by("rds_rdma"):
        pytest.skip("this kernel has no RDS")
    with crossed.crossed((link_type, link_type)) as made:
        yield made
    run("modprobe", "-r", "rds_rdma")


@pytest.fixture
def no_object_left():
    """Instead of the one for all: a connection between hosts stays for the next socket."""


class Box(socket.socket):
    def __init__(self, end):
        super().__init__(AF_RDS, socket.SOCK_SEQPACKET, 0)
        self.address = end.sockaddr(PORT)
        check(libc.bind(self.fileno(), self.address, 16))

    def send_to(self, other, data):
        sent = libc.sendto(self.fileno(), data, ctypes.c_size_t(len(data)), 0,
                           other.address, 16)
        assert check(sent) == len(data)


@pytest.mark.slow
def test_datagrams(pair):
    """Each arrives whole and in order, both ways, and by RDMA."""
    before = [counters(end.link) for end in pair.ends]
    with Box(pair.a) as a, Box(pair.b) as b:
        for here, there in ((a, b), (b, a)):
            there.settimeout(20)
            sent = [noise(size, size) for size in (1, 100, 5000, 60000)]
            for data in sent:
                here.send_to(there, data)
            assert [there.recv(1 << 17) for _ in sent] == sent
    for end, old in zip(pair.ends, before):
        assert counters(end.link)["tx_bytes"] - old["tx_bytes"] > 65101
