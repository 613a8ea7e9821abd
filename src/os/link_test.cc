// SPDX-License-Identifier: MIT
#include "os/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "base/limits.h"
#include "os/address_monitor.h"
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
  EXPECT_THAT(output_of("ip link show eps0"), HasSubstr("mtu " + std::to_string(kMaxMtu)));
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
    quiet = monitor->drain() == AddressMonitor::News::none;
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

TEST_F(LinkTest, AnAddressThatAnEarlierLifeLeftIsReplaced) {
  ASSERT_TRUE(shell("ip addr add 192.168.43.99/24 dev eps0 && ip addr add 10.1.1.1/24 dev eps0"));
  must(link_->configure(config("192.168.43.7", "192.168.43.0/24")));
  const std::string addresses = output_of("ip -4 addr show eps0");
  EXPECT_THAT(addresses, Not(HasSubstr("192.168.43.99")));
  EXPECT_THAT(addresses, HasSubstr("192.168.43.7/24"));
  EXPECT_THAT(addresses, HasSubstr("10.1.1.1/24")) << "the user's";
}

TEST_F(LinkTest, UserSettingsStay) {
  const LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  set_up(wanted);
  ASSERT_TRUE(
      shell("ip link set eps0 mtu 1280 txqueuelen 2000 && ip addr add 10.99.0.1/24 dev eps0 && "
            "ip addr add 192.168.43.250/24 dev eps0 && ip route add 10.98.0.0/16 via 192.168.43.9"));
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(set_up(wanted).notes, IsEmpty());
    const std::string link = output_of("ip addr show eps0");
    for (const char* kept : {"mtu 1280", "qlen 2000", "10.99.0.1/24", "192.168.43.250/24", "192.168.43.7/24"}) {
      EXPECT_THAT(link, HasSubstr(kept));
    }
    EXPECT_THAT(output_of("ip -4 route"), HasSubstr("10.98.0.0/16 via 192.168.43.9"));
  }
  LinkConfig larger = wanted;
  larger.mtu = 1500;
  set_up(larger);
  EXPECT_THAT(output_of("ip link show eps0"), HasSubstr("mtu 1500")) << "the network's own MTU has changed";
}

TEST_F(LinkTest, RepairsWhatOthersChange) {
  const LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  EXPECT_THAT(set_up(wanted).notes, IsEmpty());
  const auto as_it_was = [&] {
    EXPECT_THAT(output_of("ip addr show eps0"), AllOf(HasSubstr("192.168.43.7/24"), HasSubstr("02:11:22:33:44:55")));
    EXPECT_THAT(output_of("ip link show eps0"), AllOf(HasSubstr("UP"), Not(HasSubstr("NOARP")), HasSubstr("qlen 500")));
    EXPECT_THAT(output_of("ip -4 route"), HasSubstr("192.168.43.0/24 dev eps0"));
  };
  for (const auto& [change, said] : std::initializer_list<std::pair<const char*, const char*>>{
           {"ip addr flush dev eps0", "192.168.43.7/24"},
           {"ip addr del 192.168.43.7/24 dev eps0", ""},
           {"ip route del 192.168.43.0/24", "route"},
           {"ip link set eps0 down", "down"},
           {"ip link set eps0 address 02:00:00:00:00:01", "02:00:00:00:00:01"},
           {"ip link set eps0 txqueuelen 0", "queue"},
           {"ip link set eps0 arp off", "ARP"}}) {
    ASSERT_TRUE(shell(change)) << change;
    const auto report = reconcile();
    if (*said == 0) {
      EXPECT_THAT(report.notes, IsEmpty()) << "the same repair is not logged again within a minute";
    } else {
      EXPECT_THAT(report.notes, ElementsAre(HasSubstr(said))) << change;
    }
    EXPECT_THAT(report.troubles, ElementsAre(HasSubstr("Another program changed eps0")));
    as_it_was();
    EXPECT_THAT(reconcile().notes, IsEmpty());
  }
}

