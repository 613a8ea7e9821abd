// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace eps {

// How frames currently reach a peer.
enum class PathKind : std::uint8_t { none, direct, relayed };
inline const char* name_of(PathKind kind) {
  switch (kind) {
    case PathKind::direct:
      return "direct";
    case PathKind::relayed:
      return "relayed";
    case PathKind::none:
      break;
  }
  return "none";
}

}  // namespace eps
