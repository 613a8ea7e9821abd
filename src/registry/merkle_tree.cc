// SPDX-License-Identifier: MIT
#include "registry/merkle_tree.h"

#include <algorithm>

#include "base/bytes.h"
#include "registry/network_lock.h"

namespace eps::registry {

crypto::Hash record_hash(const Member& m) {
  Bytes record;
  Writer w(record);
  w.u32(m.id.value);
  w.bytes(m.key.bytes);
  w.bytes(m.mac.bytes);
  w.u32(m.address.value);
  w.u8(static_cast<std::uint8_t>(m.name.size()));
  w.bytes(as_view(m.name));
  for (const IpNetwork& range : m.grants.ranges) {
    w.bytes(range.base.bytes);
    w.u8(range.length);
  }
  if (m.grants.bits() != 0) w.u8(m.grants.bits());
  if (!m.groups.empty()) {
    w.bytes(as_view("groups"));
    put_groups(m.groups, w);
  }
  if (m.lock.sequence != 0) {
    w.bytes(as_view("lock"));
    w.u64(m.lock.sequence);
    w.bytes(m.lock.record);
    w.bytes(m.lock.grants);
  }
  return crypto::blake2s({as_view("eps record"), record});
}

std::uint8_t MerkleTree::index_of(MemberId id) {
  return static_cast<std::uint8_t>(id.value & ((1U << kBits) - 1));
}

MerkleTree::MerkleTree(const MemberMap& members) {
  for (const auto& [id, member] : members) put(id, record_hash(member));
}

MerkleTree::Leaves::iterator MerkleTree::place(Leaves& leaves, MemberId id) {
  return std::ranges::lower_bound(leaves, index_of(id), {}, &Leaves::value_type::first);
}

void MerkleTree::put(MemberId id, const crypto::Hash& hash) {
  Leaves& leaves = members_[id.value >> kBits];
  const auto it = place(leaves, id);
  if (it == leaves.end() || it->first != index_of(id)) {
    leaves.emplace(it, index_of(id), hash);
  } else {
    it->second = hash;
  }
  mark(id.value);
}

void MerkleTree::put(const NetworkPolicy& policy) {
  if (!policy.any()) return erase({0});
  Bytes sequence;
  Writer(sequence).u64(policy.sequence);
  put(MemberId{0}, crypto::blake2s({as_view("eps policy"), sequence, policy.signature, as_view(policy.text)}));
}

void MerkleTree::erase(MemberId id) {
  const auto leaves = members_.find(id.value >> kBits);
  if (leaves == members_.end()) return;
  const auto it = place(leaves->second, id);
  if (it == leaves->second.end() || it->first != index_of(id)) return;
  leaves->second.erase(it);
  if (leaves->second.empty()) members_.erase(leaves);
  mark(id.value);
}

void MerkleTree::mark(std::uint32_t id) {
  const std::uint32_t place = id >> kBits;
  if (changed_.empty() || changed_.back() != place) changed_.push_back(place);
}

const crypto::Hash& MerkleTree::root() const {
  const std::map<std::uint32_t, crypto::Hash>* below = nullptr;  // the members
  for (auto& level : nodes_) {
    std::ranges::sort(changed_);
    const auto repeated = std::ranges::unique(changed_);
    changed_.erase(repeated.begin(), repeated.end());
    for (const std::uint32_t place : changed_) {
      Bytes children;
      Writer w(children);
      const auto add = [&w](std::uint32_t index, const crypto::Hash& hash) {
        w.u8(static_cast<std::uint8_t>(index));
        w.bytes(hash);
      };
      const std::uint32_t first = place << kBits;
      if (below != nullptr) {
        for (auto it = below->lower_bound(first); it != below->end() && it->first >> kBits == place; ++it) {
          add(it->first - first, it->second);
        }
      } else if (const auto leaves = members_.find(place); leaves != members_.end()) {
        for (const auto& [index, hash] : leaves->second) add(index, hash);
      }
      if (children.empty()) {
        level.erase(place);
      } else {
        level[place] = crypto::blake2s({as_view("eps records"), children});
        ++hashed_;
      }
    }
    for (std::uint32_t& place : changed_) place >>= kBits;
    below = &level;
  }
  if (!changed_.empty()) root_ = nodes_.back().empty() ? crypto::Hash{} : nodes_.back().begin()->second;
  changed_.clear();
  return root_;
}

}  // namespace eps::registry
