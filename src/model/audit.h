// SPDX-License-Identifier: MIT
#pragma once

// The server's record of control actions: who admitted or removed whom, who changed what, and when.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace eps {

struct AuditEntry {
  // Grouped by cause. Each kind has its own bound, so that no kind crowds out another.
  enum class Kind : std::uint8_t {
    administrator = 1,  // removals, approvals, keys, grants, reloads
    membership = 2,     // joins, and the reassignments of addresses that they cause
    rename = 3,         // members may do it as often as they like
    server = 4,         // starts, and the effects of a changed configuration
  };
  std::uint64_t id = 0;  // assigned by the store: greater than all before
  std::int64_t unix_time = 0;
  Kind kind = Kind::administrator;
  std::string act;   // one or two words
  std::string who;   // who did it, or what caused it
  std::string what;  // whom it affects, and how
  bool operator==(const AuditEntry&) const = default;
};

// The newest entries of each kind are kept; the oldest are dropped when a new one is written.
inline constexpr std::size_t kMaxAuditEntries = 20'000;
inline constexpr std::size_t kMaxAuditAnswer = 1'000;  // entries in one answer

inline const char* name_of(AuditEntry::Kind kind) {
  switch (kind) {
    case AuditEntry::Kind::administrator:
      return "administrator";
    case AuditEntry::Kind::membership:
      return "membership";
    case AuditEntry::Kind::rename:
      return "rename";
    case AuditEntry::Kind::server:
      break;
  }
  return "server";
}

// Who performs the following actions, and when.
struct Actor {
  std::string who = "an administrator";
  std::int64_t unix_time = 0;
};

}  // namespace eps
