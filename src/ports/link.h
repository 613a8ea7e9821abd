// SPDX-License-Identifier: MIT
#pragma once

// What a client does to the machine's network configuration.

#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "model/ip_prefix.h"

namespace eps::ports {

struct LinkConfig {
  Mac mac;
  Ip4 address;
  Ip4Network network;  // routed through the interface
  std::uint16_t mtu = 0;
  IpAddress address6 = {};  // in a /64, which is routed through the interface as well; unspecified: none
  bool operator==(const LinkConfig&) const = default;
};

// What the conduits may run over.
struct Underlay {
  // Where other computers may reach this one, the most promising first.
  std::vector<IpAddress> addresses;
  // The networks of EPS interfaces of this computer and of what is stacked upon them: nothing of the underlay goes
  // there, whoever names an endpoint in them.
  std::vector<IpPrefix> inside;
  // The networks of other tunnels: their addresses are no better than what carries them, and are not accepted from a
  // peer that announces them as its own.
  std::vector<IpPrefix> tunnels;
  bool operator==(const Underlay&) const = default;
};

// Thread rules: one thread at a time.
class LinkPort {
 public:
  virtual ~LinkPort() = default;
  // Sets up the EPS interface: MAC, MTU, address, route. Replaces what it set before, and nothing else; what the user
  // added or changed stays. A network that collides with one on another interface is not an Error: only the routes to
  // the members themselves are set then.
  virtual Result<void> configure(const LinkConfig& config) = 0;
};

}  // namespace eps::ports
