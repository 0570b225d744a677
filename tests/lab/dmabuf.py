# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""dma-bufs: those that udmabuf makes of a memfd, and a heap's."""

import fcntl
import os
import struct

from lab.mapping import PROT_READ, RW, SHARED, Mapping

UDMABUF_CREATE = 0x40187542
HEAP_ALLOC = 0xC0184800
HEAP = "/dev/dma_heap/system"
F_ADD_SEALS, F_SEAL_SHRINK = 1033, 2


def from_memfd(size):
    """A dma-buf of the pages of a memfd."""
    memfd = os.memfd_create("dmabuf", os.MFD_ALLOW_SEALING)
    os.ftruncate(memfd, size)
    fcntl.fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK)
    maker = os.open("/dev/udmabuf", os.O_RDWR)
    try:
        request = bytearray(struct.pack("=IIQQ", memfd, 1, 0, size))
        return fcntl.ioctl(maker, UDMABUF_CREATE, request)
    finally:
        os.close(maker)
        os.close(memfd)


def from_heap(size, flags=os.O_RDWR):
    """A dma-buf of the system heap."""
    heap = os.open(HEAP, os.O_RDONLY)
    try:
        answer = fcntl.ioctl(heap, HEAP_ALLOC,
                             struct.pack("=QIIQ", size, 0, flags | os.O_CLOEXEC, 0))
        return struct.unpack_from("=I", answer, 8)[0]
    finally:
        os.close(heap)


MAKERS = {"udmabuf": ("/dev/udmabuf", from_memfd), "heap": (HEAP, from_heap)}


class Buffer(Mapping):
    """A dma-buf, mapped into this process to be looked at."""

    def __init__(self, maker, size):
        self.fd = MAKERS[maker][1](size)
        super().__init__(size, RW, SHARED, self.fd)

    def close(self):
        super().close()
        os.close(self.fd)


class ReadOnlyBuffer(Mapping):
    """A buffer of the heap whose file is open for reading only."""

    def __init__(self, size):
        self.fd = from_heap(size, os.O_RDONLY)
        super().__init__(size, PROT_READ, SHARED, self.fd)

    def close(self):
        super().close()
        os.close(self.fd)
