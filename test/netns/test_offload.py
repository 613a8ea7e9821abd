# SPDX-License-Identifier: MIT
"""Each offload can be switched off: verified at the interface, on the underlay and in the counters.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┘
"""

import itertools
import pathlib
import re
import signal

import pytest
from lab import Host, wait_until
from offload import ALL, Capture, checksums_hold, counter, datagrams
from wire import transfer

SIZE = 8_000_000
FEATURES = {"csum": "tx-checksum-ip-generic", "tso": "tx-tcp-segmentation", "uso": "tx-udp-segmentation"}


def features(client):
    """The features of eps0 according to the kernel."""
    text = client.host.run("ethtool", "-k", client.device)
    return {name for name, feature in FEATURES.items() if re.search(rf"^\s*{feature}: on", text, re.M)}


def without(name):
    """Everything but one, and those that need it."""
    gone = {"csum", "tso", "uso"} if name == "csum" else {name}
    return [n for n in ALL if n not in gone]


def pair(network, offload_a, offload_b, **options):
    network.server(mtu=1400)  # so that a whole frame is one datagram of the underlay
    a, b = (network.client(name, offload=offload, join=False, **options)
            for name, offload in (("a", offload_a), ("b", offload_b)))
    a.wait_joined()
    b.wait_joined()
    a.wait_sees(b)
    assert a.ping(b) == 3
    a.wait_path(b, "direct")
    # Nothing is cut for the path once both know that it carries a whole frame: large frames trigger the probes.
    for here, there in (a, b), (b, a):
        def whole(here=here, there=there):
            here.host.run("ping", "-c1", "-W1", "-s1372", there.address, check=False)
            return (here.status()["peers"][0]["path_mtu"] or 0) > 1470
        wait_until(whole, "the path's size is known")
    return a, b


@pytest.mark.parametrize("off", ["nothing", *ALL, "all"])
def test_a_switch(network, off):
    names = ALL if off == "nothing" else [] if off == "all" else without(off)
    a, b = pair(network, ",".join(names) or "none", ",".join(names) or "none")
    for client in a, b:
        assert client.status()["offloads"] == {"used": names, "missing": []}
        assert f"offloads    {', '.join(names) or 'none'}\n" in client.eps("status")
        assert features(client) == set(names) & FEATURES.keys()

    for family in "ip", "ip6":
        target = b.address if family == "ip" else b.link_local()
        before = counter(b.host, "Udp", "InDatagrams")
        with Capture(b.host, "eps0") as inner, Capture(b.host, "eth0") as outer:
            sent, came, _ = transfer(a.host, b.host, target, SIZE, device="eps0")
        assert sent == came
        datagrams = counter(b.host, "Udp", "InDatagrams") - before
        # Whether b's client passes many segments to the kernel at once, and completes their checksums.
        assert (max(map(len, inner.frames)) > 2000) == ("tso" in names), "TCP super-frames into the interface"
        # Only checksums of super-frames are left to the kernel: single frames are complete.
        assert all(map(checksums_hold, inner.frames)) == ("tso" not in names), "checksums at the interface"
        assert (max(map(len, outer.frames)) > 2000) == ("gso" in names), "runs of datagrams on the underlay"
        assert (datagrams < SIZE / 1400 / 2) == ({"gso", "gro"} <= set(names)), datagrams

    for host in a.host, b.host:
        assert counter(host, "Tcp", "InCsumErrors") == counter(host, "Udp", "InCsumErrors") == 0


@pytest.mark.parametrize("lacks", ["uso", "gso,gro", "tso,uso,gso,gro", "csum,tso,uso"])
def test_an_older_kernel(network, lacks):
    """Linux 6.1 has no USO, the oldest no UDP GSO: missing offloads are detected at the start, and not used."""
    network.server()
    a, b = (network.client(name, start=False) for name in ("a", "b"))
    a.launcher = ["/usr/bin/python3", pathlib.Path(__file__).with_name("kernel_without.py"), lacks]
    b.options["offload"] = "csum,tso,gso"  # of a's whole choice
    for client in a, b:
        client.start().wait_joined()
    a.wait_sees(b)
    missing = lacks.split(",")
    assert a.status()["offloads"] == {"used": [n for n in ALL if n not in missing], "missing": missing}
    assert f"; not in this kernel: {', '.join(missing)}\n" in a.eps("status")
    assert features(a) == FEATURES.keys() - set(missing)
    assert "This kernel lacks" not in a.log(), "nobody asked for it by name"
    for sender, receiver in (a, b), (b, a):
        for target in receiver.address, receiver.link_local():
            sent, came, _ = transfer(sender.host, receiver.host, target, SIZE)
            assert sent == came
            assert len(set(datagrams(sender.host, receiver.host, target, 64))) == 1, "all arrive"
    a.stop()
    a.options["offload"] = ",".join(ALL)
    a.start().wait_joined()
    assert f"This kernel lacks {','.join(missing)} of the option offload" in a.log()


