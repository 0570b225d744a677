# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""SCSI disks by RDMA, with both ends in this kernel.

        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        ib_iser, ib_srp                   ib_isert, ib_srpt
        to 10.1.0.2: va                   to 10.1.0.1: vb
"""

import pytest

from lab import crossed, iser, kinds, srp
from lab.machine import KERNEL
from lab.mapping import MIB
from lab.rc import counters

from test_nvme import finish, fio

# fio does, for its direct I/O.
pytestmark = [pytest.mark.pins, pytest.mark.urxe_only("with rdma_rxe it is as good as it is")]

FABRICS = {"iser": iser, "srp": srp}


@pytest.fixture(scope="module")
def pair():
    with crossed.crossed(("urxe", "urxe")) as made:
        yield made


@pytest.fixture
def no_object_left():
    """Instead of the one for all: storage lets go of its objects in its own time."""


@pytest.fixture(params=FABRICS)
def fabric(request):
    if request.param == "srp" and KERNEL >= (7, 0):
        pytest.skip("ib_srp of 7.2 crashes when it logs out, whatever the driver")
    if not all(map(kinds.made_by, FABRICS[request.param].MODULES)):
        pytest.skip(f"this kernel has no {request.param}")
    return FABRICS[request.param]


@pytest.mark.slow
def test_disk(pair, fabric):
    """A session, write and verify, its end; and again."""
    before = counters(pair.a.link)["rx_bytes"]
    with fabric.Target(pair.b, pair.a) as target, fabric.initiator():
        for _ in range(2):
            with fabric.session(target, pair.a) as device:
                finish(fio(device, 16 * MIB))
    assert counters(pair.a.link)["rx_bytes"] - before > 32 * MIB
