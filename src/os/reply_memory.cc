// SPDX-License-Identifier: MIT
#include "os/reply_memory.h"

#include <algorithm>
#include <atomic>
#include <bit>

#include "base/check.h"

namespace eps::os {
namespace {

using Words = std::array<std::uint64_t, 2>;
constexpr std::uint32_t kInUse = 1U << 16;
// How old `heard` may become before it is updated, so that a stream of datagrams does not write for each of them.
constexpr Instant::rep kRefresh = Duration(std::chrono::milliseconds(100)).count();

template <class T>
T load(T& from, std::memory_order order = std::memory_order_relaxed) {
  return std::atomic_ref(from).load(order);
}
template <class T>
void store(T& to, T value, std::memory_order order = std::memory_order_relaxed) {
  std::atomic_ref(to).store(value, order);
}

std::uint64_t mix(std::uint64_t x) {  // the finaliser of splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

ReplyMemory::ReplyMemory(std::uint64_t seed)
    : seed_(seed), slots_(static_cast<Slot*>(std::calloc(kSlots, sizeof(Slot)))) {
  EPS_CHECK(slots_ != nullptr);
}

std::size_t ReplyMemory::first_slot(const Endpoint& endpoint) const {
  const auto words = std::bit_cast<Words>(endpoint.ip.bytes);
  const std::uint64_t hash = mix(mix(mix(seed_ ^ words[0]) ^ words[1]) ^ endpoint.port);
  return static_cast<std::size_t>(hash % (kSlots / kWays)) * kWays;
}

// nullopt: empty, or being written at this moment.
std::optional<ReplyMemory::Entry> ReplyMemory::read(Slot& slot) {
  const std::uint32_t before = load(slot.sequence, std::memory_order_acquire);
  const std::uint32_t port = load(slot.port_and_flag);
  if ((before & 1) != 0 || (port & kInUse) == 0) return std::nullopt;
  Entry out;
  out.endpoint = {{std::bit_cast<decltype(IpAddress::bytes)>(Words{load(slot.remote[0]), load(slot.remote[1])})},
                  static_cast<std::uint16_t>(port)};
  out.at = {{std::bit_cast<decltype(IpAddress::bytes)>(Words{load(slot.local[0]), load(slot.local[1])})},
            load(slot.interface)};
  out.heard = load(slot.heard);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (load(slot.sequence) != before) return std::nullopt;
  return out;
}

// Null: empties it. If it is being written, leave it alone: the next datagram brings the same again.
void ReplyMemory::write(Slot& slot, const Entry* entry) {
  std::uint32_t before = load(slot.sequence);
  const bool mine =
      (before & 1) == 0 &&
      std::atomic_ref(slot.sequence).compare_exchange_strong(before, before + 1, std::memory_order_acq_rel);
  if (!mine) return;
  std::atomic_thread_fence(std::memory_order_release);
  if (entry != nullptr) {
    const auto remote = std::bit_cast<Words>(entry->endpoint.ip.bytes);
    const auto local = std::bit_cast<Words>(entry->at.ip.bytes);
    for (std::size_t i = 0; i < remote.size(); ++i) {
      store(slot.remote[i], remote[i]);
      store(slot.local[i], local[i]);
    }
    store(slot.interface, entry->at.interface);
    store(slot.heard, entry->heard);
  }
  store(slot.port_and_flag, entry == nullptr ? 0U : kInUse | entry->endpoint.port);
  store(slot.sequence, before + 2, std::memory_order_release);
}

void ReplyMemory::heard(const Endpoint& from, const LocalAddress& at, Instant now) {
  const Instant::rep when = now.time_since_epoch().count();
  const std::size_t first = first_slot(from);
  Slot* place = nullptr;
  Instant::rep oldest = 0;
  for (std::size_t i = first; i < first + kWays; ++i) {
    const auto entry = read(slots_[i]);
    if (entry && entry->endpoint == from) {
      const bool same = entry->at == at;
      if (same ? when - entry->heard >= kRefresh : when - entry->heard >= kHold.count()) {
        const Entry fresh{from, at, when};
        write(slots_[i], &fresh);
      }
      return;
    }
    const Instant::rep age = entry ? entry->heard : Instant::rep{0};
    if (place == nullptr || age < oldest) {
      place = &slots_[i];
      oldest = age;
    }
  }
  const Entry fresh{from, at, when};
  write(*place, &fresh);
}

std::optional<LocalAddress> ReplyMemory::find(const Endpoint& to) const {
  const std::size_t first = first_slot(to);
  for (std::size_t i = first; i < first + kWays; ++i) {
    if (load(slots_[i].port_and_flag) != (kInUse | to.port)) continue;
    if (const auto entry = read(slots_[i]); entry && entry->endpoint == to) return entry->at;
  }
  return std::nullopt;
}

void ReplyMemory::forget(const Endpoint& to) {
  const std::size_t first = first_slot(to);
  for (std::size_t i = first; i < first + kWays; ++i) {
    if (const auto entry = read(slots_[i]); entry && entry->endpoint == to) write(slots_[i], nullptr);
  }
}

void ReplyMemory::forget_except(std::span<const IpAddress> present) {
  for (std::size_t i = 0; i < kSlots; ++i) {
    if (load(slots_[i].port_and_flag) == 0) continue;
    const auto entry = read(slots_[i]);
    if (entry && std::ranges::find(present, entry->at.ip) == present.end()) write(slots_[i], nullptr);
  }
}

}  // namespace eps::os
