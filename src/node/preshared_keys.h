// SPDX-License-Identifier: MIT
#pragma once

// The pre-shared keys of this client: one for every peer, and those for single ones, which come first.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "crypto/secret.h"
#include "model/network.h"

namespace eps::node {

class PresharedKeys {
 public:
  // False: there is one already.
  bool add(crypto::Key key) { return put(of_all_, std::move(key)); }
  bool add(const PublicKey& peer, crypto::Key key) { return put(by_key_[peer], std::move(key)); }
  bool add(const std::string& peer, crypto::Key key) { return put(by_name_[peer], std::move(key)); }

  // The key that a session with this peer takes; nullopt: it must have none either. A peer is known by its public key
  // or by its name, which is as the server says.
  const std::optional<crypto::Key>& of(const Member& peer) const {
    if (const auto it = by_key_.find(peer.key); it != by_key_.end()) return it->second;
    if (const auto it = by_name_.find(peer.name); it != by_name_.end()) return it->second;
    return of_all_;
  }

  const std::optional<crypto::Key>& of_all() const { return of_all_; }
  std::size_t of_single_peers() const { return by_key_.size() + by_name_.size(); }

  PresharedKeys clone() const {
    PresharedKeys out;
    if (of_all_) out.of_all_ = of_all_->clone();
    for (const auto& [peer, key] : by_key_) out.add(peer, key->clone());
    for (const auto& [peer, key] : by_name_) out.add(peer, key->clone());
    return out;
  }

 private:
  static bool put(std::optional<crypto::Key>& at, crypto::Key&& key) {
    if (at) return false;
    at = std::move(key);
    return true;
  }

  // None of those in the maps is nullopt.
  std::optional<crypto::Key> of_all_;
  std::unordered_map<PublicKey, std::optional<crypto::Key>> by_key_;
  std::map<std::string, std::optional<crypto::Key>> by_name_;
};

}  // namespace eps::node
