"""Networks that let little through.

     [server] ──┐
     [a] ──x────┼── [lan]        x  lets out what a test says, and nothing else
     [b] ───────┘
"""

import socket

from lab import wait_until

MAIN = 43439


def test_a_first_join_by_another_port(network):
    network.server(also_port=443)
    host = network.host("a")
    host.drop(f"tcp dport {MAIN}")
    a = network.client("a", host=host, also_port=443)
    assert a.status()["server"]["endpoint"].endswith(":443")


def test_a_client_remembers_the_other_port(network):
    network.server(also_port=443)
    a = network.client("a")
    assert a.status()["server"]["endpoint"].endswith(f":{MAIN}")
    assert a.stop() == 0
    a.host.drop(f"tcp dport {MAIN}")
    a.restart()
    assert a.status()["server"]["endpoint"].endswith(":443")


def test_the_other_port_is_taken(network):
    host = network.host("server")
    taken = host.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("", 443))
    taken.listen()
    code, said = network.server(host=host, start=False, also_port=443).start().failed()
    assert code == 1
    assert "TCP port 443" in said and "choose another --also-port" in said
