# SPDX-License-Identifier: MIT
"""Pages for monitoring over HTTP.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┘
"""

import json
import pathlib
import re
import socket
import time

import pytest
from eps import BIN
from lab import sh, wait_until

API = pathlib.Path(__file__).parents[2] / "docs/api.md"
SAMPLE = re.compile(r'eps_[a-z_]+(\{[a-z]+="[^"]+"(,[a-z]+="[^"]+")?\})? \d+(\.\d+)?')


def fields(value):
    """The names of all fields, but for those of traffic."""
    if isinstance(value, list):
        return set().union(*map(fields, value))
    if not isinstance(value, dict):
        return set()
    names = {name for name in value if not re.match("packets_|bytes_", name)}
    return names.union(*map(fields, value.values()))


def get(host, path, address="127.0.0.1", port=9100, name=None, method="GET"):
    """(status, {header: value}, body)"""
    with host.socket() as s:
        s.connect((address, port))
        s.sendall(f"{method} {path} HTTP/1.1\r\nHost: {name or address}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while more := s.recv(65536):
            answer += more
    head, body = answer.decode().split("\r\n\r\n", 1)
    first, *headers = head.split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in headers), body


def test_pages_of_both(network):
    server = network.server(http=9100, interval=1)
    a, b = (network.client(n, http="0.0.0.0:9100") for n in "ab")
    a.wait_sees(b)
    assert a.ping(b) == 3

    status, headers, text = get(server.host, "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "eps_members_online 2" in text.splitlines()
    for page in text, get(a.host, "/metrics")[2]:
        lines = page.splitlines()
        comment = r"# (TYPE eps_[a-z_]+ (counter|gauge)|HELP eps_[a-z_]+ .+\.)"
        assert all(SAMPLE.fullmatch(line) or re.fullmatch(comment, line) for line in lines)
        names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
        assert len(names) == len(set(names)), "each name once"
    wait_until(lambda: 'eps_pair_packets_sent_total{from="a",to="b"}' in get(server.host, "/metrics")[2], "pairs")
    assert "eps_peers_direct 1" in get(b.host, "/metrics", address=a.host.v4)[2], "from elsewhere, as was asked for"

    status, headers, text = get(server.host, "/api/v1/network")
    assert status == 200 and headers["Content-Type"] == "application/json"
    assert {m["name"] for m in json.loads(text)["members"]} == {"a", "b"}
    assert set(json.loads(text)) == set(server.status()), "the same as `eps --json status`"
    client = json.loads(get(a.host, "/api/v1/network")[2])
    assert client["name"] == "a"
    described = set(re.findall(r"`(\w+)`", API.read_text()))
    undescribed = (fields(json.loads(text)) | fields(client)) - described
    assert not undescribed, f"describe {sorted(undescribed)} in docs/api.md"
    assert get(server.host, "/network.gv")[2].startswith("graph eps {")
    assert get(a.host, "/network.gv")[0] == get(a.host, "/")[0] == 404
    assert get(server.host, "/healthz")[0] == get(a.host, "/healthz")[0] == 200
    server.stop()
    status, _, text = wait_until(lambda: (page := get(a.host, "/healthz"))[0] == 503 and page, "the client is not well")
    assert "Not connected to the server" in text


def test_it_is_off_by_default_and_local_without_an_address(network):
    silent = network.server()
    with pytest.raises(ConnectionRefusedError):
        get(silent.host, "/metrics")
    silent.stop()
    server = network.server(silent.host, http=9100)
    a = network.host("a")
    with pytest.raises(ConnectionRefusedError):
        get(a, "/metrics", address=server.host.v4)
    assert get(server.host, "/metrics", name="evil.example")[0] == 421
    assert get(server.host, "/metrics", method="DELETE")[0] == 405


@pytest.mark.parametrize("address", ["10.77.0.99", "fd77::99"])
def test_an_address_that_appears_later(network, address):
    v6 = ":" in address
    server = network.server(http=f"[{address}]:9100" if v6 else f"{address}:9100")
    server.host.give(f"{address}/{64 if v6 else 24}")
    other = network.host("a")
    wait_until(lambda: other.ping(address, 1) == 1, "the address is there")
    with other.socket(socket.AF_INET6 if v6 else socket.AF_INET) as s:
        s.connect((address, 9100))
        s.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.0 200 OK\r\n")


def test_a_taken_port(network):
    server = network.server(http=9100)
    code, said = network.server(server.host, start=False, port=4444, http=9100).start().failed()
    assert code == 1 and "Cannot serve HTTP at 127.0.0.1:9100: Address already in use" in said


def test_silent_connections_delay_nobody(network):
    server = network.server(http=9100)
    idle = [server.host.socket() for _ in range(40)]
    for s in idle:
        s.connect(("127.0.0.1", 9100))
        s.sendall(b"GET /metrics HTTP/1.1\r\n")
    started = time.monotonic()
    network.clients("a", "b")
    assert "a" in sh(BIN / "eps", "--socket", server.socket, "members")
    wait_until(lambda: _closed(idle[0]), "a silent connection ends", 15)
    assert get(server.host, "/healthz")[0] == 200
    assert time.monotonic() - started < 60
    for s in idle:
        s.close()


def _closed(s):
    s.setblocking(False)
    try:
        return s.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
