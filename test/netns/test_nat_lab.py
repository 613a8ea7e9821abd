# SPDX-License-Identifier: MIT
"""The routers of nat_lab.py behave as their kinds say, without any daemon (see RFC 4787, sections 4 and 5).

     [x], [y] ── internet ── [router] ── [a], [b]
"""

import socket

import pytest
from wire import received, udp_receiver


def mapped(sender, target, host):
    """The source of the sender's socket as seen by the host on the internet."""
    sender.sendto(b"hello", (host.v4, target.getsockname()[1]))
    return target.recvfrom(100)[1]


def three(lab, router):
    a, x, y = router.host("a"), lab.host("x"), lab.host("y")
    sender = udp_receiver(a, port=40001)
    return a, x, y, sender, udp_receiver(x), udp_receiver(y)


def test_port_preserving_masquerade(lab):
    router = lab.router("r")
    _, x, y, sender, at_x, at_y = three(lab, router)
    assert mapped(sender, at_x, x) == mapped(sender, at_y, y) == (router.v4, 40001)
    at_x.sendto(b"answer", (router.v4, 40001))
    assert received(sender) == [b"answer"]
    with x.socket(kind=socket.SOCK_DGRAM) as other_port:
        other_port.sendto(b"filtered by port", (router.v4, 40001))
    assert received(sender, 0.3) == []


def test_unsolicited_datagrams_do_not_take_the_port(lab):
    """The peer's first punch arrives before ours: our mapping is the same nevertheless."""
    router = lab.router("r")
    _, x, _, sender, at_x, _ = three(lab, router)
    at_x.sendto(b"punch", (router.v4, 40001))
    assert received(sender, 0.3) == []
    assert mapped(sender, at_x, x) == (router.v4, 40001)
    at_x.sendto(b"punch", (router.v4, 40001))
    assert received(sender) == [b"punch"]


def test_fully_random_masquerade(lab):
    router = lab.router("r", nat="random")
    _, x, y, sender, at_x, at_y = three(lab, router)
    ports = {mapped(sender, at_x, x)[1], mapped(sender, at_y, y)[1]}
    assert len(ports) == 2 and 40001 not in ports, "another port for each destination"
    before = mapped(sender, at_x, x)
    assert mapped(sender, at_x, x) == before
    router.flush_conntrack()
    assert mapped(sender, at_x, x) != before


def test_full_cone(lab):
    router = lab.router("r", nat="cone")
    _, x, y, sender, at_x, at_y = three(lab, router)
    at_y.sendto(b"unsolicited", (router.v4, 40001))
    assert received(sender) == [b"unsolicited"]
    assert mapped(sender, at_x, x) == mapped(sender, at_y, y) == (router.v4, 40001)


@pytest.mark.parametrize("hairpin", [False, True])
def test_hairpin(lab, hairpin):
    router = lab.router("r", nat="cone", hairpin=hairpin)
    a, b = router.host("a"), router.host("b")
    at_a, at_b = udp_receiver(a, port=40001), udp_receiver(b, port=41001)
    at_a.sendto(b"over the WAN address", (router.v4, 41001))
    if not hairpin:
        return assert_nothing(at_b)
    payload, source = at_b.recvfrom(100)
    assert payload == b"over the WAN address" and source == (router.v4, 40001)
    at_b.sendto(b"back", source)
    assert at_a.recvfrom(100) == (b"back", (router.v4, 41001))


def assert_nothing(s):
    assert received(s, 0.3) == []


def test_double_nat(lab):
    outer = lab.router("outer", lan="100.64.0.0/24")
    router = lab.router("r", behind=outer)
    _, x, y, sender, at_x, at_y = three(lab, router)
    assert router.v4 == "100.64.0.10"
    assert mapped(sender, at_x, x) == mapped(sender, at_y, y) == (outer.v4, 40001)


@pytest.mark.parametrize("allow, port, passes", [("no-udp", 43439, True), ("443", 43439, False), ("443", 443, True)])
def test_blocked_traffic(lab, allow, port, passes):
    router = lab.router("r", allow=allow)
    a, x, _, sender, at_x, _ = three(lab, router)
    sender.sendto(b"hello", (x.v4, 5002))
    assert_nothing(at_x)
    listener = x.socket()
    listener.bind((x.v4, port))
    listener.listen()
    with a.socket() as s:
        s.settimeout(10 if passes else 0.5)
        assert (s.connect_ex((x.v4, port)) == 0) == passes


def test_stateful_ipv6(lab):
    router = lab.router("r", nat="random", ipv6=True)
    a, x = router.host("a"), lab.host("x")
    sender, at_x = (udp_receiver(h, "::", 40001, socket.AF_INET6) for h in (a, x))
    at_x.sendto(b"unsolicited", (a.v6, 40001))
    assert_nothing(sender)
    sender.sendto(b"hello", (x.v6, 40001))
    assert at_x.recvfrom(100)[1][:2] == (a.v6, 40001)
    at_x.sendto(b"answer", (a.v6, 40001))
    assert received(sender) == [b"answer"]


def test_changes(lab):
    """A restart of the router, another address, another LAN, a second device."""
    router, other = lab.router("r"), lab.router("other", ipv6=True)
    a, x, _, sender, at_x, _ = three(lab, router)
    router.restart(0.1)
    assert mapped(sender, at_x, x) == (router.v4, 40001)
    router.renumber(200)
    assert mapped(sender, at_x, x) == ("11.77.200.1", 40001)
    a.readdress(77)
    assert mapped(sender, at_x, x)[0] == router.v4 and a.v4.endswith(".77"), "the port is the old address's still"
    a.move(other)
    assert mapped(sender, at_x, x) == (other.v4, 40001)
    a.plug_also(router, "eth1")
    assert mapped(sender, at_x, x) == (router.v4, 40001)
    a.ip("link", "set", "eth1", "down")
    assert mapped(sender, at_x, x) == (other.v4, 40001)
