# SPDX-License-Identifier: MIT
"""Both address families on the underlay: members and server are seen in each, whichever the control connection uses.

    [server] ─── internet ──┬── [ra] ── [a]
                            └── [rb] ── [b]

The routers translate IPv4 and IPv6. So a member is reachable in a family only where the server has seen it.
"""

import pytest
from lab import wait_until

FAMILIES = {"IPv4": "ip", "IPv6": "ip6"}


def block(router, other, family):
    """Drops UDP of this family from the other router, and accepts the other family."""
    source = other.v4 if family == "IPv4" else other.v6
    router.run("nft", "table inet block; delete table inet block; table inet block { chain c { "
               f"type filter hook prerouting priority raw; {FAMILIES[family]} saddr {source} meta l4proto udp drop; "
               "}; }")


@pytest.mark.parametrize("control", FAMILIES)
def test_either_family_is_used_if_the_other_is_blocked(lab, control):
    server = lab.server()
    routers = [lab.router(name, ipv6=True) for name in ("ra", "rb")]
    clients = []
    for name, router in zip("ab", routers, strict=True):
        router.run("nft", "table ip6 translate { chain c { type nat hook postrouting priority srcnat; "
                   "oifname wan masquerade; }; }")
        host = router.host(name)
        if control == "IPv4":
            host.drop(f"ip6 daddr {server.host.v6} meta l4proto tcp")
        clients.append(lab.client(name, host=host, server=f"{server.host.v6} {server.host.v4}"))
    a, b = clients
    for client in clients:
        endpoint = client.status()["server"]["endpoint"]
        assert endpoint.startswith("[") == (control == "IPv6"), "the control connection is of this family"
    a.wait_sees(b)
    b.wait_sees(a)

    def seen():
        """Where b is, as the server saw it."""
        ways = [w["way"] for w in a.why(b)["ways"] if w["origin"] == "as the server sees it"]
        return {text for text in (routers[1].v4, f"[{routers[1].v6}]") if any(w.startswith(text + ":") for w in ways)}

    def direct_by(family):
        return all(one.ping(other, 1) and one.path_to(other) == "direct"
                   and one.peers()[other.name]["endpoint"].startswith("[") == (family == "IPv6")
                   for one, other in ((a, b), (b, a)))

    wait_until(lambda: len(seen()) == 2, "a knows where the server has seen b, in both families")
    for family, other in (control, *(FAMILIES.keys() - {control})), (*(FAMILIES.keys() - {control}), control):
        for router, peer in routers, routers[::-1]:
            block(router, peer, family)
        wait_until(lambda other=other: direct_by(other), f"the pair goes by {other} while {family} is blocked", 60)


def test_a_member_with_two_addresses_relays_for_hard_nats(lab):
    """Behind such a NAT a client is seen elsewhere from each address of c, and c may answer from the other than the
    client sends to. With six clients some of them nearly always meet that."""
    server = lab.server()
    relay = lab.host("c")
    relay.give("11.77.200.7/16")
    clients = [lab.client(name, lab.router(f"r{name}", nat="random").host(name), join=False) for name in "abdefg"]
    c = lab.client("c", relay, join=False, relay=True)
    for client in (*clients, c):
        client.wait_joined()
    for client in clients:
        client.wait_sees(*(other for other in (*clients, c) if other is not client))
        client.wait_reaches(c, "direct")
    pairs = list(zip(clients, clients[1:] + clients[:1], strict=True))
    for client, other in pairs:
        assert client.ping(other) > 0
    server.kill()
    for client, other in pairs:
        client.wait_reaches(other, timeout=20)
    for client, other in pairs:
        assert client.ping(other, 30, 0.1) >= 29
