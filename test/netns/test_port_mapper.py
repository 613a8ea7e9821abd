# SPDX-License-Identifier: MIT
"""Ports that a router forwards at a daemon's request: a real miniupnpd, which sets real nftables rules.

     [inside] eth0 ─── lan [router] eth0 ───┐
    192.168.50.2    .1        11.77.0.1     ├── [lan]
     [outside] eth0 ────────────────────────┘
    11.77.0.N

The WAN looks public, as miniupnpd refuses to map behind a private address. Like real ones, the router drops unsolicited
packets from the WAN.
"""

import re

import pytest
from lab import Host, wait_until

RULES = """
table inet filter {
  chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept;
                  iifname "lan" accept; jump miniupnpd; }
  chain input { type filter hook input priority 0; iifname "eth0" ct state new drop; }
  chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
  chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd;
                      oifname "eth0" masquerade fully-random; }
  chain miniupnpd { }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
}
"""
CONFIGURATION = """
ext_ifname=eth0
listening_ip=lan
enable_upnp={upnp}
enable_natpmp={natpmp}
secure_mode=yes
system_uptime=no
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
uuid=c9c8b8d2-7d7b-4b3c-9d8e-5d1f0b3a7e11
allow 1024-65535 192.168.50.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""
METHODS = {"UPnP": {"upnp": "yes", "natpmp": "no"}, "NAT-PMP": {"upnp": "no", "natpmp": "yes"}}


def public(host):
    """Gives a host of the lab's switch an address of the WAN."""
    host.ip("addr", "flush", "dev", "eth0")
    host.v4, host.v6 = f"11.77.0.{host.number}", None
    host.ip("addr", "add", f"{host.v4}/24", "dev", "eth0")
    return host


