// SPDX-License-Identifier: MIT
#pragma once

// A hash over the records of all members. When one member changes, updating it costs the same however many there are.
//
// A Merkle tree of degree 16 over the ids' 24 bits: 6 levels, the members at the lowest. A node is BLAKE2s over its
// children in order, each as its index (8) and its hash (256). A node without children does not exist, so the same
// members give the same root regardless of earlier changes. The root of no members is all zeros.

#include <map>
#include <utility>
#include <vector>

#include "crypto/primitives.h"
#include "model/network.h"

namespace eps::registry {

// The hash of a member's stable fields: BLAKE2s over id 32, key 256, MAC 48, address 32, name, and where it has them
// its grants, its groups and the signatures of the network lock.
crypto::Hash record_hash(const Member& member);

// Thread rules: one thread at a time, including root().
class MerkleTree {
 public:
  MerkleTree() = default;
  explicit MerkleTree(const MemberMap& members);
  explicit MerkleTree(const MemberList& list) : MerkleTree(list.members()) { put(list.policy()); }

  void put(MemberId id, const crypto::Hash& hash);
  // In the place of the number 0, which no member has; a network without one is as in earlier versions.
  void put(const NetworkPolicy& policy);
  void erase(MemberId id);
  // Hashes everything that changed since the last call, once each.
  const crypto::Hash& root() const;
  // Number of nodes hashed so far: the cost of changes.
  std::uint64_t hashed() const { return hashed_; }

 private:
  static constexpr unsigned kBits = 4;    // per level
  static constexpr unsigned kLevels = 6;  // above the members
  static constexpr std::uint32_t kIndex = (1U << kBits) - 1;
  void mark(std::uint32_t id);

  // A node's children by their index in it, in order; never empty.
  using Children = std::vector<std::pair<std::uint8_t, crypto::Hash>>;
  // The nodes of a level by id without the bits of the level below and those under it; the root's key is 0.
  using Level = std::map<std::uint32_t, Children>;
  // `place`: of the child among all of its level.
  static void put(Level& level, std::uint32_t place, const crypto::Hash& hash);
  static bool erase(Level& level, std::uint32_t place);

  mutable std::array<Level, kLevels> levels_;   // the lowest first, whose children are the members
  mutable std::vector<std::uint32_t> changed_;  // indices in the lowest level of nodes
  mutable crypto::Hash root_{};
  mutable std::uint64_t hashed_ = 0;
};

}  // namespace eps::registry
