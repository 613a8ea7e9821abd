// SPDX-License-Identifier: MIT
#pragma once

// The interface that the two AEAD libraries implement for aead.cc, with the 96-bit nonce that the batch interface
// hides: for cookie replies (random nonces) and published test vectors. Everything else uses aead.h.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "crypto/aead.h"

namespace eps::crypto {

using RawNonce = std::array<std::byte, 12>;

class RawAead : public Aead {
 public:
  // Rules as in SealItem and OpenItem.
  virtual void seal_raw(const RawNonce& nonce, const SealItem& item) const = 0;  // item.nonce is ignored
  virtual bool open_raw(const RawNonce& nonce, const OpenItem& item) const = 0;  // item.nonce is ignored
};

// REQUIRES: available(kind, library).
std::unique_ptr<RawAead> make_raw_aead(AeadKind kind, const Key& key, AeadLibrary library);

// The number as the kind's standard form in Noise (section 12): 32 zero bits, then 64 bits little-endian for
// ChaCha20-Poly1305, big-endian for AES-GCM.
inline RawNonce raw_nonce(AeadKind kind, std::uint64_t number) {
  RawNonce nonce{};
  store_be64(nonce.data() + 4, kind == AeadKind::chacha20poly1305 ? __builtin_bswap64(number) : number);
  return nonce;
}

// Joins a head and its body at `item.out`, to be sealed in place; a body alone stays where it is. Both libraries can
// seal two pieces in two calls, but that is slower than this copy: for 60 and 1350 bytes by 20 to 40 ns with
// AES-256-GCM and by 140 ns with ChaCha20-Poly1305.
inline ByteView gather(const SealItem& item) {
  if (item.head.empty()) return item.body;
  std::memcpy(item.out, item.head.data(), item.head.size());
  if (!item.body.empty()) std::memcpy(item.out + item.head.size(), item.body.data(), item.body.size());
  return {item.out, item.head.size() + item.body.size()};
}

// aead_openssl.cc
std::unique_ptr<RawAead> make_openssl_aead(AeadKind kind, const Key& key);

// aead_ipsec_mb.cc, which is built only with EPS_HAVE_IPSEC_MB.
bool ipsec_mb_works();
std::unique_ptr<RawAead> make_ipsec_mb_aead(AeadKind kind, const Key& key);

}  // namespace eps::crypto
