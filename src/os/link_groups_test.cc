// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "os/link.h"
#include "os/netns_fixture.h"
#include "os/tap.h"

namespace eps::os {
namespace {

using LinkGroupsTest = NetnsTest;

TEST_F(LinkGroupsTest, KnowsWhichMulticastTheKernelTakes) {
  const auto tap = must(LinuxTap::open("eps0"));
  const auto link = must(NetlinkLink::open("eps0"));
  must(link->configure(
      {*parse_mac("02:11:22:33:44:55"), *parse_ip4("192.168.43.7"), *parse_ip4_network("192.168.43.0/24"), 1400}));
  const Mac group = *parse_mac("01:00:5e:01:02:03");
  GroupFilter filter = link->group_filter();
  EXPECT_FALSE(filter.all);
  EXPECT_TRUE(filter.takes(*parse_mac("01:00:5e:00:00:01"))) << "all systems";
  EXPECT_FALSE(filter.takes(group));
  ASSERT_TRUE(shell("ip maddress add 01:00:5e:01:02:03 dev eps0"));
  filter = link->group_filter();
  EXPECT_TRUE(!filter.all && filter.takes(group));
  ASSERT_TRUE(shell("ip link set eps0 allmulticast on"));
  EXPECT_TRUE(link->group_filter().all);
  ASSERT_TRUE(shell("ip link set eps0 allmulticast off"));
  EXPECT_FALSE(link->group_filter().all);
  ASSERT_TRUE(shell("ip link add br0 type bridge && ip link set eps0 master br0"));
  EXPECT_TRUE(link->group_filter().all) << "what is behind a bridge decides for itself";
}

}  // namespace
}  // namespace eps::os
