# SPDX-License-Identifier: MIT
"""Virtual networks on one computer: a host is a network namespace, a switch a bridge in its own namespace.

        lab = Lab()
        a, b = lab.host("a"), lab.host("b")

     [a] eth0 ───┐
    10.77.0.1    ├── [lan] br0          addresses in the order of creation: 10.77.0.N and fd77::N
     [b] eth0 ───┘
    10.77.0.2

A Lab ends and removes everything that it starts or makes: in close() and at exit. The next Lab removes what a killed
run, whose process is gone, left behind.
"""

import atexit
import contextlib
import ctypes
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

PREFIX = "epst-"
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_DO = 10, 23, 2
FIGURES = []  # measurements; conftest.py prints them at the end, even if the test passed
_libc = ctypes.CDLL(None, use_errno=True)


def sh(*argv, check=True, timeout=30):
    """Runs a command to its end; returns its standard output."""
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def wait_until(condition, what, timeout=10.0, pause=0.05):
    """The first true value of condition()."""
    end = time.monotonic() + timeout
    while True:
        if value := condition():
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(pause)


@contextlib.contextmanager
def inside(namespace):
    """This thread's new sockets belong to the namespace."""
    def enter(fd):
        if _libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    other = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        enter(other)
        yield
    finally:
        enter(own)
        os.close(own)
        os.close(other)


class Process:
    """A program in a host, found by its pid. Its output goes to a file."""

    def __init__(self, argv, output, daemon=False):
        self.argv, self.output_path = [str(a) for a in argv], pathlib.Path(output)
        with open(self.output_path, "ab") as file:
            self.popen = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
                preexec_fn=None if daemon else lambda: _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def wait(self, timeout=10):
        return self.popen.wait(timeout)

    def send(self, number):
        if self.running():
            self.popen.send_signal(number)

    def stop(self, number=signal.SIGTERM, timeout=10):
        """Ends it; its exit code (negative: the signal that killed it)."""
        self.send(number)
        return self.wait(timeout)

    def kill(self):
        return self.stop(signal.SIGKILL)

    def output(self):
        return self.output_path.read_text(errors="replace")


class Host:
    def __init__(self, lab, name, number, v4, v6):
        self.lab, self.name, self.namespace, self.number = lab, name, lab.prefix + name, number
        self.v4, self.v6 = v4, v6

    @property
    def address(self):
        return self.v4 or self.v6

    def run(self, *argv, check=True, timeout=30):
        return sh("ip", "netns", "exec", self.namespace, *argv, check=check, timeout=timeout)

    def ip(self, *argv):
        return sh("ip", "-n", self.namespace, *argv)

    def give(self, address, device="eth0"):
        """An address with its prefix. IPv6 addresses are used at once: the kernel detects duplicates in a queue that it
        processes slowly while many namespaces come and go."""
        self.ip("addr", "add", address, "dev", device, *(["nodad"] if ":" in address else []))

    def spawn(self, *argv, daemon=False):
        number = len(self.lab.processes)
        output = self.lab.directory / f"{self.name}-{number}-{pathlib.Path(str(argv[0])).name}.out"
        process = Process(["ip", "netns", "exec", self.namespace, *argv], output, daemon)
        self.lab.processes.append(process)
        return process

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0):
        with inside(self.namespace):
            s = socket.socket(family, kind, protocol)
        s.settimeout(10)
        return s

    def ping(self, target, count=3, interval=0.1, **options):
        """How many of `count` echo requests were answered, the last of them within a second."""
        echo = Echo(self, target, **options)
        for n in range(count):
            time.sleep(interval if n else 0)
            echo.send()
        return echo.finish()

    def drop(self, rule):
        """Drops what an nftables expression matches, in the output hook: "ip daddr 10.77.0.2 udp"."""
        self.run("nft", "add table inet lab; add chain inet lab out { type filter hook output priority 0; }; "
                 f"add rule inet lab out {rule} drop")

    def drop_nothing(self):
        self.run("nft", "delete table inet lab")


