// SPDX-License-Identifier: MIT
#include "registry/join_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "registry/registry_fixture.h"

namespace eps::registry {
namespace {

using testing::HasSubstr;

class JoinKeysTest : public RegistryTest {
 protected:
  JoinKeysTest() { open(); }

  JoinKey create(const JoinKeyWish& wish, std::int64_t now = 1000) {
    const auto key = registry_->create_join_key(wish, now);
    EXPECT_TRUE(key) << key.error().what;
    return key ? *key : JoinKey{};
  }
  std::variant<Member, Refusal> join_with(const JoinKey& key, std::uint32_t n, std::int64_t now = 1000) {
    JoinRequest request{JoinKeysTest::key(n), "host", "0.1.0"};
    request.join_key = key.id;
    request.secrets_before = key.secrets_before;
    request.unix_time = now;
    return registry_->join(request);
  }
  static std::string sentence(const std::variant<Member, Refusal>& joined) {
    const auto* refusal = std::get_if<Refusal>(&joined);
    return refusal != nullptr ? refusal->sentence : "admitted";
  }
};

TEST_F(JoinKeysTest, AKeyForOneComputerLetsOneIn) {
  const JoinKey once = create({.name = "phone", .uses = 1, .valid_for = 0, .approve = false});
  EXPECT_EQ(sentence(join_with(once, 1)), "admitted");
  EXPECT_THAT(sentence(join_with(once, 2)), HasSubstr("good for 1 computer, which has joined"));
  EXPECT_EQ(sentence(join_with(once, 1)), "admitted") << "a member comes back without spending a use";
  open();
  EXPECT_THAT(sentence(join_with(once, 2)), HasSubstr("good for 1 computer")) << "the use must be durable";
}

TEST_F(JoinKeysTest, AUseThatCannotBeSavedAdmitsNobodyAndIsNotSpent) {
  const JoinKey once = create({.name = "", .uses = 1, .valid_for = 0, .approve = false});
  store_.fail = true;
  EXPECT_THAT(sentence(join_with(once, 1)), HasSubstr("cannot save"));
  store_.fail = false;
  EXPECT_EQ(sentence(join_with(once, 1)), "admitted");
}

TEST_F(JoinKeysTest, AKeyExpires) {
  const JoinKey hour = create({.name = "", .uses = 0, .valid_for = 3600, .approve = false}, 1000);
  EXPECT_EQ(sentence(join_with(hour, 1, 1000 + 3599)), "admitted");
  EXPECT_THAT(sentence(join_with(hour, 2, 1000 + 3600)), HasSubstr("has expired"));
  EXPECT_EQ(sentence(join_with(hour, 1, 1000 + 3600)), "admitted") << "members stay";
}

TEST_F(JoinKeysTest, ARevokedKeyLetsNobodyInAndItsMembersStay) {
  const JoinKey key = create({.name = "office", .uses = 0, .valid_for = 0, .approve = false});
  EXPECT_EQ(sentence(join_with(key, 1)), "admitted");
  ASSERT_TRUE(registry_->revoke_join_key("office"));
  open();
  EXPECT_THAT(sentence(join_with(key, 2)), HasSubstr("was revoked"));
  EXPECT_EQ(sentence(join_with(key, 1)), "admitted");
  EXPECT_FALSE(registry_->revoke_join_key("office")) << "it has already been revoked";
}

TEST_F(JoinKeysTest, AnAmbiguousNameIsRefused) {
  create({.name = "iot", .uses = 0, .valid_for = 0, .approve = false});
  const JoinKey second = create({.name = "iot", .uses = 0, .valid_for = 0, .approve = false});
  const auto revoked = registry_->revoke_join_key("iot");
  ASSERT_FALSE(revoked);
  EXPECT_EQ(revoked.error().code, Errc::invalid_argument);
  ASSERT_TRUE(registry_->revoke_join_key(std::to_string(second.id)));
  EXPECT_TRUE(registry_->join_keys().find(second.id)->revoked);
  EXPECT_TRUE(registry_->revoke_join_key("iot")) << "only one is left now";
}

TEST_F(JoinKeysTest, RotatingChangesTheSecretAndKeepsTheMembers) {
  const JoinKey before = *registry_->join_keys().find(kNetworkKeyId);
  const Member member = join(1);
  const auto after = registry_->rotate_network_key({}, 2000);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->id, kNetworkKeyId);
  EXPECT_NE(after->secret, before.secret);
  open();
  EXPECT_EQ(registry_->join_keys().find(kNetworkKeyId)->secret, after->secret);
  EXPECT_NE(registry_->find(member.id), nullptr);
}

TEST_F(JoinKeysTest, ASecretThatWasProvedBeforeARotationAdmitsNobodyAfterIt) {
  ASSERT_TRUE(registry_->rotate_network_key({.name = "", .uses = 0, .valid_for = 0, .approve = true}, 1000));
  const JoinKey old = *registry_->join_keys().find(kNetworkKeyId);
  EXPECT_THAT(sentence(join_with(old, 1)), HasSubstr("eps members approve host"));
  ASSERT_TRUE(registry_->rotate_network_key({}, 2000));
  EXPECT_THAT(registry_->approve("host", 2000).error().what, HasSubstr("was replaced by a new one"));
  EXPECT_THAT(sentence(join_with(old, 2)), HasSubstr("was replaced by a new one"));
  EXPECT_EQ(sentence(join_with(*registry_->join_keys().find(kNetworkKeyId), 1)), "admitted");
}

TEST_F(JoinKeysTest, TheNetworksKeyCanBeCapped) {
  ASSERT_TRUE(registry_->rotate_network_key({.name = "", .uses = 1, .valid_for = 0, .approve = false}, 1000));
  EXPECT_EQ(sentence(join_with(*registry_->join_keys().find(kNetworkKeyId), 1)), "admitted");
  EXPECT_THAT(sentence(join_with(*registry_->join_keys().find(kNetworkKeyId), 2)), HasSubstr("good for 1 computer"));
}

TEST_F(JoinKeysTest, ANetworkFromBeforeJoinKeysKeepsItsSecret) {
  auto state = *store_.load();
  test::MemoryStore old;
  const Bytes secret(16, std::byte{7});
  state.meta["identity.enrolment"] = secret;
  ports::StoreChange change;
  change.put_meta = state.meta;
  ASSERT_TRUE(old.commit(change));
  const auto opened = Registry::open(old, config_, rng_);
  ASSERT_TRUE(opened) << opened.error().what;
  EXPECT_TRUE(equal((*opened)->join_keys().find(kNetworkKeyId)->secret, secret));
}

TEST_F(JoinKeysTest, DeadKeysGiveWayAndLiveOnesDoNot) {
  const JoinKey first = create({.name = "first", .uses = 0, .valid_for = 0, .approve = false});
  for (std::size_t i = registry_->join_keys().all().size(); i < kMaxJoinKeys; ++i) create({});
  EXPECT_EQ(registry_->create_join_key({}, 1000).error().code, Errc::exhausted);
  ASSERT_TRUE(registry_->revoke_join_key("first"));
  const JoinKey next = create({});
  EXPECT_EQ(registry_->join_keys().find(first.id), nullptr);
  EXPECT_GT(next.id, first.id);
  EXPECT_LE(registry_->join_keys().all().size(), kMaxJoinKeys);
}

TEST_F(JoinKeysTest, AComputerThatNeedsApprovalWaitsForIt) {
  const JoinKey key = create({.name = "", .uses = 2, .valid_for = 0, .approve = true});
  EXPECT_THAT(sentence(join_with(key, 1)), HasSubstr("eps members approve host"));
  EXPECT_THAT(sentence(join_with(key, 1)), HasSubstr("eps members approve host")) << "no second entry";
  ASSERT_EQ(registry_->pending().size(), 1U);
  EXPECT_TRUE(registry_->members().empty());
  EXPECT_EQ(registry_->join_keys().find(key.id)->used, 0U);
  ASSERT_TRUE(registry_->approve("host", 1000));
  EXPECT_TRUE(registry_->pending().empty());
  EXPECT_EQ(registry_->join_keys().find(key.id)->used, 1U);
  EXPECT_EQ(sentence(join_with(key, 1)), "admitted");
}

TEST_F(JoinKeysTest, AComputerThatWaitedAndJoinedWithAnotherKeyWaitsNoLonger) {
  const JoinKey slow = create({.name = "", .uses = 0, .valid_for = 0, .approve = true});
  join_with(slow, 1);
  EXPECT_EQ(sentence(join_with(create({}), 1)), "admitted");
  EXPECT_TRUE(registry_->pending().empty());
  EXPECT_FALSE(registry_->approve("host", 1000)) << "it would be a member twice";
  EXPECT_FALSE(registry_->deny("host")) << "it would be removed at its next connection";
  EXPECT_EQ(registry_->members().size(), 1U);
  EXPECT_EQ(sentence(join_with(slow, 1)), "admitted");
}

TEST_F(JoinKeysTest, ADeniedComputerIsRefusedForGood) {
  const JoinKey key = create({.name = "", .uses = 0, .valid_for = 0, .approve = true});
  join_with(key, 1);
  ASSERT_TRUE(registry_->deny("host"));
  open();
  EXPECT_THAT(sentence(join_with(key, 1)), HasSubstr("removed from the network"));
  EXPECT_FALSE(registry_->deny("host"));
}

TEST_F(JoinKeysTest, ApprovalDoesNotReviveADeadKey) {
  const JoinKey key = create({.name = "", .uses = 0, .valid_for = 10, .approve = true}, 1000);
  join_with(key, 1);
  EXPECT_THAT(registry_->approve("host", 1010).error().what, HasSubstr("has expired"));
  EXPECT_TRUE(registry_->members().empty());
}

TEST_F(JoinKeysTest, TheListOfWaitingComputersHasAnEnd) {
  const JoinKey key = create({.name = "", .uses = 0, .valid_for = 0, .approve = true});
  for (std::uint32_t n = 0; n < kMaxPendingJoins; ++n) join_with(key, n + 1);
  EXPECT_THAT(sentence(join_with(key, kMaxPendingJoins + 1)), HasSubstr("Too many computers wait"));
  EXPECT_EQ(registry_->pending().size(), kMaxPendingJoins);
  EXPECT_EQ(registry_->pending()[1].name, "host-2");
  join_with(key, 1, 1500);  // the first asks again, the second has gone
  EXPECT_THAT(sentence(join_with(key, kMaxPendingJoins + 1, 1000 + kPendingGone)), HasSubstr("approve host-2"));
  EXPECT_THAT(sentence(join_with(key, 1, 1000 + kPendingGone)), HasSubstr("approve host."));
  EXPECT_EQ(registry_->pending().size(), kMaxPendingJoins);
}

}  // namespace
}  // namespace eps::registry
