#include "l2/coalesce.h"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "l2/frames_fixture.h"

namespace eps::l2 {
namespace {

using test::build;
using test::build_complete;
using test::meta_of;
using test::Spec;

struct Written {
  Bytes frame;
  ports::FrameMeta meta;
};

bool same_meta(const ports::FrameMeta& a, const ports::FrameMeta& b) {
  return a.gso == b.gso && a.gso_size == b.gso_size && a.header_size == b.header_size &&
         a.checksum_partial == b.checksum_partial && a.csum_start == b.csum_start && a.csum_offset == b.csum_offset &&
         a.checksum_valid == b.checksum_valid;
}

// Plaintexts in receive buffers, and what a round of them writes.
class Round {
 public:
  explicit Round(Offloads offloads = {}) : coalescer_(offloads) {}
  void add(const Bytes& plain) {
    Inner inner;
    ASSERT_EQ(buffers_.emplace_back(plain).decode(inner), Drop::none);
    ASSERT_TRUE(coalescer_.add(inner));
  }
  // A frame in a datagram of its own, its header elided where it can be.
  void add_frame(Bytes frame, bool partial) {
    Segmenter segmenter;
    const std::vector<Bytes> plains = test::split(segmenter, frame, partial ? meta_of(frame, 0) : ports::FrameMeta{});
    ASSERT_EQ(plains.size(), 1U);
    add(plains[0]);
  }
  void add_partial(const Spec& spec) { add_frame(build(spec), true); }
  void add_complete(const Spec& spec) { add_frame(build_complete(spec), false); }
  std::vector<Written> finish() {
    std::vector<Written> out;
    for (const ports::TapWrite& write : coalescer_.finish()) out.push_back({test::join(write), write.meta});
    coalescer_.reset();
    buffers_.clear();
    return out;
  }

 private:
  std::deque<test::Received> buffers_;
  Coalescer coalescer_;
};

Spec spec_of(std::uint8_t version, std::uint8_t protocol, std::size_t payload, std::uint64_t seed = 1) {
  test::Engine rng(seed);
  Spec spec;
  spec.version = version;
  spec.protocol = protocol;
  spec.payload = test::random_bytes(rng, payload);
  return spec;
}

// The segment that follows `spec` directly.
Spec next_of(Spec spec, std::size_t payload) {
  spec.sequence += static_cast<std::uint32_t>(spec.payload.size());
  ++spec.id;
  spec.payload = spec_of(4, kProtocolTcp, payload, spec.sequence).payload;
  return spec;
}

// Two specs as one.
Spec joined(const std::vector<Spec>& parts) {
  Spec out = parts.at(0);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    out.payload.insert(out.payload.end(), parts[i].payload.begin(), parts[i].payload.end());
    out.flags |= parts[i].flags;
  }
  return out;
}

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
    EXPECT_EQ(out.at(0).frame, build(a));
    EXPECT_EQ(out.at(1).frame, build(b));
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

// What stays alone although both segments have it alike: cut again, the kernel would not restore it, or nobody knows.
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
  for (std::size_t i = 0; i < specs.size(); ++i) EXPECT_EQ(out[i].frame, build(specs[i])) << i;
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
  EXPECT_EQ(out[1].frame, build(c));
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

// What cannot be joined ends its flow's run and comes after it, so that nothing later overtakes it.
TEST(Coalesce, KeepsTheOrderWithinAFlow) {
  const Spec a = spec_of(4, kProtocolTcp, 100);
  const Spec b = next_of(a, 100);
  Spec pure_ack = next_of(b, 0);
  const Spec c = next_of(b, 100);
  Round round;
  for (const Spec& s : {a, b, pure_ack, c, next_of(c, 100)}) round.add_partial(s);
  std::vector<Written> out = round.finish();
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(out[1].frame, build(pure_ack));
  // A fragment names no ports, so it ends every run.
  Spec fragment = spec_of(4, kProtocolUdp, 10);
  fragment.fragment = 0x2000;
  round.add_partial(a);
  round.add_frame(build(fragment), false);
  round.add_partial(b);
  EXPECT_EQ(round.finish().size(), 3U);
  // A frame of another kind does not.
  Bytes other(60);
  round.add_partial(a);
  round.add_frame(other, false);
  round.add_partial(b);
  out = round.finish();
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].frame, build(joined({a, b})));
  EXPECT_EQ(out[1].frame, other);
}

