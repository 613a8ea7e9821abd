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
  Welcome welcome;
  welcome.network = {{}, *parse_ip4_network("192.168.43.0/24"), 1400};
  welcome.self = member(9);
  welcome.data_port = 43439;
  welcome.relay_tag = 0xfedcba98;
  const Welcome back = round_trip(welcome);
  EXPECT_EQ(back.self, welcome.self);
  EXPECT_EQ(back.network, welcome.network);
  EXPECT_EQ(back.relay_tag, welcome.relay_tag);
  MemberDelta delta;
  delta.delta = {.from = 3, .to = 1ULL << 40, .full = false, .upserts = {member(1), member(2)}, .removed = {{5}}};
  EXPECT_EQ(round_trip(delta).delta, delta.delta);
  EXPECT_EQ(round_trip(Refused{RefusalCode::full, "no room"}).sentence, "no room");
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
  EXPECT_FALSE(decode(encode(Hello{std::string(64, 'a'), "", 0})));
}

TEST(ControlMessages, UnknownOnesAreSkippedUnlessMandatory) {
  const Bytes unknown = *from_hex("9206020801");        // field 98, a message
  const Bytes mandatory = *from_hex("08019206020801");  // with mandatory = true before it
  ASSERT_TRUE(decode(unknown));
  EXPECT_TRUE(std::holds_alternative<UnknownMessage>(*decode(unknown)));
  ASSERT_FALSE(decode(mandatory));
  EXPECT_EQ(decode(mandatory).error().code, Errc::unsupported);
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

}  // namespace
}  // namespace eps::wire
