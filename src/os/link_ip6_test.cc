// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/link.h"
#include "os/netns_fixture.h"
#include "os/tap.h"

namespace eps::os {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

using LinkIp6Test = NetnsTest;

TEST_F(LinkIp6Test, TheRoutesOfTheAddressesAreSetRight) {
  const auto tap = must(LinuxTap::open("eps0"));
  const auto link = must(NetlinkLink::open("eps0"));
  must(link->configure({*parse_mac("02:11:22:33:44:55"), *parse_ip4("192.168.43.7"),
                        *parse_ip4_network("192.168.43.0/24"), 1400, *parse_ip("fd43::11:22ff:fe33:4455")}));
  Instant now{std::chrono::hours(1)};
  ASSERT_TRUE(shell("ip addr add fe80::1/64 dev eps0 nodad"));
  EXPECT_THAT(link->reconcile(now).notes, IsEmpty());
  ASSERT_TRUE(shell("ip -6 route flush dev eps0"));
  EXPECT_THAT(link->reconcile(now += std::chrono::seconds(2)).notes,
              UnorderedElementsAre(HasSubstr("route to fd43::/64 was gone"), HasSubstr("route to fe80::/64 was gone")));
  EXPECT_THAT(output_of("ip -6 route show dev eps0"),
              AllOf(HasSubstr("fd43::/64 proto kernel metric 256"), HasSubstr("fe80::/64 proto kernel metric 256")));
  EXPECT_THAT(link->reconcile(now).notes, IsEmpty());
}

TEST_F(LinkIp6Test, TheAddressIsBackOnceTheInterfaceTakesIpv6Again) {
  const auto tap = must(LinuxTap::open("eps0"));
  const auto link = must(NetlinkLink::open("eps0"));
  must(link->configure({*parse_mac("02:11:22:33:44:55"), *parse_ip4("192.168.43.7"),
                        *parse_ip4_network("192.168.43.0/24"), 1400, *parse_ip("fd43::11:22ff:fe33:4455")}));
  Instant now{std::chrono::hours(1)};
  const auto reconcile = [&] { return link->reconcile(now += std::chrono::seconds(2)); };
  const auto six = [] { return output_of("ip -6 addr show eps0"); };
  const std::string disabled = " > /proc/sys/net/ipv6/conf/";
  const struct {
    std::string off, on;
    bool told;  // the cause; a switch says itself what it is for
  } changes[] = {
      {"ip link set eps0 mtu 1279", "ip link set eps0 mtu 1400", true},
      {"echo 1" + disabled + "eps0/disable_ipv6", "echo 0" + disabled + "eps0/disable_ipv6", false},
      {"echo 1" + disabled + "all/disable_ipv6", "echo 0" + disabled + "all/disable_ipv6", false},
  };
  for (const auto& [off, on, told] : changes) {
    ASSERT_TRUE(shell(off));
    const auto gone = reconcile();
    if (told) {
      EXPECT_THAT(gone.notes, ElementsAre(HasSubstr("an MTU of 1279, and IPv6 needs 1280")));
      EXPECT_EQ(reconcile().troubles, gone.notes);
    } else {
      EXPECT_THAT(gone.notes, IsEmpty()) << off << ": nothing was set right";
    }
    EXPECT_THAT(reconcile().notes, IsEmpty()) << "not told again";
    EXPECT_THAT(six(), Not(HasSubstr("fd43::"))) << off;
    ASSERT_TRUE(shell(on));
    EXPECT_THAT(reconcile().notes, IsEmpty()) << on;
    EXPECT_THAT(six(), HasSubstr("fd43::11:22ff:fe33:4455/64")) << on;
    const auto back = reconcile();
    EXPECT_THAT(back.notes, IsEmpty()) << on;
    EXPECT_THAT(back.troubles, IsEmpty()) << on;
  }
}

}  // namespace
}  // namespace eps::os
