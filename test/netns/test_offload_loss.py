# SPDX-License-Identifier: MIT
"""Whatever offloads the ends use, and whatever happens to the datagrams in transit, received data are correct.

     [server] ──────────────────┐
     [a] ───────────────────────┼── [lan]  loses some            [forwarder] reorders and repeats some
     [b] ───── [forwarder] ─────┘

A run is one choice of offloads at both ends. It sends TCP both ways over IPv4 and IPv6, and datagrams of all sizes over
an underlay that carries whole super-frames, over one that cuts them, and over ones that lose, reorder and duplicate.
The usual runs cover each pair of choices; EPS_FULL=1 runs all, with 300 MB each (EPS_MEGABYTES: others).
"""

import concurrent.futures
import contextlib
import itertools
import os
import pathlib
import time

import pytest
from eps import SANITIZED
from lab import Host, sh, wait_until
from offload import ALL, counter, datagrams
from test_offload import pair
from wire import transfer

FULL = bool(os.environ.get("EPS_FULL"))
MEGABYTES = float(os.environ.get("EPS_MEGABYTES", 300 if FULL else 4 if SANITIZED else 20))
# Of the megabytes of a run, in percent.
PHASES = {"whole": 60, "cut": 15, "loss 1": 7, "loss 5": 3, "reorder": 8, "duplicate": 7}
TAP = ["none", "csum", "csum,tso", "csum,uso", "csum,tso,uso"]


def every_run():
    """(TAP of a, TAP of b, gso of a, gso of b, gro of a, gro of b) such that in both directions each sender's choice
    meets each receiver's."""
    for (i, tap_a), (j, tap_b) in itertools.product(enumerate(TAP), repeat=2):
        turn = (i + 2 * j) // 2 % 2
        for gso, gro in itertools.product((0, 1), repeat=2):
            yield tap_a, tap_b, gso, gso ^ turn, gro ^ turn, gro


def pairwise(runs):
    """A subset of the runs that covers each pair of choices."""
    def pairs(run):
        return set(itertools.combinations(enumerate(run), 2))

    runs, left = list(runs), set().union(*map(pairs, every_run()))
    while left:
        best = max(runs, key=lambda run: len(pairs(run) & left))
        left -= pairs(best)
        yield best


def offloads(tap, gso, gro):
    names = [*(tap.split(",") if tap != "none" else []), *["gso"] * gso, *["gro"] * gro]
    return ",".join(names) or "none"


RUNS = [(offloads(ta, sa, ra), offloads(tb, sb, rb)) for ta, tb, sa, sb, ra, rb in
        (every_run() if FULL else pairwise(every_run()))]
if SANITIZED and not FULL:
    RUNS = [("csum,tso,uso,gso,gro", "csum,tso,uso,gso,gro"), ("none", "csum,tso,uso,gso,gro"),
            ("csum,tso,uso,gso,gro", "none"), ("csum,tso,gro", "csum,uso,gso")]


class Underlay:
    """The path between a and b."""

    def __init__(self, network, b):
        self.network, self.b, self.hosts, self.lost = network, b, list(network.hosts.values()), 0

    def cut(self):
        """From here on each datagram is a separate frame; arriving ones may be joined again."""
        for host in self.hosts:
            host.run("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "tx-udp-segmentation", "off",
                     "gro", "on")

    @contextlib.contextmanager
    def loss(self, percent):
        def nft(rule):
            return sh("ip", "netns", "exec", self.network.switch, "nft", rule)

        nft("add table bridge loss; add chain bridge loss f { type filter hook forward priority 0; }; "
            f"add rule bridge loss f meta l4proto udp numgen random mod 100 < {percent} counter drop")
        yield
        self.lost += int(nft("list table bridge loss").split("packets ")[1].split()[0])
        nft("delete table bridge loss")

    @contextlib.contextmanager
    def forwarder(self, reorder, duplicate):
        """In b's cable."""
        lan = self.network.switch
        port = self.b.host.port
        sh("ip", "-n", lan, "link", "add", "in", "type", "veth", "peer", "name", "out")
        sh("ip", "-n", lan, "link", "set", port, "nomaster")
        sh("ip", "-n", lan, "link", "set", "out", "master", "br0", "up")
        sh("ip", "-n", lan, "link", "set", "in", "up")
        script = pathlib.Path(__file__).with_name("forwarder.py")
        host = Host(self.network, "lan", 0, None, None)
        process = host.spawn("/usr/bin/python3", script, port, "in", reorder, duplicate)
        wait_until(lambda: "ready" in process.output(), "the forwarder runs")
        yield
        assert process.running(), process.output()
        process.kill()
        sh("ip", "-n", lan, "link", "del", "in")
        sh("ip", "-n", lan, "link", "set", port, "master", "br0")

    def phase(self, name):
        if name == "cut":
            self.cut()
        kind, _, percent = name.partition(" ")
        return {"loss": lambda: self.loss(percent), "reorder": lambda: self.forwarder(20, 0),
                "duplicate": lambda: self.forwarder(3, 10)}.get(kind, contextlib.nullcontext)()


def streams(a, b, size):
    """One in each direction and family, all at once."""
    def one(sender, receiver, target, port):
        sent, came, _ = transfer(sender.host, receiver.host, target, size, port)
        assert sent == came, target

    ways = [(a, b, b.address, 5001), (a, b, b.link_local(), 5002),
            (b, a, a.address, 5003), (b, a, a.link_local(), 5004)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(one, *way) for way in ways]:
            done.result()


@pytest.mark.limit(1200 if FULL or SANITIZED else 180)
@pytest.mark.parametrize("offload_a, offload_b", RUNS)
def test_received_data_are_correct(network, offload_a, offload_b):
    hold(network, offload_a, offload_b)


@pytest.mark.limit(1200 if FULL or SANITIZED else 180)
@pytest.mark.parametrize("offload", ["csum,tso,uso,gso,gro", "none"])
def test_several_workers(network, offload):
    hold(network, offload, offload, workers=3)


def hold(network, offload_a, offload_b, **options):
    a, b = pair(network, offload_a, offload_b, **options)
    for client, wish in (a, offload_a), (b, offload_b):
        assert client.status()["offloads"]["used"] == [n for n in ALL if n in wish]
    underlay = Underlay(network, b)
    for name, percent in PHASES.items():
        with underlay.phase(name):
            size = int(MEGABYTES * 1e6 * percent / 100 / 4)
            begin = time.monotonic()
            streams(a, b, size)
            streamed = time.monotonic()
            found = [datagrams(a.host, b.host, b.address, 96), datagrams(b.host, a.host, a.link_local(), 96)]
            print(f"{name}: 4 times {size / 1e6:.1f} MB in {streamed - begin:.2f} s; datagrams {found}")
            for sent, came in found:
                # A fragmented datagram is lost with any of its fragments.
                least = {"loss 1": 0.9, "loss 5": 0.75}.get(name, 1)
                assert came >= least * sent, (sent, came)
    assert underlay.lost > 0
    for host in a.host, b.host:
        assert counter(host, "Tcp", "InCsumErrors") == counter(host, "Udp", "InCsumErrors") == 0
    for client in a, b:
        drops = client.status()["drops"]
        assert not drops.keys() & {"malformed", "bad_tag", "wrong_destination"}, drops
    assert b.drops("replayed") > 0 and a.drops("replayed") > 0, "what came twice was refused"
