# SPDX-License-Identifier: MIT
"""Which pairs find a direct path through which routers, and how fast. The rest is relayed, and communicates as well.

    [server] ───────────┐                    two of each, a and b:
    [open] ─────────────┤                    open    on the internet itself
    [easy] ──  [r] ─────┤                    easy    masquerade that keeps ports: the same mapping for everybody
    [hard] ──  [r] ─────┼── internet         hard    masquerade fully-random: a mapping for each destination
    [cone] ──  [r] ─────┤                    cone    static forwarding of ports: lets in everybody
    [double] ─ [r] [r] ─┤                    double  easy behind easy
    [dual] ──  [r] ─────┤                    dual    hard, and IPv6 behind a stateful firewall
    [ipv6] ──  [r] ─────┤                    ipv6    the same without any IPv4
    [no-udp] ─ [r] ─────┤                    no-udp  easy, and all UDP is dropped
    [443] ──── [r] ─────┘                    443     TCP to port 443 passes, and nothing else

All clients join once; the pairs are measured in rounds, in which each client has one partner. With EPS_NAT_TABLE=FILE
the table is written there in Markdown, as in docs/nat-traversal.md.
"""

import os
import time

import pytest
from eps import PATIENCE
from lab import FIGURES, Echo
from nat_lab import NatLab

ROUTERS = {
    "open": None,
    "easy": {},
    "hard": {"nat": "random"},
    "cone": {"nat": "cone"},
    "double": {},
    "dual": {"nat": "random", "ipv6": True},
    "ipv6": {"nat": None, "ipv6": True},
    "no-udp": {"allow": "no-udp"},
    "443": {"allow": "443"},
}
KINDS = list(ROUTERS)
RELAYED_FOR = 3 * PATIENCE  # how long a pair that must be relayed is watched after its first frame
DIRECT_FOR = 0.5            # and how long one that must be direct, after it is
GIVE_UP = 15 * PATIENCE


def expected(a, b):
    kinds = {a, b}
    if kinds & {"no-udp", "443"}:
        return "relayed"
    if kinds <= {"open", "dual", "ipv6"}:
        return "direct"  # over IPv6
    if "ipv6" in kinds:
        return "relayed"  # no address family in common
    kinds = {"hard" if kind == "dual" else kind for kind in kinds}
    # One port of many can be guessed, but not both at once.
    return "relayed" if kinds == {"hard"} else "direct"


def place(lab, kind, side):
    """A host behind a router of the kind."""
    name = f"{kind}-{side}"
    if kind == "open":
        return lab.host(name)
    behind = lab.router(f"cg-{side}", lan="100.64.0.0/24") if kind == "double" else None
    return lab.router(f"r-{name}", behind=behind, **ROUTERS[kind]).host(name)


def place_neighbours(lab):
    """Pairs whose routers affect each other; they are measured alone."""
    router = lab.router("r-lan")
    yield from (router.host("lan-a"), router.host("lan-b"))
    for side in "ab":
        yield lab.router(f"r-twin-{side}", lan="192.168.1.0/24").host(f"twin-{side}")
    for name, hairpin in ("hairpin", True), ("no_hairpin", False):
        provider = lab.router(f"cg-{name}", nat="cone", hairpin=hairpin, lan="100.64.0.0/24")
        for side, low in ("a", 40000), ("b", 41000):
            router = lab.router(f"r-{name}-{side}", behind=provider)
            provider.forward(f"{low}-{low + 999}", router.v4)
            host = router.host(f"{name}-{side}")
            host.run("sysctl", "-qw", f"net.ipv4.ip_local_port_range={low} {low + 999}")
            yield host


def quiet(host):
    """Only the test makes the EPS interface send."""
    host.run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")


def know_addresses(clients):
    """No ARP: a broadcast would begin a session with everybody at once."""
    path = clients[0].lab.directory / "neighbours"
    for client in clients:
        path.write_text("".join(f"neigh replace {c.address} lladdr {c.mac} dev eps0\n" for c in clients))
        client.host.ip("-batch", path)


class Pair:
    """Pings from a to b, every 50 ms, and looks at the paths of both."""

    def __init__(self, names, a, b, expected):
        self.names, self.a, self.b, self.expected = names, a, b, expected
        self.first_frame = self.direct = None
        self.echo, self.paths = Echo(a.host, b.address), []
        assert a.peers()[b.name]["last_handshake_seconds"] is None, "they have not spoken before"

    def since(self):
        return time.monotonic() - self.echo.sent[0]

    def step(self):
        if not self.echo.sent or time.monotonic() - self.echo.sent[-1] >= 0.05:
            self.echo.send()
        self.echo.collect()
        if self.echo.answered and self.first_frame is None:
            self.first_frame = self.since()

    def look(self):
        peers = [next(p for p in client.ask()["peers"] if p["name"] == other.name)
                 for client, other in ((self.a, self.b), (self.b, self.a))]
        self.paths = [(peer["path"], peer["endpoint"]) for peer in peers]
        if all(path == "direct" for path, _ in self.paths):
            self.direct = self.direct or self.since()
        else:
            self.direct = None

    def got(self):
        return "direct" if self.direct is not None else "relayed" if self.first_frame is not None else "nothing"

    def over_ipv6(self):
        return all((endpoint or "").startswith("[") for _, endpoint in self.paths)

    def answers_over_ipv6(self):
        return all(any(way["answers"] and "[" in way["way"] for way in client.why(other)["ways"])
                   for client, other in ((self.a, self.b), (self.b, self.a)))

    def done(self):
        since = self.since()
        if since > GIVE_UP:
            return True
        if self.got() != self.expected or self.first_frame is None:
            return False
        return since > (self.direct + DIRECT_FOR if self.direct is not None else self.first_frame + RELAYED_FOR)

    def lost(self):
        """Unanswered pings after the first answer; the last ones may still be in transit."""
        answered, sent = self.echo.answered, self.echo.sent
        first = min(answered, default=0)
        return len([n for n, at in enumerate(sent) if n > first and n not in answered and at < sent[-1] - 0.3])


