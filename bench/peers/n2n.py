# SPDX-License-Identifier: MIT
"""n2n 1.3, the release that Debian carries: layer 2 (TAP), a supernode on S, edges talk directly.

Its one cipher does not authenticate what it encrypts. With its default MTU of 1400 frames of full size are fragmented
on an outer MTU of 1500."""

from peer import INNER, OUTER
from peer import Peer as Base

PORT = 7654


class Peer(Base):
    layer = "TAP"
    cipher = "Twofish-CBC, not authenticated"
    packages = ("n2n",)
    programs = ("supernode", "edge")
    inner_mtu = 1400
    relays = True

    def up_server(self):
        self.spawn("s", self.bin("supernode"), "-l", PORT)

    def up_node(self, who):
        self.spawn(who, self.bin("edge"), "-d", self.device(who), "-a", INNER[who], "-s", "255.255.255.0",
                   "-c", "bench", "-k", "correct-horse-battery", "-l", f"{OUTER['s']}:{PORT}", "-p", 50001,
                   "-m", f"02:99:07:00:00:0{'ab'.index(who) + 1}", "-M", self.inner_mtu)
