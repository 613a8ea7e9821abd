# SPDX-License-Identifier: MIT
"""EPS Conduits with the cipher of a computer without AES instructions."""

from peers.eps import Peer as Eps


class Peer(Eps):
    cipher = "ChaCha20-Poly1305 (Noise)"
    options = ("--aead", "chacha20-poly1305")
