# SPDX-License-Identifier: MIT
"""The simulated NATs (test/sim/nat.h) compared with those of the kernel: the same datagrams have the same fate.

     [a] ──┬── [r] ──── internet ──┬── [x]
     [b] ──┘                       └── [y]        double: a second router between r and the internet

A script of sends, flushes and pauses (its language: test/sim/nat_scenario.cc) is run by the simulation and by real
hosts. The receiver of each datagram, its source host, and which ports are the same must agree.
"""

import os
import pathlib
import random
import select
import socket
import time

import pytest
from lab import sh, wait_until

SCENARIO = pathlib.Path(os.environ["EPS_BIN"]).parents[1] / "test/sim/eps_sim_nat_scenario"
TIMEOUT = 4  # seconds, of a mapping in the simulation, where only "wait" takes time
KINDS = {
    "preserving": {},
    "random": {"nat": "random"},
    "cone": {"nat": "cone"},
    "hairpin": {"nat": "cone", "hairpin": True},
    "double": {},
    "firewall": {"nat": None, "ipv6": True},
}

# Scripts that distinguish the behaviours of RFC 4787.
SCRIPTS = {
    "mapping": """
        send a:7000 x:1000
        send a:7000 x:2000
        send a:7000 y:1000
        send a:7000 x:1000
        send b:7000 x:1000
        send b:7000 y:2000
        send a:8000 x:1000""",
    "filtering": """
        send x:1000 wan:7000
        send a:7000 x:1000
        send x:1000 @a:7000/x:1000
        send x:2000 @a:7000/x:1000
        send y:1000 @a:7000/x:1000
        send x:2000 wan:7000
        send a:7000 x:2000
        send x:2000 @a:7000/x:1000
        send x:1000 @a:7000/x:2000""",
    "unsolicited": """
        send y:1000 wan:7000
        send x:1000 wan:7000
        send a:7000 x:1000
        send b:7000 x:1000
        send x:1000 @b:7000/x:1000
        send x:1000 @a:7000/x:1000""",
    "forwarded": """
        send x:1000 wan:40000
        send a:40000 x:1000
        send y:1000 wan:40000
        send y:2000 wan:41000
        send b:41000 y:2000
        send a:40001 x:1000
        send a:7000 x:1000
        send b:7000 x:1000
        send y:1000 @a:40001/x:1000
        send y:1000 @a:7000/x:1000""",
    "hairpin": """
        send a:7000 x:1000
        send b:8000 x:1000
        send a:7000 @b:8000/x:1000
        send b:8000 @a:7000/x:1000
        send a:7000 wan:41000
        send b:41000 @a:7000/b:41000
        send a:40000 wan:41000
        send b:41000 wan:40000
        send a:7000 b:8000
        send b:8000 a:7000""",
    "flush": """
        send a:7000 x:1000
        send b:7000 x:1000
        send x:1000 @a:7000/x:1000
        flush
        send x:1000 @a:7000/x:1000
        send x:1000 @b:7000/x:1000
        send b:7000 x:1000
        send a:7000 x:1000
        send x:1000 @b:7000/x:1000
        send x:1000 wan:40000""",
    "timeout": f"""
        send a:7000 x:1000
        send b:7000 x:1000
        wait {TIMEOUT - 2}
        send a:7000 x:1000
        send x:1000 @b:7000/x:1000
        wait {TIMEOUT - 2}
        send x:1000 @a:7000/x:1000
        send x:1000 @b:7000/x:1000
        wait {TIMEOUT + 2}
        send x:1000 @a:7000/x:1000
        send x:1000 @b:7000/x:1000
        send b:7000 x:1000
        send a:7000 x:1000""",
}


def anything(seed, steps=60):
    """Sends at random."""
    r = random.Random(seed)
    inside = ["a:7000", "a:8000", "b:7000", "a:40000", "b:41000"]
    outside = ["x:1000", "x:2000", "y:1000", "y:2000"]
    sent = []
    for _ in range(steps):
        kind = r.randrange(10)
        if kind < 4 or not sent:
            pair = r.choice(inside), r.choice(outside)
            sent.append(pair)
            yield "send {} {}".format(*pair)
        elif kind < 8:
            yield "send {} @{}/{}".format(r.choice(outside), *r.choice(sent))
        elif kind < 9:
            yield f"send {r.choice(outside)} wan:{r.choice([7000, 8000, 40000, 41000])}"
        elif r.randrange(3) == 0:
            yield "flush"


