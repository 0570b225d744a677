# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A process for tests to kill, or to take its device or its network away from:

    python3 -m lab.victim DEVICE ADDRESS WORK [TIMEOUT]

Prints `gid qpn rkey address`, reads its peer's, connects with that time-out, reads a
line, prints `going`, and works until it is killed: write, read or send without end; or
wait, with receive requests posted. Where there is no going on it says why and ends:
`gone` when the device is, `status N` of the first request that failed.

Victim is the test's end of it."""

import functools
import os
import subprocess
import sys
import time
import types

from pyverbs.pyverbs_error import PyverbsError

from lab import net
from lab.command import TESTS
from lab.rc import Node, e
from lab.verbs import Peer

SIZE = 1 << 20
BATCH = 16


class Victim:
    """Such a process at one end."""

    def __init__(self, end, work, timeout=14):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lab.victim", end.link.name, end.ipv4, work,
             str(timeout)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=TESTS)

    @functools.cached_property
    def peer(self):
        """Who it says it is."""
        gid, *numbers = self.process.stdout.readline().split()
        return Peer(gid, *map(int, numbers))

    def say(self, *words):
        print(*words, file=self.process.stdin, flush=True)

    def meet(self, peer):
        """Tell it its peer."""
        self.say(*peer)

    def start(self):
        self.say("go")
        assert self.process.stdout.readline() == "going\n"

    def works(self):
        return self.process.poll() is None

    def last_words(self, seconds):
        """What it says when it ends by itself, as it has to within that time."""
        self.process.wait(seconds)
        return self.process.stdout.read().strip()

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()


# --- the process itself ----------------------------------------------------------


def is_gone(node, seconds):
    """Whether the device goes within that time; other events are passed over."""
    event = node.event(seconds)
    while event not in (None, e.IBV_EVENT_DEVICE_FATAL):
        event = node.event(seconds)
    return event is not None


def wait(node, count):
    """Wait for so many completions; returns why there is no going on, if so."""
    while count:
        got, completions = node.cq.poll(count)
        for one in completions or ():
            if one.status != e.IBV_WC_SUCCESS:
                return f"status {int(one.status)}"
        count -= got
        if not got and is_gone(node, 0):
            return "gone"
    return None


def toil(node, opcode, length, peer):
    """Post and wait, over and over; returns why there is no going on."""
    trouble = None
    try:
        while not trouble:
            for _ in range(BATCH):
                node.post(opcode, 0, length, peer)
            trouble = wait(node, BATCH)
    except PyverbsError as refused:
        # A device that goes refuses first, and says why later.
        trouble = "gone" if is_gone(node, 20) else str(refused)
    return trouble


def main(device, address, work, timeout=14):
    end = types.SimpleNamespace(link=net.Link.existing(device), ipv4=address, ipv6=None)
    node = Node(end, size=SIZE)
    print(*node.identity(), flush=True)
    gid, *numbers = sys.stdin.readline().split()
    peer = Peer(gid, *map(int, numbers))
    node.connect(peer, timeout=int(timeout))
    for _ in range(32):
        node.post_receive(0, SIZE)
    sys.stdin.readline()
    print("going", flush=True)
    if work == "wait":
        time.sleep(600)
    opcode = {"write": e.IBV_WR_RDMA_WRITE, "read": e.IBV_WR_RDMA_READ,
              "send": e.IBV_WR_SEND}[work]
    two_sided = work == "send"
    print(toil(node, opcode, 4096 if two_sided else SIZE, None if two_sided else peer),
          flush=True)
    # Nothing can be given back to a device that is gone.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
