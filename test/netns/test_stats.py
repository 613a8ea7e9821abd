# SPDX-License-Identifier: MIT
"""Statistics and scorecards compared with the real traffic of the interface.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┘
"""

import json
import re

import pytest
from lab import wait_until

TEXT = re.compile(
    r" info - in: (?P<in>\S+ \S*Bps \(\S+ \S*bps\)), out: (?P<out>\S+ \S*Bps \(\S+ \S*bps\)), "
    r"fwd: (?P<fwd>\S+ \S*Bps \(\S+ \S*bps\))\n"
    r"\S+ \S+ \S+ info - EPS statistics:\n(?P<interval>\d+)-second stats:\n(?P<passed>(?:\d+ .*\n)*)"
    r"total stats:\n(?P<total>(?:\d+ .*\n)*)")
SIZE = 1000  # of a ping, and with ICMP, IP and Ethernet:
FRAME = SIZE + 8 + 20 + 14


def figures(lines):
    """{("packets", "sent"): 12, …}"""
    return {(unit, what): int(n) for n, unit, what in re.findall(r"^(\d+) (\w+) (\w+)", lines, re.M)}


def reports(daemon):
    return [(m["interval"], figures(m["passed"]), figures(m["total"])) for m in TEXT.finditer(daemon.log())]


def quiet(client):
    """No IPv6, which sends unexpected announcements and queries; ARP is done once, and not again 5 s later."""
    client.host.run("sysctl", "-qw", "net.ipv6.conf.eps0.disable_ipv6=1",
                    "net.ipv4.neigh.eps0.delay_first_probe_time=600")


def counters(client):
    """What the kernel has sent to and received from the TAP device."""
    def read(name):
        return int(client.host.run("cat", f"/sys/class/net/eps0/statistics/{name}"))

    return {("packets", "sent"): read("tx_packets"), ("bytes", "sent"): read("tx_bytes"),
            ("packets", "received"): read("rx_packets"), ("bytes", "received"): read("rx_bytes")}


def passed(before, after):
    return {key: after[key] - before[key] for key in before}


def of_status(client):
    traffic = client.status()["traffic"]
    return {(unit, what): traffic[f"{unit}_{what}"] for unit in ("packets", "bytes") for what in ("sent", "received")}


def test_client_counts_what_goes_through_the_interface(network):
    network.server()
    a, b = (network.client(n, stats=True, interval=1) for n in "ab")
    a.wait_sees(b)
    for client in a, b:
        quiet(client)
    assert a.ping(b) == 3
    was, said = counters(a), of_status(a)
    assert a.ping(b, 50, 0.02, size=SIZE) == 50
    now, says = counters(a), of_status(a)
    assert passed(said, says) == passed(was, now), "the counters are those of the interface"
    assert passed(said, says)[("bytes", "sent")] >= 50 * FRAME

    wait_until(lambda: reports(a) and all(reports(a)[-1][2].get(key) == n for key, n in says.items()),
               "the log's totals are the counters")
    interval, _, total = reports(a)[-1]
    assert interval == "1" and total["connections", "established"] == 1
    assert ("packets", "forwarded") not in total, "what is zero is left out"
    parts = [part for _, part, _ in reports(a)]
    first = reports(a)[0]
    for key in says:
        assert sum(p.get(key, 0) for p in parts[1:]) + first[2].get(key, 0) == says[key], "the intervals add up"


@pytest.mark.parametrize("way", ["UDP", "TCP"])
def test_server_counts_relayed_traffic(network, way):
    server = network.server(stats=True, interval=1)
    hosts = network.host("a", v6=False), network.host("b", v6=False)
    for host, other in hosts, hosts[::-1]:
        host.drop(f"ip daddr {other.v4} meta l4proto udp" if way == "UDP" else "oifname eth0 meta l4proto udp")
    a, b = (network.client(host.name, host) for host in hosts)
    for client in a, b:
        client.wait_status(lambda s: s["relay_over_tcp"] == (way == "TCP"), f"relays over {way}")
    a.wait_sees(b)
    b.wait_sees(a)
    for client in a, b:
        quiet(client)
    assert a.ping(b) == 3
    assert a.path_to(b) == "relayed"
    before = server.status()["traffic"]
    frames = of_status(a)
    assert a.ping(b, 50, 0.02, size=SIZE) == 50
    after, frames = server.status()["traffic"], passed(frames, of_status(a))
    packets = after["packets_forwarded"] - before["packets_forwarded"]
    sent = frames["packets", "sent"] + frames["packets", "received"]
    # Besides frames there are path messages, each of the two as large.
    assert sent <= packets <= sent + 100, "and frames in pieces, until the path's size is known"
    overhead = 8 + 8 + 1 + 16 - 14  # of an IP frame: envelope, header, kind, tag; its Ethernet header is left out
    assert 100 * (FRAME + overhead) <= after["bytes_forwarded"] - before["bytes_forwarded"]
    assert after["bytes_forwarded"] - before["bytes_forwarded"] <= 100 * (FRAME + overhead) + (packets - 100) * 1500
    received = after["bytes_received"] - before["bytes_received"]
    most = 110 * (FRAME + overhead) + 4000 + (packets - 100) * 1500
    assert after["bytes_forwarded"] - before["bytes_forwarded"] <= received <= most
    assert after["bytes_sent"] - before["bytes_sent"] < 4000, "what passes through is received, but not sent"

    total = wait_until(lambda: reports(server) and reports(server)[-1][2], "statistics")
    wait_until(lambda: reports(server)[-1][2].get(("packets", "forwarded"), 0) >= after["packets_forwarded"],
               "all of it")
    total = reports(server)[-1][2]
    assert total["connections", "established"] == 2
    assert total["packets", "sent"] > 0, "its own messages"
    assert total["packets", "received"] >= total["packets", "forwarded"]


