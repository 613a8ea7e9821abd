# SPDX-License-Identifier: MIT
"""Restrictive networks.

     [server] ──┐
     [a] ──x────┼── [lan]        x  lets out what a test says, and nothing else
     [b] ───────┘
"""

import pathlib
import socket
import sys
import time

import pytest
from eps import SANITIZED
from lab import Pinger, wait_until
from wire import transfer

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


def test_a_taken_other_port_is_reported(network):
    host = network.host("server")
    taken = host.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("", 443))
    taken.listen()
    code, said = network.server(host=host, start=False, also_port=443).start().failed()
    assert code == 1
    assert "TCP port 443" in said and "choose another --also-port" in said


def over_tcp(client, other):
    peer = client.peers()[other.name]
    return peer["path"] == "relayed" and peer["over_tcp"]


def test_without_udp_everything_is_relayed_over_tcp(network):
    network.server()
    host = network.host("a")
    host.drop("meta l4proto udp")
    a, b, c = network.client("a", host=host), network.client("b"), network.client("c")
    a.wait_sees(b, c)
    a.wait_status(lambda s: s["relay_over_tcp"], "is relayed over TCP", 5)
    assert a.ping(b, 10) == 10
    assert c.ping(a, 10) == 10
    assert over_tcp(a, b) and over_tcp(a, c) and not b.peers()["a"]["over_tcp"]
    assert "relayed over TCP" in a.eps("peers") and "relayed over TCP" in a.eps("status")
    assert "over TCP" in network.the_server.eps("members")
    assert b.ping(c) == 3
    b.wait_path(c, "direct")
    a.wait_log("relayed traffic uses the TCP connection")


def test_two_without_udp(network):
    """A stream through the server's two TCP connections, while others talk beside it."""
    network.server()
    hosts = [network.host(name) for name in "ab"]
    for host in hosts:
        host.drop("meta l4proto udp")
    a, b = (network.client(name, host=host) for name, host in zip("ab", hosts, strict=True))
    c = network.client("c")
    a.wait_sees(b, c)
    b.wait_sees(a, c)
    assert a.ping(b) == 3
    beside = Pinger(c.host, a.address, 0.1)
    sent, came, seconds = transfer(a.host, b.host, b.address, 100_000_000)
    assert sent == came
    pings, answers = beside.stop()
    print(f"100 MB over TCP in {seconds:.1f} s; {answers} of {pings} pings to the same member answered meanwhile")
    assert answers >= pings * 0.8
    assert over_tcp(a, b) and over_tcp(b, a)
    assert all(m["online"] for m in network.the_server.members().values()), "their control messages got through"


@pytest.mark.skipif(bool(SANITIZED), reason="700 MB take a sanitizer's programs too long")
def test_control_connections_get_new_keys_under_load(network):
    """After 256 MiB in both directions together."""
    network.server()
    hosts = [network.host(name) for name in "ab"]
    for host in hosts:
        host.drop("meta l4proto udp")
    a, b = (network.client(name, host=host) for name, host in zip("ab", hosts, strict=True))
    a.wait_sees(b)
    assert a.ping(b) == 3
    sent, came, seconds = transfer(a.host, b.host, b.address, 700_000_000)
    assert sent == came
    for client in a, b:
        status = client.wait_status(lambda s: s["server"]["rekeys"] >= 2, "has new keys")
        assert status["connections_established"] == 1
        print(f"700 MB over TCP in {seconds:.1f} s; keys changed {status['server']['rekeys']} times")
    assert a.ping(b) == 3


def test_only_tcp_443(network):
    network.server(also_port=443)
    host = network.host("a")
    host.drop("meta l4proto udp")
    host.drop("oifname eth0 tcp dport != 443")
    a, b = network.client("a", host=host, also_port=443), network.client("b")
    a.wait_sees(b)
    a.wait_status(lambda s: s["relay_over_tcp"], "is relayed over TCP", 5)
    assert a.ping(b, 10) == 10
    sent, came, _ = transfer(b.host, a.host, a.address, 3_000_000)
    assert sent == came


def test_udp_comes_and_goes(network):
    network.server()
    host = network.host("a")
    host.drop("meta l4proto udp")
    a, b = network.client("a", host=host), network.client("b")
    a.wait_sees(b)
    a.wait_status(lambda s: s["relay_over_tcp"], "is relayed over TCP", 5)
    pinger = Pinger(a.host, b.address, 0.1)
    wait_until(lambda: over_tcp(a, b), "is relayed over TCP")
    host.drop_nothing()
    a.wait_status(lambda s: not s["relay_over_tcp"], "is back on UDP", 10)
    a.wait_path(b, "direct", 20)
    sent, received = pinger.stop()
    assert sent == received, "from TCP to UDP nothing is lost"
    pinger = Pinger(a.host, b.address, 0.1)
    time.sleep(4)
    host.drop("meta l4proto udp")
    wait_until(lambda: over_tcp(a, b), "is relayed over TCP again", 20)
    wait_until(lambda: a.ping(b, 1) == 1, "a reaches b", 10)
    sent, received = pinger.stop()
    print(f"from UDP to TCP {sent - received} pings are lost, one every 0.1 s")


