// SPDX-License-Identifier: MIT

// Both directions together, over random frames: what one end splits, the other joins. Each property holds for every
// seed; a failure prints its seed.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "l2/coalesce.h"
#include "l2/coalesce_fixture.h"
#include "l2/frames_fixture.h"
#include "l2/segment.h"
#include "l2/source_guard.h"
#include "support/inner_frames.h"

namespace eps::l2 {
namespace {

using test::build;
using test::meta_of;
using test::pick;
using test::Spec;
using test::Written;

std::vector<Written> receive(Coalescer& coalescer, const std::vector<Bytes>& plains) {
  std::deque<test::Received> buffers;
  for (const Bytes& plain : plains) {
    Inner inner;
    EXPECT_EQ(buffers.emplace_back(plain).decode(inner), Drop::none);
    EXPECT_EQ(check_source(inner, {test::kSelf, test::kSelfIp}), Drop::none);
    EXPECT_TRUE(for_us(inner, test::kPeer));
    EXPECT_TRUE(coalescer.add(inner));
  }
  return test::take_writes(coalescer);
}

// A frame that the kernel might send: one of few flows, so that flows meet.
Spec random_spec(test::Engine& rng, std::size_t payload) {
  Spec spec;
  spec.version = rng() % 2 ? 4 : 6;
  spec.protocol = rng() % 3 ? kProtocolTcp : kProtocolUdp;
  spec.vlan = rng() % 5 == 0;
  spec.port = static_cast<std::uint16_t>(1000 + rng() % 3);
  spec.id = static_cast<std::uint16_t>(rng());
  spec.fragment = rng() % 2 ? 0x4000 : 0;
  spec.tos = static_cast<std::uint8_t>(rng());
  spec.sequence = static_cast<std::uint32_t>(rng());
  spec.flags = static_cast<std::uint8_t>(kTcpAck | (rng() & (kTcpFin | kTcpPsh | kTcpEce | kTcpCwr)));
  spec.tcp_options = test::random_bytes(rng, pick(rng, 0, 10) * 4);
  spec.payload = test::random_bytes(rng, payload);
  return spec;
}

TEST(Pipeline, ASuperFrameArrivesAsItLeft) {
  Segmenter carrying;
  Segmenter completing(false);
  Coalescer coalescer({});
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    test::Engine rng(seed);
    const std::size_t gso_size = pick(rng, 130, 3000);
    const std::size_t count = pick(rng, 2, std::min<std::size_t>(64, 65000 / gso_size));
    const Spec spec = random_spec(rng, gso_size * (count - 1) + pick(rng, 1, gso_size));
    Bytes frame = build(spec);
    const ports::FrameMeta meta = meta_of(frame, gso_size);
    Segmenter& segmenter = rng() % 4 ? carrying : completing;
    const std::vector<Bytes> plains = test::split(segmenter, frame, meta, rng() % 4 ? &test::kMacs : nullptr);
    ASSERT_EQ(plains.size(), count) << seed;
    const std::vector<Written> out = receive(coalescer, plains);
    ASSERT_EQ(out.size(), 1U) << seed;
    EXPECT_TRUE(out[0].frame == frame) << seed;
    EXPECT_EQ(out[0].meta.gso, meta.gso);
    EXPECT_EQ(out[0].meta.gso_size, gso_size);
    EXPECT_EQ(out[0].meta.header_size, meta.header_size);
    EXPECT_TRUE(out[0].meta.checksum_partial);
    EXPECT_EQ(out[0].meta.csum_start, meta.csum_start);
    EXPECT_EQ(out[0].meta.csum_offset, meta.csum_offset);
  }
}

// Without offloads each segment arrives as a valid frame of its own.
TEST(Pipeline, ATapWithoutOffloadsGetsFinishedFrames) {
  Segmenter segmenter;
  Coalescer coalescer({false, false, false});
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    test::Engine rng(seed);
    const Spec spec = random_spec(rng, pick(rng, 1, 60000));
    Bytes frame = build(spec);
    const std::size_t gso_size = pick(rng, 200, 3000);
    const std::vector<Bytes> plains = test::split(segmenter, frame, meta_of(frame, gso_size));
    const std::vector<Written> out = receive(coalescer, plains);
    ASSERT_EQ(out.size(), plains.size());
    Bytes payload;
    for (const Written& w : out) {
      ASSERT_TRUE(test::valid(w.frame)) << seed;
      EXPECT_EQ(w.meta.gso, ports::Gso::none);
      EXPECT_FALSE(w.meta.checksum_partial);
      const auto at = static_cast<std::ptrdiff_t>(parse_frame(w.frame)->payload_offset);
      payload.insert(payload.end(), w.frame.begin() + at, w.frame.end());
    }
    EXPECT_TRUE(payload == spec.payload) << seed;
  }
}

