// SPDX-License-Identifier: MIT
#include "node/listening.h"

#include <gtest/gtest.h>

namespace eps::node {
namespace {

using std::chrono::seconds;

constexpr Instant kStart{std::chrono::hours(1)};
const GroupFilter kNone{false, {}};
const GroupFilter kOne{false, {*parse_mac("01:00:5e:01:02:03")}};

std::set<MemberId> told(std::initializer_list<std::uint32_t> ids) {
  std::set<MemberId> out;
  for (const std::uint32_t id : ids) out.insert({id});
  return out;
}

TEST(Listening, TellsThoseThatSendWhatNobodyWants) {
  Listening listening;
  EXPECT_FALSE(listening.take_look());
  listening.unwanted_from({2});
  listening.unwanted_from({3});
  EXPECT_TRUE(listening.take_look());
  EXPECT_FALSE(listening.take_look());
  EXPECT_EQ(listening.on_filter(kNone, kStart), told({2, 3}));
  EXPECT_EQ(listening.on_filter(kNone, kStart + kRepeatGroupsFor), told({}));
}

TEST(Listening, TellsAChangeToThoseThatWereTold) {
  Listening listening;
  listening.unwanted_from({2});
  EXPECT_EQ(listening.on_filter(kNone, kStart), told({2}));
  const Instant later = kStart + seconds(40);
  listening.reported();
  EXPECT_TRUE(listening.take_look());
  EXPECT_EQ(listening.on_filter(kOne, later), told({2}));
  EXPECT_EQ(listening.on_filter(kOne, later + seconds(1)), told({2})) << "the kernel reports twice";
  EXPECT_EQ(listening.on_filter(kOne, later + kRepeatGroupsFor), told({}));
  EXPECT_EQ(listening.on_filter(kNone, later + seconds(1) + kFilterKnownFor), told({}))
      << "it no longer leaves out anything";
}

TEST(Listening, WhoeverTakesEverythingTellsOnlyThoseThatBelieveOtherwise) {
  Listening listening;
  listening.unwanted_from({2});
  EXPECT_EQ(listening.on_filter({}, kStart), told({}));
  listening.unwanted_from({2});
  EXPECT_EQ(listening.on_filter(kOne, kStart), told({2}));
  GroupFilter many{false, {}};
  for (std::uint32_t n = 0; n <= kMaxFilteredGroups; ++n) {
    Mac mac = kOne.macs[0];
    mac.bytes[5] = static_cast<std::byte>(n);
    many.macs.push_back(mac);
  }
  EXPECT_EQ(listening.on_filter(many, kStart + seconds(20)), told({2}));
  EXPECT_TRUE(listening.filter()->all);
}

}  // namespace
}  // namespace eps::node