TEST_F(LinkTest, YieldsForAWhileToAProgramThatKeepsChangingIt) {
  set_up(config("192.168.43.7", "192.168.43.0/24"));
  Instant again = kNever;
  int repaired = 0;
  for (int i = 0; i < 40 && again == kNever; ++i, ++repaired) {
    ASSERT_TRUE(shell("ip addr flush dev eps0"));
    again = reconcile().again;
  }
  EXPECT_LT(repaired, 40);
  EXPECT_GT(again, now_);
  link_->reconcile(now_ = again);
  EXPECT_THAT(output_of("ip -4 addr show eps0"), HasSubstr("192.168.43.7/24"));
}

TEST_F(LinkTest, AnInterfaceMovedToABridgeOrAnotherNamespaceIsLeftAlone) {
  const LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  set_up(wanted);
  ASSERT_TRUE(
      shell("ip link add br0 type bridge && ip link set br0 up && ip link set eps0 master br0 && "
            "ip addr flush dev eps0 && ip addr add 192.168.43.7/24 dev br0"));
  EXPECT_THAT(set_up(wanted).notes, IsEmpty());
  EXPECT_THAT(output_of("ip -4 addr show eps0"), Not(HasSubstr("inet")));
  ASSERT_TRUE(
      shell("ip link del br0 && ip netns add link-test-$$ && ip link set eps0 netns link-test-$$ && "
            "ip netns del link-test-$$"));
  EXPECT_THAT(reconcile().notes, ElementsAre(HasSubstr("no longer in this network namespace")));
  EXPECT_THAT(set_up(wanted).notes, IsEmpty());
}

TEST_F(LinkTest, APortOfABridgeKeepsItsAssignedMac) {
  const LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  set_up(wanted);
  ASSERT_TRUE(
      shell("ip link add br0 type bridge && ip link set br0 up && ip link set eps0 master br0 && "
            "ip addr flush dev eps0 && ip link set eps0 address 02:00:00:00:00:99"));
  EXPECT_THAT(reconcile().notes, IsEmpty());
  EXPECT_THAT(set_up(wanted).notes, IsEmpty());
  EXPECT_THAT(output_of("ip addr show eps0"), AllOf(HasSubstr("02:00:00:00:00:99"), Not(HasSubstr("inet "))));
}

TEST_F(LinkTest, APortOfTheSameBridgeWithALargerMtuIsReported) {
  const LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  set_up(wanted);
  ASSERT_TRUE(
      shell("ip link add br0 type bridge && ip link set br0 up && ip link set eps0 master br0 && "
            "ip link add lan type veth peer name far && ip link set lan mtu 1400 master br0 && ip link set lan up"));
  EXPECT_THAT(reconcile().troubles, IsEmpty());
  ASSERT_TRUE(shell("ip link set lan mtu 1500"));
  const auto lost = HasSubstr("Frames beyond 1400 bytes from lan");
  NetlinkLink::Report report = reconcile();
  EXPECT_THAT(report.notes, ElementsAre(lost));
  EXPECT_THAT(report.troubles, ElementsAre(lost));
  report = reconcile();
  EXPECT_THAT(report.notes, IsEmpty()) << "once";
  EXPECT_THAT(report.troubles, ElementsAre(lost));
  ASSERT_TRUE(shell("ip link set lan nomaster"));
  EXPECT_THAT(reconcile().troubles, IsEmpty());
}

