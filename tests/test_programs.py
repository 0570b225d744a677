# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The examples of libibverbs, and qperf.

        namespace A                       namespace B
        10.1.0.1, fd01::1                 10.1.0.2, fd01::2
        link a on va ------- veth ------- vb with link b
        client                            server
"""

import subprocess

import pytest

from lab import suite
from lab.marks import slow, slow_but
from lab.programs import pair_up

PINGPONG_PORT = 18515
QPERF_PORT = 19765
QPERF_TESTS = ("rc_bw", "rc_bi_bw", "rc_lat", "rc_rdma_read_bw", "rc_rdma_read_lat",
               "rc_rdma_write_bw", "rc_rdma_write_lat", "rc_rdma_write_poll_lat",
               "rc_compare_swap_mr", "rc_fetch_add_mr")
QPERF = QPERF_TESTS, ("ver_rc_compare_swap", "ver_rc_fetch_add")
QPERF_IDS = "rc", "ver"
QPERF_BY_LID = ("uc_bw", "uc_lat", "uc_rdma_write_bw", "ud_bw", "ud_lat")


def pingpong(pair, program, indices, *options):
    """Both ends, each with one of the indices of GIDs; what they said."""
    a, b = ([program, "-d", end.link.name, "-g", index, *options]
            for end, index in zip(pair.ends, indices))
    said = pair_up(pair, b, [*a, pair.b.ipv4], tcp_port=PINGPONG_PORT)
    assert all("iters in" in words for words in said)
    return said


@pytest.mark.parametrize("ipv6", (False, slow(True)),
                         ids=("ipv4", "ipv6"))
@pytest.mark.parametrize("program, options", (
    ("ibv_rc_pingpong", ()), ("ibv_rc_pingpong", ("-e", "-s", 70000)),
    ("ibv_rc_pingpong", ("-o", "-c")), ("ibv_rc_pingpong", ("-N", "-c")),
    slow("ibv_rc_pingpong", ("-N", "-e")), slow("ibv_rc_pingpong", ("-O", "-c")),
    ("ibv_uc_pingpong", ()), ("ibv_uc_pingpong", ("-e",)),
    ("ibv_ud_pingpong", ("-s", 1000)), ("ibv_ud_pingpong", ("-s", 1000, "-e")),
    ("ibv_srq_pingpong", ()), ("ibv_srq_pingpong", ("-e", "-q", 5))))
def test_pingpong(pair, program, options, ipv6):
    indices = [end.link.gid_index(end.ipv6 if ipv6 else end.ipv4) for end in pair.ends]
    pingpong(pair, program, indices, "-n", 200, *options)


@pytest.mark.slow
@pytest.mark.parametrize("odp", ("-o", "-O"))
def test_prefetch(pair, odp):
    """The program goes on if it can't prefetch, and says so: as it does where the user
    library knows of no advice."""
    indices = [end.link.gid_index(end.ipv4) for end in pair.ends]
    for words in pingpong(pair, "ibv_rc_pingpong", indices, odp, "-P", "-c"):
        assert ("Couldn't prefetch" in words) == (suite.version() < 65)


def test_no_xrc(pair):
    """The user library has no XRC: who asks for it is told so."""
    argv = ["ibv_xsrq_pingpong", "-d", pair.b.link.name, "-g", 1]
    done = subprocess.run(pair.b.command(map(str, argv)), capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 1 and "Couldn't Open the XRC Domain" in done.stderr


def test_first_gid(pair):
    """Of the address that the NIC has by its MAC: who names no GID gets this one."""
    pingpong(pair, "ibv_rc_pingpong", (0, 0), "-n", 200)


@pytest.mark.parametrize("tests", slow_but(QPERF[1:], QPERF), ids=QPERF_IDS)
def test_qperf(pair, tests):
    """By rdma_cm."""
    client, _ = pair_up(pair, ["qperf"],
                        ["qperf", pair.b.ipv4, "-cm1", "-t", 1, *tests, "quit"],
                        tcp_port=QPERF_PORT)
    for test in tests:
        assert f"{test}:" in client


@pytest.mark.slow
@pytest.mark.parametrize("test", QPERF_BY_LID)
def test_qperf_by_lid(pair, test):
    """Those for UC and UD know a peer by its LID only, and RoCE has none. They are told,
    and nothing is measured."""
    client, _ = pair_up(pair, ["qperf"], ["qperf", pair.b.ipv4, "-cm1", "-t", 1, test],
                        tcp_port=QPERF_PORT, client_status=1, stays=True)
    assert f"{test}:" in client and " = " not in client
