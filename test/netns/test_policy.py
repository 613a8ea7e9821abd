# SPDX-License-Identifier: MIT
"""The network's policy: who may open which connection to whom, enforced at both ends.

     [server] ──┐
     [hub] ─────┤
     [camera] ──┼── [lan]
     [lamp] ────┤
     [guest] ───┘
"""

import contextlib
import json
import socket
import subprocess

import pytest
from eps import BIN
from lab import wait_until

POLICY = """
group iot
group guests
allow group:iot to hub             # devices reach the hub alone
allow hub to all
allow group:guests to hub tcp 443  # guests reach one port
"""


def set_policy(network, server, text, *clients):
    path = network.directory / "policy"
    path.write_text(text)
    rules = json.loads(server.eps("--json", "policy", "check", path))["rules"]
    server.eps("policy", "set", path)
    for client in clients:
        client.wait_status(lambda s: s["policy"] and s["policy"]["rules"] == rules, "has the policy")


@contextlib.contextmanager
def listening(client, port, kind=socket.SOCK_STREAM):
    with client.host.socket(kind=kind) as s:
        s.bind((client.address, port))
        if kind == socket.SOCK_STREAM:
            s.listen()
        s.settimeout(10)
        yield s


def connects(client, other, port, within=5):
    with client.host.socket() as s:
        s.settimeout(within)
        try:
            s.connect((other.address, port))
            return True
        except OSError:
            return False


def test_devices_see_the_hub_alone_and_guests_reach_one_port(network):
    server = network.server()
    hub, camera, lamp, guest = network.clients("hub", "camera", "lamp", "guest")
    for device in "camera", "lamp":
        server.eps("members", "group", device, "iot")
    server.eps("members", "group", "guest", "guests")
    assert camera.ping(lamp) == 3
    set_policy(network, server, POLICY, hub, camera, lamp, guest)

    assert camera.ping(hub, 2) == 2 and hub.ping(camera, 2) == 2
    assert camera.ping(lamp, 2) == 0 and guest.ping(hub, 2) == 0 and guest.ping(camera, 1) == 0
    with listening(hub, 443), listening(hub, 80), listening(camera, 80), listening(guest, 80):
        assert connects(guest, hub, 443) and connects(camera, hub, 80) and connects(hub, guest, 80)
        assert not connects(guest, hub, 80, 1) and not connects(guest, camera, 80, 1)

    # By name of the rule, in every report.
    assert "no rule allows it" in camera.eps("why", "lamp")
    camera.wait_log(r"drops frames from camera to lamp \(no rule allows it\)")
    assert "no rule allows it" in camera.eps("policy", "show")
    camera.wait_status(lambda s: s["drops"].get("policy", 0) > 0, "counts")
    assert "allowed (line 4: allow group:iot to hub)" in camera.eps("policy", "test", "camera", "hub", "tcp", "80")
    assert "dropped (no rule allows it)" in guest.eps("policy", "test", "guest", "hub", "tcp", "80", check=False)
    assert "allowed (line 4" in camera.eps("policy", "test", "Camera", hub.address, "tcp", "80")
    done = subprocess.run([BIN / "eps", "--socket", hub.socket, "policy", "test", "camra", "hub"], capture_output=True,
                          text=True, timeout=10)
    assert done.stderr == 'eps: there is no member "camra"; the members are camera, guest, hub, lamp\n'
    ping = camera.eps("ping", "lamp", "--count", "1", check=False)
    assert "1 sent, 0 answered" in ping and "no rule allows it" in ping and "eps why lamp" in ping


def test_the_receiver_enforces_what_the_sender_does_not_know(network):
    server = network.server()
    hub, guest = network.clients("hub", "guest")
    assert guest.ping(hub) == 3
    guest.wait_path(hub, "direct")
    server.host.drop(f"ip daddr {guest.host.v4}")
    server.host.drop(f"ip6 daddr {guest.host.v6}")
    set_policy(network, server, "deny guest to hub tcp 80\nallow all to all\n", hub)
    with listening(hub, 80), listening(hub, 81):
        assert connects(guest, hub, 81) and not connects(guest, hub, 80, 1)
    assert guest.status()["policy"] is None
    hub.wait_status(lambda s: s["drops"].get("policy", 0) > 0, "counts")
    assert "drops frames from guest to hub (line 1: deny guest to hub tcp 80)" in hub.eps("why", "guest")


def test_a_flow_lives_through_a_change_of_the_policy_and_dies_with_its_rule(network):
    server = network.server()
    hub, camera = network.clients("hub", "camera")
    set_policy(network, server, "allow camera to hub tcp 443\n", hub, camera)
    with listening(hub, 443) as door, camera.host.socket() as flow:
        flow.settimeout(5)
        flow.connect((hub.address, 443))
        end, _ = door.accept()
        with end:
            end.settimeout(5)
            for rules in 2, 3:
                set_policy(network, server, "allow camera to hub tcp 443\n" + "deny all to all udp\n" * (rules - 1),
                           hub, camera)
                end.send(b"answer")  # the side that may open nothing goes on
                assert flow.recv(16) == b"answer"
            set_policy(network, server, "deny all to all udp\n" * 4, hub, camera)
            end.send(b"late")
            flow.settimeout(1)
            with pytest.raises(TimeoutError):
                flow.recv(16)


