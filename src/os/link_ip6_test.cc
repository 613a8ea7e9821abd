// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/link.h"
#include "os/netns_fixture.h"
#include "os/tap.h"

namespace eps::os {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
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

}  // namespace
}  // namespace eps::os
