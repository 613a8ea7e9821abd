# SPDX-License-Identifier: MIT
"""Accepting a TCP connection proves nothing: the client searches until the server has admitted it.

     [server] ──┐
     [x] ───────┼── [lan]        x  takes connections at the server's port, and is no server
     [a] ───────┘
"""

import sys

import pytest
from lab import wait_until

PORT = 43439
STRANGER = """
import socket, sys
s = socket.create_server(("0.0.0.0", int(sys.argv[2])), backlog=64)
kept = []
print("listens", flush=True)
while True:
    c, _ = s.accept()
    if sys.argv[1] == "hangs up":
        c.close()
        continue
    if sys.argv[1] == "is a portal":
        c.sendall(b"HTTP/1.1 302 Found\\r\\nLocation: http://portal/\\r\\n\\r\\n" * 4)
    kept.append(c)
"""


def stranger(host, does, port=PORT):
    process = host.spawn(sys.executable, "-c", STRANGER, does, str(port))
    wait_until(lambda: "listens" in process.output(), "the stranger listens")


@pytest.mark.parametrize("does", ["is silent", "hangs up", "is a portal"])
def test_a_stranger_at_the_first_address(network, does):
    server = network.server()
    x = network.host("x")
    stranger(x, does)
    a = network.client("a", server=f"{x.v4} {server.host.v4}", join=False)
    a.wait_joined(5)
    assert a.status()["server"]["endpoint"].startswith(server.host.v4 + ":")


@pytest.mark.parametrize("does", ["hangs up", "is a portal"])
def test_strangers_alone_do_not_end_a_first_join(network, does):
    """The key is not to blame, and the server may come back."""
    server = network.server()
    key = server.key()
    server.stop()
    stranger(server.host, does, 443)
    a = network.client("a", server=server.host.v4, key=key, also_port=443, join=False)
    a.wait_log("No connection to the server: .*:443: ", 20)
    assert "eps key" not in a.log()
    server.start().wait_ready()
    a.wait_joined(20)


def test_only_the_other_port_leads_to_the_server(network):
    """A middlebox takes connections to the first one."""
    server = network.server(also_port=443)
    x = network.host("x")
    stranger(x, "is silent")
    host = network.host("a")
    host.run("nft", "table ip between { chain c { type nat hook output priority -100; "
             f"ip daddr {server.host.v4} tcp dport {PORT} dnat to {x.v4}; }}; }}")
    a = network.client("a", host=host, also_port=443, join=False)
    a.wait_joined(5)
    assert a.status()["server"]["endpoint"].endswith(":443")


def test_a_client_whose_connection_is_cut_opens_another_beside_it(network):
    """Its TCP segments vanish. The peers are informed at once, and nothing is lost between them."""
    server = network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    old = a.host.run("ss", "-Htn", "state", "established", f"dport = :{PORT}").split()[2].rsplit(":", 1)[1]
    a.host.drop(f"tcp sport {old}")
    a.host.ip("route", "add", "default", "via", server.host.v4)
    wait_until(lambda: a.log().count("Admitted by the server") == 2, "it is admitted anew", 5)
    assert "No connection to the server" not in a.log()
    assert a.ping(b) == 3
