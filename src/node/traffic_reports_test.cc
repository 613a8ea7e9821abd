// SPDX-License-Identifier: MIT
#include "node/traffic_reports.h"

#include <gtest/gtest.h>

namespace eps::node {
namespace {

using std::chrono::seconds;

constexpr MemberId kA{1}, kB{2}, kC{3};

class TrafficReportsTest : public testing::Test {
 protected:
  static PeerReport about(MemberId peer, std::uint64_t sent, std::uint64_t received) {
    PeerReport out;
    out.peer = peer;
    out.packets_sent = sent;
    out.bytes_sent = sent * 100;
    out.packets_received = received;
    out.bytes_received = received * 100;
    out.path = PathKind::direct;
    return out;
  }
  void tell(MemberId from, int uptime, std::vector<PeerReport> peers) {
    reports.take(from, {seconds(uptime), std::move(peers)}, start + seconds(at));
  }
  const PairStatus& pair(MemberId from, MemberId to) { return reports.pairs().at({from, to}); }

  Instant start{seconds(1000)};
  int at = 10;  // seconds since the start
  TrafficReports reports{start};
};

TEST_F(TrafficReportsTest, CompareWhatOneSentWithWhatTheOtherReceived) {
  tell(kA, 5, {about(kB, 100, 40)});
  tell(kB, 5, {about(kA, 40, 93)});
  EXPECT_EQ(pair(kA, kB).packets_sent, 100U);
  EXPECT_EQ(pair(kA, kB).packets_received, 93U) << "seven were lost";
  EXPECT_EQ(pair(kB, kA).packets_sent, 40U);
  EXPECT_EQ(pair(kB, kA).packets_received, 40U);
  EXPECT_EQ(pair(kA, kB).bytes_received, 9300U);
  tell(kA, 6, {about(kB, 150, 40)});
  tell(kB, 6, {about(kA, 40, 143)});
  EXPECT_EQ(pair(kA, kB).packets_sent, 150U);
  EXPECT_EQ(pair(kA, kB).packets_received, 143U);
  EXPECT_EQ(reports.uptime(kA), seconds(6));
  EXPECT_EQ(reports.uptime(kC), std::nullopt);
}

TEST_F(TrafficReportsTest, AddUpAcrossARestartOfTheMember) {
  tell(kA, 9, {about(kB, 100, 0)});
  tell(kA, 1, {about(kB, 30, 0)});
  EXPECT_EQ(pair(kA, kB).packets_sent, 130U);
  tell(kA, 3, {about(kB, 35, 0)});
  EXPECT_EQ(pair(kA, kB).packets_sent, 135U);
}

TEST_F(TrafficReportsTest, DoNotCountPacketsToAnAbsentMemberAsLost) {
  at = 300;
  tell(kA, 100, {about(kB, 100, 0)});
  tell(kB, 100, {about(kA, 0, 90)});
  EXPECT_EQ(pair(kA, kB).packets_lost(true), 10U);
  tell(kA, 160, {about(kB, 600, 0)});  // b was switched off
  EXPECT_EQ(pair(kA, kB).packets_lost(false), 10U);
  tell(kB, 5, {about(kA, 0, 0)});  // and is back
  tell(kA, 220, {about(kB, 700, 0)});
  tell(kB, 65, {about(kA, 0, 97)});
  EXPECT_EQ(pair(kA, kB).packets_lost(true), 13U);
  EXPECT_EQ(pair(kA, kB).recent_packets_sent, 100U);
  EXPECT_EQ(pair(kA, kB).recent_packets_received, 97U);
}

TEST_F(TrafficReportsTest, LeaveOutTrafficFromBeforeTheServerStarted) {
  tell(kA, 500, {about(kB, 1'000'000, 7)});
  EXPECT_EQ(pair(kA, kB).packets_sent, 0U);
  tell(kA, 501, {about(kB, 1'000'010, 7)});
  EXPECT_EQ(pair(kA, kB).packets_sent, 10U);
}

TEST_F(TrafficReportsTest, HandlePeersThatComeAndGo) {
  tell(kA, 5, {about(kB, 100, 0), about(kC, 5, 5)});
  tell(kA, 6, {about(kC, 6, 5)});  // no room for B
  EXPECT_EQ(pair(kA, kB).packets_sent, 100U);
  EXPECT_EQ(pair(kA, kB).path, PathKind::none);
  tell(kA, 7, {about(kB, 120, 0)});
  EXPECT_EQ(pair(kA, kB).packets_sent, 120U);
  tell(kA, 8, {about(kB, 3, 0)});  // B was removed and has joined again
  EXPECT_EQ(pair(kA, kB).packets_sent, 123U);
  tell(kA, 9, {about(kA, 3, 0)});
  EXPECT_FALSE(reports.pairs().contains({kA, kA}));
}

TEST_F(TrafficReportsTest, ArePagedForAllOrForOneMember) {
  tell(kA, 5, {about(kB, 1, 0), about(kC, 1, 0)});
  tell(kB, 5, {about(kC, 1, 0)});
  const auto read = [&](MemberId of, std::size_t most) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> out;
    std::pair<MemberId, MemberId> after;
    for (bool more = true; more;) {
      const TrafficReports::Page page = reports.page(of, after, most);
      EXPECT_LE(page.pairs.size(), most);
      for (const PairStatus& p : page.pairs) out.emplace_back(p.from.value, p.to.value);
      more = page.more;
      if (more) after = {page.pairs.back().from, page.pairs.back().to};
    }
    return out;
  };
  using Ids = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
  for (const std::size_t most : {1U, 2U, 4U, 6U, 100U}) {
    EXPECT_EQ(read({}, most), (Ids{{1, 2}, {1, 3}, {2, 1}, {2, 3}, {3, 1}, {3, 2}})) << most;
    EXPECT_EQ(read(kB, most), (Ids{{1, 2}, {2, 1}, {2, 3}, {3, 2}})) << most;
  }
  EXPECT_TRUE(read({9}, 5).empty());
}

TEST_F(TrafficReportsTest, ForgetFormerMembers) {
  tell(kA, 5, {about(kB, 100, 0), about(kC, 1, 1)});
  tell(kB, 5, {about(kA, 0, 100)});
  reports.forget(kB);
  EXPECT_FALSE(reports.pairs().contains({kA, kB}));
  EXPECT_TRUE(reports.pairs().contains({kA, kC}));
  EXPECT_EQ(reports.uptime(kB), std::nullopt);
}

// Rounds of reports about what kA sends to kB. How often a contradiction is told.
class Contradictions : public TrafficReportsTest {
 protected:
  std::size_t round(std::uint64_t sent, std::uint64_t received, bool receiver_first = false) {
    a_sent += sent;
    b_received += received;
    ++uptime;
    reports.begin_round();
    std::size_t told = 0;
    const auto tell_a = [&] { told += reports.take(kA, {seconds(uptime), report_a()}, start + seconds(at)).size(); };
    if (!receiver_first) tell_a();
    told += reports.take(kB, {seconds(uptime), {about(kA, 0, b_received)}}, start + seconds(at)).size();
    if (receiver_first) tell_a();
    return told;
  }
  std::vector<PeerReport> report_a() {
    if (a_is_silent) return {};
    return {about(kB, a_sent, 0)};
  }
  bool flagged() { return pair(kA, kB).contradicts; }

