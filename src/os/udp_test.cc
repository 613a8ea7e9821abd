// SPDX-License-Identifier: MIT
#include "os/udp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <thread>
#include <vector>

#include "os/netns_fixture.h"
#include "os/udp_socket.h"

namespace eps::os {
namespace {

using ports::RxDatagram;
using ports::TxDatagram;

Endpoint at(const char* ip, const LinuxUdp& udp) {
  return {*parse_ip(ip), udp.local_port()};
}

// `size` bytes of which no two stretches are alike.
Bytes pattern(std::size_t size, unsigned seed = 1) {
  Bytes out(size);
  for (std::byte& b : out) {
    seed = seed * 1664525 + 1013904223;
    b = static_cast<std::byte>(seed >> 24);
  }
  return out;
}

struct Received {
  std::vector<Bytes> datagrams;  // runs cut into what was sent
  std::size_t runs = 0;
  Endpoint from;
  std::uint8_t traffic_class = 0;
};

class UdpTest : public NetnsTest {
 protected:
  // Until `bytes` bytes have come or nothing comes any more.
  static Received receive(LinuxUdp& udp, std::size_t bytes) {
    Received out;
    std::array<RxDatagram, 16> batch;
    for (std::size_t got = 0; got < bytes && readable(udp.fd(), 300);) {
      const std::size_t count = udp.receive(batch);
      for (const RxDatagram& run : std::span(batch).first(count)) {
        EXPECT_GT(run.segment_size, 0);
        out.from = run.from;
        out.traffic_class = run.traffic_class;
        ++out.runs;
        got += run.bytes.size();
        for (std::size_t i = 0; i < run.bytes.size(); i += run.segment_size) {
          const ByteSpan one = run.bytes.subspan(i, std::min<std::size_t>(run.segment_size, run.bytes.size() - i));
          out.datagrams.emplace_back(one.begin(), one.end());
        }
      }
    }
    return out;
  }