@pytest.mark.parametrize("interval", [0.1, 1], ids=["often", "seldom"])
@pytest.mark.parametrize("blocked", ["a", "b", "ab"], ids=["asks", "answers", "both"])
def test_a_relayed_pair_whose_udp_ends_goes_on_over_tcp(network, blocked, interval):
    """Who only answers goes on hearing the other, although nothing that it sends arrives any more."""
    network.server()
    hosts = {name: network.host(name) for name in "ab"}
    a, b = (network.client(name, host=host) for name, host in hosts.items())
    for host, other in ((hosts["a"], hosts["b"]), (hosts["b"], hosts["a"])):
        host.drop(f"ip daddr {other.v4} meta l4proto udp")
        host.drop(f"ip6 daddr {{ {other.v6}, fe80::/10 }} meta l4proto udp")
    a.wait_sees(b)
    assert a.ping(b) == 3
    assert not over_tcp(a, b)
    pinger = Pinger(hosts["a"], b.address, interval)
    time.sleep(3)
    for name in blocked:
        hosts[name].drop("meta l4proto udp")
    came = len(pinger.echo.answered)
    wait_until(lambda: len(pinger.echo.answered) >= came + 5, "the pings are answered again", 30)
    time.sleep(2)
    sent, received = pinger.stop()
    lost = (sent - received) * interval
    print(f"blocked {blocked}, a ping every {interval} s: {lost:.1f} s without an answer")
    assert lost <= 3.5, "2 s, and what a busy machine adds"


def test_only_a_proxy_leads_out(network):
    """The server by its name, which only the proxy can look up, at the port that it lets through."""
    server = network.server(also_port=443)
    proxy = network.host("proxy")
    host = network.host("a")
    running = proxy.spawn(sys.executable, pathlib.Path(__file__).with_name("http_proxy.py"), 3128, 443, "eps:se:cret",
                          f"eps.example={server.host.v4}")
    host.drop(f"ip daddr != {proxy.v4} meta l4proto {{ tcp, udp }}")
    host.drop("ip6 nexthdr { tcp, udp }")
    a = network.client("a", host=host, join=False, server="eps.example", also_port=443, proxy=f"http://{proxy.v4}:3128")
    a.wait_log(r"the proxy 10\.77\.0\.\d:3128 wants a user and a password")
    assert "wants a user and a password" in a.eps("doctor", check=False)
    a.stop()
    a.options["proxy"] = f"http://eps:wrong@{proxy.v4}:3128"
    a.start().wait_log("does not accept the user and the password")
    a.stop()
    a.options["proxy"] = f"http://eps:se%3acret@{proxy.v4}:3128"
    a.restart()
    assert "CONNECT eps.example:443" in running.output()
    assert "cret" not in a.log()
    a.wait_status(lambda s: s["relay_over_tcp"], "is relayed by the proxy")
    b = network.client("b")
    assert wait_until(lambda: a.ping(b), "b answers by the proxy")
    # Without the proxy: the variable no_proxy, and the option "none".
    a.stop()
    a.options["proxy"] = None
    a.options["server"] = server.host.v4
    a.launcher = ["env", f"https_proxy=http://eps:se%3acret@{proxy.v4}:3128"]
    a.restart()
    assert f"CONNECT {server.host.v4}:443" in running.output()
    a.stop()
    a.launcher += ["no_proxy=10.77.0.0/16"]
    asked = running.output().count("CONNECT")
    host.drop_nothing()
    a.restart()
    assert running.output().count("CONNECT") == asked


def test_only_the_client_speaks_tls(network):
    network.server()
    a = network.client("a", tls=True, join=False)
    a.wait_log("hung up .*before TLS was agreed on: eps-server takes TLS on port 443, and with --tls on every port")
    assert "before TLS was agreed on" in a.eps("doctor", check=False)


def test_only_tls_passes(network):
    """A firewall that cuts anything but TLS: on port 443 TLS is the default, elsewhere it needs the option."""
    server = network.server(also_port=443, tls=True)
    firewall = network.host("firewall")
    inspected = {port: firewall.spawn(sys.executable, pathlib.Path(__file__).with_name("tls_firewall.py"), port,
                                      server.host.v4) for port in (443, MAIN)}
    host = network.host("a")
    host.drop(f"oifname eth0 ip daddr != {firewall.v4} meta l4proto {{ tcp, udp }}")
    host.drop("oifname eth0 ip6 nexthdr { tcp, udp }")
    host.drop("oifname eth0 meta l4proto udp")
    a = network.client("a", host=host, server=firewall.v4, also_port=443)
    assert a.status()["server"]["endpoint"] == f"{firewall.v4}:443" and a.status()["server"]["tls"]
    assert "inside TLS" in a.eps("doctor", check=False)
    assert "cut" in inspected[MAIN].output(), "the plain connection did not get through"
    b = network.client("b")
    a.wait_sees(b)
    a.wait_status(lambda s: s["relay_over_tcp"], "is relayed inside TLS")
    assert a.ping(b) == 3
    sent, came, _ = transfer(b.host, a.host, a.address, 3_000_000)
    assert sent == came
    assert "cut" not in inspected[443].output()
    a.stop()
    host.drop("oifname eth0 tcp dport 443")
    a.options["tls"] = True
    a.restart()
    assert a.status()["server"]["endpoint"] == f"{firewall.v4}:{MAIN}" and a.status()["server"]["tls"]
    assert "client: hello" in inspected[MAIN].output()


def test_port_443_is_tried_without_tls_if_tls_is_unsupported(network):
    """As with an older server: a ClientHello is not answered."""
    network.server(also_port=443)
    host = network.host("a")
    host.drop(f"tcp dport {MAIN}")
    # After a header with time stamps.
    host.drop("tcp dport 443 @th,256,24 0x160301")
    a = network.client("a", host=host, also_port=443)
    assert a.status()["server"]["endpoint"].endswith(":443") and not a.status()["server"]["tls"]
