// SPDX-License-Identifier: MIT
#include "wire/datagram.h"

#include <gtest/gtest.h>

#include <string>

namespace eps::wire {
namespace {

Bytes filled(std::size_t size, std::uint8_t type) {
  Bytes out(size, std::byte{0xab});
  if (size > 0) out[0] = std::byte{type};
  return out;
}

// Runs `parse` on every size up to 600 bytes and on every type byte, and expects it to accept only `type` and the
// sizes from `min` to `max`. Each view ends with its allocation, so that a read past the end is an ASan report.
template <class Parse>
void expect_accepts_only(Parse parse, Type type, std::size_t min, std::size_t max) {
  for (std::size_t size = 0; size <= 600; ++size) {
    const Bytes datagram = filled(size, static_cast<std::uint8_t>(type));
    EXPECT_EQ(parse(datagram).has_value(), size >= min && size <= max) << size;
  }
  for (unsigned value = 0; value < 256; ++value) {
    const Bytes datagram = filled(min, static_cast<std::uint8_t>(value));
    EXPECT_EQ(parse(datagram).has_value(), value == static_cast<unsigned>(type)) << value;
  }
}

TEST(Datagram, TypeIsTheFirstByteAndNothingElseIsKnown) {
  EXPECT_EQ(type_of({}), std::nullopt);
  for (unsigned value = 0; value < 256; ++value) {
    const Bytes datagram = filled(1, static_cast<std::uint8_t>(value));
    const std::optional<Type> type = type_of(datagram);
    EXPECT_EQ(type.has_value(), value >= 1 && value <= 8) << value;
    if (type.has_value()) {
      EXPECT_EQ(static_cast<unsigned>(*type), value);
    }
  }
}

TEST(Datagram, DataHeaderHasTheBytesOfTheDiagram) {
  Bytes datagram(kDataOverhead);
  put_data_header(datagram.data(), {.receiver = 0x010203, .counter = 0xfffefdfc});
  EXPECT_EQ(to_hex(ByteView(datagram).first(kDataHeaderSize)), "04010203fffefdfc");
  const auto header = parse_data_header(datagram);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->receiver, 0x010203U);
  EXPECT_EQ(header->counter, 0xfffefdfcU);
}

TEST(Datagram, DataNeedsAKindByteAndATag) {
  EXPECT_EQ(kDataOverhead, 25U);
  expect_accepts_only(parse_data_header, Type::data, kDataOverhead, 600);
}

TEST(Datagram, RelayHeaderHasTheBytesOfTheDiagram) {
  Bytes datagram(kRelayHeaderSize + 1);
  put_relay_header(datagram.data(), {.member = {0xffffff}, .tag = 0x80000001});
  EXPECT_EQ(to_hex(ByteView(datagram).first(kRelayHeaderSize)), "05ffffff80000001");
  const auto header = parse_relay_header(datagram);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->member, MemberId{0xffffff});
  EXPECT_EQ(header->tag, 0x80000001U);
}

TEST(Datagram, RelayEnvelopeMustHoldSomething) {
  expect_accepts_only(parse_relay_header, Type::relay, kRelayHeaderSize + 1, 600);
}

TEST(Datagram, AnEnvelopeHoldsNoEnvelope) {
  Bytes datagram = filled(100, static_cast<std::uint8_t>(Type::relay));
  datagram[kRelayHeaderSize] = std::byte{5};
  EXPECT_FALSE(parse_relay_header(datagram));
}

TEST(Datagram, InitiationRoundTrip) {
  const Bytes noise(200, std::byte{0x5a});
  Bytes datagram = make_initiation(0xfedcba, noise);
  EXPECT_EQ(to_hex(ByteView(datagram).first(5)), "01fedcba5a");
  EXPECT_EQ(datagram.size(), 204U);
  datagram.resize(datagram.size() + 2 * kMacSize, std::byte{0x11});
  const auto parsed = parse_initiation(datagram);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->sender, 0xfedcbaU);
  EXPECT_TRUE(equal(parsed->noise, noise));
  EXPECT_EQ(parsed->noise.data(), datagram.data() + 4);
  EXPECT_FALSE(parse_response(datagram));
}

