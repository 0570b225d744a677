# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Memory windows, and binding them."""

from pyverbs.mr import MW, MWBind, MWBindInfo
from pyverbs.wr import SendWR

from lab import enums as e

READ_IT, WRITE_IT = e.IBV_ACCESS_REMOTE_READ, e.IBV_ACCESS_REMOTE_WRITE
ADD_TO_IT = e.IBV_ACCESS_REMOTE_ATOMIC
ALL = READ_IT | WRITE_IT | ADD_TO_IT
TYPE_1, TYPE_2 = e.IBV_MW_TYPE_1, e.IBV_MW_TYPE_2


class Window:
    """A window of a node, to be bound by the node's queue pair."""

    def __init__(self, node, kind):
        self.node, self.kind, self.key = node, kind, None
        self.mw = MW(node.pd, kind)

    def bind(self, offset=0, length=None, access=ALL, region=None, node=None):
        """The status of the binding's completion; self.key is the window's key."""
        node = node or self.node
        length = node.memory.size if length is None else length
        info = MWBindInfo(region or node.mr, node.memory.address + offset, length, access)
        if self.kind == TYPE_1:
            node.qp.bind_mw(self.mw, MWBind(info, e.IBV_SEND_SIGNALED, 77))
            self.key = self.mw.rkey
        else:
            request = SendWR(wr_id=77, opcode=e.IBV_WR_BIND_MW,
                             send_flags=e.IBV_SEND_SIGNALED)
            request.set_bind_wr(self.mw, info)
            node.qp.post_send(request)
            self.key = request.rkey
        done, = node.poll(check=False)
        assert done.wr_id == 77
        assert done.status or done.opcode == e.IBV_WC_BIND_MW
        return done.status
