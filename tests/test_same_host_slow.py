# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""A page that takes its time, where the peer that waits for it is on the same host: it
is told to wait without a wire, and can go, whatever it waits for.

        10.3.0.1, fd03::1
        link a on d ---- (nothing: a dummy device)
"""

import test_slow_fault

ONE_HOST = True
globals().update({name: getattr(test_slow_fault, name) for name in (
    "pytestmark", "slow", "test_waits", "test_waits_in_the_middle",
    "test_a_page_that_never_comes", "test_what_is_done_is_acknowledged",
    "test_own_page_is_not_the_peers_time", "test_what_is_made_is_sent", "test_others_go_on",
    "test_queue_pair_is_destroyed")})


def test_requester_is_destroyed(pair, slow):
    """While its peer waits, and after its peer has told it to: nothing keeps it."""
    told = test_slow_fault.Told(pair)
    with test_slow_fault.stuck(pair, slow) as (a, _):
        told.wait_for(2)
        with test_slow_fault.in_time():
            a.qp.close()
        slow.answer()
