# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Disks by SCSI over RDMA, with both ends in this kernel.

        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        ib_srp                            ib_srpt
        to 10.1.0.2: va                   to 10.1.0.1: vb
"""

import pytest

from lab import crossed, kinds, srp
from lab.machine import KERNEL
from lab.mapping import MIB
from lab.rc import counters

from test_nvme import finish, fio

# fio does, for its direct I/O.
pytestmark = [pytest.mark.pins, pytest.mark.urxe_only("with rdma_rxe it is as good as it is")]


@pytest.fixture(scope="module")
def pair():
    if not kinds.made_by("ib_srpt"):
        pytest.skip("this kernel has no SRP")
    if KERNEL >= (7, 0):
        pytest.skip("ib_srp of 7.2 crashes when it logs out, whatever the driver")
    with crossed.crossed(("urxe", "urxe")) as made:
        yield made


@pytest.fixture
def no_object_left():
    """Instead of the one for all: storage lets go of its objects in its own time."""


@pytest.mark.slow
def test_disk(pair):
    """A session, write and verify, its end; and again."""
    before = counters(pair.a.link)["rx_bytes"]
    with srp.Target(pair.b, pair.a) as target:
        for _ in range(2):
            with srp.session(target, pair.a) as device:
                finish(fio(device, 16 * MIB))
    assert counters(pair.a.link)["rx_bytes"] - before > 32 * MIB
