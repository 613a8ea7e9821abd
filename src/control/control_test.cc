// SPDX-License-Identifier: MIT

// Clients and a server back to back: who joins, under which name and address, and who is refused or
// displaced.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/control_fixture.h"

namespace eps::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

TEST_F(ControlTest, AFirstJoin) {
  TestClient& a = join("a");
  EXPECT_EQ(a.self->name, "a");
  EXPECT_EQ(a.self->key, a.keys.public_key);
  EXPECT_TRUE(a.self->online);
  EXPECT_EQ(*a.network, registry_->network());
  EXPECT_TRUE(a.enrolled);
  EXPECT_EQ(a.members().members().size(), 1U);
  EXPECT_EQ(a.members().find(a.self->id)->version, "0.1.0");
  const Credentials* credentials = server_->credentials(a.self->id);
  ASSERT_NE(credentials, nullptr);
  EXPECT_EQ(credentials->relay_tag, a.relay_tag);
  EXPECT_TRUE(equal(credentials->bind_key.view(), a.bind_key));
  EXPECT_EQ(server_->connected_from(a.self->id), a.from);
  EXPECT_EQ(count(ServerEvent::Kind::joined), 1U);
  EXPECT_THAT(events_.back().sentence, HasSubstr("a (" + to_string(a.self->address) + ") joined from 10.0.0.1."));
  expect_all_agree();
}

TEST_F(ControlTest, ARestartedServerGivesTheSameAddressesAndTheWholeList) {
  TestClient& a = join("a");
  TestClient& b = join("b");
  const Member before = *a.self;
  const std::uint64_t version = registry_->version();
  start_server();
  connect(a);
  connect(b);
  advance(milliseconds(50));
  EXPECT_EQ(a.self->id, before.id);
  EXPECT_EQ(a.self->address, before.address);
  EXPECT_EQ(a.self->mac, before.mac);
  EXPECT_GT(a.members().version(), version);
  expect_all_agree();
}

TEST_F(ControlTest, AServerThatLostItsStateAdmitsItsOldClientsAgain) {
  TestClient& a = join("a");
  // Its identity is still there, but no members are.
  ports::StoreChange identity;
  identity.put_meta = store_.load()->meta;
  identity.put_join_keys = store_.load()->join_keys;
  store_ = {};
  ASSERT_TRUE(store_.commit(identity));
  start_server();
  connect(a);
  ASSERT_TRUE(a.refused);
  EXPECT_TRUE(a.refused->retry);
  EXPECT_TRUE(a.refused->forget_enrolment);
  EXPECT_THAT(a.refused->sentence, HasSubstr("does not know this computer's key"));
  EXPECT_TRUE(registry_->members().empty());
  connect(a);
  ASSERT_TRUE(a.connected());
  expect_all_agree();
}

TEST_F(ControlTest, AJoinKeyAdmitsAndARotatedNetworkKeyDoesNot) {
  TestClient& member = join("member");
  const auto once = registry_->create_join_key({.name = "", .uses = 1, .valid_for = 0, .approve = false}, 0);
  ASSERT_TRUE(once);
  TestClient& phone = add("phone");
  phone.network_key = network_key_of(*registry_, *once);
  TestClient& second = add("second");
  second.network_key = phone.network_key.clone();
  TestClient& late = add("late");  // has the previous network key
  ASSERT_TRUE(registry_->rotate_network_key({}, 0));
  // Two at once with a key for one: both handshakes succeed, one joins.
  open(phone);
  open(second);
  advance(kGatherJoins);
  EXPECT_NE(phone.connected(), second.connected());
  EXPECT_THAT((phone.connected() ? second : phone).refused->sentence, HasSubstr("good for 1 computer"));
  connect(late);
  ASSERT_TRUE(late.refused);
  EXPECT_TRUE(late.refused->wrong_answer) << "reported as a wrong key once the server proved itself";
  hang_up(member);
  connect(member);
  EXPECT_TRUE(member.connected()) << "members stay";
  connect(add("next"));
  EXPECT_TRUE(clients_.back().connected()) << "with the new network key";
}

