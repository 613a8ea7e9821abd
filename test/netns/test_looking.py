# SPDX-License-Identifier: MIT
"""Who may query a daemon, what fits on a terminal, and which limits a daemon tolerates.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┘
"""

import json
import os
import signal
import subprocess

import pexpect
from eps import BIN
from lab import wait_until

NOBODY = ["setpriv", "--reuid=65534", "--clear-groups"]


def test_the_group_has_read_access_only(network):
    server = network.server()
    a = network.client("a")
    os.chown(server.socket, -1, 12345)
    for path in server.directory, network.directory:
        path.chmod(0o711)

    def of(*argv, group="12345"):
        return subprocess.run([*NOBODY, f"--regid={group}", BIN / "eps", "--socket", server.socket, *argv],
                              capture_output=True, text=True, check=False)

    assert "\na " in of("members").stdout
    removing = of("members", "remove", "a")
    assert removing.returncode == 1 and "only root may do that" in removing.stderr
    assert of("reload").returncode == 1
    other = of("members", group="54321")
    assert other.returncode == 1 and "become a member of the group eps" in other.stderr
    assert a.status()["server"]["connected"]


def test_tables_fit_the_terminal(network):
    network.server()
    a, b = network.clients("a", "b")
    a.wait_sees(b)
    for columns in 80, 40:
        of_eps = ["peers"], ["status"], ["doctor"], ["why", "b"], ["--help"], ["watch", "--count", "1"]
        lines = [["eps", "--socket", str(a.socket), *words] for words in of_eps]
        for program, *words in [*lines, ["eps-client", "--help"], ["eps-server", "--help"]]:
            child = pexpect.spawn(str(BIN / program), words, dimensions=(24, columns), encoding="utf-8", timeout=20)
            child.expect(pexpect.EOF)
            child.close()
            for line in child.before.replace("\x1b[H\x1b[2J", "").splitlines():
                assert len(line.rstrip("\r")) <= columns, (words, line)


def test_the_last_seen_time_survives_a_restart_of_the_server(network):
    server = network.server(http=9100)
    a, b = network.clients("a", "b")
    b.stop()
    wait_until(lambda: not server.members()["b"]["online"], "b has left")
    seen = server.members()["b"]["last_seen"]
    assert abs(seen - int(server.host.run("date", "+%s"))) < 60
    metrics = server.host.run("curl", "-s", "127.0.0.1:9100/metrics")
    assert f'eps_member_last_seen_seconds{{member="b"}} {seen}' in metrics
    server.stop(signal.SIGTERM)
    server.start().wait_ready()
    assert server.members()["b"]["last_seen"] == seen
    assert " s ago " in server.eps("members")
    assert a.name == "a"


def test_a_low_limit_of_descriptors_is_raised_or_explained(network):
    few = ["prlimit", "--nofile=10:1000"]
    server = network.server(start=False)
    server.launcher = few
    server.start().wait_ready()
    client = network.client("a", start=False)
    client.launcher = few
    client.start().wait_joined()
    client.stop()
    for daemon in client, network.server(network.host("other"), start=False):
        daemon.launcher = ["setpriv", "--bounding-set=-sys_resource", "prlimit", "--nofile=10:10"]
        daemon.start()
        code, said = daemon.failed()
        assert code == 1 and "error - " in said and "terminate" not in said, said
        assert "it needs more descriptors" in said or "Too many open files" in said


def test_a_server_without_descriptors_turns_away_and_says_so(network):
    server = network.server(start=False)
    server.launcher = ["setpriv", "--bounding-set=-sys_resource", "prlimit", "--nofile=50:50"]
    server.start().wait_ready()
    admitted, turned_away = [], "are turned away: the descriptors"
    for i in range(30):
        client = network.client(f"c{i}", join=False)

        def decided(client=client):
            return (client.status() and client.status()["server"]["connected"]) or turned_away in server.log()

        wait_until(decided, "it is admitted or turned away")
        if turned_away in server.log():
            break
        admitted.append(client)
    assert len(server.members()) == len(admitted) > 0, "eps is answered"
    assert turned_away in server.eps("doctor", check=False)
    assert admitted[0].eps("status")
    for other in admitted[:2]:
        other.stop()
    client.wait_joined()


def test_the_log_goes_to_standard_output_as_json(network):
    server = network.server(start=False, log="-", log_format="json")
    server.start()
    wait_until(lambda: "Listening" in server.process.output(), "it listens")
    entries = [json.loads(line) for line in server.process.output().splitlines()]
    assert {"time", "level", "pid", "message"} == set(entries[0])
    assert not (server.directory / "-").exists()
