// SPDX-License-Identifier: MIT

// Which segments are joined, and which stay apart.

#include "l2/coalesce.h"

#include <gtest/gtest.h>

#include <vector>

#include "l2/coalesce_fixture.h"

namespace eps::l2 {
namespace {

using test::build;
using test::build_complete;
using test::joined;
using test::meta_of;
using test::next_of;
using test::Round;
using test::same_meta;
using test::Spec;
using test::spec_of;
using test::Written;

// How many writes two frames give.
std::size_t writes_of(const Spec& a, const Spec& b) {
  Round round;
  round.add_partial(a);
  round.add_partial(b);
  const std::vector<Written> out = round.finish();
  if (out.size() == 1) {
    const Spec both = joined({a, b});
    EXPECT_EQ(out[0].frame, build(both));
    EXPECT_TRUE(same_meta(out[0].meta, meta_of(build(both), a.payload.size())));
  } else {
    EXPECT_EQ(out.size(), 2U);
    EXPECT_EQ(out.at(0).frame, build_complete(a));
    EXPECT_EQ(out.at(1).frame, build_complete(b));
  }
  return out.size();
}

TEST(Coalesce, JoinsSegmentsThatFollowEachOther) {
  for (const std::uint8_t version : {4, 6}) {
    const Spec tcp = spec_of(version, kProtocolTcp, 100);
    EXPECT_EQ(writes_of(tcp, next_of(tcp, 100)), 1U);
    EXPECT_EQ(writes_of(tcp, next_of(tcp, 1)), 1U);
    EXPECT_EQ(writes_of(tcp, next_of(tcp, 101)), 2U);
    EXPECT_EQ(writes_of(tcp, next_of(tcp, 0)), 2U);
    const Spec udp = spec_of(version, kProtocolUdp, 100);
    EXPECT_EQ(writes_of(udp, next_of(udp, 100)), 1U);
    EXPECT_EQ(writes_of(udp, next_of(udp, 1)), 1U);
    EXPECT_EQ(writes_of(udp, next_of(udp, 101)), 2U);
    EXPECT_EQ(writes_of(udp, next_of(udp, 0)), 2U);
  }
}

// Each change to the second segment that ends a run.
TEST(Coalesce, DoesNotJoinWhatDiffers) {
  struct Case {
    const char* name;
    void (*change)(Spec&);
  };
  const Case any[] = {{"source port", [](Spec& s) { ++s.source_port; }},
                      {"port", [](Spec& s) { ++s.port; }},
                      {"class", [](Spec& s) { s.tos ^= 0x02; }},
                      {"hop limit", [](Spec& s) { --s.ttl; }},
                      {"vlan", [](Spec& s) { s.vlan = true; }}};
  const Case tcp_only[] = {{"sequence", [](Spec& s) { ++s.sequence; }},
                           {"ack", [](Spec& s) { ++s.ack; }},
                           {"window", [](Spec& s) { ++s.window; }},
                           {"more options", [](Spec& s) { s.tcp_options.resize(16); }},
                           {"other options", [](Spec& s) { s.tcp_options[11] ^= std::byte{1}; }},
                           {"SYN", [](Spec& s) { s.flags |= 0x02; }},
                           {"RST", [](Spec& s) { s.flags |= 0x04; }},
                           {"URG", [](Spec& s) { s.flags |= 0x20; }},
                           {"ECE", [](Spec& s) { s.flags |= kTcpEce; }},
                           {"CWR", [](Spec& s) { s.flags |= kTcpCwr; }},
                           {"no ACK", [](Spec& s) { s.flags = 0; }}};
  const Case ip4_only[] = {{"DF", [](Spec& s) { s.fragment = 0; }},
                           {"reserved flag", [](Spec& s) { s.fragment |= 0x8000; }},
                           {"id", [](Spec& s) { ++s.id; }},
                           {"options", [](Spec& s) { s.ip_options = Bytes(4, std::byte{1}); }}};
  for (const std::uint8_t version : {4, 6}) {
    for (const std::uint8_t protocol : {kProtocolTcp, kProtocolUdp}) {
      Spec first = spec_of(version, protocol, 100);
      first.tcp_options = Bytes(12, std::byte{1});
      const auto expect_apart = [&](const Case& c) {
        Spec second = next_of(first, 100);
        c.change(second);
        EXPECT_EQ(writes_of(first, second), 2U) << c.name << ' ' << int{version} << ' ' << int{protocol};
      };
      EXPECT_EQ(writes_of(first, next_of(first, 100)), 1U);
      for (const Case& c : any) expect_apart(c);
      if (protocol == kProtocolTcp) {
        for (const Case& c : tcp_only) expect_apart(c);
      }
      if (version == 4) {
        for (const Case& c : ip4_only) expect_apart(c);
      }
    }
  }
}

// Segments that stay alone although both have the same: the kernel would not restore it, or nobody knows.
TEST(Coalesce, JoinsNoOptionsAndNoOddFlags) {
  Spec options = spec_of(4, kProtocolTcp, 100);
  options.ip_options = Bytes(4, std::byte{1});
  EXPECT_EQ(writes_of(options, next_of(options, 100)), 2U);
  Spec reserved = spec_of(4, kProtocolTcp, 100);
  reserved.fragment = 0xc000;
  EXPECT_EQ(writes_of(reserved, next_of(reserved, 100)), 2U);
  Round round;
  const Spec plain = spec_of(6, kProtocolTcp, 100);
  const Bytes destination_options = *from_hex("0600010400000000");
  for (Bytes frame : {build(plain), build(next_of(plain, 100))}) {
    frame[14 + 6] = std::byte{60};
    store_be16(&frame[14 + 4], static_cast<std::uint16_t>(load_be16(&frame[14 + 4]) + 8));
    frame.insert(frame.begin() + 54, destination_options.begin(), destination_options.end());
    round.add_frame(frame, true);
  }
  EXPECT_EQ(round.finish().size(), 2U);
}

TEST(Coalesce, AnUrgentPointerIsPartOfTheRules) {
  const Spec a = spec_of(4, kProtocolTcp, 100);
  Bytes second = build(next_of(a, 100));
  second[34 + 18] = std::byte{1};
  Round round;
  round.add_partial(a);
  round.add_frame(second, true);
  EXPECT_EQ(round.finish().size(), 2U);
}

TEST(Coalesce, EachFrameGetsItsOwnEthernetHeader) {
  Round round;
  std::vector<Spec> specs;
  for (const std::uint8_t version : {4, 6, 4, 6}) {
    specs.push_back(spec_of(version, kProtocolUdp, 20));
    specs.back().port = static_cast<std::uint16_t>(specs.size());
    round.add_partial(specs.back());
  }
  const std::vector<Written> out = round.finish();
  ASSERT_EQ(out.size(), specs.size());
  for (std::size_t i = 0; i < specs.size(); ++i) EXPECT_EQ(out[i].frame, build_complete(specs[i])) << i;
}

TEST(Coalesce, IdsCountUpOrStayUnderDf) {
  Spec a = spec_of(4, kProtocolTcp, 100);
  Spec b = next_of(a, 100);
  Spec c = next_of(b, 100);
  const auto writes = [&] {
    Round round;
    for (const Spec& s : {a, b, c}) round.add_partial(s);
    return round.finish().size();
  };
  EXPECT_EQ(writes(), 1U);
  c.id = b.id;
  EXPECT_EQ(writes(), 2U);
  b.id = c.id = a.id;
  EXPECT_EQ(writes(), 1U);
  c.id = static_cast<std::uint16_t>(a.id + 2);
  EXPECT_EQ(writes(), 2U);
  b.id = c.id = a.id;
  a.fragment = b.fragment = c.fragment = 0;
  EXPECT_EQ(writes(), 3U);
  a.id = 0xffff;
  b.id = 0;
  c.id = 1;
  EXPECT_EQ(writes(), 1U);
}

TEST(Coalesce, PushEndsARun) {
  const Spec a = spec_of(4, kProtocolTcp, 100);
  Spec b = next_of(a, 100);
  b.flags |= kTcpPsh;
  const Spec c = next_of(next_of(a, 100), 100);
  Round round;
  for (const Spec& s : {a, b, c}) round.add_partial(s);
  const std::vector<Written> out = round.finish();
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].frame, build(joined({a, b})));
  EXPECT_EQ(out[1].frame, build_complete(c));
  EXPECT_EQ(writes_of(b, next_of(b, 100)), 2U);
}

// The flags of a super-frame that cutting leaves on its first or its last segment only.
TEST(Coalesce, JoinsCwrAtTheBeginningAndFinAtTheEnd) {
  Spec a = spec_of(4, kProtocolTcp, 100);
  Spec b = next_of(a, 100);
  a.flags |= kTcpCwr | kTcpEce;
  b.flags |= kTcpFin | kTcpEce;
  EXPECT_EQ(writes_of(a, b), 1U);
  a.flags |= kTcpFin;
  EXPECT_EQ(writes_of(a, b), 2U);
}

TEST(Coalesce, AShortSegmentEndsARun) {
  const Spec a = spec_of(4, kProtocolUdp, 100);
  const Spec b = next_of(a, 99);
  const Spec c = next_of(b, 99);
  Round round;
  for (const Spec& s : {a, b, c}) round.add_partial(s);
  EXPECT_EQ(round.finish().size(), 2U);
}

}  // namespace
}  // namespace eps::l2