class Echo:
    """Echo requests from one host to an address, sent and collected one by one. ping(8) waits for its last answer no
    longer than an interval once it has received one, and a busy computer may pause for longer than that."""

    def __init__(self, host, address, size=56, pattern=b"\0", df=False):
        self.sent, self.answered = [], {}  # sequence number: when
        host.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 0")
        v6 = ":" in address
        self.request, family, protocol = (128, socket.AF_INET6, socket.IPPROTO_ICMPV6) if v6 else (
            8, socket.AF_INET, socket.IPPROTO_ICMP)
        self.socket = host.socket(family, socket.SOCK_DGRAM, protocol)
        self.socket.setblocking(False)
        if df:
            level, option = (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER) if v6 else (socket.IPPROTO_IP, IP_MTU_DISCOVER)
            self.socket.setsockopt(level, option, PMTUDISC_DO)
        with inside(host.namespace):  # of which a link-local address may name an interface
            self.address = socket.getaddrinfo(address, None, family, socket.SOCK_DGRAM)[0][4]
        self.payload = (pattern * size)[:size]

    def send(self):
        header = struct.pack("!BBHHH", self.request, 0, 0, 0, len(self.sent))
        self.sent.append(time.monotonic())
        with contextlib.suppress(OSError):  # no route for the moment, or no room in the interface's queue
            self.socket.sendto(header + self.payload, self.address)

    def collect(self):
        """The requests answered so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                answer = self.socket.recv(100)
                self.answered.setdefault(struct.unpack_from("!H", answer, 6)[0], time.monotonic())

    def finish(self):
        """How many were answered, the last of them within a second, not counting pauses of the computer: the host
        that must answer paused as well."""
        left = 1.0
        self.collect()
        while len(self.answered) < len(self.sent) and left > 0:
            begin = time.monotonic()
            select.select([self.socket], [], [], min(left, 0.05))
            left -= min(time.monotonic() - begin, 0.05)
            self.collect()
        return len(self.answered)


class Pinger:
    """Pings continuously, to see whether anything is ever lost."""

    def __init__(self, host, target, interval=0.05):
        self.echo, self.interval, self.running = Echo(host, target), interval, True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while self.running:
            self.echo.send()
            time.sleep(self.interval)
            self.echo.collect()

    def stop(self):
        """(sent, received)"""
        self.running = False
        self.thread.join()
        return len(self.echo.sent), self.echo.finish()


class Pauses:
    """Detects when this program paused, and with it probably the whole computer."""

    def __init__(self):
        self.spans, self.running = [], True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        before = time.monotonic()
        while self.running:
            time.sleep(0.01)
            now = time.monotonic()
            if now - before > 0.06:
                self.spans.append((before + 0.01, now))
            before = now

    def stop(self):
        self.running = False
        self.thread.join()

    def within(self, begin, end):
        """Seconds of pause in that time. Call it after stop()."""
        return sum(max(0, min(end, b) - max(begin, a)) for a, b in self.spans)


class Lab:
    def __init__(self, prefix=None, mtu=1500, keep=False, v4="10.77.0.{}/24", v6="fd77::{}/64", family=PREFIX):
        self.prefix = prefix or f"{family}{os.getpid()}-"
        self.v4, self.v6, self.cables = v4, v6, 0
        self.mtu, self.keep = mtu, keep
        self.namespaces, self.processes, self.hosts = [], [], {}
        _sweep(prefix, family)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=self.prefix))
        atexit.register(self.close)
        self.switch = self._namespace("lan")
        sh("ip", "-n", self.switch, "link", "add", "br0", "mtu", mtu, "type", "bridge", "mcast_snooping", "0")
        sh("ip", "-n", self.switch, "link", "set", "br0", "up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _namespace(self, name):
        namespace = self.prefix + name
        self.namespaces.append(namespace)
        sh("ip", "netns", "add", namespace)
        sh("ip", "-n", namespace, "link", "set", "lo", "up")
        sh("ip", "netns", "exec", namespace, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        return namespace

    def host(self, name, v4=True, v6=True):
        """A host on the switch; v4 or v6 = False: without such an address."""
        number = len(self.hosts) + 1
        addresses = [self.v4.format(number) if v4 else None, self.v6.format(number) if v6 else None]
        host = Host(self, name, number, *(address and address.split("/")[0] for address in addresses))
        self.add(host)
        host.port = self.plug(host, "eth0", self.switch, "br0")
        for address in filter(None, addresses):
            host.give(address)
        if not v6:
            host.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        host.ip("link", "set", "eth0", "up")
        return host

    def add(self, host):
        """Makes the namespace of a host, without any link."""
        self.hosts[host.name] = host
        self._namespace(host.name)
        host.run("sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")

    def plug(self, host, device, switch, bridge):
        """A cable from a host's new device, still down, to a bridge; the name of its other end there."""
        port = self.cable(host, device, switch)
        sh("ip", "-n", switch, "link", "set", port, "master", bridge, "up")
        return port

    def cable(self, host, device, switch):
        """A cable from a host's new device to another namespace, both ends down; the name of the end there."""
        self.cables += 1
        port = f"p{self.cables}-{host.name}"[:15]
        sh("ip", "-n", switch, "link", "add", port, "mtu", self.mtu, "type", "veth", "peer", "name", device, "mtu",
           self.mtu, "netns", host.namespace)
        return port

    def close(self):
        if not self.keep:
            # If one step fails or is interrupted, the others are still done.
            try:
                self._end_processes()
            finally:
                while self.namespaces:
                    sh("ip", "netns", "del", self.namespaces[-1], check=False)
                    self.namespaces.pop()
                shutil.rmtree(self.directory, ignore_errors=True)
        atexit.unregister(self.close)

    def _end_processes(self):
        for process in reversed(self.processes):
            process.send(signal.SIGTERM)
        while self.processes:
            try:
                self.processes[-1].wait(5)
            except subprocess.TimeoutExpired:
                self.processes[-1].kill()
            self.processes.pop()


def take_down(prefix):
    """Ends every process in the namespaces with that prefix and removes them; returns whether there were any."""
    names = [line.split()[0] for line in sh("ip", "netns", "list").splitlines() if line.startswith(prefix)]
    for name in names:
        for number in signal.SIGTERM, signal.SIGKILL:
            for pid in sh("ip", "netns", "pids", name, check=False).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), number)
            end = time.monotonic() + 3
            while sh("ip", "netns", "pids", name, check=False).split() and time.monotonic() < end:
                time.sleep(0.05)
        sh("ip", "netns", "del", name, check=False)
    for directory in pathlib.Path(tempfile.gettempdir()).glob(prefix + "*"):
        shutil.rmtree(directory, ignore_errors=True)
    return bool(names)


def _sweep(prefix, family):
    """Removes the remains of a killed run: with the given prefix, or of processes that no longer exist."""
    if prefix is not None:
        take_down(prefix)
        return
    for line in sh("ip", "netns", "list").splitlines():
        found = re.match(rf"({family}(\d+)-)", line)
        if found and not os.path.exists(f"/proc/{found.group(2)}"):
            take_down(found.group(1))
