#include <gtest/gtest.h>

#include "mesh/path_finder.h"
#include "mesh/path_message.h"
#include "support/seeded_rng.h"

namespace eps::mesh {
namespace {

using std::chrono::milliseconds;

const Endpoint kLan{*parse_ip("10.0.0.2"), 4000};
const Endpoint kPublic{*parse_ip("192.0.2.9"), 5000};
const std::vector<Candidate> kCandidates = {{Candidate::Kind::local, kLan}, {Candidate::Kind::observed, kPublic}};

class PathFinderTest : public testing::Test {
 protected:
  PathFinderTest() : rng(7), finder(rng) { finder.set_candidates(kCandidates, now, true); }
  std::vector<Ping> due() { return finder.take_due(now, true); }
  Instant now{std::chrono::seconds(100)};
  test::SeededRng rng;
  PathFinder finder;
};

TEST_F(PathFinderTest, UsesAnEndpointOnlyAfterItsOwnAnswer) {
  const auto pings = due();
  ASSERT_EQ(pings.size(), 2U);
  EXPECT_FALSE(finder.direct());
  now += milliseconds(3);
  EXPECT_FALSE(finder.on_pong(kPublic, pings[0].id, now)) << "the LAN ping's id from another endpoint";
  EXPECT_TRUE(finder.on_pong(kPublic, pings[1].id, now));
  EXPECT_EQ(finder.direct(), kPublic);
  EXPECT_EQ(finder.round_trip(), milliseconds(3));
  EXPECT_FALSE(finder.on_pong(kPublic, pings[1].id, now)) << "an answer counts once";
}

TEST_F(PathFinderTest, PrefersTheLanAndStaysThere) {
  auto pings = due();
  finder.on_pong(kPublic, pings[1].id, now);
  EXPECT_TRUE(finder.on_pong(kLan, pings[0].id, now));
  EXPECT_EQ(finder.direct(), kLan);
  now += kProbeRounds[1];
  EXPECT_TRUE(due().empty()) << "nothing better is left to ask";
}

TEST_F(PathFinderTest, GivesUpASilentPathInUnderTwoSeconds) {
  finder.on_pong(kLan, due()[0].id, now);
  const Instant silent_since = now;
  bool lost = false;
  while (!lost && now - silent_since < std::chrono::seconds(3)) {
    now += milliseconds(100);
    lost = finder.watch(now, silent_since, now);
    due();
  }
  EXPECT_TRUE(lost);
  EXPECT_LT(now - silent_since, std::chrono::seconds(2));
  EXPECT_FALSE(finder.direct());
  now += kProbeRounds[1];
  EXPECT_FALSE(due().empty()) << "it is probed again";
}

TEST_F(PathFinderTest, ADoubtedPathHasOneMoreChance) {
  finder.on_pong(kLan, due()[0].id, now);
  now += std::chrono::seconds(10);
  finder.doubt(now);
  auto ping = due();
  ASSERT_EQ(ping.size(), 1U);
  EXPECT_FALSE(finder.watch(now, now - std::chrono::seconds(5), now));
  EXPECT_FALSE(finder.on_pong(kLan, ping[0].id, now)) << "the same path as before";
  now += kPingAgain;
  EXPECT_FALSE(finder.watch(now, now - kPingAgain, now));
  finder.doubt(now);
  due();
  now += kPingAgain;
  EXPECT_TRUE(finder.watch(now, now - std::chrono::seconds(5), now));
}

TEST_F(PathFinderTest, KeepsAPathThatAnswers) {
  finder.on_pong(kLan, due()[0].id, now);
  for (int i = 0; i < 100; ++i) {
    now += milliseconds(100);
    EXPECT_FALSE(finder.watch(now, now - milliseconds(300), now));
  }
  EXPECT_EQ(finder.direct(), kLan);
}

TEST_F(PathFinderTest, IsSilentWithoutTraffic) {
  for (int i = 0; i < 200; ++i) {
    now += milliseconds(100);
    finder.take_due(now, false);
  }
  EXPECT_EQ(finder.next_deadline(), kNever);
}

TEST_F(PathFinderTest, ProbesWhereAPingCameFromAndBoundsTheList) {
  due();
  const Endpoint other{*parse_ip("192.0.2.77"), 1};
  finder.heard_from(other, now);
  const auto pings = due();
  ASSERT_EQ(pings.size(), 1U);
  EXPECT_TRUE(finder.on_pong(other, pings[0].id, now));
  for (std::uint16_t port = 2; port < 1000; ++port) finder.heard_from({other.ip, port}, now);
  EXPECT_LE(due().size(), kMaxProbedEndpoints);
}

TEST(PathMessage, RoundTripsAndRefusesOtherSizes) {
  const PathMessage pong{PathMessage::Op::pong, 0x0102030405060708, kPublic};
  const auto bytes = encode(pong);
  const auto back = decode_path_message(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->id, pong.id);
  EXPECT_EQ(back->seen_from, kPublic);
  EXPECT_FALSE(decode_path_message(ByteView(bytes).first(kPathMessageSize - 1)));
  auto bad = bytes;
  bad[0] = std::byte{9};
  EXPECT_FALSE(decode_path_message(bad));
}

}  // namespace
}  // namespace eps::mesh
