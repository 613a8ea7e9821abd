# SPDX-License-Identifier: MIT
"""Administration of a running network: its picture, and changes of the configuration.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┘
"""

import json
import re
import signal
import subprocess

import pytest
from eps import BIN
from lab import Pinger, sh, wait_until


def rendered(text, engine="dot"):
    """The picture as parsed by Graphviz, {node or edge: attributes}, without any complaints."""
    done = subprocess.run([engine, "-Tjson"], input=text, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and not done.stderr, done.stderr
    picture = json.loads(done.stdout)
    objects = picture["objects"]
    nodes = {o["name"]: o for o in objects if "nodes" not in o}
    edges = [(objects[e["tail"]]["name"], objects[e["head"]]["name"], e) for e in picture.get("edges", [])]
    return nodes, edges


def test_diagram(network):
    file = network.directory / "eps.gv"
    server = network.server(graphviz=file, graphviz_interval=1, interval=1)
    hosts = [network.host(n, v6=False) for n in "abc"]
    for host, other in (hosts[0], hosts[2]), (hosts[2], hosts[0]):
        host.drop(f"ip daddr {other.v4} meta l4proto udp")
    a, b, c = (network.client(h.name, h) for h in hosts)
    for client in a, b:
        client.wait_sees(c)
    assert a.ping(b) == a.ping(c) == 3

    def looks_right():
        text = file.read_text() if file.exists() else ""
        return all(f"<b>{n}</b>" in text for n in "abc") and text.count("tooltip=\"a → ") == 2 and text
    text = wait_until(looks_right, "both pairs are in the picture")
    for engine in "dot", "circo", "neato":
        nodes, edges = rendered(text, engine)
        assert {"server", *(f"m{m['id']}" for m in server.members().values())} <= set(nodes)
        kinds = {e["color"] for _, _, e in edges if "→" in e.get("tooltip", "")}
        assert kinds == {"#2e8b57", "#d9820f"}, "one pair is direct, one relayed"
    why = next(e["tooltip"] for _, _, e in edges if e.get("color") == "#d9820f")
    assert "relayed" in why and len(why.split("relayed", 1)[1]) > 20, "and says why"

    assert "graph eps {" in server.eps("graph")
    assert json.loads(server.eps("--json", "graph"))["dot"].startswith("graph eps {")
    for form, magic in ("png", b"\x89PNG"), ("svg", b"<?xml"):
        picture = network.directory / f"picture.{form}"
        server.eps("graph", f"--{form}", picture)
        assert picture.read_bytes().startswith(magic)
    for place, why in ("/proc/none/x.png", "No such file"), ("/dev/full", "No space left"):
        with pytest.raises(RuntimeError, match=f"cannot write {place}: {why}"):
            server.eps("graph", "--png", place)
    with pytest.raises(RuntimeError, match="Graphviz is not installed"):
        sh("env", "PATH=/nowhere", BIN / "eps", "--socket", server.socket, "graph", "--png", network.directory / "x")


def test_eps_graph_shows_the_present_state(network):
    """It does not wait for the interval, a minute."""
    server = network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    assert "tooltip=\"a → b" in server.eps("graph")
    assert a.ping(b, 50, 0.02, size=1000) == 50
    _, edges = rendered(server.eps("graph"))
    tooltip = next(e["tooltip"] for _, _, e in edges if "→" in e.get("tooltip", ""))
    sent = re.search(r"a → b  (\S+) kB, (\S+) kB/s", tooltip)
    assert float(sent[1]) >= 52 and 5 < float(sent[2]) < 100, tooltip


@pytest.mark.parametrize("how", ["signal", "eps reload"])
def test_reload_loses_no_frame(network, how):
    server = network.server(start=False)
    server.conf.write_text("log-level = info\n")
    server.start().wait_ready()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    pinger = Pinger(a.host, b.address, 0.01)
    card, picture = a.directory / "card", server.directory / "eps.gv"

    def reload(daemon, text):
        daemon.conf.write_text(daemon.conf.read_text() + text)
        if how == "signal":
            daemon.process.send(signal.SIGHUP)
        else:
            daemon.eps("reload")

    reload(server, f"stats\ninterval = 1\ngraphviz = {picture}\nport = 4444\n")
    server.wait_log(r"The configuration was reread\. These changes need a restart: port\.")
    server.wait_log("1-second stats:")
    wait_until(picture.exists, "the diagram")
    reload(a, f"log-level = debug\nscorecard = {card}\ninterval = 1\nserver = 10.77.0.99 10.77.0.1\n")
    a.wait_log(r"The configuration was reread\.\n")
    wait_until(card.exists, "the scorecard")

    a.conf.write_text("no-such-option = 1\n")
    a.process.send(signal.SIGHUP)
    a.wait_log("everything stays as it was: .*unknown option")
    with pytest.raises(RuntimeError, match="unknown option"):
        a.eps("reload")
    card.unlink()
    wait_until(card.exists, "the scorecard goes on")
    sent, received = pinger.stop()
    assert sent > 100 and received == sent


def test_a_changed_server_list_applies_from_the_next_connection(network):
    """The server gets another address; its client learns it from the configuration, without a restart."""
    server = network.server()
    a = network.client("a", join=False, start=False)
    a.options["server"] = None
    a.conf.write_text(f"key = {server.key()}\nserver = {server.host.v4}\n")
    a.start()
    a.wait_joined()
    a.conf.write_text(f"key = {server.key()}\nserver = 10.77.0.77\n")
    assert "was reread" in a.eps("reload")
    assert a.status()["server"]["connected"], "the connection stays"
    server.stop()
    server.host.ip("addr", "flush", "dev", "eth0")
    server.host.ip("addr", "add", "10.77.0.77/24", "dev", "eth0")
    server.start().wait_ready()
    a.wait_status(lambda s: s["server"]["connected"] and s["server"]["endpoint"].startswith("10.77.0.77:"),
                  "is connected to the new address", 30)


def test_reload_without_a_daemon(network):
    host = network.host("a")
    for arguments in ["reload"], ["graph"]:
        done = subprocess.run(["ip", "netns", "exec", host.namespace, BIN / "eps", "--socket",
                               network.directory / "none", *arguments], capture_output=True, text=True, timeout=10)
        assert done.returncode == 3 and "no answer at" in done.stderr
