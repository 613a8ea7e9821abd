# SPDX-License-Identifier: MIT
"""SoftEther VPN: layer 2 (TAP), a server (A) and a client (B), eight TCP connections over TLS and its UDP acceleration,
which are its defaults. It begins with TCP and moves to UDP some ten seconds later, within a cell: read the spread.

Its programs keep their state in folders of the system; here they see folders of this run in their place."""

import time

from peer import OUTER
from peer import Peer as Base

PROGRAMS = "/usr/libexec/softether"
FOLDERS = ("/var/lib/softether", "/var/log/softether", "/run/softether")


class Peer(Base):
    layer = "TAP"
    cipher = "TLS 1.3 over eight TCP connections; UDP acceleration with a cipher of its own"
    packages = ("softether-vpnserver", "softether-vpnclient", "softether-vpncmd")
    programs = (f"{PROGRAMS}/vpnserver/vpnserver", f"{PROGRAMS}/vpnclient/vpnclient", "vpncmd")
    inner_mtu = 1500

    def device(self, who):
        return {"a": "tap_vpna", "b": "vpn_vpnb"}[who]

    def start(self, who):
        script = []
        for folder in FOLDERS:
            own = self.path("state-" + who + folder)
            own.mkdir(parents=True, exist_ok=True)
            script.append(f"mkdir -p {folder} && mount --bind {own} {folder}")
        script.append(f"exec {self.programs['ab'.index(who)]} execsvc")  # stays in the foreground
        self.spawn(who, "unshare", "-m", "sh", "-c", " && ".join(script))

    def command(self, who, *words, hub=()):
        """Asks a daemon, until it is up."""
        target = ["localhost:5555", "/SERVER", *hub] if who == "a" else ["localhost", "/CLIENT"]
        for attempt in range(20):
            try:
                return self.host(who).run(self.bin("vpncmd"), *target, "/CMD", *words)
            except RuntimeError:
                if attempt == 19:
                    raise
                time.sleep(0.3)

    def prepare(self):
        """Once; an account that is marked so then connects by itself."""
        hub = ["/ADMINHUB:DEFAULT"]
        self.start("a")
        self.start("b")
        try:
            self.command("a", "UserCreate", "u", "/GROUP:none", "/REALNAME:none", "/NOTE:none", hub=hub)
            self.command("a", "UserPasswordSet", "u", "/PASSWORD:correct-horse", hub=hub)
            self.command("a", "BridgeCreate", "DEFAULT", "/DEVICE:vpna", "/TAP:yes")
            self.command("b", "NicCreate", "vpnb")
            self.command("b", "AccountCreate", "bench", f"/SERVER:{OUTER['a']}:443", "/HUB:DEFAULT", "/USERNAME:u",
                         "/NICNAME:vpnb")
            self.command("b", "AccountPasswordSet", "bench", "/PASSWORD:correct-horse", "/TYPE:standard")
            self.command("b", "AccountDetailSet", "bench", "/MAXTCP:8", "/INTERVAL:1", "/TTL:0", "/HALF:no",
                         "/BRIDGE:no", "/MONITOR:no", "/NOTRACK:no", "/NOQOS:no", "/DISABLEUDP:no")
            self.command("b", "AccountStartupSet", "bench")
            time.sleep(1)
        finally:
            self.down()

    def up_node(self, who):
        self.start(who)
        self.wait_device(who, 20)
        self.set_address(who)
