# SPDX-License-Identifier: MIT
"""One cell of the benchmark: one peer is brought up, measured and taken down.

Figures, in the unit given by their name:

    start_s                               from B's start, with S and A up, to the first answered ping
    resident_mib, resident_loaded_mib     of B's daemon before, of the larger one of A and B after traffic
    ping_…_ms, loaded_…_ms                avg, p50, p99 of echoes from B; loaded: while four TCP streams run
    tcp1_…, tcp4_…, relay_…               one and four streams from A to B, and one through S
        mbps                              as B counted
        cpu_s_per_gb, machine_s_per_gb    of all daemons; of everything that ran on the computer
        via_server                        bytes through S per byte delivered
    udp64_pps, udp1200_pps                packets received by B when iperf3 sends as fast as it can
    udp64_max_pps                         the highest rate of 64 bytes that lost at most 1 %
    clear_frames                          frames on the wire that showed the content: 0 with a cipher
"""

import dataclasses
import json
import re
import time

import accounting
from lab import sh, wait_until
from peer import OTHER
from probe import FirstAnswer
from wire import Sniffer

TESTS = ("start", "sealed", "memory", "ping", "tcp1", "tcp4", "loaded", "udp64", "udp64max", "udp1200", "relay", "perf")
DEFAULT_TESTS = TESTS[:-1]
MARKER = "c0ffee5ea1ed0b5c"
LOST = 0.01  # the largest acceptable loss of udp64max


@dataclasses.dataclass
class Amount:
    """The amount of work in a cell. Seconds are whole numbers: iperf3 accepts no others."""
    tcp_seconds: int = 5
    loaded_seconds: int = 8
    udp_seconds: int = 2
    pings: int = 1000
    search_steps: int = 6


QUICK = Amount(tcp_seconds=2, loaded_seconds=4, udp_seconds=1, pings=250, search_steps=4)


