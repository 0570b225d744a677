# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Sockets like TCP's whose bytes the kernel carries by RDMA (SMC-R, version 2).

        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        client                            server
        to 10.1.0.2: va                   to 10.1.0.1: vb
"""

import socket
import threading

import pytest

from lab import crossed, kinds, smc
from lab.command import run
from lab.mapping import MIB, check, libc, noise
from lab.rc import counters

PORT = 4711


@pytest.fixture(scope="module")
def pair(link_type):
    if not kinds.made_by("smc"):
        pytest.skip("this kernel has no SMC")
    with crossed.crossed((link_type, link_type)) as made, smc.Name("URXE.TEST"):
        yield made
    run("modprobe", "-r", "smc")


@pytest.fixture
def no_object_left():
    """Instead of the one for all: a connection between hosts stays for the next socket."""


def echo(listener):
    """Give back what one client sends, until it is done."""
    client = check(libc.accept(listener.fileno(), None, None))
    with socket.socket(smc.AF_SMC, socket.SOCK_STREAM, 0, client) as client:
        while data := client.recv(1 << 16):
            client.sendall(data)


def receive(stream, length):
    got = bytearray()
    while len(got) < length:
        data = stream.recv(length - len(got))
        assert data
        got += data
    return bytes(got)


@pytest.mark.slow
def test_stream(pair):
    """What is sent comes back, and by RDMA."""
    before = [counters(end.link) for end in pair.ends]
    with socket.socket(smc.AF_SMC, socket.SOCK_STREAM, 0) as listener, \
            socket.socket(smc.AF_SMC, socket.SOCK_STREAM, 0) as client:
        check(libc.bind(listener.fileno(), pair.b.sockaddr(PORT), 16))
        listener.listen()
        server = threading.Thread(target=echo, args=(listener,))
        server.start()
        check(libc.connect(client.fileno(), pair.b.sockaddr(PORT), 16))
        for number in range(16):
            data = noise(MIB // 16, number)
            client.sendall(data)
            assert receive(client, len(data)) == data
        client.shutdown(socket.SHUT_WR)
        server.join(20)
        assert not server.is_alive()
    for end, old in zip(pair.ends, before):
        assert counters(end.link)["tx_bytes"] - old["tx_bytes"] > MIB