// Somebody who keeps connections ready that have proved the old key.
TEST_F(ControlTest, AProofOfTheNetworkKeyFromBeforeItsRotationAdmitsNobody) {
  join("member");  // who comes right after it waits for the next write
  TestClient& late = add("late");
  open(late);
  run();
  ASSERT_FALSE(late.self || late.refused) << "it has proved the key, and waits";
  ASSERT_TRUE(registry_->rotate_network_key({}, 0));
  advance(kGatherJoins);
  EXPECT_FALSE(late.self);
  ASSERT_TRUE(late.refused);
  EXPECT_THAT(late.refused->sentence, HasSubstr("was replaced by a new one"));
}

TEST_F(ControlTest, AMemberThatComesAgainAndAgainFillsNoLogAndChangesItsNameSeldom) {
  TestClient& other = join("other");
  TestClient& busy = join("busy");
  std::uint64_t version = 0;
  events_.clear();
  for (int i = 0; i < 200; ++i) {
    hang_up(busy);
    run();
    busy.name = "busy" + std::to_string(i);
    connect(busy);
    ASSERT_TRUE(busy.self) << i;
    if (i + 1 == kRenamesAtOnce) version = registry_->records_version();
  }
  EXPECT_EQ(busy.self->name, "busy" + std::to_string(kRenamesAtOnce - 1));
  EXPECT_EQ(registry_->records_version(), version) << "nobody else hears of it";
  const auto lines = std::ranges::count_if(events_, [](const ServerEvent& e) { return !e.sentence.empty(); });
  EXPECT_LE(lines, 2 * kLinesAtOnce);
  EXPECT_THAT(events_.front().sentence, HasSubstr("left"));
  connect(other);
  EXPECT_THAT(events_.back().sentence, HasSubstr("other")) << "a pace of its own";
  now_ += kRenamePause;
  hang_up(busy);
  busy.name = "late";
  connect(busy);
  EXPECT_EQ(busy.self->name, "late");
  EXPECT_THAT(events_.back().sentence, HasSubstr("busy9 is now called late."));
  EXPECT_THAT(events_.back().sentence, HasSubstr("such lines before it were left out"));
}

// What is in transit is cut at random and arrives in another order each time.
TEST_F(ControlTest, AThousandRacesForAKeyForOneComputerHaveOneWinnerEach) {
  std::array<int, 2> won{};
  for (int round = 0; round < 1000; ++round) {
    const auto once = registry_->create_join_key({.name = "", .uses = 1, .valid_for = 0, .approve = false}, 0);
    ASSERT_TRUE(once);
    std::array<TestClient*, 2> racers{&add("a"), &add("b")};
    for (TestClient* c : racers) {
      c->network_key = network_key_of(*registry_, *once);
      open(*c);
    }
    if (rng_.below(2) == 0) clients_.reverse();
    advance(kGatherJoins);
    ASSERT_NE(racers[0]->self.has_value(), racers[1]->self.has_value()) << "round " << round;
    TestClient& winner = racers[0]->self ? *racers[0] : *racers[1];
    ++won[winner.name == "a" ? 0 : 1];
    ASSERT_EQ(registry_->join_keys().find(once->id)->used, 1U);
    auto removed = server_->remove(winner.self->name, now_);
    ASSERT_TRUE(removed);
    take(std::move(*removed));
    for (TestClient* c : racers) hang_up(*c);
    clients_.clear();
    now_ += kJoinRefill;
  }
  EXPECT_GT(std::min(won[0], won[1]), 200) << "both orders were tried";
}

TEST_F(ControlTest, PendingClientIsAdmittedOnceApproved) {
  const auto key = registry_->create_join_key({.name = "", .uses = 0, .valid_for = 0, .approve = true}, 0);
  ASSERT_TRUE(key);
  TestClient& guest = add("guest");
  guest.network_key = network_key_of(*registry_, *key);
  for (int i = 0; i < 2 * kJoinBurst; ++i) connect(guest);  // repeated requests cost its source nothing
  ASSERT_TRUE(guest.refused);
  EXPECT_TRUE(guest.refused->retry);
  EXPECT_THAT(guest.refused->sentence, HasSubstr("eps members approve guest"));
  ASSERT_TRUE(registry_->approve("guest", 0));
  connect(guest);
  EXPECT_TRUE(guest.connected());
}

