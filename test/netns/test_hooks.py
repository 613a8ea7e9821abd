# SPDX-License-Identifier: MIT
"""The commands of --up and --down.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┘
"""

from eps import BIN
from lab import wait_until


def test_up_and_down_know_the_interface_and_find_the_network_working(network, tmp_path):
    network.server()
    b = network.client("b")
    seen = tmp_path / "seen"
    a = network.client(
        "a", up=f"echo $EPS_HOOK $EPS_INTERFACE $EPS_ADDRESS $EPS_NETWORK $EPS_NAME >>{seen}; exit 3",
        down=f"ip -o addr show $EPS_INTERFACE | grep -c $EPS_ADDRESS >>{seen}; "
             f"ping -c 1 -W 5 {b.address} >/dev/null; echo $EPS_HOOK $? >>{seen}; "
             f"{BIN}/eps --socket {network.directory}/a/socket status | grep -c 'connected to ' >>{seen}")
    a.wait_log("The command of --up ended with exit status 3.")
    assert seen.read_text() == f"up eps0 {a.address} 192.168.43.0/24 a\n"
    assert a.ping(b) == 3
    assert a.stop() == 0
    assert seen.read_text().splitlines()[1:] == ["1", "down 0", "1"]
    assert "The command of --down ended with exit status 0." in a.log()


def test_nothing_waits_for_a_hanging_up(network, tmp_path):
    network.server()
    b = network.client("b")
    seen = tmp_path / "seen"
    a = network.client("a", up=f"echo up >>{seen}; exec sleep 1000", down=f"echo down >>{seen}")
    wait_until(lambda: seen.exists() and seen.read_text() == "up\n", "the command has begun")
    assert a.ping(b) == 3
    assert a.stop() == 0
    assert seen.read_text() == "up\ndown\n"
    assert "--up was killed" in a.log()