def test_udp_is_answered_and_its_errors_arrive(network):
    server = network.server()
    hub, camera = network.clients("hub", "camera")
    set_policy(network, server, "allow camera to hub udp\n", hub, camera)
    with listening(hub, 53, socket.SOCK_DGRAM) as service, camera.host.socket(kind=socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect((hub.address, 53))
        s.send(b"?" * 4000)  # in fragments
        asked, at = service.recvfrom(5000)
        assert len(asked) == 4000
        service.sendto(b"!" * 4000, at)
        assert len(s.recv(5000)) == 4000
    with camera.host.socket(kind=socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect((hub.address, 54))
        s.send(b"?")
        with pytest.raises(ConnectionRefusedError):
            s.recv(16)


def test_a_client_keeps_the_policy_without_its_server(network):
    server = network.server()
    hub, camera = network.clients("hub", "camera")
    set_policy(network, server, "allow hub to camera\n", hub, camera)
    assert server.stop() == 0
    assert camera.stop() == 0
    camera.start()
    camera.wait_status(lambda s: s["policy"] and s["policy"]["rules"] == 1, "remembers it")
    wait_until(lambda: hub.ping(camera, 1) == 1, "the hub may", 10)
    assert camera.ping(hub, 1) == 0


def test_the_name_of_a_computer_in_the_policy_is_given_to_its_successor(network):
    server = network.server()
    hub, camera, lamp = network.clients("hub", "camera", "lamp")
    set_policy(network, server, "allow camera to hub\nallow lamp to hub\n", hub, camera, lamp)
    assert camera.ping(hub, 2) == 2 and camera.ping(lamp, 1) == 0
    server.eps("members", "remove", "hub")
    again = network.client("hub", host=network.hosts["hub"], device="eps1")
    assert again.status()["name"] == "hub-2", "nobody takes a name that the policy has"
    assert camera.ping(again, 1) == 0
    assert "rules for this name apply to this member now" in server.eps("members", "rename", "hub-2", "hub")
    wait_until(lambda: camera.ping(again, 1) == 1 and lamp.ping(again, 1) == 1, "the rules are for it", 10)
    camera.wait_log("hub .* has taken the name of a member that is no more")
    assert camera.ping(lamp, 1) == 0


def test_a_join_key_puts_its_members_into_groups(network):
    server = network.server()
    key = server.eps("keys", "create", "--groups", "guests,iot").strip()
    guest = network.client("guest", key=key)
    groups = json.loads(guest.eps("--json", "policy", "show"))["members"]["guest"]["groups"]
    assert groups == ["guests", "iot"]
    server.stop()
    server.restart()
    assert json.loads(server.eps("--json", "keys", "list"))[-1]["groups"] == ["guests", "iot"]
    assert json.loads(server.eps("--json", "policy", "show"))["members"]["guest"]["groups"] == ["guests", "iot"]


def test_a_server_that_was_taken_over_cannot_widen_a_locked_policy(network):
    server = network.server()
    a, b = network.clients("a", "b")
    set_policy(network, server, "deny all to a udp\nallow b to a icmp\n", a, b)
    key = ("--lock-key", network.directory / "lock.key")
    done = json.loads(a.eps("--json", *key, "lock", "init"))
    server.eps("lock", "accept", done["id"])
    for client in a, b:
        client.wait_status(lambda s: s["lock"] and s["lock"]["on"] and not s["lock"]["waits"], "knows the lock")
    path = network.directory / "policy"
    path.write_text("allow all to all\n")
    assert "eps lock sign --policy" in server.eps("policy", "set", path)
    a.wait_status(lambda s: any("not signed" in t for t in s["troubles"]), "refuses the new policy")
    assert a.status()["policy"]["rules"] == 2
    assert "eps lock sign --policy" in server.eps("doctor", check=False)
    server.eps("policy", "clear")
    assert a.stop() == 0
    a.restart()
    a.wait_status(lambda s: s["policy"] and s["policy"]["rules"] == 2, "remembers the policy")
    wait_until(lambda: b.ping(a, 1) == 1, "b may", 10)
    assert a.ping(b, 1) == 0
    server.eps("policy", "set", path)
    a.wait_status(lambda s: s["server"]["connected"], "is connected")
    wait_until(lambda: "allow all to all" in a.eps(*key, "lock", "sign", "--policy", check=False), "signs it", 5)
    for client in a, b:
        client.wait_status(lambda s: s["policy"]["rules"] == 1, "takes it")
    assert "lock sign --policy" not in server.eps("doctor", check=False)
    wait_until(lambda: a.ping(b, 1) == 1, "everything is allowed", 10)
