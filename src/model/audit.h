// SPDX-License-Identifier: MIT
#pragma once

// The server's record of acts of control: who let whom in, took whom out, changed what, and when.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace eps {

struct AuditEntry {
  // By what brings entries about, each with a bound of its own: no kind takes the room of another.
  enum class Kind : std::uint8_t {
    administrator = 1,  // removals, approvals, keys, grants, reloads
    membership = 2,     // joins, and addresses given anew for them
    rename = 3,         // what members may do as often as they like
    server = 4,         // starts, and what follows from another configuration
  };
  std::uint64_t id = 0;  // given by the store: greater than any before
  std::int64_t unix_time = 0;
  Kind kind = Kind::administrator;
  std::string act;   // one or two words
  std::string who;   // who did it, or what brought it about
  std::string what;  // to whom, and how
  bool operator==(const AuditEntry&) const = default;
};

// The newest of each kind are kept, the others given up when a new one is written.
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

// Who acts next, and when.
struct Actor {
  std::string who = "an administrator";
  std::int64_t unix_time = 0;
};

}  // namespace eps