TEST_F(LinkTest, TheIpv6AddressIsSetAndKept) {
  LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  wanted.address6 = *parse_ip("fd43::11:22ff:fe33:4455");
  const auto six = [] { return output_of("ip -6 addr show eps0"); };
  EXPECT_THAT(set_up(wanted).notes, IsEmpty());
  EXPECT_THAT(six(), HasSubstr("fd43::11:22ff:fe33:4455/64"));
  EXPECT_THAT(six(), Not(HasSubstr("tentative"))) << "no detection of duplicates";
  ASSERT_TRUE(shell("ip addr del fd43::11:22ff:fe33:4455/64 dev eps0"));
  EXPECT_THAT(reconcile().notes, ElementsAre(HasSubstr("fd43::11:22ff:fe33:4455 was gone")));
  EXPECT_THAT(six(), HasSubstr("fd43::11:22ff:fe33:4455/64"));
  ASSERT_TRUE(shell("ip link set eps0 down"));
  reconcile();
  reconcile();
  EXPECT_THAT(six(), HasSubstr("fd43::11:22ff:fe33:4455/64"));

  wanted.address6 = *parse_ip("fd44::11:22ff:fe33:4455");
  EXPECT_THAT(set_up(wanted).notes, IsEmpty());
  EXPECT_THAT(six(), AllOf(HasSubstr("fd44::11:22ff:fe33:4455/64"), Not(HasSubstr("fd43::"))));
  ASSERT_TRUE(shell("echo 1 > /proc/sys/net/ipv6/conf/eps0/disable_ipv6"));
  reconcile();
  EXPECT_THAT(reconcile().notes, IsEmpty()) << "not tried again and again";
}

NetlinkLink::Neighbour at(const char* address, const char* mac = "02:00:00:00:00:01") {
  return {*parse_ip4(address), *parse_mac(mac)};
}

TEST_F(LinkTest, IfAnotherNetworkHasTheAddressesOnlyMembersAreRouted) {
  const LinkConfig wanted = config("192.168.43.7", "192.168.43.0/24");
  link_->set_members({{{1}, at("192.168.43.1")}, {{7}, at("192.168.43.7")}, {{9}, at("192.168.43.9")}});
  set_up(wanted);
  add("eth0", "192.168.43.50/24");  // a hotspot
  ASSERT_TRUE(shell("ip route add default via 192.168.43.1 dev eth0"));
  EXPECT_THAT(reconcile().notes, ElementsAre(HasSubstr("overlaps 192.168.43.50/24 on eth0")));
  EXPECT_THAT(output_of("ip route get 192.168.43.1"), HasSubstr("dev eth0"))
      << "the gateway takes precedence over a member";
  EXPECT_THAT(output_of("ip route get 192.168.43.60"), HasSubstr("dev eth0"));
  EXPECT_THAT(output_of("ip route get 192.168.43.9"), AllOf(HasSubstr("dev eps0"), HasSubstr("src 192.168.43.7")));
  EXPECT_THAT(reconcile().notes, IsEmpty());
  EXPECT_THAT(set_up(wanted).notes, IsEmpty()) << "a reconnect changes nothing";
  link_->set_members({{{10}, at("192.168.43.10")}});
  reconcile();
  EXPECT_THAT(output_of("ip route get 192.168.43.9"), HasSubstr("dev eth0"));
  EXPECT_THAT(output_of("ip route get 192.168.43.10"), HasSubstr("dev eps0"));
  ASSERT_TRUE(shell("ip addr flush dev eth0"));
  const auto report = reconcile();
  EXPECT_THAT(report.notes, ElementsAre(HasSubstr("Nothing else has addresses")));
  EXPECT_THAT(report.troubles, IsEmpty());
  EXPECT_THAT(output_of("ip -4 route"), AllOf(HasSubstr("192.168.43.0/24 dev eps0"), Not(HasSubstr("192.168.43.10 "))));
}

TEST_F(LinkTest, AnAddressThatBelongsToAGatewayIsGivenUp) {
  const LinkConfig wanted = config("192.168.43.1", "192.168.43.0/24");
  set_up(wanted);
  ASSERT_TRUE(
      shell("ip link add eth0 type veth peer name eth0-p && ip link set eth0 up && ip link set eth0-p up && "
            "ip addr add 192.168.43.50/24 dev eth0 && ip addr del 192.168.43.1/24 dev eps0 && "
            "ip route add default via 192.168.43.1 dev eth0"));
  EXPECT_THAT(reconcile().notes, Contains(HasSubstr("also the gateway's")));
  set_up(wanted);
  EXPECT_THAT(output_of("ip route get 192.168.43.1"), HasSubstr("dev eth0"));
  ASSERT_TRUE(shell("ip link del eth0"));
  EXPECT_THAT(reconcile().notes, Contains(HasSubstr("used again")));
  EXPECT_THAT(output_of("ip -4 route"), HasSubstr("192.168.43.0/24 dev eps0"));
}

