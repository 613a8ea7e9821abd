# SPDX-License-Identifier: MIT
"""Members that cannot reach each other communicate through the server, which cannot read what it relays.

     [server] ──┐
     [a] ──x────┼── [lan]        x  drops UDP between a and b, not with the server
     [b] ──x────┘
"""

import json
import time

import pytest
from lab import Pinger, wait_until
from wire import Sniffer, transfer

TYPE_RELAY = 5
ECHO = 20 + 8 + 56  # bytes of an IP packet


def relayed(seen, source, target):
    """Their size in bytes. Datagrams that leave together, as after a pause of the computer, cross the switch as one."""
    return sum(len(d.payload) for d in seen.datagrams(source, target, TYPE_RELAY))


@pytest.fixture
def apart(network):
    """server, a, b: a and b have joined and reach each other only through the relay."""
    server = network.server()
    hosts = network.host("a"), network.host("b")
    for host, other in hosts, hosts[::-1]:
        host.drop(f"ip daddr {other.v4} meta l4proto udp")
        host.run("nft", f"add rule inet lab out ip6 daddr {{ {other.v6}, fe80::/10 }} oifname eth0 "
                 "meta l4proto udp drop")
    a, b = network.client("a", host=hosts[0]), network.client("b", host=hosts[1])
    a.wait_sees(b)
    b.wait_sees(a)
    return server, a, b


def test_ping_and_stream_pass_the_relay(apart):
    server, a, b = apart
    assert a.ping(b, 10) == 10
    sent, came, _ = transfer(a.host, b.host, b.address, 30_000_000)
    assert sent == came
    assert a.path_to(b) == "relayed" and b.path_to(a) == "relayed"
    assert a.peers()["b"]["endpoint"] == f"{server.host.v4}:43439"
    assert server.members()["a"]["relayed"]["bytes_forwarded"] > 30_000_000
    assert server.status()["traffic"]["bytes_forwarded"] > 30_000_000


def test_they_stay_relayed_and_say_why(apart):
    server, a, b = apart
    assert a.ping(b, 60, 0.1) == 60
    assert a.path_to(b) == "relayed"

    def said_in_vain():
        a.ping(b, 1)
        return "drops UDP" in (said := a.eps("why", "b")) and said
    said = wait_until(said_in_vain, "the search has lasted 5 s, also if it began again")
    assert f"b ({b.address}) is reached through a relay at {server.host.v4}:43439" in said
    assert "Forward the UDP port" in said
    ways = json.loads(a.eps("--json", "why", b.address))["ways"]
    assert ways[0]["way"] == "relay: server" and ways[0]["in_use"] and ways[0]["pongs"] > 0
    tried = [w for w in ways if w["way"].startswith(b.host.v4)]
    assert tried and all(w["pings"] >= 4 and not w["answers"] for w in tried)
    with pytest.raises(RuntimeError, match='no member "nobody"'):
        a.eps("why", "nobody")


def test_relay_cannot_be_read(apart, network):
    server, a, b = apart
    with Sniffer(network) as seen:
        assert a.ping(b, 5, 0.1, pattern=b"EPS!") == 5
    assert relayed(seen, a.host.v4, server.host.v4) >= 5 * ECHO
    for frame in seen.frames:
        assert b"EPS!EPS!" not in frame


def test_full_frames_fit_the_relay(apart, network):
    """The default MTU leaves room for the relay's envelope: nothing is fragmented on an underlay of 1500."""
    _, a, b = apart
    with Sniffer(network) as seen:
        assert a.ping(b, 5, 0.1, size=1372, df=True) == 5
    assert not [f for f in seen.frames if f[12:14] == b"\x08\x00" and (f[20] & 0x3f or f[21])]


def test_direct_path_is_found_when_it_opens_and_left_when_it_closes(apart):
    _, a, b = apart
    assert a.ping(b) == 3
    rules = [(c.host, c.host.run("nft", "list", "ruleset")) for c in (a, b)]
    for host, _ in rules:
        host.drop_nothing()

    def direct():
        a.ping(b, 1)
        return a.path_to(b) == "direct"
    wait_until(direct, "a finds the direct path", 90)
    for host, ruleset in rules:
        path = host.lab.directory / f"{host.name}.nft"
        path.write_text(ruleset)
        host.run("nft", "-f", path)

    def relayed():
        a.ping(b, 1)
        return a.path_to(b) == "relayed"
    wait_until(relayed, "a goes back to the relay", 60)
    wait_until(lambda: a.ping(b, 1) == 1, "b goes back to it as well", 2)
    assert a.ping(b, 5) == 5

    def says_why():
        a.ping(b, 1)
        return "nothing of it arrives here" in a.eps("why", "b")
    wait_until(says_why, "what arrived before the path was lost is no reason any more", 15)