class Real:
    """The same as the simulation's scenario, with hosts and routers."""

    def __init__(self, lab, kind, timeout):
        self.v6 = kind == "firewall"
        provider = lab.router("cg", lan="100.64.0.0/24") if kind == "double" else None
        self.router = lab.router("r", behind=provider, **KINDS[kind])
        self.wan = (provider or self.router).v4
        self.hosts = {name: self.router.host(name) for name in "ab"} | {name: lab.host(name) for name in "xy"}
        for host in filter(None, (self.router, provider)):
            for name in "udp_timeout", "udp_timeout_stream":
                host.run("sysctl", "-qw", f"net.netfilter.nf_conntrack_{name}={timeout}")
        # Neighbours are resolved in advance, so that nothing waits for that, nor for a cable to come up.
        for host, other in "ax", "bx", "xy", "ab", "ba":
            wait_until(lambda host=host, other=other: self.hosts[host].ping(self.address(other), 1) == 1,
                       f"{host} reaches {other}")
        self.sockets, self.seen, self.number = {}, {}, 0

    def address(self, name):
        return self.hosts[name].v6 if self.v6 else self.hosts[name].v4

    def socket(self, name):
        if name not in self.sockets:
            host, port = name.split(":")
            s = self.hosts[host].socket(socket.AF_INET6 if self.v6 else socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((self.address(host), int(port)))
            self.sockets[name] = s
        return self.sockets[name]

    def target(self, name):
        if name.startswith("@"):
            return self.seen.get(name[1:])
        host, port = name.split(":")
        if host == "wan":
            return self.wan, int(port)
        self.socket(name)
        return self.address(host), int(port)

    def name(self, source):
        hosts = {self.address(name): name for name in self.hosts} | {self.wan: "wan"}
        return f"{hosts.get(source[0], source[0])}:{source[1]}"

    def run(self, line, arrives):
        what, *words = line.split()
        if what == "flush":
            self.router.flush_conntrack()
        if what == "wait":
            time.sleep(int(words[0]))
        if what != "send" or not (to := self.target(words[1])):
            return "-"
        self.number += 1
        datagram = str(self.number).encode()
        self.socket(words[0]).sendto(datagram, to)
        # Datagrams may take a while to arrive on a busy computer.
        ready = select.select(list(self.sockets.values()), [], [], 5 if arrives else 0.2)[0]
        if not ready:
            return "lost"
        got, source = ready[0].recvfrom(100)
        assert got == datagram, f"{got} came late, while {line} was on its way"
        receiver = next(name for name, s in self.sockets.items() if s is ready[0])
        self.seen[f"{words[0]}/{receiver}"] = source[:2]
        return f"{receiver} {self.name(source)}"


def compare(lab, kind, script):
    simulated = sh("sh", "-c", 'printf "%s\n" "$1" | "$2" "$3"', "sh", "\n".join(script), SCENARIO, kind).splitlines()
    assert len(simulated) == len(script)
    # Real sends take time, and more on a busy computer: without "wait" no mapping must expire, and with it those
    # that were not used for TIMEOUT + 2 seconds, but none that were used TIMEOUT - 2 seconds ago.
    real = Real(lab, kind, TIMEOUT + 1 if any(line.startswith("wait") for line in script) else 600)
    known, chance = {}, set()
    for number, (line, there) in enumerate(zip(script, simulated, strict=True)):
        here = real.run(line, arrives=there[0] not in "-l")
        what = f"{kind}, step {number}, {line}: the simulation says {there}, the kernel {here}"
        assert here.rpartition(":")[0] == there.rpartition(":")[0], what
        if ":" in there:
            # Random ports differ, but equal ports in one must be equal in the other.
            ports = [int(result.rpartition(":")[2]) for result in (here, there)]
            sender = int(line.split()[1].rpartition(":")[2])
            alike = (known.setdefault(("here", ports[0]), ports[1]) == ports[1] and
                     known.setdefault(("there", ports[1]), ports[0]) == ports[0] and
                     (ports[0] == sender) == (ports[1] == sender))
            # Two random ports may be equal by chance; a NAT that assigns equal ones does so every time.
            if not alike and kind == "random":
                chance.add(ports[1])
            assert alike or len(chance) == 1, what


def script_for(kind, steps):
    """A firewall has no address of its own to send to."""
    return [step for step in steps if kind != "firewall" or "wan:" not in step]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_behaviour(lab, kind, name):
    compare(lab, kind, script_for(kind, [line.strip() for line in SCRIPTS[name].strip().splitlines()]))


@pytest.mark.parametrize("kind", KINDS)
def test_random_scripts(lab, kind):
    compare(lab, kind, script_for(kind, anything(f"{kind} 1")))
