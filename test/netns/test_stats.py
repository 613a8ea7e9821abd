"""Statistics and scorecards against what really went through the interface.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┘
"""

import re

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
    """No IPv6, which announces and asks when nobody expects it; ARP is done."""
    client.host.run("sysctl", "-qw", "net.ipv6.conf.eps0.disable_ipv6=1")


def counters(client):
    """What the kernel has given to and taken from the TAP device."""
    read = lambda name: int(client.host.run("cat", f"/sys/class/net/eps0/statistics/{name}"))  # noqa: E731
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
    assert a.ping(b, 50, 0.02, "-s", SIZE) == 50
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


def test_server_counts_what_it_relays(network):
    server = network.server(stats=True, interval=1)
    hosts = network.host("a", v6=False), network.host("b", v6=False)
    for host, other in hosts, hosts[::-1]:
        host.drop(f"ip daddr {other.v4} meta l4proto udp")
    a, b = (network.client(host.name, host) for host in hosts)
    a.wait_sees(b)
    b.wait_sees(a)
    for client in a, b:
        quiet(client)
    assert a.ping(b) == 3
    assert a.path_to(b) == "relayed"
    before = server.status()["traffic"]
    frames = of_status(a)
    assert a.ping(b, 50, 0.02, "-s", SIZE) == 50
    after, frames = server.status()["traffic"], passed(frames, of_status(a))
    packets = after["packets_forwarded"] - before["packets_forwarded"]
    sent = frames["packets", "sent"] + frames["packets", "received"]
    # Besides frames there are path messages, each of the two as large.
    assert sent <= packets <= sent + 12
    overhead = 8 + 8 + 1 + 16 - 14  # of an IP frame: envelope, header, kind, tag; its Ethernet header is left out
    assert 100 * (FRAME + overhead) <= after["bytes_forwarded"] - before["bytes_forwarded"]
    assert after["bytes_forwarded"] - before["bytes_forwarded"] <= 100 * (FRAME + overhead) + (packets - 100) * 150
    assert after["packets_received"] - before["packets_received"] >= packets, "what passes through is received, too"

    total = wait_until(lambda: reports(server) and reports(server)[-1][2], "statistics")
    wait_until(lambda: reports(server)[-1][2].get(("packets", "forwarded"), 0) >= after["packets_forwarded"], "all of it")
    total = reports(server)[-1][2]
    assert total["connections", "established"] == 2
    assert total["packets", "sent"] > 0, "its own messages"
    assert total["packets", "received"] >= total["packets", "forwarded"]
