# SPDX-License-Identifier: MIT
"""Daemons that start before the network, and keep running while names, addresses and interfaces change.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┘
"""

import contextlib
import pathlib
import shutil
import socket
import threading
import time

import pytest
from eps import PATIENCE
from lab import wait_until


@contextlib.contextmanager
def names_of(host):
    """A function that defines names on the host: names(eps="10.77.0.1"). `ip netns exec` mounts these files over
    those in /etc."""
    directory = pathlib.Path("/etc/netns") / host.namespace
    directory.mkdir(parents=True)
    try:
        (directory / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        hosts = directory / "hosts"

        def names(**addresses):
            hosts.write_text("".join(f"{address} {name}.example\n" for name, address in addresses.items()))
        names()
        yield names
    finally:
        shutil.rmtree(directory)
        with contextlib.suppress(OSError):
            directory.parent.rmdir()


def unplug(host):
    host.ip("addr", "flush", "dev", "eth0")
    host.ip("link", "set", "eth0", "down")


def plug(host):
    host.ip("link", "set", "eth0", "up")
    for address in f"{host.v4}/24", f"{host.v6}/64":
        host.give(address)


def test_client_before_its_network(network):
    server = network.server()
    b = network.client("b")
    host = network.host("a")
    unplug(host)
    a = network.client("a", host, join=False)
    a.wait_log("No connection to the server: .*Network is unreachable")
    plug(host)
    a.wait_joined(5)
    a.wait_sees(b)
    assert a.ping(b) == 3
    assert len(a.log().splitlines()) < 20, "waiting does not fill the log"
    assert server.process.running()


def test_server_before_its_network(network):
    host = network.host("server")
    unplug(host)
    network.server(host)
    a = network.client("a", server=host.v4, join=False)
    a.wait_log("No connection to the server")
    plug(host)
    a.wait_joined(20)


def test_name_server_that_is_silent_about_ipv6(network):
    server = network.server()
    host = network.host("a")
    with names_of(host), host.socket(kind=socket.SOCK_DGRAM) as names:
        # The usual timeouts: two of five seconds.
        pathlib.Path("/etc/netns", host.namespace, "resolv.conf").write_text("nameserver 127.0.0.1\n")
        names.bind(("127.0.0.1", 53))
        address = socket.inet_aton(server.host.v4)
        asked = set()

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    query, client = names.recvfrom(512)
                    if not query:  # shut down
                        return
                    end = query.index(b"\0", 12) + 5
                    kind = int.from_bytes(query[end - 4:end - 2], "big")
                    asked.add(kind)
                    if kind == 1:
                        header = query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
                        record = b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4" + address
                        names.sendto(header + query[12:end] + record, client)
        names.settimeout(None)
        threading.Thread(target=answer, daemon=True).start()
        network.client("a", host, server="eps.example")
        assert asked == {1, 28}, "A and AAAA"
        with contextlib.suppress(OSError):
            names.shutdown(socket.SHUT_RDWR)


def test_name_that_resolves_later_and_then_changes(network):
    server = network.server()
    host = network.host("a")
    with names_of(host) as names:
        a = network.client("a", host, join=False, server="eps.example")
        a.wait_log("cannot resolve eps.example")
        names(eps=server.host.v4)
        a.wait_joined(15)
        server.stop()
        server.host.ip("addr", "flush", "dev", "eth0")
        server.host.ip("addr", "add", "10.77.0.77/24", "dev", "eth0")
        server.start().wait_ready()
        names(eps="10.77.0.77")
        a.wait_status(lambda s: s["server"]["connected"] and s["server"]["endpoint"] == "10.77.0.77:43439",
                      "is connected to the new address", 30)


def test_a_server_that_moves_is_found_as_soon_as_its_name_follows(network):
    """Nobody says that the old address is dead: packets to it vanish."""
    server = network.server()
    host = network.host("a")
    with names_of(host) as names:
        names(eps=server.host.v4)
        a = network.client("a", host, server="eps.example")
        server.host.ip("addr", "add", "10.77.0.77/24", "dev", "eth0")
        server.host.run("nft", "add table ip gone; add chain ip gone in { type filter hook input priority 0; }; "
                        f"add rule ip gone in ip daddr {server.host.v4} drop")
        host.ip("link", "set", "eth0", "down")  # which makes it doubt the connection
        host.ip("link", "set", "eth0", "up")
        wait_until(lambda: f"{server.host.v4}:43439" in host.run("ss", "-Htn", "state", "syn-sent"),
                   "a dials the old address")
        names(eps="10.77.0.77")
        began = time.monotonic()
        a.wait_status(lambda s: s["server"]["connected"] and s["server"]["endpoint"] == "10.77.0.77:43439",
                      "is connected to the new address", 30)
        assert time.monotonic() - began < 5 * PATIENCE, "the round of dialing lasts 15 s"


def test_interface_is_renamed(network):
    network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    a.host.ip("link", "set", "eth0", "down")
    a.host.ip("link", "set", "eth0", "name", "uplink")
    a.host.ip("link", "set", "uplink", "up")
    wait_until(lambda: a.ping(b, 1) == 1, "a reaches b through the interface with its new name")
    a.wait_path(b, "direct", 10)
    assert a.process.running() and a.status()["server"]["connected"]


def test_own_interface_is_renamed(network):
    server = network.server()
    a, b = network.clients("a", "b")
    a.host.ip("link", "set", "eps0", "down")
    a.host.ip("link", "set", "eps0", "name", "work")
    a.host.ip("link", "set", "work", "up")
    assert a.ping(b) == 3
    server.stop()
    a.wait_status(lambda s: not s["server"]["connected"], "the server is gone")
    server.restart()
    a.wait_status(lambda s: s["server"]["connected"], "is admitted again", 20)
    assert a.process.running() and a.ping(b) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_own_interface_is_deleted(network, workers):
    """The client ends, so that systemd starts it again and there is a new one."""
    network.server()
    a = network.client("a", workers=workers)
    a.host.ip("link", "set", "eps0", "down")
    a.host.ip("link", "set", "eps0", "name", "work")
    a.host.ip("link", "del", "work")
    code, _ = a.failed(5)
    assert code == 1
    a.wait_log("error - The network interface eps0 was deleted .* start eps-client again")
    a.restart()
    assert "inet " + a.address in a.host.ip("-4", "addr", "show", "dev", "eps0")


@pytest.mark.parametrize("who", ["server", "a"])
def test_address_changes(network, who):
    """The machine gets a new address, as by DHCP; the server is reached by its name."""
    server = network.server()
    host = network.host("a", v6=False)
    with names_of(host) as names:
        names(eps=server.host.v4)
        a, b = network.client("a", host, server="eps.example"), network.client("b")
        a.wait_sees(b)
        assert a.ping(b) == 3
        moved = network.hosts[who]
        moved.ip("addr", "del", f"{moved.v4}/24", "dev", "eth0")
        moved.ip("addr", "add", "10.77.0.88/24", "dev", "eth0")
        if who == "server":
            names(eps="10.77.0.88")
        wait_until(lambda: a.ping(b, 1) == 1, "a and b go on talking")
        expected = "10.77.0.88" if who == "server" else server.host.v4
        a.wait_status(lambda s: s["server"]["connected"] and s["server"]["endpoint"].startswith(expected + ":"),
                      "is connected", 60)
