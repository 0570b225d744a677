# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Memory windows of type 1 and 2, and what invalidates a key.

        namespace A                       namespace B
        10.1.0.1                          10.1.0.2
        link a on va ------- veth ------- vb with link b
        reads and writes                  a region for local use, and windows to it
"""

import copy
import random
import subprocess
import sys

import pytest
from pyverbs.mr import MR, MW
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsError
from pyverbs.qp import QP
from pyverbs.wr import SendWR

from lab import net, resources
from lab.command import TESTS
from lab.marks import one_host_too
from lab.rc import Two, counting, e, same
from lab.verbs import Peer
from lab.window import ADD_TO_IT, ALL, READ_IT, TYPE_1, TYPE_2, WRITE_IT, Window

pytestmark = one_host_too
SIZE = 1 << 16
SCRATCH = SIZE // 2
LOCAL = e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_MW_BIND
READ, WRITE = e.IBV_WR_RDMA_READ, e.IBV_WR_RDMA_WRITE
FAA = e.IBV_WR_ATOMIC_FETCH_AND_ADD
GOOD, REFUSED = e.IBV_WC_SUCCESS, e.IBV_WC_REM_ACCESS_ERR
BAD_BIND = e.IBV_WC_MW_BIND_ERR
TYPES = pytest.mark.parametrize("kind", (TYPE_1, TYPE_2), ids=("type_1", "type_2"))


def twin(node):
    """The same node, with completions of its own and a queue pair to be made."""
    made = copy.copy(node)
    made.pending, made.rpending = [], []
    return made


class Windows(Two):
    """Connected nodes a and b; b's region gives its peer no right but by windows."""

    def __init__(self, pair, access=LOCAL, **options):
        super().__init__(pair, size=SIZE, b={"access": access}, **options)
        self.a, self.b = self.nodes
        self.things = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for thing in reversed(self.things):
            thing.close()
        super().__exit__()

    def keep(self, thing):
        self.things.append(thing)
        return thing

    def window(self, kind, **binding):
        """A window of b's, bound."""
        window = Window(self.b, kind)
        self.keep(window.mw)
        if binding.pop("bound", True):
            assert window.bind(**binding) == GOOD
        return window

    def another_pair(self):
        """Queue pairs beside those of a and b, connected to each other."""
        twins = [twin(node) for node in (self.a, self.b)]
        for one in twins:
            one.qp = self.keep(QP(one.pd, one.init))
        twins[0].connect(twins[1].identity())
        twins[1].connect(twins[0].identity())
        return twins

    def use(self, opcode, key, offset=0, length=8, by=None, base=None):
        """The status of an operation of a's on what b's key opens."""
        base = self.b.memory.address if base is None else base
        by = by or self.a
        by.post(opcode, SCRATCH, length, Peer(None, None, key, base), offset)
        return by.statuses()[0][1]

    def send_and_invalidate(self, key, by=None, receiver=None):
        """The status at the sender, and the receiver's completion."""
        by, receiver = by or self.a, receiver or self.b
        receiver.post_receive(SCRATCH, 64)
        by.post(e.IBV_WR_SEND_WITH_INV, 0, 64, imm=key)
        return by.statuses()[0][1], receiver.poll_receive(check=False)[0]


def invalidate(node, key):
    """The status of a local invalidation."""
    node.qp.post_send(SendWR(opcode=e.IBV_WR_LOCAL_INV, imm_data=key,
                             send_flags=e.IBV_SEND_SIGNALED))
    done, = node.poll(check=False)
    assert done.status or done.opcode == e.IBV_WC_LOCAL_INV
    return done.status


# --- what a window opens ---------------------------------------------------


@TYPES
def test_range(pair, kind):
    """Every byte of the window can be reached, and none beside it."""
    data = random.Random(kind).randbytes(SIZE)
    for offset, length, inside in (
            (1000, 8, True), (1000, 4000, True), (4999, 1, True),
            (999, 8, False), (4999, 2, False), (1000, 4001, False)):
        with Windows(pair) as two:
            two.b.memory[0:SIZE] = data
            window = two.window(kind, offset=1000, length=4000)
            assert use_both_ways(two, window.key, offset, length, data) == inside


def use_both_ways(two, key, offset, length, data):
    """Whether a READ brings b's bytes and a WRITE takes them back turned round."""
    if two.use(READ, key, offset, length) == REFUSED:
        assert same(two.b.memory[0:SIZE], data)
        return False
    got = two.a.memory[SCRATCH:SCRATCH + length]
    assert same(got, data[offset:offset + length])
    two.a.memory[SCRATCH:SCRATCH + length] = got[::-1]
    assert two.use(WRITE, key, offset, length) == GOOD
    wanted = bytearray(data)
    wanted[offset:offset + length] = got[::-1]
    assert same(two.b.memory[0:SIZE], wanted)
    return True


