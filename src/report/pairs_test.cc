// SPDX-License-Identifier: MIT
#include "report/pairs.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "report/graphviz.h"
#include "report/scorecard.h"
#include "report/status_json.h"

namespace eps::report {
namespace {

constexpr std::size_t kMegabyte = 1'000'000;

// `members`, each with `partners` others: the next ones, most with the first of them.
ServerStatus network(std::uint32_t members, std::uint32_t partners) {
  ServerStatus s;
  s.version = "0.2.0";
  s.port = kDefaultPort;
  s.network.network = *parse_ip4_network("10.43.0.0/16");
  for (std::uint32_t i = 1; i <= members; ++i) {
    ServerMemberStatus m;
    m.member.id = {i};
    m.member.name = "computer-" + std::to_string(i) + ".example";
    m.member.address = {0x0a2b0000U + i};
    m.member.mac.bytes = {std::byte{2},
                          std::byte{0},
                          std::byte{0},
                          std::byte{0},
                          static_cast<std::byte>(i >> 8U),
                          static_cast<std::byte>(i)};
    m.member.online = true;
    m.member.version = "0.2.0";
    m.control = m.data = Endpoint{IpAddress::from_v4({0xc6336400U + i}), 40000};
    m.uptime = std::chrono::hours(30);
    m.last_seen = 1'790'000'000;
    m.relayed = {1'000'000, 1'000'000'000, 1'000'000, 1'000'000'000, 1'000'000, 1'000'000'000};
    s.members.push_back(std::move(m));
    for (std::uint32_t k = 0; k < partners; ++k) {
      PairStatus p;
      p.from = {i};
      p.to = {(i + k) % members + 1};
      p.packets_sent = p.packets_received = 1'000'000;
      p.bytes_sent = p.bytes_received = 1'000'000'000 / (k + 1);
      p.path = k % 4 == 0 ? PathKind::relayed : PathKind::direct;
      p.round_trip = std::chrono::microseconds(12345);
      if (k % 4 == 0) p.reason = "The NATs on both sides make a new mapping for each destination.";
      s.pairs.push_back(std::move(p));
    }
  }
  return s;
}

TEST(Pairs, AllAreNamedInASmallNetworkAndTheBusiestInALargeOne) {
  const ServerStatus mesh = network(100, 99);
  EXPECT_EQ(busiest_pairs(mesh).size(), mesh.pairs.size());
  const ServerStatus large = network(10'000, 10);
  const auto told = busiest_pairs(large);
  ASSERT_EQ(told.size(), kMostRows - 10'000);
  for (std::size_t i = 0; i < told.size(); ++i) {
    EXPECT_EQ(told[i].bytes_sent, 1'000'000'000U) << "the busiest of all";
    EXPECT_EQ(told[i].from.value, i + 1) << "in order";
  }
  EXPECT_EQ(busiest_pairs(network(16'000, 2)).size(), kLeastPairs);
}

// Prints how long each takes if EPS_SHOW_TIMES is set.
TEST(Pairs, ReportsOfALargeNetworkStaySmall) {
  const ServerStatus s = network(10'000, 10);
  const auto made = [](const char* what, auto&& make) {
    const auto began = std::chrono::steady_clock::now();
    const std::size_t bytes = make().size();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
    if (std::getenv("EPS_SHOW_TIMES") != nullptr) std::printf("%-12s %9zu bytes %7.1f ms\n", what, bytes, took.count());
    return bytes;
  };
  EXPECT_LT(made("copy", [&] { return ServerStatus(s).pairs; }), 10 * kMegabyte);
  EXPECT_LT(made("status", [&] { return to_json(s).dump(); }), 10 * kMegabyte);
  EXPECT_LT(made("graph",
                 [&] {
                   return graphviz_text(s, Earlier{s.pairs, std::chrono::seconds(60)}, 0);
                 }),
            10 * kMegabyte);
  for (const auto format : {ScorecardFormat::keys, ScorecardFormat::prometheus, ScorecardFormat::json}) {
    const std::string name(name_of(format));
    EXPECT_LT(made(name.c_str(), [&] { return scorecard_text(figures_of(s, std::nullopt, 0), format); }),
              10 * kMegabyte);
  }
  EXPECT_EQ(to_json(s)["pairs_total"], 100'000);
}

TEST(Pairs, AreShownAsATable) {
  const ServerStatus s = network(3, 1);
  EXPECT_EQ(pairs_text(pairs_json(s, {s.pairs[0]})),
            "FROM                TO                  PATH     RTT      SENT     RECEIVED  LOST\n"
            "computer-1.example  computer-2.example  relayed  12.3 ms  1.00 GB  1.00 GB   0\n");
  EXPECT_EQ(pairs_text(nlohmann::json::array()), "No traffic between members yet.\n");
}

}  // namespace
}  // namespace eps::report
