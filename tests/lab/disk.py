# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""File systems to map files of: ext4 on a file, ext4 with DAX on memory that the
kernel was told to take for persistent, tmpfs, hugetlbfs."""

import fcntl
import os
import struct
import subprocess
import tempfile
import time

import pytest

from lab.command import run
from lab.mapping import MIB, read_file, write_file


# EXT4_IOC_SHUTDOWN, and what it is told: not to write the journal either.
SHUTDOWN, NO_LOG = 0x8004587d, struct.pack("I", 2)


class FileSystem:
    """A file system of its own, mounted while a `with` lasts."""

    def __enter__(self):
        self.path = tempfile.mkdtemp()
        self.make()
        self.mount()
        return self

    def make(self):
        """What it is on."""

    def stop(self):
        """As a power cut does: of what is not on the storage by now, nothing will be.
        Nothing can be read or written any more."""
        place = os.open(self.path, os.O_RDONLY)
        fcntl.ioctl(place, SHUTDOWN, NO_LOG)
        os.close(place)

    def mount_again(self):
        """When no file is open or mapped."""
        run("umount", self.path)
        self.mount()

    def __exit__(self, *exc):
        run("umount", self.path)
        os.rmdir(self.path)

    def file(self, size):
        """The file descriptor of a file of zeroes that has no name."""
        with tempfile.NamedTemporaryFile(dir=self.path) as made:
            os.truncate(made.fileno(), size)
            return os.dup(made.fileno())


BLOCK, INODES, BLOCKS = 4096, 64, 8192


def make_ext4(path):
    """An empty ext4 of 32 MiB: what mkfs.ext4 does, which not every machine has.
    One block group, no journal, files in extents."""
    table, root = 4, 4 + INODES * 256 // BLOCK
    used = root + 1
    now = int(time.time())
    image = bytearray(used * BLOCK)
    struct.pack_into("<13I6H4I", image, 1024, INODES, BLOCKS, 0, BLOCKS - used,
                     INODES - 10, 0, 2, 2, 32768, 32768, INODES, now, now,
                     0, 0xffff, 0xef53, 1, 1, 0, now, 0, 0, 1)
    # first free inode, inode size, no group, features: file types and extents
    struct.pack_into("<IHH3I", image, 1024 + 84, 11, 256, 0, 0, 0x42, 0)
    image[1024 + 104:1024 + 120] = os.urandom(16)
    struct.pack_into("<3I3H", image, BLOCK, 2, 3, table, BLOCKS - used, INODES - 10, 1)
    image[2 * BLOCK:3 * BLOCK] = bitmap(used, BLOCKS)
    image[3 * BLOCK:4 * BLOCK] = bitmap(10, INODES)
    struct.pack_into("<2H5I2H3I", image, table * BLOCK + 256, 0o40755, 0, BLOCK, now,
                     now, now, 0, 0, 2, BLOCK // 512, 0, 0)
    struct.pack_into("<I", image, table * BLOCK + 256 + 40, root)
    struct.pack_into("<H", image, table * BLOCK + 256 + 128, 32)
    struct.pack_into("<IHBB4sIHBB4s", image, root * BLOCK, 2, 12, 1, 2, b".",
                     2, BLOCK - 12, 2, 2, b"..")
    with open(path, "r+b") as device:
        device.write(image)


def bitmap(used, size):
    """A block of bits: the used ones set, and those that nothing stands for."""
    bits = (1 << used) - 1 | (1 << 8 * BLOCK) - (1 << size)
    return bits.to_bytes(BLOCK, "little")


class Ext4(FileSystem):
    """On a loop device over a file in memory."""

    def make(self):
        for module in ("loop", "ext4"):
            subprocess.run(["modprobe", "-q", module], check=False)
        self.image = tempfile.NamedTemporaryFile(dir="/tmp")
        os.truncate(self.image.fileno(), BLOCKS * BLOCK)
        make_ext4(self.image.name)

    def mount(self):
        run("mount", "-o", "loop", "-t", "ext4", self.image.name, self.path)

    def __exit__(self, *exc):
        super().__exit__(*exc)
        self.image.close()


class Dax(FileSystem):
    """On /dev/pmem0: boot with memmap=64M!1G."""

    def make(self):
        for module in ("nd_e820", "nd_pmem", "ext4"):
            subprocess.run(["modprobe", "-q", module], check=False)
        if not os.path.exists("/dev/pmem0"):
            pytest.skip("no persistent memory; boot with memmap=64M!1G")
        make_ext4("/dev/pmem0")

    def mount(self):
        run("mount", "-t", "ext4", "-o", "dax=always", "/dev/pmem0", self.path)


class Tmpfs(FileSystem):
    def mount(self):
        run("mount", "-t", "tmpfs", "none", self.path)


class Hugetlbfs(FileSystem):
    def mount(self):
        huge_pages(8)
        run("mount", "-t", "hugetlbfs", "none", self.path)


def huge_pages(number):
    """Reserve at least so many pages of 2 MiB."""
    path = "/proc/sys/vm/nr_hugepages"
    if int(read_file(path)) < number:
        write_file(path, number)


def reserved_memory():
    """Where a MiB of memory is that the kernel was told to leave alone (memmap=1M$...),
    or None: to programs it is a device's."""
    for line in read_file("/proc/iomem").splitlines():
        start, end = (int(number, 16) for number in line.split(" : ")[0].split("-"))
        if "Reserved" in line and end - start + 1 == MIB and start >= 1 << 30:
            return start
    return None
