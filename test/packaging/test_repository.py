# SPDX-License-Identifier: MIT
"""The way of README.md to a network of three computers, in three Debians on one LAN: the repository that
tools/apt-repository makes and serves, and the commands as README.md has them and as the server prints them.

tools/test-packages runs it.
"""

import contextlib
import json
import os
import re
import signal
import subprocess

import pytest
from machine import ROOT, booted, dependencies, package, run, wait_until

URL = "http://10.98.0.1:8043"
MOST_STEPS = 7
NAMES = ["hub", "laptop", "desk"]


@pytest.fixture(scope="module")
def deb():
    return package("eps-conduits_*.deb")


@pytest.fixture(scope="module")
def computers(deb):
    """Three on a bridge, whose namespace is that of the first: 10.98.0.1 to 3. They know no other repository."""
    with contextlib.ExitStack() as stack:
        three = [stack.enter_context(booted([*dependencies(deb), "wget", "ca-certificates"])) for _ in range(3)]
        hub = three[0]
        hub.run("ip", "link", "add", "lan", "type", "bridge")
        hub.run("ip", "link", "set", "lan", "up")
        hub.run("ip", "address", "add", "10.98.0.1/24", "dev", "lan")
        for number, (computer, name) in enumerate(zip(three, NAMES), 1):
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


def steps_of_readme():
    """The commands of its section, as on those computers: there is no sudo, and root types."""
    section = re.search(r"^## A network of three computers\n(.*?)^## ", (ROOT / "README.md").read_text(), re.M | re.S).group(1)
    section = section.partition("\nTo run from the build tree")[0]
    lines = re.findall(r"^    (\S.*?)(?:  +#.*)?$", section, re.M)
    return [re.sub(r"\bsudo ", "", line) for line in lines]


@pytest.fixture(scope="module")
def served(computers, deb, tmp_path_factory):
    """README's first command, on the hub. The source tree is not in there, so it runs in the hub's network only."""
    command = steps_of_readme()[0].split()
    assert command == ["tools/apt-repository", "--serve"]
    home = tmp_path_factory.mktemp("home")
    with open(home / "said", "w+") as said:
        process = subprocess.Popen(
            ["nsenter", "--target", computers[0].leader, "--net", *command, "--url", URL, "--out", home / "repository", deb],
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


def on(computer, line):
    return computer.run("sh", "-c", line, timeout=180)


def status(computer):
    return json.loads(computer.run("eps", "--json", "status"))["client"]


def test_three_computers_by_the_commands_of_the_readme(computers, served):
    steps = steps_of_readme()
    hub, *others = computers
    assert len(steps) == 3 and 1 + len(computers) <= MOST_STEPS
    said = on(hub, steps[1].replace("ADDRESS", "10.98.0.1"))
    printed = re.search(r"^On every client:\n\n    (wget .*)$", said, re.M).group(1).replace("sudo ", "")
    # README shows that line with placeholders.
    key = hub.run("eps", "key").strip()
    assert printed == steps[2].replace("ADDRESS", "10.98.0.1").replace("SERVER", "10.98.0.1").replace("KEY", key)
    for computer in others:
        on(computer, printed)
        assert status(computer)["server"]["connected"]
    address = status(others[1])["address"].split("/")[0]
    wait_until(lambda: "1 received" in others[0].run("ping", "-c1", "-W1", address, check=False), "they ping each other")
    peers = others[0].run("eps", "peers")
    assert "hub" in peers and "desk" in peers


def test_apt_trusts_the_repository_by_its_own_key_only(computers, served):
    computer = computers[1]
    assert URL in computer.run("apt-cache", "policy", "eps-conduits")
    sources = computer.path("/etc/apt/sources.list.d/eps-conduits.sources")
    text = sources.read_text()
    assert "BEGIN PGP PUBLIC KEY BLOCK" in text and not list(computer.path("/etc/apt/trusted.gpg.d").glob("eps*"))
    release = served / "dists/bookworm/InRelease"
    signed = release.read_text()
    release.write_text(signed.replace("Label: EPS", "Label: Eve"))
    assert "BADSIG" in computer.run("apt-get", "update", check=False)
    release.write_text(signed)
    computer.run("apt-get", "update")


def test_the_installer_refuses_another_system(computers, served):
    script = (served / "install.sh").read_text().replace("/etc/os-release", "/dev/null")
    assert "for Debian 12" in computers[2].run("sh", "-c", script, check=False)


def test_half_an_installer_does_nothing(computers, served):
    script = (served / "install.sh").read_text()
    assert computers[2].run("sh", "-c", script[:script.index("\nmain ")]) == ""
