# SPDX-License-Identifier: MIT
"""The daemons' notifications to systemd: each has a notification socket of this test.

     [server] ──┐
                ├── [lan]
     [a] ───────┘
"""

import os
import socket
import time

import pytest
from lab import wait_until


class Manager:
    """systemd's end of the socket. Programs started in the with-block are its service."""

    def __init__(self, directory, watchdog=None):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": str(directory / f"notify-{id(self)}")}
        if watchdog:
            self.environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        self.socket.bind(self.environment["NOTIFY_SOCKET"])
        self.said = []

    def __enter__(self):
        os.environ.update(self.environment)
        return self

    def __exit__(self, *_):
        for name in self.environment:
            del os.environ[name]

    def heard(self):
        """Every assignment so far."""
        while True:
            try:
                self.said += self.socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return self.said

    def wait(self, assignment, timeout=20):
        wait_until(lambda: assignment in self.heard(), f"{assignment} among {self.said}", timeout)


@pytest.fixture
def manager(network):
    return lambda **options: Manager(network.directory, **options)


def test_server(network, manager):
    with manager() as service:
        server = network.server()
    assert service.heard() == ["READY=1", "STATUS=Listening on TCP and UDP port 43439"]
    server.eps("reload")
    server.stop()
    assert service.heard()[2:] == ["RELOADING=1", "READY=1", "STOPPING=1"]


def test_client_is_ready_with_its_interface(network, manager):
    server = network.server(sequential=True)
    with manager() as service:
        a = network.client("a")
    service.wait("READY=1")
    assert service.heard() == ["READY=1", "STATUS=eps0 is up with the address 192.168.43.1/24"]
    server.stop()
    service.wait("STATUS=Waiting for the server")
    assert service.heard().count("READY=1") == 1
    a.stop()
    assert service.heard()[-1] == "STOPPING=1"


def test_client_is_ready_without_a_network(network, manager):
    server = network.server()
    host = network.host("a")
    host.drop(f"ip daddr {server.host.address}")
    with manager() as service:
        a = network.client("a", host=host, join=False)
    service.wait("READY=1")
    assert service.heard() == ["READY=1", "STATUS=Waiting for the server"]
    host.drop_nothing()
    a.wait_joined(timeout=40)
    service.wait(f"STATUS=eps0 is up with the address {a.address}/24")


def test_a_failed_start_is_not_reported_as_ready(network, manager):
    network.server()
    with manager() as service:
        a = network.client("a", key="eps1-nonsense", join=False)
    a.failed()
    assert "READY=1" not in service.heard()


def test_watchdog_is_fed_while_the_daemon_runs(network, manager):
    with manager(watchdog=1) as service:
        network.server()
    wait_until(lambda: service.heard().count("WATCHDOG=1") >= 4, "four pings", 20)
    begin, before = time.monotonic(), service.heard().count("WATCHDOG=1")
    wait_until(lambda: service.heard().count("WATCHDOG=1") >= before + 4, "four more", 20)
    assert time.monotonic() - begin > 1, "a ping every half of the limit, no more"
