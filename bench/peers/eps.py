# SPDX-License-Identifier: MIT
"""EPS Conduits with its defaults: a server on S, clients on A and B, which take the direct path as soon as they can."""

import json
import os
import pathlib
import re

from lab import sh, wait_until
from peer import OTHER, OUTER
from peer import Peer as Base

BIN = pathlib.Path(os.environ.get("EPS_BIN", pathlib.Path(__file__).parents[2] / "build/release/src/app"))


class Peer(Base):
    layer = "TAP"
    cipher = "AES-256-GCM (Noise)"
    options = ()
    ours = True
    relays = True
    programs = ("eps-server", "eps-client", "eps")

    def __init__(self, lab, label, programs_directory=None):
        super().__init__(lab, label, programs_directory or BIN)

    def device(self, who):
        return "eps0"

    def start(self, who, program, *options):
        return self.spawn(who, self.bin(program), "--conf", self.path(who + ".conf"),
                          "--state", self.path("state-" + who), "--socket", self.path("socket-" + who),
                          "--log", self.path(who + ".log"), *options)

    def status(self, who):
        """None while it does not answer."""
        out = sh(self.bin("eps"), "--socket", self.path("socket-" + who), "--json", "status", check=False)
        return json.loads(out) if out else None

    def prepare(self):
        """The server makes the network's key at its first start."""
        self.up_server()
        key = re.search(r"^key = .*$", self.path("s.conf").read_text(), re.M).group()
        for who in "ab":
            self.write(who + ".conf", key + "\n")
        self.down()

    def up_server(self):
        mtu = () if self.lab.mtu == 1500 else ("--mtu", self.lab.mtu)
        self.start("s", "eps-server", "--network", "10.99.7.0/24", "--sequential", *mtu)
        wait_until(lambda: self.status("s"), f"{self.label}: the server answers", pause=0.01)

    def up_node(self, who):
        self.start(who, "eps-client", "--server", OUTER["s"], "--name", who, *self.options)
        if who == "a":  # B's first start is measured
            self.wait_address(who)

    def wait_address(self, who):
        status = wait_until(lambda: (s := self.status(who)) and s["address"] and s, f"{self.label}: {who} joins")
        self.inner[who] = status["address"].split("/")[0]

    def path_of(self, who):
        return {p["name"]: p["path"] for p in self.status(who)["peers"]}.get(OTHER[who])

    def wait_direct(self):
        for who in "ab":
            wait_until(lambda who=who: self.path_of(who) == "direct", f"{self.label}: {who} has a direct path",
                       self.settle_seconds)
