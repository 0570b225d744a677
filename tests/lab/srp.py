# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""SCSI over RDMA (SRP): the kernel's target and its initiator, which meet by rdma_cm."""

import contextlib
import glob
import os

from lab import lio, net
from lab.mapping import read_file, write_file

MODULES = ("ib_srp", "ib_srpt")
PORT = 5555


# Nothing has to run for it.
initiator = contextlib.nullcontext


def first_gid(end):
    return read_file(f"{end.link.port}/gids/0").strip().replace(":", "")


class Target(lio.Target):
    """One disk at an end, for an initiator at another."""

    def __init__(self, end, guest):
        # A port goes by its first GID, an initiator by what follows the prefix.
        port = f"0x{first_gid(end)}"
        super().__init__(f"srpt/{port}/{port}", MODULES)
        self.where = f"{end.ipv4}:{PORT}"
        self.acl = f"{self.group}/acls/0x{first_gid(guest)[16:]:0>32}"

    def open_doors(self):
        write_file(f"{lio.ROOT}/srpt/discovery_auth/rdma_cm_port", PORT)
        os.makedirs(f"{self.acl}/lun_0")
        os.symlink(self.lun, f"{self.acl}/lun_0/lun")

    def close_doors(self):
        os.unlink(f"{self.acl}/lun_0/lun")
        os.rmdir(f"{self.acl}/lun_0")
        os.rmdir(self.acl)

    def login(self):
        """What an initiator has to say."""
        guid = read_file("/sys/module/ib_srpt/parameters/srpt_service_guid").strip()
        guid = guid.removeprefix("0x").zfill(16)
        return f"id_ext={guid},ioc_guid={guid},dest={self.where}"


def log_in(end, words):
    """False while a session of before is not quite gone."""
    path = f"/sys/class/infiniband_srp/srp-{end.link.name}-1/add_target"
    # Without a buffer, which would be written once more when it is closed, unseen.
    with open(path, "wb", buffering=0) as file:
        try:
            file.write(words.encode())
        except FileExistsError:
            return False
    return True


@contextlib.contextmanager
def session(target, end):
    """A session of the end's with the target; the block device that appears."""
    before = lio.disks()
    net.wait_for(lambda: log_in(end, target.login()), 20, "a session")
    try:
        yield net.wait_for(lambda: next(iter(lio.disks() - before), None), 20, "a disk")
    finally:
        for port in glob.glob("/sys/class/srp_remote_ports/port-*/delete"):
            write_file(port, 1)
        net.wait_for(lambda: not lio.disks() - before, 20, "the disk's end")
