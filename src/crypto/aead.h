// SPDX-License-Identifier: MIT
#pragma once

// Authenticated encryption of batches (RFC 5116 algorithms: AES-GCM as in NIST SP 800-38D, ChaCha20-Poly1305 as in
// RFC 8439), one interface over intel-ipsec-mb and OpenSSL. Nonces are 96 bits: 32 zero bits, then the 64-bit number
// in little-endian order for ChaCha20-Poly1305 and big-endian order for AES-GCM, as the Noise specification (section
// 12) has them.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "crypto/secret.h"

namespace eps::crypto {

// The numbers are those on the wire (offers in handshakes).
enum class AeadKind : std::uint8_t { aes256gcm = 1, aes128gcm = 2, chacha20poly1305 = 3 };
inline constexpr std::size_t kTagSize = 16;

enum class AeadLibrary : std::uint8_t { ipsec_mb, openssl };

// "aes-256-gcm", "aes-128-gcm", "chacha20-poly1305"; "intel-ipsec-mb", "openssl".
std::string_view name_of(AeadKind kind);
std::string_view name_of(AeadLibrary library);
std::optional<AeadKind> parse_aead_kind(std::string_view name);

struct SealItem {
  std::uint64_t nonce = 0;
  ByteView aad{};
  ByteView head{};           // sealed first; at most kMaxSealHead bytes; may be empty
  ByteView body{};           // sealed right after `head`
  std::byte* out = nullptr;  // head.size() + body.size() + kTagSize bytes; may be equal to body.data() when head is
                             // empty (in place), else must not overlap the inputs
};
inline constexpr std::size_t kMaxSealHead = 192;

struct OpenItem {
  std::uint64_t nonce = 0;
  ByteView aad{};
  ByteView sealed{};         // ciphertext and tag
  std::byte* out = nullptr;  // sealed.size() - kTagSize bytes; may be equal to sealed.data()
  bool ok = false;           // result; when false the bytes at `out` are undefined and must not be used
};

// One key, expanded. Thread rules: seal and open are const and may run on several threads at once.
class Aead {
 public:
  virtual ~Aead() = default;
  // REQUIRES: no nonce is ever sealed twice under one key.
  virtual void seal(std::span<const SealItem> items) const = 0;
  virtual void open(std::span<OpenItem> items) const = 0;
  virtual AeadLibrary library() const = 0;
};

// Whether this machine supports the kind with that library (ipsec_mb: x86-64 with AES-NI or better, and built in).
bool available(AeadKind kind, AeadLibrary library);
// The faster library for the kind on this machine.
AeadLibrary preferred_library(AeadKind kind);
// Takes the first 16 bytes of the key for AES-128. REQUIRES: available(kind, library).
std::unique_ptr<Aead> make_aead(AeadKind kind, const Key& key, AeadLibrary library);
std::unique_ptr<Aead> make_aead(AeadKind kind, const Key& key);

// Kinds in order of preference on this machine: AES-256-GCM first where AES is in hardware, otherwise ChaCha20.
std::vector<AeadKind> preferred_kinds();

}  // namespace eps::crypto
