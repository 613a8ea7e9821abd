// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/link.h"
#include "os/link_fixture.h"
#include "os/netns_fixture.h"
#include "os/tap.h"

namespace eps::os {
namespace {

using ports::LinkConfig;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(LinkTest, IsKeptInTheConfiguredBridge) {
  link_ = must(NetlinkLink::open("eps0", "br0"));
  const LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  EXPECT_THAT(set_up(wanted).troubles, Contains(HasSubstr("There is no bridge br0")));
  EXPECT_THAT(output_of("ip addr show eps0"), HasSubstr("192.168.43.7/24"));
  EXPECT_EQ(reconcile().address_on, "eps0");
  const auto expect_in_the_bridge = [] {
    EXPECT_THAT(output_of("ip link show eps0"), HasSubstr("master br0"));
    EXPECT_THAT(output_of("ip -4 addr show eps0"), Not(HasSubstr("inet")));
    EXPECT_THAT(output_of("ip -4 addr show br0"), HasSubstr("192.168.43.7/24"));
    EXPECT_THAT(output_of("ip route"), HasSubstr("192.168.43.0/24 dev br0"));
  };
  ASSERT_TRUE(shell("ip link add br0 type bridge && ip link set br0 up"));
  NetlinkLink::Report report = reconcile();
  EXPECT_THAT(report.notes, IsEmpty());
  EXPECT_THAT(report.troubles, IsEmpty());
  expect_in_the_bridge();
  EXPECT_EQ(reconcile().address_on, "br0");
  EXPECT_THAT(set_up(wanted).notes, IsEmpty());
  expect_in_the_bridge();

  ASSERT_TRUE(shell("ip link set eps0 nomaster && ip addr flush dev br0"));
  EXPECT_THAT(reconcile().notes, AllOf(Contains(HasSubstr("no port of br0")), Contains(HasSubstr("was gone"))));
  expect_in_the_bridge();

  link_->restore();
  EXPECT_THAT(output_of("ip -4 addr show br0"), Not(HasSubstr("inet")));
}

TEST_F(LinkTest, WhatARunThatWasKilledLeftOnABridgeIsRemoved) {
  ASSERT_TRUE(shell("ip link add br0 type bridge && ip link set br0 up"));
  LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  wanted.address6 = *parse_ip("fd43::11:22ff:fe33:4455");
  const auto on_bridge = [] { return output_of("ip addr show br0"); };
  link_ = must(NetlinkLink::open("eps0", "br0"));
  set_up(wanted);
  reconcile();
  ASSERT_THAT(on_bridge(), AllOf(HasSubstr("192.168.43.7/24"), HasSubstr("fd43::11:22ff:fe33:4455/64"),
                                 HasSubstr("fe80::11:22ff:fe33:4455/64")));
  link_.reset();
  ASSERT_TRUE(
      shell("ip tuntap del eps0 mode tap && ip tuntap add eps0 mode tap && ip addr add 192.168.43.250/32 dev br0"));

  link_ = must(NetlinkLink::open("eps0"));
  set_up(wanted);
  EXPECT_THAT(on_bridge(), AllOf(Not(HasSubstr("192.168.43.7/")), Not(HasSubstr("11:22ff:fe33:4455"))));
  EXPECT_THAT(on_bridge(), HasSubstr("192.168.43.250/32")) << "the user's";
  EXPECT_THAT(output_of("ip addr show eps0"),
              AllOf(HasSubstr("192.168.43.7/24"), HasSubstr("fd43::11:22ff:fe33:4455/64")));
}

TEST_F(LinkTest, TheBridgeHasTheLinkLocalAddressOfTheMember) {
  const auto tap = must(LinuxTap::open("eps0"));
  ASSERT_TRUE(shell("ip link add br0 address 02:00:00:00:00:77 type bridge && ip link set br0 up"));
  link_ = must(NetlinkLink::open("eps0", "br0"));
  LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  wanted.address6 = *parse_ip("fd43::11:22ff:fe33:4455");
  const auto six = [] { return output_of("ip -6 addr show br0"); };
  const auto of_bridge = HasSubstr("fe80::ff:fe00:77/64"), of_member = HasSubstr("fe80::11:22ff:fe33:4455/64");
  set_up(wanted);
  reconcile();
  EXPECT_THAT(six(), AllOf(of_bridge, of_member));
  ASSERT_TRUE(shell("ip link set br0 down && ip link set br0 up"));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(reconcile().notes, IsEmpty());
  EXPECT_THAT(six(), of_member);

  wanted.mac = *parse_mac("02:11:22:33:44:66");
  wanted.address6 = *parse_ip("fd43::11:22ff:fe33:4466");
  set_up(wanted);
  reconcile();
  EXPECT_THAT(six(), AllOf(HasSubstr("fe80::11:22ff:fe33:4466/64"), Not(of_member)));

  link_ = must(NetlinkLink::open("eps0", "br0"));  // after a run that was killed
  set_up(wanted);
  reconcile();
  link_->restore();
  EXPECT_THAT(six(), AllOf(of_bridge, Not(HasSubstr("4466"))));
}

TEST_F(LinkTest, ItsOwnAddressOnABridgeIsNoOtherNetwork) {
  ASSERT_TRUE(
      shell("ip link add br0 type bridge && ip link set br0 up && ip addr add 192.168.43.7/24 dev br0 && "
            "ip addr add fd43::11:22ff:fe33:4455/64 dev br0 nodad"));
  LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  wanted.address6 = *parse_ip("fd43::11:22ff:fe33:4455");
  const auto tap = must(LinuxTap::open("eps0"));  // IPv6 makes its routes with a carrier
  const auto told = [](const char* address) {
    return AllOf(HasSubstr(std::string("also on another interface, ") + address + " on br0: "),
                 HasSubstr(std::string("ip addr del ") + address + " dev br0"),
                 HasSubstr("ip link set eps0 master br0"), Not(HasSubstr("--network")));
  };
  const auto both = ElementsAre(told("192.168.43.7/24"), told("fd43::11:22ff:fe33:4455/64"));
  link_->set_members({{{9}, NetlinkLink::Neighbour{*parse_ip4("192.168.43.9"), *parse_mac("02:00:00:00:00:09")}}});
  auto report = set_up(wanted);
  EXPECT_THAT(report.notes, both);
  EXPECT_THAT(report.troubles, both);
  const auto routes = [] { return output_of("ip route") + output_of("ip -6 route"); };
  EXPECT_THAT(routes(), AllOf(HasSubstr("192.168.43.9 dev eps0"), HasSubstr("fd43::ff:fe00:9 dev eps0")));

  ASSERT_TRUE(shell("ip link set eps0 master br0"));
  reconcile();
  report = reconcile();
  EXPECT_THAT(report.notes, IsEmpty());
  EXPECT_THAT(report.troubles, IsEmpty());
  EXPECT_FALSE(link_->collides());
  EXPECT_EQ(report.address_on, "br0");
  EXPECT_THAT(output_of("ip addr show eps0"), AllOf(Not(HasSubstr("inet 192")), Not(HasSubstr("inet6 fd43"))));
  EXPECT_THAT(output_of("ip addr show br0"),
              AllOf(HasSubstr("192.168.43.7/24"), HasSubstr("fd43::11:22ff:fe33:4455/64")));
  EXPECT_THAT(routes(), AllOf(HasSubstr("192.168.43.0/24 dev br0"), HasSubstr("fd43::/64 dev br0"),
                              Not(HasSubstr("192.168.43.0/24 dev eps0")), Not(HasSubstr("fd43::/64 dev eps0")),
                              Not(HasSubstr("192.168.43.9")), Not(HasSubstr("fd43::ff:fe00:9"))));
}

}  // namespace
}  // namespace eps::os
