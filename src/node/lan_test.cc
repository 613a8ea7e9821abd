// SPDX-License-Identifier: MIT
#include "node/lan.h"

#include <gtest/gtest.h>

#include <chrono>

#include "support/node_fakes.h"

namespace eps::node {
namespace {

using l2::Refusal;

class LanTest : public testing::Test {
 protected:
  std::shared_ptr<const dataplane::Directory> directory() {
    dataplane::PeerTable table;
    lan.fill(table);
    return table.directory;
  }
  // The explanation for exactly this refusal.
  LanFinding refused(Refusal::What what, MemberId from, const Member* owner, const IpAddress& claimed = {},
                     bool outside = false) {
    Lan fresh("eps7", notes);
    fresh.on({from, {what, a.mac, claimed}, {}}, from.value == 0 ? self : a, owner, outside, now);
    return fresh.findings(now).at(0);
  }
  static bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

  const Instant now{std::chrono::hours(1)};
  std::vector<std::string> notes;
  Lan lan{"eps7", notes};
  Member self = test::member_of(1), a = test::member_of(2), b = test::member_of(3);
  const IpAddress address = *parse_ip("10.0.0.3");
};

TEST_F(LanTest, TheDirectoryIsPublishedWhenItChanged) {
  const auto empty = directory();
  EXPECT_EQ(directory(), empty);
  lan.move_in(a, nullptr, {});
  const auto one = directory();
  EXPECT_NE(one->by_mac(a.mac), nullptr);
  EXPECT_EQ(empty->by_mac(a.mac), nullptr) << "a worker may still be reading that one";
  Member moved = a;
  moved.mac.bytes[5] = std::byte{99};
  lan.move_in(moved, &a, {});
  EXPECT_EQ(directory()->by_mac(a.mac), nullptr);
  EXPECT_NE(directory()->by_mac(moved.mac), nullptr);
  lan.move_out(moved);
  EXPECT_EQ(directory()->by_mac(moved.mac), nullptr);
}

TEST_F(LanTest, WhatIsAllowedNowIsNoFindingAnyMore) {
  lan.move_in(a, nullptr, {});
  lan.on({{}, {Refusal::What::ip4, self.mac, address}, {}}, self, nullptr, false, now);
  lan.on({a.id, {Refusal::What::ip4, a.mac, address}, {}}, a, nullptr, false, now);
  ASSERT_EQ(lan.findings(now).size(), 2U);
  Member allowed = a;
  allowed.grants.bridge = true;
  lan.move_in(allowed, &a, {});
  EXPECT_EQ(lan.findings(now).size(), 1U);
  lan.on_grants(self);
  EXPECT_TRUE(lan.findings(now).empty());
}

TEST_F(LanTest, AddressesThatTheKernelMayRememberWronglyAreAnnounced) {
  lan.move_in(a, nullptr, {});
  EXPECT_TRUE(directory()->take_announcements().empty()) << "it knows nobody yet";
  lan.on_list(true);
  lan.move_in(a, &a, {});
  EXPECT_TRUE(directory()->take_announcements().empty()) << "nothing moved";
  lan.move_in(b, nullptr, {});
  EXPECT_FALSE(directory()->take_announcements().empty());
}

TEST_F(LanTest, AnAbsentMemberThatWasAskedForIsAnnouncedWhenItReturns) {
  a.online = b.online = false;
  lan.move_in(a, nullptr, {});
  lan.move_in(b, nullptr, {});
  lan.on(dataplane::AbsentWanted{a.id});
  lan.on_list(true);
  const Member before = a;
  lan.move_in(a, &before, {});
  EXPECT_TRUE(directory()->take_announcements().empty()) << "it is still absent";
  a.online = true;
  lan.move_in(a, &before, {});
  const auto announced = directory()->take_announcements();
  ASSERT_FALSE(announced.empty());
  EXPECT_EQ(announced[0].mac, a.mac);
  lan.move_in(a, &before, {});
  b.online = true;
  lan.move_in(b, &b, {});
  EXPECT_TRUE(directory()->take_announcements().empty()) << "nobody asks any more, or ever asked";
}

TEST_F(LanTest, AForeignMacMeansABridgeOrALoop) {
  const auto behind = refused(Refusal::What::mac, a.id, nullptr);
  EXPECT_TRUE(has(behind.what, "from c2 (10.0.0.2)")) << behind.what;
  EXPECT_TRUE(has(behind.mend, "eps members allow c2 bridge")) << behind.mend;
  const auto loop = refused(Refusal::What::mac, {0}, &b);
  EXPECT_TRUE(has(loop.what, "on eps7")) << loop.what;
  EXPECT_TRUE(has(loop.what, "but of c3 (10.0.0.3).")) << loop.what;
  EXPECT_TRUE(has(loop.mend, "take eps7 out of the bridge")) << loop.mend;
}

TEST_F(LanTest, AnAddressOfAnotherInterfaceMeansARouteIntoTheNetwork) {
  const auto routed = refused(Refusal::What::ip4, {0}, nullptr, address, true);
  EXPECT_TRUE(has(routed.mend, "a rule or route leads into eps7 what belongs elsewhere")) << routed.mend;
  EXPECT_TRUE(has(routed.mend, "If it belongs here: allow it on the server with: eps members allow")) << routed.mend;
}

TEST_F(LanTest, AForeignAddressIsAllowedOrRemoved) {
  const auto free = refused(Refusal::What::ip4, a.id, nullptr, address);
  EXPECT_TRUE(has(free.what, "packets from 10.0.0.3, which c2 does not own")) << free.what;
  EXPECT_TRUE(has(free.mend, "eps members allow c2 10.0.0.3")) << free.mend;
  EXPECT_TRUE(has(refused(Refusal::What::arp, a.id, &b, address).mend, "address of c3 (10.0.0.3): remove it"));
  EXPECT_TRUE(has(refused(Refusal::What::ip4, {0}, nullptr, *parse_ip("0.0.0.0")).mend, "Give the interface"));
  EXPECT_TRUE(has(refused(Refusal::What::router, a.id, nullptr, address).mend, "everybody's router"));
}

TEST_F(LanTest, LoopsAndStormsAreLocated) {
  lan.on(dataplane::LoopSeen{}, &b, now);
  lan.on(dataplane::TooManyGroupFrames{}, nullptr, now);
  lan.on(dataplane::TooManyGroupFrames{a.id}, &a, now);
  const auto all = lan.findings(now);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(notes.size(), 3U);
  std::string text;
  for (const LanFinding& f : all) text += f.what;
  EXPECT_TRUE(has(text, "with a LAN where c3 (10.0.0.3) is as well")) << text;
  EXPECT_TRUE(has(text, "This computer sends more broadcast")) << text;
  EXPECT_TRUE(has(text, "c2 (10.0.0.2) sends more broadcast")) << text;
}

}  // namespace
}  // namespace eps::node
