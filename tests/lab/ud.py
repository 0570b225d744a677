# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Queue pairs for datagrams, and what stands before one in its receiver's memory."""

import ipaddress
import struct

from pyverbs.addr import AH
from pyverbs.qp import QPAttr
from pyverbs.wr import SendWR

from lab import enums as e
from lab.rc import Node
from lab.wire import checksum

GRH = 40
QKEY = 0x11223344
# As a work request's Q_Key: the queue pair's own.
OWN_QKEY = 0x80000000


class Mailbox(Node):
    """A datagram queue pair that is ready, unless it is told not to be."""

    def __init__(self, end, qkey=QKEY, ready=True, psn=0, **options):
        super().__init__(end, service=e.IBV_QPT_UD, **options)
        self.ways = {}
        if ready:
            attr = QPAttr(port_num=1)
            attr.qkey, attr.sq_psn = qkey, psn
            self.qp.to_rts(attr)

    def way(self, peer, **options):
        """An address handle for a Peer, the same each time."""
        key = (peer.gid, *sorted(options.items()))
        if key not in self.ways:
            self.ways[key] = AH(self.pd, attr=self.way_to(peer, **options))
        return self.ways[key]

    def send_raw(self, way, qp_num, sges, qkey=QKEY, opcode=e.IBV_WR_SEND, wr_id=0,
                 flags=e.IBV_SEND_SIGNALED, imm=0):
        request = SendWR(wr_id=wr_id, opcode=opcode, send_flags=flags, imm_data=imm,
                         num_sge=len(sges), sg=sges or None)
        request.set_wr_ud(way, qp_num, qkey)
        self.qp.post_send(request)

    def send(self, peer, offset, length, **options):
        self.send_raw(self.way(peer), peer.qp_num, [self.sge(offset, length)], **options)

    def close(self):
        for way in self.ways.values():
            way.close()
        super().close()


class Two:
    """Mailboxes a and b, closed at the end of a `with`; a={...} is for a only."""

    def __init__(self, pair, a=None, b=None, **both):
        self.boxes = [Mailbox(end, **{**both, **(one or {})})
                      for end, one in zip((pair.a, pair.b), (a, b))]

    def __enter__(self):
        return self.boxes

    def __exit__(self, *exc):
        for box in self.boxes:
            box.close()


def check_grh(data, source, target, length, pad):
    """The 40 bytes before a datagram's payload are the IP header that it had."""
    source, target = ipaddress.ip_address(source), ipaddress.ip_address(target)
    after_ip = 8 + 12 + 8 + length + pad + 4
    if source.version == 4:
        assert bytes(data[:20]) == bytes(20)
        ip = bytes(data[20:])
        assert ip[0] == 0x45 and ip[9] == 17 and checksum(ip) == 0
        assert struct.unpack_from("!H", ip, 2)[0] == 20 + after_ip
        assert (ip[12:16], ip[16:20]) == (source.packed, target.packed)
    else:
        assert data[0] >> 4 == 6 and data[6] == 17
        assert struct.unpack_from("!H", data, 4)[0] == after_ip
        assert (data[8:24], data[24:40]) == (source.packed, target.packed)
