# SPDX-License-Identifier: MIT
"""Ports that a user forwards to a client, by a rule in the router or by publishing a container's port.

    [server] ────────────┐
    [a] ── [r-a] rule ───┼── internet       [r-a], [r-b]  hard: another port for each destination
    [b] ── [r-b] ────────┤
    [h1-c] ── [h1] ──────┤                  [h1], [h2]    computers with Docker; [h1] publishes a port
    [h2-c] ── [h2] ──────┘
"""

from lab import Host


def test_a_rule_of_the_user(lab):
    """Two hard NATs: no end can know from which port the other one sends, but one router has a rule for its client."""
    server = lab.server().host
    router = lab.router("r-a", nat="random")
    a = lab.client("a", host=router.host("a"), server=server.v4)
    b = lab.client("b", host=lab.router("r-b", nat="random").host("b"), server=server.v4)
    port = a.status()["data_port"]
    a.wait_status(lambda s: s["nat"]["mapping"] == "per destination", "knows its NAT")
    doctor = " ".join(a.eps("doctor", check=False).split())
    assert f"or forward UDP port {port} to the same port of this computer" in doctor
    router.forward(str(port), a.host.v4)
    b.wait_sees(a)
    b.ping(a, 3)
    b.wait_path(a, "direct", 10)
    assert b.peers()["a"]["endpoint"] == f"{router.v4}:{port}"
    a.wait_status(lambda s: s["port_mappings"], "knows of the rule")
    doctor = " ".join(a.eps("doctor", check=False).split())
    assert f"The router forwards {router.v4}:{port} to this computer, by a rule of its own." in doctor
    assert "Switch on UPnP" not in doctor


def container(lab, host, last):
    """A host in a bridge network as Docker makes it: masqueraded, and the host itself lets in whatever is not
    forwarded."""
    inside = Host(lab, f"{host.name}-c", last, f"172.17.0.{last}", None)
    lab.add(inside)
    port = lab.cable(inside, "eth0", host.namespace)
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    host.ip("link", "add", "docker0", "type", "bridge")
    host.ip("addr", "add", "172.17.0.1/16", "dev", "docker0")
    host.ip("link", "set", "docker0", "up")
    host.ip("link", "set", port, "master", "docker0", "up")
    inside.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
    inside.ip("addr", "add", f"{inside.v4}/16", "dev", "eth0")
    inside.ip("link", "set", "eth0", "up")
    inside.ip("route", "add", "default", "via", "172.17.0.1")
    rules = lab.directory / f"{host.name}.nft"
    rules.write_text("""table ip docker {
  chain published { type nat hook prerouting priority dstnat; }
  chain outwards { type nat hook postrouting priority srcnat; ip saddr 172.17.0.0/16 oifname != docker0 masquerade; }
  chain forward { type filter hook forward priority filter; policy drop;
    ct state established,related accept; ct status dnat accept; iifname docker0 oifname != docker0 accept; }
}""")
    host.run("nft", "-f", rules)
    return inside


def test_a_published_port_of_a_container(lab):
    server = lab.server().host
    hosts = [lab.host(name, v6=False) for name in ("h1", "h2")]
    inside = [container(lab, host, 2) for host in hosts]
    hosts[0].run("nft", "add", "rule", "ip", "docker", "published", "iifname", "eth0", "udp", "dport", "41000",
                 "dnat", "to", inside[0].v4)
    a = lab.client("a", host=inside[0], server=server.v4, udp_port=41000)
    b = lab.client("b", host=inside[1], server=server.v4)
    assert a.status()["data_port"] == 41000
    b.wait_sees(a)
    b.ping(a, 3)
    b.wait_path(a, "direct", 10)
    a.wait_path(b, "direct", 10)
    assert b.peers()["a"]["endpoint"] == f"{hosts[0].v4}:41000"
