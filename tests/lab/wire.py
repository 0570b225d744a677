# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
"""RoCEv2 packets as bytes: taken apart, made, checked. Nothing here comes from the
driver: IBTA volume 1, chapter 9, and annex 17 (RoCEv2).

A packet is what follows the Ethernet header."""

import contextlib
import ipaddress
import os
import socket
import struct
import subprocess
import time
import zlib

from lab import machine
from lab.command import run
from lab.net import wait_for

PORT = 4791
SEND_FIRST, SEND_MIDDLE, SEND_LAST, SEND_LAST_IMM, SEND_ONLY, SEND_ONLY_IMM = range(6)
(WRITE_FIRST, WRITE_MIDDLE, WRITE_LAST, WRITE_LAST_IMM, WRITE_ONLY,
 WRITE_ONLY_IMM) = range(6, 12)
(READ_REQUEST, READ_FIRST, READ_MIDDLE, READ_LAST, READ_ONLY, ACK,
 ATOMIC_ACK, CAS, FAA) = range(12, 21)
SEND_LAST_INV, SEND_ONLY_INV = 22, 23
FLUSH, ATOMIC_WRITE = 28, 29
# What every version of the user library can bring about.
OF_OLD = frozenset({*range(21), SEND_LAST_INV, SEND_ONLY_INV})
# The same operations of the unreliable services.
UC, UD = 0x20, 0x60
# Congestion notification (annex A17.9.3).
CNP = 0x81
# Syndromes of an AETH (9.7.5.2.1): an acknowledgment without credits, and refusals.
ACCEPTED, EARLY, INVALID, NO_ACCESS, FAILED = 0x1f, 0x60, 0x61, 0x62, 0x63

IMM, IETH, FETH, AETH, RETH, DETH, ATOMIC_ETH = 4, 4, 4, 4, 16, 8, 28
EXTENDED = {
    SEND_LAST_IMM: IMM, SEND_ONLY_IMM: IMM, WRITE_FIRST: RETH, WRITE_LAST_IMM: IMM,
    WRITE_ONLY: RETH, WRITE_ONLY_IMM: RETH + IMM, READ_REQUEST: RETH, READ_FIRST: AETH,
    READ_LAST: AETH, READ_ONLY: AETH, ACK: AETH, ATOMIC_ACK: AETH + 8,
    CAS: ATOMIC_ETH, FAA: ATOMIC_ETH, SEND_LAST_INV: IETH, SEND_ONLY_INV: IETH,
    FLUSH: FETH + RETH, ATOMIC_WRITE: RETH,
    UC | SEND_LAST_IMM: IMM, UC | SEND_ONLY_IMM: IMM, UC | WRITE_FIRST: RETH,
    UC | WRITE_LAST_IMM: IMM, UC | WRITE_ONLY: RETH, UC | WRITE_ONLY_IMM: RETH + IMM,
    CNP: 16, UD | SEND_ONLY: DETH, UD | SEND_ONLY_IMM: DETH + IMM,
}


class Packet:
    """A packet taken apart. ip and udp are headers, roce is from the BTH to the
    ICRC."""

    def __init__(self, data):
        self.version = data[0] >> 4
        if self.version == 4:
            assert data[0] == 0x45 and data[9] == 17
            assert struct.unpack_from("!H", data, 2)[0] == len(data)
            size = 20
        else:
            assert data[6] == 17
            assert struct.unpack_from("!H", data, 4)[0] == len(data) - 40
            size = 40
        self.ip, self.udp = data[:size], data[size:size + 8]
        self.roce = data[size + 8:]
        self.sport, self.dport, length, _ = struct.unpack("!4H", self.udp)
        assert length == len(self.roce) + 8
        self.opcode, flags, self.pkey, qpn, psn = struct.unpack_from("!BBHII", self.roce)
        self.solicited, self.migreq = bool(flags & 0x80), bool(flags & 0x40)
        self.pad, self.tver = flags >> 4 & 3, flags & 15
        self.qpn, self.psn = qpn & 0xffffff, psn & 0xffffff
        self.ack_request, self.reserved = bool(psn >> 31), (qpn >> 24, psn >> 24 & 0x7f)
        self.payload = self.roce[12 + EXTENDED.get(self.opcode, 0):-4 - self.pad or None]
        self.padding = self.roce[len(self.roce) - 4 - self.pad:-4]

    @property
    def traffic_class(self):
        word, = struct.unpack_from("!I", self.ip)
        return self.ip[1] if self.version == 4 else word >> 20 & 0xff

    @property
    def flow_label(self):
        return struct.unpack_from("!I", self.ip)[0] & 0xfffff

    def icrc_is_right(self):
        return self.roce[-4:] == icrc(self.ip, self.udp, self.roce[:-4])


