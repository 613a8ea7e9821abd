# SPDX-License-Identifier: MIT
"""The Ansible role on three booted Debians, over SSH: packaging/ansible/site.yml makes a server, which is a member as
well, and two other members; run again it changes nothing.

sudo tools/test-packages ansible runs it.
"""

import json
import re

import pytest
from machine import NAMES, ROOT, URL, dependencies, run, wait_until

# What Ansible needs of a computer.
HOSTS = ["openssh-server", "python3", "python3-apt"]


@pytest.fixture(scope="module")
def packages(deb):
    return [*dependencies(deb), "wget", "ca-certificates", *HOSTS]


@pytest.fixture(scope="module")
def play(computers, served, tmp_path_factory):
    """Runs the playbook from the hub's network; {name: {"ok": 7, "changed": 2, ...}}."""
    home = tmp_path_factory.mktemp("ansible")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / "id")
    for computer in computers:
        computer.path("/etc/ssh/test_keys").write_text((home / "id.pub").read_text())
        computer.path("/etc/ssh/sshd_config.d/test.conf").write_text("AuthorizedKeysFile /etc/ssh/test_keys\n")
        computer.run("ssh-keygen", "-A")
        computer.run("systemctl", "restart", "ssh")
    hosts = [f"{name} ansible_host=10.98.0.{number}" for number, name in enumerate(NAMES, 1)]
    (home / "inventory.ini").write_text("\n".join([
        "[all:vars]", f"eps_conduits_repository={URL}", "eps_conduits_server=10.98.0.1", "ansible_user=root",
        f"ansible_ssh_private_key_file={home}/id",
        "ansible_ssh_common_args=-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
        "[eps_server]", hosts[0], "[eps_clients]", *hosts[1:], ""]))

    def play():
        said = run("nsenter", "--target", computers[0].leader, "--net",
                   "ansible-playbook", "-i", home / "inventory.ini", ROOT / "packaging/ansible/site.yml", timeout=300,
                   env={"HOME": str(home), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})
        recap = re.findall(r"^(\S+) +: ((?:\w+=\d+ *)+)$", said, re.M)
        return {host: {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", counts)} for host, counts in recap}
    return play


def test_the_role_makes_a_network_and_changes_nothing_the_second_time(computers, play):
    first = play()
    assert sorted(first) == sorted(NAMES)
    assert all(counts["changed"] and not counts["failed"] for counts in first.values())
    statuses = [json.loads(computer.run("eps", "--json", "status"))["client"] for computer in computers]
    assert all(status["server"]["connected"] for status in statuses)
    address = statuses[2]["address"].split("/")[0]
    wait_until(lambda: "1 received" in computers[1].run("ping", "-c1", "-W1", address, check=False),
               "they ping each other")
    again = play()
    assert all(counts["changed"] == counts["failed"] == 0 for counts in again.values()), again
