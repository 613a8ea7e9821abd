# SPDX-License-Identifier: MIT
"""Frames of every kind arrive as they left, whatever offloads the ends use: made by hand, with VLAN tags, odd
last segments, TCP options, ECN, fragments, extension headers, and flows that alternate.

     [server] ──┐
     [a] ───────┼── [lan]        a's and b's eps0: packet sockets that speak of offloads (PACKET_VNET_HDR)
     [b] ───────┘
"""

import collections
import ipaddress
import os
import socket
import struct

import pytest
from eps import PATIENCE
from offload import ones_sum
from test_offload import pair

SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_OUTGOING = 263, 8, 15, 4
TP_STATUS_VLAN_VALID = 0x10
NEEDS_CSUM, GSO_TCP4, GSO_TCP6, GSO_UDP, GSO_ECN = 1, 1, 4, 5, 0x80
TCP, UDP, FRAGMENT = 6, 17, 44
FIN, SYN, PSH, ACK, URG, ECE, CWR = 1, 2, 8, 16, 32, 64, 128
TIMESTAMPS = bytes.fromhex("0101080a") + b"\0\0\x10\0\0\0\x20\0"
SACK = bytes.fromhex("0101050a") + struct.pack("!II", 5000, 6000)


class Ends:
    """From a to b."""

    def __init__(self, a, b):
        self.macs = bytes.fromhex((b.mac + a.mac).replace(":", ""))
        self.v4 = socket.inet_aton(a.address) + socket.inet_aton(b.address)
        self.v6 = b"".join(ipaddress.ip_address(c.link_local()).packed for c in (a, b))

    def ethernet(self, kind, content, vlan=None):
        tag = b"" if vlan is None else struct.pack("!HH", 0x8100, vlan)
        return self.macs + tag + struct.pack("!H", kind) + content

    def ip(self, content, protocol, version=4, vlan=None, tos=0, ident=0x100, flags=0x4000, options=b"", extension=b""):
        if version == 6:
            header = struct.pack("!IHBB", 6 << 28 | tos << 20, len(extension) + len(content),
                                 60 if extension else protocol, 64) + self.v6
            return self.ethernet(0x86dd, header + extension + content, vlan)
        header = bytearray(struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, tos, 20 + len(options) + len(content),
                                       ident, flags, 64, protocol, 0) + self.v4 + options)
        struct.pack_into("!H", header, 10, ~ones_sum(bytes(header)) & 0xffff)
        return self.ethernet(0x0800, bytes(header) + content, vlan)

    def pseudo(self, version, protocol, size):
        return ones_sum((self.v4 if version == 4 else self.v6) + struct.pack("!II", size, protocol))

    def tcp(self, payload, sequence=1000, flags=ACK, options=TIMESTAMPS, port=4000, window=500, version=4, **rest):
        """Its checksum is the pseudo-header's sum, to be completed."""
        size = 20 + len(options) + len(payload)
        header = struct.pack("!HHIIBBHHH", port, 5000, sequence, 77, (20 + len(options)) // 4 << 4, flags, window,
                             self.pseudo(version, TCP, size), 0)
        return self.ip(header + options + payload, TCP, version, **rest)

    def udp(self, payload, port=4000, version=4, **rest):
        header = struct.pack("!HHHH", port, 5001, 8 + len(payload), self.pseudo(version, UDP, 8 + len(payload)))
        return self.ip(header + payload, UDP, version, **rest)


class Parts:
    """The positions of a frame's headers; `l4` is None unless it is a whole TCP or UDP packet."""

    def __init__(self, frame):
        self.l3 = 18 if frame[12:14] == b"\x81\x00" else 14
        kind, self.l4 = frame[self.l3 - 2:self.l3], None
        self.version = {b"\x08\x00": 4, b"\x86\xdd": 6}.get(kind)
        if self.version == 4:
            self.protocol, at = frame[self.l3 + 9], self.l3 + (frame[self.l3] & 15) * 4
            whole = not struct.unpack_from("!H", frame, self.l3 + 6)[0] & 0x3fff
        elif self.version == 6:
            self.protocol, at, whole = frame[self.l3 + 6], self.l3 + 40, True
            if self.protocol == 60:
                self.protocol, at = frame[at], at + 8
        if self.version and whole and self.protocol in (TCP, UDP):
            self.l4 = at
            self.payload = at + (8 if self.protocol == UDP else (frame[at + 12] >> 4) * 4)
            self.csum = at + (6 if self.protocol == UDP else 16)


