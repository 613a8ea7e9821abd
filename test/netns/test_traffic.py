# SPDX-License-Identifier: MIT
"""Traffic between members arrives: complete, of every kind, over every size of underlay.

     [server] ──┐
     [a] ───────┤
     [b] ───────┼── [lan]
     [c] ───────┘
"""

import contextlib
import hashlib
import os
import pathlib
import re
import socket
import struct
import time

import pytest
from eps import SANITIZED, Network
from lab import wait_until
from wire import Sniffer, received, transfer, udp_receiver

STREAM = 30_000_000 if SANITIZED else 300_000_000


def test_tcp_stream_arrives_unchanged(network):
    network.server()
    a, b = network.clients("a", "b")
    for sender, receiver in (a, b), (b, a):
        sent, came, seconds = transfer(sender.host, receiver.host, receiver.address, STREAM)
        print(f"{STREAM / 1e6:.0f} MB in {seconds:.2f} s")
        assert sent == came


def test_udp_of_every_size(network):
    network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    a.wait_path(b, "direct")
    receiver = udp_receiver(b.host)
    sizes = [0, 1, 17, 100, 1000, 1471, 1472, 1473, 5000, 20000, 65507]  # 1472 fills the MTU of 1500
    with a.host.socket(kind=socket.SOCK_DGRAM) as sender:
        for size in sizes:
            payload = os.urandom(size)
            sender.sendto(payload, (b.address, 5002))
            assert received(receiver) == [payload], size


def test_many_datagrams(network):
    network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    a.wait_path(b, "direct")
    receiver = udp_receiver(b.host)
    receiver.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    sent, came = [struct.pack("!I", n) + os.urandom(n % 1200) for n in range(2000)], []
    receiver.settimeout(0.05)

    def collect(least, seconds):
        """Until this many have arrived: a computer that pauses for a moment has no room for the rest."""
        end = time.monotonic() + seconds
        while len(came) < least and time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                came.append(receiver.recv(1 << 16))

    with a.host.socket(kind=socket.SOCK_DGRAM) as sender:
        for n, payload in enumerate(sent):
            sender.sendto(payload, (b.address, 5002))
            if n % 8 == 0:
                time.sleep(0.002)
                collect(n - 200, 0.5)
    collect(len(sent), 3)
    came += received(receiver, 0.5)
    assert set(came) <= set(sent) and len(came) == len(set(came)), "no datagram twice, none altered"
    assert len(came) > 0.98 * len(sent)


