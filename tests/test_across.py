# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Bytes cross every kind of network device, as they were sent.

        namespace A                                               namespace B
        10.7.0.1, fd07::1                                   10.7.0.2, fd07::2
        link a on a VLAN, macvlan, bridge, bond       link b on another of these
                       on va ------- veth ------- vb

        namespace tun1                                         namespace tun2
        10.5.0.1, fd05::1                                   10.5.0.2, fd05::2
        link a on a tun device ------ lab.cable ------ link b on a tun device

        namespace virtio                                  the first namespace
        10.4.0.1, fd04::1                                   10.4.0.2, fd04::2
        link a on a virtio-net device -- cable -- link b on a virtio-net device

        127.0.0.1, ::1
        link on lo
"""

import pytest

import test_data

from lab import kinds
from lab.marks import slow


pytestmark = pytest.mark.urxe_only("rdma_rxe has links on few of these")


@pytest.fixture(scope="module", params=(
    "vlan", slow("macvlan"), slow("bridge"), slow("bond"), slow("tun"), "virtio",
    slow("loopback")))
def pair(request, link_type):
    with kinds.joined(request.param, link_type) as made:
        yield made


@pytest.mark.parametrize("ipv6, mtu", ((False, 1024), slow(True, 4096)), ids=("ipv4", "ipv6"))
@test_data.each_transfer
def test_bytes(pair, transfer, ipv6, mtu):
    """Each with its own way to GIDs, routes, headroom, segmentation and merging."""
    transfer(pair, mtu, ipv6)
