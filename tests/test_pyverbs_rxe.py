# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""What the kernel's rdma_rxe passes of rdma-core's own tests, urxe has passed.

        10.4.0.1, fd04::1
        rxe link on a veth ------ its other end
"""

import pytest

from lab import net, suite
from test_pyverbs import FILES, PASSED, Bench

pytestmark = [pytest.mark.slow, pytest.mark.pins,
              pytest.mark.urxe_only("it is what is compared with")]


@pytest.fixture(scope="module")
def rival():
    net.load("rxe")
    with Bench("veth", "rxe") as made:
        yield made
    net.unload("rxe")


@pytest.mark.parametrize("file", FILES)
def test_file(rival, file):
    if (rival.kind, file) not in PASSED:
        pytest.skip("test_pyverbs.py has not run it")
    outcomes = suite.run(file, *rival.options(), timeout=900)
    assert outcomes
    theirs = suite.passed(outcomes)
    assert theirs <= PASSED[rival.kind, file], theirs - PASSED[rival.kind, file]
