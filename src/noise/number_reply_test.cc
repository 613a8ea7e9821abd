// SPDX-License-Identifier: MIT
#include "noise/number_reply.h"

#include <gtest/gtest.h>

#include "crypto/primitives.h"
#include "support/seeded_rng.h"
#include "wire/datagram.h"

namespace eps::noise {
namespace {

class NumberReply : public testing::Test {
 protected:
  NumberReply()
      : rng(3), a(crypto::generate_key_pair(rng)), b(crypto::generate_key_pair(rng)), initiation(200, std::byte{7}) {}
  test::SeededRng rng;
  crypto::KeyPair a, b;
  Bytes initiation;
  const Bytes network{16, std::byte{1}};
};

TEST_F(NumberReply, OnlyTheInitiatorCanReadIt) {
  const auto at_a = number_reply_key(a, b.public_key, network);
  const auto at_b = number_reply_key(b, a.public_key, network);
  ASSERT_TRUE(at_a && at_b);
  const Bytes reply = make_number_reply(*at_b, initiation, 77, 1234567890123, rng);
  EXPECT_LT(reply.size(), initiation.size()) << "no amplification";
  EXPECT_EQ(read_number_reply(*at_a, initiation, reply), 1234567890123U);
  const crypto::KeyPair c = crypto::generate_key_pair(rng);
  EXPECT_FALSE(read_number_reply(*number_reply_key(a, c.public_key, network), initiation, reply)) << "another peer's";
  EXPECT_FALSE(read_number_reply(*number_reply_key(a, b.public_key, Bytes(16)), initiation, reply))
      << "another network's";
}

TEST_F(NumberReply, AnswersOneInitiationAndCannotBeAltered) {
  const auto key = number_reply_key(a, b.public_key, network);
  const Bytes reply = make_number_reply(*key, initiation, 77, 5, rng);
  Bytes other = initiation;
  other[other.size() - 2 * wire::kMacSize] ^= std::byte{1};
  EXPECT_FALSE(read_number_reply(*key, other, reply)) << "mac1 belongs to another initiation";
  for (std::size_t i = 0; i < reply.size(); ++i) {
    Bytes bad = reply;
    bad[i] ^= std::byte{1};
    EXPECT_FALSE(read_number_reply(*key, initiation, bad)) << i;
  }
  for (std::size_t n = 0; n < reply.size(); ++n) {
    EXPECT_FALSE(read_number_reply(*key, initiation, ByteView(reply).first(n))) << n;
  }
}

}  // namespace
}  // namespace eps::noise
