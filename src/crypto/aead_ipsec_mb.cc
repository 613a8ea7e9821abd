// SPDX-License-Identifier: MIT

// The AEADs of intel-ipsec-mb, by its direct API: these calls take the expanded key as const and keep their state in a
// context of the caller, so one manager serves every thread. A context is used for a whole batch and wiped afterwards
// (it holds keystream).

#include <intel-ipsec-mb.h>

#include "base/check.h"
#include "crypto/aead_internal.h"

namespace eps::crypto {
namespace {

// The table of functions for this CPU, made once and never freed; nullptr when the library's self-test fails.
IMB_MGR* make_manager() {
  IMB_MGR* const manager = alloc_mb_mgr(0);
  if (manager == nullptr) return nullptr;
  init_mb_mgr_auto(manager, nullptr);
  return imb_get_errno(manager) == 0 ? manager : nullptr;
}
const IMB_MGR* manager() {
  static const IMB_MGR* const made = make_manager();
  return made;
}

std::uint8_t* raw(std::byte* p) {
  return reinterpret_cast<std::uint8_t*>(p);
}
const std::uint8_t* raw(const std::byte* p) {
  return reinterpret_cast<const std::uint8_t*>(p);
}

template <class T>
ByteSpan memory_of(T& object) {
  return std::as_writable_bytes(std::span<T, 1>(&object, 1));
}

// Each cipher has a Context and seals or opens one contiguous text with it.
template <AeadKind kKind>
class Gcm {
 public:
  static constexpr AeadKind kKindOfCipher = kKind;
  using Context = gcm_context_data;

  explicit Gcm(const Key& key) {
    const IMB_MGR* const m = manager();
    if constexpr (kKind == AeadKind::aes256gcm) {
      IMB_AES256_GCM_PRE(m, key.view().data(), &key_);
      seal_ = m->gcm256_enc;
      open_ = m->gcm256_dec;
    } else {
      IMB_AES128_GCM_PRE(m, key.view().data(), &key_);
      seal_ = m->gcm128_enc;
      open_ = m->gcm128_dec;
    }
  }
  Gcm(const Gcm&) = delete;
  Gcm& operator=(const Gcm&) = delete;
  ~Gcm() { wipe(memory_of(key_)); }

  void seal(Context& context, const RawNonce& nonce, ByteView aad, ByteView in, std::byte* out, std::byte* tag) const {
    seal_(&key_, &context, raw(out), raw(in.data()), in.size(), raw(nonce.data()), raw(aad.data()), aad.size(),
          raw(tag), kTagSize);
  }
  void open(Context& context, const RawNonce& nonce, ByteView aad, ByteView in, std::byte* out, std::byte* tag) const {
    open_(&key_, &context, raw(out), raw(in.data()), in.size(), raw(nonce.data()), raw(aad.data()), aad.size(),
          raw(tag), kTagSize);
  }

 private:
  alignas(64) gcm_key_data key_;  // the library stores with aligned instructions, but its type does not say so
  aes_gcm_enc_dec_t seal_;
  aes_gcm_enc_dec_t open_;
};

class ChaCha20Poly1305 {
 public:
  static constexpr AeadKind kKindOfCipher = AeadKind::chacha20poly1305;
  using Context = chacha20_poly1305_context_data;

  explicit ChaCha20Poly1305(const Key& key) : key_(key.clone()) {}

  void seal(Context& context, const RawNonce& nonce, ByteView aad, ByteView in, std::byte* out, std::byte* tag) const {
    const IMB_MGR* const m = manager();
    IMB_CHACHA20_POLY1305_INIT(m, key_.view().data(), &context, nonce.data(), aad.data(), aad.size());
    if (!in.empty()) IMB_CHACHA20_POLY1305_ENC_UPDATE(m, key_.view().data(), &context, out, in.data(), in.size());
    IMB_CHACHA20_POLY1305_ENC_FINALIZE(m, &context, tag, kTagSize);
  }
  void open(Context& context, const RawNonce& nonce, ByteView aad, ByteView in, std::byte* out, std::byte* tag) const {
    const IMB_MGR* const m = manager();
    IMB_CHACHA20_POLY1305_INIT(m, key_.view().data(), &context, nonce.data(), aad.data(), aad.size());
    if (!in.empty()) IMB_CHACHA20_POLY1305_DEC_UPDATE(m, key_.view().data(), &context, out, in.data(), in.size());
    IMB_CHACHA20_POLY1305_DEC_FINALIZE(m, &context, tag, kTagSize);
  }

 private:
  Key key_;
};

template <class Cipher>
class IpsecMbAead final : public RawAead {
 public:
  explicit IpsecMbAead(const Key& key) : cipher_(key) {}

  void seal(std::span<const SealItem> items) const override {
    alignas(64) typename Cipher::Context context;
    for (const SealItem& item : items) seal_one(context, raw_nonce(Cipher::kKindOfCipher, item.nonce), item);
    wipe(memory_of(context));
  }
  void open(std::span<OpenItem> items) const override {
    alignas(64) typename Cipher::Context context;
    for (OpenItem& item : items) item.ok = open_one(context, raw_nonce(Cipher::kKindOfCipher, item.nonce), item);
    wipe(memory_of(context));
  }
  AeadLibrary library() const override { return AeadLibrary::ipsec_mb; }
  void seal_raw(const RawNonce& nonce, const SealItem& item) const override {
    alignas(64) typename Cipher::Context context;
    seal_one(context, nonce, item);
    wipe(memory_of(context));
  }
  bool open_raw(const RawNonce& nonce, const OpenItem& item) const override {
    alignas(64) typename Cipher::Context context;
    const bool ok = open_one(context, nonce, item);
    wipe(memory_of(context));
    return ok;
  }

 private:
  void seal_one(typename Cipher::Context& context, const RawNonce& nonce, const SealItem& item) const {
    const ByteView text = gather(item);
    cipher_.seal(context, nonce, item.aad, text, item.out, item.out + text.size());
  }

  bool open_one(typename Cipher::Context& context, const RawNonce& nonce, const OpenItem& item) const {
    if (item.sealed.size() < kTagSize) return false;
    const ByteView text = item.sealed.first(item.sealed.size() - kTagSize);
    // The library computes the tag; comparing it is up to the caller.
    std::array<std::byte, kTagSize> tag;
    cipher_.open(context, nonce, item.aad, text, item.out, tag.data());
    if (constant_time_equal(tag, item.sealed.last(kTagSize))) return true;
    wipe(tag);  // the tag that a forger would need
    wipe({item.out, text.size()});
    return false;
  }

  Cipher cipher_;
};

}  // namespace

bool ipsec_mb_works() {
  return manager() != nullptr;
}

std::unique_ptr<RawAead> make_ipsec_mb_aead(AeadKind kind, const Key& key) {
  if (kind == AeadKind::aes256gcm) return std::make_unique<IpsecMbAead<Gcm<AeadKind::aes256gcm>>>(key);
  if (kind == AeadKind::aes128gcm) return std::make_unique<IpsecMbAead<Gcm<AeadKind::aes128gcm>>>(key);
  EPS_CHECK(kind == AeadKind::chacha20poly1305);
  return std::make_unique<IpsecMbAead<ChaCha20Poly1305>>(key);
}

}  // namespace eps::crypto
