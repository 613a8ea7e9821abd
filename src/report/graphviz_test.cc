// SPDX-License-Identifier: MIT
#include "report/graphviz.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "support/temporary_directory.h"

namespace eps::report {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

ServerMemberStatus member(std::uint32_t id, const std::string& name, const std::string& data, bool online = true) {
  ServerMemberStatus m;
  m.member.id = {id};
  m.member.name = name;
  m.member.address = {0x0a000800 + id};
  m.member.version = "0.1.0";
  m.member.online = online;
  if (online) m.data = parse_endpoint(data);
  m.uptime = seconds(3700);
  return m;
}

PairStatus pair(std::uint32_t from, std::uint32_t to, std::uint64_t packets, std::uint64_t lost, PathKind path) {
  PairStatus p;
  p.from = {from};
  p.to = {to};
  p.packets_sent = packets;
  p.bytes_sent = packets * 1000;
  p.packets_received = packets - lost;
  p.path = path;
  p.round_trip = std::chrono::microseconds(1540);
  if (path == PathKind::relayed) p.reason = "The NATs on both sides make a new mapping for each destination.";
  return p;
}

ServerStatus network() {
  ServerStatus s;
  s.version = "0.1.0";
  s.port = 43439;
  s.network.network = *parse_ip4_network("10.0.8.0/24");
  s.members = {member(1, "alice", "203.0.113.7:4001"), member(2, "bob", "203.0.113.7:4002"),
               member(3, "carol", "198.51.100.3:4003"), member(4, "dave", "", false)};
  s.pairs = {pair(1, 2, 1000, 0, PathKind::direct), pair(2, 1, 500, 10, PathKind::direct),
             pair(1, 3, 7, 0, PathKind::relayed), pair(2, 3, 7, 0, PathKind::none)};
  return s;
}

// The messages of Graphviz when it draws the text with each of its engines: "" is good.
std::string drawn(const std::string& text, const std::string& form = "svg") {
  const test::TemporaryDirectory dir;
  const std::string file = dir.write("a.gv", text), said = dir / "said";
  std::string out;
  for (const char* engine : {"dot", "circo", "neato"}) {
    const std::string command = std::string(engine) + " -T" + form + " -o /dev/null " + file + " >" + said + " 2>&1";
    if (std::system(command.c_str()) != 0) out += std::string(engine) + " failed. ";
    out += test::read_text(said);
  }
  return out;
}

bool has_graphviz() {
  return std::system("dot -V >/dev/null 2>&1") == 0;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t out = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++out;
  return out;
}

TEST(Graphviz, ShowsServerMembersAndTheirConduits) {
  const std::string text = graphviz_text(network(), std::nullopt, 1795527443);
  EXPECT_THAT(text, HasSubstr("EPS network 10.0.8.0/24"));
  EXPECT_THAT(text, HasSubstr("4 members, 3 online"));
  EXPECT_THAT(text, HasSubstr("2026-11-24 13:37 UTC"));
  EXPECT_THAT(text, HasSubstr("<b>alice</b>"));
  EXPECT_THAT(text, HasSubstr("203.0.113.7:4001<br/>0.1.0 · up 1 h 1 min"));
  EXPECT_THAT(text, HasSubstr("10.0.8.4<br/>offline"));
  EXPECT_THAT(text, HasSubstr("alice → bob  1.00 MB, 0 B/s\\nbob → alice  500 kB, 0 B/s, 2.0 % lost\\ndirect, 1.5 ms"));
  EXPECT_THAT(text, HasSubstr("<br/>sent 1.01 MB, 0 B/s<br/>received 0 B, 0 B/s<br/>1 direct, 1 relayed")) << "alice";
  EXPECT_EQ(count(text, ", style=dashed, tooltip"), 1U) << "the relayed one, without its colour";
  EXPECT_THAT(text, HasSubstr("relayed, 1.5 ms ①")) << "the reason is in the legend";
  EXPECT_THAT(text, HasSubstr("① alice: The NATs on both sides make a new mapping for each destination."));
  EXPECT_THAT(text, HasSubstr("subgraph cluster_0"));
  EXPECT_THAT(text, HasSubstr("label=\"behind 203.0.113.7\""));
  EXPECT_THAT(text, Not(HasSubstr("cluster_1"))) << "carol is alone";
}

TEST(Graphviz, RatesCoverTheTimeSinceTheEarlierStatus) {
  ServerStatus before = network(), now = network();
  before.pairs[0].bytes_sent = 0;
  before.pairs[0].packets_sent = before.pairs[0].packets_received = 0;
  now.pairs[1] = pair(2, 1, 600, 10, PathKind::direct);  // 100 more, none of them lost
  std::erase_if(before.pairs, [](const PairStatus& p) { return p.to == MemberId{3}; });
  const std::string text = graphviz_text(now, Earlier{before.pairs, seconds(10)}, 0);
  EXPECT_THAT(text, HasSubstr("alice → bob  1.00 MB, 100 kB/s"));
  EXPECT_THAT(text, HasSubstr("bob → alice  600 kB, 10.0 kB/s\\n")) << "old loss is not shown";
  EXPECT_THAT(text, HasSubstr("alice → carol  7.00 kB, 700 B/s")) << "this pair is new";
}

TEST(Graphviz, LossIsShownForEnoughPacketsAndPresentMembers) {
  ServerStatus s = network();
  s.pairs = {pair(1, 2, 1, 1, PathKind::direct), pair(1, 4, 1000, 500, PathKind::none),
             pair(2, 1, 100, 50, PathKind::direct)};
  const std::string text = graphviz_text(s, std::nullopt, 0);
  EXPECT_THAT(text, HasSubstr("alice → bob  1.00 kB, 0 B/s\\n")) << "one packet means nothing";
  EXPECT_THAT(text, HasSubstr("alice → dave  1.00 MB, 0 B/s\\n")) << "dave is switched off";
  EXPECT_THAT(text, HasSubstr("bob → alice  100 kB, 0 B/s, 50 % lost"));
}

TEST(Graphviz, HostileNamesDoNotBreakIt) {
  if (!has_graphviz()) GTEST_SKIP() << "no Graphviz";
  ServerStatus s = network();
  const std::string hostile = "\"]; x [label=<b>&amp;</b> \\N \\ \n\r\t{|}#//*";
  for (ServerMemberStatus& m : s.members)
    m.member.name = m.member.version = hostile + std::to_string(m.member.id.value);
  for (PairStatus& p : s.pairs) p.reason = hostile;
  s.version = hostile;
  const std::string text = graphviz_text(s, std::nullopt, 0);
  EXPECT_EQ(drawn(text), "");
  EXPECT_EQ(drawn(text, "dot"), "");
}

TEST(Graphviz, DrawsEmptyAndLargeNetworks) {
  if (!has_graphviz()) GTEST_SKIP() << "no Graphviz";
  EXPECT_EQ(drawn(graphviz_text({}, std::nullopt, 0)), "");
  ServerStatus s;
  for (std::uint32_t i = 1; i <= 40; ++i) {
    s.members.push_back(member(i, "host-" + std::to_string(i), "198.51.100." + std::to_string(i / 3) + ":4000"));
    for (std::uint32_t to = 1; to <= 40; ++to) {
      const auto path = i % 3 == 0 ? PathKind::relayed : PathKind::direct;
      if (to != i && (i + to) % 4 == 0) s.pairs.push_back(pair(i, to, i * to, 0, path));
    }
  }
  const std::string text = graphviz_text(s, std::nullopt, 0);
  EXPECT_EQ(drawn(text), "");
  EXPECT_EQ(count(text, " [label=\"host-"), 12U) << "the others are tooltips";
}

// circo took 26 s for the full mesh of 30, and more than 400 s for that of 60.
TEST(Graphviz, DrawsOnlyTheEssentialOfAFullMesh) {
  ServerStatus s;
  constexpr std::uint32_t kMembers = 200;
  for (std::uint32_t i = 1; i <= kMembers; ++i) {
    s.members.push_back(member(i, "host-" + std::to_string(i), "198.51.100." + std::to_string(i / 3) + ":4000"));
    for (std::uint32_t to = 1; to <= kMembers; ++to) {
      if (to != i) s.pairs.push_back(pair(i, to, i + to, 0, PathKind::direct));
    }
  }
  s.pairs[0] = pair(1, 2, 9, 0, PathKind::relayed);
  s.pairs[1] = pair(1, 3, 100, 50, PathKind::direct);
  const std::string text = graphviz_text(s, std::nullopt, 0);
  EXPECT_LE(count(text, " -- m"), kMembers + 40 + 12);
  EXPECT_THAT(text, HasSubstr("m1m2 [label=")) << "relayed";
  EXPECT_THAT(text, HasSubstr("m1m3 [label=")) << "it loses half";
  EXPECT_THAT(text, HasSubstr("m199m200 [label=")) << "the busiest";
  EXPECT_THAT(text, HasSubstr("Of 19900 conduits 40 are drawn"));
  EXPECT_THAT(text, HasSubstr("19899 direct")) << "counts include what is not drawn";
  EXPECT_THAT(text, HasSubstr("198 direct, 1 relayed")) << "in the member's box";
}

}  // namespace
}  // namespace eps::report
