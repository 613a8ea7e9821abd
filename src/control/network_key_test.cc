// SPDX-License-Identifier: MIT
#include "control/network_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/primitives.h"
#include "support/seeded_rng.h"

namespace eps::control {
namespace {

using testing::HasSubstr;
using testing::Not;

NetworkKey make_key(std::uint64_t seed) {
  test::SeededRng rng(seed);
  NetworkKey key;
  rng.fill(key.server.bytes);
  rng.fill(key.enrolment.writable());
  return key;
}

bool same(const NetworkKey& a, const NetworkKey& b) {
  return a.server == b.server && equal(a.enrolment.view(), b.enrolment.view());
}

// The text of a body that to_text() does not produce, with a valid checksum.
std::string with_checksum(Bytes body) {
  const crypto::Hash sum = crypto::blake2s({as_view("eps network key"), body});
  body.insert(body.end(), sum.begin(), sum.begin() + 4);
  return "eps1-" + to_base32(body);
}

Bytes body_of(const std::string& text) {
  Bytes raw = *from_base32(text.substr(5));
  raw.resize(raw.size() - 4);
  return raw;
}

std::string why(std::string_view text) {
  const auto parsed = parse_network_key(text);
  EXPECT_FALSE(parsed) << text;
  return parsed ? "" : parsed.error().what;
}

TEST(NetworkKeyText, RoundTrips) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const NetworkKey key = make_key(seed);
    const std::string text = to_text(key);
    EXPECT_EQ(text.size(), 5U + 85U);
    ASSERT_TRUE(parse_network_key(text));
    EXPECT_TRUE(same(*parse_network_key(text), key));
  }
}

TEST(NetworkKeyText, CarriesTheNumberOfItsJoinKey) {
  NetworkKey key = make_key(1);
  key.join_key = 70'000;
  const auto back = parse_network_key(to_text(key));
  ASSERT_TRUE(back) << back.error().what;
  EXPECT_EQ(back->join_key, 70'000U);
  key.join_key = 0;
  EXPECT_EQ(parse_network_key(to_text(key))->join_key, 0U);
}

TEST(NetworkKeyText, MayNameTheNetworkLock) {
  NetworkKey key = make_key(1);
  EXPECT_FALSE(parse_network_key(to_text(key))->lock);
  key.join_key = 70'000;
  key.lock.emplace().fill(std::byte{7});
  const auto back = parse_network_key(to_text(key));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->lock, key.lock);
  EXPECT_EQ(back->clone().lock, key.lock);
  EXPECT_EQ(back->join_key, 70'000U);
}

TEST(NetworkKeyText, IsStable) {
  NetworkKey key;
  for (std::size_t i = 0; i < 32; ++i) key.server.bytes[i] = static_cast<std::byte>(i);
  for (std::size_t i = 0; i < 16; ++i) key.enrolment.writable()[i] = static_cast<std::byte>(0xf0 + i);
  EXPECT_EQ(to_hex(body_of(to_text(key))),
            "01000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
            "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
}

TEST(NetworkKeyText, BlanksAndUpperCaseAreForgiven) {
  const NetworkKey key = make_key(1);
  std::string text = to_text(key);
  EXPECT_TRUE(parse_network_key("  " + text + "\r\n"));
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  ASSERT_TRUE(parse_network_key(text));
  EXPECT_TRUE(same(*parse_network_key(text), key));
}

// Every single character mistyped as any other, any two neighbours swapped, any character lost or doubled.
TEST(NetworkKeyText, EveryTypoIsDetected) {
  constexpr std::string_view kDigits = "abcdefghijklmnopqrstuvwxyz234567";
  const std::string text = to_text(make_key(2));
  for (std::size_t i = 5; i < text.size(); ++i) {
    for (const char c : kDigits) {
      std::string typo = text;
      typo[i] = c;
      EXPECT_EQ(parse_network_key(typo).has_value(), typo == text) << typo;
    }
    std::string swapped = text;
    if (i + 1 < text.size()) std::swap(swapped[i], swapped[i + 1]);
    EXPECT_EQ(parse_network_key(swapped).has_value(), swapped == text) << swapped;
    EXPECT_FALSE(parse_network_key(std::string(text).erase(i, 1)));
    EXPECT_FALSE(parse_network_key(std::string(text).insert(i, 1, text[i])));
  }
}

TEST(NetworkKeyText, ErrorsSayWhatIsWrongAndWhereToGetAKeyButNeverRevealIt) {
  const std::string text = to_text(make_key(3));
  std::string typo = text;
  typo[20] = typo[20] == 'a' ? 'b' : 'a';
  Bytes newer = body_of(text);
  newer[0] = std::byte{2};
  const std::vector<std::pair<std::string, const char*>> cases = {
      {"", "empty"},
      {" \n", "empty"},
      {"hello", "does not begin with \"eps1-\""},
      {"eps2-" + text.substr(5), "does not begin with \"eps1-\""},
      {"eps1-", "too short"},
      {"eps1-mzxw6ytboi", "too short"},
      {text.substr(0, 50) + "!" + text.substr(51), "character"},
      {text.substr(0, 50) + "1" + text.substr(51), "character"},
      {typo, "checksum"},
      {"eps1-" + std::string(2000, 'a'), "too long"},
      {with_checksum(newer), "newer format"},
  };
  for (const auto& [bad, part] : cases) {
    EXPECT_THAT(why(bad), HasSubstr(part)) << bad;
    EXPECT_THAT(why(bad), HasSubstr("eps key"));
    EXPECT_THAT(why(bad), Not(HasSubstr(text.substr(30, 8))));
  }
}

TEST(NetworkKeyText, UnknownFieldsAreSkippedAndTruncatedOnesRefused) {
  const NetworkKey key = make_key(4);
  Bytes body = body_of(to_text(key));
  const Bytes fixed = body;
  Writer w(body);
  w.u8(7);
  w.u8(3);
  w.bytes(as_view("abc"));
  w.u8(8);
  w.u8(0);
  ASSERT_TRUE(parse_network_key(with_checksum(body)));
  EXPECT_TRUE(same(*parse_network_key(with_checksum(body)), key));
  for (std::size_t n : {1U, 2U, 3U, 4U, 6U}) {
    Bytes torn = body;
    torn.resize(fixed.size() + n);
    EXPECT_THAT(why(with_checksum(torn)), HasSubstr("contradicts itself")) << n;
  }
}

TEST(NetworkKeyText, ThePskDependsOnTheEnrolmentSecretAlone) {
  NetworkKey a = make_key(5);
  const NetworkKey b = make_key(6);
  EXPECT_FALSE(equal(enrolment_psk(a.enrolment.view()).view(), enrolment_psk(b.enrolment.view()).view()));
  a.enrolment = b.enrolment.clone();
  EXPECT_TRUE(equal(enrolment_psk(a.enrolment.view()).view(), enrolment_psk(b.enrolment.view()).view()));
  EXPECT_TRUE(equal(enrolment_psk(b.enrolment.view()).view(),
                    crypto::blake2s({as_view("eps enrolment psk"), b.enrolment.view()})));
}

}  // namespace
}  // namespace eps::control
