# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A process for tests to kill: victim DEVICE ADDRESS WORK

Prints `gid qpn rkey address`, reads its peer's, connects, reads a line, prints
`going`, and works until it is killed: write, read or send without end; or wait,
with receive requests posted."""

import sys
import time
import types

from lab import net
from lab.rc import Node, e
from lab.verbs import Peer

SIZE = 1 << 20


def main(device, address, work):
    end = types.SimpleNamespace(link=net.Link.existing(device), ipv4=address, ipv6=None)
    node = Node(end, size=SIZE)
    print(*node.identity(), flush=True)
    gid, *numbers = sys.stdin.readline().split()
    peer = Peer(gid, *map(int, numbers))
    node.connect(peer)
    for _ in range(32):
        node.post_receive(0, SIZE)
    sys.stdin.readline()
    print("going", flush=True)
    if work == "wait":
        time.sleep(600)
    opcode = {"write": e.IBV_WR_RDMA_WRITE, "read": e.IBV_WR_RDMA_READ,
              "send": e.IBV_WR_SEND}[work]
    while True:
        for _ in range(16):
            node.post(opcode, 0, 4096 if work == "send" else SIZE,
                      None if work == "send" else peer)
        node.poll(16)


main(*sys.argv[1:])
