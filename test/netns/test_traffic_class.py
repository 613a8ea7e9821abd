# SPDX-License-Identifier: MIT
"""Datagrams have the DSCP of the packet inside them, and congestion marks (ECN) are copied back.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ──x────┘                x  marks ECN-capable packets, like a full queue in the path
"""

import socket

import pytest
from lab import wait_until

EXPEDITED, CAPABLE, MARKED = 0xb8, 2, 3


def traffic_class(one, other, sent):
    """The traffic class of an inner datagram on arrival; None if it does not arrive."""
    with other.host.socket(kind=socket.SOCK_DGRAM) as receiver, one.host.socket(kind=socket.SOCK_DGRAM) as sender:
        receiver.bind((other.address, 0))
        receiver.settimeout(2)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, sent)
        sender.sendto(b"x", receiver.getsockname())
        try:
            _, ancillary, _, _ = receiver.recvmsg(100, 100)
        except TimeoutError:
            return None
    return ancillary[0][2][0]


def seen(host, what):
    return int(host.run("nft", "list counter inet seen " + what).split("packets ")[1].split()[0])


def watch(host):
    """Counts arrivals from outside, and marks ECN-capable packets."""
    host.run("nft", "add table inet seen; add counter inet seen ef; add counter inet seen ect; "
             "add chain inet seen in { type filter hook prerouting priority -300; }; "
             "add rule inet seen in iifname eth0 udp length > 8 ip dscp ef counter name ef; "
             "add rule inet seen in iifname eth0 udp length > 8 ip ecn ect0 counter name ect ip ecn set ce")


@pytest.mark.parametrize("way", ["direct", "relayed"])
def test_dscp_goes_out_and_ecn_comes_in(network, way):
    network.server(network.host("server", v6=False))
    hosts = [network.host(name, v6=False) for name in "ab"]
    if way == "relayed":
        for host, other in hosts, hosts[::-1]:
            host.drop(f"ip daddr {other.v4} meta l4proto udp")
    a, b = (network.client(host.name, host) for host in hosts)
    a.wait_sees(b)
    b.wait_sees(a)
    for one, other in (a, b), (b, a):
        def by_udp(one=one, other=other):
            return (one.ping(other, 1) == 1 and one.path_to(other) == way
                    and not one.peers()[other.name]["over_tcp"])

        wait_until(by_udp, "there is a path of that kind, by UDP")
    watch(b.host)
    assert traffic_class(a, b, 0) == 0
    assert seen(b.host, "ef") == seen(b.host, "ect") == 0
    assert traffic_class(a, b, EXPEDITED) == EXPEDITED
    assert seen(b.host, "ef") == 1
    assert traffic_class(a, b, EXPEDITED | CAPABLE) == EXPEDITED | MARKED
    assert seen(b.host, "ef") == 2 and seen(b.host, "ect") == 1
    assert traffic_class(a, b, MARKED) == MARKED
    assert traffic_class(b, a, EXPEDITED | CAPABLE) == EXPEDITED | CAPABLE, "nobody marked it"


def test_dscp_stays_private_on_request(network):
    network.server(network.host("server", v6=False))
    a = network.client("a", network.host("a", v6=False), dscp="off")
    b = network.client("b", network.host("b", v6=False))
    a.wait_sees(b)
    assert a.ping(b) == 3
    a.wait_path(b, "direct")
    watch(b.host)
    assert traffic_class(a, b, EXPEDITED | CAPABLE) == EXPEDITED | MARKED, "of ECN that is not asked"
    assert seen(b.host, "ef") == 0
