# SPDX-License-Identifier: MIT
"""Three booted Debians on one LAN, for tests that make networks of them. Each test file has a fixture `packages`: what
is installed there before EPS Conduits."""

import contextlib
import os
import signal
import subprocess

import pytest
from machine import NAMES, ROOT, URL, booted, package, run, wait_until


@pytest.fixture(scope="module")
def deb():
    return package("eps-conduits_*.deb")


@pytest.fixture(scope="module")
def computers(packages):
    """Three on a bridge, whose namespace is that of the first: 10.98.0.1 to 3. They know no other repository."""
    with contextlib.ExitStack() as stack:
        three = [stack.enter_context(booted(packages)) for _ in range(3)]
        hub = three[0]
        hub.run("ip", "link", "add", "lan", "type", "bridge")
        hub.run("ip", "link", "set", "lan", "up")
        hub.run("ip", "address", "add", "10.98.0.1/24", "dev", "lan")
        for number, (computer, name) in enumerate(zip(three, NAMES, strict=True), 1):
            computer.run("hostname", name)
            for source in "sources.list", "sources.list.d/debian.sources":
                computer.path(f"/etc/apt/{source}").unlink(missing_ok=True)
            if computer is not hub:
                # Made in its own namespace, and one end moved from there to the hub's.
                run("nsenter", "--target", computer.leader, "--net", "ip", "link", "add", "lan", "type", "veth", "peer",
                    "name", f"port{number}", "netns", hub.leader)
                hub.run("ip", "link", "set", f"port{number}", "master", "lan", "up")
                computer.run("ip", "address", "add", f"10.98.0.{number}/24", "dev", "lan")
                computer.run("ip", "link", "set", "lan", "up")
        yield three


@pytest.fixture(scope="module")
def served(computers, deb, tmp_path_factory):
    """tools/apt-repository on the hub. The source tree is not in there, so it runs in the hub's network only."""
    home = tmp_path_factory.mktemp("home")
    with open(home / "said", "w+") as said:
        process = subprocess.Popen(
            ["nsenter", "--target", computers[0].leader, "--net", "tools/apt-repository", "--serve", "--url", URL,
             "--out", home / "repository", deb],
            cwd=ROOT, env=os.environ | {"HOME": str(home)}, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            start_new_session=True)
        try:
            def look():
                assert process.poll() is None, (home / "said").read_text()
                return "Serving" in (home / "said").read_text() and computers[0].run(
                    "wget", "-qO-", f"{URL}/install.sh", check=False)
            wait_until(look, "the repository is served", 60)
            yield home / "repository"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
