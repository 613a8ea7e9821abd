// SPDX-License-Identifier: MIT
#include "os/tap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <vector>

#include "os/link.h"
#include "os/netns_fixture.h"
#include "os/udp.h"

namespace eps::os {
namespace {

using ports::FrameMeta;
using ports::Gso;
using ports::TapFrame;
using ports::TapWrite;

constexpr std::uint16_t kTestType = 0x88b5;  // IEEE 802: for local experiments, so no protocol of the kernel's answers

const Mac kOwnMac = *parse_mac("02:00:00:00:00:01");
const Mac kPeerMac = *parse_mac("02:00:00:00:00:02");

Bytes ethernet(std::uint16_t type, ByteView payload) {
  Bytes out;
  Writer w(out);
  w.bytes(kOwnMac.bytes);
  w.bytes(kPeerMac.bytes);
  w.u16(type);
  w.bytes(payload);
  return out;
}

std::uint16_t checksum(ByteView bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += load_be16(&bytes[i]);
  if (bytes.size() % 2 != 0) sum += std::to_integer<unsigned>(bytes.back()) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

class TapTest : public NetnsTest {
 protected:
  void SetUp() override {
    NetnsTest::SetUp();
    if (!IsSkipped() && ::access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "no /dev/net/tun";
    // Otherwise IPv6 mixes its own frames into what we read.
    if (!IsSkipped()) sysctl("net/ipv6/conf/default/disable_ipv6", "1");
  }

  static std::unique_ptr<LinuxTap> open_up(const TapOptions& options = {}) {
    auto tap = must(LinuxTap::open("epst0", options));
    must(must(NetlinkLink::open("epst0"))->configure(kConfig));
    return tap;
  }

  // A socket that sees, and can send, every frame of the interface.
  static UniqueFd packet_socket(const LinuxTap& tap, std::uint16_t type = kTestType) {
    UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(type)));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(type);
    address.sll_ifindex = tap.ifindex();
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  static Bytes receive(int fd) {
    Bytes buffer(70000);
    if (!readable(fd)) return {};
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    buffer.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return buffer;
  }

  // A UDP run into the interface, to an address behind it.
  static std::size_t send_run(std::size_t segments, std::size_t size) {
    EXPECT_TRUE(shell("ip neigh replace 10.99.0.2 lladdr 02:00:00:00:00:02 dev epst0"));
    const auto udp = must(LinuxUdp::open());
    const Bytes run(segments * size, std::byte{0x42});
    const ports::TxDatagram tx{{*parse_ip("10.99.0.2"), 9}, run, static_cast<std::uint16_t>(size)};
    return udp->send({&tx, 1});
  }

  static inline const ports::LinkConfig kConfig{kOwnMac, *parse_ip4("10.99.0.1"), *parse_ip4_network("10.99.0.0/24"),
                                                1400};
};

TEST_F(TapTest, CarriesFramesBothWays) {
  const auto tap = open_up();
  EXPECT_EQ(tap->name(), "epst0");
  EXPECT_EQ(tap->ifindex(), static_cast<int>(::if_nametoindex("epst0")));
  const UniqueFd wire = packet_socket(*tap);

  const Bytes one = ethernet(kTestType, as_view(std::string(100, 'a'))), two = ethernet(kTestType, as_view("tail"));
  const ByteView pieces[] = {ByteView(one).first(14), ByteView(one).subspan(14), two};
  const TapWrite writes[] = {{std::span(pieces).first(2), {}}, {std::span(pieces).subspan(2), {}}};
  EXPECT_EQ(tap->write(writes), 2U);
  EXPECT_EQ(receive(wire.get()), one);
  EXPECT_EQ(receive(wire.get()), two);

  ASSERT_EQ(::send(wire.get(), one.data(), one.size(), 0), static_cast<ssize_t>(one.size()));
  ASSERT_TRUE(readable(tap->fd()));
  std::array<TapFrame, 4> frames;
  ASSERT_EQ(tap->read(frames), 1U);
  EXPECT_TRUE(equal(frames[0].bytes, one));
  EXPECT_EQ(frames[0].meta.gso, Gso::none);
  EXPECT_FALSE(frames[0].meta.checksum_partial);
  EXPECT_EQ(tap->read(frames), 0U);
}

TEST_F(TapTest, PacksManyFramesIntoOneReadWithHeadroomBeforeEach) {
  const auto tap = open_up();
  const UniqueFd wire = packet_socket(*tap);
  std::vector<Bytes> sent;
  for (int i = 0; i < 100; ++i) {
    sent.push_back(ethernet(kTestType, Bytes(static_cast<std::size_t>(46 + i * 13), static_cast<std::byte>(i))));
    ASSERT_EQ(::send(wire.get(), sent.back().data(), sent.back().size(), 0), static_cast<ssize_t>(sent.back().size()));
  }
  std::array<TapFrame, 64> frames;
  std::size_t seen = 0;
  while (const std::size_t count = tap->read(frames)) {
    if (seen == 0) {
      EXPECT_EQ(count, frames.size());
    }
    for (std::size_t i = 0; i < count; ++i) {
      // A caller's header before one frame must not reach into another.
      std::fill_n(frames[i].bytes.data() - ports::kTapHeadroom, ports::kTapHeadroom, std::byte{0xee});
    }
    for (std::size_t i = 0; i < count; ++i) EXPECT_TRUE(equal(frames[i].bytes, sent[seen++]));
  }
  EXPECT_EQ(seen, sent.size());
}

TEST_F(TapTest, AUdpRunComesAsOneSuperFrame) {
  const auto tap = open_up();
  if (!tap->options().uso) GTEST_SKIP() << "this kernel has no USO (Linux 6.2)";
  ASSERT_EQ(send_run(40, 1200), 1U);
  std::array<TapFrame, 64> frames;
  ASSERT_EQ(tap->read(frames), 1U);
  EXPECT_EQ(frames[0].bytes.size(), 14U + 20U + 8U + 40U * 1200U);
  EXPECT_EQ(frames[0].meta.gso, Gso::udp);
  EXPECT_EQ(frames[0].meta.gso_size, 1200U);
  EXPECT_TRUE(frames[0].meta.checksum_partial);
  EXPECT_EQ(frames[0].meta.csum_start, 34U);
  EXPECT_EQ(frames[0].meta.csum_offset, 6U);
}

TEST_F(TapTest, WithoutOffloadsFramesComeFinished) {
  const auto tap = open_up({.checksum = false});
  EXPECT_FALSE(tap->options().tso);
  EXPECT_FALSE(tap->options().uso);
  ASSERT_EQ(send_run(40, 1200), 1U);
  std::array<TapFrame, 64> frames;
  ASSERT_EQ(tap->read(frames), 40U);
  for (const TapFrame& frame : std::span(frames).first(40)) {
    EXPECT_EQ(frame.bytes.size(), 14U + 20U + 8U + 1200U);
    EXPECT_EQ(frame.meta.gso, Gso::none);
    EXPECT_FALSE(frame.meta.checksum_partial);
  }
}

TEST_F(TapTest, SuperFramesFillTheArenaAndTheRestFollows) {
  const auto tap = open_up();
  if (!tap->options().uso) GTEST_SKIP() << "this kernel has no USO (Linux 6.2)";
  for (int i = 0; i < 10; ++i) ASSERT_EQ(send_run(50, 1300), 1U);
  std::array<TapFrame, 64> frames;
  std::size_t seen = 0;
  while (const std::size_t count = tap->read(frames)) {
    for (const TapFrame& frame : std::span(frames).first(count)) EXPECT_EQ(frame.bytes.size(), 42U + 50U * 1300U);
    seen += count;
  }
  EXPECT_EQ(seen, 10U);
}

// A TCP super-frame to a closed port, its checksum partial, in three pieces.
struct TcpRun {
  static constexpr std::size_t kSegment = 1300, kPayload = 20 * kSegment;
  explicit TcpRun(std::uint8_t flags) : headers(ethernet(ETH_P_IP, {})), payload(kPayload, std::byte{0x33}) {
    Writer w(headers);
    w.u16(0x4500);
    w.u16(static_cast<std::uint16_t>(20 + 20 + kPayload));
    w.u32(0);
    w.u16(64 << 8 | IPPROTO_TCP);
    w.u16(0);
    w.u32(parse_ip4("10.99.0.2")->value);
    w.u32(parse_ip4("10.99.0.1")->value);
    store_be16(&headers[24], static_cast<std::uint16_t>(~checksum(ByteView(headers).subspan(14, 20))));
    w.u16(4000);
    w.u16(5000);
    w.u32(1000000);
    w.u32(0);
    w.u16(static_cast<std::uint16_t>(0x5000 | flags));
    w.u16(1000);
    w.u16(checksum(ByteView(headers).subspan(26, 8), static_cast<std::uint32_t>(IPPROTO_TCP + 20 + kPayload)));
    w.u16(0);
    pieces = {headers, ByteView(payload).first(kSegment), ByteView(payload).subspan(kSegment)};
  }
  TapWrite write() const {
    const FrameMeta meta{.gso = Gso::tcp4,
                         .gso_size = kSegment,
                         .header_size = static_cast<std::uint16_t>(headers.size()),
                         .checksum_partial = true,
                         .csum_start = 34,
                         .csum_offset = 16};
    return {pieces, meta};
  }

  Bytes headers;
  Bytes payload;
  std::array<ByteView, 3> pieces;
};

// The reset acknowledges every byte, so the kernel took it as one frame with a right checksum.
TEST_F(TapTest, TheKernelTakesATcpSuperFrame) {
  const auto tap = open_up();
  ASSERT_TRUE(shell("ip neigh replace 10.99.0.2 lladdr 02:00:00:00:00:02 dev epst0"));
  const TcpRun run(0);
  const TapWrite write = run.write();
  EXPECT_EQ(tap->write({&write, 1}), 1U);
  ASSERT_TRUE(readable(tap->fd()));
  std::array<TapFrame, 4> frames;
  ASSERT_EQ(tap->read(frames), 1U);
  const ByteSpan reset = frames[0].bytes;
  ASSERT_GE(reset.size(), 54U);
  EXPECT_EQ(reset[47] & std::byte{0x14}, std::byte{0x14}) << "RST and ACK";
  EXPECT_EQ(load_be32(&reset[42]), 1000000U + TcpRun::kPayload);
}

// The offload metadata as the kernel understood it, from a packet socket that asks for it.
TEST_F(TapTest, ASuperFrameWithCwrIsMarkedForTheKernel) {
  const auto tap = open_up();
  const UniqueFd wire = packet_socket(*tap, ETH_P_ALL);
  const int on = 1;
  ASSERT_EQ(::setsockopt(wire.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
  for (const std::uint8_t flags : {0x10, 0x90}) {  // ACK; ACK and CWR
    const TcpRun run(flags);
    // The Ethernet header in a piece of its own, as where it was left out on the way.
    const ByteView headers(run.headers);
    const std::array<ByteView, 3> pieces = {headers.first(14), headers.subspan(14), run.payload};
    const TapWrite write{pieces, run.write().meta};
    ASSERT_EQ(tap->write({&write, 1}), 1U);
    Bytes seen;
    do {
      seen = receive(wire.get());
      ASSERT_FALSE(seen.empty());
    } while (seen.size() < TcpRun::kPayload);  // the kernel's own frames pass here too
    EXPECT_EQ(seen.size(), 10 + run.headers.size() + run.payload.size());
    EXPECT_EQ(seen[1], flags == 0x90 ? std::byte{0x81} : std::byte{0x01});  // virtio's TCPV4, and its ECN bit
    std::uint16_t segment = 0;
    std::memcpy(&segment, &seen[4], sizeof(segment));
    EXPECT_EQ(segment, TcpRun::kSegment);
  }
}

TEST_F(TapTest, ABadFrameDoesNotDelayTheOthers) {
  const auto tap = open_up();
  const UniqueFd wire = packet_socket(*tap);
  const Bytes good = ethernet(kTestType, as_view("good frame of forty-six bytes at least, surely!"));
  const ByteView piece[] = {good};
  const FrameMeta bad{.checksum_partial = true, .csum_start = 60000, .csum_offset = 16};
  const TapWrite writes[] = {{piece, bad}, {{}, {}}, {piece, {}}};
  EXPECT_EQ(tap->write(writes), 1U);
  EXPECT_EQ(receive(wire.get()), good);
}

TEST_F(TapTest, FrameWrittenWhileTheInterfaceIsDownIsLost) {
  const auto tap = must(LinuxTap::open("epst0"));
  const Bytes frame = ethernet(kTestType, as_view("x"));
  const ByteView piece[] = {frame};
  const TapWrite writes[] = {{piece, {}}, {piece, {}}};
  EXPECT_EQ(tap->write(writes), 0U);
  std::array<TapFrame, 4> frames;
  EXPECT_EQ(tap->read(frames), 0U);
}

TEST_F(TapTest, GoesAwayWithItsLastQueue) {
  {
    const auto first = must(LinuxTap::open("epst0", {.queues = 2}));
    {
      const auto second = must(first->add_queue());
      EXPECT_EQ(second->name(), "epst0");
      EXPECT_EQ(second->ifindex(), first->ifindex());
      EXPECT_EQ(second->options().uso, first->options().uso);
    }
    EXPECT_NE(::if_nametoindex("epst0"), 0U);
  }
  EXPECT_EQ(::if_nametoindex("epst0"), 0U);
}

TEST_F(TapTest, KnowsThatTheInterfaceWasDeletedButNotThatItWasRenamed) {
  const auto tap = open_up();
  std::array<TapFrame, 4> frames;
  ASSERT_TRUE(shell("ip link set epst0 down && ip link set epst0 name other"));
  tap->read(frames);
  EXPECT_TRUE(tap->attached());
  ASSERT_TRUE(shell("ip link del other"));
  EXPECT_TRUE(readable(tap->fd()));
  EXPECT_EQ(tap->read(frames), 0U);
  EXPECT_FALSE(tap->attached());
}

TEST_F(TapTest, TheKernelNamesAnInterfaceWithoutAName) {
  const auto a = must(LinuxTap::open(""));
  const auto b = must(LinuxTap::open(""));
  EXPECT_EQ(a->name(), "eps0");
  EXPECT_EQ(b->name(), "eps1");
}

TEST_F(TapTest, EachRefusalSaysWhatToDo) {
  const auto error_of = [](const std::string& name, int queues = 1) {
    auto tap = LinuxTap::open(name, {.queues = queues});
    EXPECT_FALSE(tap) << name;
    return tap ? Error{} : tap.error();
  };
  for (const char* name : {"sixteen-letters-", "a b", "a/b", "eps%d", "a:1", "."}) {
    EXPECT_EQ(error_of(name).code, Errc::invalid_argument) << name;
  }
  const auto single = must(LinuxTap::open("epst0"));
  const auto multi = must(LinuxTap::open("epst1", {.queues = 2}));
  ASSERT_TRUE(shell("ip link add epst2 type bridge"));
  for (const Error& error : {error_of("epst0"), error_of("epst1", 2), error_of("epst2"), error_of("lo")}) {
    EXPECT_EQ(error.code, Errc::in_use) << error.what;
    EXPECT_THAT(error.what, ::testing::HasSubstr("--device"));
  }
}

}  // namespace
}  // namespace eps::os
