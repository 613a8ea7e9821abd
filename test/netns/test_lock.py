# SPDX-License-Identifier: MIT
"""The network lock: a network whose members a signer names, and not its server.

     [server] ──┐
     [a] ───────┤   a is the computer of the administrator who signs
     [b] ───────┼── [lan]
     [c] ───────┘
"""

import contextlib
import json
import re
import sqlite3
import stat
import subprocess
import time

from eps import BIN
from lab import wait_until


def lock_up(network, server, a):
    """The id, and a secret."""
    key = network.directory / "lock.key"
    done = json.loads(a.eps("--json", "--lock-key", key, "lock", "init"))
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert a.status()["lock"] is None
    server.eps("lock", "accept", done["id"])
    a.wait_status(lambda s: s["lock"] and s["lock"]["on"] and not s["lock"]["waits"], "knows the lock")
    return done, ("--lock-key", key)


def test_the_life_of_a_lock(network):
    server = network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    done, key = lock_up(network, server, a)
    b.wait_status(lambda s: s["lock"] and s["lock"]["on"], "knows the lock")
    assert a.ping(b) == 3
    assert "on, " + done["id"] + ", 1 signer" in b.eps("status")

    c = network.client("c", join=False)
    c.wait_status(lambda s: s["lock"] and s["lock"]["waits"], "waits")
    assert re.search(r"^c .* not signed$", server.eps("members"), re.M) and not server.members()["c"]["signed"]
    assert "eps lock sign c" in " ".join(c.status()["troubles"])
    doctor = c.eps("doctor")  # waiting is no problem, and an interface that is not up yet is none
    assert "eps lock sign c" in doctor and "is down" not in doctor
    assert " when it is signed, on eps0" in c.eps("status")
    assert not re.search(r"inet \d", c.host.ip("-4", "addr", "show", "dev", "eps0")), "the interface is not up"
    a.wait_status(lambda s: any(p["name"] == "c" and p["refused"] for p in s["peers"]), "refuses c")
    assert "No signer of the network lock has signed it yet" in a.eps("why", "c")
    assert "c " in a.eps(*key, "lock", "sign")
    assert c.status()["public_key"] in a.eps(*key, "lock", "sign", "c")
    c.wait_status(lambda s: not s["lock"]["waits"], "is signed")
    c.wait_joined()
    wait_until(lambda: c.ping(a, 1) == 1 and c.ping(b, 1) == 1, "c is a member", 10)
    assert "All members are signed" in a.eps(*key, "lock", "sign")

    # Another administrator, who removes the first.
    other = ("--lock-key", network.directory / "other.key")
    signer = b.eps(*other, "lock", "key").strip()
    a.eps(*key, "lock", "add", signer)
    b.wait_status(lambda s: len(s["lock"]["signers"]) == 2, "two signers")
    b.eps(*other, "lock", "sign", "--all", "--again")
    b.eps(*other, "lock", "remove", done["signer"])
    a.wait_status(lambda s: s["lock"]["signers"] == [signer], "one signer")
    assert a.ping(c) == 3

    # What an administrator of the server allows counts when it is signed; both of them are told.
    assert "eps lock sign c" in server.eps("members", "allow", "c", "10.6.0.0/24")
    assert re.search(r"^c .* allowed, not signed$", server.eps("members"), re.M)
    assert "eps lock sign c" in server.eps("doctor", check=False)
    assert not server.members()["c"]["allowed_signed"] and server.members()["b"]["allowed_signed"]
    b.eps(*other, "lock", "sign", "c")
    wait_until(lambda: server.members()["c"]["allowed_signed"], "what c is allowed is signed")
    assert "STATE" not in server.eps("members") and "lock sign" not in server.eps("doctor")

    server.eps("members", "remove", "c")
    a.wait_status(lambda s: len(s["peers"]) == 1, "c is gone")
    b.eps("lock", "disable", done["secrets"][1])
    a.wait_status(lambda s: not s["lock"]["on"], "the lock has ended")
    assert a.ping(b) == 3
    acts = [e["act"] for e in json.loads(server.eps("--json", "audit"))]
    assert [act for act in acts if act.startswith("lock")] == ["lock on", "lock sign", "lock signer", "lock sign",
                                                               "lock signer", "lock sign", "lock off"]


def back_up(server):
    """Content of the database of a running server."""
    copy = server.directory / "backup.db"
    with contextlib.closing(sqlite3.connect(server.state / "server/server.db")) as db, \
            contextlib.closing(sqlite3.connect(copy)) as target:
        db.backup(target)
    return copy.read_bytes()


def restore(server, backup):
    database = server.state / "server/server.db"
    server.stop()
    stopped = int(time.time())
    for file in database.parent.glob("server.db-*"):
        file.unlink()
    database.write_bytes(backup)
    # Versions of the list begin with the second in which the server started, or with a later one after a quick restart.
    wait_until(lambda: int(time.time()) > stopped + 1, "a later second", 5)
    server.restart()


