# SPDX-License-Identifier: MIT
"""The privileges of running daemons that root started by hand.

     [server] ──┐
     [a], [b] ──┴── [lan]
"""

import os
import signal
import stat
import subprocess

import pytest
from eps import SANITIZED
from lab import wait_until

NET_ADMIN, DAC_OVERRIDE, CHOWN = 1 << 12, 1 << 1, 1 << 0
SETS = "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"


# The run time of a sanitizer needs more than the daemons do.
FILTERED = 0 if SANITIZED else 2


def status_of(path):
    with open(f"{path}/status") as status:
        return dict(line.split(":", 1) for line in status)


def rights(daemon):
    """Of each thread: {"CapEff": 4096, ..., "NoNewPrivs": 1, "Seccomp": 2}."""
    tasks = f"/proc/{daemon.process.pid}/task"
    found = []
    for task in os.listdir(tasks):
        fields = status_of(f"{tasks}/{task}")
        found.append({name: int(fields[name], 16) for name in (*SETS, "NoNewPrivs", "Seccomp")})
    return found


def may_be_looked_into(daemon):
    """By another process of the same user."""
    command = ["setpriv", "--bounding-set=-sys_ptrace", "readlink", f"/proc/{daemon.process.pid}/exe"]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).returncode == 0


def test_root_keeps_only_what_the_daemon_needs(network):
    server = network.server(scorecard=network.directory / "server.stats", interval=1)
    a, b = network.clients("a", "b")
    for daemon, capabilities in (server, 0), (a, NET_ADMIN):
        wanted = dict.fromkeys(SETS, 0) | {"NoNewPrivs": 1, "Seccomp": FILTERED}
        wanted |= dict.fromkeys(["CapPrm", "CapEff", "CapBnd"], capabilities)
        assert all(one == wanted for one in rights(daemon)), rights(daemon)
        assert not may_be_looked_into(daemon)
    # Everything still works: frames, the scorecard, another address, a new configuration, another start.
    assert a.ping(b) == 3
    wait_until((network.directory / "server.stats").exists, "the scorecard is written")
    a.host.run("ip", "addr", "del", f"{a.address}/24", "dev", a.device)
    wait_until(lambda: a.address in a.host.run("ip", "addr", "show", a.device), "the client sets its address right")
    for daemon in server, a:
        daemon.eps("reload", "--conf", daemon.conf)
        daemon.process.send(signal.SIGHUP)
    for daemon in server, a:
        assert daemon.stop() == 0
        daemon.restart()
    assert a.ping(b) == 3


def test_commands_of_the_user_keep_the_rights_of_root_and_the_client_does_not(network, tmp_path):
    network.server()
    a = network.client("a", up=f"ip addr add 10.99.0.1/32 dev lo && echo done >{tmp_path}/up",
                       down=f"ip addr del 10.99.0.1/32 dev lo && echo done >{tmp_path}/down")
    wait_until((tmp_path / "up").exists, "the command has given lo an address")
    wanted = dict.fromkeys(SETS, 0) | {"NoNewPrivs": 1, "Seccomp": FILTERED}
    wanted |= dict.fromkeys(["CapPrm", "CapEff", "CapBnd"], NET_ADMIN)
    assert all(one == wanted for one in rights(a)), rights(a)
    assert a.stop() == 0
    assert (tmp_path / "down").exists()


@pytest.mark.skipif(bool(SANITIZED), reason="only a build without sanitizer restricts files")
def test_root_reaches_only_the_files_that_were_named(network, tmp_path):
    scorecards, others = tmp_path / "scorecards", tmp_path / "others"
    for directory in scorecards, others:
        directory.mkdir()
    server = network.server(scorecard=scorecards / "server.stats", interval=1, graphviz=tmp_path / "missing/net.gv",
                            graphviz_interval=1)
    a = network.client("a", scorecard=scorecards / "a.stats", interval=1)
    for name in "server.stats", "a.stats":
        wait_until((scorecards / name).exists, f"{name} is written")
    # A directory that is made, or named, later is out of reach until a restart.
    (tmp_path / "missing").mkdir()
    server.wait_log("missing/net.gv: Permission denied "
                    ".a program that runs already may write only where it was told to")
    lasts = "net.gv: Permission denied"
    assert any(lasts in t and "there is no diagram until that is fixed" in t for t in server.status()["troubles"])
    assert lasts in server.eps("doctor", check=False)
    for daemon, name in (server, "server"), (a, "a"):
        daemon.options["scorecard"] = None
        assert daemon.stop() == 0
        daemon.restart()
        if daemon is server:
            wait_until((tmp_path / "missing/net.gv").exists, "the diagram is written after a restart")
            server.wait_status(lambda s: not s["troubles"], "nothing is wrong any more")
        with open(daemon.conf, "a") as conf:
            conf.write(f"[{daemon.program[4:]}]\nscorecard = {others / name}\ninterval = 1\n")
        daemon.process.send(signal.SIGHUP)
        daemon.wait_log("others/.*: Permission denied .a program that runs already may write only where it was told to")
        assert not (others / name).exists()
        assert "restart it); there is no scorecard until that is fixed" in daemon.eps("doctor", check=False)
        assert daemon.stop() == 0
        daemon.restart()
        wait_until((others / name).exists, "it is written after a restart")
    # Beside the log there is room.
    text = a.conf.read_text().replace(str(others / "a"), str(a.directory / "a.stats"))
    a.conf.write_text(text)
    a.process.send(signal.SIGHUP)
    wait_until((a.directory / "a.stats").exists, "it is written beside the log")


