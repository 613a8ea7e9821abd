# SPDX-License-Identifier: MIT
"""README.md's route to a network of three computers, in three Debians on one LAN: the repository that
tools/apt-repository makes and serves, and the commands as README.md has them and as the server prints them.

tools/test-packages runs it.
"""

import json
import re

import pytest
from machine import ROOT, URL, dependencies, wait_until

MOST_STEPS = 7


@pytest.fixture(scope="module")
def packages(deb):
    return [*dependencies(deb), "wget", "ca-certificates"]


def steps_of_readme():
    """The commands of its section, as on those computers: there is no sudo, and root types."""
    readme = (ROOT / "README.md").read_text()
    section = re.search(r"^## A network of three computers\n(.*?)^## ", readme, re.M | re.S).group(1)
    section = section.partition("\nTo run from the build tree")[0]
    lines = re.findall(r"^    (\S.*?)(?:  +#.*)?$", section, re.M)
    return [re.sub(r"\bsudo ", "", line) for line in lines]


def on(computer, line):
    return computer.run("sh", "-c", line, timeout=180)


def status(computer):
    return json.loads(computer.run("eps", "--json", "status"))["client"]


def test_three_computers_by_the_commands_of_the_readme(computers, served):
    steps = steps_of_readme()
    hub, *others = computers
    assert steps[0] == "tools/apt-repository --serve"  # as conftest.py runs it
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
    wait_until(lambda: "1 received" in others[0].run("ping", "-c1", "-W1", address, check=False),
               "they ping each other")
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