def test_a_restored_server_does_not_bring_a_removed_member_back(network):
    server = network.server()
    a, stolen, b = network.clients("a", "stolen", "b")
    _, key = lock_up(network, server, a)
    backup = back_up(server)
    server.eps("members", "remove", "stolen")
    c = network.client("c", join=False)
    c.wait_status(lambda s: s["lock"] and s["lock"]["waits"], "waits")
    a.wait_status(lambda s: [p["name"] for p in s["peers"]] == ["b", "c"], "knows who is a member")
    restore(server, backup)
    c.wait_status(lambda s: s["server"]["connected"] and s["lock"]["waits"], "has joined again")
    a.wait_status(lambda s: {p["name"] for p in s["peers"] if p["refused"]} == {"stolen", "c"}, "refuses both")
    command = f"{BIN}/eps --socket {a.socket} --lock-key {key[1]} lock sign --all 2>&1"
    said = a.host.run("sh", "-c", command, check=False)
    assert "stolen, member 2, is not signed: it was removed" in said and re.search(r"^c .* is signed", said, re.M)
    c.wait_status(lambda s: not s["lock"]["waits"], "is signed")
    assert a.host.ping(stolen.address, 1) == 0 and a.ping(b) == 3
    assert "is signed" in a.eps(*key, "lock", "sign", "stolen"), "by its name, an administrator can"
    a.wait_status(lambda s: not any(p["refused"] for p in s["peers"]), "refuses nobody")


def test_a_server_restored_from_before_the_lock_gets_it_back(network):
    server = network.server()
    a, b = network.clients("a", "b")
    backup = back_up(server)
    done, key = lock_up(network, server, a)
    b.wait_status(lambda s: s["lock"] and s["lock"]["on"], "knows the lock")

    restore(server, backup)
    for client in a, b:
        client.wait_status(lambda s: s["lock"]["waits"] and s["peers"] and s["peers"][0]["refused"], "nobody is signed")
    said = a.host.run("sh", "-c", f"{BIN}/eps --socket {a.socket} --lock-key {key[1]} lock sign --all 2>&1")
    assert f"eps lock accept {done['id']}" in said and "restoration" in said
    server.eps("lock", "accept", done["id"])
    for client in a, b:
        client.wait_status(lambda s: not s["lock"]["waits"], "is signed")
    wait_until(lambda: a.ping(b, 1) == 1, "a reaches b", 10)
    assert "All members are signed" in a.eps(*key, "lock", "sign")
    a.eps("lock", "disable", done["secrets"][0])
    b.wait_status(lambda s: not s["lock"] or not s["lock"]["on"], "the lock has ended")


def test_a_given_name_waits_for_a_signature(network):
    server = network.server()
    a, b = network.clients("a", "b")
    _, key = lock_up(network, server, a)
    assert a.ping(b) == 3
    assert "eps lock sign camera" in server.eps("members", "rename", "b", "camera")
    a.wait_status(lambda s: any(p["name"] == "camera" and p["refused"] for p in s["peers"]), "refuses the name")
    a.eps(*key, "lock", "sign", "camera")
    wait_until(lambda: a.ping(b, 1) == 1, "it is signed", 10)
    assert b.status()["name"] == "camera"


def test_a_server_that_was_taken_over_cannot_change_who_is_a_member(network):
    server = network.server()
    a, b = network.clients("a", "b")
    done, _ = lock_up(network, server, a)
    b.wait_status(lambda s: s["lock"] and s["lock"]["on"], "knows the lock")
    intruder = network.client("intruder", join=False)
    intruder.wait_status(lambda s: s["lock"] and s["lock"]["waits"], "waits")
    # The lock is taken out of the server's database, and so are the signatures.
    for daemon in b, server:
        assert daemon.stop() == 0
    with contextlib.closing(sqlite3.connect(server.state / "server/server.db")) as db, db:
        db.execute("DELETE FROM meta WHERE name LIKE 'lock.%'")
    server.restart()
    a.wait_status(lambda s: s["server"]["connected"] and s["lock"]["waits"] and all(p["refused"] for p in s["peers"]),
                  "takes nobody for a member")
    assert a.host.ping(server.members()["intruder"]["address"], 2) == 0
    # Nor a new computer whose key names the lock.
    pinned = subprocess.run([BIN / "eps", "--socket", a.socket, "lock", "pin"], input=server.key(),
                            stdout=subprocess.PIPE, text=True, timeout=10, check=True).stdout.strip()
    late = network.client("late", key=pinned, join=False)
    late.wait_status(lambda s: s["server"]["connected"] and s["lock"] and s["lock"]["waits"], "waits")
    assert late.status()["lock"]["id"] == done["id"] and all(p["refused"] for p in late.status()["peers"])
    # Nor after a restart, also of the kind that a server can bring about by telling a client that it was removed.
    assert a.stop() == 0
    (a.state / "client/network").unlink()
    a.start()
    status = a.wait_status(lambda s: s["server"]["connected"] and s["peers"], "is back")
    assert status["lock"]["id"] == done["id"] and status["lock"]["waits"]
    assert all(p["refused"] for p in status["peers"])
