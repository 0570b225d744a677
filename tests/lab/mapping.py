# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Memory, and all that its owner can do to it: mappings of every sort, children,
swap, userfaultfd."""

import ctypes
import mmap
import os
import random
import select
import signal
import struct
import time

from lab.command import run

PAGE = mmap.PAGESIZE
MIB = 1 << 20
GIB = 1 << 30

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                      ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t,
                        ctypes.c_int, ctypes.c_void_p]
libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]

PROT_NONE, PROT_READ, RW = 0, mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE
SHARED, PRIVATE = mmap.MAP_SHARED, mmap.MAP_PRIVATE
ANON = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
MAP_FIXED, MAP_GROWSDOWN, MAP_NORESERVE, MAP_HUGETLB = 0x10, 0x100, 0x4000, 0x40000
MREMAP_MAYMOVE, MREMAP_FIXED = 1, 2
(MADV_DONTNEED, MADV_FREE, MADV_MERGEABLE, MADV_HUGEPAGE, MADV_PAGEOUT,
 MADV_DONTNEED_LOCKED, MADV_COLLAPSE, MADV_SOFT_OFFLINE) = 4, 8, 12, 14, 21, 24, 25, 101


def check(result):
    """The result of a libc call, or the OSError it stands for."""
    if result in (-1, ctypes.c_void_p(-1).value):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def noise(length, seed=1):
    return random.Random(seed).randbytes(length)


def write_file(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(str(text))


def read_file(path):
    with open(path, encoding="ascii") as file:
        return file.read()


class Mapping:
    """A mapping of this process. Its slices are bytes, as those of a mmap are."""

    def __init__(self, length=16 * PAGE, prot=RW, flags=ANON, fd=-1, addr=None,
                 offset=0):
        if addr:
            flags |= MAP_FIXED
        self.length = length
        self.addr = check(libc.mmap(addr, length, prot, flags, fd, offset))

    # What regions are made of, see lab.verbs.Memory.
    size = property(lambda self: self.length)
    address = property(lambda self: self.addr)

    def __getitem__(self, key):
        return self.peek(key.start or 0, (key.stop or self.length) - (key.start or 0))

    def __setitem__(self, key, data):
        self.poke(data, key.start or 0)

    def close(self):
        check(libc.munmap(self.addr, self.length))

    def unmap(self, off=0, length=None):
        check(libc.munmap(self.addr + off, length or self.length - off))

    def protect(self, prot, off=0, length=None):
        check(libc.mprotect(self.addr + off, length or self.length - off, prot))

    def advise(self, advice, off=0, length=None):
        check(libc.madvise(self.addr + off, length or self.length - off, advice))

    def move(self, addr=None):
        flags = MREMAP_MAYMOVE | (MREMAP_FIXED if addr else 0)
        self.addr = check(libc.mremap(self.addr, self.length, self.length,
                                      flags, addr))

    def peek(self, off=0, length=None):
        return ctypes.string_at(self.addr + off, length or self.length - off)

    def poke(self, data, off=0):
        ctypes.memmove(self.addr + off, data, len(data))

    def pagemap(self, off=0):
        with open("/proc/self/pagemap", "rb", buffering=0) as f:
            f.seek((self.addr + off) // PAGE * 8)
            return struct.unpack("Q", f.read(8))[0]

    def present(self, off=0):
        return bool(self.pagemap(off) >> 63)

    def swapped(self, off=0):
        return bool(self.pagemap(off) >> 62 & 1)

    def frame(self, off=0):
        """The number of the page frame."""
        return self.pagemap(off) & (1 << 55) - 1

    def page_out(self):
        """Have the kernel write all of it to swap."""
        for _ in range(20):
            # pages that another processor has just brought in are on its own list
            write_file("/proc/sys/vm/compact_memory", 1)
            self.advise(MADV_PAGEOUT)
            if all(self.swapped(off) for off in range(0, self.length, PAGE)):
                return
            time.sleep(0.1)
        raise TimeoutError("pages do not leave")


class Swap:
    """Swap on compressed memory, while a `with` lasts."""

    def __init__(self, size="256M"):
        self.size = size

    def __enter__(self):
        run("modprobe", "zram", "num_devices=1")
        write_file("/sys/block/zram0/disksize", self.size)
        run("mkswap", "/dev/zram0")
        run("swapon", "/dev/zram0")

    def __exit__(self, *exc):
        run("swapoff", "/dev/zram0", timeout=600)
        write_file("/sys/block/zram0/reset", 1)


class Child:
    """A forked process that runs fn(self) and must end well."""

    alive = set()

    def __init__(self, fn):
        self.go_r, self.go_w = os.pipe()
        self.said_r, self.said_w = os.pipe()
        self.pid = os.fork()
        if self.pid:
            self.alive.add(self)
            return
        status = 1
        try:
            fn(self)
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(status)

    @classmethod
    def kill_all(cls):
        """What a failed test leaves behind must not fail the next."""
        for child in list(cls.alive):
            os.kill(child.pid, signal.SIGKILL)
            child.end()

    # what the child says, and the parent waits for; and the other way round
    def say(self):
        os.write(self.said_w, b"x")

    def listen(self):
        assert select.select([self.said_r], [], [], 20)[0], "child is silent"
        assert os.read(self.said_r, 1)

    def go(self):
        os.write(self.go_w, b"x")

    def wait_go(self):
        os.read(self.go_r, 1)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        assert self.end() == -signal.SIGKILL

    def end(self):
        self.alive.remove(self)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        for fd in self.go_r, self.go_w, self.said_r, self.said_w:
            os.close(fd)
        return status


def in_child(fn):
    """Run fn() in a child process of ours, which must not raise."""
    assert Child(lambda _: fn()).end() == 0


class Uffd:
    """A userfaultfd over a mapping; nobody answers unless told."""

    def __init__(self, m, off=0, length=None):
        self.fd = check(libc.syscall(323, os.O_CLOEXEC | os.O_NONBLOCK))
        self.call(0xC018AA3F, struct.pack("QQQ", 0xAA, 0, 0))
        self.call(0xC020AA00, struct.pack("QQQQ", m.addr + off,
                                          length or m.length - off, 1, 0))

    def call(self, cmd, data):
        check(libc.ioctl(self.fd, cmd, ctypes.create_string_buffer(data,
                                                                   len(data))))

    def wait(self):
        assert select.select([self.fd], [], [], 20)[0], "nobody faulted"
        return struct.unpack_from("Q", os.read(self.fd, 32), 16)[0]

    def answer(self, addr, data):
        page = ctypes.create_string_buffer(data, 2 * PAGE)
        # the source may be anywhere, the destination is a page
        self.call(0xC028AA03, struct.pack("QQQQq", addr, ctypes.addressof(page),
                                          PAGE, 0, 0))

    def close(self):
        os.close(self.fd)