TEST_F(LinkTest, FlushesTheOldMacAddressOfAMember) {
  set_up(config("192.168.43.7", "192.168.43.0/24"));
  link_->set_members(
      {{{9}, at("192.168.43.9", "02:00:00:00:00:09")}, {{10}, at("192.168.43.10", "02:00:00:00:00:10")}});
  ASSERT_TRUE(
      shell("ip neigh add 192.168.43.9 lladdr 02:00:00:00:00:09 dev eps0 nud reachable && "
            "ip neigh add 192.168.43.10 lladdr 02:00:00:00:00:10 dev eps0 nud reachable"));
  link_->update_members({{{9}, at("192.168.43.9", "02:00:00:00:00:99")}});
  EXPECT_THAT(output_of("ip neigh show dev eps0"),
              AllOf(Not(HasSubstr("192.168.43.9 lladdr")), HasSubstr("192.168.43.10 lladdr")));
}

TEST_F(LinkTest, YieldsToANetworkThatAnotherInterfaceHas) {
  add("eth0", "192.168.43.7/24");
  ASSERT_TRUE(shell("ip route add 10.20.0.0/16 via 192.168.43.1"));
  expect_collision(config("192.168.43.9", "192.168.43.0/24"), "192.168.43.7/24 on eth0");
  expect_collision(config("192.168.0.9", "192.168.0.0/16"), "192.168.43.7/24 on eth0");
  expect_collision(config("192.168.43.130", "192.168.43.128/25"), "192.168.43.7/24 on eth0");
  expect_collision(config("10.20.30.40", "10.20.30.0/24"), "10.20.0.0/16 on eth0");
  link_ = must(NetlinkLink::open("eps0"));
  EXPECT_THAT(set_up(config("192.168.44.9", "192.168.44.0/24")).troubles, IsEmpty());
}

