// SPDX-License-Identifier: MIT
#include "wire/control_messages.h"

#include <gtest/gtest.h>

#include <random>

namespace eps::wire {
namespace {

Member member(std::uint32_t id) {
  Member m;
  m.id = {id};
  m.key.bytes.fill(static_cast<std::byte>(id));
  m.name = "host-" + std::to_string(id);
  m.mac.bytes = {std::byte{2}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}, static_cast<std::byte>(id)};
  m.address = {0xc0a82b00U + id};
  m.online = true;
  m.candidates = {{Candidate::Kind::local, *parse_endpoint("10.0.0.1:77")},
                  {Candidate::Kind::observed, *parse_endpoint("[2001:db8::7]:65535")}};
  m.version = "0.1.0";
  return m;
}

template <class T>
T round_trip(const T& message) {
  const auto back = decode(encode(message));
  EXPECT_TRUE(back) << back.error().what;
  return std::get<T>(*back);
}

TEST(ControlMessages, RoundTrip) {
  EXPECT_EQ(round_trip(Hello{"a", "1", 77}).list_version, 77U);
  EXPECT_EQ(round_trip(Hello{"a", "1", 77, false, Features(5)}).features, Features(5));
  EXPECT_EQ(round_trip(Hello{"a", "1", 77, false, {}, {}, 0xfedcba9876543210}).run, 0xfedcba9876543210U);
  Welcome welcome;
  welcome.network = {{}, *parse_ip4_network("192.168.43.0/24"), 1400};
  welcome.self = member(9);
  welcome.data_port = 43439;
  welcome.relay_tag = 0xfedcba98;
  welcome.features = Features(9);
  const Welcome back = round_trip(welcome);
  EXPECT_EQ(back.self, welcome.self);
  EXPECT_EQ(back.network, welcome.network);
  EXPECT_EQ(back.relay_tag, welcome.relay_tag);
  EXPECT_EQ(back.features, welcome.features);
  EXPECT_EQ(back.recovery, RecoveryId{});
  EXPECT_FALSE(back.recovery_proof);
  welcome.recovery = {std::byte{1}};
  welcome.recovery_proof.emplace()[5] = std::byte{6};
  EXPECT_EQ(round_trip(welcome).recovery, welcome.recovery);
  EXPECT_EQ(round_trip(welcome).recovery_proof, welcome.recovery_proof);
  Hello recovered{"a", "1", 77};
  recovered.recovery = {std::byte{2}};
  EXPECT_EQ(round_trip(recovered).recovery, recovered.recovery);
  EXPECT_EQ(round_trip(Rekey{Bytes(96)}).handshake, Bytes(96));
  EXPECT_FALSE(decode(encode(Rekey{Bytes(kMaxRekey + 1)})));
  MemberDelta delta;
  delta.delta = {.from = 3, .to = 1ULL << 40, .full = false, .upserts = {member(1), member(2)}, .removed = {{5}}};
  EXPECT_EQ(round_trip(delta).delta, delta.delta);
  EXPECT_EQ(round_trip(Refused{RefusalCode::full, "no room"}).sentence, "no room");
}

TrafficReport largest_report() {
  TrafficReport report;
  report.uptime = std::chrono::hours(1000);
  PeerReport peer{{0xffffff},
                  UINT64_MAX,
                  UINT64_MAX,
                  UINT64_MAX,
                  UINT64_MAX,
                  PathKind::relayed,
                  std::chrono::seconds(3599),
                  std::string(kMaxReasonSize, 'r')};
  report.peers.assign(kMaxPeersPerReport, peer);
  return report;
}

TEST(ControlMessages, RelayedDatagrams) {
  Relay relay{{Bytes(1), Bytes(9000, std::byte{7}), Bytes()}};
  EXPECT_EQ(round_trip(relay).datagrams, relay.datagrams);
  EXPECT_TRUE(round_trip(Relay{}).datagrams.empty());
  EXPECT_TRUE(round_trip(RelayHere{true}).here);
  EXPECT_FALSE(round_trip(RelayHere{false}).here);
  relay.datagrams.assign(kMaxRelayedPerMessage + 1, Bytes(10));
  EXPECT_EQ(round_trip(relay).datagrams.size(), kMaxRelayedPerMessage) << "the rest is lost";
}

TEST(ControlMessages, AReportOfTraffic) {
  TrafficReport report = largest_report();
  EXPECT_LE(encode(report).size(), kMaxControlMessage);
  report.peers[1] = {{7}, 1, 2, 3, 4, PathKind::none, std::nullopt, ""};
  EXPECT_EQ(round_trip(report), report);
  EXPECT_TRUE(std::holds_alternative<ReportRequest>(*decode(encode(ReportRequest{}))));

  const auto breaks = [](auto change) {
    TrafficReport bad = largest_report();
    change(bad);
    return !decode(encode(bad));
  };
  EXPECT_TRUE(breaks([](TrafficReport& r) { r.peers.push_back(r.peers[0]); }));
  EXPECT_TRUE(breaks([](TrafficReport& r) { r.peers[3].peer = {0}; }));
  EXPECT_TRUE(breaks([](TrafficReport& r) { r.peers[3].peer = {1 << 24}; }));
  EXPECT_TRUE(breaks([](TrafficReport& r) { r.peers[3].reason += "r"; }));
  EXPECT_TRUE(breaks([](TrafficReport& r) { r.peers[3].reason = "a\nb"; }));
  EXPECT_TRUE(breaks([](TrafficReport& r) { r.peers[3].path = static_cast<PathKind>(3); }));
  EXPECT_TRUE(breaks([](TrafficReport& r) { r.uptime = std::chrono::hours(24 * 366 * 100); }));
}

TEST(ControlMessages, TheNetworkLock) {
  Lock lock{{Bytes(3, std::byte{1}), Bytes(kMaxLockEntry, std::byte{2})}, true};
  EXPECT_EQ(round_trip(lock).entries, lock.entries);
  EXPECT_TRUE(round_trip(lock).more);
  lock.entries.emplace_back(kMaxLockEntry + 1);
  EXPECT_FALSE(decode(encode(lock)));
  lock.entries.assign(kMaxLockEntries + 1, Bytes(1));
  EXPECT_FALSE(decode(encode(lock)));

  RareSignature::Bytes record, grants;
  record.fill(std::byte{3});
  grants.fill(std::byte{4});
  const LockMark mark{UINT64_MAX, record, grants};
  LockProposed proposed{.ticket = 9, .change = {.entries = {Bytes(5)}, .lock = {}, .marks = {}}};
  proposed.change.lock.fill(std::byte{5});
  proposed.change.marks.assign(kMaxMarksPerChange, {{0xffffff}, mark});
  EXPECT_LE(encode(proposed).size(), kMaxControlMessage);
  EXPECT_EQ(round_trip(proposed).change, proposed.change);
  EXPECT_EQ(round_trip(proposed).ticket, 9U);
  const auto breaks = [&](auto change) {
    LockProposed bad = proposed;
    change(bad.change);
    return !decode(encode(bad));
  };
  EXPECT_TRUE(breaks([&](LockChange& c) { c.marks.push_back(c.marks[0]); }));
  EXPECT_TRUE(breaks([](LockChange& c) { c.marks[1].first = {0}; }));
  EXPECT_TRUE(breaks([](LockChange& c) { c.marks[1].second.sequence = 0; }));
  EXPECT_EQ(round_trip(LockAnswer{9, true, "done"}).sentence, "done");
  EXPECT_EQ(round_trip(LockAnswer{9, true, "a\nb"}).sentence, "a?b");

  Member m = member(1);
  m.lock = mark;
  Records records;
  records.delta.upserts.assign(1, m);
  EXPECT_EQ(round_trip(records).delta.upserts[0].lock, mark);
  m.name = std::string(kMaxNameSize, 'n');
  m.grants = {std::vector(kMaxGrants, *parse_ip_network("fd99::/64")), true, true, mark.record};
  records.delta.upserts.assign(kMaxMembersPerDelta, m);
  EXPECT_LE(encode(records).size(), kMaxControlMessage);
  MemberDelta old;
  old.delta.upserts = {m};
  EXPECT_EQ(round_trip(old).delta.upserts[0].lock, LockMark{}) << "version 0.1 knows no lock";
}

TEST(ControlMessages, TheLargestPartFitsAFrame) {
  MemberDelta delta;
  for (std::uint32_t i = 1; i <= kMaxMembersPerDelta; ++i) {
    Member m = member(i);
    m.name = std::string(kMaxNameSize, 'n');
    m.version = std::string(kMaxVersionSize, 'v');
    m.candidates.assign(kMaxCandidates, m.candidates[1]);
    delta.delta.upserts.push_back(m);
  }
  delta.delta.removed.assign(kMaxRemovedPerDelta, {0xffffff});
  EXPECT_LE(encode(delta).size(), kMaxControlMessage);
  EXPECT_TRUE(decode(encode(delta)));
}

TEST(ControlMessages, BrokenLimitsAreRefused) {
  MemberDelta delta;
  delta.delta.upserts = {member(1)};
  const auto refused = [&](auto&& change) {
    MemberDelta copy = delta;
    change(copy.delta.upserts[0]);
    return !decode(encode(copy)).has_value();
  };
  EXPECT_FALSE(refused([](Member&) {}));
  EXPECT_TRUE(refused([](Member& m) { m.id = {0}; }));
  EXPECT_TRUE(refused([](Member& m) { m.id = {1U << 24}; }));
  EXPECT_TRUE(refused([](Member& m) { m.name = "a b"; }));
  EXPECT_TRUE(refused([](Member& m) { m.mac.bytes[0] = std::byte{1}; }));
  EXPECT_TRUE(refused([](Member& m) { m.candidates.resize(kMaxCandidates + 1, m.candidates[0]); }));
  EXPECT_TRUE(refused([](Member& m) { m.candidates[0].endpoint.port = 0; }));
  EXPECT_TRUE(refused([](Member& m) { m.name = std::string(kMaxNameSize + 1, 'a'); }));
  EXPECT_TRUE(refused([](Member& m) { m.version = std::string(kMaxVersionSize + 1, '1'); }));
  EXPECT_TRUE(refused([](Member& m) { m.version = "1\n2"; }));
  EXPECT_TRUE(refused([](Member& m) { m.version = "\x1b[2J"; }));
  EXPECT_TRUE(refused([](Member& m) { m.version = "\x7f"; }));
  EXPECT_TRUE(refused([](Member& m) { m.version = "\xc3\xa9"; }));
  EXPECT_TRUE(refused([](Member& m) { m.candidates[0].kind = static_cast<Candidate::Kind>(0); }));
  EXPECT_TRUE(refused([](Member& m) { m.candidates[0].kind = static_cast<Candidate::Kind>(5); }));

  delta.delta.upserts.assign(kMaxMembersPerDelta + 1, member(1));
  EXPECT_FALSE(decode(encode(delta)));
  delta.delta.upserts.clear();
  delta.delta.removed.assign(kMaxRemovedPerDelta + 1, {1});
  EXPECT_FALSE(decode(encode(delta)));
  for (const std::uint32_t id : {0U, 1U << 24}) {
    delta.delta.removed = {{id}};
    EXPECT_FALSE(decode(encode(delta)));
  }
  EXPECT_TRUE(decode(encode(Hello{std::string(kMaxNameSize, 'a'), std::string(kMaxVersionSize, '1'), 0})));
  EXPECT_FALSE(decode(encode(Hello{std::string(kMaxNameSize + 1, 'a'), "", 0})));
  EXPECT_FALSE(decode(encode(Hello{"a", std::string(kMaxVersionSize + 1, '1'), 0})));
  EXPECT_FALSE(decode(encode(Hello{"a", "1\t", 0})));
  Candidates many;
  many.candidates.assign(kMaxCandidates + 1, member(1).candidates[0]);
  EXPECT_FALSE(decode(encode(many)));
  EXPECT_FALSE(decode(Bytes(kMaxControlMessage + 1)));
}

TEST(ControlMessages, AWelcomeDescribesAPossibleNetwork) {
  Welcome good;
  good.network = {{}, *parse_ip4_network("192.168.43.0/24"), 1400};
  good.self = member(9);
  good.data_port = 1;
  const auto accepted = [&](auto&& change) {
    Welcome copy = good;
    change(copy);
    return decode(encode(copy)).has_value();
  };
  EXPECT_TRUE(accepted([](Welcome&) {}));
  EXPECT_FALSE(accepted([](Welcome& w) { w.network.mtu = kMinMtu - 1; }));
  EXPECT_FALSE(accepted([](Welcome& w) { w.network.mtu = kMaxMtu + 1; }));
  EXPECT_FALSE(accepted([](Welcome& w) { w.network.network.prefix = 0; }));
  EXPECT_FALSE(accepted([](Welcome& w) { w.network.network.prefix = 31; }));
  EXPECT_FALSE(accepted([](Welcome& w) { w.network.network.base.value |= 1; }));
  EXPECT_FALSE(accepted([](Welcome& w) { w.self.address = {0x0a000001}; }));
  EXPECT_FALSE(accepted([](Welcome& w) { w.self.name = ""; }));
  EXPECT_FALSE(accepted([](Welcome& w) { w.data_port = 0; }));
  EXPECT_FALSE(accepted([](Welcome& w) { w.version = "\r"; }));
}

TEST(ControlMessages, ASentenceIsCutAndMaskedButDelivered) {
  const std::string sent = "line\nof \x1b[31mred\x80" + std::string(2 * kMaxSentence, '.');
  const Refused got = round_trip(Refused{RefusalCode::removed, sent});
  EXPECT_EQ(got.code, RefusalCode::removed);
  EXPECT_EQ(got.sentence.substr(0, 19), "line?of ?[31mred?..");
  EXPECT_EQ(got.sentence.size(), kMaxSentence);
  EXPECT_EQ(round_trip(Refused{static_cast<RefusalCode>(9), "x"}).code, RefusalCode::other) << "of a newer version";
}

TEST(ControlMessages, UnknownOnesAreSkippedUnlessMandatory) {
  const Bytes unknown = *from_hex("9206020801");        // field 98, a message
  const Bytes mandatory = *from_hex("08019206020801");  // with mandatory = true before it
  ASSERT_TRUE(decode(unknown));
  EXPECT_TRUE(std::holds_alternative<UnknownMessage>(*decode(unknown)));
  ASSERT_FALSE(decode(mandatory));
  EXPECT_EQ(decode(mandatory).error().code, Errc::unsupported);
}

TEST(ControlMessages, UnknownFieldsAreIgnored) {
  Bytes hello = encode(Hello{"a", "1", 7});
  const Bytes more = *from_hex("fa7f03616263");  // field 2047, three bytes
  ASSERT_EQ(hello[0], std::byte{0x12});
  Bytes inside = hello;
  inside.insert(inside.end(), more.begin(), more.end());
  inside[1] = static_cast<std::byte>(inside.size() - 2);
  ASSERT_TRUE(decode(inside));
  EXPECT_EQ(std::get<Hello>(*decode(inside)).list_version, 7U);
  hello.insert(hello.end(), more.begin(), more.end());
  ASSERT_TRUE(decode(hello));
  EXPECT_EQ(std::get<Hello>(*decode(hello)).name, "a");
}

TEST(ControlMessages, GarbageNeverCrashes) {
  std::mt19937_64 random(3);
  const Bytes good = encode(MemberDelta{{.from = 1, .to = 2, .full = true, .upserts = {member(3)}, .removed = {}}});
  for (int i = 0; i < 20'000; ++i) {
    Bytes bytes = good;
    for (std::uint64_t n = random() % 4 + 1; n > 0; --n)
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    bytes.resize(random() % (bytes.size() + 1));
    (void)decode(bytes);
  }
}

TEST(ControlMessages, RecordsCarryStableFieldsOnly) {
  Records records;
  records.delta = {.from = 7, .to = 9, .full = true, .upserts = {member(1), member(2)}, .removed = {{5}}};
  records.root.fill(std::byte{3});
  records.signature.fill(std::byte{4});
  records.more = true;
  const Records back = round_trip(records);
  for (Member& m : records.delta.upserts) {
    m.online = false;
    m.candidates.clear();
    m.version.clear();
  }
  EXPECT_EQ(back.delta, records.delta);
  EXPECT_EQ(back.root, records.root);
  EXPECT_EQ(back.signature, records.signature);
  EXPECT_TRUE(back.last && back.more);
  Hello hello{"a", "1", 7};
  EXPECT_EQ(round_trip(hello).root, std::nullopt);
  hello.root = records.root;
  EXPECT_EQ(round_trip(hello).root, hello.root);
}

TEST(ControlMessages, OnlineMembersAreEncodedInRuns) {
  States states;
  for (std::uint32_t id = 1; id <= 10'000; ++id) states.online.push_back({id});
  states.offline = {{1}, {2}, {77}, {0xffffff}};
  states.states = {{{9}, true, "0.2.0", true, member(9).candidates}};
  states.all = states.on_demand = states.more = true;
  const States back = round_trip(states);
  EXPECT_EQ(back.online, states.online);
  EXPECT_EQ(back.offline, states.offline);
  ASSERT_EQ(back.states.size(), 1U);
  EXPECT_EQ(back.states[0].candidates, states.states[0].candidates);
  EXPECT_TRUE(back.all && back.on_demand && back.more && back.states[0].online && back.states[0].relays);
  EXPECT_LT(encode(states).size(), 200U) << "one run";
  states.online.erase(states.online.begin() + 4);
  States runs = states;
  runs.online.clear();
  for (const MemberId id : states.online) runs.online_runs.add(id.value);
  EXPECT_EQ(encode(runs), encode(states));
  EXPECT_EQ(round_trip(Want{{{3}, {1}}}).members, (std::vector<MemberId>{{3}, {1}}));
  EXPECT_TRUE(round_trip(Want{}).members.empty());
  // No list of members is that long, and no id is that large.
  EXPECT_FALSE(decode(*from_hex("fa010622040180f4bf03")));
  EXPECT_FALSE(decode(*from_hex("fa01062204ffffff0702")));
  EXPECT_FALSE(
      decode(*from_hex("fa01032201"
                       "01")))
      << "a gap without a run";
}

}  // namespace
}  // namespace eps::wire
