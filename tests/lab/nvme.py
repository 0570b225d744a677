# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""NVMe over RDMA: a target, what is behind it, and connections to it."""

import contextlib
import os
import re

from lab import net
from lab.command import run
from lab.mapping import read_file, write_file


def configfs():
    """Where both the target and the null disk are made."""
    if not os.path.ismount("/sys/kernel/config"):
        run("modprobe", "configfs", check=False)
        run("mount", "-t", "configfs", "configfs", "/sys/kernel/config")


NVMET = "/sys/kernel/config/nvmet"
PORT = 4420


class Target:
    """An NVMe subsystem with one namespace on a block device or a file, listening at
    an address, or at all addresses of the family, for as long as a `with` lasts."""

    def __init__(self, address, backing, name="urxe-test", everywhere=False):
        self.address, self.backing, self.name = address, backing, name
        self.family = "ipv6" if ":" in address else "ipv4"
        anywhere = "::" if self.family == "ipv6" else "0.0.0.0"
        self.listens_at = anywhere if everywhere else address
        self.subsystem = f"{NVMET}/subsystems/{name}"
        self.port = f"{NVMET}/ports/1"

    def __enter__(self):
        configfs()
        run("modprobe", "-a", "nvmet", "nvmet-rdma", "nvme-rdma")
        try:
            self.set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def set_up(self):
        os.mkdir(self.subsystem)
        write_file(f"{self.subsystem}/attr_allow_any_host", 1)
        os.mkdir(f"{self.subsystem}/namespaces/1")
        # A file of tmpfs can't be read directly before 6.6.
        if os.path.isfile(self.backing):
            write_file(f"{self.subsystem}/namespaces/1/buffered_io", 1)
        write_file(f"{self.subsystem}/namespaces/1/device_path", self.backing)
        write_file(f"{self.subsystem}/namespaces/1/enable", 1)
        os.mkdir(self.port)
        for field, value in (("trtype", "rdma"), ("adrfam", self.family),
                             ("traddr", self.listens_at), ("trsvcid", PORT)):
            write_file(f"{self.port}/addr_{field}", value)
        os.symlink(self.subsystem, f"{self.port}/subsystems/{self.name}")

    def __exit__(self, *exc):
        with contextlib.suppress(OSError):
            os.unlink(f"{self.port}/subsystems/{self.name}")
        for directory in (self.port, f"{self.subsystem}/namespaces/1", self.subsystem):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        run("modprobe", "-r", "nvme-rdma", "nvmet-rdma")

    def connect(self, source, queues=4, **options):
        """Connect from an address; the block device that appears."""
        before = set(controllers())
        run("nvme", "connect", "-t", "rdma", "-a", self.address, "-s", str(PORT),
            "-n", self.name, "-w", source, "-i", str(queues),
            "-q", "nqn.2014-08.org.nvmexpress:uuid:8a4e0c31-4b09-4fd7-9f5c-5d2b6a3e1f00",
            *(word for name, value in options.items()
              for word in (f"--{name.replace('_', '-')}", str(value))), timeout=120)
        controller, = set(controllers()) - before
        return net.wait_for(lambda: block_device(controller), 20, f"{controller}'s disk")

    def disconnect(self):
        run("nvme", "disconnect", "-n", self.name, timeout=120)


def controllers():
    root = "/sys/class/nvme"
    return sorted(os.listdir(root)) if os.path.isdir(root) else []


def state(controller):
    """What a controller is at: live, connecting and others; None if it has gone."""
    try:
        return read_file(f"/sys/class/nvme/{controller}/state").strip()
    except OSError:
        return None


def block_device(controller):
    """The path of the namespace's block device, once it is there."""
    return next((f"/dev/{name}" for name in os.listdir("/sys/block")
                 if re.fullmatch(rf"{controller}n\d+", name) and
                 os.path.exists(f"/dev/{name}")), None)


@contextlib.contextmanager
def null_disk(megabytes):
    """A block device that remembers what was written to it."""
    configfs()
    run("modprobe", "null_blk", "nr_devices=0")
    root = "/sys/kernel/config/nullb/urxe"
    os.mkdir(root)
    for field, value in (("memory_backed", 1), ("size", megabytes), ("blocksize", 4096),
                         ("power", 1)):
        write_file(f"{root}/{field}", value)
    device = f"/dev/nullb{read_file(f'{root}/index').strip()}"
    if not os.path.exists(device):
        device = "/dev/urxe"
    try:
        yield net.wait_for(lambda: os.path.exists(device) and device, 10, device)
    finally:
        write_file(f"{root}/power", 0)
        os.rmdir(root)
        run("modprobe", "-r", "null_blk")
