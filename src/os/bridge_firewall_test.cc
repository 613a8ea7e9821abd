// SPDX-License-Identifier: MIT
#include "os/bridge_firewall.h"

#include <gtest/gtest.h>

#include "os/netns_fixture.h"

namespace eps::os {
namespace {

class BridgeFirewallTest : public NetnsTest {
 protected:
  void SetUp() override {
    NetnsTest::SetUp();
    if (IsSkipped()) return;
    if (!sysctl("net/bridge/bridge-nf-call-iptables", "1") || !sysctl("net/bridge/bridge-nf-call-ip6tables", "1")) {
      GTEST_SKIP() << "this kernel has no br_netfilter, so no bridge shows the firewall anything";
    }
    ASSERT_TRUE(shell("nft list ruleset")) << "no working `nft` (package nftables)";
  }
  static void rule(const std::string& text) { ASSERT_TRUE(shell("nft '" + text + "'")) << text; }
};

TEST_F(BridgeFirewallTest, NamesTheChainThatDropsByItsPolicy) {
  BridgeFirewall firewall;
  EXPECT_EQ(firewall.dropping_chain(4), "");
  rule("add table ip filter");
  rule("add chain ip filter INPUT { type filter hook input priority 0; policy drop; }");
  rule("add chain ip filter FORWARD { type filter hook forward priority 0; policy accept; }");
  rule("add chain ip filter DOCKER");
  EXPECT_EQ(firewall.dropping_chain(4), "");
  rule("add chain ip filter FORWARD { policy drop; }");
  EXPECT_EQ(firewall.dropping_chain(4), "ip filter FORWARD");
  EXPECT_EQ(firewall.dropping_chain(6), "");
  ASSERT_TRUE(sysctl("net/bridge/bridge-nf-call-iptables", "0"));
  EXPECT_EQ(firewall.dropping_chain(4), "") << "bridged packets do not pass it";
}

TEST_F(BridgeFirewallTest, OneChainMayServeBothVersions) {
  BridgeFirewall firewall;
  rule("add table inet guard");
  rule("add chain inet guard through { type filter hook forward priority 0; policy drop; }");
  EXPECT_EQ(firewall.dropping_chain(4), "inet guard through");
  EXPECT_EQ(firewall.dropping_chain(6), "inet guard through");
  rule("delete table inet guard");
  rule("add table ip6 filter");
  rule("add chain ip6 filter FORWARD { type filter hook forward priority 0; policy drop; }");
  EXPECT_EQ(firewall.dropping_chain(4), "");
  EXPECT_EQ(firewall.dropping_chain(6), "ip6 filter FORWARD");
}

}  // namespace
}  // namespace eps::os
