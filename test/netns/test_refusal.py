# SPDX-License-Identifier: MIT
"""A start or a join that cannot succeed: one clear sentence with the remedy, and an exit code.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┘
"""

import re
import socket

import pytest
from eps import BIN
from lab import wait_until


def said(client):
    """The messages of a client that is not admitted, on its terminal or in its log."""
    return wait_until(lambda: client.process.output() + client.log(), "it says something")


def refused(client, pattern, code=1):
    """Ends by itself with that sentence."""
    got, text = client.failed()
    assert got == code, text
    assert re.search(pattern, text), text
    return text


def one_sentence(text):
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text


def altered(key):
    """The key with one character mistyped."""
    return key[:-5] + ("a" if key[-5] != "a" else "b") + key[-4:]


def test_wrong_key(network):
    """A well-formed key, of another network."""
    other = network.server(host=network.host("other"))
    network.server()
    a = network.client("a", key=other.key(), join=False)
    wait_until(lambda: re.search(r"(?i)key", said(a)), "the key is named as the reason")
    wait_until(lambda: (s := a.status()) is None or ("key" in s["server"]["note"] and not s["address"]),
               "its status says so, unless it has ended")
    assert not network.the_server.members()


def test_mistyped_key(network):
    server = network.server()
    a = network.client("a", key=altered(server.key()), join=False)
    refused(a, r"(?i)network key.*(mistyped|checksum)", code=2)


@pytest.mark.parametrize("key", ["eps1-", "hello", "eps2-aaaa"])
def test_an_invalid_key(network, key):
    network.server()
    refused(network.client("a", key=key, join=False), r"(?i)key", code=2)


def test_no_key_at_all(network):
    server = network.host("server")
    a = network.client("a", server=server.v4, join=False)
    refused(a, r"network key is missing", code=2)


def test_no_server_given(network):
    network.server()
    a = network.client("a", join=False, start=False)
    a.options["server"] = None
    a.start()
    refused(a, r"--server", code=2)


def test_two_clients_with_one_name(network):
    """A number is appended to the second one's name; both work."""
    server = network.server()
    a = network.client("a")
    b = network.client("a", host=network.host("b"))
    a.wait_status(lambda s: [p["online"] for p in s["peers"]] == [True], "sees the other")
    assert a.ping(b) == 3
    assert set(server.members()) == {"a", "a-2"}
    assert "It is called a-2 here, not a: another member has that name" in b.log() and "It is called" not in a.log()
    assert b.stop() == 0
    b.restart()
    assert b.status()["name"] == "a-2", "and keeps it"
    assert set(server.members()) == {"a", "a-2"}


def test_full_pool(network):
    server = network.server(network="10.9.9.0/30")
    network.client("a")
    network.client("b")
    c = network.client("c", join=False)
    wait_until(lambda: re.search(r"10\.9\.9\.0/30 is full.*eps members remove", said(c)), "c is told", 10)
    assert set(server.members()) == {"a", "b"}
    server.eps("members", "remove", "a")
    if not c.process.running():
        c.start()
    c.wait_joined(60)


def test_network_that_the_client_already_has(network):
    network.server()
    host = network.host("a")
    host.ip("link", "add", "lan1", "type", "veth", "peer", "name", "lan2")
    host.ip("addr", "add", "192.168.43.77/24", "dev", "lan1")
    host.ip("link", "set", "lan1", "up")
    a = network.client("a", host=host, join=False)
    wait_until(lambda: re.search(r"192\.168\.43\.0/24 overlaps .*lan1", a.log()), "it says so, and goes on")
    a.wait_joined()
    routes = [line for line in host.ip("route").splitlines() if line.startswith("192.168.43.0/24")]
    assert routes and all("dev lan1" in route and "metric" not in route for route in routes[:1])


def test_port_in_use(network):
    server = network.server(start=False)
    with server.host.socket() as s:
        s.bind(("0.0.0.0", 43439))
        s.listen()
        server.start()
        one_sentence(refused(server, r"43439.*(in use|--port)"))


