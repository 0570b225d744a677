# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Disks by NVMe over RDMA, with both ends in this kernel, and rdma_rxe as either.

        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        nvme-rdma                         nvmet-rdma
        to 10.1.0.2: va                   to 10.1.0.1: vb
"""

import os
import subprocess

import pytest

from lab import crossed, net, nvme
from lab.machine import KERNEL
from lab.mapping import MIB, read_file

# fio does, for its direct I/O, and so does rdma_rxe.
pytestmark = pytest.mark.pins


@pytest.fixture(scope="module", params=crossed.ENDS, ids="-".join)
def pair(request):
    if request.param[0] == "rxe" and KERNEL < (6, 2):
        pytest.skip("rdma_rxe of 6.1 registers again what it has to send again, and gives up")
    with crossed.crossed(request.param) as made:
        yield made


@pytest.fixture
def no_object_left():
    """Instead of the one for all: storage lets go of its objects in its own time, and
    nvmet keeps its listener until the module goes."""


@pytest.fixture
def disk():
    with nvme.null_disk(256) as made:
        yield made


def fio(device, size, jobs=4, seconds=None):
    """Write and verify; returns fio's process, not waited for."""
    limit = ["--time_based", f"--runtime={seconds}"] if seconds else []
    return subprocess.Popen(
        ["fio", "--name=verify", f"--filename={device}", "--rw=randwrite", "--direct=1",
         "--bsrange=4k-128k", f"--size={size // jobs}", "--offset_increment=" +
         str(size // jobs), f"--numjobs={jobs}", "--iodepth=16", "--ioengine=libaio",
         "--verify=crc32c", "--verify_fatal=1", "--group_reporting", *limit],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process, timeout=300):
    said, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, said


def test_disk(pair, disk):
    """Connect with several queues, write and verify, disconnect; and again."""
    with nvme.Target(pair.b.ipv4, disk) as target:
        for _ in range(2):
            device = target.connect(pair.a.ipv4)
            finish(fio(device, 64 * MIB))
            target.disconnect()


@pytest.mark.slow
def test_disk_in_a_file(pair, tmp_path):
    backing = tmp_path / "disk"
    with open(backing, "wb") as file:
        file.truncate(64 * MIB)
    with nvme.Target(pair.b.ipv4, str(backing)) as target:
        device = target.connect(pair.a.ipv4)
        finish(fio(device, 32 * MIB))
        target.disconnect()


@pytest.mark.slow
def test_disk_by_ipv6(pair, disk):
    with nvme.Target(pair.b.ipv6, disk) as target:
        device = target.connect(pair.a.ipv6)
        finish(fio(device, 32 * MIB))
        target.disconnect()


def begin_to_write(device, disk, seconds):
    load = fio(device, 64 * MIB, seconds=seconds)
    net.wait_for(lambda: written(disk) > MIB, 30, "some writes")
    return load


@pytest.mark.slow
def test_initiators_link_goes_under_load(pair, disk):
    """The link is removed while the disk is written to, which ends the controller (as
    nvme-rdma has it), and added again: the same target can be connected to."""
    link_type = pair.a.link.type
    with nvme.Target(pair.b.ipv4, disk) as target:
        device = target.connect(pair.a.ipv4)
        load = begin_to_write(device, disk, 60)
        pair.a.link.delete()
        pair.a.add_link(link_type).gid_index(pair.a.ipv4)
        load.communicate(timeout=180)
        net.wait_for(lambda: not nvme.controllers(), 60, "the controller's end")
        device = target.connect(pair.a.ipv4)
        finish(fio(device, 16 * MIB))
        target.disconnect()


@pytest.mark.slow
def test_targets_link_goes_under_load(pair, disk):
    """The link is removed while the disk is written to, and added again: the controller
    finds its way back by itself, and nobody who writes has noticed."""
    link_type = pair.b.link.type
    with nvme.Target(pair.b.ipv4, disk, everywhere=True) as target:
        device = target.connect(pair.a.ipv4, ctrl_loss_tmo=120, reconnect_delay=1)
        controller, = nvme.controllers()
        load = begin_to_write(device, disk, 20)
        pair.b.link.delete()
        net.wait_for(lambda: nvme.state(controller) == "connecting", 60, "the loss")
        pair.b.add_link(link_type).gid_index(pair.b.ipv4)
        net.wait_for(lambda: nvme.state(controller) == "live", 60, "the way back")
        finish(load)
        finish(fio(device, 16 * MIB))
        target.disconnect()


def written(device):
    """Bytes that a block device has been given."""
    return int(read_file(f"/sys/block/{os.path.basename(device)}/stat").split()[6]) * 512
