# SPDX-License-Identifier: MIT
"""The underlay is kept separate from the traffic inside the conduits, and our settings on this computer are kept.

     [server] ──┐
     [a] ───────┼── [lan]        10.77.0.0/24; inside: 192.168.43.0/24
     [b] ───────┘
"""

import re
import time

from lab import wait_until

MARK = "0x45500000"


def rules(host):
    return host.ip("rule") + host.ip("-6", "rule")


def joined(network, *names, **options):
    server = network.server(**options)
    clients = network.clients(*names)
    return server, *clients


def test_routes_through_a_member_do_not_move_the_underlay(network):
    server, a, b = joined(network, "a", "b")
    assert b.ping(a) == 3
    b.wait_path(a, "direct")
    # The whole LAN that carries the conduits, and then the whole internet, are routed through the conduit.
    b.host.ip("route", "add", "10.77.0.0/25", "via", a.address, "dev", b.device)
    b.host.ip("-6", "route", "add", "fd77::/65", "dev", b.device)
    b.host.ip("route", "replace", "default", "via", a.address, "dev", b.device)
    assert a.host.v4 and b.device in b.host.ip("route", "get", a.host.v4)
    assert b.ping(a, 10) == 10
    server.stop()
    server.restart()
    wait_until(lambda: b.status()["server"]["connected"], "the control connection is made anew", 30)
    assert b.ping(a, 10) == 10 and b.path_to(a) == "direct"
    inside = re.compile(r"192\.168\.43\.\d+:\d+")
    assert not inside.search(b.eps("why", "a")) and not inside.search(a.eps("why", "b"))
    b.stop()
    assert MARK not in rules(b.host), "nothing is left behind"
    assert not b.host.ip("route", "show", "table", "all").count("1162870784")


def test_the_remains_of_a_killed_client_are_taken_over(network):
    _, a, b = joined(network, "a", "b")
    before = rules(b.host)
    assert MARK in before
    b.kill()
    assert rules(b.host) == before
    b.start()
    b.wait_joined()
    assert b.ping(a) == 3 and rules(b.host) == before
    b.stop()
    assert MARK not in rules(b.host)


def test_changes_by_others_to_the_interface_are_repaired(network):
    _, a, b = joined(network, "a", "b")
    assert b.ping(a) == 3
    mac = b.mac
    for change in (["addr", "flush", "dev", b.device], ["route", "del", "192.168.43.0/24", "dev", b.device],
                   ["link", "set", b.device, "down"], ["link", "set", b.device, "arp", "off"],
                   ["link", "set", b.device, "address", "02:00:00:00:00:77"]):
        b.host.ip(*change)
        wait_until(lambda: mac in (link := b.host.ip("addr", "show", b.device)) and "NOARP" not in link
                   and f"{b.address}/24" in link and b.device in b.host.ip("route", "show", "192.168.43.0/24"),
                   f"{change} is undone", 2)
        wait_until(lambda: b.ping(a, 1), "frames flow again", 5)
    b.wait_log("Another program changed")
    assert any("Another program changed" in t for t in b.status()["troubles"])


def test_repairs_do_not_wait_for_the_end_of_other_changes(network):
    _, a, b = joined(network, "a", "b")
    assert b.ping(a) == 3
    b.host.ip("link", "add", "br7", "type", "bridge")
    b.host.ip("link", "set", "br7", "up")
    flapping = b.host.spawn("sh", "-c", "while ip route replace 10.201.0.0/24 dev br7 metric 1 && "
                                        "ip route del 10.201.0.0/24; do sleep 0.01; done")
    for change in ["addr", "flush", "dev", b.device], ["link", "set", b.device, "down"]:
        b.host.ip(*change)
        wait_until(lambda: f"{b.address}/24" in b.host.ip("addr", "show", b.device, "up"), f"{change} is undone", 2)
    assert flapping.running()


