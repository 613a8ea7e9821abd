// SPDX-License-Identifier: MIT
#pragma once

// The observed behaviour of the NAT in front of a node, in the terms of RFC 4787.

#include <cstdint>
#include <string_view>

namespace eps {

enum class NatMapping : std::uint8_t {
  unknown = 0,
  none = 1,             // no NAT: the node is seen with its own address and port
  independent = 2,      // one mapping for all destinations (endpoint-independent)
  per_destination = 3,  // a different mapping for each destination (address- or port-dependent): hard to traverse
};

enum class NatFiltering : std::uint8_t {
  unknown = 0,
  open = 1,      // accepts packets from other ports of an address that was sent to, or from anywhere
  per_port = 2,  // accepts packets only from endpoints that were sent to (address- and port-dependent)
};

constexpr std::string_view name_of(NatMapping mapping) {
  switch (mapping) {
    case NatMapping::none:
      return "none";
    case NatMapping::independent:
      return "endpoint-independent";
    case NatMapping::per_destination:
      return "per destination";
    case NatMapping::unknown:
      break;
  }
  return "unknown";
}

constexpr std::string_view name_of(NatFiltering filtering) {
  switch (filtering) {
    case NatFiltering::open:
      return "open to other ports";
    case NatFiltering::per_port:
      return "address- and port-dependent";
    case NatFiltering::unknown:
      break;
  }
  return "unknown";
}

}  // namespace eps
