// SPDX-License-Identifier: MIT
#include "os/underlay_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/netns_fixture.h"
#include "os/underlay_mark.h"

namespace eps::os {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A computer with an uplink, eth0, and an EPS interface with 192.168.43.7/24.
class UnderlayRoutesTest : public NetnsTest {
 protected:
  void SetUp() override {
    NetnsTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(
        shell("ip link add eth0 type veth peer name far && ip link set eth0 up && ip link set far up && "
              "ip addr add 192.0.2.10/24 dev eth0 && ip addr add 2001:db8::10/64 dev eth0 nodad && "
              "ip route add default via 192.0.2.1 && ip -6 route add default via 2001:db8::1 && "
              "ip link add eps0 type veth peer name far0 && ip link set far0 up && ip link set eps0 group 17744 && ip "
              "link set eps0 up && "
              "ip addr add 192.168.43.7/24 dev eps0 && ip addr add fd43::7/64 dev eps0 nodad"));
    socket_.emplace(must(NetlinkSocket::open()));
    routes_.emplace(*socket_);
    reconcile();
  }
  void reconcile() {
    const auto kernel = must(look_at_kernel(*socket_));
    must(routes_->reconcile(kernel.interfaces, inside_interfaces(kernel, kEpsGroup, index_of("eps0"))));
  }
  int index_of(const std::string& name) {
    for (const Interface& i : must(list_interfaces(*socket_))) {
      if (i.name == name) return i.index;
    }
    return 0;
  }
  // Where a marked packet goes.
  static std::string marked(const std::string& to) { return output_of("ip route get " + to + " mark 0x45500000 2>&1"); }
  static std::string unmarked(const std::string& to) { return output_of("ip route get " + to); }

