# SPDX-License-Identifier: MIT
"""One computer with two clients: two members of one network, or members of two networks with the same range.

     [server] ──┐                  the second network, with the same range:
     [a] ───────┤               ┌── [server2]
     [h] ───────┼──── [lan] ────┼── [b], [c], [d]
     eps0, eps1 ┘               └── eps1 of h
"""

import re

from lab import wait_until

NETWORK = "192.168.43.0/24"


def findings(client):
    return " ".join(client.eps("doctor", check=False).split())


def way(client, to, *source):
    return re.search(r" dev (\S+)", client.host.ip("route", "get", to, *source)).group(1)


def test_two_members_on_one_computer(network):
    network.server(sequential=True)
    a = network.client("a")
    h1 = network.client("h1", network.host("h"))
    h2 = network.client("h2", h1.host, device="eps1")
    for one in h1, h2:
        a.wait_sees(one)
        a.wait_reaches(one)
        assert a.ping(one) == 3
        inside = a.peers()[one.name]["address6"]
        wait_until(lambda inside=inside: a.host.ping(inside, 1), f"{one.name} answers over IPv6", 10)
        assert way(h1, a.address, "from", one.address) == one.device
    assert h1.ping(a) == 3
    for one in h1, h2:
        one.wait_status(lambda s: not s["troubles"], "nothing is wrong")
        assert "overlaps" not in one.log() + findings(one)
        assert "Another program" not in one.log()

    h2.kill()
    wait_until(lambda: "eps1" not in h1.host.ip("link"), "the interface is gone")
    assert a.ping(h1) == 3
    h2.restart()  # whose rules are those of an interface that is gone
    wait_until(lambda: a.ping(h2, 1), "h2 answers", 10)
    for one in h2, h1:
        one.stop()
    assert "proto 69" not in h1.host.ip("rule") + h1.host.ip("-6", "rule"), "nothing is left behind"


def test_two_networks_with_the_same_range(network):
    network.server(sequential=True, network=NETWORK)
    a = network.client("a")
    h1 = network.client("h", network.host("h"))
    wait_until(lambda: h1.ping(a, 1), "a is reached", 10)
    server2 = network.server(network.host("server2"), sequential=True, network=NETWORK)
    b, c, d = (network.client(name) for name in "bcd")
    h2 = network.client("h", h1.host, device="eps1")
    assert [m.address for m in (a, h1)] == [m.address for m in (b, c)] and len({h1.address, h2.address, d.address}) == 3
    h2.wait_log("192.168.43.0/24 overlaps that of eps0, another EPS network of this computer: through eps1 only")
    h2.wait_sees(b, c, d)

    # Each network reaches this computer, whoever has the same address in the other one.
    wait_until(lambda: a.ping(h1, 1) and b.ping(h2, 1) and d.ping(h2, 1), "this computer answers in both", 10)
    assert a.ping(h1) == b.ping(h2) == d.ping(h2) == 3
    # From here, the later one's members are reached first.
    assert h1.ping(d) == 3 and way(h1, d.address) == "eps1"
    assert way(h1, a.address) == "eps1", "b has that address as well"
    assert way(h1, a.address, "from", h1.address) == "eps0"
    assert way(h1, "192.168.43.77") == "eps0", "nobody's"
    assert h1.host.ping(h1.peers()["a"]["address6"]) == 3, "IPv6 is another network in each"
    assert h1.host.ping(h2.peers()["b"]["address6"]) == 3
    for one, other in (h1, "eps1"), (h2, "eps0"):
        trouble = f"overlaps that of {other}"
        one.wait_status(lambda s, trouble=trouble: any(trouble in t for t in s["troubles"]), "is told", 5)
        told = findings(one)
        assert trouble in told and "--network of its server" in told

    h2.stop()
    h1.wait_status(lambda s: not s["troubles"], "it is over", 5)
    assert h1.ping(a) == 3 and way(h1, a.address) == "eps0"
    h2.restart()
    h2.wait_status(lambda s: s["troubles"], "it yields again", 5)
    h1.stop()
    h2.wait_log("No other EPS network of this computer has addresses")
    wait_until(lambda: way(h2, "192.168.43.77") == "eps1", "all of the network is reached", 5)
    assert h2.ping(b) == 3 and not h2.status()["troubles"] and server2.process.running()
