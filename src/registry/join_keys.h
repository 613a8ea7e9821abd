// SPDX-License-Identifier: MIT
#pragma once

// The join keys of the network: which exist, and whether one admits a computer. It has no store of its own: the
// registry makes each change durable before applying it here.
//
// Units: times are seconds since 1970, given by the caller.

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/rng.h"
#include "model/join_key.h"

namespace eps::registry {

inline constexpr std::uint32_t kNetworkKeyId = 0;
// The maximum, so that the table stays readable and a message small; new keys replace dead ones.
inline constexpr std::size_t kMaxJoinKeys = 1000;

class JoinKeys {
 public:
  const std::map<std::uint32_t, JoinKey>& all() const { return keys_; }
  // Null: no such key, or newer ones have replaced it.
  const JoinKey* find(std::uint32_t id) const;
  // Why the key does not admit who proved the secret that it had after so many others; nullopt: it does admit. The
  // sentence is for the user who tries to join.
  std::optional<std::string> refusal(std::uint32_t id, std::uint32_t secrets_before, std::int64_t now) const;

  // A new key, not added yet: put() adds it. Errc::exhausted when there are too many live ones.
  Result<JoinKey> draw(const JoinKeyWish& wish, std::int64_t now, Rng& rng) const;
  // The network's key with a new secret.
  JoinKey redraw_network_key(const JoinKeyWish& wish, std::int64_t now, Rng& rng) const;
  // The key that must be removed before one more fits; nullopt: none.
  std::optional<std::uint32_t> to_give_way(std::int64_t now) const;
  void put(const JoinKey& key) { keys_[key.id] = key; }
  void erase(std::uint32_t id) { keys_.erase(id); }

 private:
  std::map<std::uint32_t, JoinKey> keys_;
};

// Whether nobody can join with it any more.
bool is_dead(const JoinKey& key, std::int64_t now);

}  // namespace eps::registry
