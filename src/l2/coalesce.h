// SPDX-License-Identifier: MIT
#pragma once

// The receiving side, many packets at a time: joins what the sender cut (or what arrived as a train of packets) into
// super-frames again, so that the kernel's stack is walked once for 64 KB. The rules are those of the kernel's own
// receive offload (GRO): only packets that could be cut again into exactly the same packets are joined.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "l2/inner.h"
#include "ports/tap.h"

namespace eps::l2 {

// What the TAP accepts. Without `checksum` nothing is joined either: a super-frame has no finished checksum.
struct Offloads {
  bool tso = true;
  bool uso = true;
  bool checksum = true;
};

// Use: add() frames, finish(), write its result, reset(). The frames are in receive buffers that stay until then and
// whose headers are rewritten in place.
//
// Order: frames of a flow (addresses, ports, protocol, Ethernet header) leave in the order they came; a frame that does
// not continue its flow's run ends it and comes after. Otherwise the order is that of the first frame of each run.
//
// Not thread-safe. Allocates only when constructed.
class Coalescer {
 public:
  // Maximum frames between two resets.
  static constexpr std::size_t kMaxFrames = 2048;
  // Flows that can grow at the same time; the one not seen for the longest time is replaced.
  static constexpr std::size_t kMaxOpenRuns = 16;
  // The most segments of a UDP super-frame, as in the kernel (UDP_GRO_CNT_MAX).
  static constexpr std::size_t kMaxUdpSegments = 64;
  // The most segments of any super-frame: a piece each, well below the 1024 of a writev (IOV_MAX).
  static constexpr std::size_t kMaxRunSegments = 512;

  explicit Coalescer(Offloads offloads);

  // False, taking nothing, when kMaxFrames are held: finish, write and reset, then add again.
  [[nodiscard]] bool add(const Inner& inner);
  // The writes, valid until reset(). Nothing may be added in between.
  std::span<const ports::TapWrite> finish();
  void reset();
  bool empty() const { return runs_.empty(); }

 private:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  enum class Proof : std::uint8_t { partial, unverified, verified };

  // Frames that leave as one write. `first` holds the headers; the payload of the others follows as a list.
  struct Run {
    Inner first;
    const std::byte* ethernet = nullptr;  // the restored header, where it was elided
    std::uint32_t segments = 1;
    std::uint32_t list_head = kNone;
    std::uint32_t list_tail = kNone;
    std::size_t payload = 0;     // bytes of all segments
    std::size_t gso_size = 0;    // bytes of the first
    std::uint32_t sequence = 0;  // TCP: of the next segment
    bool fixed_id = false;       // the second segment had the IPv4 id of the first
    Proof proof = Proof::unverified;
  };
  struct Open {
    std::uint32_t hash = 0;
    std::uint32_t run = kNone;
    std::uint64_t met = 0;
  };
  struct Tail {
    ByteView payload;
    std::uint32_t next = kNone;
  };

  bool joinable(const Inner& inner) const;
  static bool grows(const Run& run);
  bool extend(Run& run, const Inner& inner);
  static bool proved(Run& run, const Inner& inner);
  std::uint32_t new_run(const Inner& inner);
  const std::byte* keep_ethernet(const Inner& inner);
  Open* find(std::uint32_t hash, const Inner& inner);
  void open(std::uint32_t hash, std::uint32_t run);
  void close(Open& open);
  void finish_one(const Run& run, ports::FrameMeta& meta) const;
  static void finish_joined(const Run& run, ports::FrameMeta& meta);

  const Offloads offloads_;
  std::vector<Run> runs_;
  std::vector<Tail> tails_;
  std::vector<std::array<std::byte, kEthernetSize>> ethernets_;
  std::array<Open, kMaxOpenRuns> open_{};
  std::size_t open_count_ = 0;
  std::uint64_t clock_ = 0;
  std::size_t frames_ = 0;
  std::vector<ByteView> pieces_;
  std::vector<ports::TapWrite> writes_;
};

}  // namespace eps::l2