def test_relay_serves_only_proven_endpoints(apart, network):
    """A relayed datagram replayed from a third host is dropped and counted."""
    from wire import inject
    server, a, b = apart
    with Sniffer(network) as seen:
        assert a.ping(b, 2) == 2
    datagram = next(seen.datagrams(a.host.v4, server.host.v4, TYPE_RELAY))
    stranger = network.host("stranger")
    before = server.drops("unauthorised")
    datagram.source = (stranger.v4, 4444)
    frame = bytearray(datagram.frame)
    frame[26:30] = bytes(map(int, stranger.v4.split(".")))
    datagram.frame = bytes(frame)
    with Sniffer(network) as seen:
        inject(network, server.host, datagram.with_payload(datagram.payload))
        wait_until(lambda: server.drops("unauthorised") == before + 1, "the server counts it")
    assert not list(seen.datagrams(server.host.v4, stranger.v4))


def test_a_member_relays_when_the_server_is_gone(network):
    """c, started with --relay, forwards for a and b, which cannot reach each other; it cannot read what it forwards."""
    server = network.server()
    hosts = [network.host(name, v6=False) for name in "abc"]
    for host, other in hosts[:2], hosts[1::-1]:
        host.drop(f"ip daddr {other.v4} meta l4proto udp")
    a, b, c = (network.client(h.name, host=h, relay=h.name == "c") for h in hosts)
    a.wait_sees(b, c)
    b.wait_sees(a, c)
    assert a.ping(b, 60, 0.1) == 60  # long enough to look for other relays than the server
    wait_until(lambda: a.ping(c, 1) and a.path_to(c) == "direct", "a reaches c")
    wait_until(lambda: b.ping(c, 1) and b.path_to(c) == "direct", "b reaches c")
    server.kill()
    a.wait_relayed_by(c, b)
    with Sniffer(network) as seen:
        assert a.ping(b, 10, 0.1, pattern=b"EPS!") == 10
    assert relayed(seen, a.host.v4, c.host.v4) >= 10 * ECHO
    for frame in seen.frames:
        assert b"EPS!EPS!" not in frame
    sent, came, _ = transfer(a.host, b.host, b.address, 10_000_000)
    assert sent == came
    assert "relay: member" in a.eps("why", "b")


@pytest.mark.parametrize("loses", ["a", "b"], ids=["asks", "answers"])
def test_a_relay_that_one_end_reaches_no_more_is_left(network, loses):
    """The relay's datagrams still arrive there, and the other end hears nothing or is not expected to answer."""
    server = network.server()
    hosts = {name: network.host(name, v6=False) for name in "abcd"}
    for host, other in ((hosts["a"], hosts["b"]), (hosts["b"], hosts["a"])):
        host.drop(f"ip daddr {other.v4} meta l4proto udp")
    a, b, c, d = (network.client(name, host=host, relay=name in "cd") for name, host in hosts.items())
    for end in a, b:
        end.wait_sees(c, d)
        for relay in c, d:
            wait_until(lambda e=end, r=relay: e.ping(r, 1) and e.path_to(r) == "direct", "the relay is reached")

    def relay_in_use():
        """That of both directions."""
        ends = [end.peers()[other.name]["endpoint"] or "" for end, other in ((a, b), (b, a))]
        return next((r for r in (c, d) if all(e.startswith(r.host.v4 + ":") for e in ends)), None)
    assert a.ping(b) == 3
    server.kill()
    wait_until(lambda: a.ping(b, 1) and relay_in_use(), "a member relays in both directions", 60)
    pinger = Pinger(a.host, b.address, 0.1)
    time.sleep(3)
    left = wait_until(relay_in_use, "both ends use the same relay")
    hosts[loses].drop(f"ip daddr {left.host.v4} meta l4proto udp")
    wait_until(lambda: relay_in_use() not in (None, left), "the other one relays", 30)
    time.sleep(1)
    sent, received = pinger.stop()
    print(f"{(sent - received) / 10:.1f} s without an answer")
    assert sent - received <= 18, "about 1 s; 2.5 s and more if each end finds out by itself"
