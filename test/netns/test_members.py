# SPDX-License-Identifier: MIT
"""Who is a member, and how members are removed.

     [server] ──┐
     [a] ───────┤
     [b] ───────┼── [lan]
     [c] ───────┘
"""

import itertools
import json
import re

from lab import wait_until


def test_removed_member_is_disconnected_at_once(network):
    server = network.server()
    a, b, c = network.clients("a", "b", "c")
    assert a.ping(b) == 3 and c.ping(b) == 3
    a.wait_path(b, "direct")
    assert "b" in server.eps("members", "remove", "b")
    for client in a, c:
        client.wait_status(lambda s: "b" not in [p["name"] for p in s["peers"]], "has no peer b any more", 3)
    assert "b" not in server.members()
    assert a.ping(b, 3) == 0
    assert a.ping(c) == 3
    wait_until(lambda: re.search(r"(?i)removed from the network", b.log() + b.process.output()), "b is told why", 10)


def test_key_of_a_removed_member_is_refused(network):
    server = network.server()
    a, b = network.clients("a", "b")
    server.eps("members", "remove", "b")
    if b.process.running():
        b.stop()
    for restart_server in False, True:
        if restart_server:
            server.stop()
            server.restart()
        b.start()
        wait_until(lambda before=restart_server: b.log().count("removed from the network") > before, "b is refused", 10)
        assert b.failed()[0] == 1
        assert "b" not in server.members()
    assert a.process.running()


def test_address_of_a_removed_member_is_free_again(network):
    server = network.server(sequential=True)
    a, b = network.client("a"), network.client("b")
    server.eps("members", "remove", "a")
    c = network.client("c")
    assert c.address == a.address and b.address != c.address
    c.wait_sees(b)
    wait_until(lambda: b.ping(c, 1) == 1, "b reaches the new owner of the address", 10)


def test_removed_computer_may_return_as_a_new_member(network):
    """With a fresh state directory, as the sentence says."""
    server = network.server()
    network.clients("a", "b")
    server.eps("members", "remove", "b")
    again = network.client("b", host=network.hosts["b"], device="eps1")
    assert server.members()["b"]["address"] == again.address


def test_member_that_is_offline_can_be_removed(network):
    server = network.server()
    a, b = network.clients("a", "b")
    b.stop()
    server.eps("members", "remove", "b")
    a.wait_status(lambda s: not s["peers"], "has no peers", 3)


def test_a_given_name_is_known_everywhere_and_stays(network):
    server = network.server()
    a, b, c = network.clients("a", "b", "c")
    assert a.ping(b) == 3
    assert "b is called camera from now on" in server.eps("members", "rename", "b", "camera")
    for client in a, c:
        client.wait_status(lambda s: "camera" in [p["name"] for p in s["peers"]], "knows the name", 3)
        assert "b" not in client.peers()
    b.wait_status(lambda s: s["name"] == "camera", "knows its own name", 3)
    assert a.ping(b) == 3
    try:
        server.eps("members", "rename", "camera", "c")
        raise AssertionError("accepted")
    except RuntimeError as error:
        assert "The name c is that of another member, c (" in str(error)
    # Nobody is surprised, and neither end forgets it.
    for client in a, c:
        assert "refused" not in client.log() and "taken the name" not in client.log()
        wait_until(lambda c=client: "name:camera" in (c.state / "client/known").read_text(), "remembers the name")
    server.kill()
    assert b.stop() == 0
    server.restart()
    b.restart()
    assert b.status()["name"] == "camera" and "camera" in server.members()
    assert [e["what"] for e in json.loads(server.eps("--json", "audit")) if e["act"] == "rename"] == [
        f"b ({b.address}) is called camera now"]


def test_unknown_member(network):
    server = network.server()
    try:
        server.eps("members", "remove", "nobody")
        raise AssertionError("accepted")
    except RuntimeError as error:
        assert "nobody" in str(error)


def test_many_members(network):
    """Twelve on one switch: each hears of every other."""
    server = network.server()
    clients = network.clients(*(f"m{n}" for n in range(12)))
    assert len({c.address for c in clients}) == 12 and len({c.mac for c in clients}) == 12
    for one, other in itertools.pairwise(clients):
        assert one.ping(other, 2) == 2
    assert len(server.members()) == 12


def test_the_server_tells_who_waits_to_be_approved(network):
    server = network.server()
    guest = network.client("guest", key=server.eps("keys", "create", "--approve").strip(), join=False)
    wait_until(lambda: "guest waits to be approved; see eps members pending" in server.eps("members"), "guest waits")
    assert "warning  guest waits to be approved." in server.eps("doctor")
    server.eps("members", "approve", "guest")
    guest.wait_joined(60)
    assert "approved" not in server.eps("members") + server.eps("doctor")
