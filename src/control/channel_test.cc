// SPDX-License-Identifier: MIT
#include "control/channel.h"

#include <gtest/gtest.h>

#include "support/seeded_rng.h"

namespace eps::control {
namespace {

noise::TransportKeys keys() {
  noise::TransportKeys out;
  test::SeededRng rng(3);
  rng.fill(out.initiator_to_responder.writable());
  rng.fill(out.responder_to_initiator.writable());
  rng.fill(out.handshake_hash);
  rng.fill(out.next_psk.writable());
  return out;
}

struct Ends {
  Channel client;
  Channel server;
  Ends() {
    client.begin_transport(keys(), true);
    server.begin_transport(keys(), false);
  }
};

Bytes bytes_of(std::string_view text) {
  return {as_view(text).begin(), as_view(text).end()};
}

// Takes one whole frame off the stream.
Bytes frame_of(const Bytes& stream) {
  Channel framing;
  ByteView in = stream;
  return *framing.next_frame(in);
}

TEST(Channel, FramesComeOutAsTheyWentInHoweverTheyAreCut) {
  test::SeededRng rng(1);
  for (int round = 0; round < 50; ++round) {
    Bytes stream;
    std::vector<Bytes> sent;
    for (int n = 0; n < 10; ++n) {
      Bytes& body = sent.emplace_back(rng.below(8) == 0 ? rng.below(Channel::kMaxFrame + 1) : rng.below(40));
      rng.fill(body);
      Channel::put_frame(body, stream);
    }
    Channel channel;
    std::vector<Bytes> got;
    for (ByteView rest = stream; !rest.empty();) {
      const std::size_t n = std::min<std::size_t>(rest.size(), 1 + rng.below(round % 2 == 0 ? 3 : 70'000));
      ByteView piece = rest.first(n);
      rest = rest.subspan(n);
      while (auto body = channel.next_frame(piece)) got.push_back(std::move(*body));
      EXPECT_TRUE(piece.empty()) << "an incomplete frame is kept";
    }
    EXPECT_EQ(got, sent);
  }
}

TEST(Channel, SealedBothWays) {
  Ends ends;
  for (int i = 0; i < 3; ++i) {
    Bytes forth;
    Bytes back;
    ends.client.seal(as_view("forth"), forth);
    ends.server.seal(as_view("back"), back);
    EXPECT_EQ(ends.server.open(frame_of(forth)), bytes_of("forth"));
    EXPECT_EQ(ends.client.open(frame_of(back)), bytes_of("back"));
  }
  Bytes empty;
  ends.client.seal({}, empty);
  EXPECT_EQ(ends.server.open(frame_of(empty)), Bytes());
}

TEST(Channel, EveryBitCounts) {
  Bytes stream;
  Ends().client.seal(as_view("message"), stream);
  const Bytes frame = frame_of(stream);
  EXPECT_TRUE(Ends().server.open(frame));
  for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
    Bytes flipped = frame;
    flipped[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    EXPECT_FALSE(Ends().server.open(flipped)) << bit;
  }
  for (std::size_t size = 0; size < frame.size(); ++size) {
    EXPECT_FALSE(Ends().server.open(ByteView(frame).first(size))) << size;
  }
}

TEST(Channel, NothingOpensTwiceOutOfOrderOrInTheOtherDirection) {
  Bytes first;
  Bytes second;
  Channel client;
  client.begin_transport(keys(), true);
  client.seal(as_view("1"), first);
  client.seal(as_view("2"), second);
  Ends twice;
  EXPECT_TRUE(twice.server.open(frame_of(first)));
  EXPECT_FALSE(twice.server.open(frame_of(first)));
  EXPECT_FALSE(Ends().server.open(frame_of(second)));
  EXPECT_FALSE(Ends().client.open(frame_of(first)));
}

class Rekeying : public testing::Test {
 protected:
  Bytes sealed(Channel& from, std::string_view text) {
    Bytes out;
    from.seal(as_view(text), out);
    return frame_of(out);
  }
  std::optional<Bytes> answered(ByteView message) {
    return ends_.server.answer_rekey(server_, client_.public_key, message, rng_);
  }
  void rekey() {
    const auto answer = answered(ends_.client.begin_rekey(client_, server_.public_key, rng_));
    ASSERT_TRUE(answer);
    ends_.server.seal_anew();
    ASSERT_TRUE(ends_.client.finish_rekey(*answer));
    ends_.client.seal_anew();
    ASSERT_TRUE(ends_.client.open_anew());
    ASSERT_TRUE(ends_.server.open_anew());
  }

  test::SeededRng rng_{5};
  crypto::KeyPair client_ = crypto::generate_key_pair(rng_);
  crypto::KeyPair server_ = crypto::generate_key_pair(rng_);
  Ends ends_;
};

TEST_F(Rekeying, EachDirectionChangesInItsOwnTimeAndWhatIsOnItsWayStillOpens) {
  Channel &client = ends_.client, &server = ends_.server;
  const Bytes early_forth = sealed(client, "1"), early_back = sealed(server, "a");
  const Bytes question = client.begin_rekey(client_, server_.public_key, rng_);
  EXPECT_TRUE(client.rekeying());
  const Bytes crossing_back = sealed(server, "b"), crossing_forth = sealed(client, "2");
  EXPECT_EQ(server.open(early_forth), bytes_of("1"));
  const auto answer = answered(question);
  ASSERT_TRUE(answer);
  const Bytes answer_back = sealed(server, "answer");
  server.seal_anew();
  const Bytes new_back = sealed(server, "c");
  EXPECT_EQ(server.open(crossing_forth), bytes_of("2")) << "the client does not have the answer yet";
  EXPECT_EQ(client.open(early_back), bytes_of("a"));
  EXPECT_EQ(client.open(crossing_back), bytes_of("b"));
  EXPECT_EQ(client.open(answer_back), bytes_of("answer"));
  ASSERT_TRUE(client.finish_rekey(*answer));
  const Bytes last_forth = sealed(client, "3");
  client.seal_anew();
  ASSERT_TRUE(client.open_anew());
  EXPECT_FALSE(client.rekeying());
  EXPECT_EQ(client.volume(), 0U);
  EXPECT_EQ(client.open(new_back), bytes_of("c"));
  const Bytes new_forth = sealed(client, "4");
  EXPECT_EQ(server.open(last_forth), bytes_of("3"));
  ASSERT_TRUE(server.open_anew());
  EXPECT_EQ(server.open(new_forth), bytes_of("4"));
  EXPECT_FALSE(server.open_anew()) << "there are no newer keys";
}

TEST_F(Rekeying, NothingOfTheOldKeysOpensAndNewKeysDiffer) {
  const Bytes old_forth = sealed(ends_.client, "x"), old_back = sealed(ends_.server, "x");
  std::vector<Bytes> seen = {old_forth, old_back};
  for (int n = 0; n < 3; ++n) {
    rekey();
    seen.push_back(sealed(ends_.client, "x"));
    seen.push_back(sealed(ends_.server, "x"));
    for (auto at = seen.begin(); at != seen.end(); ++at) EXPECT_EQ(std::count(seen.begin(), seen.end(), *at), 1);
  }
  rekey();
  EXPECT_FALSE(ends_.server.open(old_forth));
  rekey();
  EXPECT_FALSE(ends_.client.open(old_back));
}

TEST_F(Rekeying, EveryBitOfTheHandshakeCounts) {
  const Bytes question = ends_.client.begin_rekey(client_, server_.public_key, rng_);
  for (std::size_t bit = 0; bit < question.size() * 8; bit += 7) {
    Bytes flipped = question;
    flipped[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    if (bit == 255) continue;  // X25519 ignores it (RFC 7748, section 5), but not the hash
    EXPECT_FALSE(answered(flipped)) << bit;
  }
  EXPECT_FALSE(answered({}));
  auto answer = answered(question);
  ASSERT_TRUE(answer);
  answer->back() ^= std::byte{1};
  EXPECT_FALSE(ends_.client.finish_rekey(*answer));
}

TEST_F(Rekeying, OnlyThisClientAndOnlyInThisChannel) {
  const crypto::KeyPair other = crypto::generate_key_pair(rng_);
  EXPECT_FALSE(answered(ends_.client.begin_rekey(other, server_.public_key, rng_))) << "another member's key";

  // What was said in an earlier state of the channel, or in another one.
  Ends fresh;
  const Bytes question = fresh.client.begin_rekey(client_, server_.public_key, rng_);
  ends_ = {};
  rekey();
  EXPECT_FALSE(answered(question));

  // Somebody who has the static keys of both, but not what the channel's keys came from.
  Ends blind;
  noise::TransportKeys guess = keys();
  guess.next_psk = {};
  blind.server.begin_transport(guess, false);
  const auto answer = blind.server.answer_rekey(server_, client_.public_key,
                                                blind.client.begin_rekey(client_, server_.public_key, rng_), rng_);
  ASSERT_TRUE(answer);
  EXPECT_FALSE(blind.client.finish_rekey(*answer));
}

TEST_F(Rekeying, NobodyAnswersUnasked) {
  EXPECT_FALSE(ends_.client.finish_rekey(Bytes(48)));
  const Bytes question = ends_.client.begin_rekey(client_, server_.public_key, rng_);
  ASSERT_TRUE(answered(question));
  EXPECT_FALSE(answered(question)) << "the client has not changed yet";
}

TEST(Channel, KeysThatAreUsedUpSealNothingThatOpens) {
  Channel client(2), server(3);
  client.begin_transport(keys(), true);
  server.begin_transport(keys(), false);
  for (int n = 0; n < 3; ++n) {
    EXPECT_EQ(client.worn(), n >= 2);
    EXPECT_FALSE(server.worn());
    Bytes out;
    client.seal(as_view("x"), out);
    EXPECT_TRUE(server.open(frame_of(out)));
  }
  EXPECT_TRUE(server.worn());
  Bytes out;
  client.seal(as_view("x"), out);
  EXPECT_FALSE(server.open(frame_of(out)));
}

}  // namespace
}  // namespace eps::control
