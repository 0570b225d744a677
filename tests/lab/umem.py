# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""/dev/umem_test, which gives programs ib_umem by itself: umem/test/dev.c."""

import ctypes
import os
import struct
import weakref

from lab.mapping import Mapping, check, libc

WRITABLE = 1
UNPINNED, PINNED, PINNED_RECORDED, PINNED_DIRECT = range(4)
CALLER, CALLER_NOWAIT, SOFTIRQ, WORKER, KTHREAD_NOWAIT = range(5)
READ, WRITE, CAS, FAA, ATOMIC_WRITE = range(5)
WHOLE_MM = (1 << 64) - 1


class Umem:
    """A range, open in the kernel."""

    OPEN, CLOSE, ACCESS = 0x40207501, 0x7502, 0xC0387503
    INTERRUPT, RESUME, INFO, FAIL_MAP = 0x7504, 0x7505, 0x80587506, 0x7507
    FIELDS = ("pinned_pages sg_entries sg_bytes dma_addr phys_addr maps unmaps"
              " map_attrs unmap_attrs map_dir resident").split()

    every = weakref.WeakSet()

    def __init__(self, *args, **kwargs):
        self.fd = os.open("/dev/umem_test", os.O_RDWR | os.O_CLOEXEC)
        self.every.add(self)
        if args:
            self.open(*args, **kwargs)

    def ioctl(self, cmd, buf=None):
        check(libc.ioctl(self.fd, cmd, buf))

    def open(self, addr, length, flags=WRITABLE, kind=UNPINNED, attrs=0):
        if isinstance(addr, Mapping):
            addr = addr.addr
        self.ioctl(self.OPEN, struct.pack("QQQII", addr, length, attrs, flags,
                                          kind))
        return self

    def access(self, op, where, off, buf=None, length=0, a=0, b=0):
        arg = ctypes.create_string_buffer(
            struct.pack("QQQQQQII", off, ctypes.addressof(buf) if buf else 0,
                        length, a, b, 0, op, where), 56)
        self.ioctl(self.ACCESS, arg)
        return struct.unpack_from("Q", arg, 40)[0]

    def read(self, where, off=0, length=8):
        buf = ctypes.create_string_buffer(max(length, 1))
        self.access(READ, where, off, buf, length)
        return buf.raw[:length]

    def write(self, where, off=0, data=b"whatever"):
        buf = ctypes.create_string_buffer(data, max(len(data), 1))
        self.access(WRITE, where, off, buf, len(data))

    def atomic(self, op, where, off=0, a=0, b=0):
        return self.access(op, where, off, None, 8, a, b)

    def interrupt(self):
        self.ioctl(self.INTERRUPT)

    def resume(self):
        self.ioctl(self.RESUME)

    def info(self):
        buf = ctypes.create_string_buffer(8 * len(self.FIELDS))
        self.ioctl(self.INFO, buf)
        return dict(zip(self.FIELDS, struct.unpack("11Q", buf.raw)))

    def close(self):
        self.ioctl(self.CLOSE)

    def drop(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    __del__ = drop
