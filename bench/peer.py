# SPDX-License-Identifier: MIT
"""The base of every VPN in the benchmark. One file per VPN in peers/ implements its start:

    prepare()      keys and configuration under self.directory, once
    up_server()    on S, where it needs one
    up_node(who)   the daemon of node "a" or "b", in the foreground
    device(who)    the name of its virtual interface

Outside, A, B and S are 10.99.0.1 to 10.99.0.3; inside, A and B are 10.99.7.1 and 10.99.7.2.
"""

import itertools
import json
import os
import pathlib
import signal
import time

import accounting
from lab import sh, wait_until

OUTER = {"a": "10.99.0.1", "b": "10.99.0.2", "s": "10.99.0.3"}
INNER = {"a": "10.99.7.1", "b": "10.99.7.2", "s": "10.99.7.3"}
INNER_BITS = 24
OTHER = {"a": "b", "b": "a"}


class Peer:
    layer = "?"          # TAP or TUN
    cipher = "?"
    note = ""
    packages = ()        # Debian packages with its programs
    programs = ()        # required for measuring it
    inner_mtu = None     # None: what the daemon sets
    ours = False
    relays = False       # relays through S if A and B cannot reach each other
    settle_seconds = 8   # at most, until a direct path has replaced a relayed one

    def __init__(self, lab, label, programs_directory=None):
        self.lab, self.label, self.directory = lab, label, lab.directory / label
        self.programs_directory = programs_directory
        self.relaying = False
        self.processes = {"a": [], "b": [], "s": []}
        self.inner = dict(INNER)
        self.directory.mkdir()

    def bin(self, name):
        """The program, preferably from the folder given for this peer."""
        own = self.programs_directory and pathlib.Path(self.programs_directory) / name
        return str(own) if own and os.access(own, os.X_OK) else name

    def host(self, who):
        return self.lab.hosts[who]

    def path(self, *parts):
        return self.directory.joinpath(*parts)

    def write(self, name, text, mode=0o600):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def spawn(self, who, *argv):
        process = self.host(who).spawn(*argv)
        self.processes[who].append(process)
        return process

    def wait_device(self, who, limit=10):
        wait_until(lambda: f" {self.device(who)}:" in sh("ip", "-n", self.host(who).namespace, "-o", "link"),
                   f"{self.label}: interface {self.device(who)}", limit, 0.01)

    def set_address(self, who):
        """Gives the virtual interface its address and brings it up."""
        host = self.host(who)
        host.ip("addr", "replace", f"{self.inner[who]}/{INNER_BITS}", "dev", self.device(who))
        mtu = ["mtu", self.inner_mtu] if self.inner_mtu else []
        host.ip("link", "set", self.device(who), *mtu, "up")

    def device(self, who):
        return "vpn" + who

    def mtu(self):
        return json.loads(self.host("b").ip("-j", "link", "show", "dev", self.device("b")))[0]["mtu"]

    def prepare(self):
        pass

    def up_server(self):
        pass

    def up_node(self, who):
        raise NotImplementedError

    def wait_direct(self):
        """Waits until traffic goes directly from A to B. By default: until hardly any of it passes S."""
        def straight():
            before = self.server_bytes()
            self.host("b").run("ping", "-q", "-i", 0.01, "-c", 50, "-s", 1000, self.inner["a"], check=False)
            return self.server_bytes() - before < 20_000  # of 100 000
        wait_until(straight, f"{self.label}: a direct path", self.settle_seconds)

    def server_bytes(self):
        """What S has received."""
        return int(self.host("s").run("cat", "/sys/class/net/eth0/statistics/rx_bytes"))

    def pids(self, *who):
        roots = [p.pid for name, processes in self.processes.items() if not who or name in who for p in processes]
        return accounting.descendants(roots)

    def ended(self):
        """Daemons that have exited, with the end of their output."""
        return [f"{p.argv[4]} ended: {p.output()[-300:].strip()}" for processes in self.processes.values()
                for p in processes if not p.running()]

    def down(self):
        """Ends what this peer started, by pid."""
        mine = self.pids()
        for number, patience in (signal.SIGTERM, 3), (signal.SIGKILL, 2):
            for pid in filter(accounting.alive, mine):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            end = time.monotonic() + patience
            while any(map(accounting.alive, mine)) and time.monotonic() < end:
                time.sleep(0.02)
        for process in itertools.chain(*self.processes.values()):
            process.running()  # reaps it
        self.processes = {"a": [], "b": [], "s": []}
