# SPDX-License-Identifier: MIT
"""The report of a run: results.jsonl (one cell per line) becomes results.json, Markdown tables and a plot."""

import json
import pathlib
import statistics
import sys

import plot

# (figure, head, form, whether more is better), by table
TABLES = {
    "Throughput": [
        ("tcp1_mbps", "TCP, 1 stream, Mbit/s", "{:.0f}", True),
        ("tcp4_mbps", "TCP, 4 streams, Mbit/s", "{:.0f}", True),
        ("relay_mbps", "relayed, Mbit/s", "{:.0f}", True),
        ("udp64_pps", "UDP 64 bytes, packets/s received", "{:.0f}", True),
        ("udp64_max_pps", "UDP 64 bytes, packets/s at no more than 1 % loss", "{:.0f}", True),
        ("udp1200_pps", "UDP 1200 bytes, packets/s received", "{:.0f}", True)],
    "Latency": [
        ("ping_avg_ms", "idle, average, ms", "{:.3f}", False),
        ("ping_p99_ms", "idle, p99, ms", "{:.3f}", False),
        ("loaded_avg_ms", "loaded, average, ms", "{:.2f}", False),
        ("loaded_p99_ms", "loaded, p99, ms", "{:.2f}", False),
        ("start_s", "start to first ping, s", "{:.3f}", False)],
    "Cost": [
        ("tcp1_cpu_s_per_gb", "daemons, 1 stream, CPU s/GB", "{:.2f}", False),
        ("tcp4_cpu_s_per_gb", "daemons, 4 streams, CPU s/GB", "{:.2f}", False),
        ("tcp1_machine_s_per_gb", "whole machine, 1 stream, CPU s/GB", "{:.2f}", False),
        ("resident_mib", "memory idle, MiB", "{:.1f}", False),
        ("resident_loaded_mib", "memory loaded, MiB", "{:.1f}", False)],
}
FIGURES = {figure: (head, form, more) for table in TABLES.values() for figure, head, form, more in table}


def brief(figures):
    """One line of progress."""
    shown = [("tcp1_mbps", "TCP {:.0f}"), ("tcp4_mbps", "x4 {:.0f} Mbit/s"), ("udp64_pps", "UDP {:.0f}/s"),
             ("loaded_avg_ms", "loaded {:.2f} ms"), ("relay_mbps", "relay {:.0f}")]
    return ", ".join(form.format(figures[name]) for name, form in shown if name in figures) or "-"


def read_cells(directory):
    path = pathlib.Path(directory) / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def summarise(cells):
    """By peer, in the order of the run: a description, and for each figure median, minimum, maximum, and the ratio to
    no VPN at all (of_raw) and with the best of the others (of_best)."""
    peers = {}
    for cell in cells:
        description = {k: cell[k] for k in ("ours", "layer", "cipher", "mtu", "note", "version")}
        peer = peers.setdefault(cell["peer"], description | {"cells": 0, "busy_cells": 0, "figures": {}, "errors": []})
        peer["cells"] += 1
        peer["busy_cells"] += not cell["quiet"]
        peer["errors"] += cell["errors"]
        for name, value in cell["figures"].items():
            peer["figures"].setdefault(name, []).append(value)
    for peer in peers.values():
        peer["figures"] = {name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
                           for name, values in peer["figures"].items()}
    for name, (_, _, more) in FIGURES.items():
        compared = ("of_raw", "raw"), ("of_best", best_other(peers, name, more))
        for key, label in compared:
            median = peers.get(label, {}).get("figures", {}).get(name, {}).get("median")
            for peer in peers.values():
                if median and name in peer["figures"]:
                    peer["figures"][name][key] = peer["figures"][name]["median"] / median
    return peers


def best_other(peers, name, more):
    """The peer with the best median of a figure, except ours and no VPN at all; None: there is none."""
    others = [x for x, peer in peers.items() if x != "raw" and not peer["ours"] and name in peer["figures"]]
    return (max if more else min)(others, key=lambda x: peers[x]["figures"][name]["median"], default=None)


def markdown(about, peers):
    busy, cells = (sum(p[name] for p in peers.values()) for name in ("busy_cells", "cells"))
    lines = [f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}; underlay `{about['underlay']}`, "
             f"rounds: {max(p['cells'] for p in peers.values())}, {about['date']}. Median (least to most)."]
    if busy:
        lines += ["", f"Take it with care: before {busy} of {cells} cells the computer had other work to do."]
    for title, columns in TABLES.items():
        columns = [c for c in columns if any(c[0] in p["figures"] for p in peers.values())]
        if not columns:
            continue
        lines += ["", f"### {title}", "", "| | " + " | ".join(head for _, head, _, _ in columns) + " |",
                  "|---|" + "---:|" * len(columns)]
        for label, peer in peers.items():
            cells = []
            for name, _, form, _ in columns:
                figure = peer["figures"].get(name)
                if figure is None:
                    cells.append("-")
                elif figure["min"] == figure["max"]:
                    cells.append(form.format(figure["median"]))
                else:
                    cells.append(f"{form} ({form} to {form})".format(figure["median"], figure["min"], figure["max"]))
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    lines += comparison(peers)
    lines += ["", "### Peers", ""]
    for label, peer in peers.items():
        parts = [f"{peer['layer']}, MTU {peer['mtu'] or '?'}", peer["cipher"], peer["version"], peer["note"]]
        lines.append(f"- {label}: " + "; ".join(filter(None, parts)))
        lines += [f"    - failed: {error}" for error in sorted(set(peer["errors"]))]
    return "\n".join(lines) + "\n"


def comparison(peers):
    """Ours compared with no VPN and the best of the others, whose name and median are in the last column."""
    ours = [label for label, peer in peers.items() if peer["ours"]]
    rows = []
    for name, (head, form, more) in FIGURES.items():
        ratios = []
        for label in ours:
            figure = peers[label]["figures"].get(name, {})
            ratios += [f"{figure[k]:.2f}" if k in figure else "-" for k in ("of_raw", "of_best")]
        if any(ratio != "-" for ratio in ratios):
            best = best_other(peers, name, more)
            last = f"{best}: {form.format(peers[best]['figures'][name]['median'])}" if best else "-"
            rows.append(f"| {head} | " + " | ".join(ratios) + f" | {last} |")
    if not rows:
        return []
    heads = [head for label in ours for head in (f"{label} to raw", f"{label} to the best other")]
    return ["", "### Ratios", "", "| | " + " | ".join(heads) + " | best other |",
            "|---|" + "---:|" * (len(heads) + 1), *rows]


def write(directory):
    """Writes and prints the report of the run whose results are in a folder."""
    directory = pathlib.Path(directory)
    cells = read_cells(directory)
    if not cells:
        print("throughput: nothing was measured", file=sys.stderr)
        return 1
    about = json.loads((directory / "about.json").read_text())
    peers = summarise(cells)
    (directory / "results.json").write_text(json.dumps({"about": about, "peers": peers}, indent=1) + "\n")
    text = markdown(about, peers)
    (directory / "report.md").write_text(text)
    print(text)
    if plot.available():
        plot.write(directory, about, peers)
    else:
        print("No plot: python3-matplotlib is not installed", file=sys.stderr)
    print(f"These tables, the plot and the figures of each cell are in {directory}", file=sys.stderr)
    return 0
