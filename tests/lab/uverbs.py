# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Verbs that a user library may not have for a device, or not by themselves, straight to
the kernel: the ioctl() of <rdma/rdma_user_ioctl_cmds.h>, and the older write() of
<rdma/ib_user_verbs.h>."""

import ctypes
import fcntl
import ipaddress
import os
import struct
import sys

IOCTL = 0xC0181B01
DRIVER_RXE = 14
OBJECT_DEVICE, OBJECT_MR = 0, 7
DEVICE_QUERY_PORT_SPEED = 7
MR_DESTROY, MR_ADVISE, MR_REG_DMABUF = 1, 2, 4
MANDATORY = 1
# A command of the older write().
REREG_MR = 11

# ibv_advise_mr()'s advice and flag, which not every pyverbs names.
PREFETCH, PREFETCH_WRITE, PREFETCH_NO_FAULT = range(3)
FLUSH = 1
# What ibv_rereg_mr() is to change.
REREG_TRANS, REREG_PD, REREG_ACCESS = 1, 2, 4


class _Call:
    """One call with its attributes; short values travel inside of them."""

    def __init__(self, method, on=OBJECT_MR):
        self.on, self.method, self.attributes, self.kept = on, method, b"", []

    def handle(self, attribute, number):
        return self._add(attribute, 0, number)

    def value(self, attribute, number, size=8):
        return self._add(attribute, size, number)

    def buffer(self, attribute, data):
        """Bytes that the kernel reads, or fills in; returns the buffer."""
        self.kept.append(ctypes.create_string_buffer(data, len(data)))
        self._add(attribute, len(data), ctypes.addressof(self.kept[-1]))
        return self.kept[-1]

    def _add(self, attribute, length, data):
        self.attributes += struct.pack("=HHHHQ", attribute, length, MANDATORY, 0, data)
        return self

    def make(self, context):
        """The call; OSError if it fails. Returns the attributes afterwards."""
        length = 24 + len(self.attributes)
        packet = bytearray(struct.pack("=HHHHQII", length, self.on, self.method,
                                       len(self.attributes) // 16, 0,
                                       DRIVER_RXE, 0))
        packet += self.attributes
        fcntl.ioctl(context.cmd_fd, IOCTL, packet)
        return [struct.unpack_from("=Q", packet, at + 8)[0]
                for at in range(24, length, 16)]


def port_speed(context):
    """ibv_query_port_speed(), for which a user library needs a function of the device's."""
    call = _Call(DEVICE_QUERY_PORT_SPEED, OBJECT_DEVICE).value(0, 1)
    speed = call.buffer(1, bytes(8))
    call.make(context)
    return int.from_bytes(speed.raw, sys.byteorder)


def advise(context, pd, advice, sges, flush=True, flags=None):
    """ibv_advise_mr(), with sges as (address, length, lkey)."""
    if flags is None:
        flags = FLUSH if flush else 0
    call = _Call(MR_ADVISE)
    call.handle(0, pd.handle).value(1, advice).value(2, flags)
    call.buffer(3, b"".join(struct.pack("=QII", *one) for one in sges))
    call.make(context)


def rereg(node, flags, start=0, length=0, iova=None, pd=None, access=0):
    """ibv_rereg_mr() of a node's region: its new (lkey, rkey); OSError when refused."""
    answer = ctypes.create_string_buffer(8)
    command = struct.pack("=IHH QII QQQ II", REREG_MR, 14, 2, ctypes.addressof(answer),
                          node.mr.handle, flags, start, length,
                          start if iova is None else iova,
                          pd.handle if pd else 0, access)
    assert os.write(node.context.cmd_fd, command) == len(command)
    return struct.unpack("=II", answer.raw)


class DmabufRegion:
    """ibv_reg_dmabuf_mr(): a region on a dma-buf."""

    def __init__(self, context, pd, fd, offset, length, iova, access):
        call = _Call(MR_REG_DMABUF)
        call.handle(0, 0).handle(1, pd.handle)
        call.value(2, offset).value(3, length).value(4, iova).value(5, fd, 4)
        call.value(6, access)
        lkey, rkey = call.buffer(7, bytes(4)), call.buffer(8, bytes(4))
        self.context, self.handle = context, call.make(context)[0]
        self.lkey, = struct.unpack("=I", lkey.raw)
        self.rkey, = struct.unpack("=I", rkey.raw)

    def close(self):
        _Call(MR_DESTROY).handle(0, self.handle).make(self.context)


class AddressHandle:
    """ibv_create_ah(), without all that the user library first asks of the network."""

    CREATE, DESTROY = 5, 8

    def __init__(self, context, pd, gid, gid_index):
        self.fd, answer = context.cmd_fd, ctypes.create_string_buffer(12)
        os.write(self.fd, struct.pack(
            "=IHHQQII16sIBBBBHBBBBBB", self.CREATE, 16, 3, ctypes.addressof(answer), 0,
            pd.handle, 0, ipaddress.IPv6Address(gid).packed, 0, gid_index, 64, 0, 0,
            0, 0, 0, 0, 1, 1, 0))
        self.handle, = struct.unpack_from("=I", answer)

    def close(self):
        os.write(self.fd, struct.pack("=IHHI", self.DESTROY, 3, 0, self.handle))