TEST_F(LinkTest, AnotherTapWithHalfOfTheNetworkIsACollision) {
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

TEST_F(LinkTest, ADefaultRouteIsNotACollision) {
  add("eth0", "192.168.1.7/24");
  ASSERT_TRUE(shell("ip route add default via 192.168.1.1"));
  ASSERT_TRUE(shell("ip route add 0.0.0.0/1 via 192.168.1.1 && ip route add 128.0.0.0/1 via 192.168.1.1"));
  ASSERT_TRUE(shell("ip route add 192.0.0.0/4 via 192.168.1.1 && ip route add 192.0.0.0/7 via 192.168.1.1"));
  ASSERT_TRUE(shell("ip route add unreachable 192.168.0.0/16"));
  EXPECT_THAT(set_up(config("192.168.43.7", "192.168.43.0/24")).troubles, IsEmpty());
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
  EXPECT_THAT(addresses(), ElementsAre("192.0.3.1", "192.0.2.1", "2001:db8::1", "172.18.0.1"))
      << "the uplink first, what looks virtual last";
}

TEST_F(LinkTest, TunnelsAndInterfacesStackedUponEpsAreExcluded) {
  add("eth0", "192.0.2.1/24");
  const auto other_vpn = must(LinuxTap::open("wg0"));
  ASSERT_TRUE(shell("ip link set wg0 up && ip addr add 10.8.0.1/24 dev wg0"));
  expect_carrier("wg0", true);
  ASSERT_TRUE(
      shell("ip link add vx0 type vxlan id 1 local 192.0.2.1 remote 192.0.2.2 dstport 4789 && "
            "ip addr add 10.42.0.1/24 dev vx0 && ip link set vx0 up"));
  const auto tap = must(LinuxTap::open("eps0"));
  set_up(config("192.168.43.7", "192.168.43.0/24"));
  ASSERT_TRUE(
      shell("ip link add link eps0 name mac0 type macvlan && ip addr add 10.50.0.1/24 dev mac0 && "
            "ip link set mac0 up && ip link add vx1 type vxlan id 2 local 192.168.43.7 dstport 8472 && "
            "ip addr add 10.51.0.1/24 dev vx1 && ip link set vx1 up"));
  EXPECT_THAT(addresses(), ElementsAre("192.0.2.1"));
  const auto report = reconcile();
  const auto texts = [](const std::vector<IpPrefix>& all) {
    std::vector<std::string> out;
    for (const IpPrefix& p : all) out.push_back(to_string(p.base) + "/" + std::to_string(p.length));
    return out;
  };
  EXPECT_THAT(texts(report.underlay.inside),
              ::testing::UnorderedElementsAre("192.168.43.0/24", "10.50.0.0/24", "10.51.0.0/24"));
  EXPECT_THAT(texts(report.underlay.tunnels), ::testing::UnorderedElementsAre("10.8.0.0/24", "10.42.0.0/24"));
  EXPECT_EQ(report.inside.size(), 3U);
  ASSERT_TRUE(shell("ip route add default via 10.8.0.2"));
  EXPECT_THAT(addresses(), ElementsAre("10.8.0.1", "192.0.2.1")) << "a tunnel may be the only way out";
}

TEST_F(LinkTest, ABridgeOverEpsWithAPortToTheOutsideIsIncluded) {
  set_up(config("192.168.43.7", "192.168.43.0/24"));
  add("br0", "192.0.2.1/24", "bridge");
  ASSERT_TRUE(shell("ip link set eps0 master br0"));
  EXPECT_THAT(addresses(), IsEmpty());
  ASSERT_TRUE(
      shell("ip link add eth0 type veth peer name far && ip link set eth0 master br0 && ip link set eth0 up && "
            "ip link set far up"));
  expect_carrier("eth0", true);
  EXPECT_THAT(addresses(), ElementsAre("192.0.2.1"));
}

TEST_F(LinkTest, FirstAddressOfEachInterfaceComesFirst) {
  for (int i = 0; i < 3; ++i) add("eth" + std::to_string(i), "192.0.2." + std::to_string(1 + i) + "/32");
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(shell("ip addr add 10.3.0." + std::to_string(i + 1) + "/32 dev eth0"));
  ASSERT_TRUE(shell("ip route add default dev eth2"));
  const auto all = addresses();
  ASSERT_EQ(all.size(), 23U);
  EXPECT_THAT(std::vector(all.begin(), all.begin() + 3), ElementsAre("192.0.2.3", "192.0.2.1", "192.0.2.2"));
}

TEST_F(LinkTest, AStrictFilterThatCutsOffTheUnderlayIsNamed) {
  add("eth0", "192.0.2.1/24");
  ASSERT_TRUE(sysctl("net/ipv4/conf/eth0/rp_filter", "1"));
  ASSERT_TRUE(shell("ip route add default via 192.0.2.9 metric 100"));
  EXPECT_THAT(set_up(config("192.168.43.7", "192.168.43.0/24")).troubles, IsEmpty());
  ASSERT_TRUE(shell("ip route add default via 192.168.43.9"));
  EXPECT_THAT(reconcile().notes, ElementsAre(HasSubstr("net.ipv4.conf.eth0.rp_filter=2")));
  const auto again = reconcile();
  EXPECT_THAT(again.notes, IsEmpty());
  EXPECT_THAT(again.troubles, ElementsAre(HasSubstr("rp_filter")));
  ASSERT_TRUE(sysctl("net/ipv4/conf/eth0/rp_filter", "2"));
  EXPECT_THAT(reconcile().troubles, IsEmpty());
}

TEST_F(LinkTest, TheInterfaceMayGetAnotherName) {
  add("eth0", "192.0.2.1/24");
  must(link_->configure(config("192.168.43.7", "192.168.43.0/24")));
  ASSERT_TRUE(shell("ip link set eps0 down && ip link set eps0 name work && ip link set work up"));
  must(link_->configure(config("192.168.43.8", "192.168.43.0/24")));
  EXPECT_THAT(output_of("ip -4 addr show work"), HasSubstr("inet 192.168.43.8/24"));
  EXPECT_THAT(addresses(), ElementsAre("192.0.2.1"));
}

TEST_F(LinkTest, AMissingInterfaceIsReported) {
  const Result<void> result = must(NetlinkLink::open("none0"))->configure(config("192.168.43.7", "192.168.43.0/24"));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::not_found);
  EXPECT_THAT(result.error().what, HasSubstr("none0"));
}

