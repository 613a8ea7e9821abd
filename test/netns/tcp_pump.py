# SPDX-License-Identifier: MIT
"""Shared by programs that connect two TCP connections."""

import socket


def pump(pieces, source, sink):
    """Sends what was read from `source` to `sink` until there is nothing more, and ends both."""
    try:
        for piece in pieces:
            sink.sendall(piece)
    except OSError:
        pass
    for end in source, sink:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
