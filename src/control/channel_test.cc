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

}  // namespace
}  // namespace eps::control
