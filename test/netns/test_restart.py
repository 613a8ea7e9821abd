# SPDX-License-Identifier: MIT
"""Daemons end, are killed and come back; everything else continues.

     [server] ──┐
     [a] ───────┤
     [b] ───────┼── [lan]
     [c] ───────┘
"""

import signal
import time

import pytest
from lab import Pauses, Pinger, wait_until
from wire import transfer


def addresses(*clients):
    return [(c.wait_joined(30).address, c.mac) for c in clients]


def test_kill_the_server(network):
    server = network.server()
    a, b, c = clients = network.clients("a", "b", "c")
    before = addresses(*clients)
    assert b.ping(c) == 3
    b.wait_path(c, "direct")
    pinger = Pinger(b.host, c.address)
    server.kill()
    for client in clients:
        client.wait_status(lambda s: not s["server"]["connected"], "sees that the server is gone", 60)
    assert a.ping(b, 10) == 10, "a session that did not exist yet, from what both know"
    server.restart()
    assert addresses(*clients) == before
    time.sleep(1)  # even if the rest was quick
    sent, received = pinger.stop()
    assert sent > 10 and sent == received, "direct traffic goes on"
    assert {m["name"] for m in server.status()["members"] if m["online"]} == {"a", "b", "c"}


def test_kill_a_client(network):
    server = network.server()
    a, b, c = clients = network.clients("a", "b", "c")
    before = addresses(*clients)
    assert b.ping(c) == 3 and a.ping(b) == 3
    b.wait_path(c, "direct")
    pinger = Pinger(b.host, c.address)
    for _ in range(3):
        a.kill()
        a.restart()
        wait_until(lambda: b.ping(a, 1) == 1, "b reaches a again", 10)
    assert addresses(*clients) == before
    time.sleep(1)  # even if the rest was quick
    sent, received = pinger.stop()
    assert sent > 10 and sent == received, "direct traffic goes on"
    assert len(server.members()) == 3


def test_stream_continues_while_others_die(network):
    server = network.server()
    a, b, c = network.clients("a", "b", "c")
    assert b.ping(c) == 3
    b.wait_path(c, "direct")
    listener = c.host.socket()
    listener.bind((c.address, 5001))
    listener.listen()
    sender = b.host.socket()
    sender.connect((c.address, 5001))
    receiver, _ = listener.accept()
    receiver.settimeout(5)
    exchanges, pauses = [], Pauses()

    def exchange(seconds):
        end = time.monotonic() + seconds
        while (begin := time.monotonic()) < end:
            sender.sendall(b"x" * 1000)
            got = 0
            while got < 1000:
                got += len(receiver.recv(1000 - got))
            exchanges.append((begin, time.monotonic()))
            time.sleep(0.01)

    exchange(0.5)
    a.kill()
    exchange(1)
    server.kill()
    exchange(2)
    server.start()
    exchange(2)
    a.start()
    exchange(1)
    pauses.stop()
    worst = max(end - begin - pauses.within(begin, end) for begin, end in exchanges)
    print(f"longest pause {worst:.3f} s")
    assert worst < 1.0
    assert a.wait_joined(30)


def test_server_restarts_in_an_orderly_way(network):
    server = network.server()
    a, b = clients = network.clients("a", "b")
    before, key = addresses(*clients), server.key()
    for _ in range(2):
        assert server.stop() == 0
        server.restart()
    assert server.key() == key
    assert addresses(*clients) == before
    assert a.ping(b) == 3
    c = network.client("c")
    assert c.address not in [address for address, _ in before]


def test_everything_restarts(network):
    server = network.server()
    a, b = clients = network.clients("a", "b")
    before = addresses(*clients)
    for daemon in a, b, server:
        daemon.kill()
    for daemon in server, a, b:
        daemon.start()
    assert addresses(*clients) == before
    a.wait_sees(b, timeout=30)
    wait_until(lambda: a.ping(b, 1) == 1, "a reaches b", 10)


def test_killed_right_after_joining(network):
    """An acknowledged join is durable."""
    server = network.server()
    for n in range(5):
        client = network.client(f"m{n}")
        server.kill()
        server.restart()
        assert server.members()[client.name]["address"] == client.address


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_end_leaves_nothing_behind(network, number):
    server = network.server()
    a = network.client("a")
    links, routes = a.host.ip("-o", "link"), a.host.ip("route")
    assert "eps0" in links and "eps0" in routes
    assert a.stop(number) == 0 and server.stop(number) == 0
    assert "eps0" not in a.host.ip("-o", "link") and "192.168.43" not in a.host.ip("route")
    assert not a.socket.exists() and not server.socket.exists()
    left = server.host.run("ss", "-Hlntu")
    assert ":43439" not in left


def test_a_crash_does_not_stop_the_next_start(network):
    server = network.server()
    a = network.client("a")
    a.kill()
    server.kill()
    assert a.socket.exists() and server.socket.exists(), "a crash leaves the sockets' files"
    server.restart()
    a.restart()
    assert "eps0" in a.host.ip("-o", "link")


def test_a_member_that_left_is_seen_as_offline(network):
    network.server()
    a, b = network.clients("a", "b")
    b.stop()
    a.wait_status(lambda s: [p["online"] for p in s["peers"]] == [False], "sees b offline", 5)
    b.restart()
    a.wait_sees(b)
    wait_until(lambda: a.ping(b, 1) == 1, "a reaches b", 10)


def test_a_client_moves_to_another_address(network):
    """The underlay address of a changes while it runs, without any restart."""
    network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    a.host.ip("addr", "del", f"{a.host.v4}/24", "dev", "eth0")
    a.host.ip("addr", "add", "10.77.0.200/24", "dev", "eth0")
    a.host.ip("-6", "addr", "flush", "dev", "eth0", "scope", "global")
    wait_until(lambda: b.ping(a, 1) == 1, "b reaches a", 60)
    a.wait_status(lambda s: s["server"]["connected"], "is connected again", 60)


def test_stream_right_after_each_restart(network):
    """On either side, while the other still has the old session and the old endpoint."""
    network.server()
    a, b = network.clients("a", "b")
    for client in a, b:
        client.kill()
        client.restart()
        client.wait_sees(b if client is a else a)
        sent, came, _ = transfer(a.host, b.host, b.address, 3_000_000)
        assert sent == came


def test_a_client_that_slept_reconnects_at_once(network):
    """Stopped rather than suspended, which delays its timers just the same; for longer than the server waits for it."""
    network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    a.process.send(signal.SIGSTOP)
    b.wait_status(lambda s: not s["peers"][0]["online"], "misses a", 60)
    a.process.send(signal.SIGCONT)
    woke = time.monotonic()
    a.wait_log(r"This computer slept, or this program stood still, for \d+ seconds")
    b.wait_sees(a)
    print(f"online again after {time.monotonic() - woke:.1f} s")
    assert a.ping(b) == 3


def test_network_is_gone_for_a_while(network):
    """The switch loses its link to a: both sides find each other again."""
    network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    from lab import sh
    sh("ip", "-n", network.switch, "link", "set", a.host.port, "down")
    assert a.ping(b, 2) == 0
    time.sleep(2)
    sh("ip", "-n", network.switch, "link", "set", a.host.port, "up")
    wait_until(lambda: a.ping(b, 1) == 1, "a reaches b", 30)
