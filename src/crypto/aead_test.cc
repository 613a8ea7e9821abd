// SPDX-License-Identifier: MIT

// Properties of every kind in every library; the libraries agree with each other byte for byte.

#include "crypto/aead.h"

#include <gtest/gtest.h>

#include <thread>

#include "crypto/aead_internal.h"
#include "support/seeded_rng.h"

namespace eps::crypto {
namespace {

constexpr AeadKind kKinds[] = {AeadKind::aes256gcm, AeadKind::aes128gcm, AeadKind::chacha20poly1305};
constexpr AeadLibrary kLibraries[] = {AeadLibrary::ipsec_mb, AeadLibrary::openssl};

Bytes random_bytes(Rng& rng, std::size_t size) {
  Bytes out(size);
  rng.fill(out);
  return out;
}

Key random_key(Rng& rng) {
  Key key;
  rng.fill(key.writable());
  return key;
}

// One text to seal, with everything it needs.
struct Text {
  std::uint64_t nonce;
  Bytes aad, head, body;

  static Text random(Rng& rng, std::size_t body_size) {
    const std::size_t head = rng.below(3) == 0 ? 0 : rng.below(kMaxSealHead + 1);
    return {rng.u64(), random_bytes(rng, rng.below(40)), random_bytes(rng, head), random_bytes(rng, body_size)};
  }
  std::size_t size() const { return head.size() + body.size(); }
  Bytes whole() const {
    Bytes out = head;
    out.insert(out.end(), body.begin(), body.end());
    return out;
  }
  SealItem item(Bytes& out) const {
    return {.nonce = nonce, .aad = aad, .head = head, .body = body, .out = out.data()};
  }
};

std::vector<Text> random_texts(Rng& rng) {
  std::vector<Text> texts;
  for (int n = 0; n < 300; ++n) texts.push_back(Text::random(rng, rng.below(2001)));
  for (const std::size_t size : {0, 1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 9000, 65000}) {
    texts.push_back(Text::random(rng, size));
  }
  return texts;
}

std::vector<Bytes> seal_all(const Aead& aead, const std::vector<Text>& texts) {
  std::vector<Bytes> sealed;
  std::vector<SealItem> items;
  for (const Text& text : texts) sealed.emplace_back(text.size() + kTagSize);
  for (std::size_t i = 0; i < texts.size(); ++i) items.push_back(texts[i].item(sealed[i]));
  aead.seal(items);
  return sealed;
}

// Opens in place and out of place.
void expect_opens(const Aead& aead, const std::vector<Text>& texts, const std::vector<Bytes>& sealed) {
  for (const bool in_place : {false, true}) {
    std::vector<Bytes> in = sealed;
    std::vector<Bytes> out;
    std::vector<OpenItem> items;
    for (const Text& text : texts) out.emplace_back(text.size() + 1);  // one byte more, so that data() is never null
    for (std::size_t i = 0; i < texts.size(); ++i) {
      items.push_back({.nonce = texts[i].nonce,
                       .aad = texts[i].aad,
                       .sealed = in[i],
                       .out = in_place ? in[i].data() : out[i].data()});
    }
    aead.open(items);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      ASSERT_TRUE(items[i].ok) << i;
      ASSERT_TRUE(equal({items[i].out, texts[i].size()}, texts[i].whole())) << i;
    }
  }
}

bool opens(const Aead& aead, std::uint64_t nonce, ByteView aad, ByteView sealed) {
  Bytes out(sealed.size() + 1);
  OpenItem item{.nonce = nonce, .aad = aad, .sealed = sealed, .out = out.data(), .ok = true};
  aead.open({&item, 1});
  return item.ok;
}

class Kinds : public testing::TestWithParam<AeadKind> {
 protected:
  // One Aead for each library that this machine has, all with the same key.
  std::vector<std::unique_ptr<Aead>> aeads(const Key& key) const {
    std::vector<std::unique_ptr<Aead>> out;
    for (const AeadLibrary library : kLibraries) {
      if (available(GetParam(), library)) out.push_back(make_aead(GetParam(), key, library));
    }
    return out;
  }
  test::SeededRng rng_{20};
};

TEST_P(Kinds, LibrariesAgreeAndOpenEachOthers) {
  const auto all = aeads(random_key(rng_));
  const auto texts = random_texts(rng_);
  const auto sealed = seal_all(*all.front(), texts);
  for (const auto& aead : all) {
    EXPECT_EQ(seal_all(*aead, texts), sealed) << name_of(aead->library());
    expect_opens(*aead, texts, sealed);
  }
}

TEST_P(Kinds, SealsInPlace) {
  for (const auto& aead : aeads(random_key(rng_))) {
    for (const std::size_t size : {0, 1, 64, 1350, 9000}) {
      Text text = Text::random(rng_, size);
      text.head.clear();
      const Bytes apart = seal_all(*aead, {text}).front();
      Bytes place = text.body;
      place.resize(size + kTagSize);
      const SealItem item{
          .nonce = text.nonce, .aad = text.aad, .body = ByteView(place).first(size), .out = place.data()};
      aead->seal({&item, 1});
      EXPECT_EQ(place, apart);
    }
  }
}

TEST_P(Kinds, AnyFlippedBitIsRefused) {
  for (const auto& aead : aeads(random_key(rng_))) {
    Text text = Text::random(rng_, 70);
    text.aad = random_bytes(rng_, 8);
    const Bytes sealed = seal_all(*aead, {text}).front();
    ASSERT_TRUE(opens(*aead, text.nonce, text.aad, sealed));
    for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
      Bytes flipped = sealed;
      flipped[bit / 8] ^= std::byte{1} << (bit % 8);
      ASSERT_FALSE(opens(*aead, text.nonce, text.aad, flipped)) << bit;
    }
    for (std::size_t bit = 0; bit < 64; ++bit) {
      Bytes aad = text.aad;
      aad[bit / 8] ^= std::byte{1} << (bit % 8);
      ASSERT_FALSE(opens(*aead, text.nonce, aad, sealed)) << bit;
      ASSERT_FALSE(opens(*aead, text.nonce ^ std::uint64_t{1} << bit, text.aad, sealed)) << bit;
    }
    for (std::size_t size = 0; size < sealed.size(); ++size) {
      ASSERT_FALSE(opens(*aead, text.nonce, text.aad, ByteView(sealed).first(size))) << size;
    }
  }
}