  static void expect_equal(const Received& received, ByteView sent, std::size_t segment_size) {
    std::size_t offset = 0;
    for (const Bytes& one : received.datagrams) {
      ASSERT_EQ(one.size(), std::min(segment_size, sent.size() - offset));
      ASSERT_TRUE(equal(one, sent.subspan(offset, one.size())));
      offset += one.size();
    }
    EXPECT_EQ(offset, sent.size());
  }
};

TEST_F(UdpTest, QueuesShareAPortAndItsSideSockets) {
  const auto first = must(LinuxUdp::open({.queues = true}));
  const auto second = must(first->add_queue());
  ASSERT_EQ(second->local_port(), first->local_port());
  std::size_t came = 0;
  std::array<RxDatagram, 16> batch;
  std::array<std::size_t, 2> by_queue{};
  const auto look = [&] {
    by_queue[0] += first->receive(batch);
    by_queue[1] += second->receive(batch);
    came = by_queue[0] + by_queue[1];
  };
  const Bytes bytes = pattern(100);
  for (int i = 0; i < 32; ++i) {
    const auto peer = must(LinuxUdp::open());
    const TxDatagram out{at("127.0.0.1", *first), bytes, 0, 0};
    EXPECT_EQ(peer->send({&out, 1}), 1U);
    look();
  }
  EXPECT_EQ(came, 32U);
  EXPECT_GT(by_queue[0], 0U) << "each pair of endpoints has its queue";
  EXPECT_GT(by_queue[1], 0U);

  const auto side = first->open_side();
  ASSERT_TRUE(side);
  const auto peer = must(LinuxUdp::open());
  const TxDatagram by_side{at("127.0.0.1", *peer), bytes, 0, side->socket};
  EXPECT_EQ(second->send({&by_side, 1}), 1U);
  ASSERT_TRUE(readable(peer->fd(), 300));
  ASSERT_EQ(peer->receive(batch), 1U);
  EXPECT_EQ(batch[0].from.port, side->port);
  const TxDatagram answer{batch[0].from, bytes, 0, 0};
  EXPECT_EQ(peer->send({&answer, 1}), 1U);
  EXPECT_EQ(second->receive(batch), 0U) << "side sockets are the first queue's to receive from";
  EXPECT_EQ(first->receive(batch), 1U);
}

TEST_F(UdpTest, APortWithoutQueuesIsNotShared) {
  const auto udp = must(LinuxUdp::open());
  EXPECT_FALSE(LinuxUdp::open({.port = udp->local_port(), .queues = true}));
}

TEST_F(UdpTest, APortWithQueuesIsNotSharedWithAnotherProgram) {
  const auto udp = must(LinuxUdp::open({.queues = true}));
  const auto other = LinuxUdp::open({.port = udp->local_port(), .queues = true});
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().what.find("another program uses it"), std::string::npos) << other.error().what;
}

TEST_F(UdpTest, KernelDropsAreCounted) {
  const auto sender = must(LinuxUdp::open());
  const auto receiver = must(LinuxUdp::open());
  const Bytes bytes = pattern(1000);
  const TxDatagram out{at("127.0.0.1", *receiver), bytes, 0, 0};
  std::array<RxDatagram, 16> batch;
  std::size_t sent = 0, came = 0;
  std::uint64_t lost = 0;
  const auto send = [&](int n) {
    for (int i = 0; i < n; ++i) sent += sender->send({&out, 1});
  };
  const auto receive_all = [&] {
    while (readable(receiver->fd(), 300)) came += receiver->receive(batch);
    lost += receiver->take_overruns();
  };
  for (int round = 0; round < 2; ++round) {
    send(20000);  // more than the buffer holds
    receive_all();
    send(1);  // it tells with the next one
    receive_all();
    EXPECT_GT(lost, 0U);
    EXPECT_EQ(came + lost, sent) << "round " << round;
  }
  send(100);
  receive_all();
  EXPECT_EQ(came + lost, sent) << "reported losses are not reported again";
}

// An address that nobody answers for: what is sent there stays in the send buffer while the kernel asks for it.
TEST_F(UdpTest, BulkLeavesRoomForPacketsThatKeepConduitsAlive) {
  ASSERT_TRUE(
      shell("ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up && "
            "ip addr add 10.9.0.1/24 dev v0"));
  ASSERT_TRUE(sysctl("net/ipv4/neigh/v0/unres_qlen_bytes", "100000000"));
  const auto udp = must(LinuxUdp::open());
  const Endpoint nobody{*parse_ip("10.9.0.2"), 9};
  const Bytes bytes = pattern(60000);
  std::size_t taken = 0;
  for (int i = 0; i < 100; ++i) {
    const TxDatagram frames{nobody, bytes, 1400, 0, true};
    taken += udp->send({&frames, 1});
  }
  EXPECT_GT(taken, 2U);
  EXPECT_LT(taken, 100U);
  for (int i = 0; i < 20; ++i) {
    const TxDatagram handshake{nobody, ByteView(bytes).first(300), 0, 0};
    EXPECT_EQ(udp->send({&handshake, 1}), 1U) << i;
  }
}

TEST_F(UdpTest, ARunArrivesAsItWasCut) {
  const auto a = must(LinuxUdp::open());
  const auto b = must(LinuxUdp::open());
  ASSERT_TRUE(a->gso() && a->gro());
  for (const char* ip : {"127.0.0.1", "::1"}) {
    const Bytes sent = pattern(39 * 1200 + 77);
    const TxDatagram tx{at(ip, *b), sent, 1200};
    EXPECT_EQ(a->send({&tx, 1}), 1U);
    const Received received = receive(*b, sent.size());
    expect_equal(received, sent, 1200);
    EXPECT_EQ(received.from, at(ip, *a));
    EXPECT_EQ(received.runs, 1U) << "the kernel should have handed the run over whole";
  }
}

TEST_F(UdpTest, SwitchesTurnSegmentationAndCoalescingOff) {
  const auto a = must(LinuxUdp::open({.gso = false}));
  const auto b = must(LinuxUdp::open({.gro = false}));
  EXPECT_FALSE(a->gso());
  EXPECT_FALSE(b->gro());
  const Bytes sent = pattern(50 * 1000 + 1);
  const TxDatagram tx{at("127.0.0.1", *b), sent, 1000};
  EXPECT_EQ(a->send({&tx, 1}), 1U);
  const Received received = receive(*b, sent.size());
  expect_equal(received, sent, 1000);
  EXPECT_EQ(received.runs, 51U);
}

TEST_F(UdpTest, ARunBeyondTheKernelsLimitsIsSplit) {
  const auto a = must(LinuxUdp::open());
  const auto b = must(LinuxUdp::open());
  for (const std::size_t segment : {std::size_t{100}, std::size_t{1441}}) {
    // More than 64 segments; more than 65,507 bytes.
    const Bytes sent = pattern(segment == 100 ? 150 * 100 + 3 : 47 * 1441 + 5);
    const TxDatagram tx{at("127.0.0.1", *b), sent, static_cast<std::uint16_t>(segment)};
    EXPECT_EQ(a->send({&tx, 1}), 1U);
    expect_equal(receive(*b, sent.size()), sent, segment);
  }
}

TEST_F(UdpTest, TheLargestDatagramPasses) {
  const auto a = must(LinuxUdp::open());
  const auto b = must(LinuxUdp::open());
  const Bytes sent = pattern(ports::kMaxUdpPayload);
  const TxDatagram tx{at("127.0.0.1", *b), sent, 0};
  EXPECT_EQ(a->send({&tx, 1}), 1U);
  expect_equal(receive(*b, sent.size()), sent, sent.size());
}

TEST_F(UdpTest, SegmentsLargerThanTheMtuArriveInFragments) {
  ASSERT_TRUE(shell("ip link set lo mtu 1300"));
  const auto a = must(LinuxUdp::open());
  const auto b = must(LinuxUdp::open());
  for (const char* ip : {"127.0.0.1", "::1"}) {
    for (int repetition = 0; repetition < 2; ++repetition) {  // the second knows that segmenting fails
      const Bytes sent = pattern(40 * 1450 + 9);
      const TxDatagram tx{at(ip, *b), sent, 1450};
      EXPECT_EQ(a->send({&tx, 1}), 1U);
      expect_equal(receive(*b, sent.size()), sent, 1450);
    }
    // Segments that fit are still sent as a run.
    const Bytes small = pattern(40 * 1000);
    const TxDatagram tx{at(ip, *b), small, 1000};
    EXPECT_EQ(a->send({&tx, 1}), 1U);
    const Received received = receive(*b, small.size());
    expect_equal(received, small, 1000);
    EXPECT_EQ(received.runs, 1U);
  }
  // The failure is remembered, so the larger ones still arrive singly although they would pass by now.
  ASSERT_TRUE(shell("ip link set lo mtu 65536"));
  const Bytes large = pattern(20 * 1450);
  const TxDatagram tx{at("127.0.0.1", *b), large, 1450};
  EXPECT_EQ(a->send({&tx, 1}), 1U);
  const Received received = receive(*b, large.size());
  expect_equal(received, large, 1450);
  EXPECT_EQ(received.runs, 20U);
}

TEST_F(UdpTest, Ipv4PassesWhereIpv6IsSwitchedOff) {
  ASSERT_TRUE(sysctl("net/ipv6/conf/all/disable_ipv6", "1"));
  const auto a = must(LinuxUdp::open());
  const auto b = must(LinuxUdp::open());
  const Bytes sent = pattern(10 * 1200);
  const TxDatagram tx{at("127.0.0.1", *b), sent, 1200};
  EXPECT_EQ(a->send({&tx, 1}), 1U);
  expect_equal(receive(*b, sent.size()), sent, 1200);
  const TxDatagram six{at("::1", *b), sent, 1200};
  EXPECT_EQ(a->send({&six, 1}), 1U) << "as where no way leads there";
}

TEST_F(UdpTest, ALostDatagramDoesNotDelayTheOthers) {
  const auto a = must(LinuxUdp::open());
  const auto b = must(LinuxUdp::open());
  const Bytes run = pattern(20 * 500), lone = pattern(99);
  std::vector<TxDatagram> batch;
  for (int i = 0; i < 40; ++i) {
    batch.push_back({at("127.0.0.1", *b), lone, 0});
    batch.push_back({at("192.0.2.1", *b), run, 500});   // no route
    batch.push_back({at("2001:db8::1", *b), lone, 0});  // no route
    batch.push_back({at("127.0.0.1", *b), run, 500});
  }
  EXPECT_EQ(a->send(batch), 160U) << "what has no way is lost as on any network; no queue was full";
  EXPECT_EQ(receive(*b, 40 * (99 + 20 * 500)).datagrams.size(), 40U * 21U);
}

TEST_F(UdpTest, WhatARouteRefusesHasNoWay) {
  const auto a = must(LinuxUdp::open());
  const Bytes run = pattern(20 * 500);
  for (const std::string kind : {"blackhole", "unreachable", "prohibit"}) {
    ASSERT_TRUE(shell("ip route replace " + kind + " 192.0.2.0/24 && ip -6 route replace " + kind + " 2001:db8::/64"));
    for (const char* ip : {"192.0.2.1", "2001:db8::1"}) {
      for (const std::uint16_t segment : {0, 500}) {
        const TxDatagram datagram{at(ip, *a), ByteView(run).first(segment == 0 ? 500 : run.size()), segment};
        EXPECT_EQ(a->send({&datagram, 1}), 1U) << kind << " " << ip << " " << segment;
      }
    }
  }
}

TEST_F(UdpTest, AnAbsentPeerIsNotAnError) {
  const auto a = must(LinuxUdp::open());
  const auto b = must(LinuxUdp::open());
  Endpoint gone;
  {
    const auto c = must(LinuxUdp::open());
    gone = at("127.0.0.1", *c);
  }
  const Bytes sent = pattern(300);
  for (int i = 0; i < 5; ++i) {
    const TxDatagram batch[] = {{gone, sent, 0}, {at("127.0.0.1", *b), sent, 100}};
    EXPECT_EQ(a->send(batch), 2U);
  }
  EXPECT_EQ(receive(*b, 1500).datagrams.size(), 15U);
  std::array<RxDatagram, 4> none;
  EXPECT_EQ(a->receive(none), 0U);
}

TEST_F(UdpTest, EmptyDatagramsAreSkipped) {
  const auto a = must(LinuxUdp::open());
  const auto b = must(LinuxUdp::open());
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(b->local_port());
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  UniqueFd other(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::sendto(other.get(), nullptr, 0, 0, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  const Bytes sent = pattern(10);
  const TxDatagram batch[] = {{at("127.0.0.1", *b), {}, 0}, {at("127.0.0.1", *b), sent, 0}};
  EXPECT_EQ(a->send(batch), 2U);
  EXPECT_EQ(receive(*b, 10).datagrams, std::vector<Bytes>{sent});
}

TEST_F(UdpTest, AFullSocketLosesTheRestOfTheBatch) {
  // Datagrams to a neighbour that does not answer wait for its address, for seconds, and in any number.
  ASSERT_TRUE(shell("ip link add eth0 type veth peer name wire && ip link set wire up && ip link set eth0 up"));
  ASSERT_TRUE(shell("ip addr add 192.0.2.1/24 dev eth0"));
  ASSERT_TRUE(sysctl("net/ipv4/neigh/eth0/unres_qlen_bytes", "100000000"));
  const auto a = must(LinuxUdp::open());
  const Bytes run = pattern(64 * 1000);
  const std::vector<TxDatagram> batch(40, TxDatagram{{*parse_ip("192.0.2.2"), 9}, run, 1000});
  const std::size_t taken = a->send(batch);
  EXPECT_GT(taken, 0U);
  EXPECT_LT(taken, 20U) << "what waits in the kernel is delay";
  EXPECT_EQ(a->send(batch), 0U);
}

TEST_F(UdpTest, SeveralThreadsSendAtATime) {
  ASSERT_TRUE(shell("ip link set lo mtu 1300"));  // so that they also share what is known of destinations
  // A datagram of a thread that stands still between two fragments is not given up for those of the others.
  ASSERT_TRUE(sysctl("net/ipv4/ipfrag_max_dist", "0"));
  const auto a = must(LinuxUdp::open());
  const auto b = must(LinuxUdp::open());
  const Bytes run = pattern(4 * 1400);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      const TxDatagram tx{at("127.0.0.1", *b), run, 1400};
      for (int i = 0; i < 30; ++i) EXPECT_EQ(a->send({&tx, 1}), 1U);
    });
  }
  const Received received = receive(*b, 90 * run.size());
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(received.datagrams.size(), 90U * 4U);
}

