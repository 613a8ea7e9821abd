// SPDX-License-Identifier: MIT
#pragma once

// The members that a relay serves. A copy costs nothing and shares everything that is not changed afterwards, so
// control can publish a table whenever a member joins or moves, however many there are.

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/types.h"
#include "dataplane/relay_quota.h"
#include "dataplane/stream_port.h"
#include "model/counters.h"
#include "ports/udp.h"

namespace eps::dataplane {

struct RelayMember {
  MemberId id;
  std::uint32_t tag = 0;
  Endpoint endpoint;                   // bound by an authenticated request, or the member's direct path; or none yet
  ports::SocketId socket = 0;          // of the relay
  std::shared_ptr<Counters> counters;  // forwarded: from this member; sent: to it
  bool inside = false;                 // datagrams for it go into its control connection
  std::shared_ptr<RelayQuota> quota = {};  // of what it sends; null: there is no limit
  std::vector<Endpoint> also = {};         // further endpoints that it was proved to send from
  bool operator==(const RelayMember&) const = default;
  Endpoint to() const { return inside ? stream_endpoint(id) : endpoint; }
  // Over either transport: a member uses the new one before the relay has heard of the change.
  bool sends_from(const Endpoint& from) const {
    return from == endpoint || from == stream_endpoint(id) || std::ranges::find(also, from) != also.end();
  }
};

// An immutable map with 32-bit keys: a tree of degree 16 over a mix of their bits. put() and erase() replace only
// the nodes on the way from the root to one leaf.
template <class T>
class SharedMap {
 public:
  const T* find(std::uint32_t key) const {
    const Node* node = root_.get();
    const std::uint32_t mixed = mix(key);
    for (unsigned shift = 0; node != nullptr; shift += kBits) {
      if (!node->leaf()) {
        node = node->children[place(mixed, shift)].get();
        continue;
      }
      for (const auto& [k, value] : node->entries) {
        if (k == key) return value.get();
      }
      return nullptr;
    }
    return nullptr;
  }
  void put(std::uint32_t key, std::shared_ptr<const T> value) { root_ = put(root_.get(), 0, key, std::move(value)); }
  void erase(std::uint32_t key) {
    if (find(key) != nullptr) root_ = erase(*root_, 0, key);
  }

 private:
  static constexpr unsigned kBits = 4;
  static constexpr std::size_t kMaxLeaf = 8;
  struct Node {
    std::vector<std::shared_ptr<const Node>> children;                        // 16, or none: a leaf
    std::vector<std::pair<std::uint32_t, std::shared_ptr<const T>>> entries;  // of a leaf
    bool leaf() const { return children.empty(); }
  };
  using Shared = std::shared_ptr<const Node>;
  static std::uint32_t mix(std::uint32_t key) {
    key *= 0x9e3779b1U;  // members' numbers are consecutive
    return key ^ key >> 16;
  }
  static std::size_t place(std::uint32_t mixed, unsigned shift) { return mixed >> shift & ((1U << kBits) - 1); }

  static Shared put(const Node* at, unsigned shift, std::uint32_t key, std::shared_ptr<const T> value) {
    auto node = at == nullptr ? std::make_shared<Node>() : std::make_shared<Node>(*at);
    if (!node->leaf()) {
      Shared& child = node->children[place(mix(key), shift)];
      child = put(child.get(), shift + kBits, key, std::move(value));
      return node;
    }
    for (auto& [k, v] : node->entries) {
      if (k != key) continue;
      v = std::move(value);
      return node;
    }
    node->entries.emplace_back(key, std::move(value));
    if (node->entries.size() <= kMaxLeaf || shift + kBits > 32) return node;
    node->children.resize(std::size_t{1} << kBits);
    for (auto& [k, v] : std::exchange(node->entries, {})) {
      Shared& child = node->children[place(mix(k), shift)];
      child = put(child.get(), shift + kBits, k, std::move(v));
    }
    return node;
  }
  // An empty leaf stays until something is added there.
  static Shared erase(const Node& at, unsigned shift, std::uint32_t key) {
    auto node = std::make_shared<Node>(at);
    if (node->leaf()) {
      std::erase_if(node->entries, [&](const auto& entry) { return entry.first == key; });
    } else {
      Shared& child = node->children[place(mix(key), shift)];
      child = erase(*child, shift + kBits, key);
    }
    return node;
  }

  Shared root_;
};

class RelayTable {
 public:
  const RelayMember* by_tag(std::uint32_t tag) const { return by_tag_.find(tag); }
  const RelayMember* by_id(MemberId id) const { return by_id_.find(id.value); }
  // Replaces the entry of this member.
  void put(RelayMember member) {
    erase(member.id);
    const auto shared = std::make_shared<const RelayMember>(std::move(member));
    by_tag_.put(shared->tag, shared);
    by_id_.put(shared->id.value, shared);
  }
  void erase(MemberId id) {
    const RelayMember* old = by_id(id);
    if (old == nullptr) return;
    by_tag_.erase(old->tag);
    by_id_.erase(id.value);
  }

 private:
  SharedMap<RelayMember> by_tag_;
  SharedMap<RelayMember> by_id_;
};

}  // namespace eps::dataplane
