// SPDX-License-Identifier: MIT
#include "node/lan_findings.h"

#include <gtest/gtest.h>

namespace eps::node {
namespace {

using std::chrono::seconds;

constexpr Instant kStart{seconds(100)};

TEST(LanFindings, AreLoggedOnceAMinute) {
  LanFindings findings;
  EXPECT_EQ(findings.note("It is so.", "Mend it.", kStart), "It is so. Mend it.");
  EXPECT_EQ(findings.note("It is so.", "Mend it.", kStart + seconds(59)), std::nullopt);
  EXPECT_NE(findings.note("It is otherwise.", "", kStart + seconds(59)), std::nullopt);
  EXPECT_NE(findings.note("It is so.", "Mend it.", kStart + seconds(60)), std::nullopt);
}

TEST(LanFindings, StayForTenMinutes) {
  LanFindings findings;
  findings.note("It is so.", "Mend it.", kStart);
  ASSERT_EQ(findings.list(kStart + seconds(30)).size(), 1U);
  EXPECT_EQ(findings.list(kStart + seconds(30))[0].ago, seconds(30));
  EXPECT_TRUE(findings.list(kStart + kFindingLife + seconds(1)).empty());
}

TEST(LanFindings, AreForgottenByMember) {
  LanFindings findings;
  findings.note("One is so.", "", kStart, {1});
  findings.note("Two is so.", "", kStart, {2});
  findings.note("It is so.", "", kStart);
  findings.forget({1});
  EXPECT_EQ(findings.list(kStart).size(), 2U);
  EXPECT_NE(findings.note("One is so.", "", kStart + seconds(1), {1}), std::nullopt);
}

TEST(LanFindings, AreBounded) {
  LanFindings findings;
  for (int n = 0; n < 1000; ++n) findings.note(std::to_string(n), "", kStart + seconds(n) / 100);
  EXPECT_EQ(findings.list(kStart + seconds(10)).size(), kMaxFindings);
}

}  // namespace
}  // namespace eps::node
