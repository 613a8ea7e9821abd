// SPDX-License-Identifier: MIT

// Each control action is in the record, written by the change that carries it out.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "registry/registry_fixture.h"

namespace eps::registry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class AuditTest : public RegistryTest {
 protected:
  AuditTest() { open(); }
  // What was recorded since the last call.
  std::vector<AuditEntry> fresh() {
    auto entries = registry_->audit({.after = seen_, .since = 0, .limit = 1000});
    EXPECT_TRUE(entries);
    if (!entries->empty()) seen_ = entries->back().id;
    return std::move(*entries);
  }
  std::vector<std::string> acts() {
    std::vector<std::string> out;
    for (const AuditEntry& e : fresh()) out.push_back(e.act);
    return out;
  }

  std::uint64_t seen_ = 0;
};

TEST_F(AuditTest, HoldsWhoDidWhatAndWhen) {
  join(1, "a");
  fresh();
  registry_->set_actor({"root for alice", 1'700'000'000});
  const int commits = store_.commits;
  ASSERT_TRUE(registry_->remove("a"));
  EXPECT_EQ(store_.commits, commits + 1) << "in one transaction with the act";
  const auto entries = fresh();
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].act, "remove");
  EXPECT_EQ(entries[0].who, "root for alice");
  EXPECT_EQ(entries[0].unix_time, 1'700'000'000);
  EXPECT_EQ(entries[0].kind, AuditEntry::Kind::administrator);
  EXPECT_THAT(entries[0].what, HasSubstr("a (192.168.43."));
}

TEST_F(AuditTest, HoldsEveryActOfAnAdministrator) {
  join(1, "a");
  fresh();
  const IpNetwork range = *parse_ip_network("192.168.43.250");
  ASSERT_TRUE(registry_->grant("a", range));
  ASSERT_TRUE(registry_->grant("a", range)) << "it may already";
  ASSERT_TRUE(registry_->permit("a", Permission::bridge, true));
  ASSERT_TRUE(registry_->revoke_grant("a", range));
  EXPECT_THAT(acts(), ElementsAre("allow", "allow", "allow"));
  const auto key = registry_->create_join_key({.name = "iot", .uses = 0, .valid_for = 0, .approve = true}, 1000);
  ASSERT_TRUE(registry_->rotate_network_key({}, 1000));
  EXPECT_THAT(acts(), ElementsAre("key create", "key rotate"));
  for (const std::uint32_t n : {5U, 6U}) {
    JoinRequest request{AuditTest::key(n), "guest" + std::to_string(n), "0.1.0"};
    request.join_key = key->id;
    request.from = *parse_ip("192.0.2.7");
    registry_->join(request);
  }
  EXPECT_THAT(acts(), IsEmpty()) << "asking is not an action";
  ASSERT_TRUE(registry_->approve("guest5", 1000));
  ASSERT_TRUE(registry_->deny("guest6"));
  ASSERT_TRUE(registry_->revoke_join_key("iot"));
  ASSERT_TRUE(registry_->note_act("reload", "The configuration was reread."));
  EXPECT_THAT(acts(), ElementsAre("approve", "join", "deny", "key revoke", "reload"));
  EXPECT_FALSE(registry_->remove("nobody"));
  EXPECT_FALSE(registry_->revoke_grant("a", range));
  EXPECT_THAT(acts(), IsEmpty());
}

TEST_F(AuditTest, HoldsTheLimitsOfAKey) {
  const JoinKeyWish wish{.name = "", .uses = 1, .valid_for = 3600, .approve = true};
  ASSERT_TRUE(registry_->create_join_key(wish, 1000));
  ASSERT_TRUE(registry_->rotate_network_key(wish, 1000));
  for (const AuditEntry& entry : fresh()) {
    EXPECT_THAT(entry.what, HasSubstr(", uses 1, for 3600 s, needs approval")) << entry.act;
  }
}

TEST_F(AuditTest, HoldsWhoJoinedFromWhereAndWithWhichKey) {
  JoinRequest request{AuditTest::key(1), "a", "0.1.0"};
  request.join_key = kNetworkKeyId;
  request.from = *parse_ip("192.0.2.7");
  request.unix_time = 1'700'000'000;
  registry_->join(request);
  const auto entries = fresh();
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].act, "join");
  EXPECT_EQ(entries[0].who, "192.0.2.7");
  EXPECT_EQ(entries[0].kind, AuditEntry::Kind::membership);
  EXPECT_THAT(entries[0].what, HasSubstr("with the network key"));
  for (int i = 0; i < 100; ++i) registry_->join(request);
  EXPECT_THAT(acts(), IsEmpty()) << "coming back is not an action";
}

TEST_F(AuditTest, RenamesCrowdOutNoOtherEntries) {
  join(1, "a");
  fresh();
  try_join(1, "b", false);
  const auto entries = fresh();
  ASSERT_THAT(entries, SizeIs(1));
  EXPECT_EQ(entries[0].act, "rename");
  EXPECT_EQ(entries[0].kind, AuditEntry::Kind::rename);
}

TEST_F(AuditTest, AnActionThatTheStoreRejectsDidNotHappen) {
  join(1, "a");
  fresh();
  store_.fail = true;
  EXPECT_FALSE(registry_->remove("a"));
  refusal(2, "b");
  EXPECT_FALSE(registry_->note_act("reload", ""));
  store_.fail = false;
  EXPECT_THAT(acts(), IsEmpty());
}

TEST_F(AuditTest, HoldsStartsAndAddressesOfAnotherNetwork) {
  join(1, "a");
  fresh();
  config_.started_as = "eps-server 0.2.0";
  config_.network = *parse_ip4_network("10.9.0.0/24");
  open();
  EXPECT_THAT(acts(), ElementsAre("start", "address"));
}

TEST_F(AuditTest, HoldsWhichMemberGaveUpItsPlace) {
  config_.network = *parse_ip4_network("10.9.0.0/30");
  open();
  const auto join_at = [&](std::uint32_t n, std::int64_t time) {
    JoinRequest request{AuditTest::key(n), "ci", "0.1.0"};
    request.join_key = kNetworkKeyId;
    request.unix_time = time;
    const auto joined = registry_->join(request);
    ASSERT_TRUE(std::holds_alternative<Member>(joined));
    registry_->saw(std::get<Member>(joined).id, time + 10);
  };
  for (std::uint32_t n = 1; n <= 3; ++n) join_at(n, 1'000'000 * n);
  EXPECT_THAT(acts(), ElementsAre("join", "join", "reclaim", "join"));
}

}  // namespace
}  // namespace eps::registry
