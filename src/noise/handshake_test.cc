// SPDX-License-Identifier: MIT
#include "noise/handshake.h"

#include <gtest/gtest.h>

#include "crypto/aead.h"
#include "support/seeded_rng.h"
#include "support/vectors.h"

namespace eps::noise {
namespace {

using crypto::Key;
using crypto::KeyPair;

// Returns one given ephemeral key, as the published vectors prescribe.
class FixedRng final : public Rng {
 public:
  explicit FixedRng(const std::array<std::byte, 32>& bytes) : bytes_(bytes) {}
  void fill(ByteSpan out) override {
    ASSERT_EQ(out.size(), bytes_.size());
    std::memcpy(out.data(), bytes_.data(), out.size());
  }

 private:
  std::array<std::byte, 32> bytes_;
};

Key key_of(std::uint8_t value) {
  std::array<std::byte, 32> raw;
  raw.fill(std::byte{value});
  return Key(raw);
}

// Two sides that know each other, and one handshake between them.
struct Pair {
  test::SeededRng rng{5};
  KeyPair self = crypto::generate_key_pair(rng);
  KeyPair peer = crypto::generate_key_pair(rng);
  Initiator initiator{self, peer.public_key, as_view("prologue"), rng};
  Responder responder{peer, as_view("prologue"), rng};

  Bytes initiation() {
    Bytes out;
    EXPECT_TRUE(initiator.write_initiation(as_view("hello"), out));
    return out;
  }
  // Message 2 to a new message 1.
  Bytes response(const Key& psk) {
    EXPECT_TRUE(responder.read_initiation(initiation()));
    Bytes out;
    EXPECT_TRUE(responder.write_response(as_view("welcome"), psk, out));
    return out;
  }
};

// X25519 points of small order (RFC 7748, section 6.1): 0, 1, and one of order 8, and p - 1, p, p + 1.
std::vector<PublicKey> small_order_points() {
  std::vector<PublicKey> out;
  for (const char* hex : {"0000000000000000000000000000000000000000000000000000000000000000",
                          "0100000000000000000000000000000000000000000000000000000000000000",
                          "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                          "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    PublicKey key;
    std::memcpy(key.bytes.data(), from_hex(hex)->data(), key.bytes.size());
    out.push_back(key);
  }
  return out;
}

void expect_transport(const nlohmann::json& message, const Key& key, std::uint64_t nonce) {
  const Bytes text = test::hex_field(message, "payload");
  Bytes sealed(text.size() + crypto::kTagSize);
  crypto::SealItem item;
  item.nonce = nonce;
  item.body = text;
  item.out = sealed.data();
  crypto::make_aead(crypto::AeadKind::chacha20poly1305, key)->seal({&item, 1});
  EXPECT_EQ(sealed, test::hex_field(message, "ciphertext"));
}

void expect_vector(const nlohmann::json& vector) {
  const KeyPair self = crypto::key_pair_from_secret(Key(test::hex_array<32>(vector, "init_static")));
  const KeyPair peer = crypto::key_pair_from_secret(Key(test::hex_array<32>(vector, "resp_static")));
  const Bytes psk_bytes = *from_hex(vector.at("init_psks").at(0).get<std::string>());
  const Key psk{std::span<const std::byte, 32>(psk_bytes)};
  FixedRng initiator_rng(test::hex_array<32>(vector, "init_ephemeral"));
  FixedRng responder_rng(test::hex_array<32>(vector, "resp_ephemeral"));
  const PublicKey responder_key{test::hex_array<32>(vector, "init_remote_static")};
  EXPECT_EQ(responder_key, peer.public_key);
  Initiator initiator(self, responder_key, test::hex_field(vector, "init_prologue"), initiator_rng);
  Responder responder(peer, test::hex_field(vector, "resp_prologue"), responder_rng);
  const auto& messages = vector.at("messages");

  Bytes first;
  ASSERT_TRUE(initiator.write_initiation(test::hex_field(messages[0], "payload"), first));
  EXPECT_EQ(first, test::hex_field(messages[0], "ciphertext"));
  const auto request = responder.read_initiation(first);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->initiator, self.public_key);
  EXPECT_EQ(request->payload, test::hex_field(messages[0], "payload"));

  Bytes second;
  const auto theirs = responder.write_response(test::hex_field(messages[1], "payload"), psk, second);
  ASSERT_TRUE(theirs);
  EXPECT_EQ(second, test::hex_field(messages[1], "ciphertext"));
  const auto done = initiator.read_response(second, psk);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->payload, test::hex_field(messages[1], "payload"));
  EXPECT_EQ(to_hex(done->keys.handshake_hash), vector.at("handshake_hash").get<std::string>());
  EXPECT_EQ(theirs->handshake_hash, done->keys.handshake_hash);

