"""A small internet: routers between its switch and LANs, made of nftables.

    [server] 11.77.1.1 ───┐
    [open]   11.77.2.1 ───┤                         wan     lan
                          ├── [lan] br0 ──── [r1] 11.77.3.1  10.0.3.1 ──┬── [a] 10.0.3.10
                          │   11.77.254.1                               └── [b] 10.0.3.11
                          └───────────────── [cg] 11.77.6.1  100.64.0.1 ─── [r2] 100.64.0.10  10.0.7.1 ─── [c] ...

The WAN addresses are of one network, but none of one /24, so that nothing there seems near to anything else.
The switch's own namespace is the internet's core: the default route of everybody, which knows no private addresses.
IPv6: 2001:db8::N on the internet, 2001:db8:N::/64 in the LAN of router N where it has IPv6.

Like real routers these drop unsolicited packets from the WAN in INPUT as well as in FORWARD. Otherwise a peer's first
punch would leave a conntrack entry at the router that takes the port, and the mapping would get another one.
"""

import ipaddress
import socket
import struct
import time

from eps import Network
from lab import Host, inside, sh

CORE4, CORE6 = "11.77.254.1", "2001:db8::ffff"
NETLINK_NETFILTER = 12
CTNETLINK_DELETE = 1 << 8 | 2  # the conntrack subsystem, IPCTNL_MSG_CT_DELETE


class LanHost(Host):
    """A host in a router's LAN, with its gateway as the default route."""

    def __init__(self, router, name, last, v4, v6):
        super().__init__(router.lab, name, last, v4, v6)
        self.router, self.device = router, "eth0"
        self.ports = {}  # device: the other end of its cable

    def configure(self, metric=100):
        """What DHCP and router advertisements would do on its device, which comes up."""
        self.ip("link", "set", self.device, "up")
        # Who asks for a MAC when the link is down asks again a second later, which is not what the tests measure.
        self.run("sysctl", "-qw", f"net.ipv4.neigh.{self.device}.retrans_time_ms=50")
        if self.v4:
            self.ip("addr", "replace", f"{self.v4}/24", "dev", self.device)
            self.ip("route", "replace", "default", "via", self.router.gateway4, "dev", self.device, "metric", metric)
        if self.v6:
            self.ip("addr", "replace", f"{self.v6}/64", "dev", self.device, "nodad")
            self.ip("-6", "route", "replace", "default", "via", self.router.gateway6, "dev", self.device, "metric",
                    metric)

    def readdress(self, last):
        """Another lease: the old addresses go, others come."""
        self.ip("addr", "flush", "dev", self.device, "scope", "global")
        self.v4, self.v6 = self.router.lan_addresses(last, bool(self.v4), bool(self.v6))
        self.configure()

    def move(self, router, last=10):
        """The same device in another LAN: without a carrier for a moment, then with another address."""
        port = self.ports[self.device]
        sh("ip", "-n", self.router.namespace, "link", "set", port, "netns", router.namespace)
        self.router = router
        self.ip("addr", "flush", "dev", self.device, "scope", "global")
        self.v4, self.v6 = router.lan_addresses(last, bool(self.v4), bool(self.v6))
        sh("ip", "-n", router.namespace, "link", "set", port, "master", "lan", "up")
        self.configure()

    def plug_also(self, router, device, last=10, metric=50):
        """A second device, in another LAN, preferred by its metric; the host's addresses are those of this one now."""
        self.router, self.device = router, device
        self.v4, self.v6 = router.lan_addresses(last, bool(self.v4), bool(self.v6))
        self.ports[device] = self.lab.plug(self, device, router.namespace, "lan")
        self.configure(metric)


