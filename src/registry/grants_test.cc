// SPDX-License-Identifier: MIT
#include "registry/grants.h"

#include <gmock/gmock.h>

#include "registry/registry_fixture.h"

namespace eps::registry {
namespace {

using testing::AllOf;
using testing::HasSubstr;

IpNetwork range(std::string_view text) {
  return *parse_ip_network(text);
}

class GrantsTest : public RegistryTest {
 protected:
  void SetUp() override {
    config_.sequential = true;
    open();
  }
};

TEST(Grants, AnAddressWithItsNetworksSizeIsExplained) {
  EXPECT_THAT(why_no_range("192.168.7.1/24"), HasSubstr("192.168.7.0/24, or 192.168.7.1 alone?"));
  EXPECT_THAT(why_no_range("10.9.9.9/0"), HasSubstr("0.0.0.0/0, or"));
  EXPECT_THAT(why_no_range("fd99::5/64"), HasSubstr("fd99::/64, or fd99::5 alone?"));
  for (const char* other : {"brigde", "192.168.7.0/33", "fd99::5/129", "/24", "192.168.7.1/", ""}) {
    EXPECT_THAT(why_no_range(other), HasSubstr("is neither an address nor a range")) << other;
  }
}

TEST_F(GrantsTest, AreSignedAndSurviveARestart) {
  const Member a = join(1, "a");
  ASSERT_TRUE(registry_->grant("a", range("192.168.43.50")));
  ASSERT_TRUE(registry_->grant("a", range("fd99::/64")));
  open();
  Member kept = *registry_->find(a.id);
  EXPECT_EQ(kept.grants.ranges, (std::vector{range("192.168.43.50/32"), range("fd99::/64")}));
  keep_signed_grants(registry_->signing_key(), registry_->network().id, {&kept, 1});
  EXPECT_EQ(kept.grants.ranges.size(), 2U);
}

TEST_F(GrantsTest, AreIgnoredUnlessTheServerSignedThem) {
  const Member a = join(1, "a");
  ASSERT_TRUE(registry_->grant("a", range("192.168.43.50")));
  Member more = *registry_->find(a.id);
  more.grants.ranges.push_back(range("192.168.43.51"));
  Member other = *registry_->find(a.id);
  other.id = {77};
  for (Member* m : {&more, &other}) {
    keep_signed_grants(registry_->signing_key(), registry_->network().id, {m, 1});
    EXPECT_TRUE(m->grants.ranges.empty());
  }
}

TEST_F(GrantsTest, IncludeThePermissionToBridge) {
  const Member a = join(1, "a");
  const auto root = registry_->root();
  ASSERT_TRUE(registry_->permit("a", Permission::bridge, true));
  EXPECT_NE(registry_->root(), root);
  ASSERT_TRUE(registry_->grant("a", range("fd99::/64")));
  open();
  Member kept = *registry_->find(a.id);
  Member alone = kept;
  keep_signed_grants(registry_->signing_key(), registry_->network().id, {&kept, 1});
  EXPECT_TRUE(kept.grants.bridge);
  EXPECT_EQ(kept.grants.ranges, std::vector{range("fd99::/64")});
  alone.grants.ranges.clear();
  keep_signed_grants(registry_->signing_key(), registry_->network().id, {&alone, 1});
  EXPECT_FALSE(alone.grants.bridge) << "not what was signed";

  ASSERT_TRUE(registry_->revoke_grant("a", range("fd99::/64")));
  ASSERT_TRUE(registry_->permit("a", Permission::bridge, false));
  EXPECT_EQ(registry_->root(), root);
  EXPECT_FALSE(registry_->permit("a", Permission::bridge, false));
  EXPECT_FALSE(registry_->permit("nobody", Permission::bridge, true));
  open();
  EXPECT_FALSE(registry_->find(a.id)->grants.any());
}

TEST_F(GrantsTest, IncludeThePermissionToServeDhcp) {
  const Member a = join(1, "a");
  const auto root = registry_->root();
  ASSERT_TRUE(registry_->permit("a", Permission::dhcp, true));
  EXPECT_NE(registry_->root(), root);
  open();
  Member kept = *registry_->find(a.id);
  EXPECT_TRUE(kept.grants.may_serve_dhcp());
  EXPECT_FALSE(kept.grants.bridge);
  Member more = kept;
  keep_signed_grants(registry_->signing_key(), registry_->network().id, {&kept, 1});
  EXPECT_TRUE(kept.grants.dhcp);
  more.grants.bridge = true;
  keep_signed_grants(registry_->signing_key(), registry_->network().id, {&more, 1});
  EXPECT_FALSE(more.grants.any()) << "not what was signed";

  ASSERT_TRUE(registry_->permit("a", Permission::bridge, true));
  ASSERT_TRUE(registry_->permit("a", Permission::dhcp, false));
  open();
  EXPECT_TRUE(registry_->find(a.id)->grants.bridge);
  EXPECT_TRUE(registry_->find(a.id)->grants.may_serve_dhcp()) << "who bridges may";
  EXPECT_FALSE(registry_->find(a.id)->grants.dhcp);
  EXPECT_FALSE(registry_->permit("a", Permission::dhcp, false));
}

TEST_F(GrantsTest, OfAllReachPresentAndFutureMembers) {
  const auto ranges_of = [&](std::string_view name) { return registry_->find_name(name)->grants.ranges; };
  const std::vector shared{range("192.168.43.48/28")};
  join(1, "a");
  const auto root = registry_->root();
  ASSERT_TRUE(registry_->grant("a", range("fd99::1")));
  ASSERT_TRUE(registry_->grant_all(shared[0]));
  EXPECT_TRUE(registry_->grant_all(shared[0])) << "again";
  Member b = join(2, "b");
  keep_signed_grants(registry_->signing_key(), registry_->network().id, {&b, 1});
  EXPECT_EQ(b.grants.ranges, shared);
  open();
  EXPECT_EQ(ranges_of("a"), (std::vector{range("fd99::1"), shared[0]}));
  EXPECT_EQ(ranges_of("b"), shared);
  EXPECT_EQ(join(3, "c").grants.ranges, shared);

  EXPECT_FALSE(registry_->revoke_from_all(range("fd99::1"))) << "it is a's alone";
  ASSERT_TRUE(registry_->revoke_grant("a", range("fd99::1")));
  ASSERT_TRUE(registry_->revoke_from_all(shared[0]));
  open();
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(ranges_of(name).empty()) << name;
  ASSERT_TRUE(registry_->remove("b"));
  ASSERT_TRUE(registry_->remove("c"));
  EXPECT_EQ(registry_->root(), root);
  EXPECT_TRUE(join(4, "d").grants.ranges.empty());
}

TEST_F(GrantsTest, OfAllAreNoMembersAddressAndKeepNobody) {
  join(1, "a");
  EXPECT_FALSE(registry_->grant_all(range("192.168.43.1")));
  ASSERT_TRUE(registry_->grant_all(range("192.168.43.2/31")));
  EXPECT_EQ(to_string(join(2, "b").address), "192.168.43.4");
  ASSERT_TRUE(registry_->grant("b", range("fd99::1")));
  constexpr std::int64_t kDay = 86400;
  const auto gone = registry_->expire(1000 * kDay, 30 * kDay);
  ASSERT_TRUE(gone);
  ASSERT_EQ(gone->size(), 1U);
  EXPECT_EQ((*gone)[0].member.name, "a");
}

TEST_F(GrantsTest, AreNeverGivenAsAMembersOwnAddress) {
  join(1, "a");
  ASSERT_TRUE(registry_->grant("a", range("192.168.43.2/31")));
  EXPECT_EQ(to_string(join(2, "b").address), "192.168.43.4");
  ASSERT_TRUE(registry_->revoke_grant("a", range("192.168.43.2/31")));
  EXPECT_EQ(to_string(join(3, "c").address), "192.168.43.2");
}

TEST_F(GrantsTest, AreNotTheOwnAddressOfAMember) {
  const Member a = join(1, "a");
  join(2, "b");
  for (const IpAddress& own : {IpAddress::from_v4(a.address), address6_of(*parse_ip_network("fe80::/64"), a.mac),
                               address6_of(*registry_->network().network6, a.mac)}) {
    const auto refused = registry_->grant("b", range(to_string(own)));
    ASSERT_FALSE(refused) << to_string(own);
    EXPECT_THAT(refused.error().what,
                AllOf(HasSubstr(to_string(own)), HasSubstr("is the address of a (192.168.43.1)")));
  }
}

TEST_F(GrantsTest, MayBeARangeThatHoldsMembersAddresses) {
  join(1, "a");
  join(2, "b");
  for (const char* wide : {"0.0.0.0/0", "::/0", "192.168.43.0/24"}) EXPECT_TRUE(registry_->grant("a", range(wide)));
  EXPECT_EQ(to_string(join(3, "c").address), "192.168.43.3") << "the whole network is reserved for nobody";
  ASSERT_TRUE(registry_->grant("a", range("192.168.43.0/29")));
  EXPECT_EQ(to_string(join(4, "d").address), "192.168.43.8");
  open();
  EXPECT_EQ(to_string(registry_->find_name("c")->address), "192.168.43.3") << "it keeps what it had before the grant";
}

TEST_F(GrantsTest, AreOfAddressesThatAComputerCanSendFrom) {
  join(1, "a");
  for (const char* wrong : {"127.0.0.0/8", "127.0.0.1", "0.0.0.0", "0.0.0.0/8", "224.0.0.0/4", "239.1.2.3",
                            "224.0.0.0/3", "255.255.255.255", "240.0.0.0/4", "169.254.0.0/16", "::1", "::", "::/127",
                            "ff02::1", "ff00::/8", "fe80::/10", "fe80::/64"}) {
    const auto refused = registry_->grant("a", range(wrong));
    ASSERT_FALSE(refused) << wrong;
    EXPECT_THAT(refused.error().what,
                AllOf(HasSubstr(to_string(range(wrong)) + " cannot be allowed: "), HasSubstr("10.50.0.0/24")));
    EXPECT_FALSE(registry_->grant_all(range(wrong))) << wrong;
  }
  EXPECT_TRUE(registry_->find_name("a")->grants.ranges.empty());
  for (const char* good :
       {"fe80::5", "169.254.7.7", "0.0.0.0/1", "128.0.0.0/1", "::/1", "100.64.0.0/10", "fd99::/64"}) {
    EXPECT_TRUE(registry_->grant("a", range(good))) << good;
  }
}

TEST_F(GrantsTest, MayBeSharedByMembersThatTakeTurns) {
  join(1, "a");
  join(2, "b");
  EXPECT_TRUE(registry_->grant("a", range("192.168.43.50")));
  EXPECT_TRUE(registry_->grant("b", range("192.168.43.50")));
}

TEST_F(GrantsTest, EndWithTheMember) {
  join(1, "a");
  ASSERT_TRUE(registry_->grant("a", range("192.168.43.1/32")).has_error());
  ASSERT_TRUE(registry_->grant("a", range("192.168.43.2/32")));
  ASSERT_TRUE(registry_->remove("a"));
  EXPECT_EQ(to_string(join(2, "b").address), "192.168.43.1");
  EXPECT_EQ(to_string(join(3, "c").address), "192.168.43.2");
}

TEST_F(GrantsTest, AreLimitedInNumberAndRevocableOnlyIfGranted) {
  join(1, "a");
  for (std::size_t n = 0; n < kMaxGrants; ++n) {
    ASSERT_TRUE(registry_->grant("a", range("10.0.0." + std::to_string(n))));
  }
  EXPECT_THAT(registry_->grant("a", range("10.0.1.0/24")).error().what, HasSubstr("eps members revoke a RANGE"));
  EXPECT_THAT(registry_->revoke_grant("a", range("10.0.1.0/24")).error().what,
              HasSubstr("was not allowed 10.0.1.0/24"));
  EXPECT_EQ(registry_->grant("nobody", range("10.0.0.1")).error().code, Errc::not_found);
}

}  // namespace
}  // namespace eps::registry