  ASSERT_GT(messages.size(), 2U);
  for (std::size_t i = 2; i < messages.size(); ++i) {
    const bool from_initiator = i % 2 == 0;
    for (const TransportKeys* keys : {&*theirs, &done->keys}) {
      expect_transport(messages[i], from_initiator ? keys->initiator_to_responder : keys->responder_to_initiator,
                       i / 2 - 1);
    }
  }
}

TEST(Handshake, PublishedVectors) {
  int ran = 0;
  for (const auto& vector : test::load_vectors("noise_ikpsk2.json")) {
    SCOPED_TRACE(vector.at("origin"));
    expect_vector(vector);
    ++ran;
  }
  EXPECT_GT(ran, 0);
}

TEST(Handshake, BothSidesHoldTheSameKeys) {
  Pair pair;
  const Bytes first = pair.initiation();
  EXPECT_EQ(first.size(), 5 + kInitiationOverhead);
  const auto request = pair.responder.read_initiation(first);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->initiator, pair.self.public_key);
  Bytes second = {std::byte{9}};  // the messages are appended
  const auto theirs = pair.responder.write_response(as_view("welcome"), key_of(1), second);
  ASSERT_TRUE(theirs);
  EXPECT_EQ(second.size(), 1 + 7 + kResponseOverhead);
  const auto done = pair.initiator.read_response(ByteView(second).subspan(1), key_of(1));
  ASSERT_TRUE(done);
  EXPECT_EQ(as_text(done->payload), "welcome");
  const TransportKeys& ours = done->keys;
  EXPECT_TRUE(equal(ours.initiator_to_responder.view(), theirs->initiator_to_responder.view()));
  EXPECT_TRUE(equal(ours.responder_to_initiator.view(), theirs->responder_to_initiator.view()));
  EXPECT_FALSE(equal(ours.initiator_to_responder.view(), ours.responder_to_initiator.view()));
}

TEST(Handshake, EmptyPayloads) {
  Pair pair;
  Bytes first;
  Bytes second;
  ASSERT_TRUE(pair.initiator.write_initiation({}, first));
  ASSERT_TRUE(pair.responder.read_initiation(first));
  ASSERT_TRUE(pair.responder.write_response({}, Key(), second));
  const auto done = pair.initiator.read_response(second, Key());
  ASSERT_TRUE(done);
  EXPECT_TRUE(done->payload.empty());
}

TEST(Handshake, AnotherPskIsRefused) {
  Pair pair;
  const Bytes second = pair.response(key_of(1));
  EXPECT_FALSE(pair.initiator.read_response(second, key_of(2)));
  EXPECT_FALSE(pair.initiator.read_response(second, Key()));
}

TEST(Handshake, AnotherPrologueIsRefused) {
  Pair pair;
  Responder other(pair.peer, as_view("prologu"), pair.rng);
  EXPECT_FALSE(other.read_initiation(pair.initiation()));
}

TEST(Handshake, AnotherResponderCannotRead) {
  Pair pair;
  Responder other(crypto::generate_key_pair(pair.rng), as_view("prologue"), pair.rng);
  EXPECT_FALSE(other.read_initiation(pair.initiation()));
}

TEST(Handshake, ChangedInitiationsAreRefused) {
  Pair pair;
  const Bytes first = pair.initiation();
  const auto read = [&](ByteView message) {
    return Responder(pair.peer, as_view("prologue"), pair.rng).read_initiation(message).has_value();
  };
  ASSERT_TRUE(read(first));
  for (std::size_t size = 0; size < first.size(); ++size) EXPECT_FALSE(read(ByteView(first).first(size))) << size;
  for (std::size_t i = 0; i < first.size(); ++i) {
    Bytes changed = first;
    changed[i] ^= std::byte{1} << (i % 8);
    EXPECT_FALSE(read(changed)) << i;
  }
  // The top bit of e is not part of the number (RFC 7748, section 5), but it is part of the hash.
  Bytes changed = first;
  changed[31] ^= std::byte{0x80};
  EXPECT_FALSE(read(changed));
  EXPECT_FALSE(read(Bytes(70000)));
}

TEST(Handshake, ForgedResponsesAreRefusedAndSpoilNothing) {
  Pair pair;
  const Bytes second = pair.response(key_of(1));
  const auto read = [&](ByteView message) { return pair.initiator.read_response(message, key_of(1)).has_value(); };
  for (std::size_t size = 0; size < second.size(); ++size) EXPECT_FALSE(read(ByteView(second).first(size))) << size;
  for (std::size_t i = 0; i < second.size(); ++i) {
    Bytes changed = second;
    changed[i] ^= std::byte{1} << (i % 8);
    EXPECT_FALSE(read(changed)) << i;
  }
  EXPECT_FALSE(read(Bytes(70000)));
  EXPECT_TRUE(read(second));
}

TEST(Handshake, ResponsesToAnotherInitiationAreRefused) {
  Pair pair;
  Initiator other(pair.self, pair.peer.public_key, as_view("prologue"), pair.rng);
  const Bytes second = pair.response(key_of(1));
  Bytes first;
  ASSERT_TRUE(other.write_initiation(as_view("hello"), first));
  EXPECT_FALSE(other.read_response(second, key_of(1)));
}

TEST(Handshake, SmallOrderKeysAreRefused) {
  for (const PublicKey& point : small_order_points()) {
    Pair pair;
    Bytes out;
    Initiator initiator(pair.self, point, {}, pair.rng);
    EXPECT_FALSE(initiator.write_initiation(as_view("hello"), out));
    EXPECT_TRUE(out.empty());

    Bytes first(kInitiationOverhead);
    std::memcpy(first.data(), point.bytes.data(), point.bytes.size());
    EXPECT_FALSE(pair.responder.read_initiation(first));

    pair.initiation();
    Bytes second(kResponseOverhead);
    std::memcpy(second.data(), point.bytes.data(), point.bytes.size());
    EXPECT_FALSE(pair.initiator.read_response(second, Key()));
  }
}

TEST(Handshake, AMovedMachineGoesOn) {
  Pair pair;
  const Bytes first = pair.initiation();
  Initiator initiator = std::move(pair.initiator);
  Responder responder = std::move(pair.responder);
  Bytes second;
  ASSERT_TRUE(responder.read_initiation(first));
  ASSERT_TRUE(responder.write_response({}, Key(), second));
  EXPECT_TRUE(initiator.read_response(second, Key()));
}

}  // namespace
}  // namespace eps::noise