def test_udp_port_in_use(network):
    server = network.server(start=False)
    with server.host.socket(kind=socket.SOCK_DGRAM) as s:
        s.bind(("0.0.0.0", 43439))
        server.start()
        one_sentence(refused(server, r"43439.*(in use|--port)"))


def test_second_client_with_the_same_device(network):
    network.server()
    a = network.client("a")
    b = network.client("b", host=a.host, join=False)
    one_sentence(refused(b, r"eps0.*--device"))
    assert a.process.running()


@pytest.mark.parametrize("shared", ["state", "socket"])
def test_second_client_with_the_same_state_or_socket(network, shared):
    network.server()
    a = network.client("a")
    b = network.client("b", host=a.host, device="eps1", join=False, **{shared: getattr(a, shared)})
    one_sentence(refused(b, rf"--{shared}|already|in use"))
    assert a.process.running() and a.status()


def test_second_server_with_the_same_state(network):
    server = network.server()
    second = network.server(host=network.host("other"), start=False, state=server.state)
    second.start()
    one_sentence(refused(second, r"another eps-server uses .*--state"))
    assert server.status()


def test_missing_configuration_file(network):
    network.server()
    a = network.client("a", join=False, conf="/tmp/there/is/no.conf")
    one_sentence(refused(a, r"/tmp/there/is/no\.conf", code=2))


@pytest.mark.parametrize("line, what", [
    ("colour = green", r"eps\.conf:2: .*colour"),
    ("port = many", r"eps\.conf:2: .*port"),
    ("port = 0", r"eps\.conf:2: .*port"),
    ("port", r"eps\.conf:2: "),
    ("serve = 10.0.0.1", r"eps\.conf:2: .*serve"),
])
def test_configuration_file_with_an_error(network, line, what):
    server = network.server()
    a = network.client("a", start=False)
    a.conf.write_text(f"key = {server.key()}\n{line}\n")
    a.start()
    one_sentence(refused(a, what, code=2))


@pytest.mark.parametrize("program", ["eps-server", "eps-client"])
@pytest.mark.parametrize("arguments, what", [
    (["--colour", "green"], "--colour"),
    (["--port", "many"], "--port.*many|many.*--port"),
    (["--port", "70000"], "70000"),
    (["--por", "5"], "--por"),
    (["extra"], "extra"),
])
def test_argument_with_an_error(network, program, arguments, what):
    process = network.host("h").spawn(BIN / program, *arguments)
    assert process.wait() == 2
    assert re.search(what, process.output()), process.output()


@pytest.mark.parametrize("value", ["192.168.43.0/31", "192.168.43.0/7", "192.168.43.0", "300.1.1.0/24", "fd00::/48"])
def test_an_invalid_network(network, tmp_path, value):
    (tmp_path / "eps.conf").touch()  # if it were accepted after all, nothing on this computer would change
    process = network.host("h").spawn(BIN / "eps-server", "--network", value, "--conf", tmp_path / "eps.conf",
                                      "--log", "-", "--state", tmp_path, "--socket", tmp_path / "server.sock")
    assert process.wait() == 2
    assert value in process.output()


def test_no_tun_device(network):
    network.server()
    a = network.client("a", start=False)
    a.process = a.host.spawn("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev/net && exec "$@"', "sh",
                             BIN / "eps-client", *a.arguments())
    one_sentence(refused(a, r"/dev/net/tun.*(modprobe|tun)"))


def test_no_privilege(network):
    network.server()
    a = network.client("a", start=False)
    a.process = a.host.spawn("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin",
                             BIN / "eps-client", *a.arguments())
    one_sentence(refused(a, r"(?i)root|sudo|CAP_NET_ADMIN"))


def test_state_that_cannot_be_written(network):
    server = network.server(start=False, state="/proc/nowhere")
    server.start()
    one_sentence(refused(server, r"/proc/nowhere"))


def test_eps_without_a_daemon(network):
    process = network.host("h").spawn(BIN / "eps", "--socket", "/tmp/there/is/none.sock", "status")
    assert process.wait() == 3
    one_sentence(process.output())
    assert "/tmp/there/is/none.sock" in process.output()
