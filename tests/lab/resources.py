# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What `rdma resource show` counts, asked of the kernel without a program in between:
it is asked before and after every test, and starting one takes the debug kernel half a
second. See rdma_netlink.h in linux/include/uapi/rdma. And what it tells of each object."""

import json
import os
import socket
import struct

from lab.command import run

NETLINK_RDMA = 20
RES_GET = 5 << 10 | 9       # RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_RES_GET)
REQUEST, DUMP = 0x1, 0x300  # NLM_F_*
ERROR, DONE = 2, 3          # NLMSG_*
DEV_NAME, SUMMARY, ENTRY_NAME, ENTRY_CURR = 2, 15, 17, 18  # RDMA_NLDEV_ATTR_*

HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
TYPE_MASK = 0x3fff


def attributes(data):
    """The (type, value) pairs in a run of netlink attributes."""
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        yield kind & TYPE_MASK, data[ATTRIBUTE.size:length]
        data = data[(length + 3) & ~3:]


def text(value):
    return value.rstrip(b"\0").decode()


def messages():
    """The (type, payload) of each message that answers the question."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_RDMA) as kernel:
        kernel.bind((0, 0))
        kernel.send(HEADER.pack(HEADER.size, RES_GET, REQUEST | DUMP, 1, 0))
        while True:
            data = kernel.recv(1 << 16)
            while data:
                length, kind = HEADER.unpack_from(data)[:2]
                if kind == DONE:
                    return
                yield kind, data[HEADER.size:length]
                data = data[(length + 3) & ~3:]


def device_counts(payload):
    """A device's name, and {kind of object: count}."""
    name, found = None, {}
    for kind, value in attributes(payload):
        if kind == DEV_NAME:
            name = text(value)
        elif kind == SUMMARY:
            for _, entry in attributes(value):
                fields = dict(attributes(entry))
                found[text(fields[ENTRY_NAME])] = struct.unpack("=Q", fields[ENTRY_CURR])[0]
    return name, found


def counts(device=None):
    """{device: {kind: count}}, or the counts of one device."""
    every = {}
    for kind, payload in messages():
        if kind == ERROR:
            code = -struct.unpack_from("=i", payload)[0]
            raise OSError(code, os.strerror(code))
        name, found = device_counts(payload)
        every[name] = found
    return every if device is None else every.get(device, {})


def listed(kind, device, anybodys=False):
    """What `rdma` tells of this process's objects of one kind, or of all: a dictionary
    for each, with what the driver has to say as drv_*."""
    shown = json.loads(run("rdma", "-jdd", "resource", "show", kind))
    return [one for one in shown
            if one["ifname"] == device and (anybodys or one.get("pid") == os.getpid())]
