# SPDX-License-Identifier: MIT
"""Changes of the underlay end no TCP stream inside the tunnel; how long is it interrupted?

    [server] ──────────── internet ──┬── [ra] ── [a]       a: changes its address, LAN, interface, router restarts ...
                                     ├── [rb] ── [b]       b: stays where it is
                                     └── [rc]              another LAN for a

Two streams run, one each way, and a ping every 20 ms. It prints the longest time in which a stream got nothing, which
TCP's own timers extend, and the longest interruption of the pings.
"""

import itertools
import signal
import threading
import time

import pytest
from eps import PATIENCE
from lab import FIGURES, Echo, Pauses
from wire import Stream

HEAD = "| What happens | Interruption | Stall, a to b | Stall, b to a |"
STALL = 6 * PATIENCE  # maximum pause of a stream; far above the usual, for a busy machine


class Pings(threading.Thread):
    """From a host to an address every 20 ms, until stop()."""

    def __init__(self, host, address):
        super().__init__(daemon=True)
        self.echo, self.pauses, self.running = Echo(host, address), Pauses(), True
        self.start()

    def run(self):
        while self.running:
            self.echo.send()
            time.sleep(0.02)
            self.echo.collect()

    def stop(self):
        """The longest time without an answer, minus pauses of the computer."""
        time.sleep(0.3)
        self.running = False
        self.join()
        self.pauses.stop()
        came = sorted(self.echo.answered.values())
        return max(after - before - self.pauses.within(before, after) for before, after in itertools.pairwise(came))


class World:
    def __init__(self, lab, a=None, b=None, c=None, path="direct", home=False):
        """a, b, c: options of their routers. home: the server is in the LAN of a and b, and its ports are forwarded."""
        self.lab, self.server = lab, None if home else lab.server()
        self.ra, self.rb, self.rc = (lab.router(name, **(kind or {}))
                                     for name, kind in (("ra", a), ("rb", b), ("rc", c)))
        options = {}
        if home:
            host = self.ra.host("server")
            self.ra.forward("43439", host.v4)
            self.ra.run("nft", f"add rule inet router inwards iifname wan tcp dport 43439 dnat ip to {host.v4}")
            self.server, self.rb, options = lab.server(host), self.ra, {"server": f"{host.v4} {self.ra.v4}"}
        self.a, self.b = (lab.client(name, host=router.host(name), join=False, **options)
                          for name, router in (("a", self.ra), ("b", self.rb)))
        for client, other in (self.a, self.b), (self.b, self.a):
            client.wait_joined()
            client.wait_sees(other)
        assert self.a.ping(self.b) == 3
        for client, other in (self.a, self.b), (self.b, self.a):
            client.wait_path(other, path, 10)

    def during(self, what, change, seconds=5, outage=0.0, limit=1.0):
        """Runs `change` a second after the streams have started. It may take `outage` seconds, or more if busy, in
        which nothing can pass; `limit`: how much longer the pings may be interrupted than that."""
        streams = [Stream(x.host, y.host, y.address, seconds=seconds, port=5001 + n)
                   for n, (x, y) in enumerate([(self.a, self.b), (self.b, self.a)])]
        pings = Pings(self.a.host, self.b.address)
        time.sleep(1)
        begin = time.monotonic()
        change()
        outage = outage and max(outage, time.monotonic() - begin)
        stalls = [stream.end() for stream in streams]
        interruption = pings.stop()
        if HEAD not in FIGURES:
            FIGURES.extend([HEAD, "| --- | --- | --- | --- |"])
        FIGURES.append(f"| {what}{f', {outage:.1f} s' if outage else ''} | {interruption:.2f} s | {stalls[0]:.2f} s | "
                       f"{stalls[1]:.2f} s |")
        assert interruption < outage + limit * PATIENCE
        assert max(stalls) < outage + STALL


def test_another_address(lab):
    world = World(lab)
    world.during("another address", lambda: world.a.host.readdress(77))
    world.a.wait_path(world.b, "direct", 10)


def test_another_lan(lab):
    world = World(lab)
    world.during("another LAN, same interface", lambda: world.a.host.move(world.rc))
    world.a.wait_path(world.b, "direct", 10)


def test_another_lan_by_ipv6(lab):
    dual = {"nat": "random", "ipv6": True}
    world = World(lab, dual, dual, dual)
    world.during("another LAN, IPv6", lambda: world.a.host.move(world.rc))
    world.a.wait_path(world.b, "direct", 10)


def test_into_the_peers_lan_and_out_again(lab):
    world = World(lab)
    world.during("into the peer's LAN", lambda: world.a.host.move(world.rb, 20))
    world.a.wait_status(lambda s: s["peers"][0]["endpoint"].startswith(world.b.host.v4 + ":"), "is in the LAN", 10)
    world.during("out of the peer's LAN", lambda: world.a.host.move(world.rc))
    world.a.wait_path(world.b, "direct", 10)


def test_out_of_the_lan_of_the_server(lab):
    world = World(lab, home=True)
    world.during("out of the server's LAN", lambda: world.a.host.move(world.rc), seconds=3, limit=2.0)
    for client, other in (world.a, world.b), (world.b, world.a):
        client.wait_path(other, "direct", 10)


