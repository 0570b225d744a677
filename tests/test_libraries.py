# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Libraries through which applications use RDMA: UCX, libfabric, Open MPI.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        client                            server

and, for Open MPI, both in the first namespace.
"""

import glob

import pytest

from lab import net
from lab.command import TESTS, run
from lab.marks import slow, slow_but
from lab.programs import pair_up
from lab.rc import counters

UCX_PORT, FABRIC_PORT = 13337, 47592
# It wants to know whether a datagram came by IPv4, which rdma_rxe does not tell.
ucx_works = pytest.mark.urxe_only("UCX's datagrams, also for connecting, need it")
ucx_is_there = pytest.mark.skipif(not glob.glob("/usr/lib/*/ucx/libuct_ib.so*"),
                                  reason="this UCX is built without verbs")
# UCX tries whether it may read another process's memory, and the kernel pins for that.
asks_for_cma = pytest.mark.pins


@pytest.fixture(scope="module")
def together(link_type):
    """In one namespace, which is where mpirun talks to its processes."""
    with net.Pair(link_type, net.Pair.TOGETHER) as made:
        for end in made.ends:
            end.link.gid_index(end.ipv4)
        yield made


@ucx_works
@ucx_is_there
@asks_for_cma
@pytest.mark.slow
@pytest.mark.parametrize("size", (8, 100000))
@pytest.mark.parametrize("test", (
    "tag_lat", "tag_bw", "stream_bw", "ucp_am_bw", "ucp_put_bw", "ucp_get"))
@pytest.mark.parametrize("transport", ("rc", "ud"))
def test_ucx(pair, transport, test, size):
    # Where it is built with MPI, it takes itself for a rank.
    alone = ("-P", 0) if " -P " in run("ucx_perftest", "-h", check=False) else ()
    def ucx(end, *argv):
        return ["env", f"UCX_TLS={transport}", f"UCX_NET_DEVICES={end.link.name}:1",
                "ucx_perftest", *alone, "-p", UCX_PORT, *argv]
    said, _ = pair_up(pair, ucx(pair.b), ucx(pair.a, pair.b.ipv4, "-t", test, "-s", size,
                                             "-n", 300), tcp_port=UCX_PORT)
    assert "Final:" in said


@pytest.mark.parametrize("provider, kind", (
    slow("verbs", "msg"), slow("verbs;ofi_rxm", "rdm"), ("verbs", "dgram"),
    slow("verbs;ofi_rxd", "rdm")), ids=("messages", "rxm", "datagrams", "rxd"))
def test_libfabric(pair, provider, kind):
    """Sizes up to what there is, compared at the other end."""
    def pingpong(end, *argv):
        return ["env", f"FI_VERBS_IFACE={end.netdev}", "fi_pingpong", "-p", provider,
                "-e", kind, "-S", "all", "-I", 10, "-c", *argv]
    pair_up(pair, pingpong(pair.b), pingpong(pair.a, pair.b.ipv4), tcp_port=FABRIC_PORT,
            timeout=90)


# By verbs UCX's RC does not wait for what it wrote to be there ("flush(remote) is not
# supported"), which one-sided access needs.
JOBS = {"rc": "messages", "ud": "one-sided"}


@ucx_works
@ucx_is_there
@asks_for_cma
@pytest.mark.parametrize("ranks", (2, slow(5)))
@pytest.mark.parametrize("transport", slow_but(("rc",), JOBS))
def test_mpi(together, transport, ranks):
    """Messages, collective operations and one-sided access between processes, which
    compare the bytes."""
    before = counters(together.a.link)["tx_bytes"]
    said = run("mpirun", "--allow-run-as-root", "--oversubscribe", "--mca", "btl",
               "^openib", "--mca", "pml", "ucx", "--mca", "osc", "ucx",
               "-x", f"UCX_TLS={transport},self", "-np", str(ranks),
               "python3", f"{TESTS}/lab/ranks.py", JOBS[transport],
               *(end.link.name for end in together.ends), timeout=100)
    assert all(f"rank {rank} is done" in said for rank in range(ranks))
    assert counters(together.a.link)["tx_bytes"] - before > 1000003
