# SPDX-License-Identifier: MIT
"""The programs that measure. bench/scale has a server and its members on one host; bench/throughput makes this network:

     [a] ──┬── [lan] ──┬── [s]
     [b] ──┘
"""

import json
import os
import pathlib
import signal
import subprocess

import pytest
from eps import BIN
from lab import sh, wait_until

BENCH = pathlib.Path(__file__).parents[2] / "bench"
THROUGHPUT = BENCH / "throughput"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def start(out, *options, **environment):
    lock = out.parent / "lock"  # its own: whether somebody else measures does not matter here
    return subprocess.Popen([THROUGHPUT, "--quick", "--patience", "0", "--lock", lock, "--out", out, *options],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment)


def namespaces(run):
    return [line for line in sh("ip", "netns", "list").splitlines() if line.startswith(f"epsbench-{run.pid}-")]


def test_members_of_the_scale_benchmark_join_and_return():
    run = subprocess.Popen([BENCH / "scale", "20", "--bin", BIN, "--patience", "20", "--settle", "0", "--idle", "1"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said, progress = run.communicate()
    assert run.returncode == 0, progress
    figures = json.loads(said)
    assert figures["joined"] == 20 and figures["timeouts"] == figures["failures"] == 0
    assert 0 < figures["joined_s"] and 0 < figures["back_s"] and 0 < figures["change_s"]


def test_the_scale_benchmark_cleans_up_when_terminated():
    run = subprocess.Popen([BENCH / "scale", "20", "--bin", BIN, "--idle", "60"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert "joined" in run.stderr.readline()
    run.send_signal(signal.SIGTERM)
    run.communicate()
    assert run.returncode == 1
    assert f"epsscale-{run.pid}" not in sh("ip", "netns", "list")


@pytest.mark.limit(300)
def test_every_figure_is_there(out):
    run = start(out, "--rounds", "1", "--peers", "raw,eps")
    said, progress = run.communicate()
    assert run.returncode == 0, progress
    assert not namespaces(run)

    peers = json.loads((out / "results.json").read_text())["peers"]
    assert peers["eps"]["errors"] == [] and peers["raw"]["errors"] == []
    transfers = {f"{name}_{unit}" for name in ("tcp1", "tcp4") for unit in ("mbps", "machine_s_per_gb")}
    packets = {"udp64_pps", "udp64_max_pps", "udp1200_pps"}
    times = {f"{name}_{of}_ms" for name in ("ping", "loaded") for of in ("avg", "p50", "p99")}
    everyone = transfers | packets | times
    ours = {"start_s", "resident_mib", "resident_loaded_mib", "tcp1_cpu_s_per_gb", "tcp4_cpu_s_per_gb", "relay_mbps",
            "relay_cpu_s_per_gb"}
    for peer, figures in ("raw", everyone), ("eps", everyone | ours):
        for name in figures:
            # A busy computer may find none of the few tested rates at which hardly anything is lost.
            least = 0 if name == "udp64_max_pps" else 1e-6
            assert peers[peer]["figures"][name]["median"] >= least, f"{peer} {name}"
    eps = peers["eps"]["figures"]
    assert eps["tcp1_via_server"]["median"] < 0.1, "not direct"
    assert eps["relay_via_server"]["median"] > 0.9, "not relayed"
    assert eps["clear_frames"]["median"] == 0
    assert said == (out / "report.md").read_text() + "\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_its_results_and_nothing_else(out, number):
    run = start(out, "--rounds", "100", "--peers", "raw,eps", "--tests", "ping")
    wait_until(lambda: (out / "results.jsonl").exists() and (out / "results.jsonl").read_text().count("\n") > 2,
               "three cells", 60)
    run.send_signal(number)
    said, _ = run.communicate(timeout=30)
    assert run.returncode == 130
    assert not namespaces(run)
    assert "| eps |" in said


def test_missing_tools_are_named(out, tmp_path):
    said = start(out, "--peers", "eps", EPS_BIN=str(tmp_path)).communicate()[1]
    assert f"no eps-server in {tmp_path}; build it with tools/build release" in said
    said = start(out, "--peers", "raw,none").communicate()[1]
    assert "there is no peer 'none'" in said
    (tmp_path / "ip").symlink_to("/usr/sbin/ip")
    (tmp_path / "ping").symlink_to("/usr/bin/ping")
    said = start(out, PATH=str(tmp_path)).communicate()[1]
    assert "not installed: iperf3 nftables ethtool; install with: sudo apt-get install iperf3 nftables ethtool" in said
