// SPDX-License-Identifier: MIT
#include "report/scorecard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "support/temporary_directory.h"

namespace eps::report {
namespace {

using testing::HasSubstr;
using testing::Not;

Member member(std::uint32_t id, const std::string& name) {
  Member m;
  m.id = {id};
  m.name = name;
  m.online = true;
  return m;
}

ClientStatus client() {
  ClientStatus s;
  s.uptime = std::chrono::seconds(61);
  s.connected = true;
  s.traffic = {10, 1000, 20, 2000, 0, 0};
  s.connections_established = 2;
  s.drops = {{"replayed", 3}};
  PeerStatus bob;
  bob.member = member(2, "bob.example");
  bob.path = PathKind::direct;
  bob.round_trip = std::chrono::microseconds(1540);
  bob.traffic = {7, 700, 8, 800, 0, 0};
  s.peers = {bob};
  return s;
}

TEST(Scorecard, KeysOfAClient) {
  const Passed passed{{{1, 100, 2, 200, 0, 0}, 1}, std::chrono::milliseconds(60001)};
  EXPECT_EQ(scorecard_text(figures_of(client(), passed, 1700000000), ScorecardFormat::keys),
            "time_seconds=1700000000\n"
            "uptime_seconds=61\n"
            "connected=1\n"
            "peers=1\n"
            "peers_online=1\n"
            "peers_direct=1\n"
            "peers_relayed=0\n"
            "total.packets_sent=10\n"
            "total.bytes_sent=1000\n"
            "total.packets_received=20\n"
            "total.bytes_received=2000\n"
            "total.packets_forwarded=0\n"
            "total.bytes_forwarded=0\n"
            "total.connections_established=2\n"
            "interval.milliseconds=60001\n"
            "interval.packets_sent=1\n"
            "interval.bytes_sent=100\n"
            "interval.packets_received=2\n"
            "interval.bytes_received=200\n"
            "interval.packets_forwarded=0\n"
            "interval.bytes_forwarded=0\n"
            "interval.connections_established=1\n"
            "drop.replayed.packets=3\n"
            "peer.bob.example.online=1\n"
            "peer.bob.example.direct=1\n"
            "peer.bob.example.relayed=0\n"
            "peer.bob.example.packets_sent=7\n"
            "peer.bob.example.bytes_sent=700\n"
            "peer.bob.example.packets_received=8\n"
            "peer.bob.example.bytes_received=800\n"
            "peer.bob.example.round_trip_microseconds=1540\n");
}

ServerStatus server() {
  ServerStatus s;
  ServerMemberStatus a, b;
  a.member = member(1, "a");
  a.relayed.bytes_forwarded = 4500;
  b.member = member(2, "b");
  b.uptime = std::chrono::seconds(7);
  s.members = {a, b};
  s.pairs = {{{1}, {2}, 100, 10000, 93, 9300, PathKind::relayed, {}, "no way"},
             {{2}, {1}, 5, 500, 6, 600, PathKind::relayed, {}, ""},
             {{2}, {9}, 5, 500, 6, 600, PathKind::none, {}, ""}};
  return s;
}

TEST(Scorecard, SetsBothSidesOfAPairSideBySide) {
  const std::string text = scorecard_text(figures_of(server(), std::nullopt, 1), ScorecardFormat::keys);
  EXPECT_THAT(text, HasSubstr("pair.a.b.packets_sent=100\n"));
  EXPECT_THAT(text, HasSubstr("pair.a.b.packets_received=93\n"));
  EXPECT_THAT(text, HasSubstr("pair.a.b.packets_lost=7\n"));
  EXPECT_THAT(text, HasSubstr("pair.b.a.packets_lost=0\n")) << "never less than nothing";
  EXPECT_THAT(text, HasSubstr("member.a.bytes_relayed_from=4500\n"));
  EXPECT_THAT(text, HasSubstr("member.b.uptime_seconds=7\n"));
  EXPECT_THAT(text, Not(HasSubstr("interval.")));
  EXPECT_THAT(text, Not(HasSubstr(".."))) << "a pair with a stranger";
}

TEST(Scorecard, NamesWithPointsAreToldApartInPairs) {
  ServerStatus s;
  const std::vector<std::string> names = {"web", "prod.db", "web.prod", "db"};
  for (std::uint32_t i = 0; i < 4; ++i) {
    ServerMemberStatus m;
    m.member = member(i + 1, names[i]);
    s.members.push_back(m);
    for (std::uint32_t to = 1; to <= 4; ++to) {
      if (to != i + 1) s.pairs.push_back({.from = {i + 1}, .to = {to}, .round_trip = {}, .reason = ""});
    }
  }
  const std::string text = scorecard_text(figures_of(s, std::nullopt, 1), ScorecardFormat::keys);
  EXPECT_THAT(text, HasSubstr("\npair.web.prod%2Edb.packets_sent=0\n"));
  EXPECT_THAT(text, HasSubstr("\npair.web%2Eprod.db.packets_sent=0\n"));
  EXPECT_THAT(text, HasSubstr("\nmember.prod.db.online=1\n")) << "nothing to be confused with";
  std::set<std::string> keys;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_TRUE(keys.insert(line.substr(0, line.find('='))).second) << line;
  }
}

TEST(Scorecard, LossIsWhatBothSidesHaveToldOf) {
  ServerStatus s = server();
  s.pairs[0].sent_when_heard = 95;
  const auto lost = [&] {
    const std::string text = scorecard_text(figures_of(s, std::nullopt, 1), ScorecardFormat::keys);
    const std::string key = "pair.a.b.packets_lost=";
    return text.substr(text.find(key) + key.size(), 1);
  };
  EXPECT_EQ(lost(), "7");
  s.members[1].member.online = false;
  EXPECT_EQ(lost(), "2") << "what was sent since b went is not lost on the way";
  s.members[1].member.online = true;
  s.pairs[0].unheard = 5;
  EXPECT_EQ(lost(), "2") << "nor when it is back";
}

TEST(Scorecard, PrometheusExplainsEveryName) {
  for (const auto& figures : {figures_of(client(), Passed{{}, std::chrono::seconds(1)}, 5),
                              figures_of(server(), Passed{{}, std::chrono::seconds(1)}, 5)}) {
    const std::string text = scorecard_text(figures, ScorecardFormat::prometheus);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("# HELP ")) continue;
      EXPECT_GT(line.size(), line.find(' ', 7) + 5) << line;
    }
    EXPECT_THAT(text, Not(HasSubstr("milliseconds")));
    EXPECT_THAT(text, Not(HasSubstr("microseconds")));
    if (std::system("promtool --version >/dev/null 2>&1") != 0) continue;
    const test::TemporaryDirectory dir;
    const std::string said = dir / "said";
    const std::string command = "promtool check metrics <" + dir.write("metrics", text) + " >" + said + " 2>&1";
    EXPECT_EQ(std::system(command.c_str()), 0) << test::read_text(said);
    EXPECT_EQ(test::read_text(said), "");
  }
}

