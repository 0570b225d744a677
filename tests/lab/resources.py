# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What `rdma resource show` counts, asked of the kernel without a program in between:
it is asked before and after every test, and starting one takes the debug kernel half a
second. See rdma_netlink.h in linux/include/uapi/rdma. And what it tells of each object."""

import json
import os
import struct

from lab import netlink
from lab.command import run
from lab.netlink import attributes, text

RES_GET = 5 << 10 | 9       # RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_RES_GET)
DEV_NAME, SUMMARY, ENTRY_NAME, ENTRY_CURR = 2, 15, 17, 18  # RDMA_NLDEV_ATTR_*


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
    every = dict(map(device_counts, netlink.ask(netlink.RDMA, RES_GET, netlink.DUMP)))
    return every if device is None else every.get(device, {})


def listed(kind, device, anybodys=False):
    """What `rdma` tells of this process's objects of one kind, or of all: a dictionary
    for each, with what the driver has to say as drv_*."""
    shown = json.loads(run("rdma", "-jdd", "resource", "show", kind))
    return [one for one in shown
            if one["ifname"] == device and (anybodys or one.get("pid") == os.getpid())]
