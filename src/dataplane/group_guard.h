// SPDX-License-Identifier: MIT
#pragma once

// Keeps broadcast and multicast from flooding a network: a limit for each source, and a watch for loops. A loop exists
// if what this computer has sent comes back to it through its own interface, as when two members bridge one
// LAN.

#include <array>
#include <atomic>
#include <cstdint>

#include "base/bytes.h"
#include "base/rate_limit.h"
#include "base/time.h"
#include "base/types.h"

namespace eps::dataplane {

// Frames to groups that one member may send: more than discovery, games or a video stream need, and little enough for
// those who only listen.
inline constexpr Duration kGroupPause = std::chrono::milliseconds(1);    // 1,000 a second
inline constexpr Duration kGroupBurst = std::chrono::milliseconds(500);  // 500 at once
// Announcements of machines behind this computer: a host that is emptied moves dozens.
inline constexpr Duration kPresencePause = std::chrono::milliseconds(50);
inline constexpr Duration kPresenceBurst = 64 * kPresencePause;
// A frame that appears this often within a second may be looping; this many such frames are a loop. Of two members that
// bridge one LAN, the one with the higher number blocks, and the other only if that did not help.
inline constexpr std::uint32_t kSameFrames = 4;
inline constexpr std::uint32_t kRepetitions = 64;
inline constexpr std::uint32_t kRepetitionsOfTheOther = 256;
inline constexpr Duration kTwinSeen = std::chrono::seconds(10);
inline constexpr Duration kBlockFor = std::chrono::seconds(60);

// Shared by all workers. Any thread.
struct GroupState {
  RateLimit own;                               // what this computer sends to groups
  RateLimit presences;                         // what it announces of machines
  std::atomic<Instant::rep> blocked_until{0};  // no frame to a group passes the interface, either way
  std::atomic<std::uint32_t> twin{0};          // the member whose frames came in through this computer's interface
  std::atomic<Instant::rep> twin_at{0};
  // Whether a machine behind this computer has sent a packet of IPv4, of IPv6: the firewall passes it.
  std::array<std::atomic<bool>, 2> machine_passed{};
  void note_machine(int ip_version) {
    std::atomic<bool>& passed = machine_passed[ip_version == 4 ? 0 : 1];
    if (ip_version != 0 && !passed.load(std::memory_order_relaxed)) passed.store(true, std::memory_order_relaxed);
  }
  void note_twin(MemberId member, Instant now) {
    twin.store(member.value, std::memory_order_relaxed);
    twin_at.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  }
  bool blocked(Instant now) const {
    return now.time_since_epoch().count() < blocked_until.load(std::memory_order_relaxed);
  }
};

// Watches each frame to a group that this computer is about to send. Thread rules: one thread.
class LoopWatch {
 public:
  // True when the frame is looping and this computer has to block.
  bool goes_round(ByteView frame, const GroupState& state, MemberId self, Instant now);

 private:
  struct Seen {
    std::uint64_t hash = 0;
    Instant since{};
    std::uint32_t count = 0;
  };
  std::array<Seen, 64> seen_{};
  std::uint32_t repetitions_ = 0;  // since
  Instant since_{};
};

}  // namespace eps::dataplane
