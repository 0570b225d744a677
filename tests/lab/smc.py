# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""TCP's sockets by shared memory (SMC-R): the family, and the name that hosts which may
meet over RoCE v2 have in common."""

import socket
import struct

AF_SMC = 43
NETLINK_GENERIC, GENL_ID_CTRL = 16, 16
REQUEST_AND_ACK = 5
CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 3, 1, 2
ADD_NAME, REMOVE_NAME, NAME = 10, 11, 1


def attribute(kind, text):
    data = text.encode() + b"\0"
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def ask(family, command, attributes):
    """The kernel's answer to a command of a family of netlink's; OSError if it has one."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as line:
        body = struct.pack("=BBH", command, 1, 0) + attributes
        line.send(struct.pack("=IHHII", 16 + len(body), family, REQUEST_AND_ACK, 1, 0) + body)
        answer = line.recv(1 << 16)
    _, kind, _, _, _, status = struct.unpack_from("=IHHIIi", answer)
    if kind == 2 and status:
        raise OSError(-status, "netlink")
    return answer[20:]


def family(name):
    answer = ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, attribute(CTRL_ATTR_FAMILY_NAME, name))
    while True:
        length, kind = struct.unpack_from("=HH", answer)
        if kind == CTRL_ATTR_FAMILY_ID:
            return struct.unpack_from("=H", answer, 4)[0]
        answer = answer[(length + 3) & ~3:]


class Name:
    """Hosts that both have it may meet, for as long as a `with` lasts."""

    def __init__(self, name):
        self.name = name.ljust(32)

    def __enter__(self):
        ask(family("SMC_GEN_NETLINK"), ADD_NAME, attribute(NAME, self.name))

    def __exit__(self, *exc):
        ask(family("SMC_GEN_NETLINK"), REMOVE_NAME, attribute(NAME, self.name))