@TYPES
def test_unreliable(pair, kind):
    """Over UC, too, a WRITE gets as far as its window goes, and while it is there. What does
    not is dropped, and its sender not told."""
    def write(offset, data, lands):
        two.a.memory[SCRATCH:SCRATCH + 8] = data
        with counting(pair.b.link, drop_refused=int(not lands)):
            assert two.use(WRITE, window.key, offset) == GOOD
        if lands:
            net.wait_for(lambda: two.b.memory[offset:offset + 8] == data, 5, "the bytes")
            wanted[offset:offset + 8] = data
        assert same(two.b.memory[0:SCRATCH], wanted)
    wanted = bytearray(SCRATCH)
    with Windows(pair, service=e.IBV_QPT_UC) as two:
        window = two.window(kind, offset=1000, length=4000)
        for offset, lands in ((1000, True), (999, False), (4992, True), (4993, False)):
            write(offset, b"%08d" % offset, lands)
        window.mw.close()
        write(1000, b"too late", False)


@TYPES
@pytest.mark.parametrize("right", (READ_IT, WRITE_IT, ADD_TO_IT),
                         ids=("read", "write", "atomic"))
def test_rights(pair, kind, right):
    """A window gives the rights it was bound with, and the region's do not matter."""
    wanted = {READ: READ_IT, WRITE: WRITE_IT, FAA: ADD_TO_IT}
    for opcode, needed in wanted.items():
        with Windows(pair) as two:
            window = two.window(kind, access=right)
            assert two.use(opcode, window.key) == (GOOD if needed == right else REFUSED)


@TYPES
def test_no_local_use(pair, kind):
    """Its key is of no use in a list of the owner's own."""
    with Windows(pair) as two:
        window = two.window(kind)
        two.b.post_raw(e.IBV_WR_SEND, [(two.b.memory.address, 64, window.key)])
        assert two.b.statuses() == [(0, e.IBV_WC_LOC_PROT_ERR)]


def test_through_which_queue_pair(pair):
    """Type 1 is open to every queue pair of its protection domain, type 2 to the one
    that bound it."""
    for kind, status in ((TYPE_1, GOOD), (TYPE_2, REFUSED)):
        with Windows(pair) as two:
            window = two.window(kind)
            mine, _ = two.another_pair()
            assert two.use(WRITE, window.key, by=mine) == status
            assert two.use(WRITE, window.key) == GOOD


@TYPES
def test_another_domain(pair, kind):
    """A window of another protection domain is open to nobody here, and binds nothing
    here."""
    with Windows(pair) as two:
        b = twin(two.b)
        b.pd = two.keep(PD(two.b.context))
        b.mr = two.keep(MR(b.pd, SIZE, LOCAL, address=b.memory.address))
        b.qp = two.keep(QP(b.pd, two.b.init))
        a = twin(two.a)
        a.qp = two.keep(QP(a.pd, a.init))
        b.connect(a.identity())
        a.connect(b.identity())
        window = Window(b, kind)
        two.keep(window.mw)
        assert window.bind() == GOOD
        assert two.use(WRITE, window.key, by=a) == GOOD
        assert two.use(WRITE, window.key) == REFUSED
        if kind == TYPE_2:
            assert invalidate(b, window.key) == GOOD
            assert window.bind(node=two.another_pair()[1]) == BAD_BIND


def test_zero_based(pair):
    """Type 2 only: addresses may count from the window's first byte."""
    zero_based = e.IBV_ACCESS_ZERO_BASED
    with Windows(pair) as two:
        two.b.memory[0:SIZE] = random.Random(4).randbytes(SIZE)
        window = two.window(TYPE_2, offset=5000, length=3000, access=ALL | zero_based)
        assert two.use(READ, window.key, 0, 3000, base=0) == GOOD
        assert same(two.a.memory[SCRATCH:SCRATCH + 3000], two.b.memory[5000:8000])
        assert two.use(READ, window.key, 2999, 2, base=0) == REFUSED
    with Windows(pair) as two:
        window = two.window(TYPE_2, offset=5000, length=3000, access=ALL | zero_based)
        assert two.use(READ, window.key, 5000, 8) == REFUSED


# --- binding ---------------------------------------------------------------


