// SPDX-License-Identifier: MIT
#include "registry/merkle_tree.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/bytes.h"
#include "registry/free_addresses.h"
#include "support/seeded_rng.h"

namespace eps::registry {
namespace {

crypto::Hash hash_of(std::uint32_t n) {
  crypto::Hash out{};
  store_be32(out.data(), n);
  return out;
}

TEST(MerkleTree, TheSameMembersGiveTheSameRootRegardlessOfEarlierChanges) {
  test::SeededRng rng(3);
  std::map<std::uint32_t, std::uint32_t> members;
  MerkleTree tree;
  for (int step = 0; step < 2000; ++step) {
    const auto id = static_cast<std::uint32_t>(rng.below(step % 3 == 0 ? 0xffffff : 300));
    if (rng.below(3) == 0) {
      members.erase(id);
      tree.erase({id});
    } else {
      members[id] = rng.u32();
      tree.put({id}, hash_of(members[id]));
    }
    if (rng.below(5) == 0) (void)tree.root();
  }
  MerkleTree fresh;
  for (const auto& [id, value] : members) fresh.put({id}, hash_of(value));
  EXPECT_EQ(tree.root(), fresh.root());
  for (const auto& [id, value] : members) tree.erase({id});
  EXPECT_EQ(tree.root(), MerkleTree().root());
}

// As the head of merkle_tree.h defines it: other versions compute the same.
TEST(MerkleTree, TheRootIsTheHashOfItsChildren) {
  MerkleTree tree;
  std::map<std::uint32_t, crypto::Hash> level;
  for (const std::uint32_t id : {0U, 1U, 15U, 16U, 300U, 0x123456U, 0xffffffU}) {
    level[id] = hash_of(id);
    tree.put({id}, hash_of(id));
  }
  for (int i = 0; i < 6; ++i) {
    std::map<std::uint32_t, Bytes> nodes;
    for (const auto& [place, hash] : level) {
      Writer w(nodes[place >> 4]);
      w.u8(static_cast<std::uint8_t>(place & 15));
      w.bytes(hash);
    }
    level.clear();
    for (const auto& [place, children] : nodes) level[place] = crypto::blake2s({as_view("eps records"), children});
  }
  ASSERT_EQ(level.size(), 1U);
  EXPECT_EQ(tree.root(), level[0]);
}

TEST(MerkleTree, EveryChangeOfAMemberChangesTheRoot) {
  MerkleTree tree;
  std::set<crypto::Hash> roots = {tree.root()};
  for (std::uint32_t id = 1; id <= 100; ++id) {
    tree.put({id * 77}, hash_of(id));
    EXPECT_TRUE(roots.insert(tree.root()).second);
    tree.put({id * 77}, hash_of(id + 1));
    EXPECT_TRUE(roots.insert(tree.root()).second);
  }
}

TEST(MerkleTree, OneChangeCostsTheSameAmongManyMembers) {
  for (const std::uint32_t n : {100U, 10'000U}) {
    MerkleTree tree;
    for (std::uint32_t id = 1; id <= n; ++id) tree.put({id}, hash_of(id));
    (void)tree.root();
    const std::uint64_t before = tree.hashed();
    tree.put({n / 2}, hash_of(0));
    (void)tree.root();
    EXPECT_EQ(tree.hashed() - before, 6U) << n;
  }
}

TEST(FreeAddresses, AgreeWithASet) {
  test::SeededRng rng(5);
  const Ip4Network network = *parse_ip4_network("10.0.0.0/26");
  FreeAddresses free(network);
  std::set<std::uint32_t> expected;
  for (std::uint32_t i = 1; i <= network.host_count(); ++i) expected.insert(network.base.value + i);
  for (int step = 0; step < 5000; ++step) {
    const Ip4 ip{network.base.value - 2 + static_cast<std::uint32_t>(rng.below(70))};
    const bool host = ip.value > network.base.value && ip.value <= network.base.value + network.host_count();
    if (rng.below(2) == 0) {
      free.take(ip);
      expected.erase(ip.value);
    } else {
      free.release(ip);
      if (host) expected.insert(ip.value);
    }
    ASSERT_EQ(free.contains(ip), expected.contains(ip.value));
    ASSERT_EQ(free.lowest().has_value(), !expected.empty());
    if (expected.empty()) continue;
    ASSERT_EQ(free.lowest()->value, *expected.begin());
    const auto next = expected.lower_bound(ip.value);
    ASSERT_EQ(free.from(ip)->value, next == expected.end() ? *expected.begin() : *next);
  }
}

}  // namespace
}  // namespace eps::registry
