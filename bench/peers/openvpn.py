# SPDX-License-Identifier: MIT
"""OpenVPN 2, TAP over UDP: a server (A) and a client (B), certificates and tls-crypt; in user space, as TAP must."""

from lab import sh
from peer import OUTER
from peer import Peer as Base

CONFIGURATION = """dev {device}
dev-type tap
proto udp4
ca {directory}/ca.crt
cert {directory}/{who}.crt
key {directory}/{who}.key
tls-crypt {directory}/tc.key
data-ciphers AES-256-GCM
fast-io
verb 1
sndbuf 1048576
rcvbuf 1048576
persist-key
keepalive 10 60
"""
SERVER = """server 10.99.7.0 255.255.255.0
local {address}
port 1194
dh none
remote-cert-tls client
"""
CLIENT = """client
remote {address} 1194
nobind
remote-cert-tls server
"""


class Peer(Base):
    layer = "TAP"
    cipher = "AES-256-GCM (TLS 1.3, ECDSA P-256, tls-crypt)"
    note = "with its default mssfix"
    packages = ("openvpn", "openssl")
    programs = ("openvpn", "openssl")
    inner_mtu = 1500

    def prepare(self):
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        sh("openssl", "req", "-x509", *curve, "-keyout", self.path("ca.key"), "-out", self.path("ca.crt"),
           "-subj", "/CN=ca", "-days", 30)
        for who, usage, role in ("a", "serverAuth", SERVER), ("b", "clientAuth", CLIENT):
            sh("openssl", "req", *curve, "-keyout", self.path(who + ".key"), "-out", self.path(who + ".csr"),
               "-subj", "/CN=" + who)
            extensions = self.write(who + ".ext", f"extendedKeyUsage={usage}\nkeyUsage=digitalSignature\n")
            sh("openssl", "x509", "-req", "-in", self.path(who + ".csr"), "-CA", self.path("ca.crt"), "-CAkey",
               self.path("ca.key"), "-CAcreateserial", "-out", self.path(who + ".crt"), "-days", 30,
               "-extfile", extensions)
            self.write(who + ".conf", (CONFIGURATION + role).format(
                device=self.device(who), directory=self.directory, who=who, address=OUTER["a"]))
        sh(self.bin("openvpn"), "--genkey", "tls-crypt", self.path("tc.key"))

    def up_node(self, who):
        self.spawn(who, self.bin("openvpn"), "--config", self.path(who + ".conf"))
