# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What ibv_query_device_ex() and ibv_query_port() say is what sysfs says, and true.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
"""

import sys

import pytest
from pyverbs.pyverbs_error import PyverbsError

from lab.rc import Two, e, same


@pytest.fixture
def two(pair):
    """Two nodes that are not connected."""
    with Two(pair, connect=False) as nodes:
        yield nodes


def sysfs(node, name):
    with open(f"/sys/class/infiniband/{node.end.link.name}/{name}", encoding="ascii") as file:
        return file.read().strip()


def test_device(two):
    """Who it is, what it is, and what it has."""
    device = two[0].context.query_device()
    firmware = device.fw_version
    firmware = firmware if isinstance(firmware, str) else firmware.decode()
    assert firmware.strip("\0") == sysfs(two[0], "fw_ver")
    # As numbers these are in the order of the network.
    for name in ("node_guid", "sys_image_guid"):
        shown = bytes.fromhex(sysfs(two[0], name).replace(":", ""))
        value = getattr(device, name)
        if isinstance(value, int):
            assert value.to_bytes(8, sys.byteorder) == shown
        else:
            assert bytes.fromhex(value.replace(":", "")) == shown
    assert device.vendor_id not in (0, 0xffffff)
    assert device.phys_port_cnt == 1 and device.max_pkeys == 1
    assert device.atomic_caps == e.IBV_ATOMIC_GLOB
    assert device.max_qp_rd_atom == device.max_qp_init_rd_atom
    assert device.max_res_rd_atom == device.max_qp_rd_atom * device.max_qp


def test_device_ex(two):
    """The longer answer begins with the shorter one; nothing is claimed that needs
    hardware."""
    context = two[0].context
    short, long = context.query_device(), context.query_device_ex()
    assert long.device_cap_flags_ex & 0xffffffff == short.device_cap_flags & 0xffffffff
    assert long.max_dm_size == long.completion_timestamp_mask == long.hca_core_clock == 0
    assert long.tso_caps.max_tso == 0 and long.raw_packet_caps == 0
    assert long.tm_caps.max_num_tags == 0
    assert long.rss_caps.supported_qpts == 0 and long.max_wq_type_rq == 0


def test_port(two):
    """The port is as wide, as fast and as large as the network device says."""
    node = two[0]
    port = node.context.query_port(1)
    assert port.state == e.IBV_PORT_ACTIVE and port.phys_state == 5
    assert port.link_layer == e.IBV_LINK_LAYER_ETHERNET
    assert port.max_mtu == e.IBV_MTU_4096 and port.active_mtu == e.IBV_MTU_1024
    assert port.max_msg_sz == 1 << 31
    assert (port.lid, port.sm_lid, port.lmc) == (0, 0, 0)
    assert port.pkey_tbl_len == 1 and sysfs(node, "ports/1/pkeys/0") == "0xffff"
    widths, speeds = {1: 1, 2: 4, 4: 8, 8: 12}, {1: 2.5, 2: 5, 4: 10, 32: 25}
    # A veth says it has 10 Gb/s.
    assert widths[port.active_width] * speeds[port.active_speed] == 10
    known = {str(node.context.query_gid(1, index)) for index in range(port.gid_tbl_len)}
    assert len(known) > 2
    with pytest.raises(PyverbsError):
        node.context.query_gid(1, port.gid_tbl_len)


def test_outstanding_reads(two):
    """As many as the device says, in both directions; and not one more."""
    a, b = two
    most = a.context.query_device().max_qp_rd_atom
    for reads in (most + 1, most):
        if reads > most:
            with pytest.raises(PyverbsError):
                a.connect(b.identity(), reads=reads)
            a.reset()
            continue
        a.connect(b.identity(), reads=reads)
        b.connect(a.identity(), reads=reads)
    peer = b.identity()
    b.memory[0:64] = bytes(range(64))
    for slot in range(64):
        a.post(e.IBV_WR_RDMA_READ, slot, 1, peer, slot)
    a.poll(64)
    assert same(a.memory[0:64], bytes(range(64)))