def finish(frame):
    """The frame with its checksums computed."""
    p, out = Parts(frame), bytearray(frame)
    if p.version == 4:
        struct.pack_into("!H", out, p.l3 + 10, 0)
        end = p.l3 + (out[p.l3] & 15) * 4
        struct.pack_into("!H", out, p.l3 + 10, ~ones_sum(bytes(out[p.l3:end])) & 0xffff)
    if p.l4:
        addresses = out[p.l3 + 12:p.l3 + 20] if p.version == 4 else out[p.l3 + 8:p.l3 + 40]
        struct.pack_into("!H", out, p.csum, 0)
        body = bytes(addresses) + struct.pack("!II", len(out) - p.l4, p.protocol) + bytes(out[p.l4:])
        struct.pack_into("!H", out, p.csum, (~ones_sum(body) & 0xffff) or 0xffff)
    return bytes(out)


def cut(frame, size):
    """The packets that a super-frame represents; size 0: it is a single packet."""
    p = Parts(frame)
    payload = frame[p.payload:] if size else b""
    if not size or len(payload) <= size:
        return [finish(frame)]
    out = []
    for at in range(0, len(payload), size):
        part, head = payload[at:at + size], bytearray(frame[:p.payload])
        if p.version == 4:
            struct.pack_into("!H", head, p.l3 + 2, len(head) - p.l3 + len(part))
            ident = struct.unpack_from("!H", head, p.l3 + 4)[0]
            struct.pack_into("!H", head, p.l3 + 4, (ident + len(out)) & 0xffff)
        else:
            struct.pack_into("!H", head, p.l3 + 4, len(head) - p.l3 - 40 + len(part))
        if p.protocol == UDP:
            struct.pack_into("!H", head, p.l4 + 4, 8 + len(part))
        else:
            struct.pack_into("!I", head, p.l4 + 4, struct.unpack_from("!I", head, p.l4 + 4)[0] + at & 0xffffffff)
            if at + size < len(payload):
                head[p.l4 + 13] &= ~(FIN | PSH)
            if at:
                head[p.l4 + 13] &= ~CWR
        out.append(finish(bytes(head) + part))
    return out


def flows(packets):
    """Packets by flow, as a receiver distinguishes them, each in order. A meaningless id (RFC 6864) is omitted."""
    found = collections.defaultdict(list)
    for packet in packets:
        p, out = Parts(packet), bytearray(packet)
        if p.version == 4 and packet[p.l3 + 6] == 0x40:
            struct.pack_into("!H", out, p.l3 + 4, 0)
            struct.pack_into("!H", out, p.l3 + 10, 0)
        name = packet[:p.l3] + (packet[p.l4:p.l4 + 4] + bytes([p.protocol]) if p.l4 else b"other")
        found[name].append(bytes(out))
    return found


class Interface:
    """A packet socket with offload metadata."""

    def __init__(self, client):
        self.socket = client.host.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.bind(("eps0", 3))
        self.socket.settimeout(1 * PATIENCE)

    def send(self, frame, size=0):
        """size: of a super-frame's segments."""
        p = Parts(frame)
        header = bytes(10)
        if p.l4:
            gso = 0
            if size:
                gso = GSO_UDP if p.protocol == UDP else GSO_TCP4 if p.version == 4 else GSO_TCP6
                if p.protocol == TCP and frame[p.l4 + 13] & CWR:
                    gso |= GSO_ECN
            header = struct.pack("=BBHHHH", NEEDS_CSUM, gso, p.payload if size else 0, size, p.l4, p.csum - p.l4)
        self.socket.send(header + frame)

    def receive(self, packets, sizes):
        """Adds the packets of the next frame from the other end, and its segment size; False when none comes."""
        while True:
            try:
                data, control, _, (_, _, kind, _, _) = self.socket.recvmsg(1 << 17, 200)
            except TimeoutError:
                return False
            if kind != PACKET_OUTGOING:
                break
        (flags, _, _, size, _, _), frame = struct.unpack("=BBHHHH", data[:10]), data[10:]
        for level, what, value in control:
            if (level, what) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value)
                if status & TP_STATUS_VLAN_VALID:
                    frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
        if not flags & NEEDS_CSUM:
            assert finish(frame) == frame or not Parts(frame).l4 or no_checksum(frame), "a wrong checksum"
        packets += cut(frame, size)
        sizes.append(size)
        return True


def no_checksum(frame):
    p = Parts(frame)
    return p.protocol == UDP and frame[p.csum:p.csum + 2] == b"\0\0"


def segments(make, count, size, last, **rest):
    """A stream of `count` packets, the last with another size; each with the sequence number that follows."""
    sequence = 1000
    for n in range(count):
        part = os.urandom(size if n + 1 < count else last)
        yield make(part, sequence=sequence, ident=0x200 + n, **rest)
        sequence += len(part)


