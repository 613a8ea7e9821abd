// SPDX-License-Identifier: MIT

// Every library against Project Wycheproof, with the vectors' own nonces.

#include <gtest/gtest.h>

#include "crypto/aead_internal.h"
#include "support/vectors.h"

namespace eps::crypto {
namespace {

void append(Bytes& out, ByteView more) {
  out.insert(out.end(), more.begin(), more.end());
}

void check_vector(const nlohmann::json& vector, const RawAead& aead) {
  const RawNonce nonce = test::hex_array<12>(vector, "iv");
  const Bytes aad = test::hex_field(vector, "aad");
  const Bytes text = test::hex_field(vector, "msg");
  Bytes sealed = test::hex_field(vector, "ct");
  append(sealed, test::hex_field(vector, "tag"));
  const bool valid = vector.at("valid").get<bool>();

  Bytes opened(sealed.size() - kTagSize);
  EXPECT_EQ(aead.open_raw(nonce, {.aad = aad, .sealed = sealed, .out = opened.data()}), valid);
  EXPECT_EQ(opened, valid ? text : Bytes(text.size()));
  if (!valid) return;

  // As one text, and cut at every place where a head may end.
  for (std::size_t cut = 0; cut <= std::min(text.size(), kMaxSealHead); ++cut) {
    Bytes out(text.size() + kTagSize);
    const ByteView view(text);
    aead.seal_raw(nonce, {.aad = aad, .head = view.first(cut), .body = view.subspan(cut), .out = out.data()});
    ASSERT_EQ(out, sealed) << "head of " << cut;
  }
}

class Wycheproof : public testing::TestWithParam<AeadLibrary> {
 protected:
  // Runs the vectors of the file whose keys have the kind's size; `count` is their expected number.
  void run(const char* file, AeadKind kind, std::size_t key_size, int count) {
    if (!available(kind, GetParam())) GTEST_SKIP() << "not on this machine";
    int ran = 0;
    for (const auto& vector : test::load_vectors(file)) {
      if (test::hex_field(vector, "key").size() != key_size) continue;
      SCOPED_TRACE("tcId " + vector.at("tcId").dump());
      check_vector(vector, *make_raw_aead(kind, Key(test::hex_array<32>(vector, "key")), GetParam()));
      ++ran;
    }
    EXPECT_EQ(ran, count);
  }
};

TEST_P(Wycheproof, Aes128Gcm) {
  run("wycheproof_aes_gcm.json", AeadKind::aes128gcm, 16, 67);
}
TEST_P(Wycheproof, Aes256Gcm) {
  run("wycheproof_aes_gcm.json", AeadKind::aes256gcm, 32, 66);
}
TEST_P(Wycheproof, ChaCha20Poly1305) {
  run("wycheproof_chacha20_poly1305.json", AeadKind::chacha20poly1305, 32, 316);
}

INSTANTIATE_TEST_SUITE_P(Libraries, Wycheproof, testing::Values(AeadLibrary::ipsec_mb, AeadLibrary::openssl),
                         [](const auto& tested) {
                           return tested.param == AeadLibrary::ipsec_mb ? "IpsecMb" : "Openssl";
                         });

}  // namespace
}  // namespace eps::crypto
