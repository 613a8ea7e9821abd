# SPDX-License-Identifier: MIT
"""An HTTP proxy that supports only CONNECT: http_proxy.py PORT ALLOWED_PORT USER:PASSWORD NAME=ADDRESS...

With an empty USER:PASSWORD it needs no login. It resolves only the given names, and addresses."""

import base64
import socket
import socketserver
import sys
import threading

from tcp_pump import pump

PORT, ALLOWED, CREDENTIALS = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
NAMES = dict(pair.split("=") for pair in sys.argv[4:])


def pass_on(source, sink):
    pump(iter(lambda: source.recv(65536), b""), source, sink)


class Handler(socketserver.StreamRequestHandler):
    rbufsize = 0

    def handle(self):
        method, target, _ = self.rfile.readline().decode().split()
        headers = {}
        while line := self.rfile.readline().decode().strip():
            name, value = line.split(": ", 1)
            headers[name.lower()] = value
        wanted = "Basic " + base64.b64encode(CREDENTIALS.encode()).decode()
        host, _, port = target.rpartition(":")
        print(method, target, flush=True)
        if CREDENTIALS and headers.get("proxy-authorization") != wanted:
            return self.say("407 Proxy Authentication Required")
        if method != "CONNECT" or int(port) != ALLOWED:
            return self.say("403 Forbidden")
        try:
            server = socket.create_connection((NAMES.get(host, host), int(port)), 5)
        except OSError:
            return self.say("502 Bad Gateway")
        self.say("200 Connection established")
        thread = threading.Thread(target=pass_on, args=(server, self.connection), daemon=True)
        thread.start()
        pass_on(self.connection, server)
        thread.join()

    def say(self, status):
        page = "" if status.startswith("200") else f"<h1>{status}</h1>\n"  # as usual, in the same packet as the head
        length = f"Content-Length: {len(page)}\r\n" if page else ""
        self.wfile.write(f"HTTP/1.1 {status}\r\nVia: 1.1 test\r\n{length}\r\n{page}".encode())


class Proxy(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Proxy(("", PORT), Handler).serve_forever()
