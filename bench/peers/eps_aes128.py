# SPDX-License-Identifier: MIT
"""EPS Conduits with AES-128-GCM."""

from peers.eps import Peer as Eps


class Peer(Eps):
    cipher = "AES-128-GCM (Noise)"
    options = ("--aead", "aes-128-gcm")
