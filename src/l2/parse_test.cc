// SPDX-License-Identifier: MIT
#include "l2/parse.h"

#include <gtest/gtest.h>

#include "l2/checksum.h"
#include "l2/frames_fixture.h"

namespace eps::l2 {
namespace {

using test::build;
using test::Spec;

// An IPv6 frame whose extension headers are `extensions`, the first of type `first`.
Bytes with_extensions(std::uint8_t first, const Bytes& extensions, Spec spec = {}) {
  spec.version = 6;
  Bytes frame = build(spec);
  frame[14 + 6] = std::byte{first};
  frame.insert(frame.begin() + 54, extensions.begin(), extensions.end());
  store_be16(&frame[14 + 4], static_cast<std::uint16_t>(frame.size() - 54));
  return frame;
}

TEST(Checksum, EqualsTheSlowOneAtEveryLengthAndAlignment) {
  test::Engine rng(1);
  const Bytes bytes = test::random_bytes(rng, 300);
  for (std::size_t at = 0; at < 9; ++at) {
    for (std::size_t n = 0; n < 200; ++n) {
      const ByteView view = ByteView(bytes).subspan(at, n);
      EXPECT_EQ(fold(add_bytes(0, view)), test::slow_sum(view)) << at << ' ' << n;
      EXPECT_EQ(fold(add_word(add_bytes(0, view.first(n / 2 * 2)), 0xabcd)),
                test::slow_sum(view.first(n / 2 * 2), 0xabcd));
    }
  }
}

TEST(Checksum, CarriesOfAllOnesAreKept) {
  const Bytes ones(65535, std::byte{0xff});
  EXPECT_EQ(fold(add_bytes(0, ones)), test::slow_sum(ones));
  EXPECT_EQ(fold(~Sum{0}), 0xffff);
  EXPECT_EQ(fold(Sum{0x10000ffffffff}), fold(Sum{1}));  // a carry in each step
  EXPECT_EQ(nonzero_checksum(0xffff), 0xffff);
  EXPECT_EQ(checksum(0xffff), 0);
  EXPECT_TRUE(verifies(add_bytes(0, ones)) == (test::slow_sum(ones) == 0xffff));
}

TEST(Checksum, KnowsTheExampleOfRfc1071) {
  const Bytes example = *from_hex("0001f203f4f5f6f7");
  EXPECT_EQ(fold(add_bytes(0, example)), 0xddf2);
}

TEST(Parse, FindsTheHeadersOfEachKind) {
  for (const std::uint8_t version : {4, 6}) {
    for (const std::uint8_t protocol : {kProtocolTcp, kProtocolUdp}) {
      for (const bool vlan : {false, true}) {
        Spec spec;
        spec.version = version;
        spec.protocol = protocol;
        spec.vlan = vlan;
        spec.payload = Bytes(10);
        spec.tcp_options = Bytes(12);
        const Bytes frame = build(spec);
        const auto info = parse_frame(frame);
        ASSERT_TRUE(info);
        EXPECT_EQ(info->dst, test::kPeer);
        EXPECT_EQ(info->src, test::kSelf);
        EXPECT_EQ(info->vlan, vlan);
        EXPECT_EQ(info->ethertype, version == 4 ? kEtherIp4 : kEtherIp6);
        EXPECT_EQ(info->ip_version, version);
        EXPECT_EQ(info->protocol, protocol);
        EXPECT_FALSE(info->fragment);
        EXPECT_EQ(info->l3_offset, vlan ? 18U : 14U);
        EXPECT_EQ(info->l4_offset, info->l3_offset + (version == 4 ? 20 : 40));
        EXPECT_EQ(info->payload_offset, info->l4_offset + (protocol == kProtocolTcp ? 32 : 8));
        EXPECT_EQ(info->ip_end, frame.size());
      }
    }
  }
}

TEST(Parse, RefusesFramesThatEndTooSoon) {
  EXPECT_FALSE(parse_frame({}));
  EXPECT_FALSE(parse_frame(Bytes(13)));
  EXPECT_TRUE(parse_frame(Bytes(14)));
  Spec spec;
  spec.payload = Bytes(4);
  for (const std::uint8_t version : {4, 6}) {
    spec.version = version;
    const Bytes frame = build(spec);
    for (std::size_t n = 14; n < frame.size(); ++n) EXPECT_FALSE(parse_frame(ByteView(frame).first(n))) << n;
  }
  spec.vlan = true;
  EXPECT_FALSE(parse_frame(ByteView(build(spec)).first(17)));
}

TEST(Parse, RefusesHeadersThatContradictTheFrame) {
  const Bytes good4 = build({});
  for (const auto& [at, value] : {std::pair{14, 0x65}, {14, 0x44}, {14, 0x4f}, {17, 19}, {17, 41}}) {
    Bytes frame = good4;
    frame[static_cast<std::size_t>(at)] = static_cast<std::byte>(value);
    EXPECT_FALSE(parse_frame(frame)) << at << ' ' << value;
  }
  Spec spec;
  spec.version = 6;
  Bytes frame = build(spec);
  frame[14] = std::byte{0x45};
  EXPECT_FALSE(parse_frame(frame));
}

TEST(Parse, TrailingBytesDoNotBelongToThePacket) {
  Bytes frame = build({});
  frame.resize(60);
  const auto info = parse_frame(frame);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->ip_end, 54U);
  EXPECT_TRUE(info->plain_transport());
}

TEST(Parse, BadTransportHeadersHaveNoPayload) {
  Bytes tcp = build({});
  for (const int offset : {0x40, 0x60}) {  // shorter than a header; past the packet
    tcp[14 + 20 + 12] = static_cast<std::byte>(offset);
    EXPECT_FALSE(parse_frame(tcp)->plain_transport());
  }
  Spec spec;
  spec.protocol = kProtocolUdp;
  spec.payload = Bytes(4);
  Bytes udp = build(spec);
  for (const std::uint16_t length : {7, 11, 13}) {
    store_be16(&udp[14 + 20 + kUdpLength], length);
    EXPECT_FALSE(parse_frame(udp)->plain_transport());
  }
}

TEST(Parse, FragmentsHaveNoPayload) {
  for (const std::uint16_t fragment : {0x2000, 0x0001, 0x2010, 0x1fff}) {
    Spec spec;
    spec.fragment = fragment;
    const auto info = parse_frame(build(spec));
    ASSERT_TRUE(info);
    EXPECT_TRUE(info->fragment);
    EXPECT_FALSE(info->plain_transport());
  }
}

TEST(Parse, WalksExtensionHeaders) {
  // Hop-by-hop (8 bytes), routing (16), destination options (8), then TCP.
  Bytes extensions(32);
  extensions[0] = std::byte{43};
  extensions[8] = std::byte{60};
  extensions[9] = std::byte{1};
  extensions[24] = std::byte{kProtocolTcp};
  const auto info = parse_frame(with_extensions(0, extensions));
  ASSERT_TRUE(info);
  EXPECT_EQ(info->protocol, kProtocolTcp);
  EXPECT_EQ(info->l4_offset, 54U + 32);
  EXPECT_EQ(info->payload_offset, 54U + 32 + 20);
}

TEST(Parse, StopsAtTheFragmentHeader) {
  Bytes extensions(8);
  extensions[0] = std::byte{kProtocolTcp};
  const auto info = parse_frame(with_extensions(44, extensions));
  ASSERT_TRUE(info);
  EXPECT_TRUE(info->fragment);
  EXPECT_EQ(info->protocol, kProtocolTcp);
  EXPECT_EQ(info->l4_offset, 54U + 8);
  EXPECT_FALSE(info->plain_transport());
}

TEST(Parse, RefusesExtensionHeadersThatHideWhatFollows) {
  Bytes many(9 * 8);  // nine times destination options
  for (std::size_t i = 0; i < 8; ++i) many[i * 8] = std::byte{60};
  many[64] = std::byte{kProtocolTcp};
  EXPECT_FALSE(parse_frame(with_extensions(60, many)));
  EXPECT_TRUE(parse_frame(with_extensions(60, Bytes(many.begin() + 8, many.end()))));

  Bytes beyond(8);
  beyond[0] = std::byte{kProtocolTcp};
  beyond[1] = std::byte{200};
  EXPECT_FALSE(parse_frame(with_extensions(60, beyond)));
}

TEST(Parse, RefusesExtensionHeadersThatAreCutOff) {
  for (const std::uint8_t type : {0, 43, 44, 60}) {
    for (std::size_t n = 0; n < 8; ++n) {
      Spec spec;
      spec.version = 6;
      Bytes frame = build(spec);
      frame[14 + 6] = std::byte{type};
      store_be16(&frame[14 + 4], static_cast<std::uint16_t>(n));
      frame.resize(54 + n);
      frame.shrink_to_fit();  // so that ASan sees a read past the end
      EXPECT_FALSE(parse_frame(frame)) << int{type} << ' ' << n;
    }
  }
}

TEST(Parse, LeavesOtherEtherTypesAlone) {
  Bytes frame(60);
  store_be16(&frame[12], 0x88cc);
  const auto info = parse_frame(frame);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->ethertype, 0x88cc);
  EXPECT_EQ(info->ip_version, 0);
  store_be16(&frame[12], kEtherServiceVlan);
  store_be16(&frame[16], kEtherVlan);
  EXPECT_EQ(parse_frame(frame)->ethertype, kEtherVlan);
}

}  // namespace
}  // namespace eps::l2
