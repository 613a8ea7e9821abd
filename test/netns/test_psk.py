# SPDX-License-Identifier: MIT
"""Pre-shared keys of all members and of two, in their own files.

     [server] ──┐
     [a] ───────┤
     [b] ───────┼── [lan]
     [c] ───────┤
     [d] ───────┘
"""

import base64
import os
import re

from lab import wait_until


def new_key():
    return base64.b64encode(os.urandom(32)).decode()


def key_file(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines or [new_key()]))
    path.chmod(0o600)
    return path


def told(client, other, sentence):
    """At one end: in the log, in `eps why` and `eps doctor`."""
    client.wait_log(re.escape(f"No conduit with {other.name}: {sentence}"))
    client.wait_status(lambda s: any(p["name"] == other.name and p["unreachable"] for p in s["peers"]),
                       f"has no path to {other.name}")
    assert sentence in " ".join(client.eps("why", other.name).split())
    doctor = client.eps("doctor", check=False)
    assert sentence in " ".join(doctor.split()) and "forged" not in doctor


def test_members_connect_only_with_the_same_key_and_explain_why_not(network, tmp_path):
    network.server()
    first, second = key_file(tmp_path / "first"), key_file(tmp_path / "second")
    a, b = network.clients("a", "b", psk_file=first)
    assert a.ping(b) == 3
    assert a.path_to(b) == "direct"
    c = network.client("c", psk_file=second)
    a.wait_sees(c)
    assert a.ping(c, 1) == 0
    for client, other in (a, c), (c, a):
        told(client, other, f"This computer and {other.name} have different pre-shared keys.")
    # No key at all; only the file fixes it.
    assert c.stop() == 0
    c.options["psk_file"] = None
    c.restart()
    a.wait_sees(c)
    assert c.ping(a, 1) == 0
    told(c, a, "a has a pre-shared key for this computer (--psk-file), which has none for a.")
    told(a, c, "This computer has a pre-shared key for c (--psk-file), which has none for this computer.")
    assert c.stop() == 0
    c.options["psk_file"] = first
    c.restart()
    wait_until(lambda: c.ping(a, 1) == 1, "c has a conduit with a", 10)
    assert "pre-shared" not in a.eps("doctor", check=False)
    key = first.read_text().strip()
    assert key not in a.log() and key not in a.eps("--json", "status")


def test_two_members_have_a_key_that_nobody_else_has(network, tmp_path):
    network.server()
    of_b, of_c = new_key(), new_key()
    file = key_file(tmp_path / "a", "# those of single peers alone", f"b {of_b}", f"c {of_c}")
    a = network.client("a", psk_file=file)
    # By public key, beside another for everybody else.
    own = f"{a.status()['public_key']} {of_b}"
    b = network.client("b", psk_file=key_file(tmp_path / "b", new_key(), own))
    c, d = network.client("c"), network.client("d")
    for client in a, b, c, d:
        client.wait_sees(*(other for other in (a, b, c, d) if other is not client))
    assert a.ping(b) == 3 and a.ping(d) == 3, "with a key of their own, and with none"
    a.wait_log("2 peers have pre-shared keys of their own in")
    # c has none for a, then a wrong one, then the right one.
    assert c.ping(a, 1) == 0
    told(c, a, "a has a pre-shared key for this computer (--psk-file), which has none for a.")
    told(a, c, "This computer has a pre-shared key for c (--psk-file), which has none for this computer.")
    assert c.stop() == 0
    c.options["psk_file"] = key_file(tmp_path / "c", f"a {of_b}")
    c.restart()
    a.wait_sees(c)
    assert c.ping(a, 1) == 0
    for client, other in (a, c), (c, a):
        told(client, other, f"This computer and {other.name} have different pre-shared keys.")
    assert c.stop() == 0
    key_file(tmp_path / "c", f"a {of_c}")
    c.restart()
    wait_until(lambda: c.ping(a, 1) == 1, "c has a conduit with a", 10)
    # b demands its key for all from everybody but a.
    assert d.ping(b, 1) == 0
    told(d, b, "b has a pre-shared key for this computer (--psk-file), which has none for b.")
    assert a.ping(b) == 3
    said = "".join(client.log() + client.eps("--json", "status") for client in (a, b, c))
    assert of_b not in said and of_c not in said


def test_a_file_that_holds_no_key_is_named(network, tmp_path):
    network.server()
    (tmp_path / "key").write_text("a password\n")
    a = network.client("a", join=False, psk_file=tmp_path / "key")
    code, said = a.failed()
    assert code == 1
    assert f"--psk-file {tmp_path}/key: line 1 does not end with 44 characters of base64" in said
    assert "a password" not in said
