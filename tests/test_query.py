# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What ibv_query_device_ex(), ibv_query_port(), `rdma` and the port itself say is what
sysfs says, and true.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
"""

import json
import sys

import pytest
from pyverbs.pyverbs_error import PyverbsError

from lab import net, resources, umad
from lab.command import run
from lab.rc import Two, counters, e, port_counters, same


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


def test_statistics(two):
    """`rdma statistic` shows what sysfs has, by the same names."""
    link = two[0].end.link
    shown, = json.loads(run("rdma", "-j", "statistic", "show", "link", f"{link.name}/1"))
    assert (shown.pop("ifname"), shown.pop("port")) == (link.name, 1)
    assert shown == counters(link)


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


def test_port_counters(pair, link_type):
    """The performance class counts what the link's own counters do, with data in words
    of 32 bits: in sysfs, and in the answer to a peer's datagram."""
    if link_type != "urxe":
        pytest.skip("rdma_rxe has no such counters")
    with Two(pair, ipv6=True) as (a, b):
        link, peer = b.end.link, b.identity()
        before = port_counters(link)
        for _ in range(10):
            a.post(e.IBV_WR_RDMA_WRITE, 0, 1000, peer)
        a.poll(10)
        now, own = port_counters(link), counters(link)
        assert now["port_rcv_packets"] - before["port_rcv_packets"] >= 10
        assert now["port_rcv_data"] - before["port_rcv_data"] >= 10 * 1000 // 4
        assert now["port_xmit_packets"] > before["port_xmit_packets"]
        for name, short in (("port_xmit", "tx"), ("port_rcv", "rx")):
            assert now[f"{name}_packets"] == own[f"{short}_packets"]
            assert now[f"{name}_data"] == own[f"{short}_bytes"] // 4
        way = a.end.link, a.end.link.gid_index(a.address), peer.gid
        told, after = umad.port_counters(*way), port_counters(link)
        for name, value in told.items():
            assert now[name] <= value <= after[name], name
        # The question itself is a packet.
        assert told["port_rcv_packets"] > now["port_rcv_packets"]
        assert umad.ask(*way, umad.CLASS_INFO)[0] == 0
        assert umad.ask(*way, umad.PORT_COUNTERS, port=2)[0] == umad.BAD_VALUE
        assert umad.ask(*way, 0x77)[0] == umad.BAD_ATTRIBUTE
        # Nobody resets them.
        assert umad.ask(*way, umad.PORT_COUNTERS_EXT,
                        method=umad.SET)[0] == umad.BAD_ATTRIBUTE
        assert umad.port_counters(*way)["port_rcv_packets"] > told["port_rcv_packets"]


KINDS = {"ctx": 1, "pd": 1, "cq": 2, "qp": 1, "mr": 1, "srq": 1}


def test_objects_of_a_program(pair, link_type):
    """`rdma resource show` lists each object of this program, as often as there are such,
    and what the driver tells of it is true."""
    if link_type != "urxe":
        pytest.skip("rdma_rxe tells other things")
    with Two(pair, a={"srq": 16}, psns=(1000, 2000), mtu=512) as (a, b):
        def of_a(kind):
            return resources.listed(kind, a.end.link.name)
        for wr_id in range(3):
            a.post(e.IBV_WR_RDMA_WRITE, 0, 1000, b.identity(), wr_id=wr_id)
        for slot in range(5):
            a.post_shared(slot * 64, 64)
        net.wait_for(lambda: sum(one["drv_unread"] for one in of_a("cq")) == 3, 20,
                     "three completions that wait to be polled")
        found = {kind: of_a(kind) for kind in KINDS}
        assert {kind: len(these) for kind, these in found.items()} == KINDS
        assert not any(one["drv_overflow"] or one["drv_armed"] for one in found["cq"])
        region, = found["mr"]
        assert region["mrlen"] == a.memory.size
        assert (region["drv_memory"], region["drv_pinned_pages"]) == ("unpinned", 0)
        shared, = found["srq"]
        # From 6.7 on a driver can tell of these.
        assert shared.get("drv_posted", 5) == 5 and shared.get("drv_limit", 0) == 0
        sender, = found["qp"]
        assert (sender["lqpn"], sender["type"], sender["state"]) == (a.qp.qp_num, "RC", "RTS")
        # Two packets each.
        assert {name: sender[f"drv_{name}"] for name in (
            "mtu", "req_psn", "req_send_psn", "req_una_psn", "req_rd_atomic")} == {
            "mtu": 512, "req_psn": 1006, "req_send_psn": 1006, "req_una_psn": 1006,
            "req_rd_atomic": 0}
        receiver, = resources.listed("qp", b.end.link.name)
        assert (receiver["drv_resp_psn"], receiver["drv_resp_msn"]) == (1006, 3)
        a.poll(3)
        assert sum(one["drv_unread"] for one in of_a("cq")) == 0