TEST_F(ControlTest, OneSourceFillsTheNetworkSlowly) {
  TestClient& crowd = add("crowd");
  crowd.from = {IpAddress::from_v4({0x0b000001}), 40000};
  int joined = 0;
  for (int i = 0; i < 3 * kJoinBurst; ++i) {
    crowd.keys = crypto::generate_key_pair(rng_);
    crowd.enrolled = false;
    connect(crowd);
    joined += crowd.connected();
  }
  EXPECT_EQ(joined, kJoinBurst);
  EXPECT_THAT(crowd.refused->sentence, HasSubstr("Too many new computers"));
  EXPECT_TRUE(crowd.refused->retry);
  EXPECT_TRUE(join("honest").connected());
}

TEST_F(ControlTest, TheNewerConnectionOfAKeyWins) {
  TestClient& a = join("a");
  advance(seconds(1));
  TestClient& copy = add("a");
  copy.keys = a.keys.clone();
  copy.enrolled = true;
  const MemberId id = a.self->id;
  const std::uint32_t tag = a.relay_tag;
  connect(copy);
  EXPECT_TRUE(copy.connected());
  EXPECT_EQ(copy.self->id, id);
  ASSERT_TRUE(a.refused);
  EXPECT_TRUE(a.refused->retry);
  EXPECT_THAT(a.refused->sentence, HasSubstr("took its place"));
  advance(milliseconds(50));
  EXPECT_TRUE(registry_->find(id)->online) << "the end of the older one does not count";
  EXPECT_NE(server_->credentials(id)->relay_tag, tag) << "new for each connection";
  expect_all_agree();
}

TEST_F(ControlTest, OneOfTwoCopiesStaysConnectedAndBothAreReported) {
  TestClient& a = join("a");
  hang_up(a);
  a.run = 1;
  connect(a);
  const MemberId id = a.self->id;
  TestClient& copy = add("a");
  copy.keys = a.keys.clone();
  copy.enrolled = true;
  copy.run = 2;
  connect(copy);
  ASSERT_TRUE(copy.connected());
  EXPECT_FALSE(server_->copy_at(id, now_)) << "it may have been restarted";
  for (int i = 0; i < 3; ++i) {
    connect(a);
    ASSERT_TRUE(a.refused);
    EXPECT_TRUE(a.refused->retry);
    EXPECT_THAT(a.refused->sentence,
                HasSubstr("at " + to_string(copy.from.ip) + ", is connected with this computer's key"));
    EXPECT_TRUE(copy.connected());
    EXPECT_EQ(server_->copy_at(id, now_), a.from.ip);
  }
  EXPECT_EQ(std::ranges::count_if(events_,
                                  [](const auto& e) { return e.sentence.find("exists twice") != std::string::npos; }),
            1)
      << "once an hour";
  // The place is free again when its holder is gone.
  hang_up(copy);
  connect(a);
  EXPECT_TRUE(a.connected());
  advance(kCopyGone);
  EXPECT_FALSE(server_->copy_at(id, now_));
}

TEST_F(ControlTest, ARestartedOrRoamingClientIsNotACopy) {
  TestClient& a = join("a");
  hang_up(a);
  TestClient& again = add("a");  // its next connections, while the server still has the older one
  again.keys = a.keys.clone();
  again.enrolled = true;
  for (std::uint64_t run = 1; run < 20; ++run) {
    TestClient& next = run % 2 == 0 ? a : again;
    next.run = run / 3 + 1;
    connect(next);
    EXPECT_TRUE(next.connected()) << run;
    EXPECT_FALSE(server_->copy_at(next.self->id, now_));
  }
}

TEST_F(ControlTest, TwoWithTheSameName) {
  TestClient& first = join("web");
  TestClient& second = join("web");
  EXPECT_EQ(first.self->name, "web");
  EXPECT_EQ(second.self->name, "web-2");
  EXPECT_THAT(events_.back().sentence, HasSubstr("calls itself web, as another member does"));
  hang_up(second);
  connect(second);
  EXPECT_EQ(second.self->name, "web-2");
}

TEST_F(ControlTest, AMemberThatChangesItsName) {
  TestClient& a = join("old");
  TestClient& b = join("b");
  hang_up(a);
  a.name = "new";
  connect(a);
  advance(milliseconds(50));
  EXPECT_EQ(a.self->name, "new");
  EXPECT_EQ(b.members().find(a.self->id)->name, "new");
  EXPECT_THAT(events_.back().sentence, HasSubstr("old is now called new. new ("));
  expect_all_agree();
}