def test_bind_again(pair):
    """Type 1: the new key opens the new range, and the old one nothing; bound to
    nothing it opens nothing."""
    with Windows(pair) as two:
        window = two.window(TYPE_1, offset=0, length=100)
        old = window.key
        assert window.bind(200, 100) == GOOD
        assert window.key != old
        assert two.use(WRITE, window.key, 200, 100) == GOOD
        mine, _ = two.another_pair()
        assert two.use(WRITE, old, 200, 100, by=mine) == REFUSED
        assert window.bind(0, 0, 0) == GOOD
        assert two.use(WRITE, window.key, 200, 0) == GOOD
        assert two.use(WRITE, window.key, 200, 1) == REFUSED


def test_bind_when_bound(pair):
    """Type 2: not before it has been invalidated."""
    with Windows(pair) as two:
        window = two.window(TYPE_2, length=100)
        for turn in range(3):
            assert invalidate(two.b, window.key) == GOOD
            assert window.bind(turn * 100, 100) == GOOD
            assert two.use(WRITE, window.key, turn * 100, 100) == GOOD
        assert window.bind(0, 100) == BAD_BIND
        two.b.wait_state(e.IBV_QPS_ERR)


@TYPES
@pytest.mark.parametrize("what", ("right", "local write", "before", "behind", "long", "bits",
                                  "region"))
def test_bind_refused(pair, kind, what):
    """Nothing can be opened that the region does not hold or does not allow."""
    if what == "region" and kind == TYPE_1:
        pytest.skip("the user library looks at this itself")
    access = {"right": e.IBV_ACCESS_LOCAL_WRITE | ALL,
              "local write": e.IBV_ACCESS_MW_BIND | READ_IT}.get(what, LOCAL)
    binding = {"before": {"offset": -1, "length": 10},
               "behind": {"offset": SIZE - 9, "length": 10},
               "long": {"offset": 1, "length": (1 << 64) - 1},
               "bits": {"access": ALL | 1 << 20}}.get(what, {})
    with Windows(pair, access=access) as two:
        window = two.window(kind, bound=False)
        if what == "region":
            other = two.keep(PD(two.b.context))
            binding["region"] = two.keep(MR(other, SIZE, LOCAL,
                                            address=two.b.memory.address))
        assert window.bind(**binding) == BAD_BIND
        two.b.wait_state(e.IBV_QPS_ERR)


def test_bind_to_read_only(pair):
    """For reading the region need not be writable."""
    with Windows(pair, access=e.IBV_ACCESS_MW_BIND) as two:
        assert two.use(READ, two.window(TYPE_1, access=READ_IT).key) == GOOD
        assert two.use(READ, two.window(TYPE_2, access=READ_IT).key) == GOOD


def test_region_held(pair):
    """A region can't go while a window is bound to it."""
    with Windows(pair) as two:
        first, second = two.window(TYPE_1), two.window(TYPE_2)
        with pytest.raises(PyverbsError):
            two.b.mr.close()
        assert invalidate(two.b, second.key) == GOOD
        with pytest.raises(PyverbsError):
            two.b.mr.close()
        assert two.use(WRITE, first.key) == GOOD
        first.mw.close()
        two.b.mr.close()


# --- invalidating ----------------------------------------------------------


@pytest.mark.parametrize("how", ("local", "remote", "dealloc", "queue pair"))
def test_end(pair, how):
    """Type 2: after each of its ends the key opens nothing."""
    with Windows(pair) as two:
        window = two.window(TYPE_2)
        assert two.use(WRITE, window.key) == GOOD
        if how == "local":
            assert invalidate(two.b, window.key) == GOOD
        elif how == "remote":
            status, done = two.send_and_invalidate(window.key)
            assert status == done.status == GOOD
            assert done.wc_flags & e.IBV_WC_WITH_INV and done.imm_data == window.key
        elif how == "dealloc":
            window.mw.close()
        else:
            two.b.reset()
            two.a.reset()
            two.connect()
            assert two.use(WRITE, window.key) == GOOD
            two.b.qp.close()
            two.a.reset()
            two.b.qp = QP(two.b.pd, two.b.init)
            two.connect()
        two.b.memory[0:8] = b"untouch."
        assert two.use(WRITE, window.key) == REFUSED
        assert two.b.memory[0:8] == b"untouch."


