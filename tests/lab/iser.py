# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""iSCSI over RDMA: the kernel's target, a disk of memory behind it, and a session."""

import contextlib
import os
import subprocess

from lab import lio, net
from lab.command import run
from lab.mapping import write_file

TARGET, INITIATOR = "iqn.2026-01.test.urxe:target", "iqn.2026-01.test.urxe:initiator"
MODULES = ("ib_iser", "ib_isert")
PORT = 3260


class Target(lio.Target):
    """One disk at an end, for whoever comes."""

    def __init__(self, end, _):
        super().__init__(f"iscsi/{TARGET}/tpgt_1", MODULES)
        self.portal = f"{end.ipv4}:{PORT}"
        self.listener = f"{self.group}/np/{self.portal}"

    def open_doors(self):
        for name, value in (("authentication", 0), ("generate_node_acls", 1),
                            ("demo_mode_write_protect", 0)):
            write_file(f"{self.group}/attrib/{name}", value)
        os.mkdir(self.listener)
        write_file(f"{self.listener}/iser", 1)

    def close_doors(self):
        os.rmdir(self.listener)


@contextlib.contextmanager
def initiator():
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


@contextlib.contextmanager
def session(target, _):
    """A session with the target; the block device that appears."""
    node = ("iscsiadm", "-m", "node", "-T", TARGET, "-p", target.portal, "-I", "iser")
    before = lio.disks()
    net.wait_for(lambda: not subprocess.run(
        ["iscsiadm", "-m", "node", "-o", "new", "-T", TARGET, "-p", f"{target.portal},1",
         "-I", "iser"], check=False, capture_output=True).returncode, 20, "iscsid")
    run(*node, "--login", timeout=60)
    try:
        yield net.wait_for(lambda: next(iter(lio.disks() - before), None), 20, "a disk")
    finally:
        run(*node, "--logout", timeout=60)
