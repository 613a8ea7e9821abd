# SPDX-License-Identifier: MIT
"""eps0 is a LAN without storms: neighbours are known, chatter stays local, broadcasts arrive, loops end.

     [server] ──┐
     [a] ───────┤
     [b] ───────┼── [lan]
     [c] ───────┘
"""

import re
import shutil
import socket
import time

import pytest
from eps import SANITIZED
from lab import FIGURES, Host, wait_until
from wire import Sniffer, received, transfer, udp_receiver

CROWD = 6 if SANITIZED else 20


def neighbour(client, other):
    return client.host.ip("neigh", "show", other.address, "dev", "eps0")


def test_many_idle_members_open_no_sessions(network):
    network.server()
    with Sniffer(network) as sniffer:
        crowd = network.clients(*(f"m{n}" for n in range(CROWD)))
        for client in crowd:
            client.link_local()  # duplicate address detection is over
        began, frames = time.monotonic(), len(sniffer.frames)
        wait_until(lambda: time.monotonic() - began > 5, "the kernel's own chatter: 1 and 4 s after", 10)
        quiet = len(sniffer.frames) - frames
        servers = network.the_server.host.address
        between = [d for d in sniffer.datagrams() if servers not in (d.source[0], d.target[0])]
    FIGURES.append(f"{CROWD} members start: {frames} frames until all know of each other, then {quiet} in 5 s")
    assert not between, "members that only started sent to each other"
    assert not any(p["path"] not in (None, "none") for c in crowd for p in c.peers().values())
    assert len(sniffer.frames) <= 90 * CROWD  # most of it the TCP connections to the server


def test_neighbour_queries_are_answered_locally(network):
    network.server()
    a, b = network.clients("a", "b")
    a.host.drop("oifname eth0")
    assert a.ping(b, 1) == 0
    wait_until(lambda: b.mac in neighbour(a, b), "a knows b's MAC though nothing passes", 3)
    six = b.link_local()
    a.host.run("ping", "-6", "-c1", "-W1", f"{six}%eps0", check=False)
    assert b.mac in a.host.ip("neigh", "show", six, "dev", "eps0")


def test_a_member_that_was_waited_for_is_announced_when_it_returns(network):
    network.server()
    a, b = network.clients("a", "b")
    b.stop()
    wait_until(lambda: not a.peers()["b"]["online"], "a knows that b is away")
    # The kernel asks once, so that only the announcement can end its wait.
    a.host.run("sysctl", "-qw", "net.ipv4.neigh.eps0.retrans_time_ms=60000")
    a.host.ip("neigh", "flush", "dev", "eps0")
    ping = a.host.spawn("ping", "-c1", "-W30", b.address)
    wait_until(lambda: "INCOMPLETE" in neighbour(a, b), "a's kernel asks for b")
    b.start()
    assert ping.wait(20) == 0


def test_members_have_ipv6_addresses(network):
    server = network.server(network="192.168.43.0/24,fd43::/64")
    a, b = network.clients("a", "b")
    six = {x.name: x.status()["address6"] for x in (a, b)}
    assert all(address.startswith("fd43::") for address in six.values())
    assert {name: m["address6"] for name, m in server.members().items()} == six
    a.wait_sees(b)
    assert a.peers()["b"]["address6"] == six["b"]
    assert six["b"] in a.eps("peers") and six["b"] in server.eps("members")
    a.host.drop("oifname eth0")
    a.host.run("ping", "-6", "-c1", "-W1", six["b"], check=False)
    assert b.mac in a.host.ip("neigh", "show", six["b"], "dev", "eps0"), "known without asking"
    a.host.drop_nothing()
    wait_until(lambda: " 0% packet loss" in a.host.run("ping", "-6", "-c1", "-W1", six["b"], check=False), "it passes")
    sent, came, _ = transfer(a.host, b.host, six["b"], 1_000_000)
    assert sent == came


def test_a_reassigned_address_is_reached_at_once(network):
    network.server(sequential=True)
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    assert b.mac in neighbour(a, b)
    network.the_server.eps("members", "remove", "b")
    b.process.wait(10)
    c = network.client("c")
    assert c.address == b.address
    a.wait_sees(c)
    began = time.monotonic()
    wait_until(lambda: a.ping(c, 1) == 1, "a reaches c at b's address", 10)
    took = time.monotonic() - began
    FIGURES.append(f"an address given anew is reached after {took:.2f} s")
    assert took < 3, neighbour(a, c)
    assert c.mac in neighbour(a, c)