def test_broadcast_reaches_everyone(network):
    network.server()
    a, b, c = network.clients("a", "b", "c")
    receivers = [udp_receiver(client.host) for client in (b, c)]
    with a.host.socket(kind=socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for target in "192.168.43.255", "255.255.255.255":
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eps0")
            sender.sendto(b"to all", (target, 5002))
            for receiver in receivers:
                assert received(receiver) == [b"to all"], target


def test_broadcast_ping_is_answered_by_everyone(network):
    network.server()
    a, b, c = network.clients("a", "b", "c")
    for client in b, c:
        client.host.run("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_broadcasts=0")
    out = a.host.run("ping", "-n", "-b", "-c", 10, "-i", 0.2, "-W", 1, "192.168.43.255", check=False)
    assert f"from {b.address}" in out and f"from {c.address}" in out


@pytest.mark.parametrize("family, group", [(socket.AF_INET, "224.0.0.251"), (socket.AF_INET6, "ff02::fb")])
def test_multicast_reaches_the_members_of_a_group(network, family, group):
    network.server()
    a, b, c = network.clients("a", "b", "c")
    name_query = bytes.fromhex("000000000001000000000000") + b"\x01b\x05local\0" + bytes.fromhex("00010001")
    receivers = []
    for client in b, c:
        receiver = udp_receiver(client.host, "" if family == socket.AF_INET else "::", 5353, family)
        index = int(client.host.run("cat", "/sys/class/net/eps0/ifindex"))
        if family == socket.AF_INET:
            request = socket.inet_aton(group) + socket.inet_aton(client.address)
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        else:
            request = socket.inet_pton(family, group) + struct.pack("@I", index)
            receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        receivers.append(receiver)
    with a.host.socket(family, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eps0")
        a.link_local()
        sender.sendto(name_query, (group, 5353))
    for receiver in receivers:
        assert received(receiver) == [name_query]


def test_jumbo_frames_over_a_jumbo_underlay():
    with Network(mtu=9000) as network:
        network.server(mtu=8900)
        a, b = network.clients("a", "b")
        assert a.ping(b) == 3
        a.wait_path(b, "direct")
        b.wait_path(a, "direct")
        assert a.ping(b, 3, 0.1, size=8872, df=True) == 3  # large traffic, which triggers the search for the path MTU
        for one, other in (a, "b"), (b, "a"):
            wait_until(lambda one=one, other=other: one.peers()[other]["path_mtu"] > 8900 + 53, "jumbo frames pass")
        with Sniffer(network) as seen:
            assert a.ping(b, 3, 0.1, size=8872, df=True) == 3
        sizes = [len(frame) // 8900 for frame in seen.frames]  # two that left together cross a veth as one
        assert sum(sizes) >= 6, "three there and three back, none in pieces; the path is asked for its size beside them"
        sent, came, _ = transfer(a.host, b.host, b.address, STREAM // 10)
        assert sent == came
        network.check_what_was_left()


def test_idle_costs_nothing(network):
    """Less than one wake-up a second for all threads of a client together."""
    network.server()
    members = network.clients("a", "b", "c")
    for m in members:  # the kernel looks for routers after 1, 4, 8, 16 s and so on, which is traffic
        m.host.run("sysctl", "-qw", "net.ipv6.conf.eps0.router_solicitations=0")
    assert members[0].ping(members[1], 3) == 3
    time.sleep(15)  # other messages of the kernel on a new interface, and the paths' last probes
    before = [wake_ups(m) for m in members]
    time.sleep(30)
    in_thirty_seconds = [wake_ups(m) - n for m, n in zip(members, before, strict=True)]
    assert max(in_thirty_seconds) < 30, in_thirty_seconds


def wake_ups(daemon):
    tasks = pathlib.Path(f"/proc/{daemon.process.pid}/task").glob("*/status")
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", t.read_text(), re.M)[1]) for t in tasks)


@pytest.mark.parametrize("mtu", [1280, 1400])
def test_underlay_with_a_smaller_mtu(mtu):
    with Network(mtu=mtu) as network:
        network.server()
        a, b = network.clients("a", "b")
        assert a.ping(b, 3, 0.1, size=1372, df=True) == 3
        assert a.host.ping(f"{b.link_local()}%eps0", 3, 0.1, size=1352, df=True) == 3
        sent, came, _ = transfer(a.host, b.host, b.address, 20_000_000)
        assert sent == came
        network.check_what_was_left()


def test_frames_of_another_protocol(network):
    """Not only IP: any EtherType, unicast and with a VLAN tag."""
    from wire import raw_socket
    network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    receiver, sender = raw_socket(b.host, "eps0"), raw_socket(a.host, "eps0")
    macs = bytes.fromhex((b.mac + a.mac).replace(":", ""))
    for head in "88b5", "8100000a88b5":
        frame = macs + bytes.fromhex(head) + hashlib.sha256(head.encode()).digest() * 2
        sender.send(frame)
        # Linux takes the tag out of a received frame, so look for what follows.
        wait_until(lambda end=frame[-66:]: any(f.endswith(end) for f in received(receiver, 0.5)), "it arrives")


def test_iperf_in_both_directions_at_once(network):
    network.server()
    a, b = network.clients("a", "b")
    server = b.host.spawn("iperf3", "-s", "-1", "--forceflush")
    wait_until(lambda: "listening" in server.output(), "iperf3 listens")
    out = a.host.run("iperf3", "-c", b.address, "-t", 2, "--bidir", timeout=60)
    assert out.count("receiver") == 2
    assert server.wait() == 0
