# SPDX-License-Identifier: MIT
"""EPS daemons in a Lab.

    network.server()                 starts eps-server on a host of its own ("server", 10.77.0.1)
    network.client("a")              starts eps-client "a" on a host of its own and waits until it has joined

A daemon's options are keyword arguments: sequential=True is --sequential, network="10.1.0.0/24" is --network
10.1.0.0/24, an underscore is a hyphen. Everything a daemon writes is in its own directory.
"""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess

from lab import Lab, wait_until

BIN = pathlib.Path(os.environ.get("EPS_BIN", pathlib.Path(__file__).parents[2] / "build/release/src/app"))
SANITIZED = os.environ.get("EPS_SANITIZED", "")  # "thread", "address,undefined" or nothing
PATIENCE = 4 if SANITIZED else 1  # a sanitizer's programs are several times slower
COMPLAINTS = re.compile(r"ERROR: AddressSanitizer|ERROR: LeakSanitizer|WARNING: ThreadSanitizer|runtime error:")


class Daemon:
    def __init__(self, network, host, program, label, options):
        self.lab, self.host, self.program = network, host, program
        self.directory = network.directory / label
        self.directory.mkdir()
        self.state, self.socket = self.directory / "state", self.directory / "socket"
        self.conf, self.log_path = self.directory / "eps.conf", self.directory / f"{program.replace('-', '_')}.log"
        self.options = {"conf": self.conf, "state": self.state, "socket": self.socket, "log": self.log_path} | options
        self.process, self.launcher = None, []

    def arguments(self):
        for name, value in self.options.items():
            if value is not None and value is not False:
                yield "--" + name.replace("_", "-")
                if value is not True:
                    yield str(value)

    def start(self):
        daemon = self.lab.keep
        self.process = self.host.spawn(*self.launcher, BIN / self.program, *self.arguments(), daemon=daemon)
        return self

    def stop(self, number=signal.SIGTERM):
        return self.process.stop(number, 10 * PATIENCE)

    def kill(self):
        return self.process.kill()

    def failed(self, timeout=10):
        """Waits until it gives up; (exit code, its output)."""
        code = self.process.wait(timeout * PATIENCE)
        return code, self.process.output()

    def eps(self, *arguments, check=True):
        """On the member's own computer, whose interfaces and units some commands look at."""
        return self.host.run(BIN / "eps", "--socket", self.socket, *arguments, check=check)

    def status(self):
        """None while nobody answers."""
        done = subprocess.run([BIN / "eps", "--socket", self.socket, "--json", "status"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=10)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def ask(self, command="status"):
        """The same without starting a program: for frequent queries of many daemons."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(str(self.socket))
            s.sendall(json.dumps({"command": command}).encode() + b"\n")
            return json.loads(b"".join(iter(lambda: s.recv(1 << 16), b"")))["status"]

    def wait_status(self, condition, what, timeout=10):
        """The first status for which the condition is true."""
        def look():
            if not self.process.running():
                raise AssertionError(f"{self.program} ended ({self.process.wait()}): {self.process.output()}")
            status = self.status()
            return status if status and condition(status) else None
        return wait_until(look, f"{self.directory.name}: {what}", timeout * PATIENCE)

    def drops(self, reason):
        return self.status()["drops"].get(reason, 0)

    def log(self):
        return self.log_path.read_text() if self.log_path.exists() else ""

    def wait_log(self, pattern, timeout=10):
        return wait_until(lambda: re.search(pattern, self.log()), f"{pattern!r} in the log", timeout * PATIENCE)


class Server(Daemon):
    def wait_ready(self):
        self.wait_status(lambda s: True, "answers")
        return self

    def key(self):
        return re.search(r"^key = (eps1-[a-z0-9]+)$", self.conf.read_text(), re.M).group(1)

    def members(self):
        return {m["name"]: m for m in self.status()["members"]}

    def restart(self):
        self.start().wait_ready()


class Client(Daemon):
    def wait_joined(self, timeout=10):
        status = self.wait_status(lambda s: s["address"] and s["server"]["connected"], "joins", timeout)
        self.address, self.mac = status["address"].split("/")[0], status["mac"]
        return self

    @property
    def device(self):
        return self.options.get("device", "eps0")

    def link_local(self):
        """Its IPv6 link-local address on the EPS network."""
        def look():
            found = re.search(r"inet6 (fe80:\S+)/64 scope link(?! tentative)",
                              self.host.ip("-6", "addr", "show", "dev", self.device))
            return found and found.group(1)
        return wait_until(look, f"link-local address of {self.directory.name}")

    def peers(self):
        return {p["name"]: p for p in self.status()["peers"]}

    def why(self, other):
        return json.loads(self.eps("--json", "why", other.name))

    def path_to(self, other):
        return self.peers().get(other.name, {}).get("path")

    @property
    def name(self):
        return self.options["name"]

    def wait_sees(self, *others, timeout=10):
        names = {o.name for o in others}
        self.wait_status(lambda s: names <= {p["name"] for p in s["peers"] if p["online"]}, f"sees {names}", timeout)

    def wait_path(self, other, path, timeout=3):
        self.wait_status(lambda s: any(p["name"] == other.name and p["path"] == path for p in s["peers"]),
                         f"{path} path to {other.name}", timeout)

    def wait_reaches(self, other, path=None, timeout=10):
        """Until it answers a ping, and by such a path if one is named."""
        wait_until(lambda: self.ping(other, 1) and (path is None or self.path_to(other) == path),
                   f"{self.name} reaches {other.name}" + (f", {path}" if path else ""), timeout)

    def wait_relayed_by(self, relay, other):
        """Until a member relays between the two, in both directions."""
        def by_relay():
            self.ping(other, 1)
            return (self.path_to(other) == "relayed"
                    and self.peers()[other.name]["endpoint"].startswith(relay.host.v4))
        wait_until(by_relay, f"{self.name} reaches {other.name} by {relay.name}", 60)
        wait_until(lambda: self.ping(other, 1) == 1, f"{other.name} answers by {relay.name}", 30)

    def ping(self, other, count=3, interval=0.1, **options):
        return self.host.ping(other.address, count, interval, **options)

    def restart(self):
        self.start().wait_joined()


class Network(Lab):
    def __init__(self, **options):
        super().__init__(**options)
        self.daemons, self.the_server = [], None

    def _label(self, text):
        taken = {d.directory.name for d in self.daemons}
        return next(n for n in [text] + [f"{text}-{i}" for i in range(2, 99)] if n not in taken)

    def server(self, host=None, start=True, **options):
        server = Server(self, host or self.host("server"), "eps-server", self._label("server"), options)
        self.daemons.append(server)
        self.the_server = server
        return server.start().wait_ready() if start else server

    def client(self, name, host=None, join=True, start=True, server=None, key=None, **options):
        """By default on a new host, with the key of the server that was started last, in its configuration file."""
        server = server or self.the_server.host.address
        options = {"server": server, "name": name} | options
        client = Client(self, host or self.host(name), "eps-client", self._label(name), options)
        self.daemons.append(client)
        if key is None and self.the_server and self.the_server.conf.exists():
            key = self.the_server.key()
        client.conf.write_text(f"key = {key}\n" if key else "")
        if start:
            client.start()
        if start and join:
            client.wait_joined()
        return client

    def clients(self, *names, **options):
        """Clients that have all joined and know each other."""
        clients = [self.client(name, join=False, **options) for name in names]
        for client in clients:
            client.wait_joined()
        for client in clients:
            client.wait_sees(*(c for c in clients if c is not client))
        return clients

    def check_what_was_left(self):
        """Prints the logs, for a test that failed; no log has a key in it, and no sanitizer complained."""
        for process in reversed(self.processes):
            process.send(signal.SIGTERM)
        for process in reversed(self.processes):
            process.wait(10 * PATIENCE)
        for daemon in self.daemons:
            print(f"---- {daemon.directory.name}\n{daemon.log()[-4000:]}")
        for process in self.processes:
            text = process.output()
            print(f"---- {process.output_path.name}\n{text[-4000:]}")
            assert not COMPLAINTS.search(text), process.output_path.name
        for path in self.directory.rglob("*.log"):
            assert "eps1-" not in path.read_text(errors="replace"), f"{path.name} holds a network key"