TEST_P(Kinds, OneBadItemSpoilsNoOther) {
  for (const auto& aead : aeads(random_key(rng_))) {
    std::vector<Text> texts;
    for (int n = 0; n < 64; ++n) texts.push_back(Text::random(rng_, 100));
    auto sealed = seal_all(*aead, texts);
    std::vector<OpenItem> items;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (i % 3 == 0) sealed[i].back() ^= std::byte{1};
      items.push_back({.nonce = texts[i].nonce,
                       .aad = texts[i].aad,
                       .sealed = sealed[i],
                       .out = sealed[i].data(),
                       .ok = i % 3 == 0});
    }
    aead->open(items);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(items[i].ok, i % 3 != 0);
      const Bytes expected = items[i].ok ? texts[i].whole() : Bytes(texts[i].size());  // refused bytes are wiped
      EXPECT_TRUE(equal({items[i].out, texts[i].size()}, expected));
    }
  }
}

TEST_P(Kinds, AnotherKeyOpensNothing) {
  for (const AeadLibrary library : kLibraries) {
    if (!available(GetParam(), library)) continue;
    const Key key = random_key(rng_);
    Key other = key.clone();
    other.writable()[0] ^= std::byte{1};
    const Text text = Text::random(rng_, 10);
    const Bytes sealed = seal_all(*make_aead(GetParam(), key, library), {text}).front();
    EXPECT_FALSE(opens(*make_aead(GetParam(), other, library), text.nonce, text.aad, sealed));
  }
}

// Also for the thread sanitizer.
TEST_P(Kinds, ServesManyThreadsAtOnce) {
  for (const auto& aead : aeads(random_key(rng_))) {
    std::vector<std::thread> threads;
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      threads.emplace_back([&aead, seed] {
        test::SeededRng rng(seed);
        for (int round = 0; round < 50; ++round) {
          std::vector<Text> texts;
          for (int n = 0; n < 8; ++n) texts.push_back(Text::random(rng, rng.below(1500)));
          expect_opens(*aead, texts, seal_all(*aead, texts));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST_P(Kinds, AnEmptyBatchDoesNothing) {
  for (const auto& aead : aeads(random_key(rng_))) {
    aead->seal({});
    aead->open({});
  }
}

INSTANTIATE_TEST_SUITE_P(All, Kinds, testing::ValuesIn(kKinds), [](const auto& tested) {
  std::string name(name_of(tested.param));
  std::erase(name, '-');
  return name;
});

TEST(Aead, NumbersBecomeNoncesAsInNoise) {
  const auto hex = [](AeadKind kind) { return to_hex(raw_nonce(kind, 0x0102030405060708)); };
  EXPECT_EQ(hex(AeadKind::aes256gcm), "000000000102030405060708");
  EXPECT_EQ(hex(AeadKind::aes128gcm), "000000000102030405060708");
  EXPECT_EQ(hex(AeadKind::chacha20poly1305), "000000000807060504030201");
}

TEST(Aead, NamesRoundTrip) {
  for (const AeadKind kind : kKinds) EXPECT_EQ(parse_aead_kind(name_of(kind)), kind);
  EXPECT_FALSE(parse_aead_kind("aes-192-gcm"));
  EXPECT_FALSE(parse_aead_kind(""));
}

TEST(Aead, PrefersWhatIsAvailable) {
  EXPECT_EQ(preferred_kinds().size(), std::size(kKinds));
  for (const AeadKind kind : preferred_kinds()) {
    EXPECT_TRUE(available(kind, AeadLibrary::openssl));
    EXPECT_TRUE(available(kind, preferred_library(kind)));
    EXPECT_EQ(make_aead(kind, Key())->library(), preferred_library(kind));
  }
}

}  // namespace
}  // namespace eps::crypto