TEST_F(ControlTest, NamesAndVersionsThatAreTooLongOrStrangeDoNotKeepAClientOut) {
  TestClient& a = add(std::string(200, 'x') + " \n");
  a.version = std::string(500, '9');
  connect(a);
  ASSERT_TRUE(a.connected());
  EXPECT_EQ(a.self->name.size(), kMaxNameSize);
}

TEST_F(ControlTest, AMemberAwayTooLongIsRemovedAndMayReturnAsANewOne) {
  constexpr std::int64_t kDay = 24 * 3600;
  std::int64_t unix_time = 20'000 * kDay;
  server_config_.unix_time = [&] { return unix_time; };
  start_server();
  TestClient& a = join("a");
  TestClient& b = join("b");
  const MemberId before = b.self->id;
  hang_up(b);
  advance(seconds(2 * kDay));
  unix_time += 2 * kDay;
  for (const std::int64_t keep : {std::int64_t{0}, 3 * kDay, 2 * kDay}) {
    auto out = server_->expire(keep, now_);
    ASSERT_TRUE(out);
    take(std::move(*out));
  }
  advance(seconds(1));
  EXPECT_EQ(count(ServerEvent::Kind::removed), 1U);
  EXPECT_EQ(a.members().find_name("b"), nullptr);
  EXPECT_TRUE(a.connected() && a.members().find_name("a")) << "online members stay";
  b.enrolled = true;
  connect(b);
  ASSERT_TRUE(b.refused);
  EXPECT_TRUE(b.refused->forget_enrolment);
  b.enrolled = false;
  connect(b);
  ASSERT_TRUE(b.self);
  EXPECT_NE(b.self->id, before);
}

TEST_F(ControlTest, SettingTheClockExpiresNobody) {
  constexpr std::int64_t kHour = 3600;
  std::int64_t unix_time = 20'000 * 24 * kHour;
  server_config_.unix_time = [&] { return unix_time; };
  start_server();
  join("a");
  TestClient& b = join("b");
  const auto expired_after = [&](std::int64_t time, std::int64_t jump) {
    advance(seconds(time));
    unix_time += time + jump;
    auto out = server_->expire(10 * kHour, now_);
    EXPECT_TRUE(out);
    take(std::move(*out));
    return count(ServerEvent::Kind::removed);
  };
  hang_up(b);
  EXPECT_EQ(expired_after(60, 0), 0U);
  EXPECT_EQ(expired_after(60, 365 * 24 * kHour), 0U) << "set forward";
  EXPECT_EQ(count(ServerEvent::Kind::clock), 1U);
  EXPECT_EQ(expired_after(2 * kHour, 0), 0U) << "and not only for a time of grace";
  EXPECT_EQ(expired_after(60, -365 * 24 * kHour), 0U) << "and back again";
  EXPECT_EQ(count(ServerEvent::Kind::clock), 2U);
  EXPECT_EQ(expired_after(7 * kHour, 20), 0U) << "a clock that runs fast was not set";
  EXPECT_EQ(count(ServerEvent::Kind::clock), 2U);
  EXPECT_EQ(expired_after(kHour, 0), 1U) << "10 h after it left";
}

TEST_F(ControlTest, ARemovedMemberAndEverybodyElseAreTold) {
  TestClient& a = join("a");
  TestClient& b = join("b");
  advance(seconds(1));
  auto out = server_->remove("b", now_);
  ASSERT_TRUE(out);
  take(std::move(*out));
  run();
  ASSERT_TRUE(b.refused);
  EXPECT_FALSE(b.refused->retry);
  EXPECT_THAT(b.refused->sentence, HasSubstr("removed from the network"));
  EXPECT_EQ(a.members().find_name("b"), nullptr) << "at once";
  EXPECT_EQ(count(ServerEvent::Kind::removed), 1U);
  EXPECT_EQ(count(ServerEvent::Kind::left), 0U) << "one sentence is enough";
  for (const bool enrolled : {true, false}) {
    b.enrolled = enrolled;
    connect(b);
    ASSERT_TRUE(b.refused);
    EXPECT_FALSE(b.refused->retry);
    EXPECT_FALSE(b.refused->forget_enrolment) << "a removed member does not return by itself";
    EXPECT_THAT(b.refused->sentence, HasSubstr("was removed"));
  }
  EXPECT_FALSE(server_->remove("b", now_));
  advance(milliseconds(50));
  expect_all_agree();
}

}  // namespace
}  // namespace eps::control
