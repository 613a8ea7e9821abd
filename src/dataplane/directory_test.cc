// SPDX-License-Identifier: MIT
#include "dataplane/directory.h"

#include <gtest/gtest.h>

#include "l2/source_guard.h"

namespace eps::dataplane {
namespace {

Resident resident(std::uint32_t id, bool online = true) {
  Resident r;
  r.id = {id};
  r.mac.bytes = {std::byte{2}, {}, {}, {}, static_cast<std::byte>(id >> 8), static_cast<std::byte>(id)};
  r.address = {0x0a000000U + id};
  r.online = online;
  return r;
}

TEST(Directory, FindsMembersByEachOfTheirAddresses) {
  Directory directory;
  for (std::uint32_t id = 1; id <= 1000; ++id) directory.put(resident(id, id % 2 == 0));
  const Resident* found = directory.by_mac(resident(700).mac);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->id, MemberId{700});
  EXPECT_EQ(directory.by_address(IpAddress::from_v4({0x0a000000U + 700})), found);
  EXPECT_EQ(directory.by_address(l2::eui64_link_local(found->mac)), found);
  EXPECT_EQ(directory.by_address(*parse_ip("10.0.20.1")), nullptr);
  EXPECT_EQ(directory.by_address(*parse_ip("fe80::1")), nullptr);
  EXPECT_EQ(directory.online(), 500U);
}

TEST(Directory, EarlierSnapshotStaysUnchanged) {
  Directory directory;
  directory.put(resident(1));
  const Directory before = directory;
  Resident moved = resident(1, false);
  moved.address = {0x0a000063};
  directory.put(moved);
  directory.erase(resident(2).mac);
  EXPECT_NE(before.by_address(*parse_ip("10.0.0.1")), nullptr);
  EXPECT_EQ(directory.by_address(*parse_ip("10.0.0.1")), nullptr);
  EXPECT_NE(directory.by_address(*parse_ip("10.0.0.99")), nullptr);
  EXPECT_EQ(before.online(), 1U);
  EXPECT_EQ(directory.online(), 0U);
}

TEST(Directory, KnowsWhoSharesAnAddress) {
  Directory directory;
  for (std::uint32_t id = 1; id <= 3; ++id) {
    Resident r = resident(id);
    if (id != 2) r.further = {*parse_ip_network("10.0.9.9"), *parse_ip_network("fd99::/64")};
    directory.put(r);
  }
  EXPECT_EQ(directory.holders_of(*parse_ip("10.0.9.9")).size(), 2U);
  EXPECT_EQ(directory.holders_of(*parse_ip("fd99::5")).size(), 2U);
  EXPECT_TRUE(directory.holders_of(*parse_ip("10.0.9.8")).empty());
  directory.put(resident(1));
  EXPECT_EQ(directory.holders_of(*parse_ip("10.0.9.9")).size(), 1U);
}

TEST(Directory, ReturnsEachAnnouncementOnce) {
  Directory directory;
  directory.announce(resident(1).mac);
  EXPECT_TRUE(directory.take_announcements().empty()) << "nobody's";
  directory.put(resident(1));
  Resident both = resident(2);
  both.address6 = *parse_ip("fd43::1");
  directory.put(both);
  directory.announce(resident(1).mac);
  const Directory first = directory, copy = directory;
  ASSERT_EQ(first.take_announcements().size(), 2U);
  EXPECT_TRUE(copy.take_announcements().empty());
  directory.announce(resident(2).mac);
  EXPECT_TRUE(first.take_announcements().empty());
  const auto due = directory.take_announcements();
  ASSERT_EQ(due.size(), 3U);
  EXPECT_EQ(due[2].address, both.address6);
  EXPECT_EQ(due[0].mac, resident(2).mac);
}

}  // namespace
}  // namespace eps::dataplane
