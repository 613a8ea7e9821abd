// SPDX-License-Identifier: MIT
#include "node/waiting_frames.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "support/node_fakes.h"

namespace eps::node {
namespace {

constexpr Instant kNow{std::chrono::hours(1)};

class WaitingFramesTest : public testing::Test {
 protected:
  // A frame of an unknown protocol, so that its size follows from that of the datagram.
  void add(std::size_t size) {
    Bytes frame(size);
    frame[12] = std::byte{0x88};
    frame[13] = std::byte{0xb5};
    waiting.add(queue, std::move(frame), {});
  }
  std::vector<std::size_t> flush(const dataplane::Peer& to, Instant now = kNow) {
    waiting.flush(queue, {}, to, now);
    std::vector<std::size_t> sizes;
    for (const auto& d : out.take().datagrams) sizes.push_back(d.bytes.size());
    return sizes;
  }
  static dataplane::Peer route() {
    dataplane::Peer to;
    to.id = {2};
    to.session = test::session_of(true, kNow);
    to.to = {IpAddress::from_v4({0xc6120002U}), 7000};
    to.activity = std::make_shared<dataplane::PeerActivity>();
    return to;
  }
  std::uint64_t drops(Drop reason) const { return counters.drops[static_cast<std::size_t>(reason)].load(); }

  test::QuietUdp port;
  dataplane::Outbox out{port};
  Counters counters;
  WaitingFrames waiting{out, counters};
  WaitingFrames::Queue queue;
};

TEST_F(WaitingFramesTest, LeaveInTheOrderInWhichTheyCame) {
  for (const std::size_t size : {300U, 100U, 200U}) add(size);
  const auto sizes = flush(route());
  ASSERT_EQ(sizes.size(), 3U);
  EXPECT_EQ(sizes[0], sizes[1] + 200);
  EXPECT_EQ(sizes[2], sizes[1] + 100);
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(flush(route()).empty());
}

TEST_F(WaitingFramesTest, WaitUntilTheyCanBeSealed) {
  add(100);
  dataplane::Peer no_session = route(), no_way = route();
  no_session.session = nullptr;
  no_way.to = {};
  EXPECT_TRUE(flush(no_session).empty());
  EXPECT_TRUE(flush(no_way).empty());
  EXPECT_TRUE(flush(route(), kNow + session::kSendUntil).empty());
  EXPECT_FALSE(queue.empty());
  EXPECT_EQ(flush(route()).size(), 1U);
}

TEST_F(WaitingFramesTest, TheNewestIsDroppedBeyondEitherLimit) {
  for (std::size_t i = 0; i <= kMaxWaitingFrames; ++i) add(100 + i);
  EXPECT_EQ(drops(Drop::not_ready), 1U);
  const auto sizes = flush(route());
  ASSERT_EQ(sizes.size(), kMaxWaitingFrames);
  EXPECT_TRUE(std::ranges::is_sorted(sizes)) << "the first ones were kept";
  for (int i = 0; i < 6; ++i) add(kMaxWaitingBytes / 5);
  EXPECT_EQ(drops(Drop::not_ready), 2U);
}

TEST_F(WaitingFramesTest, EachDroppedFrameIsCounted) {
  for (int i = 0; i < 3; ++i) add(100);
  waiting.drop(queue, Drop::no_peer);
  EXPECT_EQ(drops(Drop::no_peer), 3U);
  EXPECT_TRUE(flush(route()).empty());
  // There is room again.
  for (std::size_t i = 0; i < kMaxWaitingFrames; ++i) add(100);
  EXPECT_EQ(drops(Drop::not_ready), 0U);
}

TEST_F(WaitingFramesTest, AnInvalidFrameIsDroppedWhenItsTurnComes) {
  waiting.add(queue, Bytes(5), {});
  add(100);
  EXPECT_EQ(flush(route()).size(), 1U);
  EXPECT_EQ(drops(Drop::malformed), 1U);
}

}  // namespace
}  // namespace eps::node
