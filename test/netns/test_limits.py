# SPDX-License-Identifier: MIT
"""What one member may cost the others.

     [server] ──┐
     [a] ──x────┼── [lan]        x  drops UDP between a and b, not with the server
     [b] ──x────┘
"""

import json
import re
import socket
import time

import pytest
from lab import FIGURES, wait_until
from wire import transfer

MBIT = 1_000_000 / 8


def apart(network, udp=True, **options):
    """Clients that reach each other only through a relay."""
    hosts = network.host("a", v6=False), network.host("b", v6=False)
    for host, other in hosts, hosts[::-1]:
        host.drop(f"ip daddr {other.v4} meta l4proto udp" if udp else "meta l4proto udp")
    a, b = (network.client(host.name, host=host, **options) for host in hosts)
    a.wait_sees(b)
    b.wait_sees(a)
    wait_until(lambda: a.ping(b, 1) == 1, "a reaches b")
    return a, b


def flood(sender, target, seconds, rate=None):
    """Datagrams of 1,000 bytes, as fast as they go or so many a second. How many left."""
    count, begin = 0, time.monotonic()
    with sender.host.socket(kind=socket.SOCK_DGRAM) as s:
        while (passed := time.monotonic() - begin) < seconds:
            if rate and count > passed * rate:
                time.sleep(0.002)
                continue
            s.sendto(bytes(1000), (target.address, 9))
            count += 1
    return count


@pytest.mark.parametrize("over", ["udp", "tcp"])
def test_what_is_relayed_for_a_member_is_limited_and_told(network, over):
    server = network.server(relay_limit="16mbit", http="127.0.0.1:9100")
    a, b = apart(network, udp=over == "udp")
    if over == "tcp":
        wait_until(lambda: a.ping(b, 1) and a.peers()["b"]["over_tcp"], "a is relayed over TCP")
    size = 16_000_000
    sent, came, took = transfer(a.host, b.host, b.address, size)
    FIGURES.append(f"TCP through a limit of 16 Mbit/s over {over}: {size / took / MBIT:.1f} Mbit/s")
    assert sent == came
    assert size / took < 17.5 * MBIT, "the limit holds, but for what is sent at once"
    assert size / took > 8 * MBIT, "TCP can use it"
    server.wait_log(re.escape(f"a ({a.address}) sends more through this relay than 16mbit: the rest is dropped."))
    assert f"b ({b.address}) sends more" not in server.log()
    members = server.members()
    assert members["a"]["relay_limit_drops"] > 0 and members["a"]["relay_limited"]
    assert members["b"]["relay_limit_drops"] == 0 and not members["b"]["relay_limited"]
    assert server.status()["relay_limit"] == "16mbit"
    assert server.drops("relay_limit") == members["a"]["relay_limit_drops"]
    assert "a sends more through the relay here than 16mbit" in server.eps("doctor", check=False)
    told = "The server drops what this computer sends through its relay beyond 16mbit."
    wait_until(lambda: told in a.eps("doctor", check=False), "the member knows")
    assert told in a.log() and told not in b.log()
    assert a.peers()["b"]["path_mtu"] is None and "bytes pass on the path to b" not in a.eps("doctor", check=False)
    figures = server.host.run("curl", "-s", "http://127.0.0.1:9100/metrics")
    assert f'eps_member_packets_relay_limited_total{{member="a"}} {members["a"]["relay_limit_drops"]}' in figures


def test_a_flood_beyond_the_limit_takes_nothing_from_the_other_direction(network):
    server = network.server(relay_limit="2000pps")
    a, b = apart(network)
    sent = flood(a, b, 2, rate=10_000)
    passed = server.members()["a"]["relayed"]["packets_forwarded"]
    assert sent > 8000 and passed < 2 * 2000 + 256 + 500
    assert b.ping(a, 3) == 3
    assert server.members()["b"]["relay_limit_drops"] == 0


def test_the_limit_of_the_server_changes_with_a_reload(network):
    server = network.server()
    a, b = apart(network)
    assert server.status()["relay_limit"] is None
    flood(a, b, 0.5, rate=5000)
    assert server.members()["a"]["relay_limit_drops"] == 0
    server.conf.write_text("relay-limit = 100pps\n" + server.conf.read_text())
    assert "restart" not in server.eps("reload")
    assert server.status()["relay_limit"] == "100pps"
    flood(a, b, 0.5, rate=5000)
    assert server.members()["a"]["relay_limit_drops"] > 1000


def test_a_member_limits_what_it_relays(network):
    server = network.server()
    c = network.client("c", host=network.host("c", v6=False), relay=True, relay_limit="2000pps")
    a, b = apart(network)
    for client in a, b:
        client.wait_reaches(c, "direct")
    server.kill()
    a.wait_relayed_by(c, b)
    flood(a, b, 1, rate=10_000)
    c.wait_log(re.escape(f"a ({a.address}) sends more through this relay than 2000pps: the rest is dropped."))
    assert c.drops("relay_limit") > 1000
    findings = json.loads(c.eps("--json", "status"))["findings"]
    assert any("sends more through this relay" in f["what"] for f in findings)
