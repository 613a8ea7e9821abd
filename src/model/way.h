// SPDX-License-Identifier: MIT
#pragma once

// The paths by which datagrams reach a member.

#include <compare>
#include <cstdint>
#include <optional>

#include "base/types.h"

namespace eps {

// The server as a relay; every other relay is a member.
inline constexpr MemberId kServerRelay{0};

// Straight to an endpoint of the member from one of our sockets (ports::SocketId), or through a relay, whose own
// endpoint is looked up at the time of sending.
struct Way {
  std::optional<MemberId> relay;  // nullopt: direct
  Endpoint to;                    // direct only
  std::uint16_t socket = 0;       // direct only
  bool direct() const { return !relay; }
  static Way straight(const Endpoint& to, std::uint16_t socket = 0) { return {std::nullopt, to, socket}; }
  static Way through(MemberId relay) { return {relay, {}, 0}; }
  auto operator<=>(const Way&) const = default;
};

}  // namespace eps
