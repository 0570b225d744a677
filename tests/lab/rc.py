# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Two connected queue pairs of which everything can be chosen: sizes, rights,
completion queues and channels; and what a test asks about them."""

import contextlib
import fcntl
import os
import select
import time

from pyverbs.cq import CQ, CompChannel
from pyverbs.device import Context
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.qp import QP, QPAttr, QPCap, QPEx, QPInitAttr, QPInitAttrEx
from pyverbs.srq import SRQ, SrqAttr, SrqInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR

from lab import enums as e
from lab.net import wait_for
from lab.verbs import ACCESS, Memory, Peer, Side

TWO_SIDED = (e.IBV_WR_SEND, e.IBV_WR_SEND_WITH_IMM, e.IBV_WR_RDMA_WRITE_WITH_IMM)
SENDS = (e.IBV_WR_SEND, e.IBV_WR_SEND_WITH_IMM)
# Of the device's capabilities; older libraries have no name for it.
FLUSH_GLOBAL_CAP = 1 << 38
# How much memory around the bytes of a message is watched.
GUARD = 64


def same(now, wanted):
    """Whether bytes are as they should be; says where they are not. (pytest's own
    comparison of long bytes takes for ever.)"""
    now, wanted = bytes(now), bytes(wanted)
    if now == wanted:
        return True
    assert len(now) == len(wanted), f"{len(now)} bytes, not {len(wanted)}"
    first = next(at for at, byte in enumerate(now) if byte != wanted[at])
    differ = sum(one != other for one, other in zip(now, wanted))
    raise AssertionError(f"byte {first} of {len(now)} is {now[first]:#04x}, not "
                         f"{wanted[first]:#04x}; {differ} differ")


def event_fds():
    """The file descriptors that events are read from."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            if "infinibandevent" in os.readlink(f"/proc/self/fd/{fd}"):
                found.add(int(fd))
        except OSError:
            pass
    return found


