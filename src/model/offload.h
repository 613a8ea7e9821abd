// SPDX-License-Identifier: MIT
#pragma once

// Work that the kernel may leave to us, or do for many packets at once. Each kind can be switched off for tests and
// diagnosis, and some kernels lack some of them.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace eps {

struct OffloadSet {
  bool csum = true;  // frames cross the TAP with a partial checksum
  bool tso = true;   // TCP super-frames cross the TAP, both ways; needs csum
  bool uso = true;   // UDP super-frames likewise (Linux 6.2); needs csum
  bool gso = true;   // several datagrams leave the UDP socket as one (Linux 4.18)
  bool gro = true;   // several datagrams come from the UDP socket as one (Linux 5.0)
  bool operator==(const OffloadSet&) const = default;
};
inline constexpr OffloadSet kNoOffloads{false, false, false, false, false};

// What a daemon uses, and what it would use if its kernel supported it.
struct OffloadStatus {
  OffloadSet used = kNoOffloads;
  OffloadSet missing = kNoOffloads;
};
// `used` is the part of the request that the kernel granted.
OffloadStatus offload_status(const OffloadSet& wish, const OffloadSet& used);

// In the order above.
std::vector<std::string> names_of(const OffloadSet& set);
// "csum,tso,uso,gso,gro"; "none" of the empty set. parse_offloads() reads it.
std::string to_string(const OffloadSet& set);
// One or several names separated by commas, or "none"; nullopt for anything else. Does not check that tso and uso come
// with csum.
std::optional<OffloadSet> parse_offloads(std::string_view text);

}  // namespace eps
