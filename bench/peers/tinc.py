# SPDX-License-Identifier: MIT
"""tinc 1.0, switch mode: layer 2 (TAP), no server. Cipher and digest are the strong values that its manual names."""

from lab import sh
from peer import INNER_BITS, OTHER, OUTER
from peer import Peer as Base


class Peer(Base):
    layer = "TAP"
    cipher = "AES-256-CBC and HMAC-SHA256/128 (RSA-3072 handshake)"
    note = "clamps the MSS to the path MTU that it finds"
    packages = ("tinc",)
    programs = ("tincd",)
    inner_mtu = 1500

    def prepare(self):
        for who, other in OTHER.items():
            connect = f"ConnectTo = {other}\n" if who == "b" else ""
            self.write(f"{who}/tinc.conf", f"Name = {who}\nMode = switch\nDeviceType = tap\nInterface = "
                                           f"{self.device(who)}\nAddressFamily = ipv4\n{connect}")
            self.write(f"{who}/tinc-up", f"#!/bin/sh\nip addr replace {self.inner[who]}/{INNER_BITS} dev $INTERFACE\n"
                                         "ip link set $INTERFACE up\n", 0o755)
            self.write(f"{who}/hosts/{who}", f"Address = {OUTER[who]}\nCipher = aes-256-cbc\nDigest = sha256\n"
                                             "MACLength = 16\nCompression = 0\n")
            sh(self.bin("tincd"), "-c", self.path(who), "-K3072")
        for who, other in OTHER.items():
            self.write(f"{other}/hosts/{who}", self.path(who, "hosts", who).read_text())

    def up_node(self, who):
        self.spawn(who, self.bin("tincd"), "-D", "-c", self.path(who), f"--pidfile={self.path(who + '.pid')}")
