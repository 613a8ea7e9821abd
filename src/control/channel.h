// SPDX-License-Identifier: MIT
#pragma once

// One end of a control connection above TCP: frames with a length of 16 bits, first the two handshake messages in
// clear, then ChaCha20-Poly1305 with one 64-bit counter per direction (Noise transport messages).

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

class Channel {
 public:
  static constexpr std::size_t kMaxFrame = 65'535;

  // Consumes received bytes from the front of the view and yields the body of the first complete frame; nullopt when
  // more bytes are needed. At most one incomplete frame is kept.
  std::optional<Bytes> next_frame(ByteView& received);

  // From here on frames are sealed and opened.
  void begin_transport(const noise::TransportKeys& keys, bool initiator);
  bool transport() const { return seal_ != nullptr; }
  // Opens a frame's body; nullopt if it is forged, replayed or out of order: then the connection must end.
  std::optional<Bytes> open(ByteView frame);
  // Appends a sealed frame. REQUIRES: transport(), plain.size() <= wire::kMaxControlMessage.
  void seal(ByteView plain, Bytes& out);
  // Appends a frame in clear.
  static void put_frame(ByteView body, Bytes& out);

 private:
  Bytes partial_;  // of the frame being received, beginning with its length
  std::unique_ptr<crypto::Aead> seal_;
  std::unique_ptr<crypto::Aead> open_;
  std::uint64_t sealed_ = 0;
  std::uint64_t opened_ = 0;
};

}  // namespace eps::control
