// SPDX-License-Identifier: MIT
#pragma once

// One pair of transport keys between two members: seals and opens batches of data datagrams.
//
// Thread rules: every method may run on several threads at once. Sealing shares one atomic counter, opening shares one
// replay window under a mutex that is taken once per batch.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/time.h"
#include "crypto/aead.h"
#include "model/counters.h"
#include "model/features.h"
#include "session/replay_window.h"
#include "wire/datagram.h"

namespace eps::session {

// Lifetimes. Rekeying starts early enough for a slow handshake to finish before the old session ends.
inline constexpr Duration kRekeyAfter = std::chrono::seconds(110);    // then the session's initiator starts a rekey
inline constexpr Duration kSendUntil = std::chrono::seconds(120);     // afterwards nothing is sealed
inline constexpr Duration kReceiveUntil = std::chrono::seconds(150);  // datagrams in flight still open until then
inline constexpr std::uint32_t kRekeyAfterPackets = 1U << 26;
inline constexpr std::uint32_t kSendPackets = 1U << 27;
inline constexpr std::uint64_t kMaxFailedOpens = 1ULL << 36;  // NIST SP 800-38D and RFC 9001, section 6.6

struct SessionParams {
  std::uint32_t local_index = 0;   // the peer puts it into what it sends
  std::uint32_t remote_index = 0;  // we put it into what we send
  crypto::AeadKind aead = crypto::AeadKind::chacha20poly1305;
  crypto::Key send_key;
  crypto::Key receive_key;
  bool initiator = false;
  Features features;  // of both ends
  Instant established_at{};
  // Adjustable, so that a test reaches the end of a session's life.
  std::uint32_t rekey_after_packets = kRekeyAfterPackets;
  std::uint32_t send_packets = kSendPackets;
  std::uint64_t max_failed_opens = kMaxFailedOpens;
};

// One datagram to seal: `head` and `body` follow each other (the kind byte is the first byte of the two).
struct Seal {
  ByteView head;
  ByteView body;
  std::byte* out = nullptr;  // kDataHeaderSize + head + body + kTagSize bytes: the whole datagram
};

// One complete data datagram to open. On success `plain` views the kind byte and what follows, inside `datagram`
// (opened in place, plain begins at datagram[kDataHeaderSize]).
struct Open {
  ByteSpan datagram;
  ByteSpan plain;
  Drop drop = Drop::none;
};

class Session {
 public:
  explicit Session(SessionParams params);

  std::uint32_t local_index() const { return local_index_; }
  std::uint32_t remote_index() const { return remote_index_; }
  crypto::AeadKind aead() const { return aead_kind_; }
  crypto::AeadLibrary library() const { return send_aead_->library(); }
  bool initiator() const { return initiator_; }
  bool has(Feature feature) const { return features_.has(feature); }
  Instant established_at() const { return established_at_; }

  // Seals all items with consecutive counters. Returns false, sealing none, once the session may send no more (by time,
  // by failed opens, or because fewer counters are left than items). REQUIRES: head and body of each item have at least
  // one byte together; crypto::SealItem says what `out` may overlap.
  bool seal(std::span<const Seal> items, Instant now);
  // Opens all items and sets plain or drop of each. Returns true if the first item ever of this session opened in this
  // call (for the responder: the initiator has confirmed the session). Authenticates before checking the window, so
  // that a forged datagram changes nothing but a count.
  bool open(std::span<Open> items, Instant now);

  bool may_send(Instant now) const;
  bool may_receive(Instant now) const;
  bool wants_rekey(Instant now) const;  // by time (the responder 5 s later than the initiator) or by count
  std::uint64_t sealed_count() const { return next_counter_.load(std::memory_order_relaxed); }
  bool confirmed() const { return opened_any_.load(std::memory_order_acquire); }

 private:
  bool closed() const { return failed_opens_.load(std::memory_order_relaxed) >= max_failed_opens_; }
  Duration age(Instant now) const { return now - established_at_; }
  std::optional<std::uint64_t> take_counters(std::size_t n);
  void authenticate(std::span<Open> items);
  bool accept_once(std::span<Open> items);

  // Fixed for the session's lifetime.
  const std::uint32_t local_index_;
  const std::uint32_t remote_index_;
  const crypto::AeadKind aead_kind_;
  const bool initiator_;
  const Features features_;
  const Instant established_at_;
  const std::uint32_t rekey_after_packets_;
  const std::uint32_t send_packets_;
  const std::uint64_t max_failed_opens_;
  const std::unique_ptr<const crypto::Aead> send_aead_;
  const std::unique_ptr<const crypto::Aead> receive_aead_;

  // Written by the sealing and by the opening threads: two cache lines, so that one direction does not slow the other.
  alignas(64) std::atomic<std::uint64_t> next_counter_{0};
  alignas(64) std::atomic<std::uint64_t> failed_opens_{0};
  std::atomic<bool> opened_any_{false};
  Mutex window_mutex_;
  ReplayWindow window_ EPS_GUARDED_BY(window_mutex_);
};

}  // namespace eps::session
