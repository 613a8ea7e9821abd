// SPDX-License-Identifier: MIT
#include "noise/cookie.h"

#include <algorithm>
#include <chrono>
#include <span>

#include "base/check.h"
#include "crypto/aead_internal.h"
#include "wire/datagram.h"

namespace eps::noise {
namespace {

using wire::kMacSize;

// Both sides count two minutes: the receiver from making its secret, the sender from receiving the cookie. A sender
// whose cookie outlives the secret gets a new reply.
constexpr auto kCookieLifetime = std::chrono::seconds(120);

constexpr std::size_t kReplyHeaderSize = 4;
constexpr std::size_t kSealedCookieSize = sizeof(Cookie) + crypto::kTagSize;
constexpr std::size_t kReplySize = kReplyHeaderSize + sizeof(crypto::RawNonce) + kSealedCookieSize;

crypto::Hash labelled(std::string_view label, const PublicKey& key) {
  return crypto::blake2s({as_view(label), key.bytes});
}
crypto::Hash mac1_key(const PublicKey& receiver) {
  return labelled("mac1----", receiver);
}
crypto::Hash cookie_key(const PublicKey& receiver) {
  return labelled("cookie--", receiver);
}

// The parts of a datagram that ends in both MACs. REQUIRES: it is long enough for them.
ByteView before_macs(ByteView datagram) {
  return datagram.first(datagram.size() - 2 * kMacSize);
}
ByteView before_mac2(ByteView datagram) {
  return datagram.first(datagram.size() - kMacSize);
}
ByteView mac1_of(ByteView datagram) {
  return datagram.subspan(datagram.size() - 2 * kMacSize, kMacSize);
}
ByteView mac2_of(ByteView datagram) {
  return datagram.last(kMacSize);
}

// Cookie replies are sealed under a key that everybody who knows the receiver's public key can derive: it hides the
// cookie from everyone else, and binds it to the datagram (mac1 is the additional data).
std::unique_ptr<crypto::RawAead> reply_aead(const crypto::Hash& key) {
  constexpr auto kKind = crypto::AeadKind::chacha20poly1305;
  return crypto::make_raw_aead(kKind, crypto::Key(key), crypto::preferred_library(kKind));
}

}  // namespace

CookieChecker::CookieChecker(const PublicKey& self, Rng& rng)
    : rng_(rng), mac1_key_(mac1_key(self)), cookie_key_(cookie_key(self)) {
  rng_.fill(secret_.writable());
}

bool CookieChecker::mac1_ok(ByteView datagram) const {
  if (datagram.size() < 2 * kMacSize) return false;
  return crypto::constant_time_equal(crypto::mac16(mac1_key_, {before_macs(datagram)}), mac1_of(datagram));
}

bool CookieChecker::mac2_ok(ByteView datagram, const Endpoint& from, Instant now) {
  if (datagram.size() < 2 * kMacSize || std::ranges::equal(mac2_of(datagram), Cookie{})) return false;
  refresh(now);
  const Cookie cookie = cookie_for(from);
  return crypto::constant_time_equal(crypto::mac16(cookie, {before_mac2(datagram)}), mac2_of(datagram));
}

Bytes CookieChecker::make_reply(ByteView datagram, std::uint32_t receiver, const Endpoint& from, Instant now) {
  EPS_CHECK(datagram.size() >= 2 * kMacSize && receiver <= wire::kMaxIndex);
  refresh(now);
  crypto::RawNonce nonce;
  rng_.fill(nonce);
  Bytes reply;
  reply.reserve(kReplySize);
  Writer out(reply);
  out.u8(static_cast<std::uint8_t>(wire::Type::cookie_reply));
  out.u24(receiver);
  out.bytes(nonce);
  const std::size_t at = reply.size();
  reply.resize(at + kSealedCookieSize);
  const Cookie cookie = cookie_for(from);
  crypto::SealItem item;
  item.aad = mac1_of(datagram);
  item.body = cookie;
  item.out = reply.data() + at;
  reply_aead(cookie_key_)->seal_raw(nonce, item);
  return reply;
}

void CookieChecker::refresh(Instant now) {
  if (now < secret_until_) return;
  rng_.fill(secret_.writable());
  secret_until_ = now + kCookieLifetime;
}

Cookie CookieChecker::cookie_for(const Endpoint& from) const {
  std::array<std::byte, 2> port;
  store_be16(port.data(), from.port);
  return crypto::mac16(secret_.view(), {from.ip.bytes, port});
}

CookieJar::CookieJar(const PublicKey& peer) : mac1_key_(mac1_key(peer)), cookie_key_(cookie_key(peer)) {}

void CookieJar::append_macs(Bytes& datagram, Instant now) {
  const auto mac1 = crypto::mac16(mac1_key_, {datagram});
  Writer out(datagram);
  out.bytes(mac1);
  if (cookie_ && now >= cookie_until_) cookie_.reset();
  out.bytes(cookie_ ? crypto::mac16(*cookie_, {datagram}) : Cookie{});
  last_mac1_ = mac1;
}

bool CookieJar::take_reply(ByteView reply, Instant now) {
  if (!last_mac1_ || reply.size() != kReplySize) return false;
  if (reply[0] != static_cast<std::byte>(wire::Type::cookie_reply)) return false;
  crypto::RawNonce nonce;
  std::memcpy(nonce.data(), reply.data() + kReplyHeaderSize, nonce.size());
  Cookie cookie;
  crypto::OpenItem item;
  item.aad = *last_mac1_;
  item.sealed = reply.last(kSealedCookieSize);
  item.out = cookie.data();
  if (!reply_aead(cookie_key_)->open_raw(nonce, item)) return false;
  cookie_ = cookie;
  cookie_until_ = now + kCookieLifetime;
  last_mac1_.reset();
  return true;
}

}  // namespace eps::noise