class Router:
    def __init__(self, network, method):
        self.network = network
        self.host = public(network.host("router", v6=False))
        self.host.ip("link", "add", "lan", "type", "bridge")
        self.host.ip("addr", "add", "192.168.50.1/24", "dev", "lan")
        self.host.ip("link", "set", "lan", "up")
        self.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.host.run("nft", RULES)
        self.configuration = network.directory / "miniupnpd.conf"
        self.configuration.write_text(CONFIGURATION.format(**METHODS[method]))
        self.start()

    def inside(self, name):
        number = len(self.network.hosts) + 1
        host = Host(self.network, name, number, f"192.168.50.{number}", None)
        self.network.hosts[name] = host
        self.network._namespace(name)
        self.host.ip("link", "add", f"p-{name}", "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        self.host.ip("link", "set", f"p-{name}", "master", "lan", "up")
        host.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")  # its addresses are changes of the network, too
        host.ip("addr", "add", f"{host.v4}/24", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")
        host.ip("route", "add", "default", "via", "192.168.50.1")
        return host

    def start(self):
        self.daemon = self.host.spawn("miniupnpd", "-d", "-f", self.configuration, "-P",
                                      self.network.directory / "miniupnpd.pid")
        wait_until(lambda: ":5351" in self.host.run("ss", "-lun") or "miniupnpd" in self.host.run("ss", "-ltnp"),
                   "miniupnpd listens")

    def stop(self):
        """Like a power failure: the router loses its mappings."""
        self.daemon.kill()
        for chain in "miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd":
            self.host.run("nft", "flush", "chain", "inet", "filter", chain)

    def forwarded(self):
        """{(protocol, port)} of the rules that send to the inside."""
        rules = self.host.run("nft", "-n", "list", "chain", "inet", "filter", "prerouting_miniupnpd")
        names = {"0x6": "tcp", "0x11": "udp"}
        return {(names[protocol], int(port))
                for protocol, port in re.findall(r"@nh,72,8 (0x6|0x11) th dport (\d+) dnat", rules)}

    def wait_forwards(self, expected, timeout=10):
        wait_until(lambda: self.forwarded() == expected, f"the router forwards {expected}, not {self.forwarded()}",
                   timeout)


PORTS = {("tcp", 43439), ("udp", 43439)}


@pytest.mark.parametrize("method", METHODS)
def test_server_behind_a_nat(network, method):
    router = Router(network, method)
    server = network.server(router.inside("inside"))
    server.wait_log(r"forwards 11\.77\.0\.1:43439 \(TCP\) and 11\.77\.0\.1:43439 \(UDP\) to this computer, "
                    f"by {method}")
    router.wait_forwards(PORTS)
    mapped = {m["transport"]: (m["external_endpoint"], m["method"]) for m in server.status()["port_mappings"]}
    assert mapped == dict.fromkeys(["TCP", "UDP"], ("11.77.0.1:43439", method))
    a, b = (network.client(n, public(network.host(n)), server="11.77.0.1") for n in "ab")
    a.wait_sees(b)
    assert a.ping(b) == 3
    a.wait_status(lambda s: s["observed_endpoint"], "the server's UDP port answers")
    server.stop()
    router.wait_forwards(set(), timeout=1)


@pytest.mark.parametrize("link", [True, False], ids=["its link goes down", "unnoticed"])
@pytest.mark.parametrize("method", METHODS)
def test_router_restarts(network, method, link):
    router = Router(network, method)
    inside = router.inside("inside")
    network.server(inside)
    router.wait_forwards(PORTS)
    if link:
        router.host.ip("link", "set", "p-inside", "down")
    router.stop()
    assert not router.forwarded()
    router.start()
    if link:
        router.host.ip("link", "set", "p-inside", "up")
    # Without a notification it is detected at the next check, after up to 30 s.
    router.wait_forwards(PORTS, timeout=20 if link else 50)
    network.client("a", public(network.host("a")), server="11.77.0.1")


@pytest.mark.parametrize("method", METHODS)
def test_client_behind_a_nat(network, method):
    """The outer peer's firewall lets in only answers, and the NAT gives every target another port: without the mapping
    the path would be through the server."""
    network.server(public(network.host("server")))
    router = Router(network, method)
    a = network.client("a", router.inside("inside"))
    a.wait_status(lambda s: s["port_mappings"], "has a mapping")
    port = a.status()["data_port"]
    assert a.status()["port_mappings"] == [
        {"transport": "UDP", "port": port, "external_endpoint": f"{router.host.v4}:{port}", "method": method}]
    router.wait_forwards({("udp", port)})
    for hook in "output", "postrouting":
        a.host.run("nft", "add table inet watch; "
                   f"add chain inet watch {hook} {{ type filter hook {hook} priority 0; }};"
                   f"add rule inet watch {hook} oifname eps0 udp dport {{ 1900, 5351 }} counter")

    outside = public(network.host("b"))
    outside.run("nft", "add table inet lab; add chain inet lab in { type filter hook input priority 0; };"
                "add rule inet lab in meta l4proto udp ct state new drop")
    b = network.client("b", outside)
    b.wait_sees(a)
    assert b.ping(a, 10) >= 9
    b.wait_path(a, "direct")
    assert b.peers()["a"]["endpoint"] == f"{router.host.v4}:{port}"

    a.host.ip("link", "set", "eth0", "down")
    a.host.ip("link", "set", "eth0", "up")
    a.host.ip("route", "replace", "default", "via", "192.168.50.1")
    a.wait_log(rf"forwards {router.host.v4}:{port} \(UDP\)")
    assert "packets 0" in a.host.run("nft", "list", "table", "inet", "watch"), "nothing is asked on the EPS network"
    a.wait_status(lambda s: s["port_mappings"], "has a mapping again")
    a.stop()
    router.wait_forwards(set(), timeout=1)


def test_switched_off(network):
    router = Router(network, "NAT-PMP")
    inside = router.inside("inside")
    inside.run("nft", "add table inet watch; add chain inet watch out { type filter hook output priority 0; };"
               "add rule inet watch out udp dport { 1900, 5351 } counter")
    server = network.server(inside, upnptimeout=0)
    client = network.client("a", inside, upnptimeout=0)
    assert "packets 0" in inside.run("nft", "list", "table", "inet", "watch")
    assert not router.forwarded()
    assert server.status()["port_mappings"] == client.status()["port_mappings"] == []
