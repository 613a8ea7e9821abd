# SPDX-License-Identifier: MIT
"""Observes and sends on the underlay: frames of a Lab's switch, and streams and datagrams between hosts."""

import dataclasses
import hashlib
import itertools
import os
import socket
import struct
import threading
import time

from lab import inside

ETH_P_ALL = 3
PACKET_OUTGOING = 4


@dataclasses.dataclass
class Datagram:
    """A UDP datagram in IPv4, and the frame that carried it."""
    source: tuple
    target: tuple
    payload: bytes
    frame: bytes

    @property
    def type(self):  # see docs/protocol.md
        return self.payload[0]

    def with_payload(self, payload):
        """The frame with another payload; without a UDP checksum, as IPv4 allows."""
        header = (self.frame[14] & 15) * 4
        ip = bytearray(self.frame[14:14 + header])
        struct.pack_into("!H", ip, 2, header + 8 + len(payload))
        struct.pack_into("!H", ip, 10, 0)
        total = sum(struct.unpack(f"!{header // 2}H", ip))
        total = (total & 0xffff) + (total >> 16)
        struct.pack_into("!H", ip, 10, ~((total & 0xffff) + (total >> 16)) & 0xffff)
        udp = struct.pack("!HHHH", self.source[1], self.target[1], 8 + len(payload), 0)
        return self.frame[:14] + bytes(ip) + udp + payload


def parse_datagram(frame):
    """None for anything but unfragmented UDP over IPv4."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != 17 or frame[20] & 0x3f or frame[21]:
        return None
    udp = 14 + (frame[14] & 15) * 4
    source_port, target_port, size = struct.unpack_from("!HHH", frame, udp)
    return Datagram((socket.inet_ntoa(frame[26:30]), source_port), (socket.inet_ntoa(frame[30:34]), target_port),
                    frame[udp + 8:udp + size], frame)


class Sniffer:
    """Records every frame that enters the switch while the `with` block runs."""

    def __init__(self, lab):
        with inside(lab.switch):
            self._record(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)))

    def _record(self, packet_socket):
        self.frames = []
        self.socket = packet_socket
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.settimeout(0.1)
        self.thread = threading.Thread(target=self._read, daemon=True)

    def _read(self):
        while self.running:
            try:
                frame, (port, _, kind, _, _) = self.socket.recvfrom(1 << 17)
            except TimeoutError:
                continue
            if kind != PACKET_OUTGOING and port != "br0":
                self.frames.append(frame)

    def __enter__(self):
        self.running = True
        self.thread.start()
        return self

    def __exit__(self, *_):
        time.sleep(0.15)
        self.running = False
        self.thread.join()
        self.socket.close()

    def datagrams(self, source=None, target=None, kind=None):
        """From one host to another, and of one type."""
        for frame in list(self.frames):
            d = parse_datagram(frame)
            if (d and source in (None, d.source[0]) and target in (None, d.target[0])
                    and (kind is None or (d.payload and d.type == kind))):
                yield d


def inject(lab, host, *frames):
    """Lets frames arrive at a host, as if the switch had forwarded them."""
    with inside(lab.switch), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
        s.bind((host.port, 0))
        for frame in frames:
            s.send(frame)


def raw_socket(host, device):
    """Observes and sends whole frames on a host's device."""
    s = host.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.bind((device, ETH_P_ALL))
    return s


class Stream:
    """A TCP stream of `megabytes`, sent evenly over some seconds; checks what arrives in the meantime."""

    CHUNK = 10_000

    def __init__(self, sender, receiver, address, megabytes=8, seconds=8, port=5001):
        listener = receiver.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
        self.out = sender.socket()
        self.out.connect((address, port))
        self.into, _ = listener.accept()
        listener.close()
        for s in self.out, self.into:
            s.settimeout(60)
        self.chunks, self.pause = megabytes * 1_000_000 // self.CHUNK, seconds * self.CHUNK / (megabytes * 1_000_000)
        self.sent, self.came, self.size, self.arrivals = hashlib.sha256(), hashlib.sha256(), 0, []
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        next_at = time.monotonic()
        for _ in range(self.chunks):
            chunk = os.urandom(self.CHUNK)
            self.sent.update(chunk)
            self.out.sendall(chunk)
            next_at = max(next_at + self.pause, time.monotonic() - 1)
            time.sleep(max(0, next_at - time.monotonic()))
        self.out.shutdown(socket.SHUT_WR)

    def _receive(self):
        while block := self.into.recv(1 << 20):
            self.arrivals.append(time.monotonic())
            self.came.update(block)
            self.size += len(block)

    def end(self, timeout=60):
        """Waits until everything has arrived, unaltered; returns the longest time in which nothing arrived."""
        for thread in self.threads:
            thread.join(timeout)
        assert self.size == self.chunks * self.CHUNK, f"{self.size} bytes have come"
        assert self.sent.digest() == self.came.digest()
        self.out.close()
        self.into.close()
        return max(b - a for a, b in itertools.pairwise(self.arrivals))


def endpoint(host, address, port, device="eps0"):
    """Family and address for a socket of the host; the device is the scope of a link-local address."""
    if ":" not in address:
        return socket.AF_INET, (address, port)
    index = int(host.run("cat", f"/sys/class/net/{device}/ifindex"))
    return socket.AF_INET6, (address, port, 0, index)


def transfer(sender, receiver, address, size, port=5001, device="eps0"):
    """Sends `size` bytes over TCP; returns the SHA-256 of the sent and of the received data, and the seconds."""
    family, here = endpoint(receiver, address, port, device)
    listener = receiver.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(here)
    listener.listen()
    came = hashlib.sha256()

    def receive():
        connection, _ = listener.accept()
        connection.settimeout(60)
        while block := connection.recv(1 << 20):
            came.update(block)
        connection.close()

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    sent, block, begin = hashlib.sha256(), bytearray(os.urandom(1 << 20)), time.monotonic()
    with sender.socket(family) as s:
        s.settimeout(60)
        s.connect(endpoint(sender, address, port, device)[1])
        for n in range(0, size, len(block)):
            struct.pack_into("!Q", block, 0, n)  # no two blocks are the same
            part = block[:size - n]
            sent.update(part)
            s.sendall(part)
    thread.join()
    listener.close()
    return sent.hexdigest(), came.hexdigest(), time.monotonic() - begin


def udp_receiver(host, address="0.0.0.0", port=5002, family=socket.AF_INET):
    s = host.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    s.settimeout(2)
    return s


def received(s, seconds=2.0):
    """The payloads that arrive within the time; ends early after the first pause of a quarter second."""
    found, end = [], time.monotonic() + seconds
    s.settimeout(0.25)
    while time.monotonic() < end:
        try:
            found.append(s.recv(1 << 16))
        except TimeoutError:
            if found:
                break
    return found
