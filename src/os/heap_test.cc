// SPDX-License-Identifier: MIT
#include "os/heap.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <vector>

namespace eps::os {
namespace {

using std::chrono::seconds;

std::size_t resident_mib() {
  std::size_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) >> 20;
}

using Blocks = std::vector<std::unique_ptr<char[]>>;

// 64 MiB in small blocks.
Blocks many_blocks() {
  Blocks blocks;
  for (int i = 0; i < 64 * 1024; ++i) {
    blocks.push_back(std::make_unique<char[]>(1000));
  }
  return blocks;
}

// Frees all but one block in each 64 KiB, so that the heap's end stays in use.
void free_most(Blocks& blocks) {
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (i % 64 != 0) blocks[i].reset();
  }
}

Blocks burst() {
  Blocks blocks = many_blocks();
  free_most(blocks);
  return blocks;
}

class HeapTest : public ::testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer has an allocator of its own";
#endif
  }
};

TEST_F(HeapTest, PagesBetweenBlocksInUseAreHandedBack) {
  HeapTrimmer trimmer;
  Instant now{};
  trimmer.look(now);
  const auto left = burst();
  const std::size_t before = resident_mib();
  trimmer.look(now + seconds(1));
  EXPECT_GT(resident_mib(), before - 10) << "it looks every 3 s";
  trimmer.look(now + seconds(3));
  EXPECT_LT(resident_mib(), before - 40);
}

// A process that shrinks by itself and grows again is one that grew.
TEST_F(HeapTest, WhatIsTakenAgainIsHandedBackAgain) {
  HeapTrimmer trimmer;
  Instant now{};
  for (int round = 0; round < 3; ++round) {
    const auto left = burst();
    const std::size_t before = resident_mib();
    trimmer.look(now += seconds(3));
    EXPECT_LT(resident_mib(), before - 40) << round;
  }
}

// The process has not grown since the trimmer looked, but little of it is still in use.
TEST_F(HeapTest, WhatWasInUseWhenItLookedIsHandedBackLater) {
  HeapTrimmer trimmer;
  Instant now{};
  Blocks blocks = many_blocks();
  trimmer.look(now);
  free_most(blocks);
  const std::size_t before = resident_mib();
  trimmer.look(now + seconds(3));
  EXPECT_LT(resident_mib(), before - 40);
}

}  // namespace
}  // namespace eps::os
