// SPDX-License-Identifier: MIT
#pragma once

// What a signer of the network lock sends to the server (registry/network_lock.h).

#include <array>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "model/network.h"

namespace eps {

// What the lock that is on does not cover of a member: its record, so that the others refuse it, or its grants alone,
// so that it has its own addresses alone.
enum class NotSigned : std::uint8_t { nothing, record, grants };

inline constexpr std::size_t kMaxLockSigners = 8;
inline constexpr std::size_t kMaxLockSecrets = 8;
inline constexpr std::size_t kMaxLockEntries = 128;    // of a chain; the last place is for the end of the lock
inline constexpr std::size_t kMaxLockEntry = 1024;     // bytes
inline constexpr std::size_t kMaxMarksPerChange = 96;  // 96 with all their signatures fit into one message

struct LockChange {
  std::vector<Bytes> entries;        // for the end of the chain, in order; or all
  std::array<std::byte, 32> lock{};  // whose signatures these are: LockChain::id()
  std::vector<std::pair<MemberId, LockMark>> marks;
  // Over the server's policy as it is; sequence 0: none.
  std::uint64_t policy_sequence = 0;
  std::array<std::byte, 64> policy_signature{};
  bool operator==(const LockChange&) const = default;
};

}  // namespace eps
