# SPDX-License-Identifier: MIT
"""fastd: layer 2 (TAP), no server. The method that its manual recommends for speed."""

from lab import sh
from peer import INNER_BITS, OTHER, OUTER
from peer import Peer as Base


class Peer(Base):
    layer = "TAP"
    method = "salsa2012+umac"
    cipher = "Salsa20/12 and UMAC (handshake ec25519-fhmqvc)"
    packages = ("fastd",)
    programs = ("fastd",)
    inner_mtu = 1426

    def prepare(self):
        keys = {}
        for who in "ab":
            lines = sh(self.bin("fastd"), "--generate-key").splitlines()
            keys[who] = dict(line.lower().replace(" ", "").split(":") for line in lines if ":" in line)
        for who, other in OTHER.items():
            self.write(who + ".conf", f"""log level warn;
mode tap;
interface "{self.device(who)}";
method "{self.method}";
bind {OUTER[who]}:10000;
mtu {self.inner_mtu};
secret "{keys[who]['secret']}";
on up "ip addr replace {self.inner[who]}/{INNER_BITS} dev $INTERFACE; ip link set $INTERFACE up";
peer "{other}" {{ key "{keys[other]['public']}"; remote {OUTER[other]}:10000; }}
""")

    def up_node(self, who):
        self.spawn(who, self.bin("fastd"), "--config", self.path(who + ".conf"))