@pytest.mark.parametrize("offload, cuts", [("auto", False), ("none", True)])
def test_the_relay_sends_in_runs_unless_switched_off(network, offload, cuts):
    server = network.server(offload=offload)
    a, b = network.clients("a", "b")
    for host, other in (a.host, b.host), (b.host, a.host):
        host.drop(f"ip daddr {other.v4} meta l4proto udp")
        host.run("nft", f"add rule inet lab out oifname eth0 ip6 daddr {{ {other.v6}, fe80::/10 }} "
                 "meta l4proto udp drop")
    wait_until(lambda: a.ping(b, 1) and a.path_to(b) == "relayed", "a reaches b by the relay")
    assert server.status()["offloads"]["used"] == ([] if cuts else ["gso", "gro"])
    assert f"offloads     {'none' if cuts else 'gso, gro'}\n" in server.eps("status")
    before = counter(server.host, "Udp", "InDatagrams")
    with Capture(b.host, "eth0") as outer:
        sent, came, _ = transfer(a.host, b.host, b.address, SIZE)
    assert sent == came
    assert (max(map(len, outer.frames)) > 2000) != cuts, "runs of datagrams from the server"
    assert (counter(server.host, "Udp", "InDatagrams") - before < SIZE / 1400 / 2) != cuts, "runs of datagrams to it"


def behind_a_bridge(_, b, far, leg):
    b.host.ip("link", "add", "br1", "type", "bridge", "mcast_snooping", "0")
    b.host.ip("link", "set", "br1", "up")
    for port in "eps0", leg:
        b.host.ip("link", "set", port, "master", "br1")
    b.host.ip("link", "set", "eps0", "address", "02:00:00:00:00:99")  # or the bridge keeps for itself what is for b
    b.host.ip("addr", "flush", "dev", "eps0")
    far.ip("link", "set", "eps0", "address", b.mac)
    far.ip("addr", "add", f"{b.address}/24", "dev", "eps0")


def behind_a_router(a, b, far, leg):
    """IPv4 alone: link-local addresses are not routed."""
    b.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.eps0.proxy_arp=1")
    b.host.ip("addr", "add", "10.50.0.1/24", "dev", leg)
    # b keeps its address, which the client would restore, but what is sent there goes on.
    b.host.ip("rule", "add", "pref", "100", "lookup", "local")
    b.host.ip("rule", "add", "pref", "10", "to", b.address, "lookup", "200")
    b.host.ip("rule", "del", "pref", "0")
    b.host.ip("route", "add", b.address, "dev", leg, "table", "200")
    # b has no address of the network to ask with.
    b.host.ip("neigh", "replace", a.address, "lladdr", a.mac, "dev", "eps0")
    far.ip("addr", "add", f"{b.address}/32", "dev", "eps0")
    far.ip("link", "set", "eps0", "up")
    far.ip("route", "add", "10.50.0.1", "dev", "eps0")
    far.ip("route", "add", "default", "via", "10.50.0.1")


@pytest.mark.parametrize("hand_on", [behind_a_bridge, behind_a_router])
def test_checksums_are_complete_when_a_frame_leaves_for_a_wire(network, hand_on):
    """b hands its place on to another computer, over a cable whose device computes and cuts nothing:

         [a] eps0 ── conduit ── eps0 [b] leg ── eps0 [far]     with b's addresses
    """
    a, b = pair(network, "auto", "auto")
    targets = {"IPv4": b.address, "IPv6": b.link_local()}
    if hand_on == behind_a_router:
        del targets["IPv6"]
    far = Host(network, "far", 0, None, None)
    network.add(far)
    leg = network.cable(far, "eps0", b.host.namespace)
    b.host.run("ethtool", "-K", leg, "tx", "off", "tso", "off", "gso", "off", "tx-udp-segmentation", "off")
    b.host.ip("link", "set", leg, "up")
    far.ip("link", "set", "eps0", "mtu", 1400)
    hand_on(a, b, far, leg)
    far.ip("link", "set", "eps0", "up")
    wait_until(lambda: far.ping(a.address, 1), "far and a reach each other")
    dump = far.spawn("tcpdump", "-i", "eps0", "-Q", "in", "-nn", "-e", "-vvv", "-l", "-B", 32768, "tcp or udp")
    wait_until(lambda: "listening on" in dump.output(), "tcpdump listens")
    for address in targets.values():
        sent, came, _ = transfer(a.host, far, address, 2_000_000)
        assert sent == came
        assert len(set(datagrams(a.host, far, address, 64))) == 1, "all arrive"

    def right(family, mark):
        """A packet begins at the start of a line, and may have a second."""
        return [p for p in re.split(r"\n(?=\d)", dump.output()) if f"ethertype {family}" in p and mark in p]

    for family, mark in itertools.product(targets, ("(correct)", "udp sum ok")):
        wait_until(lambda family=family, mark=mark: len(right(family, mark)) > 100, f"{family} packets with {mark}")
    dump.stop(signal.SIGINT)
    assert not re.search(r"incorrect|bad cksum|bad udp cksum", dump.output())
    assert max(map(int, re.findall(r"length (\d+): ", dump.output()))) == 1414, "nothing is larger than the MTU"