def icrc(ip, udp, roce):
    """The four bytes at the end of a packet, as in annex A17.3.3: a CRC over eight
    bytes of ones and the packet with what may change on the way replaced by ones."""
    ip, udp, roce = bytearray(ip), bytearray(udp), bytearray(roce)
    if ip[0] >> 4 == 4:
        ip[1] = ip[8] = 0xff                    # type of service, time to live
        ip[10:12] = b"\xff\xff"                 # checksum
    else:
        ip[0] |= 0x0f                           # traffic class and flow label
        ip[1:4] = b"\xff\xff\xff"
        ip[7] = 0xff                            # hop limit
    udp[6:8] = b"\xff\xff"                      # checksum
    roce[4:5] = b"\xff"                         # FECN, BECN, reserved
    crc = zlib.crc32(b"\xff" * 8 + ip + udp + roce)
    return struct.pack("<I", crc)


def split(frame):
    """The packets of a frame that segmentation has yet to cut. A capture does not
    tell their size: it is the smallest that makes the first ICRC right."""
    size = 20 if frame[0] >> 4 == 4 else 40
    roce = frame[size + 8:]
    def cut(at, length, number):
        ip, udp = bytearray(frame[:size]), bytearray(frame[size:size + 8])
        if size == 20:
            ident, = struct.unpack_from("!H", ip, 4)
            ip[2:4] = struct.pack("!H", 28 + length)
            ip[4:6] = struct.pack("!H", ident + number & 0xffff)
        else:
            ip[4:6] = struct.pack("!H", 8 + length)
        udp[4:6] = struct.pack("!H", 8 + length)
        return bytes(ip + udp) + roce[at:at + length]
    if Packet(frame).icrc_is_right():
        return [frame]
    for length in range(16, len(roce), 4):
        if Packet(cut(0, length, 0)).icrc_is_right():
            return [cut(at, min(length, len(roce) - at), number)
                    for number, at in enumerate(range(0, len(roce), length))]
    return [frame]


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def bth(opcode, qpn, psn, pad=0, ack=True, pkey=0xffff, flags=0x40):
    return struct.pack("!BBHII", opcode, flags | pad << 4, pkey, qpn, psn | ack << 31)


def headers(source, target, length, sport=0xc123, ident=7, flags=0x4000):
    """The IPv4 and the UDP header of so many bytes behind the former."""
    ip = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, ident, flags, 64,
                               17, 0, ipaddress.IPv4Address(source).packed,
                               ipaddress.IPv4Address(target).packed))
    ip[10:12] = struct.pack("!H", checksum(bytes(ip)))
    return bytes(ip), struct.pack("!4H", sport, PORT, length, 0)


def with_checksum(ip, udp, payload):
    """The UDP header with the checksum of it, the payload and the addresses."""
    pseudo = ip[12:20] + struct.pack("!BBH", 0, 17, len(udp) + len(payload))
    return udp[:6] + struct.pack("!H", checksum(pseudo + udp + payload) or 0xffff)


def make(source, target, roce, good=True, checked=False, **options):
    """A whole IPv4 packet around what goes from the BTH to before the ICRC."""
    ip, udp = headers(source, target, 8 + len(roce) + 4, **options)
    end = icrc(ip, udp, roce)
    if not good:
        end = bytes([end[0] ^ 1]) + end[1:]
    if checked:
        udp = with_checksum(ip, udp, roce + end)
    return ip + udp + roce + end


