# SPDX-License-Identifier: MIT
"""The findings of `eps` about a working network, and about a broken one.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┘
"""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess

import pytest
from eps import BIN
from lab import wait_until


def eps(host, *arguments):
    """(exit status, output, standard error), in the host's namespace."""
    done = subprocess.run(["ip", "netns", "exec", host.namespace, BIN / "eps", *map(str, arguments)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def of(daemon, *arguments):
    return eps(daemon.host, "--socket", daemon.socket, *arguments)


def levels(daemon, *arguments):
    """{level: [what, ...]} of the daemon's findings."""
    _, text, _ = of(daemon, "--json", *arguments)
    found = {}
    for finding in next(iter(json.loads(text).values())):
        found.setdefault(finding["level"], []).append(finding["what"])
    return found


def in_a_terminal(command, environment=None):
    """(exit status, output)."""
    terminal, end = pty.openpty()
    with subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=end, stderr=end,
                          env=environment) as process:
        os.close(end)
        output = b""
        with contextlib.suppress(OSError):  # when the other end is closed
            while part := os.read(terminal, 1 << 16):
                output += part
    os.close(terminal)
    return process.returncode, output.decode().replace("\r\n", "\n")


def decoded(picture, path):
    """What a decoder reads from lines of half blocks, white on black."""
    bits = []
    for line in picture:
        blocks = re.sub(r"\x1b\[[0-9;]*m", "", line)
        assert set(blocks) <= set(" ▀▄█"), line
        bits += [["▀█".find(b) >= 0 for b in blocks], ["▄█".find(b) >= 0 for b in blocks]]
    pixels = [[255 * bit for bit in row for _ in range(8)] for row in bits for _ in range(8)]
    path.write_bytes(f"P5 {len(pixels[0])} {len(pixels)} 255\n".encode() + b"".join(map(bytes, pixels)))
    return subprocess.run(["zbarimg", "--quiet", "--raw", path], check=True, capture_output=True, text=True).stdout


def test_a_key_as_a_qr_code_lets_a_computer_join(network):
    server = network.server()
    eps = BIN / "eps", "--socket", server.socket, "--state", server.state
    for command in ["key"], ["keys", "create", "--uses", 1]:
        status, text = in_a_terminal([*eps, *command, "--qr"])
        key, *picture = text.splitlines()
        assert status == 0 and len(picture) <= 23, "in a terminal of 24 lines"
        assert all(line.startswith("\x1b[40;37;1m") for line in picture), "whatever colours the terminal has"
        assert decoded(picture, network.directory / "qr.pgm") == key + "\n"
    network.client("a", key=key)
    # Not for programs.
    assert server.eps("--state", server.state, "key", "--qr") == server.key() + "\n"
    assert "key" in json.loads(server.eps("--json", "keys", "create", "--qr"))
    status, text = in_a_terminal([*eps, "key", "--qr"], os.environ | {"PATH": ""})
    assert status == 1 and text.startswith(server.key() + "\n") and "install the package qrencode" in text


def test_ping(network):
    network.server()
    a, b = network.clients("a", "b")
    status, text, _ = of(a, "ping", "b")
    assert status == 0 and "5 sent, 5 answered, 0 % lost" in text
    a.wait_path(b, "direct")
    status, text, _ = of(a, "--json", "ping", b.address, "--count", 3)
    result = json.loads(text)
    assert status == 0 and result["sent"] == result["answered"] == 3 and result["lost_percent"] == 0
    assert result["name"] == "b" and result["path"] == "direct"
    assert 0 < result["conduit_ms"]["min"] <= result["conduit_ms"]["average"] <= result["conduit_ms"]["max"] < 1000
    assert 0 < result["underlay_ms"] < 1000
    assert result["endpoint"].rsplit(":", 1)[0] in (b.host.v4, f"[{b.host.v6}]")

    b.host.run("nft", "add table inet deaf; add chain inet deaf in { type filter hook input priority 0; };"
               "add rule inet deaf in iifname eps0 icmp type echo-request drop")
    status, text, _ = of(a, "ping", "b", "--count", 2)
    assert status == 1 and "no answer" in text and "2 sent, 0 answered, 100 % lost" in text
    status, _, said = of(a, "ping", "nobody")
    assert status == 1 and 'no member "nobody"' in said


def test_watch(network):
    server = network.server()
    a, b = network.clients("a", "b")
    flood = a.host.spawn("ping", "-n", "-i", "0.01", "-s", "1000", b.address)
    status, text, _ = of(a, "watch", "--count", 2)
    flood.stop()
    _, second = text.split("\n\na  ")
    assert status == 0 and text.startswith("a  out ")
    assert "NAME" in second and "kB/s" in second.split("NAME")[1], "what flows to b"
    assert "\x1b" not in text, "no terminal"
    status, text, _ = of(server, "watch", "--count", 1)
    assert status == 0 and text.startswith("server  relayed ") and "\nb " in text
    _, text, _ = of(a, "--json", "watch", "--count", 2)
    assert [json.loads(line)["name"] for line in text.splitlines()] == ["a", "a"]
    watching = subprocess.Popen(["ip", "netns", "exec", a.host.namespace, BIN / "eps", "--socket", a.socket, "watch"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert watching.stdout.readline().startswith("a  out")
    a.stop()
    assert watching.wait(10) == 3 and "no answer at" in watching.stderr.read()


def test_doctor_finds_nothing_wrong(network):
    server = network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    a.wait_path(b, "direct")
    a.wait_status(lambda s: s["observed_endpoint"], "the server's UDP answers")
    for daemon in a, server:
        status, text, _ = of(daemon, "doctor")
        assert status == 0 and "problem" not in text and "warning" not in text, text
    assert ("The network takes packets of 1500 bytes to the server, as far as this computer knows; "
            "larger frames are cut.") in levels(a, "doctor")["ok"]


def test_doctor_finds_what_is_broken(network):
    server = network.server()
    host = network.host("a", v6=False)
    host.drop(f"ip daddr {server.host.v4} udp dport 43439")
    a = network.client("a", host)
    b = network.client("b")
    a.wait_status(lambda s: s["relay_over_tcp"], "relays over TCP")
    status, text, _ = of(a, "doctor")
    assert status == 0 and "warning  The server does not answer on UDP" in text
    assert any("The UDP of a does not arrive here" in what for what in levels(server, "doctor")["warning"])

    b.host.ip("link", "set", "eth0", "mtu", 1400)
    assert any("packets of 1400 bytes to the server" in what for what in levels(b, "doctor")["ok"])
    b.host.ip("link", "add", "lan7", "type", "bridge")
    b.host.ip("addr", "add", "192.168.43.200/25", "dev", "lan7")
    assert any("overlaps 192.168.43.200/25 on lan7" in what for what in levels(b, "doctor")["problem"])
    server.stop()
    b.wait_status(lambda s: not s["server"]["connected"], "the server is gone")
    assert any("Not connected to the server" in what for what in levels(b, "doctor")["problem"])
    b.stop()
    assert of(b, "doctor")[0] == 3


def test_doctor_reports_overruns(network):
    """While a daemon is stopped, its sockets fill up: each datagram is received or reported as lost."""
    server = network.server()
    a = network.client("a")
    a.wait_status(lambda s: s["observed_endpoint"], "the server's UDP answers")
    for daemon, port in (a, a.status()["data_port"]), (server, 43439):
        daemon.process.send(signal.SIGSTOP)
        with network.host(f"flood{port}").socket(kind=socket.SOCK_DGRAM) as flood:
            for _ in range(20000):
                flood.sendto(bytes(1000), (daemon.host.v4, port))
            daemon.process.send(signal.SIGCONT)

            def drops(daemon=daemon, port=port):
                flood.sendto(bytes(1000), (daemon.host.v4, port))  # losses are reported with the next one
                told = daemon.status()["drops"]
                return told if told.get("malformed", 0) + told.get("overrun", 0) >= 20000 else None

            assert wait_until(drops, "all are taken or said to be lost")["overrun"] > 10000
        assert any("dropped as overrun" in what for what in levels(daemon, "doctor")["warning"])


def test_check(network):
    host = network.host("a")
    conf = network.directory / "check.conf"
    places = "".join(f"{name} = {network.directory / name}\n" for name in ("state", "log", "socket"))

    def check(what, text, *mode):
        conf.write_text(text)
        conf.chmod(*mode or (0o600,))
        status, out, _ = eps(host, "--json", "check", what, "--conf", conf)
        found = json.loads(out)
        return status, {f["what"] for f in found if f["level"] == "problem"}, {f["what"] for f in found
                                                                               if f["level"] == "warning"}

    assert check("server", places) == (0, set(), set())
    status, problems, _ = check("server", places + "port = 99999\n")
    assert status == 1 and "port = 99999" in next(iter(problems))
    _, _, warnings = check("server", places, 0o644)
    assert any("Users other than its owner can read" in w for w in warnings)
    _, _, warnings = check("server", places + "network = 10.77.0.0/16\n")
    assert any("overlaps 10.77.0.1/24 on eth0" in w for w in warnings)
    host.ip("route", "add", "10.99.0.0/16", "via", "10.77.0.2")
    _, _, warnings = check("server", places + "network = 10.99.1.0/24\n")
    assert any("overlaps the route to 10.99.0.0/16 on eth0" in w for w in warnings)
    status, problems, _ = check("server", places + f"scorecard = {conf}/card\n")
    assert status == 1 and any(f"The scorecard {conf}/card cannot be written" in p for p in problems)

    server = network.server(host)
    status, problems, _ = check("server", places)
    assert status == 1 and {"TCP port 43439 is in use.", "UDP port 43439 is in use."} <= problems
    status, problems, _ = check("server", places + "port = 4444\nalso-port = 43439\n")
    assert status == 1 and problems == {"TCP port 43439 is in use."}
    with_its_state = places.replace(f"state = {network.directory}/state", f"state = {server.state}") + "port = 4444\n"
    assert check("server", with_its_state + f"key = {server.key()}\n") == (0, set(), set())
    _, _, warnings = check("server", with_its_state + "key = eps1-aaaa\n")
    assert any("is not this server's" in w for w in warnings)
    key = f"key = {server.key()}\n"
    assert check("client", places + key + "server = 10.77.0.1\n") == (0, set(), set())
    status, problems, _ = check("client", places + key)
    assert status == 1 and any("no server is named" in p for p in problems)
    status, problems, _ = check("client", places + "server = a\nkey = eps1-aaaa\n")
    assert status == 1 and not any("eps1-" in p for p in problems)
    _, _, warnings = check("client", places + key + "server = nowhere.invalid\n")
    assert any("nowhere.invalid does not resolve" in w for w in warnings)
    assert not (network.directory / "state").exists(), "nothing is made"

    b = network.client("b")
    with_its_state = places.replace(f"state = {network.directory}/state", f"state = {b.state}") + key
    b.stop()
    assert check("client", with_its_state + "server = 10.77.0.1\n") == (0, set(), set())
    host.ip("addr", "add", f"{b.address}/24", "dev", "eth0")
    status, problems, _ = check("client", with_its_state + "server = 10.77.0.1\n")
    assert status == 1 and any(f"is also on another interface, {b.address}/24 on eth0" in p for p in problems)
    host.ip("addr", "del", f"{b.address}/24", "dev", "eth0")
    host.ip("route", "add", "192.168.43.0/25", "via", "10.77.0.2")
    status, problems, _ = check("client", with_its_state + "server = 10.77.0.1\n")
    assert status == 1 and any("overlaps the route to 192.168.43.0/25 on eth0" in p for p in problems)


def test_check_says_once_that_its_file_is_missing(network):
    host, missing = network.host("a"), network.directory / "none.conf"
    status, out, _ = eps(host, "--json", "check", "client", "--conf", missing)
    [only] = json.loads(out)
    assert status == 1 and only["level"] == "problem"
    assert only["what"] == f"There is no {missing}, and eps-client does not start without the file that --conf names."
    _, out, _ = eps(host, "--json", "check", "server", "--conf", missing)
    [only] = [f for f in json.loads(out) if str(missing) in f["what"] and f["level"] != "ok"]
    assert only["level"] == "warning" and only["mend"] == "eps-server makes it."


@pytest.mark.parametrize("wrong", [["check"], ["ping"], ["watch", "--count", "0"], ["ping", "b", "--count", "x"]])
def test_wrong_usage(network, wrong):
    status, _, said = eps(network.host("a"), *wrong)
    assert status == 2 and said.startswith("eps: ")
