// SPDX-License-Identifier: MIT
#pragma once

// Admits new computers to the network. The network's own key is one of these; others are made for a purpose, for a
// limited time or for a limited number of computers.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace eps {

struct JoinKey {
  std::uint32_t id = 0;                // 0: the network's own key
  std::array<std::byte, 16> secret{};  // proved at a first join (control/network_key.h)
  std::string name;                    // for people; may be empty
  std::uint32_t uses = 0;              // computers that may join with it; 0: any number
  std::uint32_t used = 0;
  std::int64_t created = 0;  // seconds since 1970
  std::int64_t expires = 0;  // seconds since 1970; 0: never
  bool revoked = false;
  bool approve = false;                  // computers that join with it wait for an administrator
  bool ephemeral = false;                // computers that join with it are members only while they are connected
  std::vector<std::string> groups = {};  // of the policy, into which computers come that join with it
  std::uint32_t secrets_before = 0;      // that this run of the server knew: which one was proved

  bool operator==(const JoinKey&) const = default;
};

// What an administrator requests.
struct JoinKeyWish {
  std::string name;
  std::uint32_t uses = 0;
  std::int64_t valid_for = 0;  // seconds; 0: for ever
  bool approve = false;
  bool ephemeral = false;
  std::vector<std::string> groups = {};
};

}  // namespace eps