class Node(Side):
    """A Side with more to choose.

    service is the queue pair's type, depth, sges and inline are its capacities,
    access the rights of the region, cqe the size of each completion queue. With
    channel the completion queues have one. The receive queue has a completion queue
    of its own: self.rcq. With srq, its depth, the queue pair shares self.srq."""

    # pylint: disable=super-init-not-called,too-many-arguments
    def __init__(self, end, size=1 << 20, ipv6=False, depth=64, sges=4, inline=64,
                 access=ACCESS, sq_sig_all=0, cqe=None, channel=False, memory=None,
                 srq=None, service=e.IBV_QPT_RC):
        self.end = end
        self.address = end.ipv6 if ipv6 else end.ipv4
        before = event_fds()
        self.context = Context(name=end.link.name)
        self.async_fd, = event_fds() - before
        fcntl.fcntl(self.async_fd, fcntl.F_SETFL, os.O_NONBLOCK)
        self.pd = PD(self.context)
        self.channels, self.channel_fds = [], []
        for _ in range(2):
            before = event_fds()
            self.channels.append(CompChannel(self.context) if channel else None)
            self.channel_fds += event_fds() - before
        self.cq, self.rcq = (CQ(self.context, cqe or 2 * depth, None, one, 0)
                             for one in self.channels)
        self.memory = memory or Memory(size)
        self.access = access
        self.mr = MR(self.pd, self.memory.size, access, address=self.memory.address)
        self.cap = QPCap(max_send_wr=depth, max_recv_wr=depth, max_send_sge=sges,
                         max_recv_sge=sges, max_inline_data=inline)
        self.srq = SRQ(self.pd, SrqInitAttr(SrqAttr(max_wr=srq, max_sge=sges))) \
            if srq else None
        self.init = QPInitAttr(qp_type=service, scq=self.cq, rcq=self.rcq,
                               srq=self.srq, cap=self.cap, sq_sig_all=sq_sig_all)
        self.qp = QP(self.pd, self.init)
        self.pending, self.rpending = [], []

    def post_list(self, opcode, sges, peer=None, peer_offset=0, wr_id=0,
                  flags=e.IBV_SEND_SIGNALED, imm=0):
        """As post(), with a list of (offset, length)."""
        request = SendWR(wr_id=wr_id, opcode=opcode, send_flags=flags, imm_data=imm,
                         num_sge=len(sges), sg=[self.sge(*one) for one in sges])
        if peer is not None:
            request.set_wr_rdma(peer.rkey, peer.address + peer_offset)
        self.qp.post_send(request)

    def post_receive_list(self, sges, wr_id=0):
        self.qp.post_recv(RecvWR(wr_id=wr_id, num_sge=len(sges),
                                 sg=[self.sge(*one) for one in sges]))

    def post_raw(self, opcode, sges, peer=None, flags=e.IBV_SEND_SIGNALED, wr_id=0,
                 imm=0, operands=None):
        """Post with (address, length, lkey) and a (rkey, address) as they are."""
        request = SendWR(wr_id=wr_id, opcode=opcode, send_flags=flags, imm_data=imm,
                         num_sge=len(sges), sg=[SGE(*one) for one in sges] or None)
        if operands:
            request.set_wr_atomic(*peer, *operands)
        elif peer:
            request.set_wr_rdma(*peer)
        self.qp.post_send(request)

    def post_shared(self, offset, length, wr_id=0):
        """As post_receive(), on the shared receive queue."""
        self.srq.post_recv(RecvWR(wr_id=wr_id, num_sge=1,
                                  sg=[self.sge(offset, length)]))

    def poll_receive(self, count=1, seconds=20, check=True):
        """As poll(), for the receive queue."""
        self.cq, self.rcq = self.rcq, self.cq
        self.pending, self.rpending = self.rpending, self.pending
        try:
            return self.poll(count, seconds, check)
        finally:
            self.cq, self.rcq = self.rcq, self.cq
            self.pending, self.rpending = self.rpending, self.pending

    def statuses(self, count=1, seconds=20):
        """[(wr_id, status)] of the next completions of the send queue."""
        return [(one.wr_id, one.status) for one in self.poll(count, seconds, False)]

    def receive_statuses(self, count=1, seconds=20):
        return [(one.wr_id, one.status)
                for one in self.poll_receive(count, seconds, False)]

    def nothing(self, seconds=0.2):
        """Neither queue has completed anything, nor does for a while. 0 is to look
        once: who has seen the end of something later need not wait."""
        end = time.monotonic() + seconds
        while True:
            left = self.pending + self.rpending
            assert not left, f"{left[0]}"
            for queue in (self.cq, self.rcq):
                got, completions = queue.poll(1)
                assert not got, f"{completions[0]}"
            if time.monotonic() >= end:
                return
            time.sleep(0.01)

    def event(self, seconds=5):
        """The next asynchronous event's type, None when there is none in time."""
        ready, _, _ = select.select([self.async_fd], [], [], seconds)
        if not ready:
            return None
        event = self.context.get_async_event()
        event.ack()
        return event.event_type

    def events(self, count, seconds=5):
        """The types of so many events, sorted."""
        return sorted(self.event(seconds) for _ in range(count))

    def receive_event(self, seconds=5):
        """Whether the receive queue's channel has an event in time; takes it."""
        ready, _, _ = select.select([self.channel_fds[1]], [], [], seconds)
        if ready:
            self.channels[1].get_cq_event(self.rcq)
            self.rcq.ack_events(1)
        return bool(ready)

    def state(self):
        return self.qp.query(e.IBV_QP_STATE)[0].qp_state

    def wait_state(self, state, seconds=10):
        end = time.monotonic() + seconds
        while self.state() != state:
            assert time.monotonic() < end, f"state {self.state()}, not {state}"
            time.sleep(0.01)

    def reset(self):
        attr = QPAttr(qp_state=e.IBV_QPS_RESET)
        self.qp.modify(attr, e.IBV_QP_STATE)

    def to_error(self):
        self.qp.modify(QPAttr(qp_state=e.IBV_QPS_ERR), e.IBV_QP_STATE)

    def close(self):
        for thing in (self.qp, self.srq, self.mr, self.cq, self.rcq, *self.channels,
                      self.pd, self.context):
            if thing is not None:
                thing.close()
        self.memory.close()


def flush_access(context):
    """The right to a FLUSH; 0 where the user library or the kernel has no such thing."""
    if not context.query_device_ex().device_cap_flags_ex & FLUSH_GLOBAL_CAP:
        return 0
    return getattr(e, "IBV_ACCESS_FLUSH_GLOBAL", 0)


