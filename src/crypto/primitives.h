// SPDX-License-Identifier: MIT
#pragma once

// The primitives of the handshake, all from OpenSSL 3: X25519 (RFC 7748), BLAKE2s (RFC 7693), HMAC (RFC 2104),
// Ed25519 (RFC 8032).

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/rng.h"
#include "base/types.h"
#include "crypto/secret.h"

namespace eps::crypto {

inline constexpr std::size_t kHashSize = 32;
using Hash = std::array<std::byte, kHashSize>;

struct KeyPair {
  Key secret;
  PublicKey public_key;
  KeyPair clone() const { return {secret.clone(), public_key}; }
};
KeyPair generate_key_pair(Rng& rng);
KeyPair key_pair_from_secret(Key secret);

// The shared secret; nullopt when the result is all zero (a small-order point), which must end a handshake.
std::optional<Key> x25519(const Key& secret, const PublicKey& peer);

// BLAKE2s-256 of the pieces in order.
Hash blake2s(std::initializer_list<ByteView> pieces);
Hash hmac_blake2s(ByteView key, std::initializer_list<ByteView> pieces);
// The first 16 bytes of HMAC-BLAKE2s: for the MACs of datagrams.
std::array<std::byte, 16> mac16(ByteView key, std::initializer_list<ByteView> pieces);

// HKDF as in the Noise specification, section 4.3, with HMAC-BLAKE2s.
struct Hkdf3 {
  Key first, second, third;
};
Hkdf3 hkdf(ByteView chaining_key, ByteView input);

// Ed25519.
using Signature = std::array<std::byte, 64>;
PublicKey signing_public_key(const Key& seed);
Signature sign(const Key& seed, ByteView message);
bool verify(const PublicKey& key, ByteView message, const Signature& signature);

}  // namespace eps::crypto