  std::uint64_t a_sent = 0, b_received = 0;
  int uptime = 1;
  bool a_is_silent = false;
};

TEST_F(Contradictions, WhoReceivesWhatNobodySentIsTold) {
  EXPECT_EQ(round(10'000, 10'000), 0U);
  EXPECT_EQ(round(0, 5000), 0U);
  EXPECT_EQ(round(0, 5000, true), 0U);
  EXPECT_EQ(round(0, 5000), 1U);
  EXPECT_TRUE(flagged());
  EXPECT_EQ(round(0, 5000), 0U) << "once";
  EXPECT_EQ(pair(kA, kB).contradictions, 2U);
  EXPECT_FALSE(pair(kB, kA).contradicts);
  EXPECT_EQ(round(5000, 5000), 0U);
  EXPECT_FALSE(flagged());
}

TEST_F(Contradictions, WhoTellsAFifthLessThanItSendsIsFound) {
  std::size_t told = 0;
  for (int n = 0; n < 20; ++n) told += round(80'000, 100'000);
  EXPECT_EQ(told, 1U);
}

TEST_F(Contradictions, WhoLeavesThePartnerOutIsFoundAsWell) {
  EXPECT_EQ(round(10'000, 10'000), 0U);
  a_is_silent = true;
  EXPECT_EQ(round(0, 5000) + round(0, 5000, true) + round(0, 5000), 1U);
}

TEST_F(Contradictions, LossIsNone) {
  for (int n = 0; n < 20; ++n) EXPECT_EQ(round(100'000, 50'000), 0U);
  EXPECT_FALSE(flagged());
}

// Of a flow of 100,000 packets in each interval, up to a tenth is counted in the one before or after.
TEST_F(Contradictions, ReportsThatAreMomentsApartAreNone) {
  for (int n = 0; n < 60; ++n) {
    const std::uint64_t shift = n % 3 * 5'000U, before = (n + 2) % 3 * 5'000U;
    EXPECT_EQ(round(100'000, 100'000 + before - shift, n % 2 == 0), 0U) << n;
  }
  for (std::uint64_t flow = 1'000'000; flow > 10; flow = flow * 2 / 3) EXPECT_EQ(round(flow, flow), 0U);
  EXPECT_EQ(pair(kA, kB).contradictions, 0U);
}

TEST_F(Contradictions, ARestartIsNone) {
  EXPECT_EQ(round(50'000, 50'000), 0U);
  uptime = 0;
  a_sent = 0;
  EXPECT_EQ(round(10'000, 50'000), 0U) << "what it sent before it ended was not reported";
  for (int n = 0; n < 5; ++n) EXPECT_EQ(round(50'000, 50'000), 0U);
  EXPECT_FALSE(flagged());
}

TEST_F(Contradictions, AMemberThatDoesNotAnswerEachTimeIsCompared) {
  for (int n = 0; n < 12; ++n) {
    a_sent += 10'000;
    b_received += 10'000;
    ++uptime;
    reports.begin_round();
    if (n % 2 == 0) {
      EXPECT_TRUE(reports.take(kA, {seconds(uptime), report_a()}, start + seconds(at)).empty());
    }
    if (n % 3 == 0) {
      EXPECT_TRUE(reports.take(kB, {seconds(uptime), {about(kA, 0, b_received)}}, start + seconds(at)).empty());
    }
  }
  EXPECT_EQ(pair(kA, kB).contradictions, 0U);
}

TEST_F(Contradictions, AbsurdFiguresDoNoHarm) {
  for (int n = 0; n < 5; ++n) (void)round(n % 2 == 0 ? ~std::uint64_t{0} : 1, n % 2 == 0 ? 1 : ~std::uint64_t{0} - 5);
  for (int n = 0; n < 5; ++n) (void)round(1000, 1000);
}

}  // namespace
}  // namespace eps::node