TEST(Scorecard, Prometheus) {
  const std::string text = scorecard_text(figures_of(client(), std::nullopt, 5), ScorecardFormat::prometheus);
  EXPECT_THAT(text, HasSubstr("eps_peer_round_trip_seconds{peer=\"bob.example\"} 0.001540\n"));
  EXPECT_THAT(text, HasSubstr("# HELP eps_uptime_seconds Time since the program started.\n"
                              "# TYPE eps_uptime_seconds gauge\neps_uptime_seconds 61\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE eps_bytes_sent_total counter\neps_bytes_sent_total 1000\n"));
  EXPECT_THAT(text, HasSubstr("eps_drop_packets_total{reason=\"replayed\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE eps_peer_bytes_sent_total counter\n"
                              "eps_peer_bytes_sent_total{peer=\"bob.example\"} 700\n"));
  const std::string pairs = scorecard_text(figures_of(server(), std::nullopt, 5), ScorecardFormat::prometheus);
  EXPECT_THAT(pairs, HasSubstr("# TYPE eps_pair_packets_sent_total counter\n"
                               "eps_pair_packets_sent_total{from=\"a\",to=\"b\"} 100\n"
                               "eps_pair_packets_sent_total{from=\"b\",to=\"a\"} 5\n"));
}

TEST(Scorecard, Json) {
  const auto j = nlohmann::json::parse(scorecard_text(figures_of(server(), std::nullopt, 5), ScorecardFormat::json));
  EXPECT_EQ(j["pair"]["a"]["b"]["packets_lost"], 7);
  EXPECT_EQ(j["time_seconds"], 5);
  EXPECT_EQ(j["total"]["bytes_sent"], 0);
}

TEST(Scorecard, FormatsHaveNames) {
  for (const char* name : {"keys", "prometheus", "json"}) EXPECT_EQ(name_of(*parse_scorecard_format(name)), name);
  EXPECT_FALSE(parse_scorecard_format("xml"));
}

}  // namespace
}  // namespace eps::report
