"""Each offload can be switched off, and then it is off: seen at the interface, on the underlay and in the counters.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┘
"""

import re

import pytest
from offload import ALL, Capture, checksums_hold, counter
from wire import transfer

SIZE = 8_000_000
FEATURES = {"csum": "tx-checksum-ip-generic", "tso": "tx-tcp-segmentation", "uso": "tx-udp-segmentation"}


def features(client):
    """What the kernel believes that eps0 can do."""
    text = client.host.run("ethtool", "-k", client.device)
    return {name for name, feature in FEATURES.items() if re.search(rf"^\s*{feature}: on", text, re.M)}


def without(name):
    """Everything but one, and what needs it."""
    gone = {"csum", "tso", "uso"} if name == "csum" else {name}
    return [n for n in ALL if n not in gone]


def pair(network, offload_a, offload_b):
    network.server()
    a, b = network.client("a", offload=offload_a, join=False), network.client("b", offload=offload_b, join=False)
    a.wait_joined()
    b.wait_joined()
    a.wait_sees(b)
    a.wait_path(b, "direct")
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
        # Whether b's client lets the kernel take many segments at once, and finishes what it hands over.
        assert (max(map(len, inner.frames)) > 2000) == ("tso" in names), "TCP super-frames into the interface"
        assert all(map(checksums_hold, inner.frames)) == ("csum" not in names), "checksums at the interface"
        assert (max(map(len, outer.frames)) > 2000) == ("gso" in names), "runs of datagrams on the underlay"
        assert (datagrams < SIZE / 1400 / 2) == ({"gso", "gro"} <= set(names)), datagrams

    for host in a.host, b.host:
        assert counter(host, "Tcp", "InCsumErrors") == counter(host, "Udp", "InCsumErrors") == 0
