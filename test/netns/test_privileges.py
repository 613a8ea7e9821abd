# SPDX-License-Identifier: MIT
"""The privileges of running daemons that root started by hand.

     [server] ──┐
     [a], [b] ──┴── [lan]
"""

import os
import signal
import subprocess

from lab import wait_until

NET_ADMIN, DAC_OVERRIDE, CHOWN = 1 << 12, 1 << 1, 1 << 0
SETS = "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"


def rights(daemon):
    """Of each thread: {"CapEff": 4096, ..., "NoNewPrivs": 1}."""
    tasks = f"/proc/{daemon.process.pid}/task"
    found = []
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        found.append({name: int(fields[name], 16) for name in (*SETS, "NoNewPrivs")})
    return found


def may_be_looked_into(daemon):
    """By another process of the same user."""
    command = ["setpriv", "--bounding-set=-sys_ptrace", "readlink", f"/proc/{daemon.process.pid}/exe"]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).returncode == 0


def test_root_keeps_only_what_the_daemon_needs(network):
    server = network.server(scorecard=network.directory / "server.stats", interval=1)
    a, b = network.clients("a", "b")
    for daemon, capabilities in (server, 0), (a, NET_ADMIN):
        wanted = dict.fromkeys(SETS, 0) | {"NoNewPrivs": 1}
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


def test_commands_of_the_user_keep_the_rights_of_root(network, tmp_path):
    network.server()
    a = network.client("a", up=f"ip addr add 10.99.0.1/32 dev lo && echo done >{tmp_path}/up")
    wait_until((tmp_path / "up").exists, "the command has given lo an address")
    assert all(one["CapPrm"] & ~NET_ADMIN == 0 for one in rights(a))


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
