# SPDX-License-Identifier: MIT
"""Several threads move frames, in both programs: everything arrives, and each flow stays in order.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┤
     [c] ───────┘
"""

import concurrent.futures
import os
import pathlib
import re
import select
import socket
import struct
import time

import pytest
from eps import SANITIZED
from lab import wait_until
from wire import transfer, udp_receiver

BYTES = 3_000_000 if SANITIZED else 30_000_000


@pytest.fixture
def members(network):
    server = network.server(workers=2)
    return server, *(network.client(name, workers=3) for name in ("a", "b", "c"))


def threads(daemon):
    return len(list(pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir()))


def test_each_worker_has_a_queue(members, network):
    server, a, *_ = members
    one = network.client("one", workers=1)
    assert threads(a) - threads(one) == 2
    assert a.host.run("ls", "/sys/class/net/eps0/queues").split() == ["rx-0", "rx-1", "rx-2", "tx-0", "tx-1", "tx-2"]
    assert len(a.host.run("ss", "-uanH", f"sport = :{a.status()['data_port']}").splitlines()) == 3
    assert len(server.host.run("ss", "-uanH", "sport = :43439").splitlines()) == 2


def test_privileged_port(network):
    """All sockets are open before the server drops the privileges for them: the port, and buffers for bursts."""
    server = network.server(workers=2, port=443)
    a, b = (network.client(name, port=443) for name in "ab")
    a.wait_sees(b)
    assert a.ping(b) == 3
    room = re.findall(r"skmem:\(r\d+,rb(\d+),t\d+,tb(\d+),", server.host.run("ss", "-uanmH", "sport = :443"))
    assert len(room) == 2 and len(set(room)) == 1, room


def wake_ups(daemon):
    """For each thread but the one that makes reports, which nothing else wakes."""
    def of(task):
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", (task / "status").read_text(), re.M)[1])
    tasks = pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir()
    return {task.name: of(task) for task in tasks if (task / "comm").read_text() != "eps-reports\n"}


def test_a_change_reaches_workers_without_traffic(network):
    """They release the keys of removed members."""
    server = network.server(workers=2)
    a, c = (network.client(name, workers=3, upnptimeout=0) for name in "ac")
    a.wait_sees(c)
    c.stop()
    a.wait_status(lambda s: not any(p["name"] == "c" and p["online"] for p in s["peers"]), "c is gone")
    time.sleep(1)  # the kernel's first words on the interface
    before = wake_ups(a)
    assert len(before) == 4 + ("thread" in SANITIZED), "control and the workers, and one of the sanitizer's own"
    server.eps("members", "remove", "c")
    wait_until(lambda: all(n > before[task] for task, n in wake_ups(a).items()), "every thread of a woke", 5)


def many_streams(pairs):
    """Streams between all pairs at the same time; each arrives complete."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = [pool.submit(transfer, x.host, y.host, y.address, BYTES, port=6000 + n)
                for n, (x, y) in enumerate(pairs)]
        for job in jobs:
            sent, came, _ = job.result()
            assert sent == came


def test_streams_between_all(members):
    _, a, b, c = members
    many_streams([(a, b), (b, a), (a, c), (c, a), (b, c), (c, b)] * 2)


def test_streams_through_the_relay(members):
    server, *clients = members
    for client in clients:
        others = [x.host for x in clients if x is not client]
        client.host.drop(f"ip daddr {{ {', '.join(x.v4 for x in others)} }} oifname eth0 meta l4proto udp")
        v6 = ", ".join([*(x.v6 for x in others), "fe80::/10"])
        client.host.run("nft", f"add rule inet lab out ip6 daddr {{ {v6} }} oifname eth0 meta l4proto udp drop")
    a, b, c = clients
    many_streams([(a, b), (b, c), (c, a)])
    assert sum(m["relayed"]["bytes_forwarded"] for m in server.members().values()) > 3 * BYTES


def test_datagrams_of_a_flow_stay_in_order(network):
    """On one path: datagrams on another, to which the path changes, may overtake the rest."""
    network.server(workers=2)
    a, b = (network.client(name, host=network.host(name, v6=False), workers=3) for name in "ab")
    a.wait_sees(b)
    # Packets that wait in the kernel for an ARP answer are overtaken by those sent when it has arrived.
    assert a.ping(b) == 3
    a.wait_path(b, "direct")
    flows = [(udp_receiver(b.host, port=7000 + n), 7000 + n) for n in range(6)]
    for receiver, _ in flows:
        receiver.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
    senders = [a.host.socket(kind=socket.SOCK_DGRAM) for _ in flows]
    came = [[] for _ in flows]

    def collect(least, seconds):
        """Until this many of each flow have arrived: a computer that pauses for a moment has no room for the rest."""
        end = time.monotonic() + seconds
        while min(map(len, came)) < least and time.monotonic() < end:
            ready = select.select([receiver for receiver, _ in flows], [], [], 0.01)[0]
            for numbers, (receiver, _) in zip(came, flows, strict=True):
                if receiver in ready:
                    numbers.append(struct.unpack_from("!I", receiver.recv(1000))[0])

    for number in range(2000):
        for sender, (_, port) in zip(senders, flows, strict=True):
            sender.sendto(struct.pack("!I", number) + os.urandom(200), (b.address, port))
        if number % 16 == 0:
            collect(number - 50, 0.5)
    collect(2000, 3)
    for numbers in came:
        assert len(numbers) > 1800 and numbers == sorted(numbers)
    for sender in senders:
        sender.close()
