// SPDX-License-Identifier: MIT
#include "crypto/primitives.h"

#include <gtest/gtest.h>

#include "support/seeded_rng.h"
#include "support/vectors.h"

namespace eps::crypto {
namespace {

Key key_from_hex(std::string_view text) {
  const Bytes bytes = *from_hex(text);
  return Key(std::span<const std::byte, 32>(bytes));
}

TEST(X25519, Wycheproof) {
  int refused = 0;
  for (const auto& vector : test::load_vectors("wycheproof_x25519.json")) {
    const auto expected = test::hex_array<32>(vector, "shared");
    const PublicKey peer{test::hex_array<32>(vector, "public")};
    const auto shared = x25519(Key(test::hex_array<32>(vector, "private")), peer);
    const bool zero = constant_time_equal(expected, Key().view());
    ASSERT_EQ(shared.has_value(), !zero) << vector.at("tcId");
    if (shared) {
      EXPECT_TRUE(constant_time_equal(shared->view(), expected)) << vector.at("tcId");
    } else {
      ++refused;
    }
  }
  EXPECT_EQ(refused, 31);
}

TEST(X25519, PairsAgree) {
  test::SeededRng rng(1);
  const KeyPair a = generate_key_pair(rng);
  const KeyPair b = generate_key_pair(rng);
  EXPECT_NE(a.public_key, b.public_key);
  EXPECT_TRUE(constant_time_equal(x25519(a.secret, b.public_key)->view(), x25519(b.secret, a.public_key)->view()));
  EXPECT_EQ(key_pair_from_secret(a.secret.clone()).public_key, a.public_key);
  EXPECT_EQ(a.clone().public_key, a.public_key);
}

TEST(X25519, PublicKeyIsTheProductWithTheBasePoint) {
  test::SeededRng rng(2);
  const KeyPair pair = generate_key_pair(rng);
  PublicKey base;
  base.bytes[0] = std::byte{9};
  EXPECT_TRUE(constant_time_equal(x25519(pair.secret, base)->view(), pair.public_key.bytes));
}

// RFC 7693, appendix B.
TEST(Blake2s, Abc) {
  const std::string expected = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
  EXPECT_EQ(to_hex(blake2s({as_view("abc")})), expected);
  EXPECT_EQ(to_hex(blake2s({as_view("a"), {}, as_view("bc")})), expected);
}

// The figures of HMAC and HKDF come from Python's hmac and hashlib.
TEST(HmacBlake2s, AgreesWithAnotherImplementation) {
  EXPECT_EQ(to_hex(hmac_blake2s(as_view("key"), {as_view("The quick brown fox "), as_view("jumps over the lazy dog")})),
            "f93215bb90d4af4c3061cd932fb169fb8bb8a91d0b4022baea1271e1323cd9a0");
  EXPECT_EQ(to_hex(hmac_blake2s({}, {})), "eaf4bb25938f4d20e72656bbbc7a9bf63c0c18537333c35bdb67db1402661acd");
  Bytes longer_than_a_block;
  for (int i = 0; i < 100; ++i) longer_than_a_block.push_back(static_cast<std::byte>(i));
  EXPECT_EQ(to_hex(hmac_blake2s(longer_than_a_block, {as_view("x")})),
            "7c5a4a1c1150b1eadcba56974986fd860c4aca9cd69fa0c65c9f67dadad9883a");
  EXPECT_EQ(to_hex(mac16(longer_than_a_block, {as_view("x")})), "7c5a4a1c1150b1eadcba56974986fd86");
}

TEST(Hkdf, AgreesWithAnotherImplementation) {
  Bytes chain;
  for (int i = 0; i < 32; ++i) chain.push_back(static_cast<std::byte>(i));
  const Hkdf3 out = hkdf(chain, as_view("input"));
  EXPECT_EQ(to_hex(out.first.view()), "87b7f70b24183c6db5dc4f6d9f4c47cdb203321aa2a0bef714896adb3107a040");
  EXPECT_EQ(to_hex(out.second.view()), "538a02e1eb2e31b7e4d4b82476d1fe2acf50085d3fb584537279195f5d1f5824");
  EXPECT_EQ(to_hex(out.third.view()), "9ad858025593be88de0f9442a589cfe84a88dc19e4753d93684d1c5efc4837f9");
}

// RFC 8032, section 7.1, test 1.
TEST(Ed25519, SignsAsTheRfc) {
  const Key seed = key_from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
  EXPECT_EQ(to_hex(signing_public_key(seed).bytes), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  EXPECT_EQ(to_hex(sign(seed, {})),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
            "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
}

TEST(Ed25519, VerifiesOnlyWhatWasSigned) {
  test::SeededRng rng(3);
  const Key seed = generate_key_pair(rng).secret.clone();
  const PublicKey key = signing_public_key(seed);
  const Signature signature = sign(seed, as_view("members"));
  EXPECT_TRUE(verify(key, as_view("members"), signature));
  EXPECT_FALSE(verify(key, as_view("member"), signature));
  EXPECT_FALSE(verify({}, as_view("members"), signature));
  EXPECT_FALSE(verify(signing_public_key(generate_key_pair(rng).secret), as_view("members"), signature));
  for (std::size_t i = 0; i < signature.size(); ++i) {
    Signature flipped = signature;
    flipped[i] ^= std::byte{1};
    EXPECT_FALSE(verify(key, as_view("members"), flipped)) << i;
  }
}

}  // namespace
}  // namespace eps::crypto
