// SPDX-License-Identifier: MIT
#include "node/known_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "support/node_fakes.h"
#include "support/seeded_rng.h"

namespace eps::node {
namespace {

using test::key_of;
using testing::IsNull;
using testing::Pointee;

TEST(KnownKeysTest, AKeyHasSeveralNamesAndANameOneKey) {
  KnownKeys keys;
  EXPECT_TRUE(keys.bind(key_of(1), {1}, {10}, "a"));
  EXPECT_FALSE(keys.bind(key_of(1), {1}, {10}, "a"));
  EXPECT_TRUE(keys.bind(key_of(1), {1}, {10}, "b"));
  EXPECT_TRUE(keys.bind(key_of(2), {2}, {}, "a"));
  EXPECT_THAT(keys.find(std::string("a")), Pointee(key_of(2)));
  EXPECT_THAT(keys.find(std::string("b")), Pointee(key_of(1)));
  EXPECT_THAT(keys.find(MemberId{1}), Pointee(key_of(1)));
  EXPECT_THAT(keys.find(Ip4{10}), Pointee(key_of(1)));
  EXPECT_THAT(keys.find(Ip4{}), IsNull());
  EXPECT_THAT(keys.find(std::string()), IsNull());
  EXPECT_EQ(keys.ids(), 2U);
  EXPECT_EQ(keys.size(), 2U);
}

// The same as three maps, whatever is bound and forgotten, in whatever order.
TEST(KnownKeysTest, IsAsThreeMaps) {
  test::SeededRng rng(3);
  const auto below = [&](std::uint64_t limit) { return static_cast<std::uint32_t>(rng.below(limit)); };
  for (int round = 0; round < 100; ++round) {
    KnownKeys keys;
    std::map<MemberId, PublicKey> ids;
    std::map<Ip4, PublicKey> addresses;
    std::map<std::string, PublicKey> names;
    for (int step = 0; step < 300; ++step) {
      if (below(50) == 0) {
        const std::uint32_t odd = below(2);
        const auto keep_id = [&](MemberId id) { return id.value % 2 == odd; };
        const auto keep_address = [&](Ip4 ip) { return ip.value % 2 != odd; };
        const auto keep_name = [&](const std::string& name) { return name.size() % 2 == odd; };
        keys.keep_if(keep_id, keep_address, keep_name);
        std::erase_if(ids, [&](const auto& known) { return !keep_id(known.first); });
        std::erase_if(addresses, [&](const auto& known) { return !keep_address(known.first); });
        std::erase_if(names, [&](const auto& known) { return !keep_name(known.first); });
      } else {
        const PublicKey of = key_of(below(6));
        const MemberId id{below(12)};
        const Ip4 address{below(12)};
        const std::string name(below(12), 'x');
        bool changed = false;
        const auto bind = [&](auto& map, const auto& value) {
          if (value == std::decay_t<decltype(value)>{}) return;
          const auto [it, added] = map.try_emplace(value, of);
          changed |= added || it->second != of;
          it->second = of;
        };
        bind(ids, id);
        bind(addresses, address);
        bind(names, name);
        ASSERT_EQ(keys.bind(of, id, address, name), changed);
      }
      std::map<MemberId, PublicKey> ids_now;
      std::map<Ip4, PublicKey> addresses_now;
      std::map<std::string, PublicKey> names_now;
      std::vector<PublicKey> visited;
      keys.for_each([&](const PublicKey& of, const KnownKeys::Names& known) {
        visited.push_back(of);
        for (const MemberId id : known.ids) ids_now.emplace(id, of);
        for (const Ip4 address : known.addresses) addresses_now.emplace(address, of);
        for (const std::string& name : known.names) names_now.emplace(name, of);
      });
      ASSERT_TRUE(std::ranges::is_sorted(visited));
      ASSERT_EQ(std::ranges::adjacent_find(visited), visited.end()) << "a key is visited once";
      ASSERT_EQ(ids_now, ids);
      ASSERT_EQ(addresses_now, addresses);
      ASSERT_EQ(names_now, names);
      ASSERT_EQ(keys.ids(), ids.size());
      for (std::uint32_t n = 0; n < 12; ++n) {
        const auto known = ids.find({n});
        const PublicKey* found = keys.find(MemberId{n});
        ASSERT_EQ(found == nullptr ? std::nullopt : std::optional(*found),
                  known == ids.end() ? std::nullopt : std::optional(known->second));
      }
    }
  }
}

}  // namespace
}  // namespace eps::node