  std::optional<NetlinkSocket> socket_;  // of the test's own namespace
  std::optional<UnderlayRoutes> routes_;
};

TEST_F(UnderlayRoutesTest, MarkedTrafficFollowsTheMainTable) {
  EXPECT_THAT(marked("203.0.113.1"), HasSubstr("via 192.0.2.1 dev eth0"));
  EXPECT_THAT(marked("2001:db8:1::1"), HasSubstr("via 2001:db8::1 dev eth0"));
  EXPECT_THAT(marked("192.0.2.77"), HasSubstr("dev eth0"));
  ASSERT_TRUE(shell("ip route add 203.0.113.0/24 via 192.0.2.9"));
  EXPECT_THAT(marked("203.0.113.1"), HasSubstr("via 192.0.2.9 dev eth0")) << "without a notification";
}

TEST_F(UnderlayRoutesTest, MarkedTrafficNeverEntersAnEpsInterface) {
  EXPECT_THAT(marked("192.168.43.9"), HasSubstr("via 192.0.2.1 dev eth0"));
  EXPECT_THAT(unmarked("192.168.43.9"), HasSubstr("dev eps0"));
  ASSERT_TRUE(shell("ip route add 10.50.0.0/24 via 192.168.43.9 && ip -6 route add 2001:db8:50::/64 via fd43::9"));
  reconcile();
  EXPECT_THAT(unmarked("10.50.0.2"), HasSubstr("dev eps0"));
  EXPECT_THAT(marked("10.50.0.2"), HasSubstr("via 192.0.2.1 dev eth0"));
  EXPECT_THAT(marked("2001:db8:50::1"), HasSubstr("via 2001:db8::1 dev eth0"));
}

TEST_F(UnderlayRoutesTest, ARouteIntoEpsHidesTheLessSpecificOneAsWell) {
  ASSERT_TRUE(shell("ip route add 10.0.0.0/8 via 192.0.2.9 && ip route add 10.50.0.0/24 via 192.168.43.9"));
  reconcile();
  EXPECT_THAT(marked("10.50.0.2"), HasSubstr("via 192.0.2.9 dev eth0"));
}

TEST_F(UnderlayRoutesTest, ADefaultRouteThroughAMemberDoesNotMoveTheUnderlay) {
  for (const char* route :
       {"ip route add default via 192.168.43.9 metric 0 && ip -6 route add default via fd43::9 metric 1",
        "ip route add 0.0.0.0/1 via 192.168.43.9 && ip route add 128.0.0.0/1 via 192.168.43.9 && "
        "ip -6 route add 2000::/3 via fd43::9"}) {
    shell("ip route del default via 192.0.2.1; ip route add default via 192.0.2.1 metric 100");
    reconcile();
    ASSERT_TRUE(shell(route)) << route;
    reconcile();
    EXPECT_THAT(unmarked("203.0.113.1"), HasSubstr("dev eps0")) << route;
    EXPECT_THAT(marked("203.0.113.1"), HasSubstr("via 192.0.2.1 dev eth0")) << route;
    EXPECT_THAT(marked("2001:db8:1::1"), HasSubstr("via 2001:db8::1 dev eth0")) << route;
    shell("ip addr flush dev eps0; ip addr add 192.168.43.7/24 dev eps0; ip -6 addr add fd43::7/64 dev eps0 nodad");
  }
}

TEST_F(UnderlayRoutesTest, AReplacedRouteIsStillUsed) {
  ASSERT_TRUE(shell("ip route replace default via 192.168.43.9"));
  reconcile();
  reconcile();
  EXPECT_THAT(unmarked("203.0.113.1"), HasSubstr("dev eps0"));
  EXPECT_THAT(marked("203.0.113.1"), HasSubstr("via 192.0.2.1 dev eth0"));
  ASSERT_TRUE(shell("ip route replace default via 192.0.2.7"));
  reconcile();
  EXPECT_THAT(marked("203.0.113.1"), HasSubstr("via 192.0.2.7 dev eth0")) << "a new one";
  ASSERT_TRUE(shell("ip route replace default via 192.168.43.9 && ip link set eth0 down"));
  reconcile();
  EXPECT_THAT(marked("203.0.113.1"), Not(HasSubstr("dev e"))) << "nowhere is better than inside";
}

TEST_F(UnderlayRoutesTest, UserRulesTakePrecedenceUnlessTheyLeadInside) {
  ASSERT_TRUE(shell("ip route add default via 192.0.2.8 table 100 && ip rule add priority 1000 lookup 100"));
  reconcile();
  EXPECT_THAT(marked("203.0.113.1"), HasSubstr("via 192.0.2.8 dev eth0")) << "another VPN's";
  ASSERT_TRUE(shell("ip route add default via 192.168.43.9 table 51820 && ip rule add priority 500 lookup 51820"));
  reconcile();
  EXPECT_THAT(unmarked("203.0.113.1"), HasSubstr("dev eps0"));
  EXPECT_THAT(marked("203.0.113.1"), HasSubstr("via 192.0.2.1 dev eth0"));
  ASSERT_TRUE(shell("ip rule del priority 500"));
  reconcile();
  EXPECT_THAT(marked("203.0.113.1"), HasSubstr("via 192.0.2.8 dev eth0"));
}

// As a computer with two providers has them from boot on, and as wg-quick makes them.
TEST_F(UnderlayRoutesTest, SoDoRulesToWhichTheKernelGaveAPriority) {
  routes_->remove();
  ASSERT_TRUE(
      shell("ip addr add 192.0.2.11/24 dev eth0 && ip route add default via 192.0.2.8 table 100 && "
            "ip rule add from 192.0.2.11 lookup 100 && ip rule add from 192.0.2.12 lookup 100"));
  const auto from = [] { return output_of("ip route get 203.0.113.1 from 192.0.2.11 mark 0x45500000"); };
  reconcile();
  EXPECT_THAT(from(), HasSubstr("via 192.0.2.8 dev eth0"));
  ASSERT_TRUE(shell("ip rule del from 192.0.2.11 && ip rule add from 192.0.2.11 lookup 100"));
  reconcile();
  EXPECT_THAT(from(), HasSubstr("via 192.0.2.8 dev eth0")) << "one that comes later";
  EXPECT_THAT(marked("203.0.113.1"), HasSubstr("via 192.0.2.1 dev eth0"));
}

TEST_F(UnderlayRoutesTest, ARuleThatSomebodyRemovedIsBackInItsPlace) {
  const std::string before = output_of("ip rule; ip -6 rule");
  for (const char* rule : {"lookup main", "lookup 1162870784", "unreachable"}) {
    ASSERT_TRUE(shell(std::string("ip rule del fwmark 0x45500000 ") + rule));
    reconcile();
    EXPECT_EQ(output_of("ip rule; ip -6 rule"), before) << rule;
  }
}

TEST_F(UnderlayRoutesTest, NothingIsLeftBehind) {
  const auto everything = [] {
    return output_of(
        "ip rule; ip -6 rule; ip route show table all | grep -v ' table local'; "
        "ip -6 route show table all | grep -v ' table local'");
  };
  routes_->remove();
  const std::string before = everything();
  EXPECT_THAT(before, Not(HasSubstr("0x45500000")));
  ASSERT_TRUE(shell("ip route add 10.50.0.0/24 via 192.168.43.9"));
  reconcile();
  // A killed client left more than is correct now.
  ASSERT_TRUE(
      shell("ip rule add priority 77 fwmark 0x45500000 lookup 1162870784 protocol 69 && "
            "ip route add 198.51.100.0/24 via 192.0.2.3 table 1162870784 proto 69"));
  reconcile();
  EXPECT_THAT(everything(), AllOf(Not(HasSubstr("77:")), Not(HasSubstr("198.51.100.0"))));
  ASSERT_TRUE(shell("ip route del 10.50.0.0/24"));
  routes_->remove();
  EXPECT_EQ(everything(), before);
}

TEST_F(UnderlayRoutesTest, ARepeatChangesNothing) {
  ASSERT_TRUE(shell("ip route add default metric 50 nexthop via 192.0.2.3 nexthop via 192.0.2.4"));
  reconcile();
  const std::string before = output_of("ip route show table 1162870784; ip rule");
  EXPECT_THAT(before, HasSubstr("nexthop via 192.0.2.3"));
  reconcile();
  EXPECT_EQ(output_of("ip route show table 1162870784; ip rule"), before);
}

}  // namespace
}  // namespace eps::os
