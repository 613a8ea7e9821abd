// SPDX-License-Identifier: MIT
#include "dataplane/flow_guard.h"

#include <gtest/gtest.h>

#include "l2/frames_fixture.h"
#include "support/seeded_rng.h"

namespace eps::dataplane {
namespace {

constexpr MemberId kPeer{7};
constexpr Ip4 kHere{0x0a090001}, kThere{0x0a090002};

struct Spec {
  std::uint8_t protocol = policy::kTcp;
  std::uint16_t from_port = 40000, to_port = 443;
  std::uint8_t flags = l2::kTcpAck;
  std::uint16_t fragment = 0, id = 1;
  std::size_t size = 40;  // of the transport
  std::uint8_t type = 8;  // of ICMP
  Bytes quoted = {};
};

// An IPv4 packet from here to there, or back.
Bytes packet(const Spec& spec, Heading heading) {
  Bytes out;
  Writer w(out);
  const std::size_t size = spec.quoted.empty() ? spec.size : 8 + spec.quoted.size();
  w.u8(0x45);
  w.u8(0);
  w.u16(static_cast<std::uint16_t>(20 + size));
  w.u16(spec.id);
  w.u16(spec.fragment);
  w.u8(64);
  w.u8(spec.protocol);
  w.u16(0);
  w.u32((heading == Heading::out ? kHere : kThere).value);
  w.u32((heading == Heading::out ? kThere : kHere).value);
  if (spec.protocol == policy::kIcmp) {
    w.u8(spec.type);
    w.u8(0);
    w.u16(0);
    w.u16(spec.from_port);
    w.u16(1);
    w.bytes(spec.quoted);
  } else {
    w.u16(spec.from_port);
    w.u16(spec.to_port);
    w.u32(0);
    w.u32(0);
    w.u8(0x50);
    w.u8(spec.flags);
  }
  out.resize(20 + size);
  return out;
}

class FlowGuard : public testing::Test {
 protected:
  explicit FlowGuard(const char* text = "group iot\nallow group:iot to hub tcp 443\nallow group:iot to hub icmp") {
    use(text);
  }
  void use(const char* text) {
    auto read = policy::Policy::parse(text);
    ASSERT_TRUE(read) << read.error().what;
    policy_ = std::make_shared<const policy::Policy>(std::move(*read));
    generation_ = static_cast<std::uint16_t>((generation_ + 1) % FlowTable::kGenerations);
    flows_->forget(generation_);
    guard_.emplace(policy_, flows_, generation_);
    const policy::Subject here{"camera", iot_}, there{"hub", {}};
    rules_.emplace(
        PeerRules{policy_, policy::PairRules(*policy_, here, there), policy::PairRules(*policy_, there, here)});
  }
  bool passes(const Bytes& ip, Heading heading) {
    l2::FrameInfo info;
    info.ethertype = l2::kEtherIp4;
    EXPECT_TRUE(l2::parse_packet(ip, info));
    return guard_->check(*rules_, kPeer, heading, ip, info, now_).allow;
  }
  bool out(const Spec& spec) { return passes(packet(spec, Heading::out), Heading::out); }
  bool in(const Spec& spec) { return passes(packet(spec, Heading::in), Heading::in); }
  static Spec syn() { return {.flags = l2::kTcpSyn}; }
  static Spec reply() { return {.from_port = 443, .to_port = 40000}; }

