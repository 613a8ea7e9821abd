# SPDX-License-Identifier: MIT
"""State on disk, when the disk returns nothing or accepts nothing.

     [server] ──┐
     [a], [b] ──┴── [lan]
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

import pytest
from eps import BIN
from lab import sh, wait_until


@contextlib.contextmanager
def read_only(path):
    """The directory is read-only."""
    sh("mount", "--bind", path, path)
    try:
        sh("mount", "-o", "remount,ro,bind", path)
        yield lambda: sh("mount", "-o", "remount,rw,bind", path)
    finally:
        sh("umount", "-l", path)


@pytest.mark.parametrize("lost", ["the database is empty", "the database is gone", "the directory is gone"])
def test_a_lost_network_is_not_replaced_silently(network, lost):
    server = network.server()
    network.client("a")
    key = server.key()
    assert server.stop() == 0
    saved = server.directory / "saved"
    shutil.copytree(server.state, saved)
    database = server.state / "server/server.db"
    if lost == "the database is empty":
        database.write_bytes(b"")
    elif lost == "the database is gone":
        database.unlink()
    else:
        shutil.rmtree(server.state)
    code, said = server.start().failed()
    assert code == 1
    assert "The network is lost" in said and "Restore" in said and f'"key = ..." in {server.conf}' in said
    shutil.rmtree(server.state, ignore_errors=True)
    shutil.copytree(saved, server.state)
    server.restart()
    assert server.key() == key and set(server.members()) == {"a"}
    # Beginning another one works as it says.
    assert server.stop() == 0
    shutil.rmtree(server.state)
    server.conf.write_text("")
    server.restart()
    assert server.key() != key


def test_both_programs_start_on_a_read_only_disk(network):
    server = network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    a.stop()
    server.stop()
    with read_only(a.state), read_only(server.state) as make_writable:
        server.restart()
        assert re_search(server, "starts from the stored state")
        a.start()
        a.wait_joined(30)
        assert "starts from the stored state" in a.log()
        b.wait_status(lambda s: s["server"]["connected"], "is back", 30)
        a.wait_sees(b)
        assert a.ping(b) == 3
        server.eps("members", "remove", "b", check=False)
        assert set(server.members()) == {"a", "b"}, "who cannot be removed durably is not removed"
        c = network.client("c", join=False)
        c.wait_log("cannot save the new member")
        assert "the last change could not be saved" in server.eps("doctor", check=False)
        assert re_search(server, "Fix that on the server.") and ".." not in server.log()
        # A running daemon has the mounts of its start: `ip netns exec` gives it a mount namespace of its own.
        assert server.stop() == 0
        make_writable()
        server.restart()
        c.wait_joined(30)
        assert set(server.members()) == {"a", "b", "c"}
        server.stop()
        a.stop()


def re_search(daemon, text):
    return wait_until(lambda: text in daemon.log(), f"{text!r} in the log")


def test_a_fifo_as_the_configuration_does_not_block(network):
    network.server()
    a = network.client("a", join=False, start=False)
    text = a.conf.read_text() if a.conf.exists() else ""
    a.conf.unlink(missing_ok=True)
    os.mkfifo(a.conf)
    with subprocess.Popen(["sh", "-c", 'printf %s "$1" > "$2"', "sh", text, a.conf]):
        a.start()
    a.wait_joined()
    a.process.popen.send_signal(signal.SIGHUP)
    a.wait_log("The configuration was not reread.*nothing came through it")
    assert a.stop() == 0


def test_output_that_cannot_be_written_is_an_error(network):
    server = network.server()
    asked = ["status", "--json status", "members", "doctor", "watch", "graph", "pairs", "audit", "keys list"]
    commands = [["eps", "--socket", server.socket, *words.split()] for words in asked]
    commands += [["eps", "--state", server.state, "key"]]
    commands += [[program, option] for program in ("eps", "eps-client", "eps-server")
                 for option in ("--help", "--version")]
    for program, *arguments in commands:
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([BIN / program, *arguments], stdout=full, stderr=subprocess.PIPE, text=True,
                                  timeout=20)
        assert done.returncode == 1, (program, arguments)
        assert f"{program}: cannot write to standard output" in done.stderr, (program, arguments)


@pytest.mark.parametrize("descriptor", [1, 2])
def test_a_closed_standard_descriptor_is_not_taken_by_something_else(network, descriptor):
    """The socket of "eps ping" would get its number, and with it the output."""
    network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    closed = ["sh", "-c", f'exec "$@" {descriptor}>&-', "sh"]
    done = subprocess.run(["ip", "netns", "exec", a.host.namespace, *closed, BIN / "eps", "--socket", a.socket, "ping",
                           "--count", "1", "b"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    if descriptor == 1:
        assert done.returncode == 1 and "cannot write to standard output" in done.stderr
    else:
        assert done.returncode == 0 and "1 answered" in done.stdout
    a.stop()
    a.launcher = closed
    a.start().wait_joined()
    fd = pathlib.Path(f"/proc/{a.process.pid}/fd/{descriptor}")
    assert fd.readlink() == pathlib.Path("/dev/null")


def test_a_copied_state_directory_is_reported_and_one_of_the_two_stays_connected(network):
    server = network.server()
    a, b = network.clients("a", "b")
    copy = network.client("a", host=network.host("copy"), start=False)
    shutil.copytree(a.state, copy.state)
    copy.start().wait_joined()
    a.wait_status(lambda s: "directory was copied" in s["server"]["note"], "hears that there is a copy")
    server.wait_log(r"a \(.*\) exists twice, at 10\.77\.0\.\d and at 10\.77\.0\.\d: its state directory was copied")
    assert "a exists twice" in server.eps("doctor", check=False)
    assert "is connected with this computer's key" in a.eps("doctor", check=False)
    assert copy.status()["server"]["connected"]
    assert copy.ping(b) > 0
    copy.stop()
    a.wait_status(lambda s: s["server"]["connected"], "takes the place that is free", 20)