class Cell:
    def __init__(self, lab, peer, amount, out):
        self.lab, self.peer, self.amount, self.out = lab, peer, amount, out
        self.a, self.b = lab.hosts["a"], lab.hosts["b"]
        self.figures, self.errors, self.mtu = {}, [], None

    def run(self, tests):
        try:
            seconds = self.up()
            if self.peer.processes["b"] and "start" in tests:
                self.figures["start_s"] = seconds
            self.mtu = self.peer.mtu()
            self.peer.wait_direct()
            for test in [t for t in tests if t != "start"]:
                self.attempt(test)
        except Exception as error:
            self.fail("up", error)
        finally:
            self.peer.down()

    def attempt(self, test):
        """A failing figure does not affect the others."""
        try:
            getattr(self, test)()
        except Exception as error:
            self.fail(test, error)

    def fail(self, test, error):
        self.errors.append(f"{test}: {error}")
        self.errors += [e for e in self.peer.ended() if e not in self.errors]

    def up(self):
        """S and A first; from the start of B's daemon to the first answered ping, in seconds."""
        peer = self.peer
        peer.up_server()
        peer.up_node("a")
        time.sleep(1 if peer.processes["a"] else 0)
        answer = FirstAnswer(self.b, peer.inner["a"])
        begin = time.monotonic()
        peer.up_node("b")
        return round(answer.wait() - begin, 3)

    def sealed(self):
        if self.peer.cipher == "none":
            return
        with Sniffer(self.lab) as seen:
            self.b.run("ping", "-q", "-i", 0.01, "-c", 20, "-s", 400, "-p", MARKER, self.peer.inner["a"], check=False)
        self.figures["clear_frames"] = sum(bytes.fromhex(MARKER) in frame for frame in seen.frames)
        if len(seen.frames) < 20:
            raise RuntimeError(f"only {len(seen.frames)} frames were seen on the wire")
        if self.figures["clear_frames"]:
            raise RuntimeError(f"{self.figures['clear_frames']} frames on the wire showed what was sent")

    def memory(self):
        if self.peer.processes["b"]:
            self.figures["resident_mib"] = round(accounting.resident_mib(self.peer.pids("b")), 1)

    def ping(self):
        self.latency("ping", self.b.run("ping", "-i", 0.002, "-c", self.amount.pings, self.peer.inner["a"], timeout=90))

    def latency(self, name, output):
        times = sorted(float(x) for x in re.findall(r"time=([0-9.]+) ms", output))
        if not times:
            raise RuntimeError("no ping was answered")
        self.figures[f"{name}_avg_ms"] = round(sum(times) / len(times), 3)
        self.figures[f"{name}_p50_ms"] = times[len(times) // 2]
        self.figures[f"{name}_p99_ms"] = times[int(len(times) * .99)]

    def iperf(self, seconds, *options):
        """The result of iperf3 in A for a run to B, and the cost of the run."""
        peer = self.peer
        server = self.b.spawn("iperf3", "-s", "-1", "--forceflush", "-B", peer.inner["b"])
        try:
            wait_until(lambda: "listening" in server.output(), "iperf3 listens", pause=0.01)
            pids = peer.pids()
            before = accounting.cpu_seconds(pids), accounting.busy_seconds(), peer.server_bytes()
            said = self.a.run("iperf3", "-J", "-c", peer.inner["b"], "-B", peer.inner["a"], "-t", seconds, *options,
                              check=False, timeout=seconds + 20)
            after = accounting.cpu_seconds(pids), accounting.busy_seconds(), peer.server_bytes()
            report = json.loads(said)
            if "error" in report:
                raise RuntimeError(f"iperf3: {report['error']}")
            return report["end"], [y - x for x, y in zip(before, after, strict=True)]
        finally:
            server.kill()

    def tcp(self, name, *options):
        end, (cpu, busy, via_server) = self.iperf(self.amount.tcp_seconds, *options)
        received = end["sum_received"]
        self.figures[f"{name}_mbps"] = round(received["bits_per_second"] / 1e6, 1)
        self.figures[f"{name}_retransmits"] = end["sum_sent"]["retransmits"]
        if gigabytes := received["bytes"] / 1e9:
            self.figures[f"{name}_cpu_s_per_gb"] = round(cpu / gigabytes, 3)
            self.figures[f"{name}_machine_s_per_gb"] = round(busy / gigabytes, 3)
            self.figures[f"{name}_via_server"] = round(via_server / received["bytes"], 3)
        if self.peer.processes["b"]:
            loaded = [accounting.resident_mib(self.peer.pids(who)) for who in "ab"]
            self.figures["resident_loaded_mib"] = round(max([*loaded, self.figures.get("resident_loaded_mib", 0)]), 1)

    def tcp1(self):
        self.tcp("tcp1")

    def tcp4(self):
        self.tcp("tcp4", "-P", 4)

    def loaded(self):
        """Within the time of a transfer. With 10 ms or less between two pings, ping polls for answers, which
        takes half a processor."""
        seconds = self.amount.loaded_seconds
        pinger = self.b.spawn("ping", "-i", 0.02, "-c", int((seconds - 0.5) * 50), "-w", seconds, self.peer.inner["a"])
        try:
            self.iperf(seconds, "-P", 4)
        finally:
            pinger.wait(30)
        self.latency("loaded", pinger.output())

    def udp(self, size, seconds, rate=0):
        """(packets a second received, sent, share lost); rate in packets a second, 0: as fast as it goes."""
        end, _ = self.iperf(seconds, "-u", "-l", size, "-b", int(rate * size * 8), "-w", "2M")
        packets, lost = end["sum"]["packets"], end["sum"]["lost_packets"]
        if not packets:
            raise RuntimeError("iperf3 sent no packet")
        return (packets - lost) / seconds, packets / seconds, lost / packets

    def udp_flood(self, size):
        received, sent, lost = self.udp(size, self.amount.udp_seconds)
        self.figures |= {f"udp{size}_pps": round(received), f"udp{size}_sent_pps": round(sent),
                         f"udp{size}_lost": round(lost, 4)}
        return received, lost

    def udp64(self):
        self.flood = self.udp_flood(64)

    def udp1200(self):
        self.udp_flood(1200)

    def udp64max(self):
        """By bisection; a failing rate is tried twice, because one hiccup of the computer would decide for all that
        follow. No search is needed if nothing is lost in a flood."""
        received, lost = getattr(self, "flood", None) or self.udp(64, self.amount.udp_seconds)[::2]
        best, low, high = (received if lost <= LOST else 0), 0, 2 * received
        if not best:
            for _ in range(self.amount.search_steps):
                middle = (low + high) / 2
                for _ in range(2):
                    got, _, lost = self.udp(64, 1, middle)
                    if lost <= LOST and got > 0.9 * middle:
                        low, best = middle, max(best, got)
                        break
                else:
                    high = middle
        self.figures["udp64_max_pps"] = round(best)

    def relay(self):
        """A new start while direct traffic between A and B is blocked."""
        if not self.peer.relays:
            return
        self.peer.down()
        self.peer.relaying = True
        try:
            for who, host in ("a", self.a), ("b", self.b):
                host.drop(f"ip daddr {self.lab.hosts[OTHER[who]].v4}")
            self.up()
            time.sleep(0.5)
            self.tcp("relay")
            if self.figures["relay_via_server"] < 0.9:
                raise RuntimeError(f"only {self.figures.pop('relay_via_server')} of it went through S")
        finally:
            self.peer.relaying = False
            for host in self.a, self.b:
                host.drop_nothing()

    def perf(self):
        """Where the cycles of one transfer go: OUT/perf-PEER-symbols.txt, -programs.txt, and .data for more."""
        stem = f"{self.out}/perf-{self.peer.label}"
        recorder = self.lab.hosts["s"].spawn("perf", "record", "-q", "-a", "-g", "-F", 997, "-o", stem + ".data", "--",
                                             "sleep", self.amount.tcp_seconds)
        self.iperf(self.amount.tcp_seconds)
        recorder.wait(30)
        for name, sort in ("symbols", "comm,dso,symbol"), ("programs", "comm,dso"):
            said = sh("perf", "report", "-i", stem + ".data", "--stdio", "--no-children", "-g", "none",
                      "--percent-limit", 0.5, "--sort", sort, timeout=120)
            lines = [re.sub(r"(\s+-)*\s*$", "", line) for line in said.splitlines() if line.strip() and line[0] != "#"]
            with open(f"{stem}-{name}.txt", "w") as file:
                file.write("\n".join(lines) + "\n")
