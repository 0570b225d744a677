# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""The tracepoints tell the history of a queue pair.

        namespace A                       namespace B
        link a on va ------- veth ------- vb with link b
"""

import os
import re

import pytest

from lab import net
from lab.rc import Two, e
from lab.tracing import TRACING, traced

EVENTS = ("urxe_qp_state", "urxe_tx", "urxe_rx", "urxe_retry", "urxe_cqe")

pytestmark = pytest.mark.urxe_only("another driver has other tracepoints")


@pytest.fixture
def trace():
    """What has been traced since the test began, as lines."""
    with traced("urxe", "urxe_") as lines:
        yield lines


def of_qp(lines, event, qp_num):
    return [line for line in lines
            if f"{event}: qpn=0x{qp_num:06x} " in line]


def test_every_event_is_there():
    there = {entry.name for entry in os.scandir(f"{TRACING}/events/urxe")
             if entry.is_dir()}
    assert there == set(EVENTS)


def test_history_of_a_write(pair, trace):
    """Each packet leaves once: nobody is impatient."""
    with Two(pair, timeout=0) as (a, b):
        a.post_list(e.IBV_WR_RDMA_WRITE, [(0, 5000)], b.identity(), wr_id=4711)
        a.poll()
        lines, qpn, peer = trace(), a.qp.qp_num, b.qp.qp_num
    states = [re.search(r"(\w+) -> (\w+)", line).groups()
              for line in of_qp(lines, "urxe_qp_state", qpn)]
    assert states == [("RESET", "INIT"), ("INIT", "RTR"), ("RTR", "RTS")]
    sent = of_qp(lines, "urxe_tx", qpn)
    assert sum(int(re.search(r"packets=(\d+)", line)[1]) for line in sent) == 5
    assert any("requests" in line for line in of_qp(lines, "urxe_rx", peer))
    assert any("responses" in line for line in of_qp(lines, "urxe_rx", qpn))
    completion, = of_qp(lines, "urxe_cqe", qpn)
    assert "wr_id=4711 status=0 " in completion


def test_a_retry_says_why(pair, trace):
    with Two(pair, timeout=17) as (a, b):
        retries = lambda: of_qp(trace(), "urxe_retry", a.qp.qp_num)
        pair.netem("loss", "100%")
        try:
            a.post_list(e.IBV_WR_RDMA_WRITE, [(0, 8)], b.identity())
            net.wait_for(retries, 10, "a retry")
        finally:
            pair.no_netem()
        a.poll()
        assert all("cause=timeout" in line for line in retries())


def test_a_wait_for_a_receiver_is_one(pair, trace):
    with Two(pair, rnr_timer=1) as (a, b):
        a.post(e.IBV_WR_SEND, 0, 8)
        net.wait_for(lambda: any("cause=rnr" in line for line in
                                 of_qp(trace(), "urxe_retry", a.qp.qp_num)), 10,
                     "a retry for want of a receive request")
        b.post_receive(0, 64)
        a.poll()