TEST(Coalesce, JoinsInterleavedFlows) {
  constexpr std::size_t kFlows = Coalescer::kMaxOpenRuns;
  const auto writes = [](std::size_t flows) {
    std::vector<Spec> specs;
    for (std::size_t f = 0; f < flows; ++f) {
      specs.push_back(spec_of(f % 2 ? 4 : 6, f % 3 ? kProtocolTcp : kProtocolUdp, 50));
      specs.back().port = static_cast<std::uint16_t>(1000 + f);
    }
    Round round;
    for (int i = 0; i < 5; ++i) {
      for (Spec& spec : specs) {
        round.add_partial(spec);
        spec = next_of(spec, 50);
      }
    }
    return round.finish().size();
  };
  EXPECT_EQ(writes(3), 3U);
  EXPECT_EQ(writes(kFlows), kFlows);
  EXPECT_GT(writes(kFlows + 1), kFlows + 1);
}

TEST(Coalesce, ACrowdOfSmallFlowsDoesNotEndTheBusyOne) {
  Round round;
  Spec busy = spec_of(4, kProtocolTcp, 100);
  Spec small = spec_of(4, kProtocolUdp, 10);
  for (std::size_t i = 0; i < 100; ++i) {
    round.add_partial(busy);
    busy = next_of(busy, 100);
    ++small.port;
    round.add_partial(small);
  }
  EXPECT_EQ(round.finish().size(), 101U);
}

TEST(Coalesce, StopsAt64Kilobytes) {
  for (const std::uint8_t version : {4, 6}) {
    Round round;
    Spec spec = spec_of(version, kProtocolTcp, 1400);
    Bytes payload;
    for (int i = 0; i < 100; ++i) {
      round.add_partial(spec);
      payload.insert(payload.end(), spec.payload.begin(), spec.payload.end());
      spec = next_of(spec, 1400);
    }
    const std::vector<Written> out = round.finish();
    ASSERT_EQ(out.size(), 3U);  // 46 segments each
    Bytes written;
    for (const Written& w : out) {
      const auto info = parse_frame(w.frame);
      ASSERT_TRUE(info);
      EXPECT_LE(w.frame.size(), 14U + 65535);
      EXPECT_EQ(info->ip_end, w.frame.size());
      written.insert(written.end(), w.frame.begin() + static_cast<std::ptrdiff_t>(info->payload_offset), w.frame.end());
    }
    EXPECT_EQ(written, payload);
  }
}

// One byte more would not fit the IP length field.
TEST(Coalesce, FillsAnIpPacketToItsLastByte) {
  for (const std::uint8_t version : {4, 6}) {
    for (const std::size_t over : {0, 1}) {
      const std::size_t room = 65535 - (version == 4 ? kIp4Size : kIp6Size) - kTcpSize;
      Round round;
      Spec spec = spec_of(version, kProtocolTcp, 1400);
      for (std::size_t left = room + over; left > 0; left -= spec.payload.size()) {
        if (left != room + over) spec = next_of(spec, std::min<std::size_t>(1400, left));
        round.add_partial(spec);
      }
      const std::vector<Written> out = round.finish();
      ASSERT_EQ(out.size(), 1U + over);
      if (over == 0) {
        EXPECT_EQ(out[0].frame.size(), 14U + 65535);
      }
    }
  }
}

TEST(Coalesce, BoundsTheSegmentsOfARun) {
  const auto writes = [](std::uint8_t protocol, std::size_t count) {
    Round round;
    Spec spec = spec_of(4, protocol, 10);
    for (std::size_t i = 0; i < count; ++i) {
      round.add_partial(spec);
      spec = next_of(spec, 10);
    }
    return round.finish().size();
  };
  EXPECT_EQ(writes(kProtocolUdp, Coalescer::kMaxUdpSegments), 1U);
  EXPECT_EQ(writes(kProtocolUdp, Coalescer::kMaxUdpSegments + 1), 2U);
  EXPECT_EQ(writes(kProtocolTcp, Coalescer::kMaxRunSegments), 1U);
  EXPECT_EQ(writes(kProtocolTcp, Coalescer::kMaxRunSegments + 1), 2U);
}

TEST(Coalesce, TakesNoMoreThanARoundHolds) {
  Bytes plain{std::byte{1}};
  plain.resize(61);
  test::Received received(plain);
  Inner inner;
  ASSERT_EQ(received.decode(inner), Drop::none);
  Coalescer coalescer({});
  EXPECT_TRUE(coalescer.empty());
  for (std::size_t i = 0; i < Coalescer::kMaxFrames; ++i) ASSERT_TRUE(coalescer.add(inner));
  EXPECT_FALSE(coalescer.add(inner));
  EXPECT_EQ(coalescer.finish().size(), Coalescer::kMaxFrames);
  coalescer.reset();
  EXPECT_TRUE(coalescer.empty());
  EXPECT_TRUE(coalescer.add(inner));
  EXPECT_EQ(coalescer.finish().size(), 1U);
}

