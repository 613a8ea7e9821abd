// SPDX-License-Identifier: MIT
#include "l2/dhcp.h"

#include <gtest/gtest.h>

#include "l2/frames_fixture.h"
#include "l2/source_guard.h"
#include "wire/datagram.h"

namespace eps::l2 {
namespace {

using test::build;
using test::build_complete;
using test::kSelf;
using test::kSelfIp;
using test::Spec;

const Ip4Network kNetwork = *parse_ip4_network("10.0.8.0/24");

struct Answer {
  std::uint8_t op = 2;
  Ip4 address{0x0a000864};
  Ip4 next_server{};
  const char* boot_file = "";
  std::string options =
      "350102"
      "0104ffffff00"
      "330400000e10"
      "36040a000801"
      "ff";  // offer, mask, lease, server
};

Bytes bootp(const Answer& answer) {
  Bytes out(240);
  out[0] = std::byte{answer.op};
  store_be32(&out[16], answer.address.value);
  store_be32(&out[20], answer.next_server.value);
  std::memcpy(&out[108], answer.boot_file, std::strlen(answer.boot_file));
  store_be32(&out[236], 0x63825363);
  const Bytes options = *from_hex(answer.options);
  out.insert(out.end(), options.begin(), options.end());
  return out;
}

Spec udp(Bytes payload, std::uint16_t from = 67, std::uint16_t to = 68, std::uint8_t version = 4) {
  Spec spec;
  spec.version = version;
  spec.protocol = kProtocolUdp;
  spec.source_port = from;
  spec.port = to;
  spec.payload = std::move(payload);
  return spec;
}

Refusal::What refused_as(ByteView frame, DhcpRight right) {
  Refusal why;
  Owner owner{kSelf, kSelfIp};
  owner.dhcp = right;
  owner.network = kNetwork;
  EXPECT_EQ(check_source(frame, *parse_frame(frame), owner, &why), Drop::spoofed_source);
  return why.what;
}
Drop verdict(ByteView frame, DhcpRight right) {
  Owner owner{kSelf, kSelfIp};
  owner.dhcp = right;
  owner.network = kNetwork;
  return check_source(frame, *parse_frame(frame), owner);
}

// The frame as the receiver writes it.
struct Cut {
  bool more = false;
  Bytes frame;
};
Cut cut(const Bytes& frame, bool partial) {
  const auto kind = static_cast<std::uint8_t>(wire::Kind::frame) | (partial ? wire::kChecksumPartial : 0);
  Bytes plain{static_cast<std::byte>(kind)};
  plain.insert(plain.end(), frame.begin(), frame.end());
  test::Received received(plain);
  Inner inner;
  EXPECT_EQ(received.decode(inner), Drop::none);
  Cut out;
  out.more = keep_only_addresses(inner);
  out.frame.assign(inner.bytes.begin(), inner.bytes.end());
  return out;
}

TEST(Dhcp, AnswersAreForMembersThatMayServe) {
  const Bytes offer = build(udp(bootp({})));
  EXPECT_EQ(refused_as(offer, DhcpRight::none), Refusal::What::dhcp);
  EXPECT_EQ(verdict(offer, DhcpRight::addresses), Drop::none);
  EXPECT_EQ(verdict(offer, DhcpRight::all), Drop::none);
  // From any port: clients look at the port to which it goes.
  EXPECT_EQ(refused_as(build(udp(bootp({}), 4444)), DhcpRight::none), Refusal::What::dhcp);
  Spec vlan = udp(bootp({}));
  vlan.vlan = true;
  EXPECT_EQ(refused_as(build(vlan), DhcpRight::none), Refusal::What::dhcp);
  // To a relay agent.
  EXPECT_EQ(refused_as(build(udp(bootp({}), 67, 67)), DhcpRight::none), Refusal::What::dhcp);
}

TEST(Dhcp, RequestsAndAllElsePass) {
  const DhcpRight none = DhcpRight::none;
  EXPECT_EQ(verdict(build(udp(bootp({.op = 1}), 68, 67)), none), Drop::none);
  EXPECT_EQ(verdict(build(udp(Bytes(20), 67, 53)), none), Drop::none);
  EXPECT_EQ(verdict(build(udp(*from_hex("01020304"), 546, 547, 6)), none), Drop::none) << "Solicit";
  EXPECT_EQ(verdict(build(udp(Bytes(20), 547, 53, 6)), none), Drop::none);
  Spec tcp;
  tcp.port = 68;
  EXPECT_EQ(verdict(build(tcp), none), Drop::none);
}

TEST(Dhcp, FragmentsAndDatagramsThatHideAnAnswerAreRefused) {
  for (const DhcpRight right : {DhcpRight::none, DhcpRight::addresses}) {
    Spec first = udp(bootp({}));
    first.fragment = 0x2000;
    EXPECT_EQ(refused_as(build(first), right), Refusal::What::dhcp);
    first.port = 67;
    first.payload.clear();
    EXPECT_EQ(refused_as(build(first), right), Refusal::What::dhcp) << "the kind is in the next fragment";
    first = udp(bootp({}));
    first.fragment = 0x0003;
    EXPECT_EQ(verdict(build(first), right), Drop::none) << "nothing without a first one";
    Bytes wrong_length = build(udp(bootp({})));
    store_be16(&wrong_length[kEthernetSize + kIp4Size + kUdpLength], 9);
    EXPECT_EQ(refused_as(wrong_length, right), Refusal::What::dhcp);
  }
  Spec first = udp(bootp({}));
  first.fragment = 0x2000;
  EXPECT_EQ(verdict(build(first), DhcpRight::all), Drop::none);
}

TEST(Dhcp, AnswersOfDhcpv6AreForMembersThatMayServe) {
  for (const char* kind : {"02", "07", "0a", "0d"}) {
    for (const DhcpRight right : {DhcpRight::none, DhcpRight::addresses}) {
      EXPECT_EQ(refused_as(build(udp(*from_hex(kind), 547, 547, 6)), right), Refusal::What::dhcp) << kind;
      EXPECT_EQ(refused_as(build(udp(*from_hex(kind), 547, 546, 6)), right), Refusal::What::dhcp) << kind;
    }
    EXPECT_EQ(verdict(build(udp(*from_hex(kind), 547, 546, 6)), DhcpRight::all), Drop::none);
  }
  // Behind extension headers and in a first fragment.
  for (const char* headers : {"1100050200000000", "110000010000aaaa"}) {
    const std::uint8_t next = headers == std::string("1100050200000000") ? 60 : 44;
    Bytes frame = build(udp(*from_hex("0701020304050607"), 547, 546, 6));
    const Bytes more = *from_hex(headers);
    frame[kEthernetSize + 6] = std::byte{next};
    store_be16(&frame[kEthernetSize + 4], static_cast<std::uint16_t>(load_be16(&frame[kEthernetSize + 4]) + 8));
    frame.insert(frame.begin() + kEthernetSize + kIp6Size, more.begin(), more.end());
    EXPECT_EQ(refused_as(frame, DhcpRight::none), Refusal::What::dhcp) << int{next};
  }
}

TEST(Dhcp, OnlyAddressesOfTheNetworkAreOffered) {
  const auto offers = [](const Answer& answer) { return offers_address_of(kNetwork, bootp(answer)); };
  EXPECT_TRUE(offers({}));
  EXPECT_TRUE(offers({.address = {}, .options = "350106ff"})) << "a refusal";
  EXPECT_TRUE(offers({.options = "350105"
                                 "0104ffffff80"}))
      << "without an end";
  EXPECT_FALSE(offers({.op = 1}));
  EXPECT_FALSE(offers({.address = {0x0a000964}})) << "not of the network";
  EXPECT_FALSE(offers({.options = "350102ff"})) << "a client would guess the mask";
  EXPECT_FALSE(offers({.options = "010480000000ff"})) << "half the internet would be on the link";
  EXPECT_FALSE(offers({.options = "0104ffff00ffff"}));
  EXPECT_FALSE(offers({.options = "0104ffffff000104ffffff00ff"})) << "two masks are one of eight bytes (RFC 3396)";
  EXPECT_FALSE(offers({.options = "0108ffffff00ffffff00ff"}));
  EXPECT_FALSE(offers({.options = "0104ffffff0003"}));
  EXPECT_FALSE(offers({.options = "0104ffffff000304"}));
  EXPECT_FALSE(offers_address_of(kNetwork, Bytes(239)));
  EXPECT_FALSE(offers_address_of(kNetwork, Bytes(300))) << "BOOTP without the cookie";
  EXPECT_EQ(refused_as(build(udp(bootp({.options = "350102ff"}))), DhcpRight::addresses), Refusal::What::dhcp);
}

TEST(Dhcp, AllButTheAddressIsTakenOut) {
  // Router, name server, classless route, proxy, boot file: 3, 6, 121, 252, 67; and an option in the field of the file.
  const Answer evil{.next_server = {0x0a000801},
                    .boot_file = "evil",
                    .options =
                        "350102"
                        "03040a000801"
                        "0104ffffff00"
                        "06040a000801"
                        "790500"
                        "0a000801"
                        "fc0161"
                        "4301"
                        "61"
                        "340101"
                        "330400000e10"
                        "ff"};
  const Answer good{.options =
                        "350102"
                        "000000000000"
                        "0104ffffff00"
                        "000000000000"
                        "00000000000000"
                        "000000"
                        "000000"
                        "000000"
                        "330400000e10"
                        "ff"};
  for (const bool partial : {false, true}) {
    const Bytes frame = partial ? build(udp(bootp(evil))) : build_complete(udp(bootp(evil)));
    const auto info = parse_frame(frame);
    EXPECT_TRUE(gives_more_than_addresses(frame, *info));
    EXPECT_EQ(verdict(frame, DhcpRight::addresses), Drop::none);
    const Cut out = cut(frame, partial);
    EXPECT_TRUE(out.more);
    EXPECT_EQ(out.frame, partial ? build(udp(bootp(good))) : build_complete(udp(bootp(good))));
    EXPECT_EQ(test::valid(out.frame), !partial);
    EXPECT_FALSE(gives_more_than_addresses(out.frame, *info));
    EXPECT_FALSE(cut(out.frame, partial).more);
    EXPECT_EQ(cut(out.frame, partial).frame, out.frame);
  }
}

TEST(Dhcp, OtherFramesAreNotTouched) {
  for (const Spec& spec : {udp(bootp({}), 67, 53), udp(bootp({.op = 1}), 68, 67), udp(bootp({}), 67, 68, 6), Spec{}}) {
    const Bytes frame = build_complete(spec);
    EXPECT_FALSE(gives_more_than_addresses(frame, *parse_frame(frame)));
    const Cut out = cut(frame, false);
    EXPECT_FALSE(out.more);
    EXPECT_EQ(out.frame, frame);
  }
}

}  // namespace
}  // namespace eps::l2
