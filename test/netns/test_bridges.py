# SPDX-License-Identifier: MIT
"""A member that may bridge: machines behind it are on the LAN with their own MACs and addresses.

     [a] ── conduits ── eps0 [b] br0 ── [vm]
                   └─── eps0 [c] br0 ── [vm] later
"""

import pathlib
import re
import socket

import pytest
from lab import Host, wait_until
from wire import raw_socket, transfer

SIZE = 2_000_000


def free_address(*members, last=200):
    taken = {x.address for x in members}
    return next(x for x in (re.sub(r"\d+$", str(n), members[0].address) for n in range(last, 250)) if x not in taken)


def machine(network, name, member, address, mac=None):
    """A new machine at the member's bridge; the name of the bridge's port."""
    host = Host(network, name, 0, None, None)
    network.add(host)
    port = network.cable(host, "eth0", member.host.namespace)
    member.host.ip("link", "set", port, "master", "br0", "up")
    if mac:
        host.ip("link", "set", "eth0", "address", mac)
    host.ip("addr", "add", f"{address}/24", "dev", "eth0")
    host.ip("link", "set", "eth0", "up")
    return host, port


def bridging(network, name):
    member = network.client(name, bridge="br0")
    member.host.ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
    member.host.ip("link", "set", "br0", "up")
    wait_until(lambda: "master br0" in member.host.ip("link", "show", "eps0"), "eps0 is a port of the bridge")
    wait_until(lambda: member.address in member.host.ip("addr", "show", "br0"), "the bridge has the address")
    member.wait_status(lambda s: s["address_device"] == "br0", "tells where its address is")
    assert " on br0\n" in member.eps("status")
    return member


def received(member):
    return int(member.host.run("cat", "/sys/class/net/eps0/statistics/rx_bytes"))


def test_machines_behind_a_member_that_may_bridge(network):
    server = network.server()
    a, b, c, d = network.client("a"), bridging(network, "b"), bridging(network, "c"), network.client("d")
    address = free_address(a, b, c)
    vm, port = machine(network, "vm", b, address)
    mac = vm.run("cat", "/sys/class/net/eth0/address").strip()

    # Not allowed: a sentence with MAC and remedy, and nothing passes; the member itself stays reachable.
    assert vm.ping(a.address, 1) == 0
    b.wait_log(rf"Dropped on eps0: frames from {mac}.*eps members allow b bridge")
    doctor = b.eps("doctor", check=False)
    assert f"frames from {mac}" in doctor and "does not allow this member to bridge" in doctor

    for member in b, c:
        server.eps("members", "allow", member.name, "bridge")
    assert server.members()["b"]["allowed"] == ["bridge"]
    b.wait_log("The server allows this member to bridge: machines behind br0 are on the network")
    wait_until(lambda: vm.ping(a.address, 1), "the machine reaches a")
    assert a.host.ping(address) == 3
    assert a.ping(b) == 3 and b.ping(a) == 3
    wait_until(lambda: a.host.ping(f"{b.link_local()}%eps0", 1), "the bridge has the member's link-local address")
    assert not re.search("does not allow|overlaps", b.eps("doctor", check=False)), "the bridge has our own address"

    # TCP at full size, and no byte of it reaches c, whose bridge could also have the machine.
    assert c.ping(a) == 3
    before = received(c)
    for sender, receiver, target, device in (a.host, vm, address, "eth0"), (vm, a.host, a.address, "eps0"):
        sent, came, _ = transfer(sender, receiver, target, SIZE, device=device)
        assert sent == came
    assert received(c) - before < SIZE / 20

    # VLAN tags are carried.
    dump = a.host.spawn("tcpdump", "-i", "eps0", "-Q", "in", "-nn", "-e", "-l", "vlan 7")
    wait_until(lambda: "listening on" in dump.output(), "tcpdump listens")
    with vm.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
        s.bind(("eth0", 0))
        tagged = b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) + b"\x81\x00\x00\x07\x81\x37" + bytes(46)
        wait_until(lambda: s.send(tagged) and "vlan 7" in dump.output(), "a tagged frame arrives as such")
    dump.stop()

    # It moves: whatever it sends first from its new location suffices (here IPv6 of its kernel, none of which is for
    # a member), for those with whom it has talked and for d, with which c has no session.
    assert d.host.ping(address) == 3
    b.host.ip("link", "set", port, "down")
    moved, _ = machine(network, "vm2", c, address, mac)
    for member in a, d:
        wait_until(lambda m=member: m.host.ping(address, 1), f"{member.name} reaches the machine in its new place", 5)
    assert a.host.ping(address) == 3

    # Another member's address stays its own.
    moved.ip("addr", "add", f"{a.address}/32", "dev", "eth0")  # as its own
    moved.run("ping", "-c1", "-W1", "-I", a.address, b.address, check=False)
    c.wait_log(rf"Dropped on eps0: packets from {re.escape(a.address)}")
    moved.ip("addr", "del", f"{a.address}/32", "dev", "eth0")

    server.eps("members", "revoke", "c", "bridge")
    wait_until(lambda: moved.ping(a.address, 1) == 0, "nothing passes any more")

    c.stop()
    assert c.address not in c.host.ip("addr", "show", "br0")


