# SPDX-License-Identifier: MIT
"""Joins two devices of a namespace and disturbs UDP in transit: forwarder.py LEFT RIGHT REORDER DUPLICATE

REORDER and DUPLICATE are percentages. A reordered frame is up to eight frames or five milliseconds late. Of the
duplicated frames a third is repeated at once, a third a few frames later, and a third after thousands of frames.
It does what nftables cannot do, for kernels without netem.
"""

import collections
import random
import select
import socket
import struct
import sys
import time

ETH_P_ALL, PACKET_OUTGOING, PACKET_IGNORE_OUTGOING = 3, 4, 23
LATE_FRAMES, LATE_SECONDS = 8, 0.005
LONG = 9000  # more than a replay window


def carries_udp(frame):
    return (frame[12:14] == b"\x08\x00" and frame[23] == 17) or (frame[12:14] == b"\x86\xdd" and frame[20] == 17)


class Way:
    """One direction."""

    def __init__(self, source, target, reorder, duplicate):
        self.source, self.target, self.reorder, self.duplicate = source, target, reorder / 100, duplicate / 100
        self.late = []                    # (after which frame, until when, frame)
        self.again = collections.deque()  # (after which frame, frame)
        self.passed = 0

    def send(self, frame):
        try:
            self.target.send(frame)
        except OSError:
            pass  # its queue is full: lost, as on any wire
        self.passed += 1

    def take(self, frame):
        if not carries_udp(frame):
            return self.send(frame)
        if random.random() < self.reorder:
            self.late.append((self.passed + random.randint(1, LATE_FRAMES), time.monotonic() + LATE_SECONDS, frame))
            return
        self.send(frame)
        if random.random() < self.duplicate:
            pick = random.randrange(3)
            if pick == 0:
                self.send(frame)
            elif pick == 1:
                self.late.append((self.passed + random.randint(1, LATE_FRAMES), time.monotonic() + LATE_SECONDS, frame))
            else:
                self.again.append((self.passed + LONG, frame))

    def due(self):
        now = time.monotonic()
        for entry in [e for e in self.late if e[0] <= self.passed or e[1] <= now]:
            self.late.remove(entry)
            self.send(entry[2])
        while self.again and self.again[0][0] <= self.passed:
            self.send(self.again.popleft()[1])

    def read(self):
        for _ in range(64):
            try:
                self.take(self.source.recv(1 << 16))
            except BlockingIOError:
                break
            self.due()


def open_device(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.setsockopt(263, PACKET_IGNORE_OUTGOING, struct.pack("@i", 1))  # SOL_PACKET
    s.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)                    # SO_RCVBUFFORCE
    s.setsockopt(socket.SOL_SOCKET, 32, 16 << 20)                    # SO_SNDBUFFORCE
    s.bind((name, ETH_P_ALL))
    s.setblocking(False)
    return s


def main(left, right, reorder, duplicate):
    random.seed(1)
    left, right = open_device(left), open_device(right)
    ways = {s: Way(s, t, reorder, duplicate) for s, t in ((left, right), (right, left))}
    print("ready", flush=True)
    while True:
        waiting = any(way.late for way in ways.values())
        ready, _, _ = select.select(list(ways), [], [], LATE_SECONDS if waiting else 1)
        for s in ready:
            ways[s].read()
        for way in ways.values():
            way.due()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