// Three flows, each a stream of plaintexts, and the network between.
class Streams {
 public:
  explicit Streams(std::uint64_t seed) : rng_(seed) {
    for (std::uint16_t f = 0; f < 3; ++f) {
      Spec spec = random_spec(rng_, 0);
      spec.port = static_cast<std::uint16_t>(2000 + f);
      spec.vlan = false;
      for (std::size_t i = pick(rng_, 2, 5); i > 0; --i) send(f, spec);
    }
  }

  // All plaintexts in some interleaving that keeps each stream's order.
  std::vector<Bytes> interleave() {
    std::vector<Bytes> out;
    std::array<std::size_t, 3> at{};
    for (;;) {
      std::vector<std::size_t> left;
      for (std::size_t f = 0; f < 3; ++f) {
        if (at[f] < streams_[f].size()) left.push_back(f);
      }
      if (left.empty()) return out;
      const std::size_t f = left[pick(rng_, 0, left.size() - 1)];
      const std::size_t burst = std::min(pick(rng_, 1, 6), streams_[f].size() - at[f]);
      for (std::size_t i = 0; i < burst; ++i) out.push_back(streams_[f][at[f]++]);
    }
  }

  // Loses, repeats, swaps and damages some.
  void disturb(std::vector<Bytes>& plains) {
    for (std::size_t i = 0; i + 1 < plains.size(); ++i) {
      switch (pick(rng_, 0, 40)) {
        case 0:
          plains.erase(plains.begin() + static_cast<std::ptrdiff_t>(i));
          break;
        case 1:
          plains.insert(plains.begin() + static_cast<std::ptrdiff_t>(i), Bytes(plains[i]));
          break;
        case 2:
          std::swap(plains[i], plains[pick(rng_, i, std::min(plains.size() - 1, i + 5))]);
          break;
        case 3:
          plains[i].back() ^= std::byte{1};
          break;  // a wrong checksum, or other payload
        default:
          break;
      }
    }
  }

 private:
  void send(std::size_t flow, Spec& spec) {
    spec.payload = test::random_bytes(rng_, pick(rng_, 1, 20000));
    Bytes frame = build(spec);
    Segmenter segmenter(rng_() % 3 != 0);
    for (Bytes& plain : test::split(segmenter, frame, meta_of(frame, 1000))) {
      streams_[flow].push_back(std::move(plain));
      ++spec.id;
    }
    spec.sequence += static_cast<std::uint32_t>(spec.payload.size());
  }

  test::Engine rng_;
  std::array<std::vector<Bytes>, 3> streams_;
};

// RFC 6864: the id of a packet that may not be fragmented means nothing. A repeated datagram, which looks like a run
// of fixed ids, may get another.
void forget_meaningless_id(Bytes& frame, const FrameInfo& info) {
  std::byte* ip = &frame[info.l3_offset];
  if (info.ip_version != 4 || (load_be16(ip + 6) & 0x4000) == 0) return;
  EXPECT_EQ(test::slow_sum(ByteView(ip, kIp4Size)), 0xffffU);
  store_be16(ip + 4, 0);
  store_be16(ip + 10, 0);
}

// A frame as the receiver's kernel finally has it: cut again and with its checksum completed, by its flow.
using ByPort = std::map<std::uint16_t, std::vector<Bytes>>;
void deliver(const Written& write, ByPort& out) {
  Segmenter segmenter(false);
  Bytes frame = write.frame;
  for (const Bytes& plain : test::split(segmenter, frame, write.meta, nullptr)) {
    Bytes single(plain.begin() + 1, plain.end());
    const auto info = parse_frame(single);
    forget_meaningless_id(single, *info);
    out[load_be16(&single[info->l4_offset + 2])].push_back(std::move(single));
  }
}

// However packets are lost, repeated, swapped or damaged: joined and cut again by the kernel, each flow's packets are
// as they arrived, byte for byte and in order.
TEST(Pipeline, JoiningChangesNoPacketAndNoOrderWithinAFlow) {
  Coalescer joining({});
  Coalescer plain_writes({false, false, true});
  std::size_t joined_writes = 0;
  std::size_t packets = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Streams streams(seed);
    std::vector<Bytes> plains = streams.interleave();
    if (seed % 3 != 0) streams.disturb(plains);
    ByPort expected;
    for (const Written& w : receive(plain_writes, plains)) deliver(w, expected);
    ByPort got;
    for (const Written& w : receive(joining, plains)) {
      deliver(w, got);
      ++joined_writes;
    }
    packets += plains.size();
    EXPECT_TRUE(got == expected) << seed;
  }
  EXPECT_LT(joined_writes * 3, packets);  // it did join
}

