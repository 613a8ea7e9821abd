# SPDX-License-Identifier: MIT
"""Frames of every size over paths of every size: TCP is cut to fit the path, everything else is sent in pieces.

     [server] ──┐
     [a] ──x────┼── [lan]        x  silently drops packets that are larger than the path
     [b] ──x────┘                   MTU, and all fragments

EPS_FULL=1 tests every path size in each way; the usual runs are a selection with less traffic.
"""

import itertools
import os
import socket
import threading
import time

import pytest
from eps import Network
from lab import FIGURES, wait_until
from wire import received, transfer, udp_receiver

FULL = bool(os.environ.get("EPS_FULL"))
STREAM = 30_000_000 if FULL else 2_000_000
PATHS = [(mtu, way, v6) for way in ("direct", "relayed", "over TCP") for v6 in (False, True)
         for mtu in (576, 1280, 1400, 1430, 9000) if mtu >= 1280 or not v6]
CHOICE = [(576, "direct", False), (1280, "direct", True), (1430, "relayed", False), (576, "over TCP", False)]


def limit(host, size):
    """From now on packets larger than this, and fragments, do not reach the host."""
    # A packet that its own segmentation would cut later counts as one.
    host.run("ethtool", "-K", "eth0", "tx", "off", "gso", "off", "tso", "off", check=False)
    host.run("nft", "add table inet path; delete table inet path; add table inet path; "
             "add chain inet path in { type filter hook prerouting priority -450; }; "  # before fragments are joined
             f"add rule inet path in iifname eth0 meta length > {size} drop; "
             "add rule inet path in iifname eth0 ip frag-off & 0x3fff != 0 drop; "
             "add rule inet path in iifname eth0 exthdr frag exists drop")


def members(network, limit_to, way, v6, **options):
    """a and b, with a path of that size and kind between them."""
    server = network.server(network.host("server", v4=not v6, v6=v6), **options)
    hosts = [network.host(name, v4=not v6, v6=v6) for name in "ab"]
    for host in [server.host, *hosts]:
        limit(host, limit_to)
    for host, other in (hosts, hosts[::-1]) if way != "direct" else ():
        host.run("nft", "add table inet lab; add chain inet lab out { type filter hook output priority 0; }; "
                 + (f"add rule inet lab out ip6 daddr {{ {other.v6}, fe80::/10 }} oifname eth0 meta l4proto udp drop"
                    if v6 else f"add rule inet lab out ip daddr {other.v4} meta l4proto udp drop"))
    if way == "over TCP":
        hosts[0].run("nft", "add rule inet lab out oifname eth0 udp dport 43439 drop")
    a, b = (network.client(host.name, host) for host in hosts)
    a.wait_sees(b)
    b.wait_sees(a)
    assert a.ping(b) == 3
    a.wait_path(b, "direct" if way == "direct" else "relayed")
    b.wait_path(a, "direct" if way == "direct" else "relayed")
    return a, b


def everything_passes(a, b, largest_ping):
    for one, other in (a, b), (b, a):
        for size in {1472, largest_ping}:
            assert one.ping(other, 5, size=size) == 5, size
        assert one.host.ping(f"{other.link_local()}%eps0", 5, size=largest_ping - 20) == 5
        receiver = udp_receiver(other.host)
        with one.host.socket(kind=socket.SOCK_DGRAM) as sender:
            for size in 1472, 65507:
                payload = os.urandom(size)
                sender.sendto(payload, (other.address, 5002))
                assert received(receiver) == [payload], size
        receiver.close()
        sent, came, seconds = transfer(one.host, other.host, other.address, STREAM)
        assert sent == came
        FIGURES.append(f"{STREAM / 1e6:.0f} MB in {seconds:.2f} s")


def segment_size(one, other):
    """The MSS of a new TCP connection, without options."""
    with other.host.socket() as listener, one.host.socket() as connection:
        listener.bind((other.address, 0))
        listener.listen()
        connection.connect(listener.getsockname())
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


