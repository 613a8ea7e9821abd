# SPDX-License-Identifier: MIT
"""What programs expect of a LAN: real ones find and configure each other through the conduits.

     [server] ──┐
     [a] ───────┼── [lan]
     [b] ───────┘
      br0 ── [vm]      a machine behind a member that may bridge
"""

import re
import shutil
import socket
import struct

import pytest
from lab import FIGURES, wait_until
from test_bridges import bridging, machine
from wire import raw_socket

BROADCAST = b"\xff" * 6
MAC_OF_LLDP = bytes.fromhex("0180c200000e")


def needs(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture
def lan(network):
    """Members a and b, and a machine behind b's bridge. Members have the lowest addresses, machines from 200 on."""
    server = network.server(sequential=True)
    a, b = network.client("a"), bridging(network, "b")
    server.eps("members", "allow", "b", "bridge")
    vm, _ = machine(network, "vm", b, re.sub(r"\d+$", "199", a.address))
    wait_until(lambda: vm.ping(a.address, 1), "the machine reaches a")
    a.wait_sees(b)
    assert a.ping(b) == 3
    return a, b, vm


# --- service discovery ---------------------------------------------------------------------------------------------

BUS = """<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="*"/><allow receive_type="*"/>
<allow send_destination="*"/></policy></busconfig>"""
AVAHI = """[server]
host-name={name}
allow-interfaces={device}
use-ipv4=yes
use-ipv6=yes
enable-dbus={dbus}
disallow-other-stacks=no
[publish]
publish-hinfo=no
publish-workstation=no
"""
SERVICE = """<!DOCTYPE service-group SYSTEM "avahi-service.dtd">
<service-group><name>{name} prints</name><service><type>_ipp._tcp</type><port>631</port></service></service-group>"""


class Avahi:
    """avahi-daemon on a host, which offers a printer; with a bus of its own if it is to be asked."""

    def __init__(self, network, host, name, device, asked=False):
        self.host, directory = host, network.directory / f"avahi-{name}"
        (directory / "services").mkdir(parents=True)
        (directory / "services" / "printer.service").write_text(SERVICE.format(name=name))
        (directory / "avahi.conf").write_text(AVAHI.format(name=name, device=device, dbus="yes" if asked else "no"))
        self.bus = f"unix:path={directory}/bus"
        if asked:
            (directory / "bus.conf").write_text(BUS.format(path=directory / "bus"))
            host.spawn("dbus-daemon", f"--config-file={directory}/bus.conf", "--nofork", "--nopidfile")
            wait_until((directory / "bus").exists, "the bus listens")
        # Its directories are fixed: `ip netns exec` has given it mounts of its own.
        self.process = host.spawn(
            "env", f"DBUS_SYSTEM_BUS_ADDRESS={self.bus}", "sh", "-c",
            f"mount -t tmpfs none /run && mount --bind {directory}/services /etc/avahi/services && "
            f"exec avahi-daemon -f {directory}/avahi.conf --no-drop-root --no-chroot --no-rlimits")
        wait_until(lambda: "Server startup complete" in self.process.output(), f"avahi of {name} has started", 20)

    def ask(self, *argv):
        return self.host.run("env", f"DBUS_SYSTEM_BUS_ADDRESS={self.bus}", *argv, check=False)


def test_services_are_found_by_multicast_dns(network, lan):
    needs("avahi-daemon", "avahi-browse", "dbus-daemon")
    a, b, vm = lan
    Avahi(network, vm, "behind", "eth0")
    Avahi(network, b.host, "bridge", "br0")
    avahi = Avahi(network, a.host, "asking", "eps0", asked=True)
    # Each from a member and from a machine behind it, with its address in both families.
    found = {}
    for name in "behind", "bridge":
        def resolved(name=name):
            lines = avahi.ask("avahi-browse", "-rpt", "_ipp._tcp").splitlines()
            found[name] = {line.split(";")[2] for line in lines if line.startswith("=") and f";{name}.local;" in line}
            return found[name] == {"IPv4", "IPv6"}
        wait_until(resolved, f"the service of {name} is found and resolved", 20)
    wait_until(lambda: b.address in avahi.ask("avahi-resolve", "-4", "-n", "bridge.local"), "a name is resolved")
    wait_until(lambda: "bridge.local" in avahi.ask("avahi-resolve", "-a", b.address), "and an address")


SSDP = ("239.255.255.250", 1900)
SEARCH = (b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n"
          b"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n")


def test_devices_are_found_by_ssdp(network, lan):
    needs("miniupnpd")
    a, b, vm = lan
    conf = network.directory / "miniupnpd.conf"
    conf.write_text("ext_ifname=eth0\next_ip=11.77.0.9\nlistening_ip=eps0\nenable_upnp=yes\nenable_natpmp=no\nhttp_port=5000\n"
                    "uuid=c9c8b8d2-7d7b-4b3c-9d8e-5d1f0b3a7e12\nsystem_uptime=no\n")
    a.host.run("nft", "add table inet filter; add chain inet filter miniupnpd; "
               "add chain inet filter prerouting_miniupnpd; add chain inet filter postrouting_miniupnpd")
    a.host.spawn("miniupnpd", "-d", "-f", conf, "-P", network.directory / "miniupnpd.pid")
    for host, address in (b.host, b.address), (vm, re.sub(r"\d+$", "199", a.address)):
        with host.socket(kind=socket.SOCK_DGRAM) as s:
            s.bind((address, 0))
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            s.settimeout(0.5)

            def found():
                s.sendto(SEARCH, SSDP)
                try:
                    return f"LOCATION: HTTP://{a.address}:5000/".encode() in s.recv(2000).upper()
                except TimeoutError:
                    return False
            wait_until(found, f"{host.name} finds the device at a")


# --- frames of other protocols -------------------------------------------------------------------------------------

def frames(source, address):
    """By name: what else is on a LAN, from this MAC and address."""
    def ethernet(target, ethertype, payload):
        return target + source + struct.pack("!H", ethertype) + payload.ljust(46, b"\0")

    def udp(target, port, payload):
        to = socket.inet_aton(target)
        mac = b"\x01\x00\x5e" + bytes([to[1] & 127]) + to[2:] if to[0] >= 224 and to[0] < 240 else BROADCAST
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 1, 0, 4, 17, 0, socket.inet_aton(address), to)
        total = sum(struct.unpack("!10H", header))
        total = (total & 0xffff) + (total >> 16)
        header = header[:10] + struct.pack("!H", ~total & 0xffff) + header[12:]
        return ethernet(mac, 0x0800, header + struct.pack("!HHHH", port, port, 8 + len(payload), 0) + payload)

    directed = re.sub(r"\d+$", "255", address)
    magic = BROADCAST + bytes.fromhex("020304050607") * 16
    ipx = (b"\xff\xff" + struct.pack("!HBB", 30, 0, 17)
           + bytes(4) + BROADCAST + b"\x04\x53" + bytes(4) + source + b"\x04\x53")
    return {
        "LLMNR": udp("224.0.0.252", 5355, bytes.fromhex("123400000001000000000000") + b"\4host\0\0\1\0\1"),
        "a game's search": udp("255.255.255.255", 27015, b"\xff\xff\xff\xffTSource Engine Query\0"),
        "NetBIOS": udp(directed, 137, bytes.fromhex("123401100001000000000000")
                       + b"\x20" + b"CA" * 16 + b"\0\0\x20\0\1"),
        "wake-on-LAN": ethernet(BROADCAST, 0x0842, magic),
        "wake-on-LAN by UDP": udp(directed, 9, magic),
        "IPX": ethernet(BROADCAST, 0x8137, ipx),
        "IPX of 802.3": ethernet(BROADCAST, len(ipx), ipx),
        "IPX of 802.2": ethernet(BROADCAST, len(ipx) + 3, b"\xe0\xe0\x03" + ipx),
        "NetBEUI": ethernet(bytes.fromhex("030000000001"), 40, b"\xf0\xf0\x03" + bytes(37)),
        "LLDP": ethernet(MAC_OF_LLDP, 0x88cc, b"\x02\x07\x04" + source + b"\x04\x05\x05eps0\x06\x02\x00\x78\0\0"),
        "PTP": ethernet(bytes.fromhex("011b19000000"), 0x88f7, bytes(44)),
    }