TEST_F(LinkTest, TheMonitorReportsChanges) {
  const auto monitor = must(AddressMonitor::open());
  EXPECT_FALSE(readable(monitor->fd(), 0));
  EXPECT_EQ(monitor->drain(), AddressMonitor::News::none);
  using enum AddressMonitor::News;
  const std::pair<const char*, AddressMonitor::News> changes[] = {
      {"ip link add eth0 type veth", more},           {"ip link set eth0 up", more},
      {"ip addr add 192.0.2.1/24 dev eth0", more},    {"ip route add 198.51.100.0/24 dev lo", routes},
      {"ip -6 addr add 2001:db8::1/64 dev lo", more}, {"ip route del 198.51.100.0/24 dev lo", routes}};
  for (const auto& [change, news] : changes) {
    ASSERT_TRUE(shell(change));
    EXPECT_TRUE(readable(monitor->fd())) << change;
    ::usleep(20000);
    EXPECT_EQ(monitor->drain(), news) << change;
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

TEST(ContainerBridge, IsRecognisedByKindAndName) {
  const std::vector<Interface> all = {interface(2, "eth0", "", 1)};
  for (const char* name : {"docker0", "virbr0", "lxcbr0", "cni0", "podman1", "br-0123456789ab"}) {
    EXPECT_TRUE(is_container_bridge(interface(1, name, "bridge"), all, {})) << name;
    EXPECT_FALSE(is_container_bridge(interface(1, name, "veth"), all, {})) << name;
  }
  for (const char* name : {"br0", "br-lan", "eth0", "br-guest"}) {
    EXPECT_FALSE(is_container_bridge(interface(1, name, "bridge"), all, {})) << name;
  }
}

TEST(ContainerBridge, IsRecognisedByItsPorts) {
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

TEST_F(GatewayTest, AnotherRouterIsAnotherRouteEvenWithTheSameAddress) {
  NetlinkSocket socket = must(NetlinkSocket::open());
  const auto ways = [&] { return must(default_routes(socket, 0)); };
  EXPECT_TRUE(ways().empty());
  add("eth0", "192.168.1.7/24");
  EXPECT_TRUE(ways().empty()) << "a LAN is no way out";
  ASSERT_TRUE(shell("ip route add default via 192.168.1.1"));
  const auto first = ways();
  EXPECT_EQ(first.size(), 1U);
  EXPECT_EQ(ways(), first);
  ASSERT_TRUE(shell("ip route replace default via 192.168.1.2"));
  EXPECT_NE(ways(), first);
  ASSERT_TRUE(shell("ip route replace default via 192.168.1.1"));
  EXPECT_EQ(ways(), first);
  ASSERT_TRUE(shell("ip -6 route add default via fe80::1 dev eth0"));
  EXPECT_EQ(ways().size(), 2U);
  const int eth0 = static_cast<int>(if_nametoindex("eth0"));
  EXPECT_TRUE(must(default_routes(socket, eth0)).empty()) << "its own does not count";
}

}  // namespace
}  // namespace eps::os
