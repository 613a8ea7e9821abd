# SPDX-License-Identifier: MIT
"""The programs' reports about themselves are true.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┘
"""

import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from eps import BIN
from lab import wait_until

MONITORING = pathlib.Path(__file__).parents[2] / "packaging/monitoring"

# What runs a program under a host name of its own, and as on a kernel without IPv6.
NAMED = ("import ctypes,os,sys;name=os.fsencode(sys.argv[1]);libc=ctypes.CDLL(None);"
         "libc.unshare(0x04000000);libc.sethostname(name,len(name));os.execv(sys.argv[2],sys.argv[2:])")


def test_a_member_that_stopped_is_offline_everywhere(network):
    server = network.server(interval=1)
    a, b = network.clients("a", "b")
    a.wait_sees(b)
    assert a.ping(b) == 3
    a.wait_path(b, "direct")
    b.stop()
    wait_until(lambda: [m["online"] for m in server.status()["members"] if m["name"] == "b"] == [False], "b has left")
    peer = a.wait_status(lambda s: [p for p in s["peers"] if p["name"] == "b" and p["path"] == "none"], "b has no path")
    assert peer and "1 direct" not in a.eps("status")
    assert "offline" in a.eps("peers") and "has no path" in a.eps("why", "b")
    wait_until(lambda: {p["path"] for p in server.status()["pairs"]} == {"none"}, "nor at the server")
    assert all(p["packets_lost"] == 0 for p in server.status()["pairs"])


def test_a_host_name_of_maximum_length(network):
    network.server()
    name = "node-0123456789.eu-central-1.compute.internal.example".ljust(64, "x")
    client = network.client("a", start=False)
    client.options["name"] = None
    client.launcher = [sys.executable, "-c", NAMED, name]
    client.start()
    client.wait_joined()
    assert client.status()["name"] == name[:63]


def test_check_tests_each_family(network):
    host = network.host("a")
    conf = network.directory / "check.conf"
    conf.write_text("".join(f"{name} = {network.directory / name}\n" for name in ("state", "log", "socket")))
    conf.chmod(0o600)

    def problems(*launcher):
        text = subprocess.run(["ip", "netns", "exec", host.namespace, *launcher,
                               BIN / "eps", "--json", "check", "server", "--conf", conf],
                              stdout=subprocess.PIPE, text=True, check=False).stdout
        return {f["what"] for f in json.loads(text) if f["level"] == "problem"}

    with host.socket() as tcp, host.socket(kind=socket.SOCK_DGRAM) as udp:
        for s in tcp, udp:
            s.bind(("0.0.0.0", 43439))
        tcp.listen()
        assert problems() == {"UDP port 43439 is in use over IPv4.", "TCP port 43439 is in use over IPv4."}
        without = sys.executable, pathlib.Path(__file__).with_name("kernel_without.py"), "ipv6"
        assert problems(*without) == {"UDP port 43439 is in use.", "TCP port 43439 is in use."}
    with host.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        udp.bind(("::", 43439))
        assert problems() == {"UDP port 43439 is in use over IPv6."}
    assert problems() == set()


def test_the_log_has_a_line_for_each_change_and_the_table_on_request(network):
    server = network.server()
    a = network.client("a")
    a.wait_log(r"info - 1 member, 1 online: a \(192\.168\.43\.\d+\)\.\n")
    b = network.client("b")
    a.wait_log(r"info - b \(192\.168\.43\.\d+\) is a new member, and online\.\n")
    b.stop()
    a.wait_log(r"info - b \(192\.168\.43\.\d+\) is offline\.\n")
    for daemon in a, server:
        assert "2 members, 1 online:\n" not in daemon.log()
        daemon.process.send(signal.SIGUSR2)
        daemon.process.send(signal.SIGUSR1)
        daemon.wait_log(r"2 members, 1 online:\n  192\.168\.43\.\d+ +\w")
    assert a.status()["name"] == "a", "neither signal ends it"


def pages_of(*daemons):
    return [daemon.host.run("curl", "-s", "http://127.0.0.1:9100/metrics") for daemon in daemons]


def test_dashboard_and_alerts_use_existing_figures(network):
    server = network.server(http=9100, interval=1)
    a, b = (network.client(n, http=9100) for n in "ab")
    a.wait_sees(b)
    assert a.ping(b) == 3
    wait_until(lambda: server.status()["pairs"], "pairs")
    pages = pages_of(server, a)
    b.stop()
    wait_until(lambda: [m["online"] for m in server.status()["members"] if m["name"] == "b"] == [False], "b has left")
    there = set(re.findall(r"^(eps_\w+)", "\n".join(pages + pages_of(server)), re.M))
    for name in "alerts.yml", "dashboard.json":
        assert set(re.findall(r"\beps_[a-z_]+", (MONITORING / name).read_text())) - there == set(), name


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool")
def test_promtool_accepts_the_alerts(network):
    server = network.server(http=9100, interval=1)
    a, b = (network.client(n, http=9100) for n in "ab")
    a.wait_sees(b)
    assert a.ping(b) == 3
    wait_until(lambda: server.status()["pairs"], "pairs")
    for page in pages_of(server, a):
        checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True,
                                 check=False)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
