// SPDX-License-Identifier: MIT
#pragma once

// Remembers which of this machine's addresses each endpoint sends to, so that what goes back leaves from that one: a
// host with several addresses would otherwise answer from the one that its routes prefer, which NATs and firewalls on
// the way do not let in.

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>

#include "base/time.h"
#include "base/types.h"

namespace eps::os {

// An address of ours, and the interface where what is sent to it arrives.
struct LocalAddress {
  IpAddress ip;
  std::uint32_t interface = 0;  // its index
  bool operator==(const LocalAddress&) const = default;
};

// Thread rules: any thread at any time. Lock-free: each slot has a sequence number that is odd while it is written.
class ReplyMemory {
 public:
  // Of endpoints; each takes 64 bytes once it is used. The members of a full network in both address families.
  static constexpr std::size_t kSlots = 32768;
  // An endpoint that keeps sending to one address is not moved to another by a single datagram: anybody can forge one,
  // and it would turn the conduit to an address that the peer's NAT does not let in.
  static constexpr Duration kHold = std::chrono::seconds(1);

  // `seed`: random, so that strangers cannot choose which entry they displace.
  explicit ReplyMemory(std::uint64_t seed);
  void heard(const Endpoint& from, const LocalAddress& at, Instant now);
  // The source address for this endpoint; nullopt: the kernel's choice.
  std::optional<LocalAddress> find(const Endpoint& to) const;
  // The address is no longer ours, or there is no way from it.
  void forget(const Endpoint& to);
  // This machine's addresses changed to `present`: forgets the endpoints that sent to any other.
  void forget_except(std::span<const IpAddress> present);

 private:
  static constexpr std::size_t kWays = 4;  // slots that an endpoint may be in
  struct Entry {
    Endpoint endpoint;
    LocalAddress at;
    Instant::rep heard = 0;
  };
  // Written and read through std::atomic_ref only. All zero: empty, so that unused pages are never touched.
  struct Slot {
    std::uint32_t sequence;
    std::uint32_t port_and_flag;  // bit 16: in use
    std::array<std::uint64_t, 2> remote, local;
    std::uint32_t interface;
    Instant::rep heard;
  };
  struct Free {
    void operator()(Slot* slots) const { std::free(slots); }
  };
  std::size_t first_slot(const Endpoint& endpoint) const;
  static std::optional<Entry> read(Slot& slot);
  static void write(Slot& slot, const Entry* entry);

  const std::uint64_t seed_;
  std::unique_ptr<Slot[], Free> slots_;
};

}  // namespace eps::os
