// SPDX-License-Identifier: MIT
#include "os/tap_lanes.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace eps::os {
namespace {

// Bytes at 12, 20, 23 and so on of a frame of 60 that is zero elsewhere.
Bytes frame_with(const std::vector<std::pair<std::size_t, unsigned>>& bytes) {
  Bytes out(60);
  for (const auto& [at, value] : bytes) out[at] = static_cast<std::byte>(value);
  return out;
}

Lane lane(const Bytes& frame) {
  const ByteView piece[] = {frame};
  return lane_of(piece);
}

TEST(TapLanes, TcpAndUdpHaveTheirOwn) {
  EXPECT_EQ(lane(frame_with({{12, 8}, {14, 0x45}, {23, 6}})), Lane::tcp);
  EXPECT_EQ(lane(frame_with({{12, 8}, {14, 0x45}, {23, 17}})), Lane::udp);
  EXPECT_EQ(lane(frame_with({{12, 0x86}, {13, 0xdd}, {20, 6}})), Lane::tcp);
  EXPECT_EQ(lane(frame_with({{12, 0x86}, {13, 0xdd}, {20, 17}})), Lane::udp);
}

TEST(TapLanes, TheDontFragmentBitIsNoFragment) {
  EXPECT_EQ(lane(frame_with({{12, 8}, {20, 0x40}, {23, 6}})), Lane::tcp);
}

TEST(TapLanes, AllElseSharesOne) {
  EXPECT_EQ(lane(frame_with({{12, 8}, {23, 1}})), Lane::other) << "ICMP";
  EXPECT_EQ(lane(frame_with({{12, 8}, {13, 6}, {23, 6}})), Lane::other) << "ARP";
  EXPECT_EQ(lane(frame_with({{12, 8}, {20, 0x20}, {23, 17}})), Lane::other) << "a first fragment";
  EXPECT_EQ(lane(frame_with({{12, 8}, {21, 1}, {23, 6}})), Lane::other) << "a later fragment";
  EXPECT_EQ(lane(frame_with({{12, 0x86}, {13, 0xdd}, {20, 44}})), Lane::other) << "an IPv6 fragment";
  EXPECT_EQ(lane({}), Lane::other);
}

TEST(TapLanes, SeesThroughAVlanTag) {
  EXPECT_EQ(lane(frame_with({{12, 0x81}, {15, 5}, {16, 8}, {27, 6}})), Lane::tcp);
}

TEST(TapLanes, AFieldMayLieInAnyPiece) {
  const Bytes frame = frame_with({{12, 8}, {14, 0x45}, {23, 6}});
  for (std::size_t cut = 0; cut <= frame.size(); ++cut) {
    const ByteView pieces[] = {ByteView(frame).first(cut), ByteView(frame).subspan(cut)};
    EXPECT_EQ(lane_of(pieces), Lane::tcp) << cut;
  }
}

}  // namespace
}  // namespace eps::os