def measure(pairs):
    """All at once, until each has its expected path or time is up."""
    running, look_at = list(pairs), 0
    while running:
        for pair in running:
            pair.step()
        if time.monotonic() > look_at:
            for pair in running:
                pair.look()
            running = [pair for pair in running if not pair.done()]
            look_at = time.monotonic() + 0.05
        time.sleep(0.005)
    wrong = [f"{' - '.join(p.names)}: {p.got()}, {p.paths}" for p in pairs if p.got() != p.expected]
    assert not wrong, "\n".join(wrong)


def milliseconds(value):
    return "-" if value is None else f"{1000 * value:.0f} ms"


def report(pairs):
    head = ["Between", "and", "Expected", "Got", "First frame after", "Direct after", "Lost after it"]
    rows = [[*pair.names, pair.expected, pair.got() + (" (IPv6)" if pair.over_ipv6() else ""),
             milliseconds(pair.first_frame), milliseconds(pair.direct), str(pair.lost())] for pair in pairs]
    lines = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
    FIGURES.extend(lines)
    if path := os.environ.get("EPS_NAT_TABLE"):
        with open(path, "w") as file:
            file.write("\n".join(lines) + "\n")


class Internet:
    """One for all tests: the lab, its clients by name, and the measured pairs."""

    def __init__(self, lab):
        self.pairs, self.clients = [], {}
        server = lab.server(also_port=443).host
        for host in [*(place(lab, kind, side) for kind in KINDS for side in "ab"), *place_neighbours(lab)]:
            quiet(host)
            self.clients[host.name] = lab.client(host.name, host=host, join=False,
                                                 server=server.v4 if host.v4 else server.v6, also_port=443)
        clients = list(self.clients.values())
        for client in clients:
            client.wait_joined(30)
        for client in clients:
            client.wait_sees(*(c for c in clients if c is not client), timeout=30)
        know_addresses(clients)

    def pair(self, names, a, b, expected):
        self.pairs.append(Pair(names, self.clients[a], self.clients[b], expected))
        return self.pairs[-1]


@pytest.fixture(scope="module")
def internet():
    with NatLab() as lab:
        internet = Internet(lab)
        yield internet
        report(internet.pairs)
        lab.check_what_was_left()


@pytest.mark.limit(240)
def test_matrix(internet):
    kinds, seen = len(KINDS), set()
    for shift in range(kinds // 2 + 1):
        round_ = []
        for i in range(kinds):
            j = (i + shift) % kinds
            names = KINDS[min(i, j)], KINDS[max(i, j)]
            if names not in seen:
                seen.add(names)
                round_.append(internet.pair(names, f"{KINDS[i]}-a", f"{KINDS[j]}-b", expected(*names)))
        measure(round_)
    assert len(seen) == kinds * (kinds + 1) // 2
    for pair in internet.pairs:
        if not {"open", "dual", "ipv6"}.issuperset(pair.names):
            assert not pair.over_ipv6(), pair.paths
        elif pair.names in (("open", "open"), ("open", "dual")):
            # IPv4 is direct as well, and if the first round trips make it look much faster it is kept.
            assert pair.answers_over_ipv6(), pair.paths
        else:
            assert pair.over_ipv6(), pair.paths
    internet.pairs.sort(key=lambda pair: [KINDS.index(name) for name in pair.names])


def test_one_lan(internet):
    """Two behind one router without hairpinning communicate within their LAN."""
    pair = internet.pair(("easy", "the same LAN"), "lan-a", "lan-b", "direct")
    measure([pair])
    assert [endpoint.split(":")[0] for _, endpoint in pair.paths] == [pair.b.host.v4, pair.a.host.v4]


def test_lans_with_the_same_addresses(internet):
    """The peer's local address equals one's own."""
    measure([internet.pair(("easy", "an equal LAN elsewhere"), "twin-a", "twin-b", "direct")])


@pytest.mark.parametrize("name, path", [("hairpin", "direct"), ("no_hairpin", "relayed")])
def test_one_provider(internet, name, path):
    """Two routers behind one that has their ports forwarded: their WAN addresses are known to nobody."""
    names = "double", f"the same provider, {name.replace('_', ' ')}"
    measure([internet.pair(names, f"{name}-a", f"{name}-b", path)])
