// SPDX-License-Identifier: MIT
#pragma once

// A port that a router forwards to us at our request.

#include <cstdint>
#include <string>

#include "base/types.h"

namespace eps {

enum class Transport : std::uint8_t { udp, tcp };
inline const char* name_of(Transport transport) {
  return transport == Transport::udp ? "UDP" : "TCP";
}

struct PortMapping {
  Transport transport = Transport::udp;
  std::uint16_t port = 0;  // ours
  Endpoint external;       // what the router forwards
  std::string method;      // "UPnP", "NAT-PMP" or "a rule of its own"
  bool operator==(const PortMapping&) const = default;
};

}  // namespace eps
