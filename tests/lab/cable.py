# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A cable between two tun devices: python3 -m lab.cable FD FD

What comes out of one goes into the other, until this is killed."""

import os
import select
import sys

# The other direction's turn comes after so many packets.
TURN = 64


def carry(source, sink):
    """What is there; nothing more to read, or a sink that is down, ends the turn."""
    try:
        for _ in range(TURN):
            os.write(sink, os.read(source, 1 << 16))
    except OSError:
        pass


def main(*fds):
    one, other = map(int, fds)
    poll = select.poll()
    for fd in (one, other):
        poll.register(fd, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            carry(fd, other if fd == one else one)


main(*sys.argv[1:])
