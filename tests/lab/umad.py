# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""Questions to a port's performance management by datagram: IBTA volume 1, 13.4 and
16.1; by way of <rdma/ib_user_mad.h>."""

import contextlib
import fcntl
import glob
import ipaddress
import os
import select
import struct

from lab.mapping import read_file

REGISTER_AGENT, ENABLE_PKEY = 0xC01C1B01, 0x1B03
PERFORMANCE, VERSION = 4, 1
GET, SET, GET_RESPONSE = 0x01, 0x02, 0x81
CLASS_INFO, PORT_COUNTERS, PORT_COUNTERS_EXT = 0x01, 0x12, 0x1d
# What may be wrong with a question.
BAD_ATTRIBUTE, BAD_VALUE = 0x0c, 0x1c

REGISTRATION = struct.Struct("=I16xBBB3xBx")
# Whose agent, status, time-out in ms, retries; the rest is in the network's order.
HERE, THERE, PKEY_INDEX = (struct.Struct("=IIII4x"), struct.Struct("!IIHBBBBBB16sI"),
                           struct.Struct("=H6x"))
MAD = struct.Struct("!BBBBHHQHHI40x192s")
# Behind the port's number and eight bytes.
EXTENDED = ("port_xmit_data", "port_rcv_data", "port_xmit_packets", "port_rcv_packets")


def device_of(link):
    """The character device of a link's only port."""
    for path in glob.glob("/sys/class/infiniband_mad/umad*"):
        if read_file(f"{path}/ibdev").strip() == link.name:
            return f"/dev/infiniband/{os.path.basename(path)}"
    raise KeyError(link.name)


class Agent:
    """Who asks, from a link by one of its GIDs, the port with a GID. Both are IPv6
    addresses: the kernel's core takes an answer for one to a question by GIDs where a GRH
    has them, and an IPv4 header has none there."""

    def __init__(self, link, gid_index, gid):
        self.file = os.open(device_of(link), os.O_RDWR)
        fcntl.ioctl(self.file, ENABLE_PKEY)
        registration = bytearray(REGISTRATION.pack(0, 1, PERFORMANCE, VERSION, 0))
        fcntl.ioctl(self.file, REGISTER_AGENT, registration)
        self.number, *_ = REGISTRATION.unpack(registration)
        self.address = THERE.pack(1, 0x80010000, 0, 0, 0, 1, gid_index, 64, 0,
                                  ipaddress.IPv6Address(gid).packed, 0)

    def send(self, mad, timeout=0, retries=0):
        """Without a time-out no answer is waited for."""
        os.write(self.file, HERE.pack(self.number, 0, timeout, retries) + self.address +
                 PKEY_INDEX.pack(0) + mad)

    def answer(self):
        assert select.select([self.file], [], [], 10)[0], "no answer, nor a time-out"
        return os.read(self.file, 64 + MAD.size)

    def close(self):
        os.close(self.file)


def ask(link, gid_index, gid, attribute, port=1, method=GET):
    """An Agent's question: the status of the answer and its data."""
    with contextlib.closing(Agent(link, gid_index, gid)) as agent:
        agent.send(MAD.pack(1, PERFORMANCE, VERSION, method, 0, 0, 1, attribute, 0, 0,
                            bytes([0, port])), 1000, 3)
        answer = agent.answer()
    _, failed, *_ = HERE.unpack_from(answer)
    assert not failed, os.strerror(failed)
    _, _, _, method, status, *_, data = MAD.unpack_from(answer, 64)
    assert method == GET_RESPONSE
    return status, data


def port_counters(*way):
    """{name: value}, asked for by ask()."""
    status, data = ask(*way, PORT_COUNTERS_EXT)
    assert status == 0 and data[1] == 1
    return dict(zip(EXTENDED, struct.unpack_from("!4Q", data, 8)))
