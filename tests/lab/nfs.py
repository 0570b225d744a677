# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""NFS over RDMA: the kernel's server, and a mount of what it gives away."""

import contextlib
import errno
import os
import subprocess

from lab import net
from lab.command import run
from lab.mapping import read_file, write_file

PORT = 20049
NFSD = "/proc/fs/nfsd"


@contextlib.contextmanager
def daemon(*argv):
    """A program that serves for as long as a `with` lasts."""
    process = subprocess.Popen(argv)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def threads():
    return int(read_file(f"{NFSD}/threads"))


def end_grace():
    """Sooner than by itself; where nobody keeps track of clients, 7.2 won't."""
    try:
        write_file(f"{NFSD}/v4_end_grace", "Y")
    except OSError as refused:
        if refused.errno != errno.EBUSY:
            raise


@contextlib.contextmanager
def nfsd():
    """The server, of version 4 only, with RDMA as well as TCP."""
    run("modprobe", "-a", "nfsd", "rpcrdma")
    if not os.path.ismount(NFSD):
        run("mount", "-t", "nfsd", "nfsd", NFSD)
    # As short as may be: who writes waits until the last run's clients had their say.
    for setting in ("nfsv4gracetime", "nfsv4leasetime"):
        write_file(f"{NFSD}/{setting}", 10)
    run("rpc.nfsd", "--no-nfs-version", "3", "8")
    try:
        write_file(f"{NFSD}/portlist", f"rdma {PORT}")
        end_grace()
        yield
    finally:
        run("rpc.nfsd", "0")
        net.wait_for(lambda: not threads(), 30, "the server's end")


@contextlib.contextmanager
def exported(directory, network):
    """A directory given away to a network, from a file system of its own."""
    run("mount", "-t", "tmpfs", "tmpfs", directory)
    run("exportfs", "-o", "rw,insecure,no_root_squash,no_subtree_check,fsid=0",
        f"{network}:{directory}")
    try:
        with daemon("rpcbind", "-f", "-w"), nfsd(), \
             daemon("rpc.mountd", "-F", "--no-nfs-version", "3"):
            yield
            run("exportfs", "-ua")
    finally:
        run("umount", directory)


@contextlib.contextmanager
def mounted(address, directory):
    """What a server gives away, mounted by way of RDMA."""
    proto = "rdma6" if ":" in address else "rdma"
    run("mount", "-t", "nfs4", "-o", f"proto={proto},port={PORT},vers=4.2,soft",
        f"{address}:/", str(directory))
    try:
        yield
    finally:
        run("umount", directory)