  test::SeededRng rng_{1};
  std::vector<std::string> iot_ = {"iot"};
  std::shared_ptr<FlowTable> flows_ = std::make_shared<FlowTable>(rng_);
  std::uint16_t generation_ = 0;
  std::shared_ptr<const policy::Policy> policy_;
  std::optional<PolicyInForce> guard_;
  std::optional<PeerRules> rules_;
  Instant now_{std::chrono::hours(5)};
};

TEST_F(FlowGuard, lets_answers_of_an_allowed_flow_pass_and_no_other_connection) {
  EXPECT_FALSE(in(reply()));
  EXPECT_TRUE(out(syn()));
  EXPECT_TRUE(in(reply()));
  EXPECT_FALSE(in({.from_port = 443, .to_port = 40001}));
  EXPECT_FALSE(in({.from_port = 444, .to_port = 40000}));
  EXPECT_FALSE(out({.to_port = 80, .flags = l2::kTcpSyn}));
}

TEST_F(FlowGuard, evaluates_a_syn_even_within_a_known_flow) {
  EXPECT_TRUE(out(syn()));
  EXPECT_FALSE(in({.from_port = 443, .to_port = 40000, .flags = l2::kTcpSyn}));
  EXPECT_TRUE(in({.from_port = 443, .to_port = 40000, .flags = l2::kTcpSyn | l2::kTcpAck}));
}

TEST_F(FlowGuard, forgets_a_flow_that_was_idle) {
  EXPECT_TRUE(out(syn()));
  now_ += kTcpFlow - std::chrono::minutes(1);
  EXPECT_TRUE(in(reply()));
  now_ += kTcpFlow - std::chrono::minutes(1);
  EXPECT_TRUE(in(reply()));
  now_ += kTcpFlow + std::chrono::minutes(1);
  EXPECT_FALSE(in(reply()));
  EXPECT_TRUE(out({}));  // the side that may opens it again, also in the middle of a connection
  EXPECT_TRUE(in(reply()));
}

TEST_F(FlowGuard, keeps_a_flow_over_a_change_of_the_policy_that_allows_it) {
  EXPECT_TRUE(out(syn()));
  use("allow camera to hub tcp 443\nallow all to all udp");
  EXPECT_TRUE(in(reply()));
  use("allow all to all udp");
  EXPECT_FALSE(in(reply()));
  EXPECT_FALSE(out({}));
  use("allow camera to hub tcp 443");
  EXPECT_FALSE(in(reply()));
}

TEST_F(FlowGuard, forgets_what_an_old_generation_knew_when_its_number_returns) {
  EXPECT_TRUE(out(syn()));
  for (int i = 0; i < FlowTable::kGenerations; ++i) use("allow all to all udp");
  EXPECT_FALSE(in(reply()));
}

TEST_F(FlowGuard, lets_an_echo_be_answered) {
  const Spec answer{.protocol = policy::kIcmp, .from_port = 40000, .type = 0};
  EXPECT_FALSE(in(answer));
  EXPECT_TRUE(out({.protocol = policy::kIcmp}));
  EXPECT_TRUE(in(answer));
  EXPECT_FALSE(in({.protocol = policy::kIcmp, .from_port = 40001, .type = 0}));
  now_ += kIcmpFlow + std::chrono::seconds(8);
  EXPECT_FALSE(in(answer));
}

TEST_F(FlowGuard, lets_the_icmp_error_of_a_known_flow_pass_alone) {
  Bytes quoted = packet(syn(), Heading::out);
  quoted.resize(28);
  const Spec error{.protocol = policy::kIcmp, .type = 3, .quoted = quoted};
  EXPECT_FALSE(in(error));
  EXPECT_TRUE(out(syn()));
  EXPECT_TRUE(in(error));
  Spec other = error;
  other.quoted = packet({.from_port = 1}, Heading::out);
  EXPECT_FALSE(in(other));
  Spec no_error = error;
  no_error.type = 13;
  EXPECT_FALSE(in(no_error));
}

TEST_F(FlowGuard, lets_the_icmp_error_about_a_fragment_pass) {
  const Spec first{.flags = l2::kTcpAck, .fragment = 0x2000, .id = 9};
  const Spec later{.fragment = 5, .id = 9};
  const auto error_about = [](const Spec& spec) {
    Bytes quoted = packet(spec, Heading::out);
    quoted.resize(28);
    return Spec{.protocol = policy::kIcmp, .type = 3, .quoted = quoted};
  };
  EXPECT_FALSE(in(error_about(first)));
  EXPECT_FALSE(in(error_about(later)));
  EXPECT_TRUE(out(first));
  EXPECT_TRUE(in(error_about(first)));
  EXPECT_TRUE(in(error_about(later)));
  EXPECT_FALSE(in(error_about({.fragment = 5, .id = 10})));
}

// Of a datagram that leaves in fragments, "packet too big" quotes the first one with its fragment header.
TEST_F(FlowGuard, lets_packet_too_big_about_an_ip6_fragment_pass) {
  const auto ip6_packet = [](Heading heading, std::uint8_t next, ByteView content) {
    Bytes ip;
    Writer w(ip);
    w.u32(0x60000000);
    w.u16(static_cast<std::uint16_t>(content.size()));
    w.u8(next);
    w.u8(64);
    w.bytes(IpAddress::from_v4(heading == Heading::out ? kHere : kThere).bytes);
    w.bytes(IpAddress::from_v4(heading == Heading::out ? kThere : kHere).bytes);
    w.bytes(content);
    return ip;
  };
  const auto fragment = [&](std::uint16_t offset_and_more, std::uint32_t id) {
    Bytes content;
    Writer w(content);
    w.u8(policy::kUdp);
    w.u8(0);
    w.u16(offset_and_more);
    w.u32(id);
    w.u16(40000);
    w.u16(53);
    w.u32(0);
    content.resize(64);
    return ip6_packet(Heading::out, 44, content);
  };
  const auto too_big_about = [&](const Bytes& about) {
    Bytes content;
    Writer w(content);
    w.u8(2);
    w.u8(0);
    w.u16(0);
    w.u32(1400);
    w.bytes(about);
    return ip6_packet(Heading::in, 58, content);
  };
  const auto passes6 = [&](const Bytes& ip, Heading heading) {
    l2::FrameInfo info;
    info.ethertype = l2::kEtherIp6;
    EXPECT_TRUE(l2::parse_packet(ip, info));
    return guard_->check(*rules_, kPeer, heading, ip, info, now_).allow;
  };
  use("allow camera to hub udp 53");
  EXPECT_FALSE(passes6(too_big_about(fragment(1, 7)), Heading::in));
  EXPECT_TRUE(passes6(fragment(1, 7), Heading::out));
  EXPECT_TRUE(passes6(fragment(6 << 3, 7), Heading::out));
  EXPECT_TRUE(passes6(too_big_about(fragment(1, 7)), Heading::in));
  EXPECT_TRUE(passes6(too_big_about(fragment(6 << 3, 7)), Heading::in));
  EXPECT_FALSE(passes6(too_big_about(fragment(6 << 3, 8)), Heading::in));
  Bytes short_one = fragment(1, 7);
  short_one.resize(44);
  EXPECT_FALSE(passes6(too_big_about(short_one), Heading::in));
}

TEST_F(FlowGuard, lets_the_fragments_follow_their_first) {
  const Spec first{.flags = l2::kTcpAck, .fragment = 0x2000, .id = 9};
  const Spec later{.fragment = 5, .id = 9};
  EXPECT_FALSE(out(later));
  EXPECT_TRUE(out(first));
  EXPECT_TRUE(out(later));
  EXPECT_FALSE(out({.fragment = 5, .id = 10}));
  EXPECT_FALSE(in(later));
  EXPECT_FALSE(out({.to_port = 80, .fragment = 0x2000, .id = 11}));
}

TEST_F(FlowGuard, drops_fragments_that_hide_or_overwrite_a_tcp_header) {
  use("deny all to all tcp 22\nallow all to all");
  EXPECT_FALSE(out({.fragment = 0x2000, .id = 9, .size = 8}));
  EXPECT_TRUE(out({.fragment = 0x2000, .id = 9}));
  EXPECT_FALSE(out({.fragment = 1, .id = 9}));
  EXPECT_TRUE(out({.fragment = 5, .id = 9}));
}

// A kernel that reassembles it finds the SYN behind the destination options.
TEST_F(FlowGuard, drops_ip6_fragments_that_hide_the_transport_behind_more_headers) {
  use("deny all to all tcp 22\nallow all to all");
  const auto fragment_with = [&](std::uint8_t next, std::uint16_t offset_and_more) {
    Bytes ip;
    Writer w(ip);
    w.u32(0x60000000);
    w.u16(8 + 8 + 24);
    w.u8(44);
    w.u8(64);
    w.bytes(IpAddress::from_v4(kThere).bytes);
    w.bytes(IpAddress::from_v4(kHere).bytes);
    w.u8(next);
    w.u8(0);
    w.u16(offset_and_more);
    w.u32(77);
    if (next != policy::kTcp) w.bytes(std::array{std::byte{policy::kTcp}, std::byte{0}, std::byte{1}, std::byte{4}});
    if (next != policy::kTcp) w.u32(0);
    w.u16(40000);
    w.u16(next == policy::kTcp ? 443 : 22);
    w.u32(1);
    w.u32(0);
    w.u8(0x50);
    w.u8(l2::kTcpSyn);
    ip.resize(40 + 8 + 8 + 24);
    l2::FrameInfo info;
    info.ethertype = l2::kEtherIp6;
    EXPECT_TRUE(l2::parse_packet(ip, info));
    return guard_->check(*rules_, kPeer, Heading::in, ip, info, now_).allow;
  };
  EXPECT_TRUE(fragment_with(policy::kTcp, 1));
  EXPECT_TRUE(fragment_with(policy::kTcp, 5 << 3));
  for (const std::uint8_t extension : {0, 43, 44, 60}) {
    EXPECT_FALSE(fragment_with(extension, 0)) << "whole, behind header " << int{extension};
    EXPECT_FALSE(fragment_with(extension, 1)) << "the first, behind header " << int{extension};
    EXPECT_FALSE(fragment_with(extension, 5 << 3)) << "a later one, behind header " << int{extension};
  }
}

TEST_F(FlowGuard, lets_arp_and_neighbour_discovery_pass_and_other_protocols_only_by_a_rule_for_everything) {
  const auto passes_as = [&](std::uint16_t ethertype) {
    const Bytes payload(46);
    l2::FrameInfo info;
    info.ethertype = ethertype;
    return guard_->check(*rules_, kPeer, Heading::out, payload, info, now_).allow;
  };
  EXPECT_TRUE(passes_as(l2::kEtherArp));
  EXPECT_FALSE(passes_as(0x88cc));
  use("allow camera to hub");
  EXPECT_TRUE(passes_as(0x88cc));
  use("deny all to all");
  Bytes ip6(40 + 24);
  ip6[0] = std::byte{0x60};
  store_be16(&ip6[4], 24);
  ip6[6] = std::byte{58};
  ip6[40] = std::byte{135};
  l2::FrameInfo info;
  info.ethertype = l2::kEtherIp6;
  ASSERT_TRUE(l2::parse_packet(ip6, info));
  EXPECT_TRUE(guard_->check(*rules_, kPeer, Heading::in, ip6, info, now_).allow);
  ip6[40] = std::byte{128};
  EXPECT_FALSE(guard_->check(*rules_, kPeer, Heading::in, ip6, info, now_).allow);
}

TEST_F(FlowGuard, counts_drops_by_rule) {
  use("deny all to hub tcp 22\nallow all to hub tcp");
  EXPECT_FALSE(out({.to_port = 22, .flags = l2::kTcpSyn}));
  EXPECT_FALSE(out({.to_port = 22, .flags = l2::kTcpSyn}));
  EXPECT_FALSE(in({.protocol = policy::kUdp}));
  EXPECT_EQ(guard_->drops_of(0), 2U);
  EXPECT_EQ(guard_->drops_of(1), 0U);
  EXPECT_EQ(guard_->drops_of(2), 1U);
}

TEST_F(FlowGuard, remembers_ten_thousand_flows_and_never_more_than_it_has_room_for) {
  for (std::uint16_t port = 1; port <= 10'000; ++port) EXPECT_TRUE(out({.from_port = port, .flags = l2::kTcpSyn}));
  std::size_t known = 0;
  for (std::uint16_t port = 1; port <= 10'000; ++port) known += in({.from_port = 443, .to_port = port}) ? 1 : 0;
  EXPECT_EQ(known, 10'000U);
  // The oldest give way to a flood.
  now_ += std::chrono::minutes(1);
  for (std::uint32_t id = 0; id < 200'000; ++id) {
    const auto port = static_cast<std::uint16_t>(id);
    flows_->put({id, policy::kTcp, port, 443, IpAddress::from_v4(kHere), IpAddress::from_v4(kThere)}, generation_,
                Heading::in, now_);
  }
  EXPECT_TRUE(out(syn()));
  EXPECT_TRUE(in(reply()));
}

}  // namespace
}  // namespace eps::dataplane
