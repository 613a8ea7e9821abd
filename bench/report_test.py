# SPDX-License-Identifier: MIT
"""The report of a run, from the results of two short ones of three peers; no namespaces, no root.

python3 -m pytest bench/report_test.py
"""

import json
import sys

import pytest

sys.dont_write_bytecode = True
import plot
import report

ABOUT = {"cpu": "a CPU", "cores": 2, "kernel": "6.1", "underlay": "offload", "rounds": 2, "date": "2026-01-31"}


def cell(peer, figures, errors=(), **more):
    return {"peer": peer, "ours": peer == "eps", "layer": "TAP", "cipher": "none", "mtu": None, "note": "",
            "version": f"{peer} 1", "quiet": not errors, "figures": figures, "errors": list(errors)} | more


CELLS = [
    cell("raw", {"tcp1_mbps": 50000.0, "ping_avg_ms": 0.01}),
    cell("eps", {"tcp1_mbps": 11000.0, "ping_avg_ms": 0.1, "start_s": 0.02}),
    cell("other", {"tcp1_mbps": 2000.0, "ping_avg_ms": 0.2}),
    cell("raw", {"tcp1_mbps": 60000.0, "ping_avg_ms": 0.01}),
    cell("eps", {"tcp1_mbps": 11600.0, "ping_avg_ms": 0.1, "start_s": 0.04}),
    cell("other", {"ping_avg_ms": 0.4}, ["tcp1: iperf3: it is gone"]),
    cell("worse", {"tcp1_mbps": 100.0, "ping_avg_ms": 0.3}),
]


@pytest.fixture
def run(tmp_path):
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(c) + "\n" for c in CELLS))
    (tmp_path / "about.json").write_text(json.dumps(ABOUT))
    return tmp_path


def test_medians_spread_and_ratios(run, capsys):
    assert report.write(run) == 0
    peers = json.loads((run / "results.json").read_text())["peers"]
    assert list(peers) == ["raw", "eps", "other", "worse"]
    eps = peers["eps"]["figures"]
    assert eps["tcp1_mbps"] == {"median": 11300, "min": 11000, "max": 11600, "of_raw": 11300 / 55000, "of_best": 5.65}
    # Less is better: the median of "other" and "worse".
    assert eps["ping_avg_ms"]["of_best"] == pytest.approx(0.1 / 0.3)
    assert "of_raw" not in eps["start_s"] and "of_best" not in eps["start_s"]
    assert peers["raw"]["cells"] == 2 and peers["other"]["errors"] == ["tcp1: iperf3: it is gone"]

    text = (run / "report.md").read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    assert "a CPU, 2 cores, Linux 6.1; underlay `offload`, rounds: 2, 2026-01-31" in text
    assert "| eps | 11300 (11000 to 11600) |" in text
    assert "| other | 2000 |" in text
    assert "| TCP, 1 stream, Mbit/s | 0.21 | 5.65 | other: 2000 |" in text
    assert "| idle, average, ms | 10.00 | 0.33 | worse: 0.300 |" in text
    assert "failed: tcp1: iperf3: it is gone" in text
    assert "before 1 of 7 cells the computer had other work to do" in text
    assert "relayed" not in text, "a column that nobody has"


def test_nothing_was_measured(tmp_path, capsys):
    assert report.write(tmp_path) == 1
    assert "nothing was measured" in capsys.readouterr().err


@pytest.mark.skipif(not plot.available(), reason="python3-matplotlib is not installed")
def test_plot(run):
    report.write(run)
    assert (run / "plot.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    svg = (run / "plot.svg").read_text()
    assert svg.count("<g id=\"axes_") == 2  # throughput and round trip: of the other panels there are no figures