@pytest.mark.parametrize("what", ("type 1", "region", "unbound", "old", "other", "none"))
@pytest.mark.parametrize("how", ("local", "remote"))
def test_invalidate_refused(pair, what, how):
    """Keys that no work request made, or that are not valid now."""
    with Windows(pair) as two:
        window = two.window(TYPE_1 if what == "type 1" else TYPE_2,
                            bound=what != "unbound")
        if what == "old":
            assert invalidate(two.b, window.key) == GOOD
        key = {"region": two.b.mr.rkey, "unbound": window.mw.rkey,
               "other": (window.key or 0) ^ 1, "none": 0xfedcba00}.get(what, window.key)
        if how == "local":
            assert invalidate(two.b, key) == BAD_BIND
            two.b.wait_state(e.IBV_QPS_ERR)
        else:
            status, done = two.send_and_invalidate(key)
            assert (status, done.status) == (REFUSED, e.IBV_WC_WR_FLUSH_ERR)
        if what in ("type 1", "other"):
            two.a.reset()
            two.b.reset()
            two.connect()
            assert two.use(WRITE, window.key) == GOOD


def test_invalidate_through_another(pair):
    """A peer can't invalidate a window that is not open to it."""
    with Windows(pair) as two:
        window = two.window(TYPE_2)
        mine, its = two.another_pair()
        status, _ = two.send_and_invalidate(window.key, mine, its)
        assert status == REFUSED
        assert two.use(WRITE, window.key) == GOOD


def test_invalidate_in_order(pair):
    """What is sent before the invalidation is done, what comes behind it is not."""
    with Windows(pair) as two:
        a, b = two.a, two.b
        window = two.window(TYPE_2)
        a.memory[0:SIZE] = bytes(range(256)) * (SIZE // 256)
        peer = Peer(None, None, window.key, b.memory.address)
        b.post_receive(SCRATCH, 64)
        a.post(WRITE, 0, 20000, peer)
        a.post(e.IBV_WR_SEND_WITH_INV, 0, 64, imm=window.key)
        a.post(WRITE, 1, 100, peer)
        assert [status for _, status in a.statuses(3)] == [GOOD, GOOD, REFUSED]
        assert b.poll_receive()[0].imm_data == window.key
        assert same(b.memory[0:20000], a.memory[0:20000])


def test_ends_under_load(pair):
    """A window that is invalidated while its peer writes: not one byte afterwards."""
    with Windows(pair) as two:
        a, b = two.a, two.b
        for turn in range(20):
            window = two.window(TYPE_2)
            a.memory[0:1] = bytes([turn + 1])
            for _ in range(16):
                a.post(WRITE, 0, SCRATCH, Peer(None, None, window.key, b.memory.address))
            assert invalidate(b, window.key) == GOOD
            b.memory[0:SCRATCH] = bytes(SCRATCH)
            statuses = [status for _, status in a.statuses(16)]
            if statuses[-1] != GOOD:
                assert statuses.count(REFUSED) == 1
                for node in (a, b):
                    node.wait_state(e.IBV_QPS_ERR)
                    node.reset()
                two.connect()
            assert same(b.memory[0:SCRATCH], bytes(SCRATCH))
            two.things.pop().close()


# --- other ends ------------------------------------------------------------


def test_process_ends(pair):
    """A process that ends with windows bound, and regions below them."""
    program = ("import sys, os\n"
               "sys.path.insert(0, os.getcwd())\n"
               "import types\n"
               "from lab import net\n"
               "from lab.rc import Node\n"
               "from test_mw import LOCAL, Window, TYPE_1, TYPE_2\n"
               "end = types.SimpleNamespace(link=net.Link.existing(sys.argv[1]),"
               " ipv4=sys.argv[2], ipv6=None)\n"
               "node = Node(end, size=65536, access=LOCAL)\n"
               "node.connect(node.identity())\n"
               "windows = [Window(node, kind) for kind in (TYPE_1, TYPE_2) * 5]\n"
               "for window in windows:\n"
               "    assert not window.bind()\n"
               "os._exit(7)\n")
    before = resources.counts(pair.a.link.name)
    done = subprocess.run([sys.executable, "-c", program, pair.a.link.name, pair.a.ipv4],
                          cwd=TESTS, check=False)
    assert done.returncode == 7
    net.wait_for(lambda: resources.counts(pair.a.link.name) == before, 5,
                 "objects of a process that has ended")


def test_reported(pair):
    """What the device says of windows."""
    with Two(pair) as (a, _):
        device = a.context.query_device()
        flags = device.device_cap_flags
        assert flags & e.IBV_DEVICE_MEM_WINDOW
        assert flags & e.IBV_DEVICE_MEM_WINDOW_TYPE_2B
        assert not flags & e.IBV_DEVICE_MEM_WINDOW_TYPE_2A
        assert device.max_mw > 1 << 22
        with pytest.raises(PyverbsError):
            MW(a.pd, 3)
