#include <gtest/gtest.h>

#include "model/network.h"
#include "model/offload.h"

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

}  // namespace
}  // namespace eps