def test_ipv6_is_back_once_the_interface_takes_it_again(network):
    _, a, b = joined(network, "a", "b")
    inside = b.peers()["a"]["address6"]
    assert b.host.ping(inside) == 3
    switch, told = "net.ipv6.conf.all.disable_ipv6", "an MTU of 600, and IPv6 needs 1280"
    for off, on in ((["ip", "link", "set", b.device, "mtu", "600"], ["ip", "link", "set", b.device, "mtu", "1400"]),
                    (["sysctl", "-qw", f"{switch}=1"], ["sysctl", "-qw", f"{switch}=0"])):
        b.host.run(*off)
        wait_until(lambda: "inet6" not in b.host.ip("addr", "show", b.device), f"{off}: no IPv6", 5)
        wait_until(lambda: b.ping(a, 1), f"{off}: IPv4 remains", 5)
        wait_until(lambda mtu="mtu" in off: (told in " ".join(b.status()["troubles"])) == mtu, f"{off} is told", 5)
        b.host.run(*on)
        wait_until(lambda: b.host.ping(inside, 1), f"{on}: IPv6 is back", 10)
    b.wait_status(lambda s: not s["troubles"], "nothing is wrong any more")
    assert "Another program changed" not in b.log()


def test_a_network_with_the_same_addresses_is_tolerated(network):
    server, a, b = joined(network, "a", "b")
    assert b.ping(a) == 3
    b.host.ip("link", "add", "docker1", "type", "bridge")
    b.host.ip("addr", "add", "192.168.43.250/24", "dev", "docker1")
    b.host.ip("link", "set", "docker1", "up")
    b.wait_log("overlaps 192.168.43.250/24 on docker1")
    server.stop()
    server.restart()
    b.wait_status(lambda s: s["server"]["connected"], "is connected again", 30)
    assert b.ping(a) == 3 and b.process.running()
    assert any("overlaps" in t for t in b.status()["troubles"])
    b.stop()
    b.restart()
    wait_until(lambda: b.ping(a, 1), "it also starts there", 10)
    b.host.ip("link", "del", "docker1")
    b.wait_log("Nothing else has addresses")
    assert b.ping(a) == 3 and not b.status()["troubles"]


def test_a_server_answers_from_the_asked_address(network):
    server = network.server()
    server.host.ip("addr", "add", "10.99.0.1/32", "dev", "lo")
    hosts = [network.host("a"), network.host("b")]
    for host, other in hosts, hosts[::-1]:
        host.ip("route", "add", "10.99.0.1/32", "via", server.host.v4)
        host.drop(f"ip daddr {other.v4} meta l4proto udp")
        host.drop_v6 = host.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
    a, b = (network.client(h.name, host=h, server="10.99.0.1") for h in hosts)
    assert a.ping(b, 5) == 5
    for client in a, b:
        client.wait_status(lambda s: s["observed_endpoint"] and not s["relay_over_tcp"], "relayed by UDP", 5)


def test_a_server_goes_on_answering_from_the_asked_address_when_others_appear(network):
    server = network.server()
    server.host.ip("addr", "add", "10.99.0.1/32", "dev", "lo")
    hosts = [network.host("a"), network.host("b")]
    for host, other in hosts, hosts[::-1]:
        host.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        host.ip("route", "add", "10.99.0.1/32", "via", server.host.v4)
        host.drop(f"ip daddr {other.v4} meta l4proto udp")
        # As a NAT does, which knows the other address only.
        host.run("nft", "add chain inet lab in { type filter hook input priority 0; }; "
                 f"add rule inet lab in ip saddr {server.host.v4} meta l4proto udp drop")
    a, b = (network.client(h.name, host=h, server="10.99.0.1") for h in hosts)
    for client in a, b:
        client.host.run("sysctl", "-qw", f"net.ipv6.conf.{client.device}.disable_ipv6=1")  # its kernel is silent
        client.wait_status(lambda s: s["observed_endpoint"] and not s["relay_over_tcp"], "relayed by UDP", 5)
    server.host.ip("link", "add", "br7", "type", "bridge")
    server.host.ip("link", "set", "br7", "up")
    for n in range(5):
        assert a.ping(b) == 3 and b.ping(a) == 3, f"{n} other addresses"
        server.host.ip("addr", "add", f"10.250.{n}.1/24", "dev", "br7")
        time.sleep(0.2)  # the server looks 0.05 s after it