def keys(path):
    """A scorecard of the form "keys", {} while there is none."""
    lines = path.read_text().splitlines() if path.exists() else []
    assert all(re.fullmatch(r"[a-zA-Z0-9_.-]+=\d+", line) for line in lines)
    return {name: int(value) for name, value in (line.split("=") for line in lines)}


def test_scorecards_agree_with_the_counters(network):
    cards = {name: network.directory / f"{name}.stats" for name in ("server", "a", "b")}
    network.server(scorecard=cards["server"], interval=1)
    a, b = (network.client(n, scorecard=cards[n], interval=1) for n in "ab")
    a.wait_sees(b)
    for client in a, b:
        quiet(client)
    assert a.ping(b) == 3
    before = wait_until(lambda: keys(cards["a"]).get("peer.b.packets_sent") and keys(cards["a"]), "a's scorecard")
    assert a.ping(b, 50, 0.02, size=SIZE) == 50
    says = of_status(a)

    def all_of(part):
        card = keys(cards["a"])
        return all(card[f"{part}.{unit}_{what}"] == n for (unit, what), n in says.items()) and card
    wait_until(lambda: all_of("total"), "all of it")
    after = wait_until(lambda: all_of("peer.b"), "all of it, and with b")
    assert after["peers_online"] == after["peers_direct"] == after["peer.b.direct"] == 1
    assert after["uptime_seconds"] >= before["uptime_seconds"] and after["total.connections_established"] == 1
    assert after["peer.b.round_trip_microseconds"] > 0

    def agree():
        card = keys(cards["server"])
        return all(card.get(f"pair.a.b.{unit}_{side}") == says[unit, "sent"] for unit in ("packets", "bytes")
                   for side in ("sent", "received")) and card
    card = wait_until(agree, "the server has what a sent and what b received")
    assert card["pair.a.b.packets_lost"] == card["pair.b.a.packets_lost"] == 0
    assert card["pair.a.b.direct"] == 1 and card["members_online"] == 2 and card["member.a.uptime_seconds"] > 0
    wait_until(lambda: not list(network.directory.glob("*.stats?*")), "no temporary file is left")


def test_one_way_loss_shows_on_the_side_that_loses(network):
    """Every second ping that a sends to b directly is lost; everything from b arrives. a sends each datagram
    separately: in a GSO run a frame that happened to follow a ping would be lost with it."""
    card = network.directory / "server.stats"
    network.server(scorecard=card, interval=1)
    a = network.client("a", network.host("a", v6=False), offload="csum,tso,uso,gro")
    b = network.client("b", network.host("b", v6=False))
    a.wait_sees(b)
    assert a.ping(b) == 3
    a.wait_path(b, "direct")
    b.host.run("nft", "add table inet lossy; add chain inet lossy in { type filter hook input priority 0; };"
               f"add rule inet lossy in ip saddr {a.host.v4} meta l4proto udp udp length > 1000 "
               "numgen inc mod 2 == 0 drop")
    answered = a.ping(b, 60, 0.02, size=SIZE)
    assert 20 <= answered <= 55
    lost = 60 - answered
    # Packets in transit while both are asked seem lost until they are asked again.
    wait_until(lambda: [keys(card).get(f"pair.{way}.packets_lost") for way in ("a.b", "b.a")] == [lost, 0],
               f"{lost} packets from a to b are lost, and none from b to a")


@pytest.mark.parametrize("form", ["prometheus", "json"])
def test_other_forms(network, form):
    card = network.directory / "card"
    network.server(scorecard=card, scorecard_format=form, interval=1)
    network.clients("a", "b")
    if form == "json":
        wait_until(lambda: card.exists() and
                   json.loads(card.read_text()).get("member", {}).get("a", {}).get("online") == 1, "a scorecard with a")
        return
    online = 'eps_member_online{member="a"} 1\n'
    text = wait_until(lambda: card.exists() and online in (text := card.read_text()) and text, "a scorecard with a")
    samples = [line for line in text.splitlines() if not line.startswith("# ")]
    assert all(re.fullmatch(r'[a-z_]+(\{([a-z]+="[^"]+",?)+\})? \d+(\.\d+)?', line) for line in samples)


def test_a_scorecard_that_cannot_be_written_is_logged_once(network):
    server = network.server(scorecard="/proc/none/card", interval=1)
    server.wait_log(r"/proc/none/card.*there is no scorecard")
    wait_until(lambda: server.status()["uptime_seconds"] >= 4, "some intervals have passed")
    assert server.log().count("there is no scorecard") == 1