TEST(Coalesce, ProvesComputedChecksumsBeforeItJoins) {
  for (const std::uint8_t version : {4, 6}) {
    for (const std::uint8_t protocol : {kProtocolTcp, kProtocolUdp}) {
      const Spec a = spec_of(version, protocol, 101);
      const Spec b = next_of(a, 101);
      const Spec c = next_of(b, 33);
      Round round;
      round.add_complete(a);
      round.add_partial(b);
      round.add_complete(c);
      std::vector<Written> out = round.finish();
      ASSERT_EQ(out.size(), 1U);
      EXPECT_EQ(out[0].frame, build(joined({a, b, c})));
      // A wrong one stays alone, unchanged, and is nowhere called valid.
      Bytes wrong = build_complete(b);
      wrong.back() ^= std::byte{1};
      round.add_complete(a);
      round.add_frame(wrong, false);
      round.add_complete(c);
      out = round.finish();
      ASSERT_EQ(out.size(), 3U);
      EXPECT_EQ(out[0].frame, build_complete(a));
      EXPECT_EQ(out[1].frame, wrong);
      EXPECT_TRUE(same_meta(out[1].meta, {}));
      EXPECT_EQ(out[2].frame, build_complete(c));
    }
  }
}

TEST(Coalesce, TrailingBytesStayWithTheirFrame) {
  const Spec a = spec_of(4, kProtocolTcp, 3);
  Bytes trailing = build_complete(a);
  trailing.resize(60);
  Bytes next = build_complete(next_of(a, 3));
  next.resize(60);
  Round round;
  round.add_frame(trailing, false);
  round.add_frame(next, false);
  const std::vector<Written> out = round.finish();
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].frame, trailing);
  EXPECT_EQ(out[1].frame, next);
}

// The joined header gets a right checksum, which must not repair a packet that was damaged before it was sealed.
TEST(Coalesce, DoesNotRepairAnIp4Header) {
  const Spec a = spec_of(4, kProtocolTcp, 100);
  Bytes wrong = build(next_of(a, 100));
  wrong[24] ^= std::byte{1};
  Round round;
  round.add_partial(a);
  round.add_frame(wrong, true);
  round.add_partial(next_of(next_of(a, 100), 100));
  const std::vector<Written> out = round.finish();
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(out[0].frame, build(a));
  EXPECT_EQ(out[1].frame, wrong);
}

TEST(Coalesce, ALoneFrameKeepsItsChecksumState) {
  const Spec spec = spec_of(4, kProtocolTcp, 100);
  Round round;
  round.add_complete(spec);
  std::vector<Written> out = round.finish();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].frame, build_complete(spec));
  EXPECT_TRUE(same_meta(out[0].meta, {}));
  round.add_partial(spec);
  out = round.finish();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].frame, build(spec));
  EXPECT_TRUE(same_meta(out[0].meta, meta_of(build(spec), 0)));
}

TEST(Coalesce, UdpWithoutAChecksumStaysAsItIs) {
  const Spec a = spec_of(4, kProtocolUdp, 100);
  Bytes first = build(a);
  Bytes second = build(next_of(a, 100));
  store_be16(&first[34 + kUdpChecksum], 0);
  store_be16(&second[34 + kUdpChecksum], 0);
  Round round;
  round.add_frame(first, false);
  round.add_frame(second, false);
  const std::vector<Written> out = round.finish();
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].frame, first);
  EXPECT_EQ(out[1].frame, second);
  EXPECT_TRUE(same_meta(out[0].meta, {}));
}

TEST(Coalesce, DoesOnlyWhatTheTapTakes) {
  const auto writes = [](const Offloads& offloads, std::uint8_t protocol) {
    Round round(offloads);
    const Spec a = spec_of(4, protocol, 100);
    round.add_partial(a);
    round.add_partial(next_of(a, 100));
    const std::vector<Written> out = round.finish();
    for (const Written& w : out) {
      if (!offloads.checksum) {
        EXPECT_TRUE(test::valid(w.frame));
        EXPECT_TRUE(same_meta(w.meta, {}));
      }
    }
    return out.size();
  };
  EXPECT_EQ(writes({true, false, true}, kProtocolTcp), 1U);
  EXPECT_EQ(writes({true, false, true}, kProtocolUdp), 2U);
  EXPECT_EQ(writes({false, true, true}, kProtocolTcp), 2U);
  EXPECT_EQ(writes({false, true, true}, kProtocolUdp), 1U);
  EXPECT_EQ(writes({true, true, false}, kProtocolTcp), 2U);
  EXPECT_EQ(writes({true, true, false}, kProtocolUdp), 2U);
}

}  // namespace
}  // namespace eps::l2
