// SPDX-License-Identifier: MIT
#pragma once

// What the sources of the registry share.

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "registry/registry.h"

namespace eps::registry {

// Numbers of the ephemeral join keys and members: 32 bits each. Version 0.1 preserves entries that it does not
// know.
inline constexpr const char* kEphemeralKeys = "ephemeral.keys";
inline constexpr const char* kEphemeralMembers = "ephemeral.members";
inline constexpr const char* kEpoch = "epoch";
inline constexpr const char* kRecovery = "recovery";  // the list's last one: RecoveryId
// Seconds since 1970, in 2097: a clock that shows more is wrong.
inline constexpr std::int64_t kLatestClock = 0xf000'0000;
inline constexpr const char* kNextId = "next_id";
inline constexpr const char* kGrantsOf = "grants.";  // followed by the member's number
inline constexpr const char* kGrantsOfAll = "grants.all";

inline constexpr const char* kGroupsOf = "groups.";         // and the member's number: names with commas
inline constexpr const char* kKeyGroupsOf = "key_groups.";  // and the join key's number: likewise
inline constexpr const char* kPolicy = "policy";            // sequence 64, signature 512, text
// 256: of the network lock, by which a policy was signed that has ended; members follow it until the end is signed.
inline constexpr const char* kPolicySignedBy = "policy.signed_by";

Bytes encode_groups(const std::vector<std::string>& groups);
std::vector<std::string> decode_groups(ByteView bytes);
// In order, each once. Errc::invalid_argument, Errc::exhausted.
Result<std::vector<std::string>> checked_groups(std::vector<std::string> groups);
Bytes encode_policy(const NetworkPolicy& policy);

inline constexpr const char* kNameOf = "name.";  // and the member's number: the name that an administrator gave it

inline constexpr const char* kLockChain = "lock.chain";
inline constexpr const char* kLockMarkOf = "lock.";  // and the member's number

inline Bytes u64_bytes(std::uint64_t value) {
  Bytes out;
  Writer(out).u64(value);
  return out;
}

// The wish with a number appended, within the size limit of a name.
inline std::string numbered(std::string_view wish, std::string_view number) {
  return std::string(wish.substr(0, kMaxNameSize - 1 - number.size())).append("-").append(number);
}

// Whether unique_name() made the name from this wish: its numbers begin at 2.
inline bool is_numbered(std::string_view name, std::string_view wish) {
  const std::string_view number = name.substr(name.find_last_not_of("0123456789") + 1);
  return !number.empty() && number[0] != '0' && number != "1" && name == numbered(wish, number);
}

inline std::string described(const Member& member) {
  return member.name + " (" + to_string(member.address) + ")";
}

inline std::string described(const JoinKey& key) {
  if (key.id == kNetworkKeyId) return "the network key";
  return "join key " + std::to_string(key.id) + (key.name.empty() ? "" : " (" + key.name + ")");
}

inline Refusal cannot_save(const Error& error) {
  return {Refusal::Code::store_failed,
          "The server cannot save the new member (" + error.what + "). Fix that on the server."};
}

}  // namespace eps::registry
