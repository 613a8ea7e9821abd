// SPDX-License-Identifier: MIT
#include "mesh/path_message.h"

#include <gtest/gtest.h>

namespace eps::mesh {
namespace {

const Endpoint kSomewhere{*parse_ip("192.0.2.9"), 5000};

std::vector<Candidate> many(std::size_t n) {
  std::vector<Candidate> out;
  for (std::size_t i = 0; i < n; ++i) {
    out.push_back({Candidate::Kind::observed, {kSomewhere.ip, static_cast<std::uint16_t>(i + 1)}});
  }
  return out;
}

template <class Message>
Message there_and_back(const Message& message) {
  const auto back = decode_path_message(encode(message));
  EXPECT_TRUE(back && std::holds_alternative<Message>(*back));
  return std::get<Message>(*back);
}

TEST(PathMessage, EachRoundTrips) {
  EXPECT_EQ(there_and_back(PingMessage{7}).id, 7U);
  const auto pong = there_and_back(PongMessage{0x0102030405060708, kSomewhere});
  EXPECT_EQ(pong.id, 0x0102030405060708U);
  EXPECT_EQ(pong.seen_from, kSomewhere);
  const auto call = there_and_back(CallMessage{true, false, NatMapping::per_destination, many(3)});
  EXPECT_TRUE(call.moved && !call.guessing);
  EXPECT_TRUE(there_and_back(CallMessage{false, true, NatMapping::none, {}}).guessing);
  EXPECT_EQ(call.nat, NatMapping::per_destination);
  EXPECT_EQ(call.candidates, many(3));
  const auto find = there_and_back(FindMessage{{0xabcdef}, many(1)});
  EXPECT_EQ(find.member.value, 0xabcdefU);
  EXPECT_EQ(find.candidates, many(1));
  EXPECT_EQ(there_and_back(IntroduceMessage{{5}, many(kMaxCandidates)}).candidates, many(kMaxCandidates));
  EXPECT_EQ(there_and_back(OfferMessage{0xfedcba98}).tag, 0xfedcba98U);
  const GroupFilter two{false, {*parse_mac("01:00:5e:01:02:03"), *parse_mac("33:33:00:00:00:09")}};
  for (const GroupFilter& filter : {GroupFilter{}, GroupFilter{false, {}}, two}) {
    EXPECT_EQ(there_and_back(GroupsMessage{filter}).filter, filter);
  }
}

TEST(PathMessage, APongIsAsLargeAsItsPing) {
  EXPECT_EQ(encode(PingMessage{1}).size(), encode(PongMessage{1, kSomewhere}).size());
}

TEST(PathMessage, TruncatedOversizedOrUnknownMessageIsRefused) {
  const std::array<PathMessage, 4> all = {PingMessage{1}, CallMessage{false, false, NatMapping::none, many(2)},
                                          FindMessage{{1}, many(1)}, OfferMessage{1}};
  for (const PathMessage& message : all) {
    Bytes bytes = encode(message);
    for (std::size_t n = 0; n < bytes.size(); ++n) EXPECT_FALSE(decode_path_message(ByteView(bytes).first(n)));
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(decode_path_message(bytes));
  }
  for (const int op : {0, 9, 255}) {
    Bytes bytes = encode(PingMessage{1});
    bytes[0] = static_cast<std::byte>(op);
    EXPECT_FALSE(decode_path_message(bytes));
  }
  Bytes call = encode(CallMessage{false, false, NatMapping::none, many(1)});
  call[2] = std::byte{9};
  EXPECT_FALSE(decode_path_message(call)) << "a NAT of an unknown kind";
}

TEST(PathMessage, GroupsThatContradictThemselvesAreRefused) {
  Bytes bytes = encode(GroupsMessage{{false, std::vector<Mac>(kMaxFilteredGroups)}});
  EXPECT_TRUE(decode_path_message(bytes));
  bytes[1] = std::byte{1};
  EXPECT_FALSE(decode_path_message(bytes)) << "all, and only these";
  bytes[1] = std::byte{2};
  EXPECT_FALSE(decode_path_message(bytes));
  bytes[1] = std::byte{0};
  bytes.pop_back();
  EXPECT_FALSE(decode_path_message(bytes)) << "truncated";
  bytes.resize(bytes.size() + 7);
  EXPECT_FALSE(decode_path_message(bytes)) << "too many";
}

TEST(PathMessage, ExcessCandidatesAreOmittedOrRefused) {
  EXPECT_EQ(there_and_back(FindMessage{{1}, many(40)}).candidates.size(), kMaxCandidates);
  Bytes bytes = encode(FindMessage{{1}, many(kMaxCandidates)});
  bytes[4] = static_cast<std::byte>(kMaxCandidates + 1);
  EXPECT_FALSE(decode_path_message(bytes));
}

}  // namespace
}  // namespace eps::mesh