TEST_F(UdpTest, APortInUseIsReportedWithTheRemedy) {
  const auto a = must(LinuxUdp::open());
  const auto b = LinuxUdp::open({.port = a->local_port()});
  ASSERT_FALSE(b);
  EXPECT_EQ(b.error().code, Errc::in_use);
  EXPECT_THAT(b.error().what, ::testing::HasSubstr("choose another port"));
}

TEST(GsoMemoryTest, HoldsAFailureForAWhileAndForThatSizeOnly) {
  GsoMemory memory;
  const IpAddress a = *parse_ip("192.0.2.1"), b = *parse_ip("2001:db8::1");
  const Instant start{std::chrono::hours(1)};
  EXPECT_TRUE(memory.empty());
  memory.failed(a, 1400, start);
  EXPECT_FALSE(memory.empty());
  EXPECT_FALSE(memory.allows(a, 1400, start));
  EXPECT_FALSE(memory.allows(a, 1500, start));
  EXPECT_TRUE(memory.allows(a, 1399, start));
  EXPECT_TRUE(memory.allows(b, 1400, start));
  memory.failed(a, 1200, start);
  memory.failed(a, 1450, start);
  EXPECT_FALSE(memory.allows(a, 1200, start));
  EXPECT_TRUE(memory.allows(a, 1200, start + GsoMemory::kHold));
  EXPECT_TRUE(memory.empty());
}

