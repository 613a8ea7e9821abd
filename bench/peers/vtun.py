# SPDX-License-Identifier: MIT
"""VTun, Ethernet over UDP: a server (A) and a client (B). The classic small TAP tunnel; its ciphers do not authenticate
what they encrypt. (With aes256cbc the session dropped as soon as TCP loaded it.)"""

from peer import INNER_BITS, OUTER
from peer import Peer as Base


class Peer(Base):
    layer = "TAP"
    cipher = "AES-128-ECB, not authenticated"
    packages = ("vtun",)
    programs = ("vtund",)
    inner_mtu = 1400

    def prepare(self):
        for who in "ab":
            script = self.write(f"up-{who}.sh", f"#!/bin/sh\nip addr replace {self.inner[who]}/{INNER_BITS} dev $1\n"
                                                f"ip link set $1 mtu {self.inner_mtu} up\n", 0o755)
            self.write(who + ".conf", f"""options {{ port 5000; timeout 60; }}
bench {{
  passwd correct-horse-battery;
  type ether;
  proto udp;
  compress no;
  encrypt aes128ecb;
  keepalive yes;
  device {self.device(who)};
  up {{ program "{script} %%" wait; }};
}}
""")

    def up_node(self, who):
        what = ["-s", "-L", OUTER["a"]] if who == "a" else ["bench", OUTER["a"]]
        self.spawn(who, self.bin("vtund"), "-n", "-f", self.path(who + ".conf"), *what)
