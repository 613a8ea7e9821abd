// SPDX-License-Identifier: MIT
#pragma once

// An EPS interface, eps0, in a network namespace of its own.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "os/link.h"
#include "os/netns_fixture.h"

namespace eps::os {

inline ports::LinkConfig config(const char* address, const char* network, const char* mac = "02:11:22:33:44:55") {
  return {*parse_mac(mac), *parse_ip4(address), *parse_ip4_network(network), 1400};
}

class LinkTest : public NetnsTest {
 protected:
  void SetUp() override {
    NetnsTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(shell("ip tuntap add eps0 mode tap"));
    link_ = must(NetlinkLink::open("eps0"));
  }

  // An interface with addresses, up.
  static void add(const std::string& name, const std::string& address, const std::string& kind = "veth") {
    const std::string type = kind == "veth" ? " type veth peer name " + name + "-p" : " type " + kind;
    const std::string made = kind == "tun" ? "ip tuntap add " + name + " mode tap" : "ip link add " + name + type;
    ASSERT_TRUE(shell(made + " && ip link set " + name + " up"));
    if (kind == "veth") {
      ASSERT_TRUE(shell("ip link set " + name + "-p up"));
      expect_carrier(name, true);
    }
    ASSERT_TRUE(
        shell("ip addr add " + address + " dev " + name + (address.find(':') == std::string::npos ? "" : " nodad")));
  }
  static void pull_cable(const std::string& name) {
    ASSERT_TRUE(shell("ip link set " + name + "-p down"));
    expect_carrier(name, false);
  }
  // The kernel notices in its own time.
  static void expect_carrier(const std::string& name, bool there) {
    for (int i = 0; i < 200; ++i, ::usleep(5000)) {
      if ((output_of("ip link show " + name).find("NO-CARRIER") == std::string::npos) == there) return;
    }
    FAIL() << name << (there ? " is not connected" : " is still connected");
  }

  NetlinkLink::Report set_up(const ports::LinkConfig& wanted) {
    must(link_->configure(wanted));
    return reconcile();
  }
  NetlinkLink::Report reconcile() { return link_->reconcile(now_ += std::chrono::milliseconds(100)); }

  void expect_collision(const ports::LinkConfig& wanted, const std::string& with) {
    link_ = must(NetlinkLink::open("eps0"));
    const auto report = set_up(wanted);
    ASSERT_THAT(report.notes,
                testing::Contains(testing::AllOf(testing::HasSubstr(with), testing::HasSubstr("--network"))));
    ASSERT_THAT(report.troubles, testing::Contains(testing::HasSubstr(with)));
    EXPECT_THAT(output_of("ip -4 route show dev eps0"), testing::Not(testing::HasSubstr(to_string(wanted.network))))
        << "it yields";
  }

  std::vector<std::string> addresses() {
    std::vector<std::string> out;
    for (const IpAddress& ip : reconcile().underlay.addresses) out.push_back(to_string(ip));
    return out;
  }

  Instant now_{std::chrono::hours(1)};
  std::unique_ptr<NetlinkLink> link_;
};

}  // namespace eps::os
