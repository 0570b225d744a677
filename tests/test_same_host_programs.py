# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Real programs at both ends of one link: client and server on one machine.

        10.3.0.1, fd03::1
        link a on d ---- (nothing: a dummy device)
"""

import pytest

import test_cm
import test_perftest
import test_programs

from lab import perftest
from lab.marks import slow, slow_but
from lab.programs import pair_up

ONE_HOST = True
PERFTEST_PORT = 18515


@pytest.mark.parametrize("tool", slow_but(
    test_perftest.QUICK, test_perftest.BW + test_perftest.LAT + test_perftest.ATOMIC))
def test_connected(pair, tool):
    assert perftest.run(pair, tool, "-n", 200).rows


@pytest.mark.slow
@pytest.mark.parametrize("tool", test_perftest.BW)
def test_all_sizes(pair, tool):
    assert perftest.run(pair, tool, "-a", "-n", 5, timeout=120).sizes() == perftest.ALL_SIZES


@pytest.mark.parametrize("tool, options", (
    ("ib_write_lat", ("-c", "UC")), slow("ib_write_bw", ("-c", "UC", "-s", 65536)),
    slow("ib_send_lat", ("-c", "UC")), ("ib_send_lat", ("-c", "UD"))))
def test_unreliable(pair, tool, options):
    assert perftest.run(pair, tool, *options, "-n", 200).rows


def test_as_readme_has_it(pair):
    """No GID is named, and the server is told nothing but the device."""
    program = ["ib_write_bw", "-d", pair.a.link.name]
    client, _ = pair_up(pair, program, [*program, pair.b.ipv4], tcp_port=PERFTEST_PORT)
    assert list(perftest.table(client))


@pytest.mark.parametrize("program, options", (
    ("ibv_rc_pingpong", ()), slow("ibv_uc_pingpong", ()),
    slow("ibv_ud_pingpong", ("-s", 1000)), slow("ibv_srq_pingpong", ())))
def test_pingpong(pair, program, options):
    test_programs.test_pingpong(pair, program, options, False)


# ib_cm knows a connection by the other end's device and QP number, and cmtime makes some up
# for connections without a QP: the same ones at either end.
CM_PROGRAMS = [program for program in test_cm.PROGRAMS if program != "cmtime"]


@pytest.mark.parametrize("program", slow_but(("rping", "rstream"), CM_PROGRAMS))
def test_connection_manager(pair, program):
    test_cm.test_program(pair, program)


def test_listening_on_loopback(pair):
    """Which the kernel's rdma_cm takes for the first device that there is: who asks for
    that one's own address finds the listener."""
    client, _ = test_cm.connect(pair, "127.0.0.1", pair.b.ipv4)
    assert "RDMA_CM_EVENT_ESTABLISHED 0 welcome" in client
