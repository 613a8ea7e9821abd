# SPDX-License-Identifier: MIT
"""The manual's options, files and examples, exactly as written there.

     [server] ──┐
                ├── [lan]
     [a] ───────┘
"""

import os
import re

import pytest
from eps import BIN
from lab import sh, wait_until

COMMON = """
--conf arg (=/etc/eps.conf)
--help
--version
--log arg (=/var/log/{program}.log)
--stats
--scorecard [=arg(=/var/log/{program}.stats)]
--port arg (=43439)
--upnptimeout arg (=1000)
"""
OPTIONS = {
    "eps-client": COMMON.format(program="eps_client") + "--server arg\n",
    "eps-server": COMMON.format(program="eps_server") + """
--graphviz [=arg(=/var/log/eps.gv)]
--network arg (=192.168.43.0/24)
--sequential
""",
}
HEADINGS = {
    "eps-client": ["Common options:", "Logging and statistics:", "Client options:"],
    "eps-server": ["Common options:", "Logging and statistics:", "Server options:"],
}
LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} \[0x[0-9a-f]{8}:0x[0-9a-f]{16}\] "
                      r"(trace|debug|info|warn|error) - \S")


@pytest.mark.parametrize("program", OPTIONS)
def test_help_has_every_option_of_the_manual(program):
    text = sh(BIN / program, "--help")
    squeezed = re.sub(r" +", " ", text)
    for option in filter(None, OPTIONS[program].splitlines()):
        assert re.search(rf"^ *{re.escape(option)}(\s|$)", squeezed, re.M), f"{option} in\n{text}"
    positions = [text.index(heading) for heading in HEADINGS[program]]
    assert positions == sorted(positions)


@pytest.mark.parametrize("program", ["eps-client", "eps-server", "eps"])
def test_version(program):
    assert re.search(r"\d+\.\d+\.\d+", sh(BIN / program, "--version"))


def test_log(network):
    server = network.server(log_level="debug")
    a = network.client("a", log_level="debug")
    for daemon in server, a:
        first = daemon.log_path.with_name(daemon.log_path.stem + "_0.log")
        assert first.samefile(daemon.log_path), "the active file has both names"
        lines = daemon.log().splitlines()
        assert LOG_LINE.match(lines[0])
        dated = [line for line in lines if LOG_LINE.match(line)]
        assert len(dated) > 3
        assert f"[0x{daemon.process.pid:08x}:" in lines[0]
    with open(f"/proc/{server.process.pid}/cmdline") as command:
        assert "eps1-" not in command.read()


class PrivateFiles:
    """A daemon with its own /etc, /var and /run, for paths that cannot be chosen."""
    SETUP = ('for d in /etc /var /run; do mount -t tmpfs none $d; done; mkdir -p /var/log /var/lib; '
             'printf "%b" "$CONF" >/etc/eps.conf; [ -s /etc/eps.conf ] || rm /etc/eps.conf; exec "$@"')

    def __init__(self, host, program, *arguments, conf=""):
        self.process = host.spawn("env", f"CONF={conf}", "unshare", "-m", "sh", "-c", self.SETUP, "sh", BIN / program,
                                  *arguments)
        # Until then its /etc is this computer's.
        wait_until(lambda: not self.process.running() or
                   os.path.basename(os.readlink(f"/proc/{self.process.pid}/exe")) == program, "the program runs")

    def path(self, path):
        return f"/proc/{self.process.pid}/root{path}"

    def read(self, path, timeout=10):
        def look():
            assert self.process.running(), self.process.output()
            try:
                with open(self.path(path)) as file:
                    return file.read()
            except FileNotFoundError:
                return None
        return wait_until(look, path, timeout)


