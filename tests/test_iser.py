# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Disks by iSCSI over RDMA, with both ends in this kernel.

        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        iser                              isert
        to 10.1.0.2: va                   to 10.1.0.1: vb
"""

import pytest

from lab import crossed, iser, kinds
from lab.mapping import MIB
from lab.rc import counters

from test_nvme import finish, fio

# fio does, for its direct I/O.
pytestmark = [pytest.mark.pins, pytest.mark.urxe_only("with rdma_rxe it is as good as it is")]


@pytest.fixture(scope="module")
def pair():
    if not kinds.made_by("ib_isert"):
        pytest.skip("this kernel has no iSER")
    with crossed.crossed(("urxe", "urxe")) as made:
        yield made


@pytest.fixture
def no_object_left():
    """Instead of the one for all: storage lets go of its objects in its own time."""


@pytest.mark.slow
def test_disk(pair):
    """A session, write and verify, its end; and again."""
    before = counters(pair.a.link)["rx_bytes"]
    with iser.Target(pair.b.ipv4) as target, iser.daemon():
        for _ in range(2):
            with iser.session(target) as device:
                finish(fio(device, 16 * MIB))
    assert counters(pair.a.link)["rx_bytes"] - before > 32 * MIB
