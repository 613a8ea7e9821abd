// SPDX-License-Identifier: MIT
#pragma once

// The virtual Ethernet interface as the data plane sees it: batches of frames, each with its virtio offload metadata,
// so that a 64 KB super-frame crosses in one call.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace eps::ports {

// How a frame remains to be segmented (virtio GSO types; both UDP versions are one type there).
enum class Gso : std::uint8_t { none, tcp4, tcp6, udp };

struct FrameMeta {
  Gso gso = Gso::none;
  // Payload bytes of each segment where gso != none.
  std::uint16_t gso_size = 0;
  // Ethernet + IP + transport header bytes. On a read this is the kernel's hint; on a write it must be exact.
  std::uint16_t header_size = 0;
  // The transport checksum holds only the pseudo-header sum: it must be computed from byte `csum_start` of the frame to
  // its end and stored at csum_start + csum_offset.
  bool checksum_partial = false;
  std::uint16_t csum_start = 0;
  std::uint16_t csum_offset = 0;
  // On a write: the sender's end has verified the checksum, so the kernel need not (virtio DATA_VALID).
  bool checksum_valid = false;
};

// Headroom before every frame that a read returns, for the caller's headers.
inline constexpr std::size_t kTapHeadroom = 64;
// The largest frame: a 64 KB IP packet and its Ethernet header with one VLAN tag.
inline constexpr std::size_t kMaxSuperFrame = 65535 + 18;

struct TapFrame {
  ByteSpan bytes;  // from the destination MAC on
  FrameMeta meta;
};

// One frame to write, given in pieces that follow each other on the wire.
struct TapWrite {
  std::span<const ByteView> pieces;
  FrameMeta meta;
};

// Thread rules: one thread at a time reads, one writes; they may be the same.
class TapPort {
 public:
  virtual ~TapPort() = default;
  // Reads up to `out.size()` frames without blocking and returns their number. The frames are in the port's own
  // buffers, which the caller may overwrite, and stay valid until the next read.
  virtual std::size_t read(std::span<TapFrame> out) = 0;
  // Whether the last read emptied the queue. For the reading thread.
  virtual bool drained() const { return true; }
  // Writes as many frames as it can; returns how many the kernel took. The others are lost (interface down or full).
  virtual std::size_t write(std::span<const TapWrite> frames) = 0;
  // Whether the last write lost frames because the interface is down. For the writing thread.
  virtual bool down() const { return false; }
};

}  // namespace eps::ports
