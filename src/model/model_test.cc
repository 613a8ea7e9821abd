// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "model/accepted_networks.h"
#include "model/network.h"
#include "model/offload.h"
#include "model/relay_limit.h"

namespace eps {
namespace {

Member member(std::uint32_t id, std::string name) {
  Member m;
  m.id = {id};
  m.name = std::move(name);
  return m;
}

TEST(MemberList, AppliesDeltasInOrderOnly) {
  MemberList list;
  EXPECT_TRUE(
      list.apply({.from = 0, .to = 5, .full = true, .upserts = {member(1, "a"), member(2, "b")}, .removed = {}}));
  EXPECT_FALSE(list.apply({.from = 4, .to = 6, .full = false, .upserts = {}, .removed = {}}));
  EXPECT_TRUE(list.apply({.from = 5, .to = 6, .full = false, .upserts = {member(2, "c")}, .removed = {{1}}}));
  EXPECT_EQ(list.version(), 6U);
  EXPECT_EQ(list.find({1}), nullptr);
  EXPECT_EQ(list.find_name("c")->id.value, 2U);
  EXPECT_FALSE(list.apply({.from = 0, .to = 5, .full = true, .upserts = {}, .removed = {}})) << "an older list";
  EXPECT_EQ(list.version(), 6U);
  EXPECT_TRUE(list.apply({.from = 0, .to = 7, .full = true, .upserts = {}, .removed = {}}));
  EXPECT_TRUE(list.members().empty());
}

TEST(MemberMap, IsInOrderOfNumbers) {
  MemberMap map;
  for (const std::uint32_t id : {700U, 3U, 64U, 63U, 1U, 65U}) map.put(member(id, "m" + std::to_string(id)));
  map.put(member(64, "again"));
  std::vector<std::uint32_t> ids;
  for (const auto& [id, m] : map) {
    EXPECT_EQ(id, m.id);
    ids.push_back(id.value);
  }
  EXPECT_EQ(ids, (std::vector<std::uint32_t>{1, 3, 63, 64, 65, 700}));
  EXPECT_EQ(map.size(), ids.size());
  EXPECT_EQ(map.find({64})->name, "again");
  EXPECT_EQ(map.find({2}), nullptr);
  EXPECT_EQ(map.find({100}), nullptr);
  MemberMap other = map;
  EXPECT_EQ(other, map);
  for (const std::uint32_t id : {2U, 100U, 700U, 3U}) other.erase({id});
  EXPECT_EQ(other.size(), 4U);
  EXPECT_FALSE(other.contains({700}));
  EXPECT_TRUE(map.contains({700})) << "copies share only the records";
  EXPECT_NE(other, map);
  for (const std::uint32_t id : ids) other.erase({id});
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(other.begin(), other.end());
}

TEST(MemberList, EqualRecordsAreShared) {
  MemberList held;
  ASSERT_TRUE(
      held.apply({.from = 0, .to = 5, .full = true, .upserts = {member(1, "a"), member(2, "b")}, .removed = {}}));
  const MemberList before = held;
  ASSERT_TRUE(
      held.apply({.from = 0, .to = 6, .full = true, .upserts = {member(1, "a"), member(2, "c")}, .removed = {}}));
  EXPECT_EQ(held.members().record({1}), before.members().record({1})) << "the same list again";
  EXPECT_EQ(held.find({2})->name, "c");
  EXPECT_EQ(before.find({2})->name, "b");

  MemberList other = before;
  const Delta delta{.from = 5, .to = 6, .full = false, .upserts = {member(2, "c"), member(3, "d")}, .removed = {}};
  ASSERT_TRUE(other.apply(delta, held.members()));
  EXPECT_EQ(other.members().record({2}), held.members().record({2})) << "as another list has it";
  EXPECT_EQ(other.find({3})->name, "d");

  MemberList known;
  Member m = member(2, "c");
  m.candidates = {{Candidate::Kind::local, *parse_endpoint("192.0.2.1:5")}};
  ASSERT_TRUE(known.apply({.from = 0, .to = 1, .full = true, .upserts = {m}, .removed = {}}));
  held.keep_candidates(known);
  EXPECT_EQ(held.members().record({2}), known.members().record({2}));
  EXPECT_EQ(held.members().record({1}), before.members().record({1}));
}

TEST(Names, AreSafeOrMadeSafe) {
  EXPECT_TRUE(valid_name("host-1.example"));
  EXPECT_FALSE(valid_name(""));
  EXPECT_FALSE(valid_name("a b"));
  EXPECT_FALSE(valid_name(std::string(64, 'a')));
  EXPECT_EQ(make_valid_name("my host\n"), "my-host-");
  EXPECT_EQ(make_valid_name("\n"), "member");
  EXPECT_TRUE(valid_name(make_valid_name(std::string(300, '"'))));
}

TEST(Offloads, NamesAndBack) {
  for (const char* text : {"none", "csum", "csum,tso,uso,gso,gro", "gso,gro"}) {
    const auto set = parse_offloads(text);
    ASSERT_TRUE(set) << text;
    EXPECT_EQ(to_string(*set), text);
  }
  EXPECT_EQ(to_string(OffloadSet()), "csum,tso,uso,gso,gro");
  EXPECT_EQ(parse_offloads("gro, csum"), (OffloadSet{true, false, false, false, true}));
  for (const char* bad : {"", ",", "csum,", "none,csum", "tsp"}) EXPECT_FALSE(parse_offloads(bad)) << bad;
}

TEST(Offloads, MissingIsWhatTheKernelDidNotGrant) {
  const OffloadStatus status = offload_status({true, true, true, false, true}, {true, true, false, false, true});
  EXPECT_EQ(to_string(status.used), "csum,tso,gro");
  EXPECT_EQ(to_string(status.missing), "uso");
}

TEST(RelayLimit, TextAndBack) {
  for (const char* text : {"0", "50mbit", "64kbit", "1500kbit", "20000pps", "100GB/day", "1gbit,50pps,2TB/day"}) {
    const auto limit = parse_relay_limit(text);
    ASSERT_TRUE(limit) << text;
    EXPECT_EQ(to_string(*limit), text);
  }
  EXPECT_EQ(parse_relay_limit("1000MB/DAY,2Mbit"), parse_relay_limit("2mbit,1GB/day"));
  EXPECT_FALSE(parse_relay_limit("0")->any());
  for (const char* bad :
       {"", ",", "50", "50mb", "mbit", "-5mbit", "50 mbit", "50mbit,", "50mbit,1gbit", "63kbit", "49pps", "0mbit",
        "1001gbit", "99999999999999999999mbit", "18446744073709551615gbit", "1GB", "0,5mbit"}) {
    EXPECT_FALSE(parse_relay_limit(bad)) << bad;
  }
}

TEST(Network, MembersHaveAnIpv6AddressByTheirMac) {
  NetworkId id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<std::byte>(0x11 * (i + 1));
  const IpNetwork derived = default_network6(id);
  EXPECT_EQ(to_string(derived), "fd11:2233:4455::/64");
  EXPECT_TRUE(usable_network6(derived));
  EXPECT_EQ(to_string(address6_of(derived, *parse_mac("02:11:22:33:44:55"))), "fd11:2233:4455:0:11:22ff:fe33:4455");
  for (const char* bad : {"fe80::/64", "ff02::/64", "::/64", "fd43::/48", "10.0.8.0/24"}) {
    EXPECT_FALSE(usable_network6(*parse_ip_network(bad))) << bad;
  }
}

TEST(AcceptedNetworks, AreWholeAndLeaveMembersAnAddressOfTheirOwn) {
  NetworkInfo info;
  const auto accepts = [&](const char* network, const char* self) {
    info.network = *parse_ip4_network(network);
    return !why_not_accepted(private_networks(), info, *parse_ip4(self));
  };
  EXPECT_TRUE(accepts("192.168.43.0/24", "192.168.43.7"));
  EXPECT_TRUE(accepts("100.64.0.0/10", "100.64.0.1"));
  EXPECT_FALSE(accepts("8.0.0.0/8", "8.0.0.1"));
  EXPECT_FALSE(accepts("10.0.0.0/7", "10.0.0.1")) << "more than is accepted";
  EXPECT_FALSE(accepts("172.32.0.0/16", "172.32.0.1"));
  for (const char* nobody : {"192.168.43.0", "192.168.43.255", "192.168.44.1"}) {
    EXPECT_FALSE(accepts("192.168.43.0/24", nobody));
  }
  info.network6 = parse_ip_network("fd43::/64");
  EXPECT_TRUE(accepts("192.168.43.0/24", "192.168.43.7"));
  info.network6 = parse_ip_network("2001:db8::/64");
  EXPECT_FALSE(accepts("192.168.43.0/24", "192.168.43.7")) << "a part of the IPv6 internet";
}

TEST(AcceptedNetworks, OfIpv4AloneAcceptUniqueLocalIpv6) {
  const auto accepts = [](std::initializer_list<const char*> accepted, const char* network6) {
    std::vector<IpNetwork> all;
    for (const char* one : accepted) all.push_back(*parse_ip_network(one));
    NetworkInfo info;
    info.network = *parse_ip4_network("203.0.113.0/24");
    info.network6 = parse_ip_network(network6);
    return !why_not_accepted(all, info, *parse_ip4("203.0.113.7"));
  };
  EXPECT_TRUE(accepts({"203.0.113.0/24"}, "fd43::/64"));
  EXPECT_FALSE(accepts({"203.0.113.0/24"}, "2001:db8::/64"));
  EXPECT_FALSE(accepts({"203.0.113.0/24", "fd44::/64"}, "fd43::/64")) << "another one is named";
  EXPECT_FALSE(accepts({"10.0.0.0/8"}, "fd43::/64"));
  EXPECT_FALSE(accepts({"2001:db8::/64"}, "2001:db8::/64")) << "no IPv4 network is named";
}

TEST(AcceptedNetworks, AreNamedAsAClientHasToWriteThem) {
  NetworkInfo info;
  info.network = *parse_ip4_network("203.0.113.0/24");
  EXPECT_EQ(accepting(info), "203.0.113.0/24");
  info.network6 = parse_ip_network("fd43::/64");
  EXPECT_EQ(accepting(info), "203.0.113.0/24");
  info.network6 = parse_ip_network("2001:db8::/64");
  EXPECT_EQ(accepting(info), "203.0.113.0/24 2001:db8::/64");
}

}  // namespace
}  // namespace eps
