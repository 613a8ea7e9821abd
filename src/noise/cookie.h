// SPDX-License-Identifier: MIT
#pragma once

// The MACs at the end of initiations and responses, and the cookie reply, as in the WireGuard paper (Donenfeld 2017,
// section 5.4.4): mac1 proves that the sender knows the receiver's public key; mac2 proves, when the receiver is under
// load, that the sender can receive at its endpoint. Nothing is answered without a valid mac1.

#include <array>
#include <optional>

#include "base/bytes.h"
#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"
#include "crypto/primitives.h"

namespace eps::noise {

using Cookie = std::array<std::byte, 16>;

// The receiving side; keeps one random secret that changes every two minutes.
class CookieChecker {
 public:
  CookieChecker(const PublicKey& self, Rng& rng);
  // Checks mac1 of a whole initiation or response.
  bool mac1_ok(ByteView datagram) const;
  // Checks mac2 against the cookie for the sender's endpoint; costs nothing where it is zero. REQUIRES: mac1_ok.
  bool mac2_ok(ByteView datagram, const Endpoint& from, Instant now);
  // The cookie reply (wire Type::cookie_reply) to a datagram from `from` whose sender index is `receiver`.
  Bytes make_reply(ByteView datagram, std::uint32_t receiver, const Endpoint& from, Instant now);

 private:
  void refresh(Instant now);
  Cookie cookie_for(const Endpoint& from) const;
  Rng& rng_;
  crypto::Hash mac1_key_;
  crypto::Hash cookie_key_;
  crypto::Key secret_;
  Instant secret_until_{};
};

// The sending side; one per peer.
class CookieJar {
 public:
  explicit CookieJar(const PublicKey& peer);
  // Appends mac1 and mac2 (zero without a fresh cookie).
  void append_macs(Bytes& datagram, Instant now);
  // Accepts a cookie reply to the last datagram; false if it does not authenticate.
  bool take_reply(ByteView reply, Instant now);

 private:
  crypto::Hash mac1_key_;
  crypto::Hash cookie_key_;
  std::optional<std::array<std::byte, 16>> last_mac1_;  // of the last datagram, until a reply to it is accepted
  std::optional<Cookie> cookie_;
  Instant cookie_until_{};
};

}  // namespace eps::noise
