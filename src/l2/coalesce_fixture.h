// SPDX-License-Identifier: MIT
#pragma once

// Rounds of received segments for the tests of the coalescer, and what it writes for them.

#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "l2/coalesce.h"
#include "l2/frames_fixture.h"

namespace eps::l2::test {

struct Written {
  Bytes frame;
  ports::FrameMeta meta;
};

// The output of a coalescer, which is empty afterwards.
inline std::vector<Written> take_writes(Coalescer& coalescer) {
  std::vector<Written> out;
  for (const ports::TapWrite& write : coalescer.finish()) out.push_back({join(write), write.meta});
  coalescer.reset();
  return out;
}

inline bool same_meta(const ports::FrameMeta& a, const ports::FrameMeta& b) {
  return a.gso == b.gso && a.gso_size == b.gso_size && a.header_size == b.header_size &&
         a.checksum_partial == b.checksum_partial && a.csum_start == b.csum_start && a.csum_offset == b.csum_offset &&
         a.checksum_valid == b.checksum_valid;
}

// Plaintexts in receive buffers, and what a round of them writes.
class Round {
 public:
  explicit Round(Offloads offloads = {}) : coalescer_(offloads) {}
  void add(const Bytes& plain) {
    Inner inner;
    ASSERT_EQ(buffers_.emplace_back(plain).decode(inner), Drop::none);
    ASSERT_TRUE(coalescer_.add(inner));
  }
  // A frame in a datagram of its own, its header elided where it can be.
  void add_frame(Bytes frame, bool partial) {
    Segmenter segmenter;
    const std::vector<Bytes> plains = split(segmenter, frame, partial ? meta_of(frame, 0) : ports::FrameMeta{});
    ASSERT_EQ(plains.size(), 1U);
    add(plains[0]);
  }
  void add_partial(const Spec& spec) { add_frame(build(spec), true); }
  void add_complete(const Spec& spec) { add_frame(build_complete(spec), false); }
  std::vector<Written> finish() {
    std::vector<Written> out = take_writes(coalescer_);
    buffers_.clear();
    return out;
  }

 private:
  std::deque<Received> buffers_;
  Coalescer coalescer_;
};

inline Spec spec_of(std::uint8_t version, std::uint8_t protocol, std::size_t payload, std::uint64_t seed = 1) {
  Engine rng(seed);
  Spec spec;
  spec.version = version;
  spec.protocol = protocol;
  spec.payload = random_bytes(rng, payload);
  return spec;
}

// The segment that follows `spec` directly.
inline Spec next_of(Spec spec, std::size_t payload) {
  spec.sequence += static_cast<std::uint32_t>(spec.payload.size());
  ++spec.id;
  spec.payload = spec_of(4, kProtocolTcp, payload, spec.sequence).payload;
  return spec;
}

// Two specs as one.
inline Spec joined(const std::vector<Spec>& parts) {
  Spec out = parts.at(0);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    out.payload.insert(out.payload.end(), parts[i].payload.begin(), parts[i].payload.end());
    out.flags |= parts[i].flags;
  }
  return out;
}

}  // namespace eps::l2::test
