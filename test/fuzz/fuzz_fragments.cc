// SPDX-License-Identifier: MIT

// The reassembly of fragments: whatever a peer seals, memory use is bounded, and reassembled frames consist of the
// bytes that were sent for them.
//
// The input is a series of | size 16 | bytes ... |, each the content of a fragment; with the highest bit of the size
// set a second passes before it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>

#include "base/check.h"
#include "dataplane/fragments.h"

using namespace eps;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Reader in(ByteView(reinterpret_cast<const std::byte*>(data), size));
  dataplane::Reassembly reassembly;
  Instant now{std::chrono::seconds(10)};
  std::map<std::uint32_t, std::map<std::uint8_t, Bytes>> sent;
  while (in.ok() && in.remaining() > 2) {
    const std::uint16_t head = in.u16();
    if ((head & 0x8000) != 0) now += std::chrono::seconds(1);
    const ByteView content = in.bytes(std::min<std::size_t>(head & 0x7fff, in.remaining()));
    const auto fragment = wire::parse_fragment(content);
    const auto taken = reassembly.take(content, static_cast<std::uint8_t>(head), now);
    EPS_CHECK(fragment || taken.drop == Drop::malformed);
    if (taken.drop != Drop::none) {
      EPS_CHECK(taken.joined.empty() && taken.lost == 0);
      continue;
    }
    const ByteView piece = content.subspan(wire::kFragmentHeaderSize);
    sent[fragment->id].insert_or_assign(fragment->index, Bytes(piece.begin(), piece.end()));
    if (!taken.joined.empty()) {
      EPS_CHECK(taken.joined.size() == wire::kDataHeaderSize + fragment->total);
      Bytes whole;
      for (std::uint8_t i = 0; i < fragment->count; ++i) {
        const Bytes& part = sent[fragment->id][i];
        whole.insert(whole.end(), part.begin(), part.end());
      }
      EPS_CHECK(equal(whole, ByteView(taken.joined).subspan(wire::kDataHeaderSize)));
    }
  }
  EPS_CHECK(reassembly.expire(now + std::chrono::hours(1)) <= dataplane::Reassembly::kMaxFrames);
  return 0;
}
