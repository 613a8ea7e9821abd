// SPDX-License-Identifier: MIT

// What members learn of each other: members, their candidates and every change, in few bytes, until all hold the same
// list.

#include <gtest/gtest.h>

#include <set>

#include "control/control_fixture.h"

namespace eps::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Candidate candidate(const char* endpoint, Candidate::Kind kind = Candidate::Kind::local) {
  return {kind, *parse_endpoint(endpoint)};
}

TEST_F(ControlTest, EverybodyLearnsOfEveryChange) {
  TestClient& a = join("a");
  TestClient& b = join("b");
  advance(milliseconds(50));
  expect_all_agree();
  ASSERT_NE(a.members().find_name("b"), nullptr);
  EXPECT_TRUE(a.members().find_name("b")->online);
  const MemberId id = b.self->id;

  announce(b, {candidate("10.9.9.9:1000"), candidate("[2001:db8::9]:1000", Candidate::Kind::mapped)});
  advance(milliseconds(50));
  EXPECT_EQ(a.members().find(id)->candidates.size(), 2U);
  expect_all_agree();

  hang_up(b);
  advance(milliseconds(50));
  EXPECT_FALSE(a.members().find(id)->online);
  EXPECT_TRUE(a.members().find(id)->candidates.empty());
  EXPECT_EQ(server_->credentials(id), nullptr);
  EXPECT_EQ(server_->connected_from(id), std::nullopt);
  EXPECT_EQ(count(ServerEvent::Kind::left), 1U);

  connect(b);
  advance(milliseconds(50));
  EXPECT_EQ(b.self->id, id);
  expect_all_agree();
}

