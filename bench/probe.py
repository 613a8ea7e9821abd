# SPDX-License-Identifier: MIT
"""The first answer: ICMP echo requests from a host, every few milliseconds, until one is answered."""

import os
import select
import socket
import struct
import threading
import time


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


class FirstAnswer(threading.Thread):
    """Asks from now on; `wait()` gives the time.monotonic() of the first answer."""

    PAUSE = 0.01

    def __init__(self, host, address, limit=60):
        super().__init__(daemon=True)
        self.address, self.limit, self.answered = address, limit, None
        self.socket = host.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.socket.setblocking(False)
        self.identity = os.getpid() & 0xffff
        self.start()

    def run(self):
        end, sequence = time.monotonic() + self.limit, 0
        while self.answered is None and time.monotonic() < end:
            sequence = (sequence + 1) & 0xffff
            head = struct.pack("!BBHHH", 8, 0, 0, self.identity, sequence)
            try:
                self.socket.sendto(head[:2] + struct.pack("!H", checksum(head)) + head[4:], (self.address, 0))
            except OSError:
                pass  # no interface and no route yet
            until = time.monotonic() + self.PAUSE
            while self.answered is None and (left := until - time.monotonic()) > 0:
                if select.select([self.socket], [], [], left)[0]:
                    self.look()

    def look(self):
        now = time.monotonic()
        try:
            packet, (source, _) = self.socket.recvfrom(2048)
        except OSError:
            return
        icmp = packet[(packet[0] & 15) * 4:]
        if source == self.address and icmp[:1] == b"\0" and icmp[4:6] == struct.pack("!H", self.identity):
            self.answered = now

    def wait(self):
        self.join()
        self.socket.close()
        if self.answered is None:
            raise RuntimeError(f"no ping was answered within {self.limit} s")
        return self.answered
