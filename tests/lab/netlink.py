# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The kernel asked by netlink: messages, and the attributes they are made of."""

import os
import socket
import struct

RDMA, GENERIC = 20, 16              # NETLINK_*
REQUEST, ACK, DUMP = 1, 4, 0x300    # NLM_F_*
ERROR, DONE = 2, 3                  # NLMSG_*

HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
TYPE_MASK = 0x3fff


def attribute(kind, value):
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data):
    """The (type, value) pairs in a run of them."""
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        yield kind & TYPE_MASK, data[ATTRIBUTE.size:length]
        data = data[(length + 3) & ~3:]


def text(value):
    return value.rstrip(b"\0").decode()


def ask(protocol, kind, flags, payload=b""):
    """The payload of each message that answers; OSError if the kernel has an error to say.
    The answers end with one that says so: that all has been sent, or, if an ACK was asked
    for, that there was no error."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as kernel:
        kernel.bind((0, 0))
        kernel.send(HEADER.pack(HEADER.size + len(payload), kind, REQUEST | flags, 1, 0) +
                    payload)
        while True:
            data = kernel.recv(1 << 16)
            while data:
                length, kind = HEADER.unpack_from(data)[:2]
                answer, data = data[HEADER.size:length], data[(length + 3) & ~3:]
                if kind == ERROR:
                    code = -struct.unpack_from("=i", answer)[0]
                    if code:
                        raise OSError(code, os.strerror(code))
                if kind in (ERROR, DONE):
                    return
                yield answer