@pytest.mark.limit(180)
def test_examples_of_the_manual(network):
    """Both commands as printed there; its client uses another port than its server, so that they do not connect."""
    host, other = network.host("server"), network.host("a")
    host.ip("addr", "add", "10.0.1.1/24", "dev", "eth0")
    other.ip("addr", "add", "10.0.1.2/24", "dev", "eth0")
    server = PrivateFiles(host, "eps-server", *("--stats --scorecard /var/log/eps_server.stats --port 12545 "
                                                "--network 192.168.99.0/24").split())
    wait_until(lambda: "192.168.99.0/24" in server.read("/var/log/eps_server.log"), "the server tells its network")
    conf = server.read("/etc/eps.conf")
    key = re.search(r"^key = (\S+)$", conf, re.M).group(0)
    example = "--stats --scorecard /var/log/eps_client.stats --port 12345 --server 10.0.1.1".split()
    client = PrivateFiles(other, "eps-client", *example, conf=key + "\\n")

    def status(daemon, name):
        return sh(BIN / "eps", "--socket", daemon.path(f"/run/eps/{name}.sock"), "status", check=False)

    wait_until(lambda: "10.0.1.1" in status(client, "client"), "the client tries 10.0.1.1:12345")
    wait_until(lambda: re.search(r"10\.0\.1\.1:12345|12345", client.read("/var/log/eps_client.log")), "and logs it")
    client.process.stop()
    example[example.index("12345")] = "12545"
    client = PrivateFiles(other, "eps-client", *example, conf=key + "\\n")
    wait_until(lambda: "192.168.99." in status(client, "client"), "with the server's port it joins")
    assert "eps0" in other.ip("-o", "link")
    # After a minute both have statistics.
    for daemon, name in (server, "server"), (client, "client"):
        card = daemon.read(f"/var/log/eps_{name}.stats", 70)
        assert "total.connections_established=1\n" in card
        wait_until(lambda daemon=daemon, log=f"/var/log/eps_{name}.log": "60-second stats:\n" in daemon.read(log),
                   "the statistics")


def test_defaults(network):
    """Only the required options are given: everything else has a default."""
    server = PrivateFiles(network.host("server"), "eps-server")
    conf = server.read("/etc/eps.conf")
    key = re.search(r"^key = (\S+)$", conf, re.M).group(1)
    wait_until(lambda: server.read("/var/log/eps_server_0.log"), "the log")
    client = PrivateFiles(network.host("a"), "eps-client", "--server", network.hosts["server"].v4, "--key", key)
    joined = r"192\.168\.43\.\d+"
    wait_until(lambda: re.search(joined, sh(BIN / "eps", "--socket", client.path("/run/eps/client.sock"), "status",
                                            check=False)), "the client joins")
    assert wait_until(lambda: client.read("/var/lib/eps/client/identity"), "its identity")
    assert wait_until(lambda: server.read("/var/lib/eps/server/network.key"), "the network key").strip() == key
    assert "eps1-" not in client.read("/var/log/eps_client.log") + server.read("/var/log/eps_server.log")


def test_command_line_wins_over_the_file(network):
    server = network.server(start=False)
    server.conf.write_text("network = 10.1.0.0/24\nport = 12000\n# key = eps1-aaaa\n")
    server.options["network"] = "10.2.0.0/24"
    server.start().wait_ready()
    status = server.status()
    assert status["network"]["address"] == "10.2.0.0/24" and status["port"] == 12000
    assert "network = 10.1.0.0/24" in server.conf.read_text(), "an existing file keeps its lines"


@pytest.mark.parametrize("size", ["11.0.0.0/8", "172.16.0.0/12", "192.168.99.0/24", "10.1.2.128/26", "10.3.3.0/30"])
def test_networks_of_every_size(network, size):
    network.server(network=size)
    a, b = network.clients("a", "b", accept_network="any")
    assert a.ping(b) == 3


def test_public_network(network):
    """The server says what its clients need, and that suffices, although the network has an IPv6 prefix as well."""
    server = network.server(network="203.0.113.0/24")
    line = server.wait_log('"accept-network = ([^"]*)"').group(1)
    assert line == "203.0.113.0/24"
    a = network.client("a", join=False)
    a.wait_log("203.0.113.0/24, which this computer does not accept")
    assert "Is the server running" not in a.eps("doctor", check=False), "that is all there is to mend"
    b, c = network.clients("b", "c", accept_network=line)
    assert b.ping(c) == 3
