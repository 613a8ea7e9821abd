// SPDX-License-Identifier: MIT
#include "noise/cookie.h"

#include <gtest/gtest.h>

#include "support/seeded_rng.h"

namespace eps::noise {
namespace {

using std::chrono::seconds;

constexpr std::uint32_t kIndex = 0xabcdef;

PublicKey key_of(std::uint8_t value) {
  PublicKey key;
  key.bytes.fill(std::byte{value});
  return key;
}

struct Cookies : testing::Test {
  test::SeededRng rng{7};
  PublicKey receiver = key_of(1);
  CookieChecker checker{receiver, rng};
  CookieJar jar{receiver};
  Endpoint from = *parse_endpoint("192.0.2.1:4000");
  Instant now{seconds(1000)};

  // A datagram that ends in the jar's MACs.
  Bytes datagram(CookieJar& sender, std::string_view text = "initiation") {
    Bytes out(as_view(text).begin(), as_view(text).end());
    sender.append_macs(out, now);
    return out;
  }
  Bytes datagram() { return datagram(jar); }
  // The jar accepts a cookie for `from`.
  void learn_cookie() { ASSERT_TRUE(jar.take_reply(checker.make_reply(datagram(), kIndex, from, now), now)); }
};

TEST_F(Cookies, Mac1ProvesTheReceiversKey) {
  const Bytes good = datagram();
  EXPECT_EQ(good.size(), 10U + 32);
  EXPECT_TRUE(checker.mac1_ok(good));
  CookieJar stranger(key_of(2));
  EXPECT_FALSE(checker.mac1_ok(datagram(stranger)));
  for (std::size_t i = 0; i < good.size() - 16; ++i) {
    Bytes changed = good;
    changed[i] ^= std::byte{4};
    EXPECT_FALSE(checker.mac1_ok(changed)) << i;
  }
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(checker.mac1_ok(ByteView(good).first(size)));
}

TEST_F(Cookies, Mac2IsZeroWithoutACookie) {
  const Bytes first = datagram();
  EXPECT_TRUE(equal(ByteView(first).last(16), Bytes(16)));
  EXPECT_FALSE(checker.mac2_ok(first, from, now));
}

TEST_F(Cookies, ACookieProvesTheEndpoint) {
  learn_cookie();
  const Bytes second = datagram();
  EXPECT_TRUE(checker.mac1_ok(second));
  EXPECT_TRUE(checker.mac2_ok(second, from, now));
  EXPECT_FALSE(checker.mac2_ok(second, *parse_endpoint("192.0.2.1:4001"), now));
  EXPECT_FALSE(checker.mac2_ok(second, *parse_endpoint("192.0.2.2:4000"), now));
  Bytes changed = second;
  changed.back() ^= std::byte{1};
  EXPECT_FALSE(checker.mac2_ok(changed, from, now));
  EXPECT_FALSE(checker.mac2_ok({}, from, now));
}

TEST_F(Cookies, AReplyHasTheLayoutOfTheWire) {
  const Bytes reply = checker.make_reply(datagram(), kIndex, from, now);
  EXPECT_EQ(to_hex(ByteView(reply).first(4)), "03abcdef");
  EXPECT_EQ(reply.size(), 4U + 12 + 16 + 16);
}

TEST_F(Cookies, BothSidesForgetAfterTwoMinutes) {
  learn_cookie();
  const Bytes sent = datagram();
  now += seconds(119);
  EXPECT_TRUE(checker.mac2_ok(sent, from, now));
  EXPECT_TRUE(checker.mac2_ok(datagram(), from, now));
  now += seconds(1);
  EXPECT_FALSE(checker.mac2_ok(sent, from, now));
  EXPECT_TRUE(equal(ByteView(datagram()).last(16), Bytes(16)));
  learn_cookie();
  EXPECT_TRUE(checker.mac2_ok(datagram(), from, now));
}

TEST_F(Cookies, AReplyMustAnswerTheLastDatagram) {
  EXPECT_FALSE(jar.take_reply(checker.make_reply(Bytes(42), kIndex, from, now), now));  // nothing was sent yet
  const Bytes first = datagram();
  const Bytes to_first = checker.make_reply(first, kIndex, from, now);
  datagram(jar, "another");
  EXPECT_FALSE(jar.take_reply(to_first, now));
}

TEST_F(Cookies, AReplyIsTakenOnce) {
  const Bytes reply = checker.make_reply(datagram(), kIndex, from, now);
  EXPECT_TRUE(jar.take_reply(reply, now));
  EXPECT_FALSE(jar.take_reply(reply, now));
}

TEST_F(Cookies, ForgedRepliesAreRefusedAndSpoilNothing) {
  const Bytes sent = datagram();
  const Bytes reply = checker.make_reply(sent, kIndex, from, now);
  EXPECT_FALSE(jar.take_reply(CookieChecker(key_of(2), rng).make_reply(sent, kIndex, from, now), now));
  for (std::size_t size = 0; size < reply.size(); ++size) {
    EXPECT_FALSE(jar.take_reply(ByteView(reply).first(size), now));
  }
  for (std::size_t i = 0; i < reply.size(); ++i) {
    if (i >= 1 && i < 4) continue;  // the index leads to the jar and is not covered by the check
    Bytes changed = reply;
    changed[i] ^= std::byte{1};
    EXPECT_FALSE(jar.take_reply(changed, now)) << i;
  }
  Bytes longer = reply;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(jar.take_reply(longer, now));
  EXPECT_TRUE(jar.take_reply(reply, now));
}

TEST_F(Cookies, TwoCheckersHaveDifferentSecrets) {
  learn_cookie();
  CookieChecker restarted(receiver, rng);
  EXPECT_FALSE(restarted.mac2_ok(datagram(), from, now));
}

}  // namespace
}  // namespace eps::noise