class Router(Host):
    """nat    "preserving": masquerade, which keeps the port while it is free; only who was sent to may answer
              "random": masquerade fully-random, another port for every destination
              "cone": static DNAT of UDP to the hosts, and masquerade: anybody may send to a mapped port
              None: no IPv4
       allow  what LAN hosts may send: "all", "no-udp", "443" (TCP only)
       ipv6   routes a network of its own, and lets in answers only
       hairpin  (of a cone) LAN hosts reach each other at the WAN address
       behind   a router whose LAN this one's WAN is in
    """

    def __init__(self, lab, name, number, nat="preserving", allow="all", ipv6=False, hairpin=False, behind=None,
                 lan=None):
        wan4 = behind.lan_addresses(behind.take(), True, False)[0] if behind else lab.wan4(number)
        super().__init__(lab, name, number, wan4, f"2001:db8::{number:x}" if ipv6 else None)
        self.nat, self.allow, self.ipv6, self.hairpin, self.behind = nat, allow, ipv6, hairpin, behind
        self.lan = ipaddress.ip_network(lan or f"10.0.{number}.0/24")
        self.gateway4, self.gateway6 = str(self.lan[1]), f"2001:db8:{number:x}::1"
        self.port_maps, self.next_last = {}, 10
        lab.add(self)
        for family in "ip", "ip6":
            self.run("sysctl", "-qw", f"net.bridge.bridge-nf-call-{family}tables=0", check=False)
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.ip("link", "add", "lan", "mtu", lab.mtu, "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
        self.wan_port = lab.plug(self, "wan", *((behind.namespace, "lan") if behind else (lab.switch, "br0")))
        if ipv6:
            sh("ip", "-n", lab.switch, "-6", "route", "add", f"2001:db8:{number:x}::/64", "via", self.v6)
        self._up()

    def take(self):
        self.next_last += 1
        return self.next_last - 1

    def lan_addresses(self, last, v4, v6):
        return (str(self.lan[last]) if v4 and self.nat else None,
                f"2001:db8:{self.number:x}::{last}" if v6 and self.ipv6 else None)

    def host(self, name):
        """A host in its LAN: .10, .11 and so on."""
        last = self.take()
        host = LanHost(self, name, last, *self.lan_addresses(last, True, True))
        self.lab.add(host)
        host.ports["eth0"] = self.lab.plug(host, "eth0", self.namespace, "lan")
        if not host.v6:
            host.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        if self.nat == "cone":
            # Each host has ports of its own, as a router's port forwarding demands.
            low = 40000 + 1000 * (last - 10)
            host.run("sysctl", "-qw", f"net.ipv4.ip_local_port_range={low} {low + 999}")
            self.forward(f"{low}-{low + 999}", host.v4)
        host.configure()
        return host

    def forward(self, ports, address):
        """A cone's static forwarding of UDP ports to an address in its LAN."""
        self.port_maps[ports] = address
        self.load()

    def rules(self):
        maps = []
        for ports, address in self.port_maps.items():
            maps.append(f'iifname wan udp dport {ports} dnat ip to {address}')
            if self.hairpin:
                maps.append(f'iifname lan ip daddr {self.v4} udp dport {ports} dnat ip to {address}')
        masquerade = "masquerade fully-random" if self.nat == "random" else "masquerade"
        allow = {"all": "accept", "no-udp": "meta l4proto != udp accept", "443": "tcp dport 443 accept"}[self.allow]
        new_line = "\n    "
        return f"""
table inet router {{
  chain inwards {{ type nat hook prerouting priority dstnat;
    {new_line.join(maps)}
  }}
  chain outwards {{ type nat hook postrouting priority srcnat;
    iifname lan oifname lan ct status dnat snat ip to {self.v4}
    oifname wan meta nfproto ipv4 {masquerade}
  }}
  chain to_router {{ type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname {{ lo, lan }} meta l4proto {{ icmp, ipv6-icmp }} accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, packet-too-big }} accept
  }}
  chain through {{ type filter hook forward priority filter; policy drop;
    {"" if self.allow == "all" else "meta l4proto udp drop"}
    ct state established,related accept
    ct status dnat accept
    iifname lan {allow}
  }}
}}
"""

    def load(self):
        path = self.lab.directory / f"{self.name}.nft"
        path.write_text("table inet router\ndelete table inet router\n" + self.rules())
        self.run("nft", "-f", path)

    def _up(self):
        for device, v4, v6 in ("wan", self.v4, self.v6), ("lan", self.gateway4, self.gateway6):
            self.ip("link", "set", device, "up")
            if self.nat:
                prefix = 16 if device == "wan" and not self.behind else 24
                self.ip("addr", "replace", f"{v4}/{prefix}", "dev", device)
            if self.ipv6:
                self.ip("addr", "replace", f"{v6}/64", "dev", device, "nodad")
        if self.nat:
            self.ip("route", "replace", "default", "via", self.behind.gateway4 if self.behind else CORE4)
        if self.ipv6:
            self.ip("-6", "route", "replace", "default", "via", CORE6)
        self.load()

    def flush_conntrack(self):
        """It forgets every mapping and every stream that it let through."""
        with inside(self.namespace), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as s:
            s.bind((0, 0))
            s.send(struct.pack("=IHHIIBBH", 20, CTNETLINK_DELETE, 5, 1, 0, socket.AF_UNSPEC, 0, 0))
            _, kind, _, _, _, error = struct.unpack_from("=IHHIIi", s.recv(4096))
        assert kind == 2 and error == 0, error

    def restart(self, seconds=1.0):
        """The links are down for a while, and all state is gone."""
        hosts = [host for host in self.lab.hosts.values() if isinstance(host, LanHost) and host.router is self]
        ports = [host.ports[host.device] for host in hosts]
        for device in ["wan", "lan", *ports]:
            self.ip("link", "set", device, "down")
        self.run("nft", "flush", "ruleset")
        self.flush_conntrack()
        time.sleep(seconds)
        self._up()
        for port in ports:
            self.ip("link", "set", port, "up")

    def renumber(self, number):
        """Another WAN address, as some providers give every night. Linux forgets the mappings of the old one."""
        self.ip("addr", "flush", "dev", "wan", "scope", "global")
        self.v4 = self.lab.wan4(number)
        self._up()


class NatLab(Network):
    def __init__(self, **options):
        super().__init__(v4="11.77.{}.1/16", v6="2001:db8::{:x}/64", **options)
        for family in "ip", "ip6":
            sh("ip", "netns", "exec", self.switch, "sysctl", "-qw", f"net.bridge.bridge-nf-call-{family}tables=0",
               check=False)
        sh("ip", "netns", "exec", self.switch, "sysctl", "-qw", "net.ipv4.ip_forward=1",
           "net.ipv6.conf.all.forwarding=1")
        sh("ip", "-n", self.switch, "addr", "add", f"{CORE4}/16", "dev", "br0")
        sh("ip", "-n", self.switch, "addr", "add", f"{CORE6}/64", "dev", "br0", "nodad")

    def wan4(self, number):
        return self.v4.format(number).split("/")[0]

    def host(self, name, v4=True, v6=True):
        """A host on the internet itself."""
        host = super().host(name, v4, v6)
        if v4:
            host.ip("route", "add", "default", "via", CORE4)
        if v6:
            host.ip("-6", "route", "add", "default", "via", CORE6)
        return host

    def router(self, name, **options):
        """See Router for the options."""
        return Router(self, name, len(self.hosts) + 1, **options)
