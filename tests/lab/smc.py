# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""TCP's sockets by shared memory (SMC-R): the family, and the name that hosts which may
meet over RoCE v2 have in common."""

import struct

from lab import netlink
from lab.netlink import attribute

AF_SMC = 43
CONTROLLER, GET_FAMILY = 16, 3              # GENL_ID_CTRL, CTRL_CMD_*
FAMILY_ID, FAMILY_NAME = 1, 2               # CTRL_ATTR_*
ADD_NAME, REMOVE_NAME, NAME = 10, 11, 1     # SMC_NETLINK_*_UEID, SMC_NLA_EID_TABLE_ENTRY


def ask(family, command, attributes):
    """The attributes of what a generic family of netlink's answers to a command, {} if
    that it has been done."""
    header = struct.pack("=BBH", command, 1, 0)
    return {kind: value
            for answer in netlink.ask(netlink.GENERIC, family, netlink.ACK, header + attributes)
            for kind, value in netlink.attributes(answer[len(header):])}


def change(command, name):
    found = ask(CONTROLLER, GET_FAMILY, attribute(FAMILY_NAME, b"SMC_GEN_NETLINK\0"))
    ask(struct.unpack("=H", found[FAMILY_ID])[0], command, attribute(NAME, name))


class Name:
    """Hosts that both have it may meet, for as long as a `with` lasts."""

    def __init__(self, name):
        self.name = name.ljust(32).encode() + b"\0"

    def __enter__(self):
        change(ADD_NAME, self.name)

    def __exit__(self, *exc):
        change(REMOVE_NAME, self.name)
