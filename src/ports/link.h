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
  Ip4Network network;  // its route goes through the interface
  std::uint16_t mtu = 0;
  IpAddress address6 = {};  // in a /64, whose route goes through the interface as well; unspecified: none
  bool operator==(const LinkConfig&) const = default;
};

// What the conduits may run over.
struct Underlay {
  // At which other computers may reach this one, the most promising first.
  std::vector<IpAddress> addresses;
  // Of EPS interfaces of this computer and of what is stacked upon them: nothing of the underlay goes there, whoever
  // names an endpoint in them.
  std::vector<IpPrefix> inside;
  // Of other tunnels: their addresses are no better than what lies under them, and are not taken from a peer that names
  // them as its own.
  std::vector<IpPrefix> tunnels;
  bool operator==(const Underlay&) const = default;
};

// Thread rules: one thread at a time.
class LinkPort {
 public:
  virtual ~LinkPort() = default;
  // Sets the EPS interface up: MAC, MTU, address, route. What it set before, and only that, is replaced; what the user
  // added or changed besides stays. Not an Error: a network that collides with one on another interface, where only the
  // members themselves get routes.
  virtual Result<void> configure(const LinkConfig& config) = 0;
};

}  // namespace eps::ports