class Injector:
    """Puts packets on the wire from one end to the other, as Ethernet frames, in order:
    until it is closed this process stays on one processor."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.header = b"".join(bytes.fromhex(end.hardware().replace(":", ""))
                               for end in (target, source)) + b"\x08\x00"
        self.socket = in_namespace(source.netns, lambda: socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW))
        self.socket.bind((source.netdev, 3))
        self.socket.settimeout(0.1)
        self.stay = contextlib.ExitStack()
        self.stay.enter_context(machine.one_processor())

    def send(self, roce, **options):
        options.setdefault("source", self.source.ipv4)
        self.send_raw(make(target=self.target.ipv4, roce=roce, **options))

    def send_raw(self, packet):
        self.socket.send(self.header + packet)

    def send_run(self, roces):
        """Packets of one size as one frame that segmentation has yet to cut, which is how
        a batch comes through a veth. Linux takes such from a program from 6.2 on."""
        ends = self.source.ipv4, self.target.ipv4
        parts = [make(*ends, roce, ident=number)[28:] for number, roce in enumerate(roces)]
        size, = set(map(len, parts))
        head = b"".join(headers(*ends, 8 + size * len(parts), ident=0))
        # struct virtio_net_hdr: a checksum is to be made; UDP is to be cut; bytes of headers,
        # and of a packet; where the checksum begins, and where in there it goes.
        frame = struct.pack("<BB4H", 1, 5, 14 + 28, size, 14 + 20, 6) + self.header + \
            head + b"".join(parts)
        with in_namespace(self.source.netns, lambda: socket.socket(
                socket.AF_PACKET, socket.SOCK_RAW)) as batches:
            batches.setsockopt(263, 15, 1)    # SOL_PACKET, PACKET_VNET_HDR
            batches.bind((self.source.netdev, 3))
            batches.send(frame)

    def heard(self, seconds=0.3, enough=1000):
        """The RoCE packets that arrive in that time, or until there are enough."""
        found, end = [], time.monotonic() + seconds
        while time.monotonic() < end and len(found) < enough:
            try:
                frame = self.socket.recv(1 << 17)
            except TimeoutError:
                continue
            if frame[:6] == self.header[6:12] and frame[12:14] == b"\x08\x00" \
               and frame[23] == 17 and frame[36:38] == PORT.to_bytes(2, "big"):
                found += [Packet(part) for part in split(frame[14:])]
        return found

    def close(self):
        self.socket.close()
        self.stay.close()


def in_namespace(netns, function):
    """Call the function inside a network namespace."""
    if not netns:
        return function()
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    inside = os.open(f"/run/netns/{netns}", os.O_RDONLY)
    try:
        assert not libc.setns(inside, 0x40000000)
        return function()
    finally:
        assert not libc.setns(before, 0x40000000)
        os.close(before)
        os.close(inside)


class Capture:
    """What goes in and out of one end while a `with` lasts; then its packets."""

    def __init__(self, end, path):
        self.end, self.path, self.process = end, str(path), None

    def __enter__(self):
        # Unbuffered, and in one go to the file, so that nothing is lost at the end.
        self.process = subprocess.Popen(
            self.end.command(["tcpdump", "-i", self.end.netdev, "-U", "-s", "0",
                              "--immediate-mode", "-B", "65536", "-w", self.path,
                              "udp port 4791"]),
            stderr=subprocess.PIPE, text=True)
        wait_for(lambda: "listening" in self.process.stderr.readline(), 20, "tcpdump")
        return self

    def __exit__(self, *exc):
        sizes = [-1, os.path.getsize(self.path)]
        while sizes[-1] != sizes[-2]:
            time.sleep(0.3)
            sizes.append(os.path.getsize(self.path))
        self.process.terminate()
        said = self.process.communicate(timeout=20)[1]
        assert "0 packets dropped by kernel" in said, said

    def frames(self):
        """The bytes behind each Ethernet header."""
        with open(self.path, "rb") as file:
            data = file.read()
        assert data[:4] == b"\xd4\xc3\xb2\xa1", "a little-endian pcap file"
        at = 24
        while at < len(data):
            _, _, length, full = struct.unpack_from("<4I", data, at)
            assert length == full
            frame = data[at + 16:at + 16 + length]
            assert frame[12:14] in (b"\x08\x00", b"\x86\xdd")
            yield frame[14:]
            at += 16 + length

    def packets(self):
        """All packets; those that were captured as one are cut apart."""
        return [Packet(part) for frame in self.frames() for part in split(frame)]

    def tshark(self, *fields):
        """Columns of tshark's view of each packet, whose payload means nothing."""
        payload = ("rpcordma", "smb_direct", "infiniband.eoib")
        # RoCEv2 does without a UDP checksum, over IPv6 too (annex A17.3.1).
        shown = run("tshark", "-r", self.path, "-T", "fields",
                    "-o", "udp.ignore_ipv6_zero_checksum:TRUE",
                    *(word for name in payload for word in ("--disable-protocol", name)),
                    *(word for field in fields for word in ("-e", field)), timeout=200)
        return [line.split("\t") for line in shown.splitlines()]


@contextlib.contextmanager
def one_by_one(pair, cut=True):
    """Batches are cut into packets before they leave, or are not."""
    def offload(state):
        for end in pair.ends:
            end.offload("gso", state, "tx-udp-segmentation", state)
    offload("off" if cut else "on")
    try:
        yield
    finally:
        offload("on")


def check_by_tshark(capture, packets, *fields):
    """tshark finds the same in each packet, and nothing wrong. Returns more fields."""
    rows = capture.tshark("infiniband.bth.opcode", "infiniband.bth.psn",
                          "infiniband.bth.padcnt", "_ws.malformed", "_ws.expert.severity",
                          *fields)
    assert len(rows) == len(packets)
    for row, packet in zip(rows, packets):
        opcode, psn, pad = (int(value, 0) for value in row[:3])
        assert (opcode, psn, pad) == (packet.opcode, packet.psn, packet.pad)
        assert not row[3], row
        # 0x00600000 is a warning, 0x00800000 an error.
        assert all(int(one, 0) < 0x00600000 for one in row[4].split(",") if one), row
    return [row[5:] for row in rows]


def scapy_layer(ipv6):
    """Its layer of that address family; None where its ICRC is for IPv4 only (before 2.6)."""
    from scapy.contrib import roce
    return getattr(roce, "IPv6", None) if ipv6 else roce.IP


def check_by_scapy(layer, frames, packets):
    """scapy computes the same ICRC for one packet of each opcode and pad, each in a frame
    of its own."""
    from scapy.contrib import roce
    chosen = {(packet.opcode, packet.pad): frame
              for packet, frame in zip(packets, frames, strict=True)}
    for which, frame in chosen.items():
        packet = layer(frame)
        packet[roce.BTH].icrc = None
        assert bytes(packet) == frame, which


def check_by_others(capture, packets, ipv6):
    """What tshark and scapy, where it can, say of packets each in a frame of its own."""
    check_by_tshark(capture, packets)
    layer = scapy_layer(ipv6)
    if layer:
        check_by_scapy(layer, capture.frames(), packets)
