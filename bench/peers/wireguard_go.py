# SPDX-License-Identifier: MIT
"""WireGuard in user space (wireguard-go): layer 3 (TUN), no server.

From the releases of 2023 on it moves large TCP segments through the TUN device and UDP in GSO and GRO batches; Debian
12 has one of 2022, its backports a newer one."""

from lab import sh, wait_until
from peer import OTHER, OUTER
from peer import Peer as Base


class Peer(Base):
    layer = "TUN"
    cipher = "ChaCha20-Poly1305 (Noise IK)"
    packages = ("wireguard-go", "wireguard-tools")
    programs = ("wireguard-go", "wg")
    inner_mtu = 1420

    def prepare(self):
        keys = {who: sh("wg", "genkey").strip() for who in "ab"}
        for who, other in OTHER.items():
            self.write(other + ".key", keys[other])
            public = sh("sh", "-c", f"wg pubkey < {self.path(other + '.key')}").strip()
            self.write(who + ".conf", f"""[Interface]
PrivateKey = {keys[who]}
ListenPort = 51820
[Peer]
PublicKey = {public}
AllowedIPs = {self.inner[other]}/32
Endpoint = {OUTER[other]}:51820
PersistentKeepalive = 25
""")

    def up_node(self, who):
        device = self.device(who)
        self.spawn(who, self.bin("wireguard-go"), "-f", device)
        self.wait_device(who)
        wait_until(lambda: self.host(who).run("wg", "show", device, check=False), "wireguard-go answers", 5, 0.005)
        self.host(who).run("wg", "setconf", device, self.path(who + ".conf"))
        self.set_address(who)
