# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Verbs from Python: a connected pair of queue pairs, and memory whose bytes
can be looked at. Uses the pyverbs that a distribution ships."""

import collections
import ctypes
import mmap
import time

from pyverbs.addr import GID, AHAttr, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.device import Context
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR

from lab import enums as e

ACCESS = (e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_WRITE |
          e.IBV_ACCESS_REMOTE_READ | e.IBV_ACCESS_REMOTE_ATOMIC)
MTUS = {256: e.IBV_MTU_256, 512: e.IBV_MTU_512, 1024: e.IBV_MTU_1024,
        2048: e.IBV_MTU_2048, 4096: e.IBV_MTU_4096}


# What one side must know of the other: its queue pair, and its memory.
Peer = collections.namedtuple("Peer", "gid qp_num rkey address")


class Memory:
    """An anonymous mapping, or another one that is handed in."""

    def __init__(self, size, mapping=None):
        self.map = mapping if mapping is not None else mmap.mmap(
            -1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.size = size
        self._view = ctypes.c_char.from_buffer(self.map)
        self.address = ctypes.addressof(self._view)

    def __getitem__(self, key):
        return self.map[key]

    def __setitem__(self, key, value):
        self.map[key] = value

    def close(self):
        self._view = None
        self.map.close()


class Side:
    """A queue pair at one end with a region of memory of its own."""

    def __init__(self, end, size, depth=64, address=None, access=ACCESS,
                 memory=None, sq_sig_all=0):
        self.end = end
        self.address = address or end.ipv4
        self.context = Context(name=end.link.name)
        self.pd = PD(self.context)
        self.cq = CQ(self.context, 4 * depth)
        self.memory = memory or Memory(size)
        self.access = access
        self.mr = self.register()
        cap = QPCap(max_send_wr=depth, max_recv_wr=depth, max_send_sge=2,
                    max_recv_sge=2, max_inline_data=64)
        self.qp = QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=self.cq,
                                         rcq=self.cq, cap=cap,
                                         sq_sig_all=sq_sig_all))
        self.pending = []

    def register(self):
        """All of the memory as a new region."""
        return MR(self.pd, self.memory.size, self.access,
                  address=self.memory.address)

    def identity(self):
        """This side as the other one sees it."""
        gid = self.context.query_gid(1, self.end.link.gid_index(self.address))
        return Peer(str(gid), self.qp.qp_num, self.mr.rkey, self.memory.address)

    def attributes(self, peer, psn=0, peer_psn=0, mtu=1024, timeout=14, retries=7,
                   rnr_retries=7, rnr_timer=12, reads=8, access=ACCESS, traffic_class=0,
                   flow_label=0):
        """What `modify` needs to know to connect this queue pair to a peer."""
        attr = QPAttr(port_num=1)
        attr.qp_access_flags = access
        attr.path_mtu = MTUS[mtu]
        attr.dest_qp_num = peer.qp_num
        attr.sq_psn, attr.rq_psn = psn, peer_psn
        attr.max_rd_atomic = attr.max_dest_rd_atomic = reads
        attr.timeout, attr.retry_cnt = timeout, retries
        attr.rnr_retry, attr.min_rnr_timer = rnr_retries, rnr_timer
        attr.ah_attr = self.way_to(peer, traffic_class, flow_label)
        return attr

    def way_to(self, peer, traffic_class=0, flow_label=0):
        index = self.end.link.gid_index(self.address)
        route = GlobalRoute(dgid=GID(str(peer.gid)), sgid_index=index, hop_limit=64,
                            traffic_class=traffic_class, flow_label=flow_label)
        return AHAttr(port_num=1, is_global=1, gr=route)

    def connect(self, peer, *psns, **attributes):
        self.qp.to_rts(self.attributes(peer, *psns, **attributes))

    def sge(self, offset, length):
        return SGE(self.memory.address + offset, length, self.mr.lkey)

    def post_receive(self, offset, length, wr_id=0):
        self.qp.post_recv(RecvWR(wr_id=wr_id, num_sge=1,
                                 sg=[self.sge(offset, length)]))

    def request(self, opcode, offset, length, peer=None, peer_offset=0, wr_id=0,
                flags=e.IBV_SEND_SIGNALED, imm=0, compare_add=0, swap=0, then=None):
        """A request whose local part is [offset, offset + length); for one-sided
        operations also say whose memory (a Peer) and where in it. With `then`, another
        request, the two are posted by one call."""
        request = SendWR(wr_id=wr_id, opcode=opcode, send_flags=flags,
                         num_sge=1, imm_data=imm,
                         sg=[self.sge(offset, length)], next_wr=then)
        if opcode in (e.IBV_WR_ATOMIC_CMP_AND_SWP, e.IBV_WR_ATOMIC_FETCH_AND_ADD):
            request.set_wr_atomic(peer.rkey, peer.address + peer_offset,
                                  compare_add, swap)
        elif peer is not None:
            request.set_wr_rdma(peer.rkey, peer.address + peer_offset)
        return request

    def post(self, *what, **more):
        """Post one request(), or some."""
        self.qp.post_send(self.request(*what, **more))

    def poll(self, count=1, seconds=20, check=True):
        """Wait for count completions and return them."""
        end = time.monotonic() + seconds
        while len(self.pending) < count:
            got, completions = self.cq.poll(16)
            self.pending += completions or []
            if not got and time.monotonic() > end:
                raise TimeoutError(f"{self.end.link.name}: {len(self.pending)} of "
                                   f"{count} completions within {seconds} s")
        taken, self.pending = self.pending[:count], self.pending[count:]
        for completion in taken if check else ():
            if completion.status != e.IBV_WC_SUCCESS:
                raise RuntimeError(f"{self.end.link.name}: work request "
                                   f"{completion.wr_id}: status {completion.status}")
        return taken

    def close(self):
        for thing in (self.qp, self.mr, self.cq, self.pd, self.context):
            thing.close()
        self.memory.close()


class Connection:
    """Two connected sides, closed at the end of a `with`."""

    def __init__(self, pair, size=1 << 20, ipv6=False, psns=(0, 0), depth=64,
                 **attributes):
        pick = (lambda end: end.ipv6) if ipv6 else (lambda end: end.ipv4)
        self.a = Side(pair.a, size, depth, pick(pair.a))
        self.b = Side(pair.b, size, depth, pick(pair.b))
        self.a.connect(self.b.identity(), psns[0], psns[1], **attributes)
        self.b.connect(self.a.identity(), psns[1], psns[0], **attributes)

    def __enter__(self):
        return self.a, self.b

    def __exit__(self, *exc):
        self.a.close()
        self.b.close()
