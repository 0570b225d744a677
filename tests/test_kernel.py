# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What kernel consumers do: fast registration, invalidation, shared receive queues,
draining. urxe_test, a module that is never installed, has the cases and runs them
when it is loaded.

        10.3.0.1
        link a on d ---- (nothing: a dummy device)
        two queue pairs, connected to each other
"""

import re

import pytest

from lab import net
from lab.command import run

CASES = (
    "page_sizes", "range", "before_range", "own_address", "scattered", "local_key",
    "register_twice", "register_unmapped", "register_wrong_index", "register_bad_access",
    "register_again", "map_while_registered", "invalidate", "invalidate_in_a_row",
    "invalidate_twice", "invalidate_dma_key", "send_with_invalidate",
    "send_invalidates_nothing", "send_invalidates_local", "unreliable",
    "shared_queue", "shared_queue_drains", "drain", "post_with_interrupts_off", "advise",
    "full")


@pytest.fixture(scope="module")
def said(link_type):
    """{case: (passed, what it complained of)}."""
    with net.Host(link_type) as host:
        gid = host.a.link.gid_index(host.a.ipv4)
        run("dmesg", "--clear")
        run("modprobe", "urxe_test", f"device={host.a.link.name}", f"gid={gid}",
            timeout=200)
        log = run("dmesg")
        run("rmmod", "urxe_test")
    found, complaints = {}, []
    for line in re.findall(r"urxe_test: (.*)", log):
        if line.startswith("#"):
            complaints.append(line)
        else:
            *bad, _, name = line.split()
            found[name] = not bad, complaints
            complaints = []
    return found


def test_cases_are_known(said):
    assert set(said) == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_case(said, case):
    passed, complaints = said[case]
    assert passed, "\n".join(complaints)
