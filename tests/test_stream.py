# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Who posts and posts is not held up by sending, and what he posts meanwhile leaves
together; who waits for what he has posted has it sent at once, by nobody else.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
"""

import pytest

from lab import net, perftest
from lab.rc import counters

MESSAGES = 3000


PAIR_MTU = net.WIDE


def spent(pair, tool, *options):
    """What a run adds to the counters of both links."""
    before = [counters(end.link) for end in (pair.a, pair.b)]
    perftest.run(pair, tool, *options)
    after = [counters(end.link) for end in (pair.a, pair.b)]
    return [{name: new[name] - old[name] for name in new}
            for old, new in zip(before, after)]


@pytest.mark.parametrize("qps", (1, 8))
def test_posts_and_posts(pair, qps):
    """Small messages leave several to a batch."""
    sender, receiver = spent(pair, "ib_write_bw", "-s", 64, "-n", MESSAGES, "-q", qps)
    assert sender["tx_packets"] >= MESSAGES * qps
    assert sender["tx_batches"] < sender["tx_packets"] / 2
    assert sender["stream_handover"]
    assert receiver["rx_packets"] == sender["tx_packets"]


@pytest.mark.parametrize("tool", ("ib_write_lat", "ib_send_lat", "ib_read_lat",
                                  "ib_atomic_lat"))
def test_waits(pair, tool):
    """No thread of the kernel stands between two programs that wait for each other."""
    options = () if "atomic" in tool else ("-s", 8)
    for end in spent(pair, tool, "-n", 500, *options):
        assert end["tx_packets"] >= 500
        assert not end["stream_handover"]


def test_much_arrives(pair):
    """While one processor receives, another puts the bytes where they belong.

    The two ends take turns, so that each message finds the receiver at rest."""
    for end in spent(pair, "ib_write_lat", "-s", 65536, "-m", 4096, "-n", 200):
        assert end["stream_handover"] > 100
