// SPDX-License-Identifier: MIT
#pragma once

// The sending side: turns one frame of the TAP, possibly a super-frame of up to 64 KB, into inner segments that are
// sealed into one datagram each. The payload is not copied: a segment is a small head, built here, and a view of the
// frame.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"
#include "l2/parse.h"
#include "model/counters.h"
#include "ports/tap.h"

namespace eps::l2 {

// `head` and `body` follow each other in the datagram; the first byte of `head` is the kind byte (wire/datagram.h).
struct Segment {
  ByteView head;
  ByteView body;
  std::uint32_t ethernet_size = 0;  // of the Ethernet frame that the segment represents
};

// The two ends of a session, whose MACs need not be sent with every packet.
struct MacPair {
  Mac self;
  Mac peer;
};

// The maximum number of segments of a super-frame: its gso_size is at least a 1024th of its payload.
inline constexpr std::size_t kMaxSegments = 1024;
inline constexpr std::size_t kNoLimit = ~std::size_t{0};

// The maximum for head and body of a segment together.
struct Limits {
  // TCP is cut to it, as its sender's kernel would have done for a smaller MTU; what cannot be cut stays larger: SYN
  // and URG segments, signed ones, anything but TCP.
  std::size_t segment = kNoLimit;
  // The MSS of a SYN is lowered to it, so that the other end's kernel makes segments that need no cutting: cut ones end
  // each super-frame with a short segment, behind which nothing can join the same run.
  std::size_t promised = kNoLimit;
};

class Segmenter {
 public:
  // With `carry_checksums` a transport checksum that the kernel left to its device stays unfinished, and a flag says
  // so; without, every segment leaves with its checksum.
  explicit Segmenter(bool carry_checksums = true);

  // Splits a frame. `elide` names the session's ends, so that the Ethernet header is left out where the receiver can
  // restore it exactly; null to send it always (one frame for many peers). `out` is valid until the next split and as
  // long as the frame; the frame is not modified. Drop::malformed, with `out` empty, if the frame does not parse, if
  // its metadata contradict it, or beyond kMaxSegments.
  Drop split(const ports::TapFrame& frame, const MacPair* elide, std::span<const Segment>& out, Limits limits = {});
  // The same for a frame already parsed.
  Drop split(const ports::TapFrame& frame, const FrameInfo& info, const MacPair* elide, std::span<const Segment>& out,
             Limits limits = {});

 private:
  // The heads of one frame: enough for kMaxSegments of 128 bytes, or for the whole of a frame that needs its checksum
  // computed.
  static constexpr std::size_t kArenaSize = 128 * 1024;

  bool split_one(const ports::TapFrame& frame, const FrameInfo& info, std::size_t skip, std::size_t promised);
  bool split_many(const ports::TapFrame& frame, const FrameInfo& info, std::size_t skip, std::size_t step);
  std::byte* take(std::size_t size);

  const bool carry_checksums_;
  const std::unique_ptr<std::byte[]> arena_;
  std::size_t used_ = 0;
  std::vector<Segment> segments_;
};

}  // namespace eps::l2
