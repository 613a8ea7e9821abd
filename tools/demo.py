# SPDX-License-Identifier: MIT
"""The second half of ../demo: the network, the figures and the picture."""

import itertools
import json
import os
import pathlib
import re
import signal
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test/netns"))
from eps import BIN, Network
from lab import take_down, wait_until

PREFIX = "epsdemo-"
NAMES = ["a", "b", "c"]
STREAM_SECONDS = 3


def say(what, text):
    print(f"  {what:<11} {text}", flush=True)


def measure(one, other):
    """One row of the table: the report of `one` about `other`, and the figures between them."""
    ping = one.host.run("ping", "-n", "-q", "-c", 20, "-i", 0.05, "-W", 1, other.address, timeout=30)
    round_trip = float(re.search(r"= [\d.]+/([\d.]+)/", ping).group(1))
    server = other.host.spawn("iperf3", "-s", "-1", "--forceflush", "-B", other.address)
    wait_until(lambda: "listening" in server.output(), "iperf3 listens")
    stream = json.loads(one.host.run("iperf3", "-J", "-c", other.address, "-t", STREAM_SECONDS, timeout=60))
    server.wait()
    peer = one.peers()[other.name]
    return {"from": one.name, "peer": other.name, "EPS address": other.address, "path": peer["path"],
            "endpoint": peer["endpoint"] or "-", "RTT ms": f"{round_trip:.2f}",
            "TCP Gbit/s": f"{stream['end']['sum_received']['bits_per_second'] / 1e9:.2f}"}


def table(rows):
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}

    def line(cells):
        return "  " + "  ".join(cells[key].ljust(width) for key, width in widths.items()).rstrip()

    return "\n".join(map(line, [{key: key for key in widths}, *rows]))


class Canvas:
    def __init__(self, width, height):
        self.cells = [[" "] * width for _ in range(height)]

    def text(self, x, y, text):
        for n, letter in enumerate(text):
            self.cells[y][x + n] = letter

    def box(self, x, y, width, lines):
        self.text(x, y, "┌" + "─" * (width - 2) + "┐")
        for n, line in enumerate(lines, 1):
            self.text(x, y + n, f"│ {line:<{width - 4}} │")
        self.text(x, y + len(lines) + 1, "└" + "─" * (width - 2) + "┘")

    def conduit(self, left, right, y, height, label):
        """A double line from the bottom of one box to that of another, `height` rows below."""
        for x in left, right:
            self.text(x, y, "╥")
            for row in range(y + 1, y + height):
                self.text(x, row, "║")
        self.text(left, y + height, "╚" + f" {label} ".center(right - left - 1, "═") + "╝")

    def __str__(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)


def picture(server, clients, rows):
    """Server and clients on the underlay, and below them the conduits between the clients."""
    width, gap = 26, 10
    xs = [2 + n * (width + gap) for n in range(3)]
    middles = [x + width // 2 for x in xs]
    canvas = Canvas(xs[-1] + width, 14)
    canvas.box(xs[1], 0, width, ["server", f"eth0 {server.host.v4}", f"serves {server.status()['network']['address']}"])
    canvas.text(middles[1], 4, "┬")
    canvas.text(middles[0], 5, "┌" + "─" * (middles[2] - middles[0] - 1) + "┐")
    canvas.text(middles[1], 5, "┼")
    for x, middle, client in zip(xs, middles, clients, strict=True):
        canvas.box(x, 6, width, [client.name, f"eth0 {client.host.v4}", f"eps0 {client.address}"])
        canvas.text(middle, 6, "┴")
    labels = {(r["from"], r["peer"]): f"{r['RTT ms']} ms, {r['TCP Gbit/s']} Gbit/s" for r in rows}
    a, b, c = NAMES
    near, far = 8, width - 9  # where a conduit leaves its box, towards its neighbour
    canvas.conduit(xs[0] + far, xs[1] + near, 10, 2, labels[a, b])
    canvas.conduit(xs[1] + far, xs[2] + near, 10, 2, labels[b, c])
    canvas.conduit(xs[0] + 3, xs[2] + width - 4, 10, 3, labels[a, c])
    return canvas


def run(keep):
    begin = time.monotonic()
    network = Network(prefix=PREFIX, keep=keep)
    with network:
        server = network.server()
        clients = network.clients(*NAMES)
        say("network", f"{', '.join(NAMES)} joined {time.monotonic() - begin:.1f} s after the first namespace was made")
        pairs = list(itertools.combinations(clients, 2))
        for one, other in pairs:
            if one.ping(other, 3) == 0:
                sys.exit(f"demo: {one.name} does not reach {other.name}; the logs are in {network.directory}")
        say("ping", "everyone reaches everyone")
        rows = []
        for one, other in pairs:
            rows.append(measure(one, other))
            say("iperf3", f"{one.name} -> {other.name}: {rows[-1]['TCP Gbit/s']} Gbit/s")
        print(f"\n{picture(server, clients, rows)}\n\n{table(rows)}\n")
        if keep:
            say_how_to_go_on(network, clients)


def say_how_to_go_on(network, clients):
    a, b = clients[:2]
    print(f"""The network stays up.

  sudo ip netns exec {a.host.namespace} ping {b.address}
  sudo ip netns exec {a.host.namespace} bash        (a shell on {a.name}'s computer)
  sudo {os.path.relpath(BIN, ROOT)}/eps --socket {a.socket} peers
  sudo ./demo --down                    (takes it down)

Logs, state and sockets are in {network.directory}""")


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if "--down" in sys.argv[1:]:
        print("The demo's network is down." if take_down(PREFIX) else "There is no demo network.")
        return
    try:
        run("--keep" in sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