TEST(GsoMemoryTest, AFullTableForgetsTheOldest) {
  GsoMemory memory;
  const Instant start{std::chrono::hours(1)};
  for (std::uint32_t i = 0; i <= GsoMemory::kMaxEntries; ++i) {
    memory.failed(IpAddress::from_v4({i}), 1400, start + std::chrono::milliseconds(i));
  }
  const Instant later = start + std::chrono::seconds(1);
  EXPECT_TRUE(memory.allows(IpAddress::from_v4({0}), 1400, later));
  for (std::uint32_t i = 1; i <= GsoMemory::kMaxEntries; ++i) {
    EXPECT_FALSE(memory.allows(IpAddress::from_v4({i}), 1400, later));
  }
}

TEST_F(UdpTest, SideSocketsSendAndReceiveBesideTheMainOne) {
  const auto a = must(LinuxUdp::open());
  const auto b = must(LinuxUdp::open());
  const auto first = b->open_side(), second = b->open_side();
  ASSERT_TRUE(first && second && first->socket != second->socket && first->port != second->port);
  const Bytes question = pattern(100), answer = pattern(200, 2);
  const std::array out = {TxDatagram{at("127.0.0.1", *a), question, 0, 0},
                          TxDatagram{at("127.0.0.1", *a), question, 0, first->socket},
                          TxDatagram{at("127.0.0.1", *a), question, 0, second->socket}};
  EXPECT_EQ(b->send(out), 3U);
  std::array<RxDatagram, 16> batch;
  std::vector<Endpoint> seen;
  while (readable(a->fd(), 300)) {
    for (const RxDatagram& d : std::span(batch).first(a->receive(batch))) seen.push_back(d.from);
  }
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[0], at("127.0.0.1", *b));
  EXPECT_EQ(seen[1].port, first->port);
  EXPECT_EQ(seen[2].port, second->port);
  const TxDatagram back{seen[2], answer, 0};
  EXPECT_EQ(a->send({&back, 1}), 1U);
  EXPECT_FALSE(readable(b->fd(), 0)) << "it came to a side socket";
  ASSERT_TRUE(readable(b->side_fd(), 300));
  ASSERT_EQ(b->receive(batch), 1U);
  EXPECT_EQ(batch[0].socket, second->socket);
  EXPECT_EQ(batch[0].from, at("127.0.0.1", *a));
  EXPECT_TRUE(equal(batch[0].bytes, answer));
  b->close_side(second->socket);
  EXPECT_EQ(b->send({&out[2], 1}), 0U) << "through a closed socket it is lost";
  EXPECT_EQ(a->send({&back, 1}), 1U);
  EXPECT_FALSE(readable(b->side_fd(), 50));
}

