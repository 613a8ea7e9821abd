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

TEST_F(LinkIp6Test, IfAnotherNetworkHasTheAddressesOnlyMembersAreRouted) {
  const auto tap = must(LinuxTap::open("eps0"));
  const auto link = must(NetlinkLink::open("eps0"));
  const auto member = [](const char* ip, const char* mac) {
    return NetlinkLink::Neighbour{*parse_ip4(ip), *parse_mac(mac)};
  };
  link->set_members({{{1}, member("192.168.43.1", "02:00:00:00:00:01")},
                     {{7}, member("192.168.43.7", "02:11:22:33:44:55")},
                     {{9}, member("192.168.43.9", "02:00:00:00:00:09")}});
  must(link->configure({*parse_mac("02:11:22:33:44:55"), *parse_ip4("192.168.43.7"),
                        *parse_ip4_network("192.168.43.0/24"), 1400, *parse_ip("fd43::11:22ff:fe33:4455")}));
  Instant now{std::chrono::hours(1)};
  const auto reconcile = [&] { return link->reconcile(now += std::chrono::seconds(2)); };
  const auto way_to = [](const std::string& ip) { return output_of("ip route get " + ip); };
  reconcile();
  EXPECT_FALSE(link->collides());
  ASSERT_TRUE(
      shell("ip link add eth0 type veth peer name eth0-p && ip link set eth0 up && ip link set eth0-p up && "
            "ip addr add fd43::50/64 dev eth0 nodad && ip route add default via fd43::ff:fe00:1 dev eth0"));
  EXPECT_THAT(reconcile().notes, ElementsAre(HasSubstr("fd43::/64 overlaps fd43::50/64 on eth0")));
  EXPECT_TRUE(link->collides());
  EXPECT_THAT(way_to("fd43::ff:fe00:1"), HasSubstr("dev eth0")) << "the gateway takes precedence over a member";
  EXPECT_THAT(way_to("fd43::60"), HasSubstr("dev eth0"));
  EXPECT_THAT(way_to("fd43::ff:fe00:9"), AllOf(HasSubstr("dev eps0"), HasSubstr("src fd43::11:22ff:fe33:4455")));
  auto report = reconcile();
  EXPECT_THAT(report.notes, IsEmpty());
  EXPECT_THAT(report.troubles, ElementsAre(HasSubstr("only the members themselves are reached through eps0")));
  link->set_members({{{10}, member("192.168.43.10", "02:00:00:00:00:10")}});
  reconcile();
  EXPECT_THAT(way_to("fd43::ff:fe00:9"), HasSubstr("dev eth0"));
  EXPECT_THAT(way_to("fd43::ff:fe00:10"), HasSubstr("dev eps0"));
  ASSERT_TRUE(shell("ip -6 addr flush dev eth0 scope global"));
  report = reconcile();
  EXPECT_THAT(report.notes, ElementsAre(HasSubstr("Nothing else has addresses of the EPS network fd43::/64")));
  EXPECT_THAT(report.troubles, IsEmpty());
  EXPECT_FALSE(link->collides());
  EXPECT_THAT(output_of("ip -6 route show dev eps0"),
              AllOf(HasSubstr("fd43::/64 proto kernel metric 256"), Not(HasSubstr("fd43::ff:fe00:10"))));
}

}  // namespace
}  // namespace eps::os
