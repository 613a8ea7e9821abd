// SPDX-License-Identifier: MIT
#include "dataplane/fragments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

namespace eps::dataplane {
namespace {

constexpr Instant kNow{std::chrono::hours(1)};

Bytes random_whole(std::mt19937_64& rng, std::size_t size) {
  Bytes out(size);
  for (std::byte& b : out) b = static_cast<std::byte>(rng());
  return out;
}

// The contents of the pieces of a whole frame.
std::vector<Bytes> pieces(const Bytes& whole, std::uint32_t id, std::size_t count) {
  std::vector<Bytes> out;
  wire::Fragment f{
      .id = id, .total = static_cast<std::uint16_t>(whole.size()), .count = static_cast<std::uint8_t>(count)};
  for (; f.index < count; ++f.index) {
    Bytes& piece = out.emplace_back(wire::kFragmentHeaderSize);
    wire::put_fragment_header(piece.data(), f);
    const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(f.offset());
    piece.insert(piece.end(), begin, begin + static_cast<std::ptrdiff_t>(f.size()));
  }
  return out;
}

Bytes plain_of(const Reassembly::Taken& taken) {
  EXPECT_GT(taken.joined.size(), wire::kDataHeaderSize);
  return Bytes(taken.joined.begin() + wire::kDataHeaderSize, taken.joined.end());
}

// Whatever is lost, apart from repeated ids, and in whatever order within the limits: complete frames arrive unaltered,
TEST(Reassembly, ReassemblesCompleteFramesInAnyOrder) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    std::mt19937_64 rng(seed);
    Reassembly reassembly;
    std::map<std::uint32_t, Bytes> wholes, joined;
    std::vector<std::pair<std::uint32_t, Bytes>> wire;
    std::set<std::uint32_t> damaged;
    for (std::uint32_t id = 0; id < 12; ++id) {
      wholes[id] = random_whole(rng, 600 + rng() % 12000);
      const std::size_t count = 2 + rng() % 20;
      for (Bytes& piece : pieces(wholes[id], id, count)) {
        if (rng() % 40 == 0) {
          damaged.insert(id);
        } else {
          wire.emplace_back(id, std::move(piece));
        }
      }
    }
    std::ranges::shuffle(wire, rng);
    for (const auto& [id, piece] : wire) {
      const auto taken = reassembly.take(piece, 0, kNow);
      EXPECT_EQ(taken.drop, Drop::none);
      EXPECT_EQ(taken.lost, 0U);
      if (taken.joined.empty()) continue;
      EXPECT_TRUE(joined.emplace(id, plain_of(taken)).second) << seed;
    }
    for (const auto& [id, whole] : wholes) {
      ASSERT_EQ(joined.contains(id), !damaged.contains(id)) << seed;
      EXPECT_TRUE(damaged.contains(id) || joined[id] == whole) << seed;
    }
    EXPECT_EQ(reassembly.expire(kNow + 2 * Reassembly::kMaxAge), damaged.size());
  }
}

TEST(Reassembly, PiecesOfOneFrameAreBalanced) {
  std::mt19937_64 rng(1);
  const auto two = pieces(random_whole(rng, 1501), 1, 2);
  EXPECT_EQ(two[0].size() - wire::kFragmentHeaderSize, 751U);
  EXPECT_EQ(two[1].size() - wire::kFragmentHeaderSize, 750U);
}

TEST(Reassembly, DiscardsIncompleteFrames) {
  std::mt19937_64 rng(1);
  Reassembly reassembly;
  reassembly.take(pieces(random_whole(rng, 1000), 1, 2)[0], 0, kNow);
  EXPECT_EQ(reassembly.expire(kNow + Reassembly::kMaxAge), 0U);
  EXPECT_EQ(reassembly.expire(kNow + Reassembly::kMaxAge + Duration(1)), 1U);
  EXPECT_EQ(reassembly.expire(kNow + std::chrono::hours(1)), 0U);
}

// A peer that sends first pieces only uses no more than its limit, and the newest frame can still be completed.
TEST(Reassembly, IsBounded) {
  std::mt19937_64 rng(1);
  for (const std::size_t size : {1000UL, 60000UL}) {
    Reassembly reassembly;
    const Bytes whole = random_whole(rng, size);
    std::size_t lost = 0;
    for (std::uint32_t id = 0; id < 1000; ++id) lost += reassembly.take(pieces(whole, id, 50)[0], 0, kNow).lost;
    const std::size_t kept = std::min(Reassembly::kMaxFrames, Reassembly::kMaxBytes / size);
    EXPECT_EQ(lost, 1000 - kept);
    const auto last = pieces(whole, 999, 50);
    for (std::size_t i = 1; i + 1 < last.size(); ++i) EXPECT_TRUE(reassembly.take(last[i], 0, kNow).joined.empty());
    EXPECT_TRUE(plain_of(reassembly.take(last.back(), 0, kNow)) == whole);
  }
}

TEST(Reassembly, RejectsInconsistentPieces) {
  std::mt19937_64 rng(1);
  const Bytes whole = random_whole(rng, 1000);
  const Bytes good = pieces(whole, 1, 3)[1];
  Reassembly reassembly;
  const auto refused = [&](auto alter) {
    Bytes piece = good;
    alter(piece);
    return reassembly.take(piece, 0, kNow).drop == Drop::malformed;
  };
  EXPECT_TRUE(refused([](Bytes& p) { p.pop_back(); }));
  EXPECT_TRUE(refused([](Bytes& p) { p.push_back({}); }));
  EXPECT_TRUE(refused([](Bytes& p) { p.resize(7); }));
  EXPECT_TRUE(refused([](Bytes& p) { p[6] = std::byte{3}; }));  // the fourth of three
  EXPECT_TRUE(refused([](Bytes& p) { p[7] = std::byte{0}; }));
  EXPECT_TRUE(refused([](Bytes& p) { p[7] = std::byte{1}; }));
  EXPECT_TRUE(refused([](Bytes& p) {  // five bytes in four pieces: the third would start beyond the end
    p.resize(wire::kFragmentHeaderSize + 2);
    wire::put_fragment_header(p.data(), {.id = 1, .total = 5, .index = 1, .count = 4});
  }));
  EXPECT_EQ(reassembly.take(good, 0, kNow).drop, Drop::none);
  EXPECT_EQ(reassembly.take(good, 0, kNow).drop, Drop::malformed);                    // twice
  EXPECT_EQ(reassembly.take(pieces(whole, 1, 4)[0], 0, kNow).drop, Drop::malformed);  // of another count
  EXPECT_TRUE(reassembly.take(pieces(whole, 1, 3)[0], 0, kNow).joined.empty());
  EXPECT_TRUE(plain_of(reassembly.take(pieces(whole, 1, 3)[2], 0, kNow)) == whole);
}

TEST(Fragments, AMarkOnAnyPieceMarksTheWhole) {
  std::mt19937_64 rng(1);
  const Bytes whole = random_whole(rng, 1000);
  for (int marked = -1; marked < 3; ++marked) {
    Reassembly reassembly;
    Reassembly::Taken taken;
    const auto all = pieces(whole, 1, 3);
    for (int i = 0; i < 3; ++i) {
      taken = reassembly.take(all[static_cast<std::size_t>(i)], i == marked ? 0xbb : 0xba, kNow);
    }
    EXPECT_FALSE(taken.joined.empty());
    EXPECT_EQ(taken.traffic_class, marked < 0 ? 0xba : 0xbb) << marked;
  }
}

}  // namespace
}  // namespace eps::dataplane
