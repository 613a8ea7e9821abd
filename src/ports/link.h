#pragma once

// What a client does to the machine's network configuration.

#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace eps::ports {

struct LinkConfig {
  Mac mac;
  Ip4 address;
  Ip4Network network;  // its route goes through the interface
  std::uint16_t mtu = 0;
  bool operator==(const LinkConfig&) const = default;
};

// Thread rules: one thread at a time.
class LinkPort {
 public:
  virtual ~LinkPort() = default;
  // Brings the EPS interface to exactly this configuration and up: MAC, MTU, address, route. Addresses of an earlier
  // configuration go. An Error where the network collides with one on another interface (Errc::in_use, naming it).
  virtual Result<void> configure(const LinkConfig& config) = 0;
  // The addresses of the machine's other interfaces that are up: no loopback, no link-local IPv4, none of EPS itself.
  virtual std::vector<IpAddress> local_addresses() = 0;
};

}  // namespace eps::ports
