# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Files by NFS over RDMA, with both ends in this kernel, and rdma_rxe as either.

        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        nfs                               nfsd
        to 10.1.0.2: va                   to 10.1.0.1: vb
"""

import filecmp
import random

import pytest

from lab import crossed, machine, nfs
from lab.command import run
from lab.marks import slow

MEGABYTE = 10 ** 6

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
    return shared, mounted, original


def same(one, other):
    return filecmp.cmp(one, other, shallow=False)


def test_files(pair, places):
    """Mount, write and compare, here and over there; unmount."""
    shared, mounted, original = places
    with nfs.exported(shared, "10.1.0.0/24"):
        with nfs.mounted(pair.b.ipv4, mounted):
            run("cp", str(original), str(mounted / "copy"), timeout=300)
            assert same(original, shared / "copy")
            machine.drop_caches()
            assert same(original, mounted / "copy")
