# SPDX-License-Identifier: MIT
"""No VPN: plain sockets over the outer veths. The upper limit for everything else."""

from peer import OUTER
from peer import Peer as Base


class Peer(Base):
    layer = "veth"
    cipher = "none"
    inner_mtu = 1500

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.inner = OUTER

    def device(self, who):
        return "eth0"

    def up_node(self, who):
        pass
