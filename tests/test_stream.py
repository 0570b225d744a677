# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Who posts and posts is not held up by sending, and what he posts meanwhile leaves
together; who waits for what he has posted has it sent at once, by nobody else.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
"""

import concurrent.futures
import contextlib
import re

import pytest

from lab import machine, net, perftest
from lab.rc import Two, counters, e, gains
from lab.tracing import traced

# Packets in a batch: URXE_BATCH_PKTS.
BATCH = 64
# The bytes are taken when they are posted, so no page has to come when they are sent.
INLINE = e.IBV_SEND_SIGNALED | e.IBV_SEND_INLINE
# A receiver's RNR timer: long enough to post a batch one by one.
HALF_A_SECOND = 31


PAIR_MTU = net.WIDE


def spent(pair, tool, *options):
    """What a run adds to the counters of both links."""
    with gains(pair.ends) as gained:
        perftest.run(pair, tool, *options)
    return gained


def post_at_once(node, peer, count):
    """Small WRITEs, all by one doorbell."""
    requests = [None]
    for wr_id in reversed(range(count)):
        requests.append(node.request(e.IBV_WR_RDMA_WRITE, 0, 64, peer, wr_id=wr_id,
                                     flags=INLINE, then=requests[-1]))
    node.qp.post_send(requests[-1])


@pytest.mark.parametrize("qps", (1, 8))
def test_posts_much(pair, qps):
    """What is posted at once is left to a stream worker, and leaves in one batch."""
    with contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(Two(pair, size=4096, timeout=0)) for _ in range(qps)]
        def post():
            for a, b in pairs:
                post_at_once(a, b.identity(), BATCH)
            for a, _ in pairs:
                assert [one.wr_id for one in a.poll(BATCH)] == list(range(BATCH))
        # An emulator that has to translate all of it first takes longer than a turn is.
        post()
        with gains(pair.ends) as gained:
            post()
    sender, receiver = gained
    assert sender["stream_handover"] == sender["tx_batches"] == qps
    assert sender["tx_packets"] == receiver["rx_packets"] == BATCH * qps


def test_posts_and_posts(pair):
    """What is posted one by one while nothing may be sent leaves together: here behind
    a message that the receiver is not ready for. No post waits for that."""
    with Two(pair, size=4096, depth=2 * BATCH, timeout=0, rnr_timer=HALF_A_SECOND) as (a, b):
        peer = b.identity()
        with gains(pair.ends) as gained:
            before = counters(pair.a.link)["rx_rnr_nak"]
            a.post(e.IBV_WR_SEND, 0, 64, flags=INLINE)
            net.wait_for(lambda: counters(pair.a.link)["rx_rnr_nak"] > before, 5,
                         "the receiver to say that it is not ready")
            for wr_id in range(1, BATCH + 1):
                a.post(e.IBV_WR_RDMA_WRITE, 0, 64, peer, wr_id=wr_id, flags=INLINE)
            b.post_receive(0, 64)
            assert [one.wr_id for one in a.poll(1 + BATCH)] == list(range(1 + BATCH))
    sender, receiver = gained
    # Each try of that message is a batch of one packet; then comes one with all the rest.
    assert sender["tx_packets"] - sender["tx_batches"] == BATCH - 1
    assert sender["stream_handover"]
    assert receiver["rx_packets"] == sender["tx_packets"]


@pytest.mark.slow
@pytest.mark.parametrize("size", (64, 65536))
def test_fair(pair, size):
    """Of two programs that send as fast as they can neither starves."""
    options = ("-s", size, "-D", 5)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = [pool.submit(perftest.run, pair, "ib_write_bw", *options) for _ in range(2)]
        rates = [one.result().column("MsgRate") for one in runs]
    assert max(rates) < 4 * min(rates)


@pytest.mark.parametrize("tool", ("ib_write_lat", "ib_send_lat", "ib_read_lat",
                                  "ib_atomic_lat"))
def test_waits(pair, tool):
    """No thread of the kernel stands between two programs that wait for each other."""
    options = () if "atomic" in tool else ("-s", 8)
    for end in spent(pair, tool, "-n", 500, *options):
        assert end["tx_packets"] >= 500
        assert not end["stream_handover"]


# The two ends take turns, so that each message finds the receiver at rest.
MUCH = ("ib_write_lat", "-s", 65536, "-m", 4096, "-n", 200)


def test_much_arrives(pair):
    """While one processor receives, another puts the bytes where they belong."""
    for end in spent(pair, *MUCH):
        assert end["stream_handover"] > 100


def processors_for_much(pair):
    """Those that have been asked to put bytes where they belong."""
    with traced("workqueue/workqueue_queue_work", "urxe-placed") as lines:
        perftest.run(pair, *MUCH)
        return {int(re.search(r" cpu=(\d+)", line)[1]) for line in lines()}


@pytest.mark.skipif(machine.KERNEL < (6, 2),
                    reason="there a cpuset does not tell what it isolates")
def test_leaves_isolated_processors_alone(pair):
    """What an administrator has set apart for something else is not taken for this."""
    assert 1 in processors_for_much(pair)
    with machine.control_group("cpuset", {"cpus": 1, "cpus.partition": "isolated"}):
        assert processors_for_much(pair) <= {0}
