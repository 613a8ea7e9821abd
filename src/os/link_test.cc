#include "os/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/rtnetlink.h>

#include "base/limits.h"
#include "os/address_monitor.h"
#include "os/netns_fixture.h"
#include "os/tap.h"

namespace eps::os {
namespace {

using ports::LinkConfig;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

LinkConfig config(const char* address, const char* network, const char* mac = "02:11:22:33:44:55") {
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

  void expect_collision(const LinkConfig& wanted, const std::string& with) {
    const Result<void> result = link_->configure(wanted);
    ASSERT_FALSE(result) << with;
    EXPECT_EQ(result.error().code, Errc::in_use);
    EXPECT_THAT(result.error().what, HasSubstr(with));
    EXPECT_THAT(result.error().what, HasSubstr("--network"));
    EXPECT_THAT(output_of("ip -4 addr show eps0"), Not(HasSubstr("inet"))) << "nothing may be changed";
  }

  std::unique_ptr<NetlinkLink> link_;
};

TEST_F(LinkTest, SetsAllOfTheConfiguration) {
  must(link_->configure(config("192.168.43.7", "192.168.43.0/24")));
  const std::string link = output_of("ip -d link show eps0");
  EXPECT_THAT(link, HasSubstr("02:11:22:33:44:55"));
  EXPECT_THAT(link, HasSubstr("mtu 1400"));
  EXPECT_THAT(link, HasSubstr("UP"));
  EXPECT_THAT(link, HasSubstr("qlen " + std::to_string(kTxQueueLength)));
  EXPECT_THAT(link, HasSubstr("addrgenmode eui64"));
  EXPECT_THAT(output_of("ip -4 addr show eps0"),
              HasSubstr("inet 192.168.43.7/24 brd 192.168.43.255 scope global eps0"));
  EXPECT_THAT(output_of("ip -4 route"), HasSubstr("192.168.43.0/24 dev eps0 proto kernel scope link src 192.168.43.7"));
}

TEST_F(LinkTest, TheLinkLocalAddressComesFromTheMac) {
  const auto tap = must(LinuxTap::open("eps0"));  // without a reader the interface has no carrier, and gets none
  ASSERT_TRUE(shell("ip link set eps0 addrgenmode none"));
  must(link_->configure(config("192.168.43.7", "192.168.43.0/24")));
  EXPECT_THAT(output_of("ip -6 addr show eps0"), HasSubstr("fe80::11:22ff:fe33:4455/64"));
  must(link_->configure(config("192.168.43.7", "192.168.43.0/24", "02:aa:00:00:00:01")));
  const std::string addresses = output_of("ip -6 addr show eps0");
  EXPECT_THAT(addresses, HasSubstr("fe80::aa:ff:fe00:1/64"));
  EXPECT_THAT(addresses, Not(HasSubstr("4455")));
  EXPECT_THAT(output_of("ip -4 route"), HasSubstr("192.168.43.0/24 dev eps0"));
}

TEST_F(LinkTest, AnMtuTooSmallForIpv6IsNoObstacle) {
  const auto tap = must(LinuxTap::open("eps0"));
  LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  wanted.mtu = kMinMtu;
  must(link_->configure(wanted));
  EXPECT_THAT(output_of("ip link show eps0"), HasSubstr("mtu 576"));
  wanted.mtu = kMaxMtu;
  must(link_->configure(wanted));
  EXPECT_THAT(output_of("ip link show eps0"), HasSubstr("mtu 9000"));
}

TEST_F(LinkTest, TheSameConfigurationAgainChangesNothing) {
  const LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  must(link_->configure(wanted));
  const auto monitor = must(AddressMonitor::open());
  // The kernel may still have something to say of the first time.
  bool quiet = false;
  for (int i = 0; i < 3 && !quiet; ++i) {
    ::usleep(50000);
    monitor->drain();
    must(link_->configure(wanted));
    quiet = !monitor->drain();
  }
  EXPECT_TRUE(quiet);
}

TEST_F(LinkTest, AnotherConfigurationReplacesTheFirst) {
  must(link_->configure(config("192.168.43.7", "192.168.43.0/24")));
  ASSERT_TRUE(shell("ip addr add 192.168.43.8/24 dev eps0"));  // a secondary: goes with its primary
  must(link_->configure(config("192.168.43.8", "192.168.43.0/24", "02:00:00:00:00:09")));
  std::string addresses = output_of("ip -4 addr show eps0");
  EXPECT_THAT(addresses, HasSubstr("192.168.43.8/24"));
  EXPECT_THAT(addresses, Not(HasSubstr("192.168.43.7")));
  must(link_->configure(config("10.8.1.2", "10.8.0.0/16", "02:00:00:00:00:09")));
  addresses = output_of("ip -4 addr show eps0");
  EXPECT_THAT(addresses, HasSubstr("10.8.1.2/16"));
  EXPECT_THAT(addresses, Not(HasSubstr("192.168")));
  EXPECT_THAT(output_of("ip -4 route"), Not(HasSubstr("192.168")));
  EXPECT_THAT(output_of("ip -4 route"), HasSubstr("10.8.0.0/16 dev eps0"));
}

TEST_F(LinkTest, PutsARemovedRouteBack) {
  const LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  must(link_->configure(wanted));
  ASSERT_TRUE(shell("ip route del 192.168.43.0/24"));
  must(link_->configure(wanted));
  EXPECT_THAT(output_of("ip -4 route"), HasSubstr("192.168.43.0/24 dev eps0 proto kernel scope link src 192.168.43.7"));
}

TEST_F(LinkTest, RefusesANetworkThatAnotherInterfaceHas) {
  add("eth0", "192.168.43.7/24");
  ASSERT_TRUE(shell("ip route add 10.20.0.0/16 via 192.168.43.1"));
  expect_collision(config("192.168.43.9", "192.168.43.0/24"), "192.168.43.7/24 on eth0");
  expect_collision(config("192.168.0.9", "192.168.0.0/16"), "192.168.43.7/24 on eth0");
  expect_collision(config("192.168.43.130", "192.168.43.128/25"), "192.168.43.7/24 on eth0");
  expect_collision(config("10.20.30.40", "10.20.30.0/24"), "10.20.0.0/16 on eth0");
  must(link_->configure(config("192.168.44.9", "192.168.44.0/24")));
}

TEST_F(LinkTest, ASecondMemberOnOneComputerIsNoCollision) {
  add("eps1", "192.168.43.8/24", "tun");
  must(link_->configure(config("192.168.43.7", "192.168.43.0/24")));
}

TEST_F(LinkTest, AnotherTapWithHalfOfTheNetworkIsOne) {
  add("eps1", "192.168.43.8/25", "tun");
  expect_collision(config("192.168.43.7", "192.168.43.0/24"), "192.168.43.8/25 on eps1");
}

TEST_F(LinkTest, SeesMultipathAndPointToPointToo) {
  add("eth0", "192.168.1.7/24");
  add("eth1", "10.9.0.1 peer 10.77.0.2/32");
  ASSERT_TRUE(shell("ip route add 10.20.0.0/16 nexthop via 192.168.1.1 nexthop via 192.168.1.2"));
  expect_collision(config("10.20.0.9", "10.20.0.0/16"), "10.20.0.0/16 on eth0");
  expect_collision(config("10.77.0.9", "10.77.0.0/24"), "on eth1");
  expect_collision(config("10.9.0.9", "10.9.0.0/24"), "on eth1");
}

TEST_F(LinkTest, ADefaultRouteIsNoCollision) {
  add("eth0", "192.168.1.7/24");
  ASSERT_TRUE(shell("ip route add default via 192.168.1.1"));
  ASSERT_TRUE(shell("ip route add 0.0.0.0/1 via 192.168.1.1 && ip route add 128.0.0.0/1 via 192.168.1.1"));
  ASSERT_TRUE(shell("ip route add unreachable 192.168.0.0/16"));
  must(link_->configure(config("192.168.43.7", "192.168.43.0/24")));
}

TEST_F(LinkTest, LocalAddressesAreThoseOthersCouldReach) {
  add("eth0", "192.0.2.1/24");
  ASSERT_TRUE(shell("ip addr add 2001:db8::1/64 dev eth0 nodad && ip addr add 169.254.3.4/16 dev eth0"));
  ASSERT_TRUE(shell("ip addr add 2001:db8::2/64 dev eth0 nodad preferred_lft 0 valid_lft 1000"));
  add("br-lan", "192.0.3.1/24", "bridge");
  ASSERT_TRUE(
      shell("ip link add lan type veth peer name lan-p && ip link set lan master br-lan && ip link set lan up && "
            "ip link set lan-p up && ip route add default via 192.0.3.9"));
  add("br-vms", "192.0.4.1/24", "bridge");
  ASSERT_TRUE(shell("ip link set eth0-p master br-vms"));
  add("docker0", "172.17.0.1/16", "bridge");
  add("docker0l", "172.18.0.1/16");  // no bridge: somebody's choice of a name
  ASSERT_TRUE(
      shell("ip link add leg type veth peer name leg-p && ip link set leg master docker0 && "
            "ip link set leg up && ip link set leg-p up"));
  add("eth1", "198.51.100.1/24");
  ASSERT_TRUE(shell("ip link set eth1 down"));
  add("eth2", "198.51.101.1/24");
  pull_cable("eth2");
  must(link_->configure(config("192.168.43.7", "192.168.43.0/24")));
  ASSERT_TRUE(shell("ip addr add 192.168.43.99/32 dev lo"));
  EXPECT_THAT(link_->local_addresses(), UnorderedElementsAre(*parse_ip("192.0.2.1"), *parse_ip("2001:db8::1"),
                                                             *parse_ip("192.0.3.1"), *parse_ip("172.18.0.1")));
}

TEST_F(LinkTest, TheInterfaceMayGetAnotherName) {
  add("eth0", "192.0.2.1/24");
  must(link_->configure(config("192.168.43.7", "192.168.43.0/24")));
  ASSERT_TRUE(shell("ip link set eps0 down && ip link set eps0 name work && ip link set work up"));
  must(link_->configure(config("192.168.43.8", "192.168.43.0/24")));
  EXPECT_THAT(output_of("ip -4 addr show work"), HasSubstr("inet 192.168.43.8/24"));
  EXPECT_THAT(link_->local_addresses(), UnorderedElementsAre(*parse_ip("192.0.2.1")));
}

TEST_F(LinkTest, AMissingInterfaceIsSaid) {
  const Result<void> result = must(NetlinkLink::open("none0"))->configure(config("192.168.43.7", "192.168.43.0/24"));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::not_found);
  EXPECT_THAT(result.error().what, HasSubstr("none0"));
}

TEST_F(LinkTest, TheMonitorTellsOfChanges) {
  const auto monitor = must(AddressMonitor::open());
  EXPECT_FALSE(readable(monitor->fd(), 0));
  EXPECT_FALSE(monitor->drain());
  for (const char* change : {"ip link add eth0 type veth", "ip link set eth0 up", "ip addr add 192.0.2.1/24 dev eth0",
                             "ip route add 198.51.100.0/24 dev lo", "ip -6 addr add 2001:db8::1/64 dev lo"}) {
    ASSERT_TRUE(shell(change));
    EXPECT_TRUE(readable(monitor->fd())) << change;
    ::usleep(20000);
    EXPECT_TRUE(monitor->drain()) << change;
    EXPECT_FALSE(readable(monitor->fd(), 0));
  }
}

Interface interface(int index, const std::string& name, const std::string& kind, int master = 0) {
  Interface out;
  out.index = index;
  out.name = name;
  out.kind = kind;
  out.master = master;
  return out;
}

TEST(ContainerBridge, IsToldByKindAndName) {
  const std::vector<Interface> all = {interface(2, "eth0", "", 1)};
  for (const char* name : {"docker0", "virbr0", "lxcbr0", "cni0", "podman1", "br-0123456789ab"}) {
    EXPECT_TRUE(is_container_bridge(interface(1, name, "bridge"), all, {})) << name;
    EXPECT_FALSE(is_container_bridge(interface(1, name, "veth"), all, {})) << name;
  }
  for (const char* name : {"br0", "br-lan", "eth0", "br-guest"}) {
    EXPECT_FALSE(is_container_bridge(interface(1, name, "bridge"), all, {})) << name;
  }
}

TEST(ContainerBridge, IsToldByItsPorts) {
  const Interface bridge = interface(1, "lab", "bridge");
  const Interface veth = interface(3, "veth1", "veth", 1), tap = interface(4, "vnet0", "tun", 1);
  EXPECT_TRUE(is_container_bridge(bridge, {bridge, veth, tap, interface(2, "eth0", "")}, {}));
  EXPECT_FALSE(is_container_bridge(bridge, {bridge, veth, interface(2, "eth0", "", 1)}, {})) << "a port to the outside";
  Route out;
  out.index = 1;
  out.table = RT_TABLE_MAIN;
  EXPECT_FALSE(is_container_bridge(bridge, {bridge, veth}, {out})) << "the way out, as inside a container";
  out.to = *parse_ip4_network("10.1.0.0/16");
  EXPECT_TRUE(is_container_bridge(bridge, {bridge, veth}, {out}));
}

class GatewayTest : public LinkTest {
 protected:
  std::optional<Gateway> gateway() {
    auto socket = must(NetlinkSocket::open());
    return default_gateway(socket);
  }
};

TEST_F(GatewayTest, IsTheRouterOfThePreferredRoute) {
  EXPECT_EQ(gateway(), std::nullopt);
  add("eth0", "192.168.1.7/24");
  add("eth1", "10.1.1.9/24");
  EXPECT_EQ(gateway(), std::nullopt);
  ASSERT_TRUE(shell("ip route add default via 192.168.1.1 metric 200"));
  const auto first = gateway();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->router, *parse_ip4("192.168.1.1"));
  EXPECT_EQ(first->local, *parse_ip4("192.168.1.7"));
  ASSERT_TRUE(shell("ip route add default via 10.1.1.1 metric 100"));
  EXPECT_EQ(gateway()->router, *parse_ip4("10.1.1.1"));
  pull_cable("eth1");
  EXPECT_EQ(gateway(), first);
}

TEST_F(GatewayTest, IsNotBehindATunnel) {
  add("vpn0", "10.1.1.9/24", "tun");
  ASSERT_TRUE(shell("ip route add default via 10.1.1.1"));
  EXPECT_EQ(gateway(), std::nullopt);
  ASSERT_TRUE(shell("ip route replace default dev vpn0"));
  EXPECT_EQ(gateway(), std::nullopt);
}

}  // namespace
}  // namespace eps::os
