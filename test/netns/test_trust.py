# SPDX-License-Identifier: MIT
"""A server whose state was altered: a client does not take another computer for a peer that it knows.

     [server] ──┐
     [a] ───────┤
     [b] ───────┼── [lan]
     [intruder] ┘
"""

import base64
import contextlib
import json
import sqlite3
import stat

from lab import wait_until


def test_a_known_peer_with_another_key_is_refused_until_it_is_trusted(network):
    server = network.server()
    a, b, intruder = network.clients("a", "b", "intruder")
    assert a.ping(b) == 3
    key = base64.b32decode(intruder.status()["public_key"].upper() + "====")
    for daemon in b, intruder, server:
        assert daemon.stop() == 0
    with contextlib.closing(sqlite3.connect(server.state / "server/server.db")) as db, db:
        db.execute("DELETE FROM members WHERE name = 'intruder'")
        db.execute("UPDATE members SET key = ? WHERE name = 'b'", (key,))
    server.restart()
    intruder.options["name"] = "b"
    intruder.restart()
    assert intruder.address == b.address
    a.wait_log(r"b \(.*\) is refused\. Its key is \S+, but this computer knows member \d+ by the key")
    # Even after a restart.
    assert a.stop() == 0
    kept = a.state / "client/known"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    a.restart()
    assert a.peers()["b"]["refused"] and a.peers()["b"]["path"] == "none"
    assert a.ping(intruder, 2) == 0 and intruder.ping(a, 2) == 0
    assert "refused" in a.eps("peers") and "1 refused" in a.eps("status")
    assert "b (" + b.address + ") is refused.\nIts key is" in a.eps("why", "b")
    assert "problem  b is refused. Its key is" in a.eps("doctor", check=False)
    assert "is the one of b from now on" in a.eps("trust", "b")
    wait_until(lambda: a.ping(intruder, 1) == 1, "a takes b as it is now", 10)
    assert not a.peers()["b"]["refused"]
    assert "has the key that this computer knows" in a.eps("trust", "b")


def test_the_audit_record_survives_the_server(network):
    server = network.server()
    for name in "ab":
        network.client(name)
    server.eps("members", "allow", "a", "bridge")
    server.eps("keys", "create", "--name", "phone")
    server.eps("members", "remove", "b")
    server.eps("reload", "--conf", server.conf)
    server.kill()
    server.restart()
    record = json.loads(server.eps("--json", "audit"))
    assert [e["act"] for e in record] == ["start", "join", "join", "allow", "key create", "remove", "reload", "start"]
    assert all(e["who"].startswith("root") for e in record if e["kind"] == "administrator")
    assert record[1]["what"].startswith("a (") and record[1]["who"] == network.hosts["a"].address
    text = server.eps("audit", "--since", "1h")
    assert "b (" in text and "eps1-" not in text
    assert json.loads(server.eps("--json", "audit", "--since", "2100-01-01")) == []
