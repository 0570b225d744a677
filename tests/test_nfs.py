# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Files by NFS over RDMA, with both ends in this kernel, and rdma_rxe as either.

        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        nfs                               nfsd
        to 10.1.0.2: va                   to 10.1.0.1: vb
"""

import filecmp
import random
import subprocess

import pytest

from lab import crossed, machine, net, nfs
from lab.command import run
from lab.marks import slow

MEGABYTE = 10 ** 6
# A copy's time, in seconds.
ENOUGH = 300 * machine.PATIENCE

# rdma_rxe does.
pytestmark = pytest.mark.pins


@pytest.fixture(scope="module", params=crossed.ENDS, ids="-".join)
def pair(request):
    with crossed.crossed(request.param) as made:
        yield made


@pytest.fixture(params=(10, slow(200)))
def places(request, tmp_path):
    """Where the server has its files, where they are mounted, and one to write, of so
    many megabytes."""
    shared, mounted, original = (tmp_path / name for name in ("shared", "mounted", "file"))
    shared.mkdir()
    mounted.mkdir()
    original.write_bytes(random.Random(1).randbytes(request.param * MEGABYTE))
    yield shared, mounted, original
    # It takes memory, here.
    original.unlink()


def same(one, other):
    return filecmp.cmp(one, other, shallow=False)


@pytest.mark.slow
@pytest.mark.parametrize("places", (40,), indirect=True)
@pytest.mark.parametrize("side", ("a", "b"))
def test_link_goes_under_load(pair, places, side):
    """The link is removed amid a copy and added again: the copy is made whole."""
    end = getattr(pair, side)
    if end.link.type != "urxe":
        pytest.skip("of rdma_rxe: with its link as the client's, the copy may fail")
    shared, mounted, original = places
    with nfs.exported(shared, "10.1.0.0/24"), nfs.mounted(pair.b.ipv4, mounted):
        copying = subprocess.Popen(["cp", original, mounted / "copy"])
        net.wait_for(lambda: (shared / "copy").exists(), 30, "the copy's beginning")
        link_type = end.link.type
        end.link.delete()
        assert copying.poll() is None, "it was over before"
        end.add_link(link_type).gid_index(end.ipv4)
        assert copying.wait(ENOUGH) == 0
        assert same(original, shared / "copy")


def write_and_compare(places, network, server):
    """Mount, write and compare, here and over there; unmount."""
    shared, mounted, original = places
    with nfs.exported(shared, network):
        with nfs.mounted(server, mounted):
            run("cp", str(original), str(mounted / "copy"), timeout=ENOUGH)
            assert same(original, shared / "copy")
            machine.drop_caches()
            assert same(original, mounted / "copy")


@pytest.mark.slow
def test_files(pair, places):
    write_and_compare(places, "10.1.0.0/24", pair.b.ipv4)


@pytest.mark.slow
@pytest.mark.parametrize("places", (10,), indirect=True)
def test_files_by_ipv6(pair, places):
    write_and_compare(places, "[fd01::]/64", f"[{pair.b.ipv6}]")
