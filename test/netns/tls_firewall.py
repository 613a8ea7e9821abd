# SPDX-License-Identifier: MIT
"""An inspecting firewall: passes TCP to another host while both ends speak TLS: tls_firewall.py PORT HOST

Every byte must belong to a TLS record, and the first record must be a ClientHello or a ServerHello (RFC 8446, 4 and
5.1). It prints a line for each connection that it cuts, and for each hello."""

import socket
import socketserver
import sys
import threading

from tcp_pump import pump

PORT, HOST = int(sys.argv[1]), sys.argv[2]
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
CLIENT_HELLO, SERVER_HELLO = 1, 2
MAX_RECORD = 16384 + 256


def exactly(source, count):
    data = b""
    while len(data) < count:
        piece = source.recv(count - len(data))
        if not piece:
            return None
        data += piece
    return data


def read_record(source, first):
    """The whole record; None at the end. Raises ValueError for anything else."""
    header = exactly(source, 5)
    if header is None:
        return None
    length = int.from_bytes(header[3:], "big")
    if header[0] not in (CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA) or header[1] != 3 or \
            length > MAX_RECORD:
        raise ValueError(f"{header.hex()} is no TLS record")
    body = exactly(source, length)
    if body and first and (header[0] != HANDSHAKE or body[0] not in (CLIENT_HELLO, SERVER_HELLO)):
        raise ValueError(f"{header.hex()} is no hello")
    return body and header + body


def records(source, who):
    """Until the end, or until something is not TLS."""
    try:
        first = True
        while record := read_record(source, first):
            if first:
                print(f"{who}: hello", flush=True)
            first = False
            yield record
    except ValueError as e:
        print(f"cut: the {who} said {e}", flush=True)


def pass_on(source, sink, who):
    pump(records(source, who), source, sink)


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            server = socket.create_connection((HOST, PORT), 5)
        except OSError:
            return
        back = threading.Thread(target=pass_on, args=(server, self.request, "server"), daemon=True)
        back.start()
        pass_on(self.request, server, "client")
        back.join()


class Firewall(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Firewall(("", PORT), Handler).serve_forever()