// A host with several addresses, and a stranger (10.9.0.9, 2001:db8::9) whom it would answer from another address than
// the one asked.
class MultihomedTest : public UdpTest {
 protected:
  void SetUp() override {
    UdpTest::SetUp();
    if (IsSkipped()) return;
    for (const char* n : {"1", "2", "9"}) {
      ASSERT_TRUE(shell(std::string("ip addr add 10.9.0.") + n + "/32 dev lo && ip addr add 2001:db8::" + n +
                        "/128 dev lo nodad"));
    }
    // The kernel makes the routes a moment later.
    ASSERT_TRUE(shell("until [ $(ip -6 route show table local | grep -c 2001:db8:) = 3 ]; do sleep 0.01; done"));
  }

  struct Asker {
    explicit Asker(bool v4) : fd(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
      SocketAddress address;
      socklen_t size = to_sockaddr({*parse_ip(v4 ? "10.9.0.9" : "2001:db8::9"), 0}, true, address);
      EXPECT_EQ(::bind(fd.get(), &address.any, size), 0);
      ::getsockname(fd.get(), &address.any, &size);
      endpoint = to_endpoint(address);
    }
    void ask(const Endpoint& to) const {
      SocketAddress address;
      const socklen_t size = to_sockaddr(to, true, address);
      EXPECT_EQ(::sendto(fd.get(), "?", 1, 0, &address.any, size), 1);
    }
    // The sender of the waiting datagrams; they must all have the same.
    Endpoint answered_from(std::size_t count) const {
      SocketAddress address;
      Endpoint from;
      std::array<char, 2000> buffer;
      for (std::size_t i = 0; i < count && readable(fd.get()); ++i) {
        socklen_t size = sizeof(address);
        if (::recvfrom(fd.get(), buffer.data(), buffer.size(), 0, &address.any, &size) < 0) return {};
        if (i > 0 && from != to_endpoint(address)) return {};
        from = to_endpoint(address);
      }
      return from;
    }
    UniqueFd fd;
    Endpoint endpoint;
  };
  // Asks at `ip`; the answer is not sent yet.
  static void ask(const Asker& asker, LinuxUdp& answerer, const char* ip) {
    asker.ask(at(ip, answerer));
    std::array<RxDatagram, 4> batch;
    ASSERT_TRUE(readable(answerer.fd()));
    ASSERT_EQ(answerer.receive(batch), 1U);
    ASSERT_EQ(batch[0].from, asker.endpoint);
  }
};

