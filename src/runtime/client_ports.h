// SPDX-License-Identifier: MIT
#pragma once

// What a client opens before it gives up its rights: its state, its interface, its sockets. A client has all of it or
// does not start.

#include <memory>
#include <vector>

#include "node/client_node.h"
#include "os/address_monitor.h"
#include "os/bridge_firewall.h"
#include "os/client_state.h"
#include "os/link.h"
#include "os/tap.h"
#include "runtime/daemon_ports.h"
#include "runtime/foundation.h"

namespace eps::runtime {

struct ClientPorts {
  // `base` outlives it.
  static Result<ClientPorts> open(Foundation<ClientSettings>& base);

  std::unique_ptr<os::ClientState> state;
  node::ClientParams params;  // from the state and the properties of the ports
  ReportPorts reports;
  std::vector<std::unique_ptr<os::LinuxTap>> taps;  // queues of one interface, one for each worker
  UdpQueues udp;
  std::unique_ptr<os::NetlinkLink> link;
  std::unique_ptr<os::AddressMonitor> monitor;
  os::BridgeFirewall bridge_firewall;
};

}  // namespace eps::runtime
