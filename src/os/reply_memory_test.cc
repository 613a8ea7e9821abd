// SPDX-License-Identifier: MIT
#include "os/reply_memory.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace eps::os {
namespace {

using std::chrono::milliseconds;

Endpoint peer(std::uint32_t n) {
  return {IpAddress::from_v4({0x0a000000 + n}), static_cast<std::uint16_t>(1000 + n % 60000)};
}
const LocalAddress kFirst{*parse_ip("192.0.2.1"), 2}, kSecond{*parse_ip("2001:db8::7"), 3};
const Instant kStart{std::chrono::hours(1)};

TEST(ReplyMemory, KnowsTheSourceAddressForEachEndpoint) {
  ReplyMemory memory(17);
  EXPECT_EQ(memory.find(peer(1)), std::nullopt);
  memory.heard(peer(1), kFirst, kStart);
  memory.heard(peer(2), kSecond, kStart);
  EXPECT_EQ(memory.find(peer(1)), kFirst);
  EXPECT_EQ(memory.find(peer(2)), kSecond);
  EXPECT_EQ(memory.find({peer(1).ip, 9}), std::nullopt) << "an endpoint is an address and a port";
  memory.forget(peer(1));
  EXPECT_EQ(memory.find(peer(1)), std::nullopt);
  EXPECT_EQ(memory.find(peer(2)), kSecond);
}

TEST(ReplyMemory, ForgetsTheAddressesThatAreGoneAndNoOthers) {
  ReplyMemory memory(17);
  memory.heard(peer(1), kFirst, kStart);
  memory.heard(peer(2), kSecond, kStart);
  memory.forget_except(std::vector{kFirst.ip, *parse_ip("10.250.0.1")});
  EXPECT_EQ(memory.find(peer(1)), kFirst);
  EXPECT_EQ(memory.find(peer(2)), std::nullopt);
  memory.forget_except({});
  EXPECT_EQ(memory.find(peer(1)), std::nullopt);
}

TEST(ReplyMemory, AForgedDatagramDoesNotRedirectAConduitInUse) {
  ReplyMemory memory(17);
  for (int i = 0; i < 20; ++i) {
    const Instant now = kStart + milliseconds(200 * i);
    memory.heard(peer(1), kFirst, now);
    memory.heard(peer(1), kSecond, now + milliseconds(100));
    EXPECT_EQ(memory.find(peer(1)), kFirst) << i;
  }
}

TEST(ReplyMemory, FollowsAPeerThatSendsToAnotherAddress) {
  ReplyMemory memory(17);
  memory.heard(peer(1), kFirst, kStart);
  memory.heard(peer(1), kSecond, kStart + ReplyMemory::kHold);
  EXPECT_EQ(memory.find(peer(1)), kSecond);
}

TEST(ReplyMemory, AFloodDisplacesOnlyTheLeastRecentlyHeard) {
  ReplyMemory memory(17);
  memory.heard(peer(1), kFirst, kStart);
  for (std::uint32_t i = 0; i < 4 * ReplyMemory::kSlots; ++i) {
    if (i % 100 == 0) memory.heard(peer(1), kFirst, kStart + milliseconds(i));
    memory.heard(peer(100 + i), kSecond, kStart + milliseconds(i));
  }
  EXPECT_EQ(memory.find(peer(1)), kFirst);
}

TEST(ReplyMemory, ReadersSeeWholeEntriesOnly) {
  ReplyMemory memory(17);
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20000; ++i) {
        memory.heard(peer(1), t == 0 ? kFirst : kSecond, kStart + std::chrono::seconds(i));
        if (i % 100 == 0) memory.forget(peer(1));
      }
    });
  }
  for (int i = 0; i < 20000; ++i) {
    const auto at = memory.find(peer(1));
    ASSERT_TRUE(!at || *at == kFirst || *at == kSecond);
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace eps::os