TEST_F(MultihomedTest, AnAnswerLeavesFromTheAskedAddress) {
  for (const char* ip : {"10.9.0.1", "10.9.0.2", "2001:db8::1", "2001:db8::2", "127.0.0.7"}) {
    for (const std::uint16_t segment : {0, 500}) {
      const auto answerer = must(LinuxUdp::open());
      const Asker asker(parse_ip(ip)->is_v4());
      ask(asker, *answerer, ip);
      const Bytes bytes = pattern(segment == 0 ? 500 : 10000);
      const TxDatagram answer{asker.endpoint, bytes, segment};
      EXPECT_EQ(answerer->send({&answer, 1}), 1U);
      EXPECT_EQ(asker.answered_from(bytes.size() / 500), at(ip, *answerer)) << segment;
    }
  }
}

TEST_F(MultihomedTest, AlsoWhereTheKernelWillNotSegment) {
  ASSERT_TRUE(shell("ip link set lo mtu 1300"));
  const auto answerer = must(LinuxUdp::open());
  const Asker asker(true);
  ask(asker, *answerer, "10.9.0.2");
  const Bytes run = pattern(10 * 1400);
  const TxDatagram answer{asker.endpoint, run, 1400};
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(answerer->send({&answer, 1}), 1U);
    EXPECT_EQ(asker.answered_from(10), at("10.9.0.2", *answerer)) << i;
  }
}

