# SPDX-License-Identifier: MIT
"""Nebula: layer 3 (TUN), a lighthouse on S, nodes talk directly.

The MTU is raised from the careful default of 1300 to the largest that fits the outer 1500; batch is the documented
default of 64."""

from lab import sh
from peer import INNER, INNER_BITS, OUTER
from peer import Peer as Base

CONFIGURATION = """
pki: {{ca: {directory}/ca.crt, cert: {directory}/{who}.crt, key: {directory}/{who}.key}}
static_host_map: {{"{lighthouse}": ["{server}:4242"]}}
lighthouse: {{am_lighthouse: {is_server}, interval: 60, hosts: {hosts}}}
relay: {{am_relay: {is_server}, use_relays: true, relays: {hosts}}}
listen: {{host: 0.0.0.0, port: 4242, batch: 64, read_buffer: 10485760, write_buffer: 10485760}}
punchy: {{punch: true, respond: true}}
cipher: aes
tun: {{disabled: {is_server}, dev: {device}, tx_queue: 500, mtu: {mtu}}}
logging: {{level: warning, format: text}}
firewall:
  outbound: [{{port: any, proto: any, host: any}}]
  inbound: [{{port: any, proto: any, host: any}}]
"""


class Peer(Base):
    layer = "TUN"
    cipher = "AES-256-GCM (Noise IX, Curve25519 certificates)"
    packages = ("nebula",)
    programs = ("nebula", "nebula-cert")
    inner_mtu = 1440
    relays = True

    def prepare(self):
        cert, authority = self.bin("nebula-cert"), [self.path("ca.crt"), self.path("ca.key")]
        sh(cert, "ca", "-name", "bench", "-out-crt", authority[0], "-out-key", authority[1])
        for who in "abs":
            sh(cert, "sign", "-name", who, "-ip", f"{INNER[who]}/{INNER_BITS}", "-ca-crt", authority[0], "-ca-key",
               authority[1], "-out-crt", self.path(who + ".crt"), "-out-key", self.path(who + ".key"))
            hosts = "[]" if who == "s" else f'["{INNER["s"]}"]'
            self.write(who + ".yml", CONFIGURATION.format(
                directory=self.directory, who=who, lighthouse=INNER["s"], server=OUTER["s"], hosts=hosts,
                is_server=str(who == "s").lower(), device=self.device(who), mtu=self.inner_mtu))

    def up_server(self):
        self.spawn("s", self.bin("nebula"), "-config", self.path("s.yml"))

    def up_node(self, who):
        self.spawn(who, self.bin("nebula"), "-config", self.path(who + ".yml"))
