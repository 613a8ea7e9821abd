// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "registry/list_digest.h"
#include "registry/registry_fixture.h"

namespace eps::registry {
namespace {

constexpr std::uint32_t kNow = 1'800'000'000;

class RecoveryTest : public RegistryTest {
 protected:
  // As somebody leaves it who had the server.
  void drive_away() {
    config_.started_at = kNow;
    Bytes stored;
    Writer(stored).u64(0xffff'ffff);
    ports::StoreChange change;
    change.put_meta["epoch"] = stored;
    ASSERT_TRUE(store_.commit(change));
    open();
    ASSERT_EQ(registry_->version() >> 32, 0xffff'ffffU);
  }
  bool proves(const crypto::Hash& binding, const RecoveryId& recovery) const {
    return crypto::verify(registry_->signing_key(), signed_recovery_message(registry_->network().id, recovery, binding),
                          registry_->recovery_proof(binding));
  }
};

TEST_F(RecoveryTest, TheListBeginsAnewWithTheClockAndStaysSo) {
  open();
  const Member a = join(1, "a");
  drive_away();
  registry_->set_actor({"root", kNow});
  ASSERT_TRUE(registry_->recover(kNow + 5));
  const RecoveryId recovery = registry_->recovery();
  EXPECT_NE(recovery, RecoveryId{});
  EXPECT_EQ(registry_->version(), std::uint64_t{kNow + 5} << 32);
  EXPECT_EQ(registry_->records_version(), registry_->version());
  EXPECT_EQ(registry_->members().size(), 1U);
  const Delta all = registry_->records_since(0);
  EXPECT_TRUE(all.full);
  ASSERT_EQ(all.upserts.size(), 1U);
  EXPECT_EQ(all.upserts[0].key, a.key);
  EXPECT_EQ(registry_->audit({})->back().act, "recover");

  registry_->set_online(a.id, true);
  EXPECT_GT(registry_->states().newest(), std::uint64_t{kNow + 5} << 32);

  config_.started_at = kNow + 10;
  open();
  EXPECT_EQ(registry_->recovery(), recovery);
  EXPECT_EQ(registry_->version(), std::uint64_t{kNow + 10} << 32);
}

TEST_F(RecoveryTest, EachIsAnotherBeginningAndAheadOfPlausibleVersions) {
  config_.started_at = kNow;
  open();
  ASSERT_TRUE(registry_->recover(kNow));
  const RecoveryId first = registry_->recovery();
  EXPECT_EQ(registry_->version() >> 32, kNow + 1) << "clients of version 0.1 follow";
  ASSERT_TRUE(registry_->recover(kNow));
  EXPECT_NE(registry_->recovery(), first);
  EXPECT_EQ(registry_->version() >> 32, kNow + 2);
}

TEST_F(RecoveryTest, AProofIsForOneConnectionAndOneBeginning) {
  open();
  ASSERT_TRUE(registry_->recover(kNow));
  const crypto::Hash here{std::byte{1}}, elsewhere{std::byte{2}};
  EXPECT_TRUE(proves(here, registry_->recovery()));
  EXPECT_FALSE(proves(here, {}));
  EXPECT_FALSE(crypto::verify(registry_->signing_key(),
                              signed_recovery_message(registry_->network().id, registry_->recovery(), elsewhere),
                              registry_->recovery_proof(here)));
}

TEST_F(RecoveryTest, SignaturesCountForOneBeginning) {
  open();
  join(1, "a");
  MemberList list;
  list.apply(registry_->records_since(0));
  const auto signed_for = [&](const RecoveryId& recovery) {
    list.begin_anew(recovery);
    list.apply(registry_->records_since(0));
    return is_signed(registry_->signing_key(), registry_->network().id, list,
                     registry_->records_signature(registry_->recovery()));
  };
  EXPECT_TRUE(signed_for({}));
  ASSERT_TRUE(registry_->recover(kNow));
  EXPECT_FALSE(signed_for({}));
  EXPECT_TRUE(signed_for(registry_->recovery()));
  RecoveryId other = registry_->recovery();
  other[0] ^= std::byte{1};
  EXPECT_FALSE(signed_for(other));
  list.begin_anew({});
  list.apply(registry_->records_since(0));
  EXPECT_TRUE(is_signed(registry_->signing_key(), registry_->network().id, list, registry_->records_signature({})))
      << "for clients without the feature";
}

TEST_F(RecoveryTest, WithAWrongClockOrWithoutADiskNothingHappens) {
  open();
  join(1, "a");
  const std::uint64_t before = registry_->version();
  for (const std::int64_t wrong : {std::int64_t{0}, std::int64_t{0xffff'ffff}}) {
    const auto done = registry_->recover(wrong);
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().what, testing::HasSubstr("Set the clock first"));
  }
  store_.fail = true;
  EXPECT_FALSE(registry_->recover(kNow));
  EXPECT_EQ(registry_->version(), before);
  EXPECT_EQ(registry_->recovery(), RecoveryId{});
}

}  // namespace
}  // namespace eps::registry
