# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The kernel's SCSI target: a disk of memory, offered by one of its fabrics."""

import contextlib
import os

from lab.command import run
from lab.mapping import write_file
from lab.nvme import configfs

ROOT = "/sys/kernel/config/target"
PAGES = 16384


class Target:
    """One disk, for whoever comes, for as long as a `with` lasts."""

    def __init__(self, group, modules):
        """The group is a directory of the fabric's: FABRIC/TARGET/GROUP."""
        self.disk = f"{ROOT}/core/rd_mcp_0/urxe"
        self.group = f"{ROOT}/{group}"
        self.lun = f"{self.group}/lun/lun_0"
        self.modules = modules

    def __enter__(self):
        configfs()
        run("modprobe", "-a", "sd_mod", "target_core_mod", *self.modules)
        with contextlib.ExitStack() as stack:
            stack.callback(self.take_down)
            self.set_up()
            stack.pop_all()
        return self

    def set_up(self):
        os.makedirs(self.disk)
        write_file(f"{self.disk}/control", f"rd_pages={PAGES}")
        write_file(f"{self.disk}/enable", 1)
        os.makedirs(self.group)
        os.mkdir(self.lun)
        os.symlink(self.disk, f"{self.lun}/disk")
        self.open_doors()
        write_file(f"{self.group}/enable", 1)

    def open_doors(self):
        """Let in who may come, as the fabric has it."""

    def close_doors(self):
        """Take away what open_doors() has made."""

    def take_down(self):
        with contextlib.suppress(OSError):
            write_file(f"{self.group}/enable", 0)
        with contextlib.suppress(OSError):
            self.close_doors()
        with contextlib.suppress(OSError):
            os.unlink(f"{self.lun}/disk")
        target = os.path.dirname(self.group)
        for directory in (self.lun, self.group, target,
                          os.path.dirname(target), self.disk, os.path.dirname(self.disk)):
            with contextlib.suppress(OSError):
                os.rmdir(directory)

    def __exit__(self, *exc):
        self.take_down()
        run("modprobe", "-r", *self.modules)


def disks():
    return {f"/dev/{name}" for name in os.listdir("/sys/block") if name.startswith("sd")}
