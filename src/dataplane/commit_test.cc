// SPDX-License-Identifier: MIT
#include "dataplane/commit.h"

#include <gtest/gtest.h>

#include <functional>

namespace eps::dataplane {
namespace {

// Accepts this many datagrams, and records what it did.
class Recorder final : public ports::UdpPort {
 public:
  std::size_t receive(std::span<ports::RxDatagram>) override { return 0; }
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override {
    if (on_send) on_send();
    const std::size_t n = std::min(room, datagrams.size());
    for (const auto& d : datagrams.first(n)) sent.emplace_back(d.bytes.begin(), d.bytes.end());
    return n;
  }
  std::optional<Side> open_side() override { return Side{++sides, 1}; }
  void close_side(ports::SocketId socket) override { closed.push_back(socket); }

  std::function<void()> on_send;
  std::size_t room = 100;
  std::vector<Bytes> sent;
  std::vector<ports::SocketId> closed;
  ports::SocketId sides = 0;
};

Bytes bytes_of(std::size_t size, int value) {
  return Bytes(size, static_cast<std::byte>(value));
}

TEST(Commit, ATableIsPublishedBeforeAnythingLeaves) {
  Recorder udp;
  PublishedPeers published;
  const auto before = published.generation();
  udp.on_send = [&] { EXPECT_GT(published.generation(), before); };
  Outbox out(udp);
  const Bytes datagram = bytes_of(10, 1);
  out.send({Endpoint{}, datagram});
  Commit commit = out.take();
  commit.table = std::make_shared<PeerTable>();
  EXPECT_EQ(execute(std::move(commit), published, udp), 0U);
  EXPECT_EQ(udp.sent.size(), 1U);
}

TEST(Commit, NothingLeavesWhileTheStepRuns) {
  Recorder udp;
  Outbox out(udp);
  {
    const Bytes gone = bytes_of(10, 1);  // what is sent is copied
    out.send({Endpoint{}, gone});
  }
  out.close_side(7);
  EXPECT_TRUE(udp.sent.empty());
  EXPECT_TRUE(udp.closed.empty());
  PublishedPeers published;
  EXPECT_EQ(execute(out.take(), published, udp), 0U);
  EXPECT_EQ(udp.sent, std::vector<Bytes>{bytes_of(10, 1)});
  EXPECT_EQ(udp.closed, std::vector<ports::SocketId>{7});
  EXPECT_TRUE(out.take().datagrams.empty());
}

TEST(Commit, WithoutATableNoWorkerIsWoken) {
  Recorder udp;
  PublishedPeers published;
  bool woken = false;
  published.on_publish([&] { woken = true; });
  Outbox out(udp);
  const Bytes datagram = bytes_of(10, 1);
  out.send({Endpoint{}, datagram});
  execute(out.take(), published, udp);
  EXPECT_FALSE(woken);
}

TEST(Commit, ALaterPartOfAStepFollowsTheEarlierOneAndItsTableCounts) {
  Commit first;
  first.table = std::make_shared<PeerTable>();
  first.datagrams.push_back({.to = {}, .bytes = bytes_of(1, 1)});
  Commit second;
  second.datagrams.push_back({.to = {}, .bytes = bytes_of(1, 2)});
  const auto table = first.table;
  first.merge(std::move(second));
  EXPECT_EQ(first.table, table);
  Commit third;
  third.table = std::make_shared<PeerTable>();
  const auto newest = third.table;
  first.merge(std::move(third));
  EXPECT_EQ(first.table, newest);
  Recorder udp;
  PublishedPeers published;
  execute(std::move(first), published, udp);
  EXPECT_EQ(udp.sent, (std::vector<Bytes>{bytes_of(1, 1), bytes_of(1, 2)}));
}

TEST(Commit, DatagramsRefusedByTheKernelAreCounted) {
  Recorder udp;
  udp.room = 1;
  PublishedPeers published;
  Commit commit;
  commit.datagrams.push_back({.to = {}, .bytes = bytes_of(10, 1)});
  commit.datagrams.push_back({.to = {}, .bytes = bytes_of(25, 2), .segment_size = 10});
  EXPECT_EQ(execute(std::move(commit), published, udp), 3U);
}

}  // namespace
}  // namespace eps::dataplane