TEST(Datagram, ResponseRoundTrip) {
  const Bytes noise(100, std::byte{0x5a});
  Bytes datagram = make_response(0x000001, kMaxIndex, noise);
  EXPECT_EQ(to_hex(ByteView(datagram).first(8)), "02000001ffffff5a");
  EXPECT_EQ(datagram.size(), 107U);
  datagram.resize(datagram.size() + 2 * kMacSize, std::byte{0x11});
  const auto parsed = parse_response(datagram);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->sender, 1U);
  EXPECT_EQ(parsed->receiver, kMaxIndex);
  EXPECT_TRUE(equal(parsed->noise, noise));
  EXPECT_FALSE(parse_initiation(datagram));
}

TEST(Datagram, HandshakesHaveASmallestAndALargestSize) {
  expect_accepts_only(parse_initiation, Type::initiation, 4 + 32 + 48 + 16 + 32, kMaxHandshakeSize);
  expect_accepts_only(parse_response, Type::response, 7 + 32 + 16 + 32, kMaxHandshakeSize);
}

TEST(DatagramDeathTest, MakingWhatNoPeerWouldParseIsABug) {
  const Bytes noise(kMaxHandshakeSize - 4 - 2 * kMacSize);
  EXPECT_EQ(make_initiation(1, noise).size(), kMaxHandshakeSize - 2 * kMacSize);
  EXPECT_DEATH(make_response(1, 2, noise), "kMaxHandshakeSize");
  EXPECT_DEATH(make_initiation(kMaxIndex + 1, {}), "kMaxIndex");
}

TEST(Datagram, BindRequestRoundTrip) {
  const auto datagram = make_bind_request({.member = {0x00a0b0},
                                           .number = 0x0102030405060708,
                                           .twice = true,
                                           .can_echo = true,
                                           .echo = 0x1112131415161718});
  EXPECT_EQ(to_hex(datagram), "0600a0b00102030405060708061112131415161718" + std::string(2 * 43, '0'));
  const auto parsed = parse_bind_request(datagram);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->member, MemberId{0x00a0b0});
  EXPECT_EQ(parsed->number, 0x0102030405060708U);
  EXPECT_TRUE(parsed->twice && parsed->can_echo && !parsed->observe_only);
  EXPECT_EQ(parsed->echo, 0x1112131415161718U);
  EXPECT_TRUE(parse_bind_request(make_bind_request({.member = {1}, .observe_only = true}))->observe_only);
  expect_accepts_only(parse_bind_request, Type::bind_request, kBindRequestSize, kBindRequestSize);
}

TEST(Datagram, BindReplyRoundTrip) {
  for (const char* text : {"192.0.2.1:43439", "[2001:db8::1]:1", "[::]:65535"}) {
    const BindReply reply{
        .member = {7}, .number = ~std::uint64_t{0}, .observed = *parse_endpoint(text), .second_port = 0xabcd};
    const auto datagram = make_bind_reply(reply);
    EXPECT_EQ(to_hex(ByteView(datagram).first(12)), "07000007ffffffffffffffff");
    EXPECT_TRUE(equal(ByteView(datagram).last(kMacSize), Bytes(kMacSize)));
    const auto parsed = parse_bind_reply(datagram);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->member, reply.member);
    EXPECT_EQ(parsed->number, reply.number);
    EXPECT_EQ(parsed->observed, reply.observed);
    EXPECT_EQ(parsed->second_port, 0xabcd);
    EXPECT_EQ(parsed->echo, std::nullopt);
    Bytes longer = datagram;
    for (std::size_t n = 1; n < kBindEchoSize; ++n) {
      longer.push_back(std::byte{0});
      EXPECT_FALSE(parse_bind_reply(longer));
    }
  }
  const auto datagram = make_bind_reply({{7}, 1, {}, 0, 0x1112131415161718});
  EXPECT_EQ(datagram.size(), kBindReplySize + kBindEchoSize);
  EXPECT_EQ(parse_bind_reply(datagram)->echo, 0x1112131415161718U);
}

}  // namespace
}  // namespace eps::wire
