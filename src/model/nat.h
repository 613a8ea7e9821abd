// SPDX-License-Identifier: MIT
#pragma once

// How the NAT in front of a node behaves, in the terms of RFC 4787, as far as it was observed.

#include <cstdint>
#include <string_view>

namespace eps {

enum class NatMapping : std::uint8_t {
  unknown = 0,
  none = 1,             // no NAT: the node is seen by its own address and port
  independent = 2,      // one mapping for all destinations (endpoint-independent)
  per_destination = 3,  // another mapping for each destination (address- or port-dependent): hard to meet
};

enum class NatFiltering : std::uint8_t {
  unknown = 0,
  open = 1,      // lets in what comes from another port of an address that was sent to, or from anywhere
  per_port = 2,  // lets in only what comes from an endpoint that was sent to (address- and port-dependent)
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