def frames(ends):
    """(frame, segment size), in the order in which they are sent."""
    for version in 4, 6:
        for vlan in None, 7:
            at = {"version": version, "vlan": vlan}
            # Super-frames: odd last segments, of one byte, of full size; options; ECN with CWR; end and push.
            for n, (size, last, rest) in enumerate([
                    (1200, 7, {"flags": ACK | PSH}), (1348, 1347, {"options": b""}),
                    (900, 900, {"options": TIMESTAMPS + SACK}),
                    (1001, 1, {"flags": ACK | ECE | CWR | PSH, "tos": 2}), (1300, 333, {"flags": ACK | FIN})]):
                yield ends.tcp(os.urandom(size * 12 + last), port=4000 + n, **rest, **at), size
            for n, (size, last) in enumerate([(1000, 333), (1200, 1200), (1331, 1)]):
                yield ends.udp(os.urandom(size * 12 + last), port=4000 + n, **at), size
            # Three streams of single packets that alternate, one of them with a changing window.
            streams = [segments(ends.tcp, 9, 1000, 11, port=4100, **at),
                       segments(ends.tcp, 9, 700, 701, port=4101, **at),
                       (ends.tcp(os.urandom(500), sequence=1000 + 500 * n, window=500 + n // 3, port=4102, **at)
                        for n in range(9))]
            for together in zip(*streams, strict=True):
                for frame in together:
                    yield frame, 0
            # Out of order, and duplicated.
            late = list(segments(ends.tcp, 8, 800, 801, port=4103, **at))
            for n in 0, 2, 1, 3, 3, 5, 6, 4, 7, 7:
                yield late[n], 0
            # Single ones: empty, short, and others that are never joined.
            options = bytes.fromhex("020404000402080a0000000100000000")
            yield ends.tcp(b"", flags=SYN, options=options, port=4104, **at), 0
            yield ends.tcp(b"x", flags=ACK | URG, port=4105, **at), 0
            for size in 0, 1, 2, 1331:
                yield ends.udp(os.urandom(size), port=4106, **at), 0
    for n in range(4):
        yield ends.tcp(os.urandom(1000), sequence=1000 + 1000 * n, port=4107, flags=ACK | ECE, tos=1), 0
        yield ends.udp(os.urandom(600), port=4108, version=6, extension=bytes([UDP, 0, 1, 4, 0, 0, 0, 0])), 0
        # Fragments of two packets, between whole ones; router alert; another protocol with and without a tag.
        yield ends.ip(os.urandom(1376), UDP, ident=0x300, flags=0x2000 | 172 * n), 0
        piece = bytes([UDP, 0]) + struct.pack("!HI", 168 * 8 * n | 1, 9) + os.urandom(1344)
        yield ends.ip(piece, FRAGMENT, version=6), 0
        yield ends.tcp(os.urandom(300), sequence=1000 + 300 * n, port=4109, ident=n), 0
        yield ends.udp(os.urandom(301), port=4110, ident=n, options=bytes.fromhex("94040000")), 0
        yield ends.ethernet(0x88b5, os.urandom(46 + n)), 0
        yield ends.ethernet(0x88b5, os.urandom(46 + n), vlan=9), 0


@pytest.mark.parametrize("offload_a, offload_b", [("auto", "auto"), ("auto", "none"), ("none", "auto"),
                                                  ("csum,gso", "csum,tso"), ("none", "none")])
def test_frames_of_every_kind(network, offload_a, offload_b):
    a, b = pair(network, offload_a, offload_b)
    for client in a, b:
        client.host.run("nft", "add table inet quiet; add chain inet quiet in { type filter hook input priority 0; }; "
                               "add rule inet quiet in iifname eps0 meta l4proto { tcp, udp } drop")
    ends = Ends(a, b)
    out, into = Interface(a), Interface(b)
    sent, came, sizes = [], [], []
    for n, (frame, size) in enumerate(frames(ends), 1):
        out.send(frame, size)
        sent += cut(frame, size)
        # A worker that waits for a processor takes a long queue for a standing one, and shortens it.
        while n % 8 == 0 and len(came) < len(sent) and into.receive(came, sizes):
            pass
    while into.receive(came, sizes):
        pass
    super_frames = sum(1 for size in sizes if size)
    print(f"{len(sent)} packets left, {len(sizes)} frames came, {super_frames} of them super-frames")
    assert (super_frames > 10) == (offload_b in ("auto", "csum,tso")), "joined where b takes that"
    wanted, found = flows(sent), flows(p for p in came if p[:12] == ends.macs)
    for name, packets in wanted.items():
        assert found[name] == packets, name.hex()
