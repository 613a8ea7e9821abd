// SPDX-License-Identifier: MIT
#include "control/cache_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "registry/list_digest.h"
#include "registry/merkle_tree.h"
#include "support/seeded_rng.h"

namespace eps::control {
namespace {

using testing::HasSubstr;

class CacheFileTest : public testing::Test {
 protected:
  CacheFileTest() {
    rng_.fill(seed_.writable());
    Delta all{.from = 0, .to = (7ULL << 32) + 3, .full = true, .upserts = {}, .removed = {}};
    for (std::uint32_t id = 1; id <= 3; ++id) {
      Member m;
      m.id = {id};
      rng_.fill(m.key.bytes);
      m.name = "h" + std::to_string(id);
      m.mac.bytes[0] = std::byte{2};
      m.address = {0x0a000000U + id};
      m.candidates = {{Candidate::Kind::local, {IpAddress::from_v4({0xc0a80000U + id}), 7000}}};
      all.upserts.push_back(std::move(m));
    }
    cache_.list.apply(all);
    rng_.fill(cache_.server.bytes);
    cache_.signing_key = crypto::signing_public_key(seed_);
    cache_.network.network = *parse_ip4_network("10.0.0.0/24");
    cache_.self = *cache_.list.find({2});
    cache_.also_port = 443;
    cache_.data_port = 7000;
    sign();
  }
  void sign() {
    cache_.signature = crypto::sign(seed_, registry::signed_list_message(cache_.network.id, cache_.list.version(),
                                                                         registry::list_digest(cache_.list.members())));
  }
  static std::string refusal(ByteView file) {
    const auto cache = decode_cache_file(file);
    return cache ? "" : cache.error().what;
  }

  test::SeededRng rng_{3};
  crypto::Key seed_;
  NetworkCache cache_;
};

TEST_F(CacheFileTest, ARecoveryIsPartOfWhatTheServerSigned) {
  Delta all{.from = 0, .to = cache_.list.version(), .full = true, .upserts = {}, .removed = {}};
  for (const auto& [id, m] : cache_.list.members()) all.upserts.push_back(m);
  const RecoveryId recovery{std::byte{5}};
  cache_.list.begin_anew(recovery);
  cache_.list.apply(all);
  EXPECT_THAT(refusal(encode_cache_file(cache_)), HasSubstr("not signed")) << "that was for the first beginning";
  cache_.signature = crypto::sign(seed_, registry::signed_records_message(cache_.network.id, recovery, all.to,
                                                                          registry::MerkleTree(cache_.list).root()));
  const auto got = decode_cache_file(encode_cache_file(cache_));
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_EQ(got->list.recovery(), recovery);
  EXPECT_EQ(got->list.version(), all.to);
  EXPECT_EQ(got->list.members(), cache_.list.members());
  cache_.list.begin_anew({});
  cache_.list.apply(all);
  EXPECT_THAT(refusal(encode_cache_file(cache_)), HasSubstr("not signed"));
}

TEST_F(CacheFileTest, ReturnsWhatWasStored) {
  const auto got = decode_cache_file(encode_cache_file(cache_));
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_EQ(got->server, cache_.server);
  EXPECT_EQ(got->signing_key, cache_.signing_key);
  EXPECT_EQ(got->network, cache_.network);
  EXPECT_EQ(got->self, cache_.self);
  EXPECT_EQ(got->list.version(), cache_.list.version());
  EXPECT_EQ(got->list.members(), cache_.list.members());
  EXPECT_EQ(got->signature, cache_.signature);
  EXPECT_EQ(got->also_port, 443);
  EXPECT_EQ(got->data_port, 7000);
}

TEST_F(CacheFileTest, AMissingListIsNotAnError) {
  cache_.list = {};
  cache_.signature = {};
  EXPECT_EQ(refusal(encode_cache_file(cache_)), "");
}

TEST_F(CacheFileTest, EveryChangedByteAndEveryCutIsDetected) {
  const Bytes good = encode_cache_file(cache_);
  for (std::size_t i = 0; i < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= std::byte{0x20};
    EXPECT_NE(refusal(bad), "") << i;
    EXPECT_NE(refusal(ByteView(good).first(i)), "") << i;
  }
}

TEST_F(CacheFileTest, AListThatTheServerDidNotSignIsRefused) {
  Member added = cache_.self;
  added.id = {9};
  const std::uint64_t at = cache_.list.version();
  ASSERT_TRUE(cache_.list.apply({.from = at, .to = at, .full = false, .upserts = {added}, .removed = {}}));
  EXPECT_THAT(refusal(encode_cache_file(cache_)), HasSubstr("not signed"));
  sign();
  EXPECT_EQ(refusal(encode_cache_file(cache_)), "");
  rng_.fill(cache_.signing_key.bytes);
  EXPECT_THAT(refusal(encode_cache_file(cache_)), HasSubstr("not signed"));
}

TEST_F(CacheFileTest, LimitsHold) {
  cache_.self.address = {0x0b000001};
  EXPECT_THAT(refusal(encode_cache_file(cache_)), HasSubstr("limit"));
  cache_.self.address = {0x0a000002};
  cache_.network.mtu = 20;
  EXPECT_THAT(refusal(encode_cache_file(cache_)), HasSubstr("limit"));
  cache_.network.mtu = 1400;
  cache_.self.name = "a b";
  EXPECT_THAT(refusal(encode_cache_file(cache_)), HasSubstr("limit"));
}

TEST_F(CacheFileTest, TheLargestNetworkFits) {
  Delta all{.from = 0, .to = 1, .full = true, .upserts = {}, .removed = {}};
  Member m = cache_.self;
  m.name = std::string(kMaxNameSize, 'n');
  m.version = std::string(kMaxVersionSize, 'v');
  m.candidates.assign(kMaxCandidates, {Candidate::Kind::mapped, {IpAddress::from_v4({0xffffffff}), 65535}});
  for (std::uint32_t id = 1; id <= kMaxMembers; ++id) {
    m.id = {0xff0000 + id};
    all.upserts.push_back(m);
  }
  cache_.list = {};
  cache_.list.apply(all);
  EXPECT_LT(encode_cache_file(cache_).size(), kMaxCacheFile);
}

}  // namespace
}  // namespace eps::control
