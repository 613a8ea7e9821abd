# SPDX-License-Identifier: MIT
"""Multicast goes to the members that listen to it, whatever the others receive.

     [server] ──┐
     [a] ───────┤   sends to groups
     [b] ───────┼── [lan]
     [c] ───────┘
"""

import ipaddress
import re
import socket
import struct
import time

import pytest
from lab import FIGURES, wait_until

GROUPS = {"IPv4": "239.1.2.3", "IPv6": "ff05::1:2:3"}
LINK = {"IPv4": "224.0.0.251", "IPv6": "ff02::fb"}
PORT = 5353  # of programs; here nobody listens to it but the test


def index(client):
    return int(client.host.run("cat", "/sys/class/net/eps0/ifindex"))


def family_of(group):
    return socket.AF_INET6 if ":" in group else socket.AF_INET


def listen(client, group):
    """A program that has joined the group on eps0."""
    s = client.host.socket(family_of(group), socket.SOCK_DGRAM)
    s.bind(("", PORT))
    packed = ipaddress.ip_address(group).packed
    if ":" in group:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, packed + struct.pack("@I", index(client)))
    else:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, packed + struct.pack("@4xI", index(client)))
    return s


class Sender:
    def __init__(self, client, group):
        self.group, self.index, self.sent = group, index(client), 0
        self.socket = client.host.socket(family_of(group), socket.SOCK_DGRAM)
        if ":" in group:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self.index)
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 8)
        else:
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("@8xI", self.index))
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)

    def send(self):
        self.sent += 1
        target = (self.group, PORT, 0, self.index) if ":" in self.group else (self.group, PORT)
        self.socket.sendto(b"%d" % self.sent, target)


def watch(client, *groups):
    """Counts what reaches eps0, whether or not a program listens."""
    rules = "".join(f"add rule inet seen in iifname eps0 {'ip6' if ':' in g else 'ip'} daddr {g} counter; "
                    for g in groups)
    client.host.run("nft", "add table inet seen; "
                    "add chain inet seen in { type filter hook prerouting priority -300; }; " + rules)


def came(client, group):
    rules = client.host.run("nft", "list", "table", "inet", "seen")
    return int(re.search(rf"daddr {re.escape(group)} counter packets (\d+)", rules)[1])


def reaches(sender, client):
    """Whether the next frame arrives."""
    before = came(client, sender.group)
    sender.send()
    end = time.monotonic() + 0.25
    while time.monotonic() < end:
        if came(client, sender.group) > before:
            return True
    return False


@pytest.mark.parametrize("family", GROUPS)
def test_a_group_reaches_those_that_listen(network, family):
    network.server()
    a, b, c = network.clients("a", "b", "c")
    group, link = GROUPS[family], LINK[family]
    for client in b, c:
        watch(client, group, link)
        assert a.ping(client) == 3
    wanted = listen(b, group)
    sender = Sender(a, group)
    wait_until(lambda: reaches(sender, b) and not reaches(sender, c), "the group reaches b alone")

    # Counted: 200 frames, of which c has none. The interface may have several as one.
    before, first = came(c, group), sender.sent + 1
    for n in range(first, first + 200, 20):
        for _ in range(20):
            sender.send()
        while wanted.recv(100) != b"%d" % (n + 19):
            pass
    FIGURES.append(f"{family}: 200 frames to a group reach the member that listens, {came(c, group) - before} of them "
                   "the one that does not")
    assert came(c, group) == before

    # Groups of the link itself reach everybody.
    announcement = Sender(a, link)
    assert reaches(announcement, b) and reaches(announcement, c)

    # Who joins has it at once, who leaves is left out again.
    began = time.monotonic()
    late = listen(c, group)
    wait_until(lambda: reaches(sender, c), "c has joined", pause=0)
    took = time.monotonic() - began
    FIGURES.append(f"{family}: a member that joins a group has its frames after {took:.2f} s")
    assert took < 3
    assert reaches(sender, b)
    late.close()
    wait_until(lambda: not reaches(sender, c), "c has left")
    assert reaches(sender, b)

    # A capture sees everything, as on a cable.
    dump = c.host.spawn("tcpdump", "-i", "eps0", "-nn", "-l", "udp")
    wait_until(lambda: reaches(sender, c), "the capture has the group")
    dump.stop()

    # A program that was told to listen before the client restarted is not there afterwards; a new one is heard.
    wait_until(lambda: not reaches(sender, c), "c is left out again")
    c.stop()
    c.restart()
    c.wait_sees(a)
    a.wait_sees(c)
    again = listen(c, group)
    wait_until(lambda: reaches(sender, c), "the restarted c has the group")
    for s in wanted, again:
        s.close()
