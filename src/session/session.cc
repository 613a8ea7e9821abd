// SPDX-License-Identifier: MIT
#include "session/session.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace eps::session {
namespace {

// The responder waits this much longer, so that only one of the two starts a handshake.
constexpr Duration kResponderPatience = std::chrono::seconds(5);

// A batch of any size goes to the AEAD in chunks of this many items on the stack.
constexpr std::size_t kChunk = 64;

// Up to kChunk items without initialising those that are not used: a batch is often a single datagram, and zeroing
// 4 KiB would cost more than the AEAD.
template <class Item>
class Chunk {
 public:
  static_assert(std::is_trivially_destructible_v<Item>);
  void push(const Item& item) { std::construct_at(data() + size_++, item); }
  std::span<Item> items() { return {data(), size_}; }

 private:
  Item* data() { return reinterpret_cast<Item*>(storage_.data()); }
  alignas(Item)
      std::array<std::byte, kChunk * sizeof(Item)> storage_;  // NOLINT(bugprone-sizeof-expression): pointers as well
  std::size_t size_ = 0;
};

template <class Item>
std::span<Item> take_front(std::span<Item>& items) {
  const std::span<Item> front = items.first(std::min(items.size(), kChunk));
  items = items.subspan(front.size());
  return front;
}

// REQUIRES: the datagram passed parse_data_header.
std::uint32_t counter_of(const Open& item) {
  return load_be32(item.datagram.data() + 4);
}

void refuse(Open& item, Drop reason) {
  item.plain = {};
  item.drop = reason;
}

}  // namespace

Session::Session(SessionParams params)
    : local_index_(params.local_index),
      remote_index_(params.remote_index),
      aead_kind_(params.aead),
      initiator_(params.initiator),
      features_(params.features),
      established_at_(params.established_at),
      rekey_after_packets_(params.rekey_after_packets),
      send_packets_(params.send_packets),
      max_failed_opens_(params.max_failed_opens),
      send_aead_(crypto::make_aead(params.aead, params.send_key)),
      receive_aead_(crypto::make_aead(params.aead, params.receive_key)) {
  EPS_CHECK(local_index_ <= wire::kMaxIndex && remote_index_ <= wire::kMaxIndex);
}

bool Session::may_send(Instant now) const {
  return age(now) < kSendUntil && sealed_count() < send_packets_ && !closed();
}

bool Session::may_receive(Instant now) const {
  return age(now) < kReceiveUntil && !closed();
}

bool Session::wants_rekey(Instant now) const {
  const Duration after = initiator_ ? kRekeyAfter : kRekeyAfter + kResponderPatience;
  return age(now) >= after || sealed_count() >= rekey_after_packets_ || closed();
}

bool Session::seal(std::span<const Seal> items, Instant now) {
  if (!may_send(now)) return false;
  const std::optional<std::uint64_t> first = take_counters(items.size());
  if (!first) return false;
  std::uint64_t counter = *first;
  while (!items.empty()) {
    Chunk<crypto::SealItem> chunk;
    for (const Seal& item : take_front(items)) {
      EPS_CHECK(!item.head.empty() || !item.body.empty());
      wire::put_data_header(item.out, {.receiver = remote_index_, .counter = static_cast<std::uint32_t>(counter)});
      chunk.push({.nonce = counter,
                  .aad = {item.out, wire::kDataHeaderSize},
                  .head = item.head,
                  .body = item.body,
                  .out = item.out + wire::kDataHeaderSize});
      ++counter;
    }
    send_aead_->seal(chunk.items());
  }
  return true;
}

// The only source of counters: each is issued once, and none at or above the limit, so that no nonce repeats and the
// 32 bits on the wire never overflow.
std::optional<std::uint64_t> Session::take_counters(std::size_t n) {
  std::uint64_t first = next_counter_.load(std::memory_order_relaxed);
  do {
    if (first > send_packets_ || n > send_packets_ - first) return std::nullopt;
  } while (!next_counter_.compare_exchange_weak(first, first + n, std::memory_order_relaxed));
  return first;
}

bool Session::open(std::span<Open> items, Instant now) {
  if (!may_receive(now)) {
    for (Open& item : items) refuse(item, Drop::expired);
    return false;
  }
  for (std::span<Open> rest = items; !rest.empty();) authenticate(take_front(rest));
  return accept_once(items) && !opened_any_.load(std::memory_order_relaxed) &&
         !opened_any_.exchange(true, std::memory_order_acq_rel);
}

// Sets `plain` of authentic items and `drop` of all others. REQUIRES: at most kChunk items.
void Session::authenticate(std::span<Open> items) {
  Chunk<crypto::OpenItem> chunk;
  Chunk<Open*> owners;
  for (Open& item : items) {
    const std::optional<wire::DataHeader> header = wire::parse_data_header(item.datagram);
    if (!header) {
      refuse(item, Drop::malformed);
      continue;
    }
    if (header->receiver != local_index_) {
      refuse(item, Drop::unknown_session);
      continue;
    }
    const ByteSpan sealed = item.datagram.subspan(wire::kDataHeaderSize);
    chunk.push({.nonce = header->counter,
                .aad = item.datagram.first(wire::kDataHeaderSize),
                .sealed = sealed,
                .out = sealed.data()});
    owners.push(&item);
  }
  if (chunk.items().empty()) return;
  receive_aead_->open(chunk.items());

  std::uint64_t failed = 0;
  for (std::size_t i = 0; i < chunk.items().size(); ++i) {
    Open& item = *owners.items()[i];
    if (chunk.items()[i].ok) {
      const std::size_t size = item.datagram.size() - wire::kDataHeaderSize - wire::kTagSize;
      item.plain = item.datagram.subspan(wire::kDataHeaderSize, size);
      item.drop = Drop::none;
    } else {
      refuse(item, Drop::bad_tag);
      ++failed;
    }
  }
  if (failed != 0) failed_opens_.fetch_add(failed, std::memory_order_relaxed);
}

// Drops authentic items that were accepted before. Returns whether anything was accepted.
bool Session::accept_once(std::span<Open> items) {
  bool any = false;
  const Lock lock(window_mutex_);
  for (Open& item : items) {
    if (item.drop != Drop::none) continue;
    if (window_.accept(counter_of(item))) {
      any = true;
    } else {
      refuse(item, Drop::replayed);
    }
  }
  return any;
}

}  // namespace eps::session