def test_its_own_address_is_on_the_bridge_after_a_restart(network):
    server = network.server()
    a, b = network.client("a"), bridging(network, "b")
    server.eps("members", "allow", "b", "bridge")
    vm, _ = machine(network, "vm", b, free_address(a, b))

    def addresses(device):
        return b.host.ip("addr", "show", device)

    # Put there by a run that was killed: removed.
    b.kill()
    b.options["bridge"] = None
    b.start()
    b.wait_joined()
    own = f"{b.address}/24", b.status()["address6"] + "/64"
    wait_until(lambda: all(x in addresses("eps0") for x in own), "eps0 has its addresses")
    assert not any(x in addresses("br0") for x in own)
    assert "also on" not in b.log()

    # Put there by the user, and eps0 is no port any more: stays, with the remedies.
    for x in own:
        b.host.give(x, "br0")
    for x in own:
        b.wait_log(rf"also on another interface, {x} on br0: .*\(ip addr del {x} dev br0\)")
    doctor = b.eps("doctor", check=False)
    assert doctor.count("ip link set eps0 master br0") == 2 and "--network" not in doctor
    assert a.ping(b) == 3

    b.host.ip("link", "set", "eps0", "master", "br0")
    wait_until(lambda: not any(x in addresses("eps0") for x in own), "the port needs no address")
    assert all(x in addresses("br0") for x in own)
    for ip in b.address, own[1].partition("/")[0]:
        assert a.host.ping(ip) == 3
    wait_until(lambda: vm.ping(b.address, 1), "the machine reaches the bridge's own address")
    assert "also on" not in b.eps("doctor", check=False)


def test_one_of_two_bridges_into_one_lan_is_blocked(network):
    server = network.server()
    a, b, c = network.client("a"), bridging(network, "b"), bridging(network, "c")
    for member in b, c:
        server.eps("members", "allow", member.name, "bridge")
    b.host.ip("link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", c.host.namespace)
    vm, _ = machine(network, "vm", b, free_address(a, b, c))
    wait_until(lambda: vm.ping(a.address, 1), "the machine reaches a")
    for member in b, c:
        member.host.ip("link", "set", "cable", "master", "br0", "up")
    came = int(a.host.run("cat", "/sys/class/net/eps0/statistics/rx_packets"))
    with vm.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
        s.bind(("eth0", 0))
        mac = vm.run("cat", "/sys/class/net/eth0/address").strip()

        def looped():
            for n in range(10):
                s.send(b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) + b"\x81\x37" + bytes([n]) * 46)
            return any("A loop:" in x.log() for x in (b, c))
        wait_until(looped, "the loop is told", 5)
    came = int(a.host.run("cat", "/sys/class/net/eps0/statistics/rx_packets")) - came
    assert came < 3000
    assert sum("A loop:" in x.log() for x in (b, c)) == 1, "one gives way"
    wait_until(lambda: vm.ping(a.address, 1), "the machine still reaches a")


def test_spanning_tree_works_across(network):
    server = network.server()
    a, b, c = network.client("a"), bridging(network, "b"), bridging(network, "c")
    b.host.ip("link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", c.host.namespace)
    for member in b, c:
        server.eps("members", "allow", member.name, "bridge")
        member.host.ip("link", "set", "br0", "type", "bridge", "forward_delay", "200", "hello_time", "100",
                       "max_age", "600", "stp_state", "1")
        member.host.ip("link", "set", "cable", "master", "br0", "up")
    vm, _ = machine(network, "vm", b, free_address(a, b, c))

    def states():
        return sorted(x.host.run("cat", f"/sys/class/net/{port}/brport/state").strip()
                      for x in (b, c) for port in ("eps0", "cable"))

    forwarding, blocking = "3", "4"
    wait_until(lambda: states() == [forwarding] * 3 + [blocking], "one of the four ports blocks", 30)
    wait_until(lambda: vm.ping(a.address, 1), "the machine reaches a")
    came = int(a.host.run("cat", "/sys/class/net/eps0/statistics/rx_packets"))
    with raw_socket(vm, "eth0") as s:
        mac = bytes.fromhex(vm.run("cat", "/sys/class/net/eth0/address").strip().replace(":", ""))
        for n in range(50):
            s.send(b"\xff" * 6 + mac + b"\x81\x37" + bytes([n]) * 46)
    assert vm.ping(a.address, 1) == 1
    came = int(a.host.run("cat", "/sys/class/net/eps0/statistics/rx_packets")) - came
    assert 50 <= came < 100
    assert not any("A loop:" in x.log() for x in (b, c))
    assert states() == [forwarding] * 3 + [blocking]


def test_a_firewall_between_the_ports_of_the_bridge(network):
    """As on a computer with Docker: bridged packets pass the forward hook, whose policy drops them in silence."""
    if not pathlib.Path("/proc/sys/net/bridge").exists():
        pytest.skip("no br_netfilter in this kernel")
    server = network.server()
    a, b = network.client("a"), bridging(network, "b")
    server.eps("members", "allow", "b", "bridge")
    b.host.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
    b.host.run("nft", "add table ip filter; add chain ip filter FORWARD "
               "{ type filter hook forward priority 0; policy drop; }")
    vm, _ = machine(network, "vm", b, free_address(a, b))

    def doctor():
        return " ".join(b.eps("doctor", check=False).split())
    wait_until(lambda: "the chain ip filter FORWARD drops what no rule accepts: nft insert rule ip filter FORWARD "
               "iifname br0 oifname br0 accept" in doctor(), "doctor names the firewall")
    assert vm.ping(a.address, 1) == 0
    b.host.run("nft", "insert rule ip filter FORWARD iifname br0 oifname br0 accept")
    wait_until(lambda: vm.ping(a.address, 1) == 1, "the machine is on the network")
    assert "FORWARD" not in doctor()
