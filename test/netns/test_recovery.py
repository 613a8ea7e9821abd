# SPDX-License-Identifier: MIT
"""Somebody had the server and signed a list whose version it never reaches; an administrator begins the list anew.

     [server] ──┐
     [a] ───────┤   a is connected all the time, b is away when the list begins anew
     [b] ───────┼── [lan]
     [late] ────┘
"""

import contextlib
import json
import shutil
import sqlite3
import time

from lab import wait_until

LAST_EPOCH = 0xffffffff


def doctor(server, epoch):
    """The server's next start counts from there."""
    with contextlib.closing(sqlite3.connect(server.state / "server/server.db")) as db, db:
        db.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", ((epoch - 1).to_bytes(8, "big"),))


def follows(server, *clients):
    for client in clients:
        client.wait_status(lambda s: s["server"]["connected"] and s["list_version"] == server.status()["list_version"],
                           "holds the server's list", 30)


def test_members_that_saw_the_greatest_version_follow_again(network):
    server = network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    assert server.stop() == 0
    doctor(server, LAST_EPOCH + 1)
    server.restart()
    follows(server, a, b)
    assert a.status()["list_version"] >> 20 >= LAST_EPOCH
    b.kill()

    assert "begins anew" in server.eps("recover")
    server.kill()  # what was said is durable
    server.restart()
    follows(server, a)
    assert server.status()["list_version"] >> 20 <= time.time() + 10
    a.wait_log("replaces the list .* that this computer held: an administrator of the server began the list anew")
    late = network.client("late")
    a.wait_sees(late)
    a.kill()
    b.start()
    a.start()
    follows(server, a, b)
    a.wait_sees(b, late, timeout=30)
    b.wait_sees(a, late, timeout=30)
    wait_until(lambda: b.ping(late, 1) == 1 and a.ping(b, 1) == 1, "they talk", 20)
    server.eps("members", "remove", "late")
    for client in a, b:
        client.wait_status(lambda s: all(p["name"] != "late" for p in s["peers"]), "hears of the removal")
    assert "recover" in [act["act"] for act in json.loads(server.eps("--json", "audit"))]


def test_a_restored_server_recovers_from_a_version_that_a_clock_could_have_given(network):
    server = network.server()
    a, b = network.clients("a", "b")
    assert server.stop() == 0
    backup = network.directory / "backup"
    shutil.copytree(server.state, backup)
    doctor(server, int(time.time()) + 12 * 3600)
    server.restart()
    follows(server, a, b)
    ahead = a.status()["list_version"]
    b.kill()
    assert server.stop() == 0
    shutil.rmtree(server.state)
    shutil.copytree(backup, server.state)
    server.restart()
    a.wait_log("is older than the list .* run there: eps recover")
    assert a.status()["list_version"] == ahead > server.status()["list_version"]
    late = network.client("late")
    assert "late" not in a.peers()

    server.eps("recover")
    follows(server, a, late)
    a.wait_sees(late, timeout=30)
    b.start()
    follows(server, b)
    b.wait_sees(late, timeout=30)
    # From its disk as well.
    assert server.stop() == 0
    b.kill()
    b.start()
    b.wait_status(lambda s: "late" in [p["name"] for p in s["peers"]], "knows the recovered list")
    assert b.status()["list_version"] < ahead


def test_a_list_of_2106_is_left_without_anybodys_help(network):
    server = network.server()
    a = network.client("a")
    assert server.stop() == 0
    backup = network.directory / "backup"
    shutil.copytree(server.state, backup)
    doctor(server, LAST_EPOCH + 1)
    server.restart()
    follows(server, a)
    assert server.stop() == 0
    shutil.rmtree(server.state)
    shutil.copytree(backup, server.state)
    server.restart()
    follows(server, a)
    a.wait_log("is ahead of this computer's clock")
