// SPDX-License-Identifier: MIT
#include "dataplane/stations.h"

#include <gtest/gtest.h>

namespace eps::dataplane {
namespace {

Mac mac_of(std::uint32_t n) {
  Mac out{{std::byte{2}}};
  store_be32(out.bytes.data() + 2, n);
  return out;
}

constexpr Instant kNow{std::chrono::hours(1)};

TEST(Stations, AMachineIsBehindTheMemberThatLastSentItsFrames) {
  Stations stations;
  EXPECT_EQ(stations.where(mac_of(9), kNow), std::nullopt);
  stations.learn(mac_of(9), mac_of(1), kNow);
  EXPECT_EQ(stations.where(mac_of(9), kNow), mac_of(1));
  stations.learn(mac_of(9), mac_of(2), kNow);
  EXPECT_EQ(stations.where(mac_of(9), kNow), mac_of(2));
  stations.forget(mac_of(9));
  EXPECT_EQ(stations.where(mac_of(9), kNow), std::nullopt);
}

TEST(Stations, ASilentMachineIsForgotten) {
  Stations stations;
  stations.learn(mac_of(9), mac_of(1), kNow);
  EXPECT_EQ(stations.where(mac_of(9), kNow + kStationLife), mac_of(1));
  EXPECT_EQ(stations.where(mac_of(9), kNow + kStationLife + Duration(1)), std::nullopt);
  stations.learn(mac_of(9), mac_of(1), kNow + kStationLife);
  EXPECT_EQ(stations.where(mac_of(9), kNow + kStationLife * 2), mac_of(1));
}

TEST(Stations, AMemberFillsOnlyItsOwnPart) {
  Stations stations;
  stations.learn(mac_of(1'000'001), mac_of(1), kNow);
  stations.learn(mac_of(1'000'002), mac_of(2), kNow);
  stations.learn(mac_of(1'000'003), mac_of(2), kNow);
  stations.learn(mac_of(1'000'002), mac_of(2), kNow);
  for (std::uint32_t n = 0; n + 1 < kMaxStations; ++n) stations.learn(mac_of(n + 100), mac_of(2), kNow);
  EXPECT_EQ(stations.where(mac_of(1'000'001), kNow), mac_of(1));
  EXPECT_EQ(stations.where(mac_of(1'000'002), kNow), mac_of(2));
  EXPECT_EQ(stations.where(mac_of(1'000'003), kNow), std::nullopt) << "silent for the longest time";
}

TEST(Stations, AWorkerReportsAStationOnceASecond) {
  StationMemory memory;
  EXPECT_TRUE(memory.is_news(mac_of(9), mac_of(1), kNow));
  EXPECT_FALSE(memory.is_news(mac_of(9), mac_of(1), kNow));
  EXPECT_TRUE(memory.is_news(mac_of(9), mac_of(2), kNow));
  EXPECT_TRUE(memory.is_news(mac_of(9), mac_of(2), kNow + std::chrono::seconds(1)));
}

}  // namespace
}  // namespace eps::dataplane
