// SPDX-License-Identifier: MIT
#include "crypto/aead.h"

#if defined(__aarch64__)
#include <sys/auxv.h>  // the CPU's features
#endif

#include "base/check.h"
#include "crypto/aead_internal.h"

namespace eps::crypto {
namespace {

bool cpu_has_aes() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
  constexpr unsigned long kHwcapAes = 1UL << 3;
  constexpr unsigned long kHwcapPmull = 1UL << 4;
  constexpr unsigned long kBoth = kHwcapAes | kHwcapPmull;
  return (getauxval(AT_HWCAP) & kBoth) == kBoth;
#else
  return false;
#endif
}

}  // namespace

std::string_view name_of(AeadKind kind) {
  switch (kind) {
    case AeadKind::aes256gcm:
      return "aes-256-gcm";
    case AeadKind::aes128gcm:
      return "aes-128-gcm";
    case AeadKind::chacha20poly1305:
      return "chacha20-poly1305";
  }
  return "unknown";
}

std::string_view name_of(AeadLibrary library) {
  return library == AeadLibrary::ipsec_mb ? "intel-ipsec-mb" : "openssl";
}

std::optional<AeadKind> parse_aead_kind(std::string_view name) {
  for (const AeadKind kind : {AeadKind::aes256gcm, AeadKind::aes128gcm, AeadKind::chacha20poly1305}) {
    if (name == name_of(kind)) return kind;
  }
  return std::nullopt;
}

bool available(AeadKind, AeadLibrary library) {
  if (library == AeadLibrary::openssl) return true;
#if defined(EPS_HAVE_IPSEC_MB)
  return cpu_has_aes() && ipsec_mb_works();  // without AES-NI the library emulates it, slower than OpenSSL
#else
  return false;
#endif
}

AeadLibrary preferred_library(AeadKind kind) {
  return available(kind, AeadLibrary::ipsec_mb) ? AeadLibrary::ipsec_mb : AeadLibrary::openssl;
}

std::unique_ptr<RawAead> make_raw_aead(AeadKind kind, const Key& key, AeadLibrary library) {
  EPS_CHECK(available(kind, library));
#if defined(EPS_HAVE_IPSEC_MB)
  if (library == AeadLibrary::ipsec_mb) return make_ipsec_mb_aead(kind, key);
#endif
  return make_openssl_aead(kind, key);
}

std::unique_ptr<Aead> make_aead(AeadKind kind, const Key& key, AeadLibrary library) {
  return make_raw_aead(kind, key, library);
}

std::unique_ptr<Aead> make_aead(AeadKind kind, const Key& key) {
  return make_aead(kind, key, preferred_library(kind));
}

std::vector<AeadKind> preferred_kinds() {
  if (cpu_has_aes()) return {AeadKind::aes256gcm, AeadKind::aes128gcm, AeadKind::chacha20poly1305};
  return {AeadKind::chacha20poly1305, AeadKind::aes256gcm, AeadKind::aes128gcm};
}

}  // namespace eps::crypto
