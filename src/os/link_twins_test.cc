// SPDX-License-Identifier: MIT

// Other EPS interfaces of this computer, with addresses of the network that eps0 is in.

#include <net/if.h>

#include <string>

#include "os/link_fixture.h"
#include "os/source_routes.h"

namespace eps::os {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kMac = "02:00:00:00:00:08";

class LinkTwinsTest : public LinkTest {
 protected:
  // The interface of another client.
  static void add_twin(const std::string& name, const std::string& address) {
    add(name, address, "tun");
    ASSERT_TRUE(shell("ip link set " + name + " address " + kMac + " group " + std::to_string(kEpsGroup)));
  }
  // eps0 is made anew, after the others.
  void make_later() {
    ASSERT_TRUE(shell("ip link del eps0 && ip tuntap add eps0 mode tap"));
    link_ = must(NetlinkLink::open("eps0"));
  }
  static NetlinkLink::Neighbour member(const char* address, const char* mac) {
    return {*parse_ip4(address), *parse_mac(mac)};
  }
  static std::string way(const std::string& to, const std::string& from = "") {
    return output_of("ip route get " + to + (from.empty() ? "" : " from " + from));
  }
};

TEST_F(LinkTwinsTest, OfTwoMembersOfOneNetworkEachAnswersByItself) {
  add_twin("eps1", "192.168.43.8/24");
  make_later();
  link_->set_members({{{8}, member("192.168.43.8", kMac)}});
  ports::LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  wanted.address6 = *parse_ip("fd43::7");
  ASSERT_TRUE(shell("ip addr add fd43::8/64 dev eps1 nodad"));
  set_up(wanted);
  const auto report = reconcile();
  EXPECT_THAT(report.troubles, IsEmpty());
  EXPECT_THAT(report.notes, IsEmpty());
  EXPECT_THAT(way("192.168.43.20"), HasSubstr("dev eps1"));
  EXPECT_THAT(way("192.168.43.20", "192.168.43.7"), HasSubstr("dev eps0"));
  EXPECT_THAT(way("192.168.43.20", "192.168.43.8"), HasSubstr("dev eps1"));
  EXPECT_THAT(way("fd43::20", "fd43::7"), HasSubstr("dev eps0"));
  ASSERT_TRUE(shell("ip route del 192.168.43.0/24 dev eps0"));
  reconcile();
  EXPECT_THAT(output_of("ip route show 192.168.43.0/24"), AllOf(HasSubstr("dev eps0"), HasSubstr("dev eps1")));

  ASSERT_TRUE(shell("ip link del eps1"));
  reconcile();
  EXPECT_THAT(output_of("ip rule; ip -6 rule"), Not(HasSubstr("from 192.168.43.7"))) << "nobody needs it";
  EXPECT_THAT(output_of("ip -6 rule"), Not(HasSubstr("from fd43::7")));
}

TEST_F(LinkTwinsTest, OfTwoNetworksTheLaterYields) {
  add_twin("eps1", "192.168.43.8/24");
  make_later();
  link_->set_members(
      {{{9}, member("192.168.43.9", "02:00:00:00:00:09")}, {{8}, member("192.168.43.8", "02:00:00:00:00:88")}});
  const auto told = AllOf(HasSubstr("overlaps that of eps1, another EPS network"), HasSubstr("through eps0 only"),
                          HasSubstr("--network"));
  EXPECT_THAT(set_up(config("192.168.43.7", "192.168.43.0/24")).notes, Contains(told));
  const auto report = reconcile();
  EXPECT_THAT(report.notes, IsEmpty()) << "once is enough";
  EXPECT_THAT(report.troubles, ElementsAre(told));
  EXPECT_TRUE(link_->collides());
  EXPECT_THAT(way("192.168.43.9"), HasSubstr("dev eps0"));
  EXPECT_THAT(way("192.168.43.20"), HasSubstr("dev eps1"));
  EXPECT_THAT(way("192.168.43.20", "192.168.43.7"), HasSubstr("dev eps0"));
  EXPECT_THAT(way("192.168.43.8"), HasSubstr("dev lo")) << "an address of this computer";

  ASSERT_TRUE(shell("ip link del eps1"));
  EXPECT_THAT(reconcile().notes, Contains(HasSubstr("all of it is reached through eps0")));
  EXPECT_THAT(reconcile().troubles, IsEmpty());
  EXPECT_THAT(way("192.168.43.20"), HasSubstr("dev eps0"));
  EXPECT_THAT(output_of("ip route show dev eps0"), Not(HasSubstr("192.168.43.9")));
}

TEST_F(LinkTwinsTest, OfTwoNetworksTheEarlierStaysAndTellsIt) {
  add_twin("eps1", "192.168.43.8/25");
  set_up(config("192.168.43.7", "192.168.43.0/24"));
  EXPECT_THAT(reconcile().troubles, ElementsAre(HasSubstr("a member there goes before one here")));
  EXPECT_THAT(output_of("ip route show dev eps0"), HasSubstr("192.168.43.0/24"));
  EXPECT_THAT(way("192.168.43.20", "192.168.43.7"), HasSubstr("dev eps0"));
}

TEST_F(LinkTwinsTest, TwoNetworksMayGiveTheSameAddress) {
  add_twin("eps1", "192.168.43.7/24");
  make_later();
  set_up(config("192.168.43.7", "192.168.43.0/24"));
  EXPECT_THAT(reconcile().troubles, ElementsAre(HasSubstr("Both networks gave this computer 192.168.43.7")));
  EXPECT_THAT(output_of("ip rule"), Not(HasSubstr("from 192.168.43.7"))) << "that is for the earlier one";
}

TEST_F(LinkTwinsTest, RulesOfAClientThatWasKilledAreRemoved) {
  const std::string old = "ip rule add from 192.168.43.99 priority " + std::to_string(kSourcePriority) + " protocol " +
                          std::to_string(kEpsProtocol) + " lookup ";
  add_twin("eps1", "192.168.44.8/24");
  ASSERT_TRUE(shell(old + std::to_string(source_table(99))));
  ASSERT_TRUE(shell(old + std::to_string(source_table(static_cast<int>(::if_nametoindex("eps1"))))));
  set_up(config("192.168.43.7", "192.168.43.0/24"));
  const std::string rules = output_of("ip rule");
  EXPECT_THAT(rules, Not(HasSubstr("lookup " + std::to_string(source_table(99)))));
  EXPECT_THAT(rules, HasSubstr("from 192.168.43.99")) << "that of eps1 is another client's";
}

TEST_F(LinkTwinsTest, AnInterfaceThatIsNotOfEpsIsACollision) {
  add("tap9", "192.168.43.8/24", "tun");
  expect_collision(config("192.168.43.7", "192.168.43.0/24"), "192.168.43.8/24 on tap9");
}

}  // namespace
}  // namespace eps::os
