# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""rdma-core's own tests, as the distribution ships them, on a link of ours: none
fails, and each that is skipped is so for a reason that we know (docs/pyverbs.md).

        10.4.0.1, fd04::1                 10.4.0.2, fd04::2
        link on a virtio-net device --- cable --- another one
or
        link on a veth -------------------------- its other end
"""

import re

import pytest

from lab import net, suite
from lab.command import run
from lab.disk import huge_pages
from lab.kinds import virtio_nics

# Files for hardware that is not here; all that they have is skipped.
VENDORS = re.compile(r"test_(mlx5|efa|cuda|irdma)")

# Why a test may be skipped: docs/pyverbs.md has the same list, with more words.
REASONS = [re.compile(reason) for reason in (
    r"XRCD is not supported",
    r"Device memory is not supported",
    r"QP type 8 is not supported",
    r"Raw Packet QP with(out)?( extended)? attrs is not supported",
    r"Parent Domain is not supported",
    r"Rereg MR is not supported",
    r"Importing a device is not supported",
    r"/dev/dri/\S+ is not present",
    r"Allocating dmabuf is not supported by /dev/dri/",
    r"CC PD is not supported",
    r"Device does not report CC_DMA_BOUNCE",
    r"Failed to create DMA Handle",
    r"No PHC or failed to open",
    r"ibv_query_port_speed is not supported",
)]
# And before a version of rdma-core, on each kind of device or on one: what the user library
# lacked; and that its tests looked for the network device in the RDMA device's parent, which
# a veth's has not.
REASONS_BEFORE = (
    (65, None, re.compile(r"Advise MR")),
    (56, "veth", re.compile(r"Device \S+ doesn't have net interface")),
)
# Tag matching asks for a kind of completion queue that only its hardware has.
REASONS_OF_FILE = {"test_tag_matching": [re.compile(r"Extended CQ is not supported")]}

# What the kernel's rdma_rxe passes, by rdma-core's version: of 6.1, 6.12 and 7.2.
PASSED_BY_RXE = {44: 86, 56: 102, 65: 135}

# {(kind of bench, file): the tests that passed}
PASSED = {}

FILES = [name for name in suite.files() if not VENDORS.match(name)]


class Bench:
    """A link on a network device with a parent, or with none."""

    def __init__(self, kind, link_type):
        self.kind, self.type, self.link = kind, link_type, None

    def __enter__(self):
        if self.kind == "virtio":
            nics = virtio_nics()
            if len(nics) < 2:
                pytest.skip("no virtio-net devices: tools/vm/run --extra-nic")
        else:
            nics = ["pv0", "pv1"]
            run("ip", "link", "add", "name", nics[0], "type", "veth", "peer", "name",
                nics[1])
        self.nics = nics[:2]
        for number, nic in enumerate(self.nics, 1):
            net.set_sysctl(None, f"ipv6.conf.{nic}.accept_dad", 0)
            run("ip", "addr", "replace", f"10.4.0.{number}/24", "dev", nic)
            run("ip", "addr", "replace", f"fd04::{number}/64", "dev", nic, "nodad")
            run("ip", "link", "set", nic, "up")
        self.link = net.Link(self.type, self.nics[0])
        self.gid = self.link.gid_index("10.4.0.1")
        return self

    def options(self):
        """Left to itself the suite takes the first GID, of an address that the NIC has by
        its MAC."""
        named = ["--dev", self.link.name]
        return [*named, "--gid", str(self.gid)] if self.kind == "veth" else named

    def __exit__(self, *exc):
        self.link.delete()
        if self.kind == "veth":
            run("ip", "link", "delete", self.nics[0])
        else:
            for nic in self.nics:
                run("ip", "addr", "flush", "dev", nic)
                run("ip", "link", "set", nic, "down")


@pytest.fixture(scope="module", params=("veth", "virtio"))
def bench(request, link_type):
    huge_pages(64)
    with Bench(request.param, link_type) as made:
        yield made


def known_reasons(bench, file):
    return (REASONS + REASONS_OF_FILE.get(file, []) +
            [reason for version, kind, reason in REASONS_BEFORE
             if suite.version() < version and kind in (None, bench.kind)])


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_file(bench, file):
    """One file of the suite, in a process of its own."""
    outcomes = suite.run(file, *bench.options(), timeout=900)
    known = known_reasons(bench, file)
    assert outcomes
    PASSED[bench.kind, file] = suite.passed(outcomes)
    for test, (outcome, why) in outcomes.items():
        print(test, outcome, why)
    wrong = [f"{test} {outcome}: {why}" for test, (outcome, why) in outcomes.items()
             if outcome != "passed" and
             not (outcome == "skipped" and any(reason.search(why) for reason in known))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_as_many_as_rdma_rxe(bench):
    """What is skipped here for good reasons is no more than what is skipped there."""
    if any((bench.kind, file) not in PASSED for file in FILES):
        pytest.skip("not all files have been run")
    count = sum(len(PASSED[bench.kind, file]) for file in FILES)
    print(f"{count} passed")
    assert count >= max(least for version, least in PASSED_BY_RXE.items()
                        if version <= suite.version())