// Somebody had the server, and signed a list that it never reaches.
TEST_F(ControlTest, AfterARecoveryEverybodyFollowsWhateverTheyHold) {
  constexpr std::uint32_t kNow = 1'800'000'000;
  config_.started_at = kNow;
  server_config_.unix_time = [] { return std::int64_t{kNow}; };
  start_server();
  TestClient &a = join("a"), &b = join("b");
  TestClient& old = add("old");
  old.features = Features{Feature::records};
  connect(old);
  advance(milliseconds(50));
  const test::MemoryStore honest = store_;
  Bytes last;
  Writer(last).u64(0xffff'ffff);
  ports::StoreChange doctored;
  doctored.put_meta["epoch"] = last;
  ASSERT_TRUE(store_.commit(doctored));
  start_server();
  for (TestClient* c : {&a, &b}) connect(*c);
  advance(milliseconds(50));
  ASSERT_EQ(a.members().version() >> 32, 0xffff'ffffU);
  hang_up(b);  // it is away when the server is recovered

  store_ = honest;
  start_server();
  connect(a);
  connect(old);
  advance(milliseconds(50));
  EXPECT_TRUE(a.connected());
  EXPECT_EQ(a.members().version() >> 32, 0xffff'ffffU) << "it refuses the list";

  registry_->set_actor({"root", kNow});
  auto done = server_->recover(now_);
  ASSERT_TRUE(done);
  take(std::move(*done));
  run();
  EXPECT_FALSE(a.connected());
  EXPECT_FALSE(old.connected());
  EXPECT_EQ(store_.audit({})->back().act, "recover");
  for (TestClient* c : {&a, &b, &old}) connect(*c);
  TestClient& late = join("late");
  advance(milliseconds(50));
  expect_all_agree();
  EXPECT_EQ(a.members().recovery(), registry_->recovery());
  EXPECT_EQ(late.members().recovery(), registry_->recovery());
  EXPECT_TRUE(b.members().find_name("a")->online);
  take(*server_->remove("late", now_));
  advance(milliseconds(50));
  expect_all_agree();

  // The power fails on both ends; then a second recovery.
  start_server();
  for (TestClient* c : {&a, &b}) connect(*c);
  take(*server_->recover(now_));
  run();
  start_server();
  for (TestClient* c : {&a, &b, &old}) connect(*c);
  advance(milliseconds(50));
  expect_all_agree();
  EXPECT_EQ(b.members().recovery(), registry_->recovery());

  // The whole state of before any recovery comes back: a backup. The server is the server, so they follow.
  store_ = honest;
  config_.started_at = kNow + 100;
  start_server();
  for (TestClient* c : {&a, &b, &old}) connect(*c);
  advance(milliseconds(50));
  expect_all_agree();
  EXPECT_EQ(a.members().recovery(), RecoveryId{});
}

TEST_F(ControlTest, EverybodyHasThePolicyAndTheGroups) {
  TestClient& a = join("a");
  TestClient& old = add("old");
  old.features = {};
  connect(old);
  advance(milliseconds(50));
  const std::string text = "group iot\nallow group:iot to a\n";
  take(*server_->set_policy(text, now_));
  take(*server_->set_groups("a", {"iot"}, now_));
  advance(milliseconds(50));
  EXPECT_EQ(a.members().policy().text, text);
  EXPECT_EQ(a.members().find_name("a")->groups, std::vector<std::string>{"iot"});
  EXPECT_FALSE(old.members().policy().any()) << "version 0.1 has none";
  TestClient& b = join("b");
  advance(milliseconds(50));
  EXPECT_EQ(b.members().policy().text, text);
  // Nothing of the policy is sent again, and it is still there.
  hang_up(b);
  connect(b);
  advance(milliseconds(50));
  EXPECT_EQ(b.members().policy().text, text);
  take(*server_->set_policy("", now_));
  advance(milliseconds(50));
  EXPECT_FALSE(b.members().policy().any());
  start_server();
  connect(a);
  connect(b);
  advance(milliseconds(50));
  EXPECT_EQ(b.members().find_name("a")->groups, std::vector<std::string>{"iot"});
}

TEST_F(ControlTest, EverybodyKnowsAGivenName) {
  TestClient& a = join("a");
  TestClient& b = join("b");
  TestClient& old = add("old");
  old.features = {};
  connect(old);
  advance(milliseconds(50));
  take(*server_->give_name("b", "camera", now_));
  EXPECT_FALSE(server_->give_name("a", "camera", now_));
  advance(milliseconds(50));
  for (TestClient* client : {&a, &b, &old}) {
    EXPECT_NE(client->members().find_name("camera"), nullptr);
    EXPECT_EQ(client->members().find_name("b"), nullptr);
  }
  hang_up(b);
  connect(b);
  EXPECT_EQ(b.self->name, "camera") << "though its computer is called b";
  advance(milliseconds(50));
  expect_all_agree();
}

TEST_F(ControlTest, TheFirstChangeGoesOutAtOnce) {
  TestClient& a = join("a");
  advance(seconds(1));
  const int lists = a.lists;
  const Instant before = now_;
  join("b");
  EXPECT_EQ(now_, before);
  EXPECT_EQ(a.lists, lists + 1);
}

TEST_F(ControlTest, AReturningClientGetsChangesOnly) {
  for (int n = 0; n < 40; ++n) join("h" + std::to_string(n));
  TestClient& a = join("a");
  advance(seconds(1));
  hang_up(a);
  join("new");
  connect(a);
  EXPECT_LT(sent_[a.id].size(), 1200U) << "not 42 members";
  EXPECT_EQ(a.members().members().size(), 42U);
  advance(kMaxGather);
  expect_all_agree();
}

TEST_F(ControlTest, AListOfAnotherNetworkIsReplaced) {
  TestClient& a = join("a");
  for (int n = 0; n < 3; ++n) join("h" + std::to_string(n));
  // Another network's list, with a version that this server once had.
  Delta foreign{.from = 0, .to = registry_->version(), .full = true, .upserts = {*a.self}, .removed = {}};
  foreign.upserts[0].id = {4242};
  hang_up(a);
  ASSERT_TRUE(a.held.apply(foreign));
  connect(a);
  EXPECT_TRUE(a.connected());
  advance(milliseconds(50));
  EXPECT_EQ(a.members().find({4242}), nullptr);
  expect_all_agree();
}

TEST_F(ControlTest, AResyncIsRequestedOnceOnly) {
  TestClient& a = join("a");
  for (int n = 0; n < 30; ++n) join("h" + std::to_string(n));
  advance(seconds(1));
  hang_up(a);
  ASSERT_TRUE(a.held.apply({.from = 0, .to = registry_->version(), .full = true, .upserts = {}, .removed = {}}));
  open(a);
  take(server_->on_bytes(a.id, std::exchange(a.to_server, {}), now_));
  take(a, a.connection->on_bytes(std::exchange(a.to_client, {}), now_));
  take(server_->on_bytes(a.id, std::exchange(a.to_server, {}), now_));
  // More changes are in transit when the client notices that its list does not match.
  for (int n = 0; n < 3; ++n) {
    now_ += milliseconds(30);
    take(server_->on_observed(clients_.back().self->id, {{}, static_cast<std::uint16_t>(n + 1)}, now_));
  }
  take(a, a.connection->on_bytes(std::exchange(a.to_client, {}), now_));
  EXPECT_LT(a.to_server.size(), 40U) << "one request for the whole list";
  hang_up(*std::next(clients_.begin()));
  sent_[a.id].clear();
  advance(kMaxGather);
  EXPECT_GT(sent_[a.id].size(), 2000U) << "the whole list";
  expect_all_agree();
  sent_[a.id].clear();
  connect(*std::next(clients_.begin()));
  advance(kMaxGather);
  EXPECT_LT(sent_[a.id].size(), 600U) << "changes only, as before";
  expect_all_agree();
}

TEST_F(ControlTest, AResyncIsAnsweredEvenIfNothingElseHappens) {
  TestClient& a = join("a");
  hang_up(a);
  Delta foreign{.from = 0, .to = registry_->version(), .full = true, .upserts = {*a.self}, .removed = {}};
  foreign.upserts.push_back(foreign.upserts[0]);
  foreign.upserts[1].id = {4242};
  ASSERT_TRUE(a.held.apply(foreign));
  connect(a);
  advance(milliseconds(50));
  EXPECT_TRUE(a.connected());
  expect_all_agree();
}

TEST_F(ControlTest, OnlyTheServerAnnouncesObservedEndpoints) {
  TestClient& a = join("a");
  TestClient& b = join("b");
  const MemberId id = a.self->id;
  const auto seen = [&](const char* endpoint) {
    take(server_->on_observed(id, *parse_endpoint(endpoint), now_));
    run();
    advance(milliseconds(50));
  };
  seen("203.0.113.7:500");
  EXPECT_EQ(b.members().find(id)->candidates, std::vector{candidate("203.0.113.7:500", Candidate::Kind::observed)});
  seen("203.0.113.7:501");
  EXPECT_EQ(b.members().find(id)->candidates, std::vector{candidate("203.0.113.7:501", Candidate::Kind::observed)});
  announce(a, {candidate("10.1.1.1:1"), candidate("198.51.100.1:1", Candidate::Kind::observed)});
  advance(milliseconds(50));
  EXPECT_EQ(b.members().find(id)->candidates,
            (std::vector{candidate("203.0.113.7:501", Candidate::Kind::observed), candidate("10.1.1.1:1")}));
  seen("10.1.1.1:1");
  EXPECT_EQ(b.members().find(id)->candidates, std::vector{candidate("10.1.1.1:1")}) << "no second entry";
  expect_all_agree();
}

// Behind a router that maps by chance, a rule of its user may lead to the member's own port all the same.
TEST_F(ControlTest, AnAnnouncedPortOutlivesAnotherThatIsObserved) {
  TestClient& a = join("a");
  const MemberId id = a.self->id;
  const auto seen = [&](const char* endpoint) {
    take(server_->on_observed(id, *parse_endpoint(endpoint), now_));
    advance(milliseconds(50));
  };
  const std::vector<Candidate> announced = {candidate("10.1.1.1:7000"),
                                            candidate("203.0.113.7:7000", Candidate::Kind::seen)};
  const auto after = [&](const char* observed) {
    std::vector<Candidate> all = announced;
    all.insert(all.begin(), candidate(observed, Candidate::Kind::observed));
    return all;
  };
  announce(a, announced);
  seen("203.0.113.7:500");
  EXPECT_EQ(registry_->find(id)->candidates, after("203.0.113.7:500"));
  seen("203.0.113.7:501");
  EXPECT_EQ(registry_->find(id)->candidates, after("203.0.113.7:501"));
  seen("203.0.113.7:7000");
  EXPECT_EQ(registry_->find(id)->candidates,
            (std::vector{candidate("203.0.113.7:7000", Candidate::Kind::observed), candidate("10.1.1.1:7000")}));
}

TEST_F(ControlTest, ManyCandidatesDoNotCrowdOutTheObservedOne) {
  TestClient& a = join("a");
  const MemberId id = a.self->id;
  std::vector<Candidate> many;
  for (std::uint16_t n = 1; n <= 2 * kMaxCandidates; ++n) {
    many.push_back({Candidate::Kind::local, {IpAddress::from_v4({0x0a010100U + n}), n}});
  }
  const Candidate observed = candidate("203.0.113.7:500", Candidate::Kind::observed);
  for (const bool seen_first : {true, false}) {
    if (seen_first) take(server_->on_observed(id, observed.endpoint, now_));
    announce(a, many);
    if (!seen_first) take(server_->on_observed(id, observed.endpoint, now_));
    EXPECT_TRUE(a.connected());
    const auto& kept = registry_->find(id)->candidates;
    EXPECT_EQ(kept.size(), kMaxCandidates);
    EXPECT_EQ(std::count(kept.begin(), kept.end(), observed), 1);
    registry_->set_candidates(id, {});
  }
}

TEST_F(ControlTest, CandidatesThatReachNobodyAreDropped) {
  TestClient& a = join("a");
  announce(a, {candidate("127.0.0.1:5"),
               candidate("0.0.0.0:5"),
               candidate("224.0.0.1:5"),
               candidate("[::1]:5"),
               candidate("255.255.255.255:5"),
               candidate("[ff02::1]:5"),
               candidate("[::]:5"),
               candidate("[100::7]:1"),
               candidate("10.2.2.2:5"),
               {Candidate::Kind::local, {IpAddress::from_v4({0x0a020203}), 0}}});
  EXPECT_TRUE(a.connected());
  EXPECT_EQ(registry_->find(a.self->id)->candidates, std::vector{candidate("10.2.2.2:5")});
}

TEST_F(ControlTest, LargeListsComeInParts) {
  config_.network = *parse_ip4_network("10.0.0.0/16");
  start_server();
  for (std::uint32_t n = 1; n <= 300; ++n) {
    PublicKey key;
    store_be32(key.bytes.data(), n);
    auto joined = registry_->join(
        {key, std::string(60, 'h') + std::to_string(n), std::string(kMaxVersionSize, '1'), registry::kNetworkKeyId});
    const MemberId id = std::get<Member>(joined).id;
    registry_->set_online(id, true);
    registry_->set_candidates(id, std::vector<Candidate>(kMaxCandidates, candidate("[2001:db8:1:2:3:4:5:6]:65535")));
  }
  TestClient& a = join("a");
  EXPECT_EQ(a.members().members().size(), 301U);
  EXPECT_EQ(a.lists, 1) << "a list becomes visible as a whole";
  // All 300 disconnect: one delta of removals, in one part.
  advance(seconds(1));
  for (std::uint32_t n = 1; n <= 300; ++n) {
    ASSERT_TRUE(registry_->remove(std::string(std::next(registry_->members().begin())->second.name)));
    if (registry_->members().size() == 2) break;
  }
  take(server_->on_deadline(now_));
  run();
  EXPECT_EQ(a.members().members().size(), 2U);
  expect_all_agree();
}

// Two hundred join within one push pause: everybody is told, but not once for each.
TEST_F(ControlTest, ABurstOfJoinsIsSentInFewDeltas) {
  std::vector<TestClient*> all;
  for (int n = 0; n < 200; ++n) all.push_back(&add("h" + std::to_string(n)));
  for (TestClient* c : all) open(*c);
  run();
  advance(milliseconds(100));
  for (TestClient* c : all) EXPECT_TRUE(c->connected());
  EXPECT_LT(messages_sent_, 200U * 6U) << "response, welcome, and few deltas each";
  expect_all_agree();
  std::set<std::uint32_t> tags;
  for (TestClient* c : all) tags.insert(c->relay_tag);
  EXPECT_EQ(tags.size(), 200U);
}

// Clients come and go, announce candidates, are removed and renamed, the server restarts: in the end all agree.
TEST_F(ControlTest, AnyMixOfChangesConverges) {
  for (int n = 0; n < 8; ++n) add("h" + std::to_string(n % 5));
  for (int step = 0; step < 600; ++step) {
    TestClient& c = *std::next(clients_.begin(), static_cast<std::ptrdiff_t>(rng_.below(clients_.size())));
    switch (rng_.below(8)) {
      case 0:
        hang_up(c);
        break;
      case 1:
        if (c.connected() && c.self) {
          take(c, c.connection->announce({{Candidate::Kind::local, {{}, static_cast<std::uint16_t>(step + 1)}}}, now_));
        }
        break;
      case 2:
        if (rng_.below(10) == 0) start_server();
        break;
      case 3:
        if (rng_.below(10) == 0 && c.self) {
          if (auto out = server_->remove(c.self->name, now_)) take(std::move(*out));
          c.keys = crypto::generate_key_pair(rng_);
          c.enrolled = false;
          c.held = {};
        }
        break;
      case 4:
        if (c.self) take(server_->on_observed(c.self->id, {{}, static_cast<std::uint16_t>(step + 1)}, now_));
        break;
      case 5:
        c.name = "r" + std::to_string(rng_.below(4));
        break;
      default:
        if (!c.connected()) open(c);
    }
    if (rng_.below(2) == 0) run();
    if (rng_.below(2) == 0) advance(milliseconds(rng_.below(30)));
  }
  for (TestClient& c : clients_) {
    for (int attempt = 0; attempt < 3 && !c.connected(); ++attempt) connect(c);
    EXPECT_TRUE(c.connected()) << c.refused->sentence;
  }
  run();
  advance(seconds(1));
  expect_all_agree();
}

}  // namespace
}  // namespace eps::control