@pytest.mark.parametrize("mtu, way, v6", PATHS if FULL else CHOICE)
def test_everything_passes(mtu, way, v6):
    with Network(mtu=max(mtu, 1500)) as network:
        a, b = members(network, mtu, way, v6)
        everything_passes(a, b, 1472)
        if way != "over TCP":
            # Once the path's size is known, a new connection needs no cutting.
            wait_until(lambda: segment_size(a, b) <= mtu - (48 if v6 else 28) - 25 - 40, "the MSS is the path's")
        if way == "direct":
            expected = min(mtu, 1579 + 20 * v6)  # no more than a full frame needs
            wait_until(lambda: expected - 8 < (a.peers()["b"]["path_mtu"] or 0) <= expected, f"path MTU {expected}")
            assert f"path MTU {a.peers()['b']['path_mtu']}" in a.eps("why", "b")
            assert "MTU" in a.eps("peers")
            assert "bytes pass on the path to b" in a.eps("doctor", check=False)
        network.check_what_was_left()


@pytest.mark.parametrize("mtu", [1430, 9000] if FULL else [1430])
def test_a_jumbo_lan_over_any_path(mtu):
    with Network(mtu=max(mtu, 1500)) as network:
        a, b = members(network, mtu, "direct", False, mtu=9000)
        everything_passes(a, b, 8972)
        wait_until(lambda: segment_size(a, b) <= mtu - 28 - 25 - 40, "the MSS is the path's")
        network.check_what_was_left()


def test_all_connections_of_a_jumbo_lan_have_jumbo_segments():
    """Also the first one, and those of which one end does nothing but receive: it never searches for the path's
    size."""
    with Network(mtu=9000) as network:
        a, b = members(network, 9000, "direct", False, mtu=9000)
        assert segment_size(a, b) > 8800
        transfer(a.host, b.host, b.address, STREAM)
        wait_until(lambda: (a.peers()["b"]["path_mtu"] or 0) > 8900, "a knows the path's size")
        assert 8800 < segment_size(a, b) < 8960, "of the path"
        assert 8800 < segment_size(b, a) < 8960
        network.check_what_was_left()


@pytest.mark.parametrize("smaller", [576, 1300] if FULL else [1300])
def test_a_path_that_shrinks_under_traffic(smaller):
    with Network() as network:
        a, b = members(network, 1500, "direct", False)
        listener = b.host.socket()
        listener.bind((b.address, 5001))
        listener.listen()
        arrivals, running = [], True

        def receive():
            connection, _ = listener.accept()
            connection.settimeout(20)
            while connection.recv(1 << 16):
                arrivals.append(time.monotonic())

        def send():
            with a.host.socket() as s:
                s.connect((b.address, 5001))
                while running:
                    s.sendall(bytes(20_000))
                    time.sleep(0.01)

        threads = [threading.Thread(target=f, daemon=True) for f in (receive, send)]
        for thread in threads:
            thread.start()
        wait_until(lambda: (a.peers()["b"]["path_mtu"] or 0) == 1500, "the path's size is known")
        for host in a.host, b.host:
            limit(host, smaller)
        shrunk = time.monotonic()
        wait_until(lambda: 0 < a.peers()["b"]["path_mtu"] <= smaller, "the smaller size is known", 5)
        time.sleep(3)
        running = False
        for thread in threads:
            thread.join()
        times = [t for t in arrivals if t > shrunk - 0.5]
        gap = max(y - x for x, y in itertools.pairwise(times))
        FIGURES.append(f"TCP stood still for {gap:.2f} s when the path shrank to {smaller}")
        assert gap < 2
        network.check_what_was_left()


def test_an_mtu_too_small_for_ipv6_is_reported():
    with Network() as network:
        server = network.server(mtu=1200)
        a = network.client("a")
        assert "there is no IPv6 inside the network" in server.log()
        assert "There is no IPv6 inside the network: its MTU is 1200" in a.eps("doctor", check=False)
        network.check_what_was_left()
