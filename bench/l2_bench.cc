// SPDX-License-Identifier: MIT

// Cutting and joining as the data plane does them: a 64 KB super-frame into the segments of MTU 1400, and the received
// segments back into one write. Times are per super-frame; items_per_second counts segments.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "l2/coalesce.h"
#include "l2/inner.h"
#include "l2/segment.h"
#include "l2/source_guard.h"

namespace eps::l2 {
namespace {

constexpr std::size_t kMss = 1400 - 52;  // IPv4, TCP with timestamps
constexpr std::size_t kSegments = 44;
constexpr std::size_t kHeaders = kEthernetSize + 52;
const MacPair kSender{*parse_mac("02:00:00:00:00:01"), *parse_mac("02:00:00:00:00:02")};
constexpr Ip4 kSenderIp{0x0a000001};

class SuperFrame {
 public:
  SuperFrame() {
    Writer w(space_);
    w.bytes(Bytes(ports::kTapHeadroom));
    w.bytes(kSender.peer.bytes);
    w.bytes(kSender.self.bytes);
    w.u16(kEtherIp4);
    w.u16(0x4500);
    w.u16(static_cast<std::uint16_t>(52 + kSegments * kMss));
    w.u64(0x0001400040060000);  // id 1, DF, TTL 64, TCP
    w.u32(kSenderIp.value);
    w.u32(kSenderIp.value + 1);
    w.u64(0x14511f9000000001);  // ports, sequence
    w.u64(0x0000000280180200);  // acknowledgement, ACK and PSH, window
    w.u32(0);
    w.u64(0x0101080a00000001);  // timestamps
    w.u32(2);
    w.bytes(Bytes(kSegments * kMss, std::byte{0x5a}));
  }
  ports::TapFrame frame() {
    ports::FrameMeta meta;
    meta.gso = ports::Gso::tcp4;
    meta.gso_size = kMss;
    meta.header_size = kHeaders;
    meta.checksum_partial = true;
    meta.csum_start = kEthernetSize + kIp4Size;
    meta.csum_offset = kTcpChecksum;
    return {ByteSpan(space_).subspan(ports::kTapHeadroom), meta};
  }

 private:
  Bytes space_;
};

void report(benchmark::State& state) {
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kSegments));
}

void split(benchmark::State& state, bool carry_checksums) {
  SuperFrame super;
  Segmenter segmenter(carry_checksums);
  std::span<const Segment> segments;
  for (auto _ : state) {
    EPS_CHECK(segmenter.split(super.frame(), &kSender, segments) == Drop::none);
    benchmark::DoNotOptimize(segments.data());
  }
  EPS_CHECK(segments.size() == kSegments);
  report(state);
}

// One super-frame for each of `flows`, whose segments arrive by turns.
void receive(benchmark::State& state, bool carry_checksums, Offloads offloads, std::size_t flows) {
  std::vector<Bytes> received;
  SuperFrame super;
  Segmenter segmenter(carry_checksums);
  std::span<const Segment> segments;
  for (std::size_t i = 0; i < kSegments * flows; ++i) {
    if (i % flows == 0) EPS_CHECK(segmenter.split(super.frame(), &kSender, segments) == Drop::none);
    const Segment& segment = segments[i / flows];
    Bytes& plain = received.emplace_back(segment.head.begin(), segment.head.end());
    plain.insert(plain.end(), segment.body.begin(), segment.body.end());
    if (carry_checksums) plain[1 + kIp4Size + 1] ^= static_cast<std::byte>(i % flows);  // another source port
  }
  Coalescer coalescer(offloads);
  std::vector<Bytes> heads;  // joining writes into the first segment of each run
  for (const Bytes& plain : received) heads.emplace_back(plain.begin(), plain.begin() + 1 + 52);
  std::size_t writes = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < received.size(); ++i) {
      if (i < flows || !offloads.tso) std::copy(heads[i].begin(), heads[i].end(), received[i].begin());
      Inner inner;
      EPS_CHECK(decode(received[i], kSender.peer, kSender.self, inner) == Drop::none);
      EPS_CHECK(check_source(inner, {kSender.self, kSenderIp}) == Drop::none);
      EPS_CHECK(coalescer.add(inner));
    }
    const auto out = coalescer.finish();
    benchmark::DoNotOptimize(out.data());
    writes = out.size();
    coalescer.reset();
  }
  EPS_CHECK(writes == (offloads.tso ? flows : kSegments * flows));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * received.size()));
}

void parse(benchmark::State& state) {
  SuperFrame super;
  const ports::TapFrame frame = super.frame();
  for (auto _ : state) {
    const auto info = parse_frame(frame.bytes);
    EPS_CHECK(info && check_source(frame.bytes, *info, {kSender.self, kSenderIp}) == Drop::none);
    benchmark::DoNotOptimize(info);
  }
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK(parse)->Name("parse_and_guard");
BENCHMARK_CAPTURE(split, checksums_carried, true);
BENCHMARK_CAPTURE(split, checksums_computed, false);
BENCHMARK_CAPTURE(receive, checksums_carried, true, Offloads{}, 1);
BENCHMARK_CAPTURE(receive, checksums_computed, false, Offloads{}, 1);
BENCHMARK_CAPTURE(receive, four_flows_by_turns, true, Offloads{}, 4);
BENCHMARK_CAPTURE(receive, without_tso, true, Offloads{false, false, true}, 1);
BENCHMARK_CAPTURE(receive, without_offloads, true, Offloads{false, false, false}, 1);

}  // namespace
}  // namespace eps::l2
