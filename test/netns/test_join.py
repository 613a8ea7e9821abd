# SPDX-License-Identifier: MIT
"""Clients join a server and reach each other.

     [server] ──┐
     [a] ───────┤
     [b] ───────┼── [lan]
     [c] ───────┘
"""

import ipaddress
import json
import re

from eps import BIN
from lab import sh, wait_until


def endpoints_of(host):
    """The prefix of an endpoint of that host."""
    return f"{host.v4}:", f"[{host.v6}]:"


def test_server_and_two_clients(network):
    network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3 and b.ping(a) == 3
    assert a.host.ping(f"{b.link_local()}%{a.device}") == 3


def test_three_clients_reach_each_other_directly(network):
    network.server()
    clients = network.clients("a", "b", "c")
    for one in clients:
        for other in clients:
            if one is not other:
                assert one.ping(other, 2) == 2
                one.wait_path(other, "direct")
                assert one.peers()[other.name]["endpoint"].startswith(endpoints_of(other.host))


def test_server_and_client_on_one_computer(network):
    server = network.server()
    a = network.client("a", host=server.host)
    b = network.client("b")
    a.wait_sees(b)
    assert a.ping(b) == 3 and b.ping(a) == 3


def test_one_computer_in_two_networks(network):
    network.server(network="10.40.0.0/24")
    a, b = network.clients("a", "b")
    network.server(host=network.host("other"), network="10.41.0.0/24")
    c = network.client("c", host=a.host, device="eps1")
    d = network.client("d", host=b.host, device="eps1")
    c.wait_sees(d)
    assert a.ping(b) == 3 and c.ping(d) == 3


def test_interface_is_as_the_server_says(network):
    network.server(network="10.55.0.0/16", mtu=1300)
    a, b = network.clients("a", "b")
    link = json.loads(a.host.ip("-j", "addr", "show", "dev", "eps0"))[0]
    assert link["mtu"] == 1300 and link["address"] == a.mac and "UP" in link["flags"]
    (v4,) = [i for i in link["addr_info"] if i["family"] == "inet"]
    assert (v4["local"], v4["prefixlen"]) == (a.address, 16)
    assert ipaddress.ip_address(a.address) in ipaddress.ip_network("10.55.0.0/16")
    routes = json.loads(a.host.ip("-j", "route", "show", "dev", "eps0"))
    assert [r["dst"] for r in routes] == ["10.55.0.0/16"]
    first = int(a.mac[:2], 16)
    assert first & 2 and not first & 1, "a locally administered unicast MAC"
    assert a.mac != b.mac and a.address != b.address


def test_neighbours_have_the_macs_assigned_by_the_server(network):
    network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    assert b.mac in a.host.ip("neigh", "show", b.address, "dev", "eps0")


def test_sequential_assigns_the_lowest_addresses(network):
    network.server(sequential=True)
    assert [network.client(name).address for name in "abc"] == [f"192.168.43.{n}" for n in (1, 2, 3)]


def test_status_peers_and_members(network):
    server = network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    a.wait_path(b, "direct")

    status = a.status()
    assert status["program"] == "eps-client" and status["name"] == "a" and status["device"] == "eps0"
    assert status["server"]["connected"] and status["server"]["endpoint"] == f"{server.host.v4}:43439"
    assert status["observed_endpoint"] == f"{a.host.v4}:{status['data_port']}"
    peer = a.peers()["b"]
    assert peer["online"] and peer["address"] == b.address and peer["mac"] == b.mac and peer["aead"]
    assert peer["last_handshake_seconds"] < 60
    assert peer["traffic"]["packets_sent"] >= 3 and peer["traffic"]["packets_received"] >= 3
    members = server.members()
    assert set(members) == {"a", "b"} and members["a"]["address"] == a.address
    assert members["a"]["control_endpoint"].startswith(a.host.v4 + ":")

    assert a.address in a.eps("status")
    table = a.eps("peers")
    for word in "b", b.address, b.mac, "direct":
        assert word in table
    assert any(endpoint in table for endpoint in endpoints_of(b.host))
    assert json.loads(a.eps("--json", "peers")) and json.loads(server.eps("--json", "members"))
    for client in a, b:
        assert re.search(rf"\b{client.name}\b.*{re.escape(client.address)}", server.eps("members"))


def test_server_by_several_names(network):
    server = network.server()
    client = network.client("a", server=f"bad.invalid 10.77.0.99 {server.host.v4}")
    assert client.status()["server"]["endpoint"] == f"{server.host.v4}:43439"


def test_server_with_another_port(network):
    server = network.server(port=12345)
    a = network.client("a", port=12345)
    b = network.client("b", server=server.host.v6, port=12345)
    a.wait_sees(b)
    assert a.ping(b) == 3


def test_underlay_with_ipv6_only(network):
    server = network.server(host=network.host("server", v4=False))
    a = network.client("a", host=network.host("a", v4=False), server=server.host.v6, join=False)
    b = network.client("b", host=network.host("b", v4=False), server=f"[{server.host.v6}]", join=False)
    a.wait_joined()
    b.wait_joined()
    a.wait_sees(b)
    assert a.ping(b) == 3
    a.wait_path(b, "direct")
    assert a.peers()["b"]["endpoint"].startswith(f"[{b.host.v6}]:")


def test_client_waits_for_the_server(network):
    server = network.server()
    server.stop()
    a = network.client("a", join=False)
    a.wait_status(lambda s: not s["server"]["connected"] and s["server"]["note"], "says why it waits")
    server.restart()
    a.wait_joined(20)


def test_one_file_for_both_programs(network):
    server = network.server()
    server.stop()
    common = f"network = 10.44.0.0/24\nserver = {server.host.v4}\nname = both\nport = 1\n"
    server.conf.write_text(common + server.conf.read_text() + "\n[client]\nport = 12346\n[server]\nport = 12346\n")
    server.restart()
    a = network.client("a", conf=server.conf, start=False)
    a.options |= {"server": None, "name": None}
    a.start().wait_joined()
    assert a.status()["name"] == "both" and a.address.startswith("10.44.0.")
    assert a.status()["server"]["endpoint"].endswith(":12346")


def test_key_is_printed_from_the_state_directory(network):
    server = network.server()
    assert sh(BIN / "eps", "key", "--state", server.state).strip() == server.key()
    assert server.conf.stat().st_mode & 0o777 == 0o600
    assert (server.state / "server/network.key").stat().st_mode & 0o777 == 0o600
    assert server.conf.read_text().count("\n# ") > 3, "a commented template"


def test_configuration_that_cannot_be_written(network):
    server = network.server(conf="/proc/nowhere/eps.conf")
    server.wait_log(r"eps key")
    key = sh(BIN / "eps", "key", "--state", server.state).strip()
    network.client("a", key=key)


def test_members_are_logged(network):
    server = network.server()
    a, b = network.clients("a", "b")
    for daemon in server, a:
        for client in a, b:
            address = re.escape(client.address)
            daemon.wait_log(rf"\b{client.name}\b.*{address}|{address}.*\b{client.name}\b")
    before = len(server.log())
    b.stop()
    wait_until(lambda: "b" in server.log()[before:], "the server logs that b left")
