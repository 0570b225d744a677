# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A process that owns a region of memory, run by a test as another user:

    python3 -m lab.owner DEVICE ADDRESS BYTES

Speaks JSON, a line each way at a time. It says who it is, how long the
registration took, and what it holds pinned; is told its peer; then answers
each question [offset, length] with what is there, in hexadecimal."""

import json
import mmap
import os
import sys
import time

from lab.command import memory
from lab.net import End, Link
from lab.verbs import Memory, Peer, Side

# Not in Python before 3.11.
MAP_NORESERVE = 0x4000


def say(thing):
    print(json.dumps(thing), flush=True)


def hear():
    line = sys.stdin.readline()
    return json.loads(line) if line else None


def reserve(size):
    """More memory than there is: pages come when they are touched."""
    return Memory(size, mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE |
                                  mmap.MAP_ANONYMOUS | MAP_NORESERVE))


def main(device, address, size):
    end = End(None, None, address, address)
    end.link = Link.existing(device)
    side = Side(end, size, memory=reserve(size))
    registrations = []
    for _ in range(5):
        start = time.perf_counter()
        region = side.register()
        registrations.append(time.perf_counter() - start)
        region.close()
    me = side.identity()
    say({"gid": str(me.gid), "qp_num": me.qp_num, "rkey": me.rkey,
         "address": me.address, "uid": os.getuid(), "seconds": registrations,
         "held": memory(os.getpid())})
    side.connect(Peer(**hear()))
    say("connected")
    while (question := hear()) is not None:
        offset, length = question
        say({"data": side.memory[offset:offset + length].hex(),
             "held": memory(os.getpid())})
    side.close()


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
