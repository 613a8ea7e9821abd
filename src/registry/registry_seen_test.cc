// SPDX-License-Identifier: MIT

// Which member is displaced when a new one finds no place.

#include <gmock/gmock.h>

#include "registry/registry_fixture.h"

namespace eps::registry {
namespace {

constexpr std::int64_t kNow = 1'800'000'000;

class PlaceTest : public RegistryTest {
 protected:
  PlaceTest() {
    config_.network = *parse_ip4_network("10.5.0.0/29");  // six places
    config_.started_at = kNow;
  }

  std::variant<Member, Refusal> try_at(std::int64_t time, std::uint32_t n) {
    JoinRequest request{key(n), "m" + std::to_string(n), "0.2.0"};
    request.join_key = kNetworkKeyId;
    request.unix_time = time;
    return registry_->join(request);
  }
  // Joins, stays for `stay` seconds, and leaves.
  Member live(std::int64_t time, std::uint32_t n, std::int64_t stay) {
    auto joined = try_at(time, n);
    if (const auto* refused = std::get_if<Refusal>(&joined)) {
      ADD_FAILURE() << refused->sentence;
      return {};
    }
    const Member member = std::get<Member>(joined);
    registry_->set_online(member.id, true);
    registry_->set_online(member.id, false);
    registry_->saw(member.id, time + stay);
    return member;
  }
  bool refused_at(std::int64_t time, std::uint32_t n) { return std::holds_alternative<Refusal>(try_at(time, n)); }
};

TEST_F(PlaceTest, TheMemberAwayLongestIsDisplacedAndEverybodyHearsOfIt) {
  open();
  const Member first = live(kNow, 1, 10);
  for (std::uint32_t n = 2; n <= 6; ++n) live(kNow + n, n, 20);
  const std::uint64_t before = registry_->records_version();
  const Member newcomer = live(kNow + 60, 7, 10);
  EXPECT_EQ(newcomer.address, first.address);
  EXPECT_NE(newcomer.id, first.id);
  EXPECT_EQ(registry_->find(first.id), nullptr);
  const Delta delta = registry_->records_since(before);
  EXPECT_THAT(delta.removed, testing::ElementsAre(first.id));
  const auto told = registry_->take_reclaimed();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].member.name, "m1");
  EXPECT_EQ(told[0].away, 50);
  EXPECT_FALSE(registry_->is_revoked(key(1))) << "it may come back as a new member";
  open();
  EXPECT_EQ(registry_->members().size(), 6U);
  EXPECT_NE(registry_->find_name("m7"), nullptr);
}

TEST_F(PlaceTest, AMemberThatIsOnlineOrWasAwayOnlyBrieflyIsNotDisplaced) {
  open();
  for (std::uint32_t n = 1; n <= 6; ++n) live(kNow, n, 1000);
  const Member* online = registry_->find_name("m3");
  registry_->set_online(online->id, true);
  EXPECT_TRUE(refused_at(kNow + 1999, 7));
  for (std::uint32_t n = 11; n <= 15; ++n) live(kNow + 2001, n, 1000);
  EXPECT_NE(registry_->find_name("m3"), nullptr);
  EXPECT_TRUE(refused_at(kNow + 3500, 8)) << "the five came 1,500 s ago and left 500 s ago";
}

TEST_F(PlaceTest, ALongStandingMemberKeepsItsPlaceForAWeekAcrossRestarts) {
  open();
  for (std::uint32_t n = 1; n <= 6; ++n) live(kNow, n, 30 * 24 * 3600);
  const std::int64_t left = kNow + 30 * 24 * 3600;
  ASSERT_TRUE(registry_->keep_last_seen());
  open();
  EXPECT_TRUE(refused_at(left + kKeepPlaceAtMost - 1, 7));
  EXPECT_FALSE(refused_at(left + kKeepPlaceAtMost, 7));
}

TEST_F(PlaceTest, AMemberOfUnknownAgeCountsFromTheServersStart) {
  open();
  for (std::uint32_t n = 1; n <= 6; ++n) join(n, "m" + std::to_string(n));
  open();  // times of presence were not stored, as by an older server
  EXPECT_TRUE(refused_at(kNow + kKeepPlaceAtMost - 1, 7));
  EXPECT_FALSE(refused_at(kNow + kKeepPlaceAtMost, 7));
}

TEST_F(PlaceTest, AMemberWithFurtherAddressesStays) {
  open();
  for (std::uint32_t n = 1; n <= 6; ++n) live(kNow, n, 1);
  for (std::uint32_t n = 1; n <= 6; ++n) {
    ASSERT_TRUE(registry_->grant("m" + std::to_string(n), *parse_ip_network("10.6." + std::to_string(n) + ".0/24")));
  }
  EXPECT_TRUE(refused_at(kNow + 1000, 7));
}

TEST_F(PlaceTest, AFailedWriteLeavesTheOldMemberInPlace) {
  open();
  for (std::uint32_t n = 1; n <= 6; ++n) live(kNow, n, 1);
  store_.fail = true;
  EXPECT_TRUE(refused_at(kNow + 1000, 7));
  store_.fail = false;
  EXPECT_EQ(registry_->members().size(), 6U);
  ASSERT_NE(registry_->find_name("m1"), nullptr);
  EXPECT_TRUE(registry_->take_reclaimed().empty());
  EXPECT_FALSE(refused_at(kNow + 1000, 7));
}

