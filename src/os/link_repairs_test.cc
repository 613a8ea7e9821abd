// SPDX-License-Identifier: MIT

// What the reports say of this computer's network while that is not as it should be.

#include "os/link_fixture.h"

namespace eps::os {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(LinkTest, SaysThatAProgramKeepsChangingItAsLongAsThatGoesOn) {
  set_up(config("192.168.43.7", "192.168.43.0/24"));
  NetlinkLink::Report report;
  for (int i = 0; i < 5; ++i) {
    now_ += std::chrono::seconds(1);
    ASSERT_TRUE(shell("ip -4 addr flush dev eps0"));
    report = reconcile();
  }
  EXPECT_THAT(report.troubles,
              ElementsAre(HasSubstr("keeps changing eps0: 5 times within the last minute, 5 in all.")));
  ASSERT_NE(report.again, kNever) << "it may end";
  for (int i = 0; i < 5 && report.again != kNever; ++i) report = link_->reconcile(now_ = report.again);
  EXPECT_EQ(report.again, kNever);
  EXPECT_THAT(report.troubles, ElementsAre(HasSubstr("changed eps0 5 times; it was restored.")));
}

TEST_F(LinkTest, SaysWhenNothingIsConnected) {
  set_up(config("192.168.43.7", "192.168.43.0/24"));
  add("up0", "192.0.2.7/24");
  EXPECT_THAT(reconcile().troubles, IsEmpty());
  pull_cable("up0");
  EXPECT_THAT(reconcile().troubles, ElementsAre(HasSubstr("No network interface of this computer is connected: up0")));
  add("up1", "192.0.3.7/24");
  EXPECT_THAT(reconcile().troubles, IsEmpty()) << "there is another";
}

}  // namespace
}  // namespace eps::os