def test_a_broadcast_reaches_everybody(network):
    network.server()
    a, b, c = network.clients("a", "b", "c")
    receivers = [udp_receiver(x.host) for x in (b, c)]
    with a.host.socket(kind=socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.sendto(b"who plays?", (re.sub(r"\d+$", "255", a.address), 5002))
    for receiver in receivers:
        assert received(receiver, 5) == [b"who plays?"]


def test_refusals_are_reported_with_their_remedy(network):
    network.server()
    a, b = network.clients("a", "b")
    a.host.ip("addr", "add", "fd99::1/64", "dev", "eps0", "nodad")
    a.host.run("ping", "-6", "-c1", "-W1", "fd99::2", check=False)
    a.wait_log(r"Dropped on eps0: packets from fd99::1, which this computer does not own\. .*members allow a fd99::1")
    assert "members allow a fd99::1" in a.eps("doctor", check=False)
    network.the_server.eps("members", "allow", "a", "fd99::1")
    network.the_server.eps("members", "allow", "b", "fd99::2")
    b.host.ip("addr", "add", "fd99::2/64", "dev", "eps0", "nodad")
    wait_until(lambda: "1 received" in a.host.run("ping", "-6", "-c1", "-W1", "fd99::2", check=False), "it passes", 10)


def test_a_subnet_a_container_and_an_exit_node_pass_once_they_are_allowed(network):
    server = network.server()
    a, b, c = network.clients("a", "b", "c")

    def behind(name, member, address):
        host = Host(network, name, 0, None, None)
        network.add(host)
        port = network.cable(host, "eth0", member.host.namespace)
        member.host.ip("addr", "add", "10.50.0.1/24", "dev", port)
        member.host.ip("link", "set", port, "up")
        host.ip("addr", "add", address, "dev", "eth0")
        host.ip("link", "set", "eth0", "up")
        host.ip("route", "add", "default", "via", "10.50.0.1")
        member.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        return host, port

    def reaches(host, target):
        return wait_until(lambda: host.ping(target, 1), f"{host.name} reaches {target}")

    printer, port = behind("printer", a, "10.50.0.2/24")
    printer.ip("addr", "add", "203.0.113.9/32", "dev", "lo")  # stands for the internet
    a.host.ip("route", "add", "203.0.113.9", "via", "10.50.0.2")
    for there in "10.50.0.0/24", "203.0.113.9":
        b.host.ip("route", "add", there, "via", a.address, "dev", "eps0")
        assert b.host.ping(there.replace(".0/24", ".2"), 1) == 0
    a.wait_log(r"Dropped on eps0: packets from 10\.50\.0\.2, .*members allow a 10\.50\.0\.2")
    server.eps("members", "allow", "a", "10.50.0.0/24")
    reaches(b.host, "10.50.0.2")
    reaches(printer, b.address)
    assert b.host.ping("203.0.113.9", 1) == 0
    a.host.run("nft", "add table inet exit; add chain inet exit out { type nat hook postrouting priority 100; }; "
               f"add rule inet exit out oifname {port} masquerade")
    printer.ip("addr", "add", "2001:db8::9/128", "dev", "lo", "nodad")
    for host, device, address in (a.host, port, "fd50::1"), (printer, "eth0", "fd50::2"):
        host.ip("addr", "add", f"{address}/64", "dev", device, "nodad")
    a.host.ip("route", "add", "2001:db8::9", "via", "fd50::2")
    a.host.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    six = {x.name: x.status()["address6"] for x in (a, b, c)}
    b.host.ip("route", "add", "2001:db8::9", "via", six["a"], "dev", "eps0")
    for everything in "0.0.0.0/0", "::/0":
        server.eps("members", "allow", "a", everything)
    reaches(b.host, "203.0.113.9")
    reaches(b.host, "2001:db8::9")
    # What a range holds of other members stays theirs.
    with pytest.raises(RuntimeError, match=rf"is the address of b \({b.address}\)"):
        server.eps("members", "allow", "a", b.address)
    for own, other in (f"{b.address}/32", c.address), (f"{six['b']}/128", six["c"]):
        a.host.ip("addr", "add", own, "dev", "eps0", "nodad")
        a.host.run("ping", "-c1", "-W1", "-I", own.partition("/")[0], other, check=False)
        a.wait_log(rf"Dropped on eps0: packets from {own.partition('/')[0]}, .*It is the address of b")
        a.host.ip("addr", "del", own, "dev", "eps0")

    container = Host(network, "container", 0, None, None)
    network.add(container)
    b.host.ip("link", "add", "mv0", "link", "eps0", "type", "macvlan", "mode", "bridge")
    b.host.ip("link", "set", "mv0", "name", "eth0", "netns", container.namespace)
    some = (re.sub(r"\d+$", str(n), a.address) for n in range(240, 250))
    free = next(x for x in some if x not in (a.address, b.address, c.address))
    container.ip("addr", "add", f"{free}/24", "dev", "eth0")
    container.ip("link", "set", "eth0", "up")
    assert container.ping(a.address, 1) == 0
    server.eps("members", "allow", "b", "bridge")
    reaches(container, a.address)
    assert a.host.ping(free) == 3

    # The link-local address that NetworkManager chooses.
    server.eps("members", "revoke", "b", "bridge")
    b.host.run("sysctl", "-qw", "net.ipv6.conf.eps0.addr_gen_mode=3")
    b.host.ip("link", "set", "eps0", "down")
    b.host.ip("link", "set", "eps0", "up")
    chosen = wait_until(lambda: re.search(r"inet6 (fe80::\S+)/64", b.host.ip("-6", "addr", "show", "eps0")),
                        "it has one")
    server.eps("members", "allow", "b", chosen[1])
    reaches(a.host, f"{chosen[1]}%eps0")


def test_two_bridges_into_one_lan_do_not_storm(network):
    network.server()
    a, b, c = network.clients("a", "b", "c")
    # One LAN between the two: a cable from bridge to bridge.
    b.host.ip("link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", c.host.namespace)
    for client in (b, c):
        run = client.host.ip
        run("link", "add", "br0", "address", client.mac, "type", "bridge")
        for device in ("br0", "cable"):
            run("link", "set", device, "up")
        run("link", "set", "cable", "master", "br0")
        run("link", "set", "eps0", "master", "br0")
    with b.host.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
        s.bind(("br0", 0))
        wait_until(lambda: "forwarding" in b.host.ip("-d", "link", "show", "eps0"), "the bridge forwards")
        came = int(a.host.run("cat", "/sys/class/net/eps0/statistics/rx_packets"))
        for n in range(10):
            s.send(b"\xff" * 6 + bytes.fromhex(b.mac.replace(":", "")) + b"\x81\x37" + bytes([n]) * 46)
        wait_until(lambda: any("A loop:" in x.log() for x in (b, c)), "the loop is told", 5)
        came = int(a.host.run("cat", "/sys/class/net/eps0/statistics/rx_packets")) - came
    FIGURES.append(f"two bridged members: {came} frames at a bystander until the loop was blocked")
    assert came < 3000
    told = [x for x in (b, c) if "A loop:" in x.log()]
    assert "A loop:" in told[0].eps("doctor", check=False)


def test_an_address_moves_between_two_members(network):
    if not shutil.which("keepalived"):
        pytest.skip("keepalived is not installed")
    network.server()
    a, b, c = network.clients("a", "b", "c")
    shared = re.sub(r"\d+$", "250" if not any(x.address.endswith(".250") for x in (a, b, c)) else "251", a.address)
    network.the_server.eps("members", "allow", "--all", shared)
    keepers = {}
    for client, state, priority in ((b, "MASTER", 150), (c, "BACKUP", 100)):
        other = c if client is b else b
        conf = client.directory / "keepalived.conf"
        conf.write_text(f"""
            vrrp_instance v {{
              state {state}
              interface eps0
              virtual_router_id 7
              priority {priority}
              advert_int 0.3
              version 3
              unicast_src_ip {client.address}
              unicast_peer {{ {other.address} }}
              virtual_ipaddress {{ {shared}/24 dev eps0 }}
            }}""")
        keepers[client] = client.host.spawn("keepalived", "-n", "-l", "-P", "-f", conf,
                                            "-p", client.directory / "k.pid", "-r", client.directory / "v.pid")

    def holds(x):
        return shared in x.host.ip("-4", "addr", "show", "dev", "eps0")

    wait_until(lambda: holds(b) and not holds(c), "b is the master", 15)
    wait_until(lambda: a.host.ping(shared, 1) == 1, "a reaches it at b", 5)
    keepers[b].kill()
    b.host.ip("addr", "flush", "to", shared, "dev", "eps0")
    began = time.monotonic()
    wait_until(lambda: a.host.ping(shared, 1) == 1, "a reaches it at c", 10, pause=0)
    took = time.monotonic() - began
    FIGURES.append(f"a shared address is reached at the other member after {took:.2f} s")
    assert holds(c)
    assert took < 3