// An IPv6 packet with an extension header of destination options before its transport header.
Bytes with_extension(const Bytes& frame) {
  const auto info = parse_frame(frame);
  Bytes out = frame;
  std::byte* ip = &out[info->l3_offset];
  const std::byte extension[8] = {ip[6], {}, std::byte{1}, std::byte{4}, {}, {}, {}, {}};
  ip[6] = std::byte{60};
  store_be16(ip + 4, static_cast<std::uint16_t>(load_be16(ip + 4) + 8));
  out.insert(out.begin() + static_cast<std::ptrdiff_t>(info->l4_offset), extension, extension + 8);
  return out;
}

// Anything that an interface may send: of any of a few flows, whole or a fragment, plain or a super-frame, TCP, UDP or
// neither, with or without a VLAN tag, options, extension header, and finished checksum.
ports::TapFrame any_frame(test::Engine& rng, Bytes& frame) {
  if (rng() % 12 == 0) {
    const Spec spec;
    frame.assign(spec.dst.bytes.begin(), spec.dst.bytes.end());
    frame.insert(frame.end(), spec.src.bytes.begin(), spec.src.bytes.end());
    frame.insert(frame.end(), {std::byte{0x88}, std::byte{0xb5}});
    const Bytes content = test::random_bytes(rng, pick(rng, 0, 1500));
    frame.insert(frame.end(), content.begin(), content.end());
    return {frame, {}};
  }
  const std::size_t gso_size = rng() % 3 == 0 ? pick(rng, 1, 1400) : 0;
  const std::size_t size = gso_size != 0 ? pick(rng, gso_size + 1, gso_size * 20) : pick(rng, 0, 1400);
  Spec spec = random_spec(rng, size);
  if (rng() % 6 == 0 && spec.version == 4) spec.ip_options = test::random_bytes(rng, pick(rng, 1, 4) * 4);
  const bool fragment = gso_size == 0 && spec.version == 4 && rng() % 8 == 0;
  if (fragment) spec.fragment = static_cast<std::uint16_t>(rng() % 2 ? 0x2000 : 1 + rng() % 8000);
  const bool extended = gso_size == 0 && spec.version == 6 && rng() % 8 == 0;
  if (fragment) {
    frame = build(spec);
    return {frame, {}};
  }
  if (gso_size == 0 && rng() % 3 == 0) {
    frame = test::build_complete(spec);
    if (extended) frame = with_extension(frame);
    if (rng() % 8 == 0) frame.back() ^= std::byte{0x10};  // perhaps a wrong checksum: passed on as it is
    return {frame, {}};
  }
  frame = build(spec);
  if (extended) frame = with_extension(frame);
  return {frame, meta_of(frame, gso_size)};
}

// Puts some out of order, or all.
void disorder(test::Engine& rng, std::vector<Bytes>& plains) {
  switch (rng() % 4) {
    case 0:
      return;
    case 1:
      std::shuffle(plains.begin(), plains.end(), rng);
      return;
    case 2:
      std::reverse(plains.begin(), plains.end());
      return;
    default:
      for (std::size_t i = 0; i + 1 < plains.size(); ++i) {
        if (rng() % 10 == 0) std::swap(plains[i], plains[pick(rng, i, std::min(plains.size() - 1, i + 8))]);
      }
  }
}

