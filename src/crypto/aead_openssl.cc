// SPDX-License-Identifier: MIT

// The AEADs of OpenSSL 3 (EVP). A cipher context keeps one expanded key but serves one thread at a time, so every key
// has a pool of contexts: a batch borrows one, and only a key's first batches on a thread allocate.

#include <openssl/evp.h>

#include <limits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "crypto/aead_internal.h"

namespace eps::crypto {
namespace {

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }  // wipes the key schedule
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

unsigned char* raw(std::byte* p) {
  return reinterpret_cast<unsigned char*>(p);
}
const unsigned char* raw(const std::byte* p) {
  return reinterpret_cast<const unsigned char*>(p);
}

// Fetched once and never freed: OpenSSL's own exit handler may run before or after ours.
const EVP_CIPHER* cipher_of(AeadKind kind) {
  static const EVP_CIPHER* const aes256 = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  static const EVP_CIPHER* const aes128 = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
  static const EVP_CIPHER* const chacha = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  const EVP_CIPHER* const cipher = kind == AeadKind::aes256gcm ? aes256 : kind == AeadKind::aes128gcm ? aes128 : chacha;
  EPS_CHECK(cipher != nullptr);
  return cipher;
}

// Contexts of one key for one direction.
class ContextPool {
 public:
  ContextPool(AeadKind kind, const Key& key, bool encrypt) : kind_(kind), encrypt_(encrypt), key_(key.clone()) {}

  // Runs `use(context)` with a context that no other thread uses.
  template <class Use>
  void with(Use&& use) const {
    Context context = take();
    use(context.get());
    const Lock lock(mutex_);
    idle_.push_back(std::move(context));
  }

 private:
  Context take() const {
    {
      const Lock lock(mutex_);
      if (!idle_.empty()) {
        Context context = std::move(idle_.back());
        idle_.pop_back();
        return context;
      }
    }
    // Not EVP_CIPHER_CTX_copy: OpenSSL 3.0 cannot copy every one of these ciphers.
    Context context(EVP_CIPHER_CTX_new());
    EPS_CHECK(context && EVP_CipherInit_ex2(context.get(), cipher_of(kind_), raw(key_.view().data()), nullptr,
                                            encrypt_ ? 1 : 0, nullptr) == 1);
    return context;
  }

  const AeadKind kind_;
  const bool encrypt_;
  const Key key_;
  mutable Mutex mutex_;
  mutable std::vector<Context> idle_ EPS_GUARDED_BY(mutex_);
};

void start(EVP_CIPHER_CTX* context, const RawNonce& nonce, ByteView aad) {
  int written = 0;
  EPS_CHECK(EVP_CipherInit_ex2(context, nullptr, nullptr, raw(nonce.data()), -1, nullptr) == 1);
  if (!aad.empty()) {
    EPS_CHECK(EVP_CipherUpdate(context, nullptr, &written, raw(aad.data()), static_cast<int>(aad.size())) == 1);
  }
}

void update(EVP_CIPHER_CTX* context, ByteView in, std::byte* out) {
  int written = 0;
  if (in.empty()) return;
  EPS_CHECK(in.size() <= std::size_t{std::numeric_limits<int>::max()});
  EPS_CHECK(EVP_CipherUpdate(context, raw(out), &written, raw(in.data()), static_cast<int>(in.size())) == 1);
}

void seal_one(EVP_CIPHER_CTX* context, const RawNonce& nonce, const SealItem& item) {
  const ByteView text = gather(item);
  start(context, nonce, item.aad);
  update(context, text, item.out);
  std::byte* const tag = item.out + text.size();
  int written = 0;
  EPS_CHECK(EVP_CipherFinal_ex(context, raw(tag), &written) == 1);
  EPS_CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagSize, tag) == 1);
}

bool open_one(EVP_CIPHER_CTX* context, const RawNonce& nonce, const OpenItem& item) {
  if (item.sealed.size() < kTagSize) return false;
  const ByteView body = item.sealed.first(item.sealed.size() - kTagSize);
  std::array<std::byte, kTagSize> tag;
  std::memcpy(tag.data(), item.sealed.data() + body.size(), kTagSize);
  start(context, nonce, item.aad);
  EPS_CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagSize, tag.data()) == 1);
  update(context, body, item.out);
  int written = 0;
  std::byte unused;
  if (EVP_CipherFinal_ex(context, raw(&unused), &written) == 1) return true;
  wipe({item.out, body.size()});
  return false;
}

class OpensslAead final : public RawAead {
 public:
  OpensslAead(AeadKind kind, const Key& key) : kind_(kind), sealing_(kind, key, true), opening_(kind, key, false) {}

  void seal(std::span<const SealItem> items) const override {
    sealing_.with([&](EVP_CIPHER_CTX* context) {
      for (const SealItem& item : items) seal_one(context, raw_nonce(kind_, item.nonce), item);
    });
  }
  void open(std::span<OpenItem> items) const override {
    opening_.with([&](EVP_CIPHER_CTX* context) {
      for (OpenItem& item : items) item.ok = open_one(context, raw_nonce(kind_, item.nonce), item);
    });
  }
  AeadLibrary library() const override { return AeadLibrary::openssl; }
  void seal_raw(const RawNonce& nonce, const SealItem& item) const override {
    sealing_.with([&](EVP_CIPHER_CTX* context) { seal_one(context, nonce, item); });
  }
  bool open_raw(const RawNonce& nonce, const OpenItem& item) const override {
    bool ok = false;
    opening_.with([&](EVP_CIPHER_CTX* context) { ok = open_one(context, nonce, item); });
    return ok;
  }

 private:
  AeadKind kind_;
  ContextPool sealing_;
  ContextPool opening_;
};

}  // namespace

std::unique_ptr<RawAead> make_openssl_aead(AeadKind kind, const Key& key) {
  return std::make_unique<OpensslAead>(kind, key);
}

}  // namespace eps::crypto