class ExpiryTest : public PlaceTest {
 protected:
  // Like live(), but with the key that this makes.
  void make_key() {
    const auto made = registry_->create_join_key({.name = "ci", .ephemeral = true}, kNow);
    ASSERT_TRUE(made && made->ephemeral);
    ephemeral_ = made->id;
  }
  Member live_ephemeral(std::int64_t time, std::uint32_t n, std::int64_t stay) {
    JoinRequest request{key(n), "m" + std::to_string(n), "0.2.0"};
    request.join_key = ephemeral_;
    request.unix_time = time;
    const Member member = std::get<Member>(registry_->join(request));
    registry_->saw(member.id, time + stay);
    return member;
  }
  std::vector<std::string> expire(std::int64_t now, std::int64_t keep = 0) {
    std::vector<std::string> out;
    const auto expired = registry_->expire(now, keep);
    EXPECT_TRUE(expired);
    for (const auto& e : *expired) out.push_back(e.member.name);
    return out;
  }
  std::uint32_t ephemeral_ = 0;
};

TEST_F(ExpiryTest, AnEphemeralMemberExpiresMinutesAfterItLeft) {
  using testing::ElementsAre;
  using testing::IsEmpty;
  open();
  make_key();
  live(kNow, 1, 100);
  const Member brief = live_ephemeral(kNow, 2, 100);
  const Member here = live_ephemeral(kNow, 3, 100);
  const Member allowed = live_ephemeral(kNow, 4, 100);
  registry_->set_online(here.id, true);
  ASSERT_TRUE(registry_->grant("m4", *parse_ip_network("10.60.0.0/24")));
  const std::int64_t left = kNow + 100;
  EXPECT_THAT(expire(left + kKeepEphemeral - 1), IsEmpty());
  EXPECT_EQ(registry_->expires_at(*registry_->find(brief.id), 0), left + kKeepEphemeral);
  for (const MemberId stays : {here.id, allowed.id}) {
    EXPECT_EQ(registry_->expires_at(*registry_->find(stays), 1), std::nullopt);
  }
  // All of it survives a restart, after which the server gives everybody time to come back.
  ASSERT_TRUE(registry_->keep_last_seen());
  config_.started_at = kNow + 5000;
  open();
  EXPECT_TRUE(registry_->join_keys().find(ephemeral_)->ephemeral);
  registry_->set_online(here.id, true);
  EXPECT_THAT(expire(kNow + 5000 + kKeepEphemeral - 1), IsEmpty());
  const std::uint64_t before = registry_->records_version();
  EXPECT_THAT(expire(kNow + 5000 + kKeepEphemeral), ElementsAre("m2"));
  EXPECT_THAT(registry_->records_since(before).removed, ElementsAre(brief.id));
  EXPECT_FALSE(registry_->is_revoked(key(2)));
  EXPECT_NE(registry_->find(allowed.id), nullptr) << "a person gave it addresses";
  const auto record = registry_->audit({});
  ASSERT_TRUE(record && !record->empty());
  EXPECT_EQ(record->back().act, "expire");
  EXPECT_THAT(record->back().what, testing::HasSubstr("m2 (" + to_string(brief.address) + ")"));
  config_.started_at = kNow;
  open();
  EXPECT_EQ(registry_->find_name("m2"), nullptr);
}

TEST_F(ExpiryTest, AMemberAwayForTooManyDaysExpires) {
  constexpr std::int64_t kDay = 24 * 3600;
  open();
  live(kNow, 1, 100);
  live(kNow, 2, 5 * kDay);
  EXPECT_THAT(expire(kNow + 40 * kDay), testing::IsEmpty()) << "only if configured";
  EXPECT_EQ(registry_->expires_at(*registry_->find_name("m1"), 0), std::nullopt);
  EXPECT_EQ(registry_->expires_at(*registry_->find_name("m1"), 30 * kDay), kNow + 100 + 30 * kDay);
  EXPECT_THAT(expire(kNow + 33 * kDay, 30 * kDay), testing::ElementsAre("m1"));
  // The server was down, not the member.
  ASSERT_TRUE(registry_->keep_last_seen());
  config_.started_at = kNow + 60 * kDay;
  open();
  EXPECT_THAT(expire(kNow + 60 * kDay + kExpiryGrace - 1, 30 * kDay), testing::IsEmpty());
  EXPECT_THAT(expire(kNow + 60 * kDay + kExpiryGrace, 30 * kDay), testing::ElementsAre("m2"));
}

TEST_F(ExpiryTest, AClockBeyond2106GivesTimeToComeBackAsAnyOther) {
  constexpr std::int64_t kDay = 24 * 3600, kFar = 5'000'000'000;
  open();
  live(kNow, 1, 100);
  ASSERT_TRUE(registry_->keep_last_seen());
  config_.started_at = kFar;
  open();
  EXPECT_THAT(expire(kFar + kExpiryGrace - 1, 30 * kDay), testing::IsEmpty());
}

}  // namespace
}  // namespace eps::registry
