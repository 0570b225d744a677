# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""iSCSI over RDMA: the kernel's target, a disk of memory behind it, and a session."""

import contextlib
import os
import subprocess

from lab import net
from lab.command import run
from lab.mapping import write_file
from lab.nvme import configfs

ROOT = "/sys/kernel/config/target"
TARGET, INITIATOR = "iqn.2026-01.test.urxe:target", "iqn.2026-01.test.urxe:initiator"
MODULES = ("ib_iser", "ib_isert")
PORT = 3260
PAGES = 16384


class Target:
    """One disk, for whoever comes to an address, for as long as a `with` lasts."""

    def __init__(self, address):
        self.portal = f"{address}:{PORT}"
        self.disk = f"{ROOT}/core/rd_mcp_0/urxe"
        self.group = f"{ROOT}/iscsi/{TARGET}/tpgt_1"
        self.lun = f"{self.group}/lun/lun_0"
        self.listener = f"{self.group}/np/{self.portal}"

    def __enter__(self):
        configfs()
        run("modprobe", "-a", "sd_mod", "target_core_mod", "iscsi_target_mod", *MODULES)
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
        for name, value in (("authentication", 0), ("generate_node_acls", 1),
                            ("demo_mode_write_protect", 0)):
            write_file(f"{self.group}/attrib/{name}", value)
        os.mkdir(self.lun)
        os.symlink(self.disk, f"{self.lun}/disk")
        os.mkdir(self.listener)
        write_file(f"{self.listener}/iser", 1)
        write_file(f"{self.group}/enable", 1)

    def take_down(self):
        with contextlib.suppress(OSError):
            write_file(f"{self.group}/enable", 0)
        with contextlib.suppress(OSError):
            os.unlink(f"{self.lun}/disk")
        for directory in (self.listener, self.lun, self.group, os.path.dirname(self.group),
                          f"{ROOT}/iscsi", self.disk, os.path.dirname(self.disk)):
            with contextlib.suppress(OSError):
                os.rmdir(directory)

    def __exit__(self, *exc):
        self.take_down()
        run("modprobe", "-r", *MODULES)


@contextlib.contextmanager
def daemon():
    """What opens sessions for iscsiadm."""
    os.makedirs("/run/lock/iscsi", exist_ok=True)
    with open("/etc/iscsi/initiatorname.iscsi", "w", encoding="ascii") as file:
        file.write(f"InitiatorName={INITIATOR}\n")
    # It takes its process group along when it ends.
    with subprocess.Popen(["iscsid", "-f"], stderr=subprocess.DEVNULL,
                          start_new_session=True) as process:
        try:
            yield
        finally:
            process.terminate()


def disks():
    return {f"/dev/{name}" for name in os.listdir("/sys/block") if name.startswith("sd")}


@contextlib.contextmanager
def session(target):
    """A session with the target; the block device that appears."""
    node = ("iscsiadm", "-m", "node", "-T", TARGET, "-p", target.portal, "-I", "iser")
    before = disks()
    net.wait_for(lambda: not subprocess.run(
        ["iscsiadm", "-m", "node", "-o", "new", "-T", TARGET, "-p", f"{target.portal},1",
         "-I", "iser"], check=False, capture_output=True).returncode, 20, "iscsid")
    run(*node, "--login", timeout=60)
    try:
        yield net.wait_for(lambda: next(iter(disks() - before), None), 20, "a disk")
    finally:
        run(*node, "--logout", timeout=60)