def test_only_tcp_passes_and_the_lan_changes(lab):
    closed = {"allow": "no-udp"}
    world = World(lab, a=closed, c=closed, path="relayed")
    world.during("another LAN, only TCP passes", lambda: world.a.host.move(world.rc), seconds=3, limit=2.0)


def test_moves_repeatedly(lab):
    world = World(lab)

    def change():
        for n in range(16):
            world.a.host.move([world.rc, world.ra][n % 2], 20 + n)
            time.sleep(1)
    world.during("16 moves, one a second", change, seconds=18)


def test_both_move(lab):
    world = World(lab)

    def change():
        world.a.host.move(world.rc)
        world.b.host.move(world.ra, 30)
    world.during("both move at once", change)
    world.a.wait_path(world.b, "direct", 10)


def test_another_interface(lab):
    """The new one appears before the old one disappears."""
    world = World(lab)

    def change():
        world.a.host.plug_also(world.rc, "wlan0")
        time.sleep(2)
        world.a.host.ip("link", "set", "eth0", "down")
    world.during("another interface", change)
    world.a.wait_path(world.b, "direct", 10)


def test_interface_fails(lab):
    """A second one, which existed all the time, takes over."""
    world = World(lab)
    world.a.host.plug_also(world.rc, "wlan0", metric=200)
    time.sleep(1)
    world.during("interface fails", lambda: world.a.host.ip("link", "set", "eth0", "down"))
    world.a.wait_path(world.b, "direct", 10)


def test_router_restarts(lab):
    world = World(lab)
    world.during("router restarts", lambda: world.ra.restart(1.0), outage=1.1)
    world.a.wait_path(world.b, "direct", 10)


def test_router_gets_another_address(lab):
    world = World(lab)
    time.sleep(2)  # the bind was just renewed, and is not renewed again for 3 s
    world.during("router gets another address", lambda: world.ra.renumber(200), limit=2.5)
    world.a.wait_path(world.b, "direct", 25)


@pytest.mark.parametrize("nat, path", [("cone", "direct"), ("preserving", "direct"), ("random", "relayed")])
def test_nat_rebinds(lab, nat, path):
    """The router of a, which assigns every flow another port, forgets them all."""
    world = World(lab, {"nat": "random"}, {"nat": nat}, path=path)
    time.sleep(2)  # as above
    world.during(f"hard NAT rebinds, peer behind a {nat} one", world.ra.flush_conntrack, limit=2.5)


@pytest.mark.parametrize("ways", ["a to b", "both ways"])
def test_direct_path_is_blocked(lab, ways):
    """The relay takes over; the direct path is found again when it can be."""
    world = World(lab)
    routers = [(world.rb, world.ra), (world.ra, world.rb)][:1 if ways == "a to b" else 2]

    def change():
        for router, other in routers:
            router.block_from(other.v4)
    world.during(f"direct path is blocked, {ways}", change, limit=2.5)
    world.a.wait_path(world.b, "relayed", 1)
    for router, _ in routers:
        router.block_from(None)
    pings = Pings(world.a.host, world.b.address)
    world.a.wait_path(world.b, "direct", 45)
    assert pings.stop() < 1


def test_server_dies_and_returns(lab):
    world = World(lab)

    def change():
        world.server.kill()
        time.sleep(4)
        world.server.restart()
    world.during("server dies and returns", change, seconds=8)
    for client in world.a, world.b:
        client.wait_status(lambda s: s["server"]["connected"], "is connected again", 30)


@pytest.mark.parametrize("relay", [False, True])
def test_another_lan_without_the_server(lab, relay):
    """A third member, on the internet, tells both where the other is, or relays."""
    world = World(lab)
    c = lab.client("c", relay=relay)
    for client in world.a, world.b:
        client.wait_sees(c)
        assert client.ping(c) == 3
        client.wait_path(c, "direct", 10)
    world.server.kill()
    world.during(f"another LAN, no server, {'a' if relay else 'no'} member relays",
                 lambda: world.a.host.move(world.rc), limit=2)
    world.a.wait_path(world.b, "direct", 10)


@pytest.mark.parametrize("server", [True, False])
def test_client_restarts(lab, server):
    """The kernel keeps the streams while their interface is away. Without a server it starts from its stored state."""
    world = World(lab)
    if not server:
        time.sleep(6)  # a client's stored state may be 5 s old
        world.server.kill()

    def change():
        world.a.kill()
        world.a.start()
    world.during(f"client restarts, {'a' if server else 'no'} server", change, limit=3)
    world.a.wait_path(world.b, "direct", 10)


def test_server_restarts_under_a_relayed_stream(lab):
    world = World(lab, {"nat": "random"}, {"nat": "random"}, path="relayed")

    def change():
        world.server.kill()
        world.server.restart()
    world.during("server restarts, relayed", change, limit=3.0)


def test_sleep(lab):
    world = World(lab)

    def change():
        world.a.process.send(signal.SIGSTOP)
        time.sleep(3)
        world.a.process.send(signal.SIGCONT)
    world.during("sleep", change, outage=3.0)
    world.a.wait_path(world.b, "direct", 10)
