# SPDX-License-Identifier: MIT
"""What a listener on the underlay sees, and what it can do by sending.

     [server] ──┐
     [a] ───────┼── [lan]  <── the listener: sees every frame, sends what it likes
     [b] ───────┘
"""

import random
import socket
import struct

import pytest
from lab import wait_until
from wire import Sniffer, inject, parse_datagram, raw_socket, received, transfer, udp_receiver

TYPE_DATA = 4
MARKER = b"EPS-MARKER-0123456789"


@pytest.fixture
def pair(network):
    """a and b, with a direct path over IPv4 and a session in both directions. a sends each datagram alone: in a GSO
    run those of a test would leave together with others, as one frame."""
    network.server(host=network.host("server", v6=False))
    a = network.client("a", host=network.host("a", v6=False), offload="csum,tso,uso,gro")
    b = network.client("b", host=network.host("b", v6=False))
    a.wait_sees(b)
    assert a.ping(b) == 3
    a.wait_path(b, "direct")
    b.wait_path(a, "direct")
    return a, b


def one_datagram(network, a, b, payload=b"only once"):
    """A sniffed data datagram from a to b that carried a UDP payload."""
    receiver = udp_receiver(b.host)
    with Sniffer(network) as seen, a.host.socket(kind=socket.SOCK_DGRAM) as sender:
        sender.sendto(payload, (b.address, 5002))
        assert received(receiver) == [payload]
    size = 20 + 8 + len(payload) + 25  # docs/protocol.md: the overhead of a packet
    found = [d for d in seen.datagrams(a.host.v4, b.host.v4, TYPE_DATA) if len(d.payload) == size]
    assert len(found) == 1
    return found[0], receiver


