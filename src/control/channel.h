// SPDX-License-Identifier: MIT
#pragma once

// One end of a control connection above TCP: frames with a length of 16 bits, first the two handshake messages in
// clear, then ChaCha20-Poly1305 with one 64-bit counter per direction (Noise transport messages).
//
// A channel in use gets new keys by another handshake, whose messages are sealed in it (docs/protocol.md, "New keys").
// TCP keeps the order, so each direction changes at a place that both ends know, and nothing is lost:
//
//     client                                                   server
//     begin_rekey(), send message 1         ->                 answer_rekey(), send message 2, seal_anew()
//     finish_rekey(), send an empty one,    <-
//     seal_anew(), open_anew()              -> the empty one   open_anew()

#include <memory>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/time.h"
#include "crypto/aead.h"
#include "noise/handshake.h"

namespace eps::control {

inline constexpr std::string_view kPrologue = "eps control 1";
inline constexpr std::uint8_t kVersion = 1;

// What a client requests in its first message; selects the pre-shared key.
enum class Purpose : std::uint8_t { first_join = 1, member = 2 };

// An overloaded server sends this instead of the handshake's second message: come back after this pause. It is sent
// only to clients whose first message has a third byte of payload, kMayWait. It is not authenticated, so it is worth no
// more than a refused connection.
inline constexpr std::byte kMayWait{1};
inline constexpr std::size_t kWaitingPayload = 3;  // bytes of payload: version, purpose, kMayWait
Bytes make_busy(Duration pause);
std::optional<Duration> parse_busy(ByteView frame);
inline constexpr Duration kMaxBusyPause = std::chrono::seconds(60);

// New keys are due after this time or after so many bytes in both directions, whichever comes first (RFC 4253, section
// 9, has an hour and a gigabyte). Each takes half a millisecond of both ends' CPU time.
inline constexpr Duration kRekeyAfter = std::chrono::hours(1);
inline constexpr std::uint64_t kRekeyAfterBytes = std::uint64_t{256} << 20;
// Never sooner after the last ones. A server ends connections that have it make new keys twice as often.
inline constexpr Duration kRekeyPause = std::chrono::seconds(1);

class Channel {
 public:
  static constexpr std::size_t kMaxFrame = 65'535;
  // Of one direction under one key, far below the 2^64 - 1 that its counter allows.
  static constexpr std::uint64_t kMaxMessages = std::uint64_t{1} << 48;

  Channel() = default;
  explicit Channel(std::uint64_t max_messages) : max_messages_(max_messages) {}

  // Consumes received bytes from the front of the view and yields the body of the first complete frame; nullopt when
  // more bytes are needed. At most one incomplete frame is kept.
  std::optional<Bytes> next_frame(ByteView& received);

  // The size of the frame of which a part is there; 0 while that is not known.
  std::size_t awaited() const { return partial_.size() < 2 ? 0 : load_be16(partial_.data()); }

  // From here on frames are sealed and opened.
  void begin_transport(const noise::TransportKeys& keys, bool initiator);
  bool transport() const { return seal_ != nullptr; }
  // Of the first handshake: names this connection, and nobody can make it come again.
  const crypto::Hash& binding() const { return binding_; }
  // Opens a frame's body; nullopt if it is forged, replayed or out of order: then the connection must end.
  std::optional<Bytes> open(ByteView frame);
  // Appends a sealed frame. REQUIRES: transport(), plain.size() <= wire::kMaxControlMessage.
  void seal(ByteView plain, Bytes& out);
  // The keys are used up: the connection must end.
  bool worn() const { return sealed_ >= max_messages_ || opened_ >= max_messages_; }
  // Bytes that were sealed and opened with the present keys.
  std::uint64_t volume() const { return volume_; }

  // The client's part. Message 1; empty if the server's key is unusable.
  Bytes begin_rekey(const crypto::KeyPair& self, const PublicKey& server, Rng& rng);
  bool rekeying() const { return rekey_.has_value(); }
  // False if message 2 does not answer message 1, or none was asked for: then the connection must end.
  [[nodiscard]] bool finish_rekey(ByteView message);
  // The server's part. Message 2; nullopt if message 1 is not of this client and this channel, or the client has not
  // changed to the keys before: then the connection must end.
  std::optional<Bytes> answer_rekey(const crypto::KeyPair& self, const PublicKey& client, ByteView message, Rng& rng);
  // What is sealed or opened from now on has the new keys; the old one is wiped. False: there are none.
  bool seal_anew() { return change(seal_, next_seal_, sealed_); }
  bool open_anew() { return change(open_, next_open_, opened_); }

  // Appends a frame in clear.
  static void put_frame(ByteView body, Bytes& out);

 private:
  void take_keys(const noise::TransportKeys& keys, bool initiator);
  Bytes rekey_prologue() const;
  bool change(std::unique_ptr<crypto::Aead>& from, std::unique_ptr<crypto::Aead>& to, std::uint64_t& counter);

  Bytes partial_;  // of the frame being received, beginning with its length
  std::unique_ptr<crypto::Aead> seal_;
  std::unique_ptr<crypto::Aead> open_;
  std::uint64_t sealed_ = 0;
  std::uint64_t opened_ = 0;
  std::uint64_t max_messages_ = kMaxMessages;
  std::uint64_t volume_ = 0;
  crypto::Hash binding_{};
  crypto::Hash last_hash_{};  // of the last handshake
  crypto::Key next_psk_;      // from it, for the next one
  std::unique_ptr<crypto::Aead> next_seal_;
  std::unique_ptr<crypto::Aead> next_open_;
  std::optional<noise::Initiator> rekey_;
};

}  // namespace eps::control