def extend(node, operations):
    """Give a node that is not connected yet a queue pair that also has operations which
    only the newer way to post knows: IBV_QP_EX_WITH_... of them."""
    node.qp.close()
    node.qp = QPEx(node.context, QPInitAttrEx(
        qp_type=e.IBV_QPT_RC, scq=node.cq, rcq=node.rcq, cap=node.cap, pd=node.pd,
        comp_mask=e.IBV_QP_INIT_ATTR_PD | e.IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
        send_ops_flags=operations))


def _tell(pipe, node):
    """Another process who a node is, which reads it before it tells in turn."""
    os.write(pipe, " ".join(map(str, node.identity())).encode())


def _told(pipe):
    """What another process tells: a Peer."""
    assert select.select([pipe], [], [], 20)[0], "nobody tells"
    gid, *numbers = os.read(pipe, 1000).decode().split()
    return Peer(gid, *map(int, numbers))


def meet_parent(child, node, **attributes):
    """In a Child: connect its node with its parent's, which is returned, and say so."""
    _tell(child.said_w, node)
    peer = _told(child.go_r)
    node.connect(peer, **attributes)
    child.say()
    return peer


def meet_child(child, node, **attributes):
    """The parent's part: returns the Child's node."""
    peer = _told(child.said_r)
    _tell(child.go_w, node)
    child.listen()
    node.connect(peer, **attributes)
    return peer


class Two:
    """Nodes a and b, connected; closed at the end of a `with`. Options for one
    side only are given as a={...} or b={...}; psns is (a's, b's)."""

    MAKING = {"size", "ipv6", "depth", "sges", "inline", "sq_sig_all", "cqe",
              "channel", "memory", "srq", "service"}

    def __init__(self, pair, a=None, b=None, psns=(0, 0), connect=True, **both):
        self.options = [dict(both, **(one or {})) for one in (a, b)]
        self.psns = psns
        self.nodes = [Node(end, **self.pick(options, True))
                      for end, options in zip((pair.a, pair.b), self.options)]
        if connect:
            try:
                self.connect()
            except Exception:
                self.__exit__()
                raise

    def pick(self, options, making):
        # `access` is the region's right, `qp_access` the queue pair's.
        names = {name: value for name, value in options.items()
                 if (name in self.MAKING or name == "access") == making
                 and name != "qp_access"}
        if not making and "qp_access" in options:
            names["access"] = options["qp_access"]
        return names

    def connect(self):
        a, b = self.nodes
        a.connect(b.identity(), psn=self.psns[0], peer_psn=self.psns[1],
                  **self.pick(self.options[0], False))
        b.connect(a.identity(), psn=self.psns[1], peer_psn=self.psns[0],
                  **self.pick(self.options[1], False))

    def __enter__(self):
        return self.nodes

    def __exit__(self, *exc):
        for node in self.nodes:
            node.close()


def counters(link):
    """{name: value} of a link's counters, as they are now."""
    path = f"/sys/class/infiniband/{link.name}/ports/1/hw_counters"
    found = {}
    with open(f"{path}/lifespan", "w", encoding="ascii") as lifespan:
        lifespan.write("0")
    for name in os.listdir(path):
        if name != "lifespan":
            with open(f"{path}/{name}", encoding="ascii") as value:
                found[name] = int(value.read())
    return found


@contextlib.contextmanager
def gains(ends):
    """Yields a list for what the counters of all their links have gained at the end."""
    before = [counters(end.link) for end in ends]
    gained = []
    yield gained
    after = [counters(end.link) for end in ends]
    gained += [{name: new[name] - old[name] for name in new}
               for old, new in zip(before, after)]


@contextlib.contextmanager
def counting(link, **wanted):
    """What is done meanwhile counts just so much of each, in a moment."""
    before = counters(link)
    yield
    def counted():
        now = counters(link)
        return {name: now[name] - before[name] for name in wanted}
    with contextlib.suppress(TimeoutError):
        wait_for(lambda: counted() == wanted, 5, "counters")
    assert counted() == wanted


def port_counters(link):
    """{name: value} of those that the performance class has of every port."""
    path = f"/sys/class/infiniband/{link.name}/ports/1/counters"
    found = {}
    for name in os.listdir(path):
        with open(f"{path}/{name}", encoding="ascii") as value:
            found[name] = int(value.read())
    return found
