# SPDX-License-Identifier: MIT
"""Shared by the tests of offloads: frames as seen at an interface, their checksums, and counters."""

import contextlib
import itertools
import os
import socket
import struct
import time

from eps import PATIENCE
from wire import ETH_P_ALL, Sniffer, endpoint

ALL = ["csum", "tso", "uso", "gso", "gro"]


def counter(host, protocol, name):
    """As nstat shows it, of IPv4 and IPv6 together: counter(h, "Udp", "InDatagrams")."""
    rows = [line.split() for line in host.run("cat", "/proc/net/snmp").splitlines() if line.startswith(protocol + ":")]
    six = dict(line.split() for line in host.run("cat", "/proc/net/snmp6").splitlines())
    return int(dict(zip(*rows, strict=True))[name]) + int(six.get(f"{protocol}6{name}", 0))


def ones_sum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    return total


def checksums_hold(frame):
    """Whether the checksums of IPv4, TCP and UDP are correct; true for anything else, and for fragments."""
    at, kind = 14, frame[12:14]
    if kind == b"\x08\x00":
        header = (frame[at] & 15) * 4
        ip = frame[at:at + struct.unpack_from("!H", frame, at + 2)[0]]
        if ones_sum(ip[:header]) != 0xffff:
            return False
        if struct.unpack_from("!H", ip, 6)[0] & 0x3fff:
            return True
        protocol, addresses = ip[9], ip[12:20]
    elif kind == b"\x86\xdd":
        header = 40
        ip = frame[at:at + 40 + struct.unpack_from("!H", frame, at + 4)[0]]
        protocol, addresses = ip[6], ip[8:40]
    else:
        return True
    if protocol not in (6, 17):
        return True
    segment = ip[header:]
    return ones_sum(addresses + struct.pack("!II", len(segment), protocol) + segment) == 0xffff


class Capture(Sniffer):
    """Records the frames that come in through a host's device while the `with` block runs."""

    def __init__(self, host, device):
        packet_socket = host.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        packet_socket.bind((device, ETH_P_ALL))
        self._record(packet_socket)


def datagrams(sender, receiver, target, count):
    """Sends datagrams of all sizes, runs of the kernel's own among them; (how many left, those that came)."""
    family, here = endpoint(receiver, target, 5002)
    inbox = receiver.socket(family, socket.SOCK_DGRAM)
    inbox.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    inbox.bind(here)
    numbers = itertools.count()
    sent = []

    def payload(size):
        sent.append(struct.pack("!I", next(numbers)) + os.urandom(size - 4))
        return sent[-1]

    with sender.socket(family, socket.SOCK_DGRAM) as out:
        out.connect(endpoint(sender, target, 5002)[1])
        for n in range(count):
            size = (4, 17, 100, 1000, 1351, 1352, 1353, 5000)[n % 8]  # 1352 fills the MTU in IPv6
            if n % 16 == 15:
                segments = [payload(1200) for _ in range(19)] + [payload(333)]
                out.setsockopt(socket.SOL_UDP, 103, 1200)  # UDP_SEGMENT
                out.send(b"".join(segments))
                out.setsockopt(socket.SOL_UDP, 103, 0)
            else:
                out.send(payload(size))
            if n % 4 == 3:
                time.sleep(0.001)
    came = []
    inbox.settimeout(0.05)
    silent = 0  # how often nothing had arrived: a pause of the whole computer counts once
    while len(came) < len(sent) and silent < 10 * PATIENCE:
        try:
            came.append(inbox.recv(1 << 16))
            silent = 0
        except TimeoutError:
            silent += 1
    with contextlib.suppress(TimeoutError):
        came.append(inbox.recv(1 << 16))  # there is no more
    inbox.close()
    assert len(came) == len(set(came)), "no datagram comes twice"
    assert set(came) <= set(sent), "none is altered"
    return len(sent), len(came)
