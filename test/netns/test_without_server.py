# SPDX-License-Identifier: MIT
"""Without the server: members that know each other keep communicating, even after a restart, and agree when it returns.

     [server] ──┐
     [a] ───────┤
     [b] ───────┼── [lan]
     [c] ───────┘
"""

import shutil
import sqlite3
import time

import pytest
from lab import wait_until


@pytest.fixture
def alone(network):
    """a and b, which have stored each other, and the server's state of that time; the server is dead."""
    server = network.server()
    # IPv4 only: an interface that goes down loses its IPv6 addresses.
    a, b = (network.client(name, host=network.host(name, v6=False)) for name in "ab")
    a.wait_sees(b)
    assert a.ping(b) == 3
    time.sleep(6)  # a client's stored state may be 5 s old
    server.kill()
    for client in a, b:
        client.wait_status(lambda s: not s["server"]["connected"], "sees that the server is gone", 60)
    return server, a, b


def kept(client):
    return client.state / "client/network"


def test_a_restarted_client_continues_without_the_server(alone):
    server, a, b = alone
    a.kill()
    a.start()
    a.wait_status(lambda s: s["address"] == f"{a.address}/24", "has its address")
    # The first answer may be sealed in the session of a's earlier run.
    wait_until(lambda: a.ping(b, 1) == 1, "they talk", 2)
    assert a.ping(b) == 3
    assert not a.status()["server"]["connected"]
    a.wait_log("Until the server answers, its last list stays in use: 2 members")
    server.restart()
    for client in a, b:
        client.wait_joined(30)
    a.wait_sees(b)
    assert a.ping(b) == 3


def test_both_restarted_clients_find_each_other(alone):
    _, a, b = alone
    for client in a, b:
        client.kill()
    for client in a, b:
        client.start()
        client.wait_status(lambda s: s["address"], "has its address")
    assert a.ping(b) == 3


def test_a_client_starts_before_its_network(alone):
    _, a, b = alone
    a.kill()
    a.host.ip("link", "set", "eth0", "down")
    a.start()
    a.wait_status(lambda s: s["address"] == f"{a.address}/24", "has its address")
    assert "eps0" in a.host.ip("-o", "link", "show", "up")
    a.host.ip("link", "set", "eth0", "up")
    wait_until(lambda: a.ping(b, 1) == 1, "a reaches b", 20)


def test_an_unusable_file_is_set_aside(alone):
    server, a, _ = alone
    a.kill()
    kept(a).write_bytes(kept(a).read_bytes()[:-1])
    a.start()
    a.wait_log("The stored state of the network cannot be used: it is damaged. It was renamed to .*network.unusable")
    assert not a.status()["address"]
    assert kept(a).with_name("network.unusable").exists()
    server.restart()
    a.wait_joined(30)
    wait_until(kept(a).exists, "the network is kept again", 20)


def test_another_signing_key_is_refused(alone):
    """The network continues; the log says what to do, and that helps."""
    server, a, b = alone
    with sqlite3.connect(server.state / "server/server.db") as db:
        db.execute("UPDATE meta SET value = randomblob(32) WHERE name = 'identity.ed25519'")
    db.close()
    server.start().wait_ready()
    a.wait_log("the server signs its member list with a different key than when this computer joined")
    assert not a.status()["server"]["connected"]
    assert a.ping(b) == 3
    assert a.stop() == 0
    kept(a).unlink()
    a.restart()


def test_a_server_restored_from_a_backup_is_followed(network):
    server = network.server()
    a, b = network.clients("a", "b")
    assert server.stop() == 0
    backup = network.directory / "backup"
    shutil.copytree(server.state, backup)
    for _ in range(3):
        server.restart()
        assert server.stop() == 0
    server.restart()
    # Epochs are seconds, and four starts in one second run ahead of the clock.
    wait_until(lambda: time.time() // 1 > server.status()["list_version"] >> 20, "the clock has passed the epoch")
    c = network.client("c")
    a.wait_joined(30)
    a.wait_sees(c)
    server.kill()
    shutil.rmtree(server.state)
    shutil.copytree(backup, server.state)
    server.restart()
    a.wait_joined(30)
    c.wait_joined(30)
    a.wait_sees(b, c, timeout=30)
    b.wait_sees(a, c, timeout=30)
    assert a.ping(b) == 3
    # c is a new member with another address now, of which a may hear a moment later than its kernel asked for it.
    wait_until(lambda: a.ping(c, 1) == 1, "a reaches c", 10)


def test_a_removed_member_does_not_keep_the_network(network):
    server = network.server()
    a, _ = network.clients("a", "b")
    wait_until(kept(a).exists, "the network is kept")
    server.eps("members", "remove", "a")
    assert a.failed()[0] == 1
    assert not kept(a).exists()


def test_a_recreated_server_is_another_one(network):
    """Its state was lost, and with it the key: its old clients report that and continue with each other."""
    server = network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    server.stop()
    shutil.rmtree(server.state)
    server.conf.unlink()
    server.start().wait_ready()
    a.wait_log(r"No connection to the server: .*hung up without proving that it is the server of this network key")
    text = a.eps("doctor", check=False)
    assert "Not connected" in text and ".." not in text.replace("...", "")
    wait_until(lambda: a.status()["observed_endpoint"] is None, "its UDP is gone, too: asked every 20 s", 40)
    assert "does not answer on UDP" not in a.log(), "there is no TCP connection to relay by"
    assert a.ping(b) == 3
