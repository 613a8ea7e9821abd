# SPDX-License-Identifier: MIT
"""A DHCP server that the administrator did not allow takes nobody over.

     [server] ──┐
     [a] ───────┤
     [b] ───────┼── [lan]       a and c run dnsmasq on eps0, b asks with dhclient
     [c] ───────┘
"""

import re
import shutil

import pytest
from lab import wait_until

SCRIPT = """#!/bin/sh
# For dhclient: tells what it was given.
[ "$reason" = BOUND ] || [ "$reason" = BOUND6 ] || exit 0
echo "lease=${new_ip_address}${new_ip6_address} by=$new_dhcp_server_identifier routers=$new_routers" \\
  "dns=$new_domain_name_servers static=$new_rfc3442_classless_static_routes" \\
  "boot=$new_tftp_server_name$new_filename dns6=$new_dhcp6_name_servers."
"""
PREFIX6 = "fd43:1::/64"


@pytest.fixture(autouse=True)
def programs():
    for program in "dnsmasq", "dhclient":
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


def serve(network, member, first):
    """dnsmasq, which makes itself the router, the name server and more."""
    base = re.sub(r"\d+$", "", member.address)
    server = member.host.spawn(
        "dnsmasq", "-k", "--conf-file=/dev/null", "--user=root", "--log-facility=-", "--port=0", "--interface=eps0",
        "--bind-interfaces", f"--dhcp-range={base}{first},{base}{first + 10},1h", f"--dhcp-option=6,{member.address}",
        f"--dhcp-option=121,0.0.0.0/1,{member.address}", f"--dhcp-boot=evil,tftp,{member.address}",
        "--dhcp-range=fd43:1::100,fd43:1::1ff,64,1h", "--dhcp-option=option6:dns-server,[fd43:1::1]",
        f"--dhcp-leasefile={network.directory}/{member.name}.leases",
        f"--pid-file={network.directory}/{member.name}.pid", "--log-dhcp", "--no-ping", "--dhcp-authoritative")
    wait_until(lambda: "DHCP, sockets bound exclusively" in server.output(), "dnsmasq listens")
    return server


class Asking:
    """dhclient on a member's eps0."""

    def __init__(self, network, member, *options):
        script = network.directory / "configure"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        self.directory = network.directory / f"asking-{len(list(network.directory.glob('asking-*')))}"
        self.directory.mkdir()
        self.process = member.host.spawn("dhclient", "-d", "-v", *options, "-sf", script,
                                         "-lf", self.directory / "leases", "-pf", self.directory / "pid", "eps0")

    def lease(self):
        form = r"lease=(\S+) by=(\S*) routers=(.*) dns=(.*) static=(.*) boot=(.*) dns6=(.*)\.\n"
        found = wait_until(lambda: re.search(form, self.process.output()), "there is a lease", 30)
        self.process.kill()
        return [field.strip() for field in found.groups()]


def test_a_dhcp_server_that_nobody_allowed_gives_addresses_alone(network):
    network.server(sequential=True)
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    serve(network, a, 200)
    lease, by, *more = Asking(network, b).lease()
    assert by == a.address and lease.startswith(re.sub(r"\d+$", "2", a.address))
    assert more == [""] * 5, "no router, name server, route or boot file"
    told = "of a DHCP server {}: all but addresses of the network"
    wait_until(lambda: told.format("on eps0") in a.eps("doctor", check=False), "its own member tells it")
    said = b.eps("doctor", check=False)
    assert told.format(f"from a ({a.address})") in said and "eps members allow a dhcp" in said
    assert told.format(f"from a ({a.address})") in b.log()
    assert b.drops("spoofed_source") == 0


def test_once_somebody_may_serve_dhcp_nobody_else_does(network):
    server = network.server(sequential=True)
    a, b, c = network.clients("a", "b", "c")
    assert a.ping(b) == 3 and c.ping(b) == 3
    assert "c may serve DHCP." in server.eps("members", "allow", "c", "dhcp")
    assert server.members()["c"]["allowed"] == ["dhcp"]
    wait_until(lambda: b.peers()["c"]["allowed"] == ["dhcp"], "b knows")
    wait_until(lambda: a.peers()["c"]["allowed"] == ["dhcp"], "a knows")
    rogue = serve(network, a, 200)
    asking = Asking(network, b)
    wait_until(lambda: "DHCPOFFER" in rogue.output(), "a answers")
    a.wait_log("Dropped on eps0: answers of a DHCP server. Stop the DHCP server on that interface, or allow it on the "
               "server with: eps members allow a dhcp")
    assert a.drops("spoofed_source") > 0
    assert "DHCPOFFER" not in asking.process.output()
    serve(network, c, 100)
    _, by, routers, dns, static, boot, _ = asking.lease()
    assert (by, routers, dns) == (c.address, c.address, c.address), "all that c gives"
    assert static and "evil" in boot
    assert f"from {a.address}\n" not in asking.process.output()
    # A member that may bridge is somebody who may.
    server.eps("members", "revoke", "c", "dhcp")
    server.eps("members", "allow", "c", "bridge")
    wait_until(lambda: b.peers()["c"]["allowed"] == ["bridge"], "b knows")
    assert Asking(network, b).lease()[1] == c.address


def test_dhcpv6_needs_permission(network):
    server = network.server(sequential=True)
    a, b = network.clients("a", "b")
    assert a.ping(b) == 3
    a.host.ip("addr", "add", "fd43:1::1/64", "dev", "eps0", "nodad")
    dnsmasq = serve(network, a, 200)
    asking = Asking(network, b, "-6")
    wait_until(lambda: "DHCPADVERTISE" in dnsmasq.output(), "a answers")
    a.wait_log("Dropped on eps0: answers of a DHCP server")
    assert "RCV: Advertise" not in asking.process.output()
    server.eps("members", "allow", "a", "dhcp")
    lease, *_, dns = asking.lease()
    assert lease.startswith("fd43:1::1") and dns == "fd43:1::1"
