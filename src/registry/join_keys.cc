// SPDX-License-Identifier: MIT
#include "registry/join_keys.h"

#include <algorithm>

namespace eps::registry {
namespace {

JoinKey make(std::uint32_t id, const JoinKeyWish& wish, std::int64_t now, Rng& rng) {
  JoinKey key{.id = id,
              .secret = {},
              .name = wish.name,
              .uses = wish.uses,
              .used = 0,
              .created = now,
              .expires = wish.valid_for == 0 ? 0 : now + wish.valid_for,
              .revoked = false,
              .approve = wish.approve,
              .ephemeral = wish.ephemeral,
              .groups = wish.groups};
  rng.fill(key.secret);
  return key;
}

}  // namespace

bool is_dead(const JoinKey& key, std::int64_t now) {
  return key.revoked || (key.uses != 0 && key.used >= key.uses) || (key.expires != 0 && now >= key.expires);
}

const JoinKey* JoinKeys::find(std::uint32_t id) const {
  const auto it = keys_.find(id);
  return it == keys_.end() ? nullptr : &it->second;
}

std::optional<std::string> JoinKeys::refusal(std::uint32_t id, std::uint32_t secrets_before, std::int64_t now) const {
  constexpr const char* kRemedy = " Ask the administrator for a new one (on the server: eps keys create).";
  const JoinKey* key = find(id);
  if (key == nullptr) return std::string("The server does not know this join key.") + kRemedy;
  if (key->secrets_before != secrets_before) {
    return std::string("This network key was replaced by a new one.") + kRemedy;
  }
  if (key->revoked) return std::string("This join key was revoked.") + kRemedy;
  if (key->expires != 0 && now >= key->expires) return std::string("This join key has expired.") + kRemedy;
  if (key->uses != 0 && key->used >= key->uses) {
    return "This join key was good for " + std::to_string(key->uses) +
           (key->uses == 1 ? " computer, which has joined." : " computers, which have joined.") + kRemedy;
  }
  return std::nullopt;
}

Result<JoinKey> JoinKeys::draw(const JoinKeyWish& wish, std::int64_t now, Rng& rng) const {
  if (keys_.size() >= kMaxJoinKeys && !to_give_way(now)) {
    return make_error(Errc::exhausted, "there are " + std::to_string(kMaxJoinKeys) +
                                           " join keys in use, the most that a server keeps; revoke some with: eps "
                                           "keys revoke ID");
  }
  return make(keys_.empty() ? 1 : keys_.rbegin()->first + 1, wish, now, rng);
}

JoinKey JoinKeys::redraw_network_key(const JoinKeyWish& wish, std::int64_t now, Rng& rng) const {
  JoinKey key = make(kNetworkKeyId, wish, now, rng);
  if (const JoinKey* old = find(kNetworkKeyId)) key.secrets_before = old->secrets_before + 1;
  return key;
}

std::optional<std::uint32_t> JoinKeys::to_give_way(std::int64_t now) const {
  if (keys_.size() < kMaxJoinKeys) return std::nullopt;
  const auto dead = std::find_if(keys_.begin(), keys_.end(),
                                 [&](const auto& k) { return k.first != kNetworkKeyId && is_dead(k.second, now); });
  if (dead == keys_.end()) return std::nullopt;
  return dead->first;
}

}  // namespace eps::registry
