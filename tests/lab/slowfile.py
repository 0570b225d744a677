# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A file whose bytes come when we say so: a FUSE file system of one file, in a child
process, by the protocol of <linux/fuse.h>."""

import ctypes
import os
import select
import struct
import subprocess
import tempfile
import time

from lab.mapping import Child, check, libc, noise

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, INIT, BATCH_FORGET, INTERRUPT = (
    1, 2, 3, 14, 15, 18, 26, 42, 36)
ASYNC_READ = 1
ROOT, FILE = 1, 2
EIO, ENOSYS = 5, 38


def attributes(node, size):
    mode = 0o40755 if node == ROOT else 0o100644
    return struct.pack("<6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0,
                       4096, 0)


class Server:
    """Answers the kernel; keeps reads waiting until told to go, or, if there is such a
    thing, until they fail after so many seconds."""

    def __init__(self, child, device, size, fails_after):
        self.child, self.device, self.size = child, device, size
        self.fails_after = fails_after
        self.held, self.going = [], False

    def reply(self, unique, data=b"", error=0):
        os.write(self.device, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)

    def serve(self):
        while True:
            ready, _, _ = select.select([self.device, self.child.go_r], [], [])
            if self.child.go_r in ready:
                self.child.wait_go()
                self.going = True
                for unique, offset, length in self.held:
                    self.read(unique, offset, length)
            if self.device in ready:
                try:
                    request = os.read(self.device, 1 << 18)
                except OSError:
                    return      # unmounted
                self.answer(request)

    def answer(self, request):
        _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        if opcode == INIT:
            # version 7.31; read ahead in the background, as every library has it
            self.reply(unique, struct.pack("<4I2H2I2H8I", 7, 31, 1 << 16, ASYNC_READ,
                                           12, 9,
                                           1 << 16, 1, 0, 0, *[0] * 8))
        elif opcode == LOOKUP:
            self.reply(unique, struct.pack("<4Q2I", FILE, 0, 60, 60, 0, 0) +
                       attributes(FILE, self.size))
        elif opcode == GETATTR:
            self.reply(unique, struct.pack("<Q2I", 60, 0, 0) +
                       attributes(node, self.size))
        elif opcode == OPEN:
            self.reply(unique, struct.pack("<Q2I", 0, 0, 0))
        elif opcode == READ:
            offset, length = struct.unpack_from("<QI", request, 48)
            self.read(unique, offset, length)
        elif opcode not in (FORGET, BATCH_FORGET, INTERRUPT):
            self.reply(unique, error=0 if opcode == RELEASE else ENOSYS)

    def read(self, unique, offset, length):
        if self.fails_after:
            time.sleep(self.fails_after)
            self.reply(unique, error=EIO)
            return
        if self.going:
            self.reply(unique, noise(self.size)[offset:offset + length])
            return
        if not self.held:
            self.child.say()
        self.held.append((unique, offset, length))


class SlowFile:
    """While a `with` lasts: .fd is the file of noise(size). wait() until somebody
    waits for its bytes, answer() lets all of them come. With `fails_after` seconds none
    come, ever."""

    def __init__(self, size, fails_after=None):
        self.size, self.fails_after = size, fails_after

    def __enter__(self):
        subprocess.run(["modprobe", "-q", "fuse"], check=False)
        self.path = tempfile.mkdtemp()
        device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
        check(libc.mount(b"slow", self.path.encode(), b"fuse", ctypes.c_ulong(0),
                         options.encode()))
        self.child = Child(lambda child: Server(child, device, self.size,
                                                self.fails_after).serve())
        os.close(device)
        self.fd = os.open(f"{self.path}/file", os.O_RDONLY)
        return self

    def wait(self):
        self.child.listen()

    def answer(self):
        self.child.go()

    def __exit__(self, *exc):
        os.close(self.fd)
        self.child.kill()
        check(libc.umount2(self.path.encode(), 2))
        os.rmdir(self.path)
