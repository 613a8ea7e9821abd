// SPDX-License-Identifier: MIT
#include "crypto/primitives.h"

#include <openssl/evp.h>

#include <memory>

#include "base/check.h"

namespace eps::crypto {
namespace {

constexpr std::size_t kBlockSize = 64;  // of BLAKE2s

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeKeyContext {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }  // wipes its state
};
using PkeyPtr = std::unique_ptr<EVP_PKEY, FreeKey>;
using PkeyContext = std::unique_ptr<EVP_PKEY_CTX, FreeKeyContext>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, FreeDigest>;

unsigned char* raw(std::byte* p) {
  return reinterpret_cast<unsigned char*>(p);
}
const unsigned char* raw(const std::byte* p) {
  return reinterpret_cast<const unsigned char*>(p);
}

PkeyPtr private_key(int type, const Key& secret) {
  PkeyPtr key(EVP_PKEY_new_raw_private_key(type, nullptr, raw(secret.view().data()), secret.view().size()));
  EPS_CHECK(key);
  return key;
}

PkeyPtr public_key(int type, const PublicKey& from) {
  return PkeyPtr(EVP_PKEY_new_raw_public_key(type, nullptr, raw(from.bytes.data()), from.bytes.size()));
}

PublicKey public_half(EVP_PKEY* key) {
  PublicKey out;
  std::size_t size = out.bytes.size();
  EPS_CHECK(EVP_PKEY_get_raw_public_key(key, raw(out.bytes.data()), &size) == 1 && size == out.bytes.size());
  return out;
}

class Blake2s {
 public:
  Blake2s() : context_(EVP_MD_CTX_new()) {
    // Fetched once and never freed: OpenSSL's own exit handler may run before or after ours.
    static const EVP_MD* const md = EVP_MD_fetch(nullptr, "BLAKE2S-256", nullptr);
    EPS_CHECK(md != nullptr && context_ && EVP_DigestInit_ex2(context_.get(), md, nullptr) == 1);
  }
  void update(ByteView bytes) { EPS_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1); }
  void update(std::initializer_list<ByteView> pieces) {
    for (const ByteView piece : pieces) update(piece);
  }
  Hash finish() {
    Hash out;
    unsigned size = 0;
    EPS_CHECK(EVP_DigestFinal_ex(context_.get(), raw(out.data()), &size) == 1 && size == out.size());
    return out;
  }

 private:
  DigestContext context_;
};

}  // namespace

KeyPair generate_key_pair(Rng& rng) {
  Key secret;
  rng.fill(secret.writable());
  return key_pair_from_secret(std::move(secret));
}

KeyPair key_pair_from_secret(Key secret) {
  const PkeyPtr key = private_key(EVP_PKEY_X25519, secret);
  return {std::move(secret), public_half(key.get())};
}

std::optional<Key> x25519(const Key& secret, const PublicKey& peer) {
  const PkeyPtr own = private_key(EVP_PKEY_X25519, secret);
  const PkeyPtr other = public_key(EVP_PKEY_X25519, peer);
  const PkeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, own.get(), nullptr));
  EPS_CHECK(other && context && EVP_PKEY_derive_init(context.get()) == 1);
  Key shared;
  std::size_t size = shared.view().size();
  // OpenSSL itself has refused small-order points since 1.1.1; the comparison below does not depend on that.
  if (EVP_PKEY_derive_set_peer(context.get(), other.get()) != 1) return std::nullopt;
  if (EVP_PKEY_derive(context.get(), raw(shared.writable().data()), &size) != 1) return std::nullopt;
  if (size != shared.view().size() || constant_time_equal(shared.view(), Key().view())) return std::nullopt;
  return shared;
}

Hash blake2s(std::initializer_list<ByteView> pieces) {
  Blake2s digest;
  digest.update(pieces);
  return digest.finish();
}

Hash hmac_blake2s(ByteView key, std::initializer_list<ByteView> pieces) {
  Secret<kBlockSize> pad;
  if (key.size() > kBlockSize) {
    const Hash hashed = blake2s({key});
    std::memcpy(pad.writable().data(), hashed.data(), hashed.size());
  } else if (!key.empty()) {
    std::memcpy(pad.writable().data(), key.data(), key.size());
  }
  for (std::byte& b : pad.writable()) b ^= std::byte{0x36};
  Blake2s inner;
  inner.update(pad.view());
  inner.update(pieces);
  const Hash inner_hash = inner.finish();
  for (std::byte& b : pad.writable()) b ^= std::byte{0x36} ^ std::byte{0x5c};
  Blake2s outer;
  outer.update(pad.view());
  outer.update(inner_hash);
  return outer.finish();
}

std::array<std::byte, 16> mac16(ByteView key, std::initializer_list<ByteView> pieces) {
  const Hash whole = hmac_blake2s(key, pieces);
  std::array<std::byte, 16> out;
  std::memcpy(out.data(), whole.data(), out.size());
  return out;
}

Hkdf3 hkdf(ByteView chaining_key, ByteView input) {
  const auto hmac = [](ByteView key, std::initializer_list<ByteView> pieces) {
    Hash hash = hmac_blake2s(key, pieces);
    Key out{std::span<const std::byte, 32>(hash)};
    wipe(hash);
    return out;
  };
  constexpr std::array<std::byte, 3> kCounter = {std::byte{1}, std::byte{2}, std::byte{3}};
  const ByteView counter(kCounter);
  const Key temporary = hmac(chaining_key, {input});
  Hkdf3 out;
  out.first = hmac(temporary.view(), {counter.subspan(0, 1)});
  out.second = hmac(temporary.view(), {out.first.view(), counter.subspan(1, 1)});
  out.third = hmac(temporary.view(), {out.second.view(), counter.subspan(2, 1)});
  return out;
}

PublicKey signing_public_key(const Key& seed) {
  return public_half(private_key(EVP_PKEY_ED25519, seed).get());
}

Signature sign(const Key& seed, ByteView message) {
  const PkeyPtr key = private_key(EVP_PKEY_ED25519, seed);
  const DigestContext context(EVP_MD_CTX_new());
  Signature out;
  std::size_t size = out.size();
  EPS_CHECK(context && EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  EPS_CHECK(EVP_DigestSign(context.get(), raw(out.data()), &size, raw(message.data()), message.size()) == 1);
  EPS_CHECK(size == out.size());
  return out;
}

bool verify(const PublicKey& key, ByteView message, const Signature& signature) {
  const PkeyPtr signer = public_key(EVP_PKEY_ED25519, key);
  const DigestContext context(EVP_MD_CTX_new());
  EPS_CHECK(context);
  if (!signer || EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, signer.get()) != 1) return false;
  return EVP_DigestVerify(context.get(), raw(signature.data()), signature.size(), raw(message.data()),
                          message.size()) == 1;
}

}  // namespace eps::crypto