def test_frames_of_every_protocol_arrive(network):
    network.server()
    a, b = network.clients("a", "b")
    with raw_socket(a.host, "eps0") as sender, raw_socket(b.host, "eps0") as receiver:
        sent = frames(bytes.fromhex(a.mac.replace(":", "")), a.address)
        for frame in sent.values():
            sender.send(frame)  # the first one opens the session
            receiver.settimeout(5)
            while receiver.recv(2000) != frame:
                pass  # the time limit ends this if it does not arrive
    FIGURES.append(f"arrived unaltered: {', '.join(sent)}")


# --- DHCP ----------------------------------------------------------------------------------------------------------

CONFIGURE = """#!/bin/sh
# For udhcpc and dhclient: sets the address that was leased.
case "$1$reason" in
  bound | BOUND) ip addr replace "${ip:-$new_ip_address}/24" dev "$interface" ;;
esac
"""
CLIENTS = {
    "udhcpc": "exec udhcpc -f -n -q -t 10 -T 1 -s {script} -i eth0",
    "dhclient": "exec dhclient -d -1 -v -sf {script} -lf {directory}/leases -pf {directory}/dhclient.pid eth0",
    "dhcpcd": "mount -t tmpfs none /run && mount -t tmpfs none /var/lib/dhcpcd && "
              "exec dhcpcd -4 -B -1 -A -C resolv.conf -C hostname -t 20 eth0",
}


def test_machines_are_configured_by_dhcp_over_the_conduit(network, lan):
    needs("dnsmasq", *CLIENTS)
    a, _, vm = lan
    network.the_server.eps("members", "allow", "a", "dhcp")
    first = re.sub(r"\d+$", "", a.address)
    dnsmasq = a.host.spawn(
        "dnsmasq", "-k", "--conf-file=/dev/null", "--user=root", "--log-facility=-", "--port=0", "--interface=eps0",
        "--bind-interfaces", f"--dhcp-range={first}200,{first}210,1h", f"--dhcp-leasefile={network.directory}/leases",
        f"--pid-file={network.directory}/dnsmasq.pid", "--log-dhcp", "--no-ping")
    wait_until(lambda: "DHCP, sockets bound exclusively" in dnsmasq.output(), "dnsmasq listens")
    script = network.directory / "configure"
    script.write_text(CONFIGURE)
    script.chmod(0o755)
    for name, command in CLIENTS.items():
        vm.ip("addr", "flush", "dev", "eth0", "scope", "global")
        directory = network.directory / name
        directory.mkdir()
        client = vm.spawn("sh", "-c", command.format(script=script, directory=directory))
        leased = wait_until(lambda: re.search(rf"inet ({re.escape(first)}2\d\d)/24",
                                              vm.ip("-4", "addr", "show", "eth0")), f"{name} has a lease", 20)
        wait_until(lambda: vm.ping(a.address, 1), f"the machine that {name} configured reaches a")
        assert a.host.ping(leased[1], 1) == 1
        client.stop()
        assert not re.search("checksum|bad udp", client.output(), re.I), client.output()
