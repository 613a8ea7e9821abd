// SPDX-License-Identifier: MIT
#include "node/peer_handshake.h"

#include <gtest/gtest.h>

#include <array>

#include "support/seeded_rng.h"

namespace eps::node {
namespace {

constexpr Features kOne{0b0110};
constexpr Features kOther{0b1100};
const std::vector<crypto::AeadKind> kOffer = {crypto::AeadKind::aes256gcm, crypto::AeadKind::chacha20poly1305};

struct Members {
  test::SeededRng rng{1};
  crypto::KeyPair a = crypto::generate_key_pair(rng);
  crypto::KeyPair b = crypto::generate_key_pair(rng);
  PeerBinding binding{{}, {{std::byte{2}}}, {{std::byte{4}}}};
};

// What follows the Noise prologue in version 0.1's handshake.
Bytes prologue(const NetworkId& network) {
  Bytes out;
  Writer w(out);
  w.bytes(as_view("eps peer 1"));
  w.bytes(network.bytes);
  return out;
}

TEST(PeerHandshake, ASessionHasTheFeaturesOfBothEnds) {
  Members m;
  Bytes first, second;
  auto initiator = PeerInitiator::start(m.a, m.b.public_key, m.binding, 7, kOffer, kOne, {}, m.rng, first);
  ASSERT_TRUE(initiator);
  PeerResponder responder(m.b, m.binding.network, m.rng);
  const auto request = responder.read(first);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->number, 7U);
  EXPECT_EQ(request->offer, kOffer);
  EXPECT_EQ(request->features, kOne);
  const auto theirs = responder.answer(kOffer[1], kOther, {}, Instant{}, second);
  const auto ours = initiator->finish(second, Instant{});
  ASSERT_TRUE(theirs && ours);
  EXPECT_EQ(theirs->features, Features{0b0100});
  EXPECT_EQ(ours->features, Features{0b0100});
}

TEST(PeerHandshake, AnInitiatorOfVersion01HasNoFeatures) {
  Members m;
  noise::Initiator old(m.a, m.b.public_key, prologue(m.binding.network), m.rng);
  Bytes payload, first, second;
  Writer w(payload);
  w.u8(1);
  w.u8(3);
  w.u64(7);
  w.bytes(m.binding.self.bytes);
  w.bytes(m.binding.peer.bytes);
  w.u8(1);
  w.u8(static_cast<std::uint8_t>(kOffer[0]));
  ASSERT_TRUE(old.write_initiation(payload, first));
  PeerResponder responder(m.b, m.binding.network, m.rng);
  const auto request = responder.read(first);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->features, Features());
  const auto params = responder.answer(kOffer[0], kOne, {}, Instant{}, second);
  ASSERT_TRUE(params);
  EXPECT_EQ(params->features, Features());
  EXPECT_TRUE(old.read_response(second, crypto::Key()));
}

TEST(PeerHandshake, AResponderOfVersion01HasNoFeatures) {
  Members m;
  Bytes first, second;
  auto initiator = PeerInitiator::start(m.a, m.b.public_key, m.binding, 7, kOffer, kOne, {}, m.rng, first);
  ASSERT_TRUE(initiator);
  noise::Responder old(m.b, prologue(m.binding.network), m.rng);
  ASSERT_TRUE(old.read_initiation(first));
  const std::array payload = {std::byte{1}, static_cast<std::byte>(kOffer[1])};
  ASSERT_TRUE(old.write_response(payload, crypto::Key(), second));
  const auto params = initiator->finish(second, Instant{});
  ASSERT_TRUE(params);
  EXPECT_EQ(params->features, Features());
}

std::optional<crypto::Key> psk_of(std::uint8_t first) {
  crypto::Key key;
  key.writable()[0] = std::byte{first};
  return key;
}

// The result of a handshake between members with these keys, as seen by both ends.
struct Outcome {
  PskMismatch initiator, responder;
  bool session;
  bool operator==(const Outcome&) const = default;
};
Outcome meet(std::optional<crypto::Key> ours, std::optional<crypto::Key> theirs) {
  Members m;
  Bytes first, second;
  auto initiator = PeerInitiator::start(m.a, m.b.public_key, m.binding, 7, kOffer, kOne, ours, m.rng, first);
  PeerResponder responder(m.b, m.binding.network, m.rng);
  EXPECT_TRUE(initiator && responder.read(first));
  const PskMismatch mismatch = responder.mismatch(theirs);
  if (mismatch == PskMismatch::none) {
    EXPECT_TRUE(responder.answer(kOffer[0], kOther, theirs, Instant{}, second));
  } else {
    EXPECT_TRUE(responder.refuse(mismatch, kOther, second));
  }
  const bool session = initiator->finish(second, Instant{}).has_value();
  return {initiator->mismatch(), mismatch, session};
}

TEST(PeerHandshake, MembersNeedTheSamePreSharedKey) {
  using enum PskMismatch;
  EXPECT_EQ(meet(psk_of(1), psk_of(1)), (Outcome{none, none, true}));
  EXPECT_EQ(meet({}, {}), (Outcome{none, none, true}));
  EXPECT_EQ(meet(psk_of(1), psk_of(2)), (Outcome{differs, differs, false}));
  EXPECT_EQ(meet(psk_of(1), {}), (Outcome{self_alone, peer_alone, false}));
  EXPECT_EQ(meet({}, psk_of(1)), (Outcome{peer_alone, self_alone, false}));
}

TEST(PeerHandshake, ThePreSharedKeyIsInTheKeysOfTheSession) {
  Members m;
  Bytes first, second;
  noise::Initiator spy(m.a, m.b.public_key, prologue(m.binding.network), m.rng);
  Bytes payload(17);
  payload[0] = std::byte{1};
  payload[1] = std::byte{3};
  payload.resize(2 + 8 + 6 + 6 + 1);  // no AEAD kinds, no check
  ASSERT_TRUE(spy.write_initiation(payload, first));
  PeerResponder responder(m.b, m.binding.network, m.rng);
  ASSERT_TRUE(responder.read(first));
  // Whatever was agreed: with another psk nothing in the response opens.
  ASSERT_TRUE(responder.answer(kOffer[0], kOne, psk_of(1), Instant{}, second));
  EXPECT_FALSE(spy.read_response(second, crypto::Key()));
  EXPECT_TRUE(spy.read_response(second, *psk_of(1)));
}

TEST(PeerHandshake, AResponderOfVersion01HasNoPreSharedKey) {
  Members m;
  Bytes first, second;
  auto initiator = PeerInitiator::start(m.a, m.b.public_key, m.binding, 7, kOffer, kOne, psk_of(1), m.rng, first);
  ASSERT_TRUE(initiator);
  noise::Responder old(m.b, prologue(m.binding.network), m.rng);
  ASSERT_TRUE(old.read_initiation(first));
  const std::array payload = {std::byte{1}, static_cast<std::byte>(kOffer[1])};
  ASSERT_TRUE(old.write_response(payload, crypto::Key(), second));
  EXPECT_FALSE(initiator->finish(second, Instant{}));
  EXPECT_EQ(initiator->mismatch(), PskMismatch::self_alone);
}

}  // namespace
}  // namespace eps::node
