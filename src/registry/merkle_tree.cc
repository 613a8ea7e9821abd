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

MerkleTree::MerkleTree(const MemberMap& members) {
  for (const auto& [id, member] : members) put(id, record_hash(member));
}

void MerkleTree::put(MemberId id, const crypto::Hash& hash) {
  put(levels_.front(), id.value, hash);
  mark(id.value);
}

void MerkleTree::put(const NetworkPolicy& policy) {
  if (!policy.any()) return erase({0});
  Bytes sequence;
  Writer(sequence).u64(policy.sequence);
  put(MemberId{0}, crypto::blake2s({as_view("eps policy"), sequence, policy.signature, as_view(policy.text)}));
}

void MerkleTree::erase(MemberId id) {
  if (erase(levels_.front(), id.value)) mark(id.value);
}

void MerkleTree::put(Level& level, std::uint32_t place, const crypto::Hash& hash) {
  Children& children = level[place >> kBits];
  const auto it = std::ranges::lower_bound(children, place & kIndex, {}, &Children::value_type::first);
  if (it == children.end() || it->first != (place & kIndex)) {
    children.emplace(it, static_cast<std::uint8_t>(place & kIndex), hash);
  } else {
    it->second = hash;
  }
}

bool MerkleTree::erase(Level& level, std::uint32_t place) {
  const auto node = level.find(place >> kBits);
  if (node == level.end()) return false;
  const auto is_it = [&](const auto& child) { return child.first == (place & kIndex); };
  const bool erased = std::erase_if(node->second, is_it) > 0;
  if (node->second.empty()) level.erase(node);
  return erased;
}

void MerkleTree::mark(std::uint32_t id) {
  const std::uint32_t place = id >> kBits;
  if (changed_.empty() || changed_.back() != place) changed_.push_back(place);
}

const crypto::Hash& MerkleTree::root() const {
  for (auto level = levels_.begin(); level != levels_.end(); ++level) {
    std::ranges::sort(changed_);
    const auto repeated = std::ranges::unique(changed_);
    changed_.erase(repeated.begin(), repeated.end());
    const auto above = std::next(level);
    for (const std::uint32_t place : changed_) {
      const auto node = level->find(place);
      if (node == level->end()) {
        if (above != levels_.end()) erase(*above, place);
        continue;
      }
      Bytes children;
      Writer w(children);
      for (const auto& [index, hash] : node->second) {
        w.u8(index);
        w.bytes(hash);
      }
      const crypto::Hash hash = crypto::blake2s({as_view("eps records"), children});
      ++hashed_;
      if (above == levels_.end()) {
        root_ = hash;
      } else {
        put(*above, place, hash);
      }
    }
    for (std::uint32_t& place : changed_) place >>= kBits;
  }
  if (levels_.back().empty()) root_ = {};
  changed_.clear();
  return root_;
}

}  // namespace eps::registry