def test_nothing_is_in_clear(network):
    """tcpdump on all of the underlay, from the first datagram to the last: joining, ping, UDP, TCP, broadcast."""
    path = network.directory / "underlay.pcap"
    from lab import Process
    capture = Process(["ip", "netns", "exec", network.switch, "tcpdump", "-i", "any", "-s", "0", "-U", "-w", path],
                      network.directory / "tcpdump.out")
    network.processes.append(capture)
    wait_until(lambda: "listening" in capture.output(), "tcpdump listens")
    server = network.server()
    a, b = network.clients("a", "b")
    assert a.ping(b, 5, 0.1, pattern=MARKER[:16]) == 5
    receiver = udp_receiver(b.host)
    with a.host.socket(kind=socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.sendto(MARKER * 20, (b.address, 5002))
        assert received(receiver) == [MARKER * 20]
        s.sendto(MARKER * 20, ("192.168.43.255", 5002))
        assert received(receiver) == [MARKER * 20]
    listener = b.host.socket()
    listener.bind((b.address, 5003))
    listener.listen()
    with a.host.socket() as s:
        s.connect((b.address, 5003))
        connection, _ = listener.accept()
        s.sendall(MARKER * 1000)
        came = 0
        while came < len(MARKER) * 1000:
            came += len(connection.recv(65536))
    transfer(a.host, b.host, b.address, 1_000_000)
    wait_until(lambda: path.stat().st_size > 200_000, "most of it is in the file")  # a busy machine loses some
    capture.stop()
    seen = path.read_bytes()
    secrets = {"payload": MARKER, "ping pattern": MARKER[:16] * 2, "key": server.key().encode(),
               "inner MACs": bytes.fromhex((b.mac + a.mac).replace(":", "")),
               "inner addresses": socket.inet_aton(a.address) + socket.inet_aton(b.address)}
    for what, secret in secrets.items():
        assert secret not in seen, what


def test_clear_text_would_be_detected(network):
    """The search for markers works: without EPS it finds them."""
    a, b = network.host("a"), network.host("b")
    with Sniffer(network) as seen:
        assert a.ping(b.v4, 2, 0.1, pattern=MARKER[:16]) == 2
    assert any(MARKER[:16] in frame for frame in seen.frames)


def test_replayed_datagram(network, pair):
    a, b = pair
    datagram, receiver = one_datagram(network, a, b)
    before = b.drops("replayed")
    inject(network, b.host, datagram.with_payload(datagram.payload))
    wait_until(lambda: b.drops("replayed") == before + 1, "b counts the replay")
    inject(network, b.host, *[datagram.with_payload(datagram.payload)] * 10)
    wait_until(lambda: b.drops("replayed") == before + 11, "b counts ten more")
    assert received(receiver, 0.5) == []
    assert a.ping(b) == 3


def test_truncated_datagrams(network, pair):
    a, b = pair
    datagram, receiver = one_datagram(network, a, b)
    before = sum(b.status()["drops"].values())
    sizes = range(1, len(datagram.payload))
    inject(network, b.host, *[datagram.with_payload(datagram.payload[:n]) for n in sizes])
    wait_until(lambda: sum(b.status()["drops"].values()) >= before + len(sizes), "b counts every one")
    assert received(receiver, 0.5) == []
    assert a.ping(b) == 3 and a.path_to(b) == "direct"


def test_flipped_bits(network, pair):
    a, b = pair
    datagram, receiver = one_datagram(network, a, b)
    dice, before = random.Random(7), b.status()["drops"]
    frames = []
    for n in range(len(datagram.payload)):
        bad = bytearray(datagram.payload)
        bad[n] ^= 1 << dice.randrange(8)
        frames.append(datagram.with_payload(bytes(bad)))
    inject(network, b.host, *frames)
    wait_until(lambda: sum(b.status()["drops"].values()) >= sum(before.values()) + len(frames), "b counts every one")
    sealed = len(datagram.payload) - 8
    assert b.drops("bad_tag") >= before.get("bad_tag", 0) + sealed
    assert received(receiver, 0.5) == []
    assert a.ping(b) == 3 and a.path_to(b) == "direct"


def test_reordered_datagrams_are_all_delivered(network, pair):
    """Held back in transit and delivered in reverse: nothing is lost, and each arrives once."""
    a, b = pair
    receiver = udp_receiver(b.host)
    payloads = [b"number %03d" % n for n in range(50)]
    b.host.run("nft", f"add table inet hold; add chain inet hold i {{ type filter hook input priority 0; }}; "
                      f"add rule inet hold i ip saddr {a.host.v4} meta l4proto udp drop")
    size = 20 + 8 + len(payloads[0]) + 25

    def held():
        return [d.with_payload(d.payload) for d in seen.datagrams(a.host.v4, b.host.v4, TYPE_DATA)
                if len(d.payload) == size]

    with Sniffer(network) as seen, a.host.socket(kind=socket.SOCK_DGRAM) as sender:
        for payload in payloads:
            sender.sendto(payload, (b.address, 5002))
        wait_until(lambda: len(held()) >= len(payloads), "all have left")
    b.host.run("nft", "delete table inet hold")
    assert received(receiver, 0.3) == []
    assert len(held()) == len(payloads)
    inject(network, b.host, *reversed(held()))
    assert sorted(received(receiver)) == payloads


def test_noise_from_a_stranger(network, pair):
    """Random datagrams of every type, from a stranger and in a member's name, change nothing."""
    a, b = pair
    stranger = network.host("stranger")
    dice = random.Random(11)
    port = b.status()["data_port"]
    with stranger.socket(kind=socket.SOCK_DGRAM) as s:
        for n in range(2000):
            s.sendto(bytes([n % 9]) + dice.randbytes(dice.randrange(600)), (b.host.v4, port))
            if n % 100 == 0:
                assert a.ping(b, 1) == 1
    datagram, receiver = one_datagram(network, a, b)
    inject(network, b.host, *[datagram.with_payload(bytes([n % 9]) + dice.randbytes(dice.randrange(600)))
                              for n in range(500)])
    assert received(receiver, 0.5) == []
    assert a.ping(b) == 3 and a.path_to(b) == "direct"


@pytest.mark.parametrize("what", ["mac", "address", "arp"])
def test_a_member_sends_from_its_own_addresses_only(network, pair, what):
    a, b = pair
    own, other = [bytes.fromhex(c.mac.replace(":", "")) for c in (a, b)]
    nobodys = next(ip for n in (252, 253, 254) if (ip := f"192.168.43.{n}") not in (a.address, b.address))
    false_mac, false_ip = bytes.fromhex("02deadbeef01"), socket.inet_aton(nobodys)
    ip_a, ip_b = socket.inet_aton(a.address), socket.inet_aton(b.address)
    if what == "arp":
        frame = b"\xff" * 6 + own + bytes.fromhex("0806000108000604000" "1") + own + false_ip + bytes(6) + ip_b
    else:
        mac, ip = (false_mac, ip_a) if what == "mac" else (own, false_ip)
        udp = struct.pack("!HHHH", 1234, 5002, 8 + 5, 0) + b"false"
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, ip, ip_b)
        total = sum(struct.unpack("!10H", head))
        total = (total & 0xffff) + (total >> 16)
        frame = other + mac + b"\x08\x00" + head[:10] + struct.pack("!H", ~total & 0xffff) + head[12:] + udp
        assert what == "mac" or parse_datagram(frame).source[0] == nobodys
    receiver, before = raw_socket(b.host, "eps0"), a.drops("spoofed_source")
    raw_socket(a.host, "eps0").send(frame)
    wait_until(lambda: a.drops("spoofed_source") == before + 1, "a counts it")
    assert not [f for f in received(receiver, 0.5) if false_mac in f or false_ip in f]
    assert a.ping(b) == 3


def test_frames_with_any_sender_address_are_counted_once_each(network, pair):
    a, b = pair
    before, s = a.drops("spoofed_source"), raw_socket(a.host, "eps0")
    for n in range(100):
        s.send(bytes.fromhex(b.mac.replace(":", "")) + bytes([2, 0, 0, 0, 1, n]) + b"\x88\xb5" + bytes(46))
    wait_until(lambda: a.drops("spoofed_source") == before + 100, "a counts a hundred")