// Any frames, with their segments in any order: the receiver's kernel gets what was sent, in the order of arrival
// within each flow, and every hint to it is exact. Checked by support/inner_frames.h.
TEST(Pipeline, AnyFramesInAnyOrderArriveAsTheyLeft) {
  using ByFlow = std::map<eps::test::Flow, std::vector<Bytes>>;
  Segmenter carrying;
  Segmenter completing(false);
  std::size_t segments = 0;
  std::size_t super_frames = 0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    test::Engine rng(seed);
    std::vector<Bytes> plains;
    std::vector<Bytes> left;  // what a wire would have carried
    for (std::size_t n = pick(rng, 1, 12); n > 0; --n) {
      Bytes buffer;
      const ports::TapFrame frame = any_frame(rng, buffer);
      for (Bytes& packet : eps::test::cut(Bytes(frame.bytes.begin(), frame.bytes.end()), frame.meta)) {
        left.push_back(eps::test::canonical(std::move(packet)));
      }
      Segmenter& segmenter = rng() % 3 ? carrying : completing;
      std::vector<Bytes> cut = test::split(segmenter, buffer, frame.meta, rng() % 4 ? &test::kMacs : nullptr);
      std::ranges::move(cut, std::back_inserter(plains));
    }
    ASSERT_EQ(plains.size(), left.size()) << seed;
    disorder(rng, plains);
    Coalescer coalescer({rng() % 8 != 0, rng() % 8 != 0, rng() % 8 != 0});
    std::vector<Bytes> decoded;  // in the order of arrival
    ByFlow expected;
    for (Bytes plain : plains) {
      Inner inner;
      ASSERT_EQ(decode(plain, test::kPeer, test::kSelf, inner), Drop::none) << seed;
      decoded.push_back(eps::test::canonical(inner));
      expected[eps::test::flow_of(decoded.back())].push_back(decoded.back());
    }
    std::ranges::sort(decoded);
    std::ranges::sort(left);
    ASSERT_TRUE(decoded == left) << seed << ": what was sealed is not what left";
    ByFlow got;
    std::deque<Bytes> buffers;
    for (const Bytes& plain : plains) {
      Inner inner;
      ASSERT_EQ(decode(buffers.emplace_back(plain), test::kPeer, test::kSelf, inner), Drop::none);
      ASSERT_TRUE(coalescer.add(inner));
    }
    for (const ports::TapWrite& write : coalescer.finish()) {
      eps::test::check_write(write);
      if (write.meta.gso != ports::Gso::none) ++super_frames;
      for (Bytes& packet : eps::test::cut(eps::test::joined(write.pieces), write.meta)) {
        packet = eps::test::canonical(std::move(packet));
        got[eps::test::flow_of(packet)].push_back(std::move(packet));
      }
    }
    coalescer.reset();
    segments += plains.size();
    EXPECT_TRUE(got == expected) << seed;
  }
  EXPECT_GT(super_frames, 1500U);
  EXPECT_GT(segments, 30000U);
}

// Whatever arrives, nothing is read or written outside the plaintext (the sanitizers watch), and the output stays
// within the limits.
TEST(Pipeline, GarbageIsHarmless) {
  Segmenter segmenter;
  Coalescer coalescer({});
  std::size_t decoded = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    test::Engine rng(seed);
    Bytes frame = build(random_spec(rng, pick(rng, 0, 3000)));
    std::vector<Bytes> plains = test::split(segmenter, frame, meta_of(frame, 500), rng() % 2 ? &test::kMacs : nullptr);
    std::deque<Bytes> exact;
    for (Bytes& plain : plains) {
      for (std::size_t n = pick(rng, 0, 3); n > 0; --n) {
        plain[pick(rng, 0, std::min<std::size_t>(plain.size() - 1, 80))] = static_cast<std::byte>(rng());
      }
      if (rng() % 8 == 0) plain.resize(pick(rng, 0, plain.size()));
      Inner inner;
      if (decode(exact.emplace_back(plain), test::kPeer, test::kSelf, inner) != Drop::none) continue;
      ++decoded;
      (void)check_source(inner, {test::kSelf, test::kSelfIp});
      ASSERT_TRUE(coalescer.add(inner));
    }
    for (const ports::TapWrite& write : coalescer.finish()) {
      EXPECT_LE(test::join(write).size(), ports::kMaxSuperFrame);
      EXPECT_TRUE(write.meta.gso == ports::Gso::none || write.meta.checksum_partial);
    }
    coalescer.reset();
  }
  EXPECT_GT(decoded, 3000U);
}

TEST(Pipeline, GarbageIsSplitOrRefused) {
  Segmenter segmenter;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    test::Engine rng(seed);
    Bytes frame = build(random_spec(rng, pick(rng, 0, 3000)));
    ports::FrameMeta meta = meta_of(frame, pick(rng, 0, 1500));
    for (std::size_t n = pick(rng, 0, 3); n > 0; --n) {
      frame[pick(rng, 12, std::min<std::size_t>(frame.size() - 1, 80))] = static_cast<std::byte>(rng());
    }
    if (rng() % 8 == 0) frame.resize(pick(rng, 0, frame.size()));
    if (rng() % 4 == 0) meta.csum_start = static_cast<std::uint16_t>(rng() % 4096);
    if (rng() % 4 == 0) meta.csum_offset = static_cast<std::uint16_t>(rng() % 64);
    if (rng() % 4 == 0) meta.gso = static_cast<ports::Gso>(rng() % 4);
    if (const auto info = parse_frame(frame)) (void)check_source(frame, *info, {test::kSelf, test::kSelfIp});
    std::span<const Segment> out;
    if (segmenter.split({frame, meta}, &test::kMacs, out) != Drop::none) continue;
    // What leaves, the receiver can read.
    for (const Segment& segment : out) {
      Bytes plain = test::plain_of(segment);
      Inner inner;
      EXPECT_EQ(decode(plain, test::kPeer, test::kSelf, inner), Drop::none) << seed;
      EXPECT_EQ(inner.frame_size(), segment.ethernet_size) << seed;
    }
  }
}

}  // namespace
}  // namespace eps::l2
