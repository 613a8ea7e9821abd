# SPDX-License-Identifier: MIT
"""A pre-shared key of the members, in their own files.

     [server] ──┐
     [a] ───────┤
     [b] ───────┼── [lan]
     [c] ───────┘
"""

import base64
import os
import re

from lab import wait_until


def key_file(path):
    path.write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
    path.chmod(0o600)
    return path


def told(client, other, sentence):
    """At one end: in the log, in `eps why` and `eps doctor`."""
    client.wait_log(re.escape(f"No conduit with {other.name}: {sentence}"))
    client.wait_status(lambda s: any(p["name"] == other.name and p["unreachable"] for p in s["peers"]),
                       f"has no path to {other.name}")
    assert sentence in " ".join(client.eps("why", other.name).split())
    assert sentence in " ".join(client.eps("doctor", check=False).split())


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
    told(c, a, "a has a pre-shared key (--psk-file), and this computer has none.")
    told(a, c, "This computer has a pre-shared key (--psk-file), and c has none.")
    assert c.stop() == 0
    c.options["psk_file"] = first
    c.restart()
    wait_until(lambda: c.ping(a, 1) == 1, "c has a conduit with a", 10)
    assert "pre-shared" not in a.eps("doctor", check=False)
    key = first.read_text().strip()
    assert key not in a.log() and key not in a.eps("--json", "status")


def test_a_file_that_holds_no_key_is_named(network, tmp_path):
    network.server()
    (tmp_path / "key").write_text("a password\n")
    a = network.client("a", join=False, psk_file=tmp_path / "key")
    code, said = a.failed()
    assert code == 1
    assert f"--psk-file {tmp_path}/key: must hold one line of 44 characters of base64" in said
    assert "a password" not in said
