// SPDX-License-Identifier: MIT
#include "noise/number_reply.h"

#include <cstring>
#include <span>

#include "base/check.h"
#include "crypto/aead_internal.h"
#include "wire/datagram.h"

namespace eps::noise {
namespace {

constexpr std::size_t kHeaderSize = 4;
constexpr std::size_t kNumberSize = 8;
constexpr std::size_t kSealedSize = kNumberSize + crypto::kTagSize;
constexpr std::size_t kReplySize = kHeaderSize + sizeof(crypto::RawNonce) + kSealedSize;

std::unique_ptr<crypto::RawAead> reply_aead(const crypto::Key& key) {
  constexpr auto kKind = crypto::AeadKind::chacha20poly1305;
  return crypto::make_raw_aead(kKind, key, crypto::preferred_library(kKind));
}

// REQUIRES: the initiation has room for both MACs.
Bytes additional_data(ByteView header, ByteView initiation) {
  Bytes out(header.begin(), header.end());
  const ByteView mac1 = initiation.subspan(initiation.size() - 2 * wire::kMacSize, wire::kMacSize);
  out.insert(out.end(), mac1.begin(), mac1.end());
  return out;
}

}  // namespace

std::optional<crypto::Key> number_reply_key(const crypto::KeyPair& self, const PublicKey& peer, ByteView network) {
  const auto shared = crypto::x25519(self.secret, peer);
  if (!shared) return std::nullopt;
  const crypto::Hash key = crypto::hmac_blake2s(shared->view(), {as_view("eps number reply"), network});
  return crypto::Key(std::span<const std::byte, 32>(key));
}

Bytes make_number_reply(const crypto::Key& key, ByteView initiation, std::uint32_t receiver, std::uint64_t number,
                        Rng& rng) {
  EPS_CHECK(initiation.size() >= 2 * wire::kMacSize && receiver <= wire::kMaxIndex);
  crypto::RawNonce nonce;
  rng.fill(nonce);
  Bytes reply;
  Writer out(reply);
  out.u8(static_cast<std::uint8_t>(wire::Type::number_reply));
  out.u24(receiver);
  const Bytes aad = additional_data(reply, initiation);
  out.bytes(nonce);
  std::array<std::byte, kNumberSize> plain;
  store_be64(plain.data(), number);
  const std::size_t at = reply.size();
  reply.resize(at + kSealedSize);
  crypto::SealItem item;
  item.aad = aad;
  item.body = plain;
  item.out = reply.data() + at;
  reply_aead(key)->seal_raw(nonce, item);
  return reply;
}

std::optional<std::uint64_t> read_number_reply(const crypto::Key& key, ByteView initiation, ByteView reply) {
  if (reply.size() != kReplySize || initiation.size() < 2 * wire::kMacSize) return std::nullopt;
  if (reply[0] != static_cast<std::byte>(wire::Type::number_reply)) return std::nullopt;
  const Bytes aad = additional_data(reply.first(kHeaderSize), initiation);
  crypto::RawNonce nonce;
  std::memcpy(nonce.data(), reply.data() + kHeaderSize, nonce.size());
  std::array<std::byte, kNumberSize> plain;
  crypto::OpenItem item;
  item.aad = aad;
  item.sealed = reply.last(kSealedSize);
  item.out = plain.data();
  if (!reply_aead(key)->open_raw(nonce, item)) return std::nullopt;
  return load_be64(plain.data());
}

}  // namespace eps::noise
