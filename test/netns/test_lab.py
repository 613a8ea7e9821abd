# SPDX-License-Identifier: MIT
"""The lab itself, without any daemon.

     [a] ──┬── [lan] ──┬── [c]
     [b] ──┘
"""

import os
import signal
import subprocess
import sys

import pytest
from lab import Lab, sh, wait_until
from wire import Sniffer, inject, received, transfer, udp_receiver


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


def namespaces(prefix):
    return [line for line in sh("ip", "netns", "list").splitlines() if line.startswith(prefix)]


def test_hosts_reach_each_other(lab):
    a, b, c = lab.host("a"), lab.host("b"), lab.host("c")
    assert a.ping(b.v4) == 3 and b.ping(c.v4) == 3
    assert a.ping(c.v6) == 3
    assert a.ping("127.0.0.1") == 3


def test_drop_rule(lab):
    a, b = lab.host("a"), lab.host("b")
    a.drop(f"ip daddr {b.v4} icmp type echo-request")
    assert a.ping(b.v4, 2) == 0 and b.ping(a.v4, 2) == 2
    a.drop_nothing()
    assert a.ping(b.v4, 2) == 2


def test_streams_are_compared(lab):
    a, b = lab.host("a"), lab.host("b")
    sent, came, _ = transfer(a, b, b.v4, 5_000_003)
    assert sent == came


def test_a_sniffed_datagram_can_be_sent_again_and_altered(lab):
    a, b = lab.host("a"), lab.host("b")
    receiver = udp_receiver(b)
    with Sniffer(lab) as seen, a.socket(kind=2) as sender:
        sender.sendto(b"once", (b.v4, 5002))
        assert received(receiver) == [b"once"]
    (datagram,) = seen.datagrams(a.v4, b.v4)
    assert datagram.payload == b"once" and datagram.target == (b.v4, 5002)
    inject(lab, b, datagram.with_payload(b"once"), datagram.with_payload(b"and twice"))
    assert received(receiver) == [b"once", b"and twice"]


def test_nothing_is_left_behind():
    lab = Lab()
    process = lab.host("a").spawn("sleep", 1000)
    lab.close()
    assert not namespaces(lab.prefix) and not process.running() and not lab.directory.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_terminated_run_cleans_up(tmp_path, number):
    here = os.path.dirname(__file__)
    conftest = open(f"{here}/conftest.py").read()
    (tmp_path / "conftest.py").write_text(f"import sys; sys.path.insert(0, {here!r})\n{conftest}")
    (tmp_path / "test_long.py").write_text("import time\ndef test_it(network):\n"
                                           "    network.host('a').spawn('sleep', 1000)\n    time.sleep(1000)\n")
    run = subprocess.Popen([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    prefix = f"epst-{run.pid}-"
    wait_until(lambda: len(namespaces(prefix)) == 2 and sh("ip", "netns", "pids", prefix + "a"), "the run is up")
    run.send_signal(number)
    run.wait(20)
    assert not namespaces(prefix)


def test_the_remains_of_a_killed_run_are_removed():
    code = ("import sys, time; sys.path.insert(0, sys.argv[1]); from lab import Lab; lab = Lab();"
            "lab.host('a').spawn('sleep', 1000); print(lab.prefix, flush=True); time.sleep(1000)")
    run = subprocess.Popen([sys.executable, "-c", code, os.path.dirname(__file__)], stdout=subprocess.PIPE, text=True)
    prefix = run.stdout.readline().strip()
    run.kill()
    run.wait()
    assert namespaces(prefix)
    wait_until(lambda: not sh("ip", "netns", "pids", prefix + "a"), "its programs end with it")
    Lab().close()
    assert not namespaces(prefix)