@pytest.mark.skipif(bool(SANITIZED), reason="a sanitizer build has no sandbox")
def test_a_log_directory_that_is_made_anew_waits_for_a_restart(network, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    server = network.server(log=logs / "server.log")
    logs.rename(tmp_path / "old")
    logs.mkdir()
    network.client("a")
    told = "entries go to the old file. Restart this daemon"
    assert told in server.eps("doctor", check=False) and told in server.process.output()
    assert "joined from" in (tmp_path / "old/server_0.log").read_text() and not list(logs.iterdir())
    assert server.stop() == 0
    server.restart()
    assert "starts" in (logs / "server.log").read_text() and told not in server.eps("doctor", check=False)


def as_user_eps(network):
    """A launcher after which there is a user eps, who may open /dev/net/tun as udev has it, and that user's number."""
    number = 54321
    network.directory.chmod(0o755)
    os.mknod(network.directory / "tun", stat.S_IFCHR, os.makedev(10, 200))
    (network.directory / "tun").chmod(0o666)
    for name, line in ("passwd", f"eps:x:{number}:{number}::/:/bin/false"), ("group", f"eps:x:{number}:"):
        with open(f"/etc/{name}") as file:
            known = [known for known in file.read().splitlines() if not known.startswith("eps:")]
        (network.directory / name).write_text("\n".join([*known, line]) + "\n")
    places = {"passwd": "/etc/passwd", "group": "/etc/group", "tun": "/dev/net/tun"}
    script = "".join(f"mount --bind {network.directory}/{name} {place} && " for name, place in places.items())
    return ["unshare", "--mount", "sh", "-c", script + 'exec "$@"', "sh"], number


def test_root_becomes_the_user_of_the_packages_where_it_can(network):
    launcher, number = as_user_eps(network)
    server = network.server(start=False)
    server.launcher = launcher
    # The server is the one that writes the key's line, while it is root.
    server.state.mkdir(mode=0o700)
    os.chown(server.state, number, number)
    os.chown(server.directory, number, number)
    server.start().wait_ready()
    a = network.client("a", start=False)
    a.launcher = launcher
    a.state.mkdir(mode=0o700)
    for path in a.state, a.directory:
        os.chown(path, number, number)
    os.chmod(a.conf, 0o600)
    a.start().wait_joined()
    b = network.client("b")
    for daemon in server, a:
        daemon.wait_log("Runs as the user eps from now on")
        status = status_of(f"/proc/{daemon.process.pid}")
        for name in "Uid", "Gid":
            assert status[name].split() == [str(number)] * 4
        assert status["Groups"].split() == []
        assert int(status["CapEff"], 16) == (NET_ADMIN if daemon is a else 0)
        assert int(status["Seccomp"]) == FILTERED and int(status["NoNewPrivs"]) == 1
    assert a.ping(b) == 3
    # The file of root is still read again, and frames, state and end are as ever.
    for daemon in server, a:
        assert os.stat(daemon.conf).st_uid == 0 and os.stat(daemon.conf).st_mode & 0o077 == 0
        with open(daemon.conf, "a") as conf:
            conf.write(f"[{daemon.program[4:]}]\nscorecard = {daemon.directory}/stats\ninterval = 1\n")
        daemon.process.send(signal.SIGHUP)
        wait_until((daemon.directory / "stats").exists, "the scorecard that the file names now is written")
        assert os.stat(daemon.directory / "stats").st_uid == number
    a.host.run("ip", "addr", "del", f"{a.address}/24", "dev", a.device)
    wait_until(lambda: a.address in a.host.run("ip", "addr", "show", a.device), "the client sets its address right")
    for daemon in server, a:
        assert daemon.stop() == 0
        assert not daemon.socket.exists()
        daemon.restart()
    assert a.ping(b) == 3
    # Where something is root's alone, root stays.
    assert a.stop() == 0
    os.chown(a.directory, 0, 0)
    a.restart()
    a.wait_log(f"Stays root, because {a.directory} is closed to the user eps")
    assert status_of(f"/proc/{a.process.pid}")["Uid"].split() == ["0"] * 4


def test_root_can_still_write_to_folders_of_others(network):
    server = network.server()
    a = network.client("a", start=False)
    a.state.mkdir(mode=0o700)
    os.chown(a.state, 65534, 65534)
    a.start().wait_joined()
    assert rights(a)[0]["CapEff"] == NET_ADMIN | DAC_OVERRIDE | CHOWN
    a.wait_log(f"because {a.state} is not its own")
    assert a.stop() == 0 and (a.state / "client/network").exists()
    assert server.stop() == 0