TEST_F(MultihomedTest, AlsoOnAKernelWithoutIpv6) {
  // The family cannot be taken from a running kernel; the socket of such a kernel is what open() makes then.
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  alignas(cmsghdr) char control[kPacketInfoSpace];
  put_packet_info(reinterpret_cast<cmsghdr*>(control), {*parse_ip("10.9.0.2"), 0}, false);
  const auto asker = must(LinuxUdp::open());
  SocketAddress to;
  char byte = 'x';
  iovec iov{&byte, 1};
  msghdr message{};
  message.msg_namelen = to_sockaddr(at("127.0.0.1", *asker), false, to);
  message.msg_name = &to;
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(sizeof(in_pktinfo));
  ASSERT_EQ(::sendmsg(fd.get(), &message, 0), 1);
  EXPECT_EQ(receive(*asker, 1).from.ip, *parse_ip("10.9.0.2"));
}

TEST_F(MultihomedTest, AVanishedAddressIsNotAProblem) {
  const Bytes run = pattern(10 * 500);
  for (const std::uint16_t segment : {0, 500}) {
    const auto answerer = must(LinuxUdp::open());
    const Asker asker(true);
    ask(asker, *answerer, "10.9.0.2");
    ASSERT_TRUE(shell("ip addr del 10.9.0.2/32 dev lo"));
    const TxDatagram answer{asker.endpoint, ByteView(run).first(segment == 0 ? 500 : run.size()), segment};
    EXPECT_EQ(answerer->send({&answer, 1}), 1U);
    EXPECT_EQ(asker.answered_from(segment == 0 ? 1 : 10), at("10.9.0.9", *answerer));
    ASSERT_TRUE(shell("ip addr add 10.9.0.2/32 dev lo"));
  }
}

TEST_F(MultihomedTest, SideSocketsAnswerFromTheSameAddress) {
  const auto answerer = must(LinuxUdp::open());
  const Asker asker(true);
  ask(asker, *answerer, "10.9.0.2");
  const auto side = answerer->open_side();
  ASSERT_TRUE(side);
  const Bytes bytes = pattern(20);
  const TxDatagram answer{asker.endpoint, bytes, 0, side->socket};
  EXPECT_EQ(answerer->send({&answer, 1}), 1U);
  EXPECT_EQ(asker.answered_from(1), (Endpoint{*parse_ip("10.9.0.2"), side->port}));
}

TEST_F(UdpTest, ATrafficClassIsSentAndReceived) {
  const auto a = must(LinuxUdp::open()), b = must(LinuxUdp::open());
  const Bytes bytes = pattern(3000);
  for (const char* ip : {"127.0.0.1", "::1"}) {
    for (const std::uint16_t segment : {0, 1000}) {
      for (const int traffic_class : {0xb8, 0x02, 0x03, 0}) {
        TxDatagram tx{at(ip, *b), ByteView(bytes).first(segment == 0 ? 100 : 3000), segment};
        tx.traffic_class = static_cast<std::uint8_t>(traffic_class);
        EXPECT_EQ(a->send({&tx, 1}), 1U);
        EXPECT_EQ(receive(*b, tx.bytes.size()).traffic_class, traffic_class) << ip << " " << segment;
      }
    }
  }
}

TEST_F(UdpTest, DatagramThroughAnEpsInterfaceIsRefused) {
  const auto a = must(LinuxUdp::open()), b = must(LinuxUdp::open());
  const Bytes bytes = pattern(30);
  const TxDatagram tx{at("127.0.0.1", *b), bytes, 0};
  b->set_interfaces({.inside = {1}, .uplinks = {}});  // lo has the index 1 in every namespace
  std::array<RxDatagram, 4> batch;
  for (int i = 0; i < 3; ++i) a->send({&tx, 1});
  ASSERT_TRUE(readable(b->fd()));
  EXPECT_EQ(b->receive(batch), 0U);
  EXPECT_EQ(b->take_looped(), 3U);
  EXPECT_EQ(b->take_looped(), 0U);
  b->set_interfaces({});
  a->send({&tx, 1});
  ASSERT_TRUE(readable(b->fd()));
  EXPECT_EQ(b->receive(batch), 1U);
}

}  // namespace
}  // namespace eps::os
