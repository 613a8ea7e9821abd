// SPDX-License-Identifier: MIT
#include "runtime/worker_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>

#include "dataplane/inbound.h"
#include "dataplane/outbound.h"

namespace eps::runtime {
namespace {

using dataplane::PeerTable;
using dataplane::PublishedPeers;
using session::Session;

class SilentTap final : public ports::TapPort {
 public:
  std::size_t read(std::span<ports::TapFrame>) override { return 0; }
  bool drained() const override { return true; }
  std::size_t write(std::span<const ports::TapWrite> frames) override { return frames.size(); }
};

class SilentUdp final : public ports::UdpPort {
 public:
  std::size_t receive(std::span<ports::RxDatagram>) override { return 0; }
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override { return datagrams.size(); }
  std::optional<Side> open_side() override { return std::nullopt; }
  void close_side(ports::SocketId) override {}
};

// Whether it becomes true soon.
bool soon(const std::function<bool()>& condition) {
  for (int ms = 0; ms < 5000 && !condition(); ++ms) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return condition();
}

template <class Kind>
std::ptrdiff_t count_of(const std::vector<dataplane::Upcall>& all) {
  return std::ranges::count_if(all, [](const auto& u) { return std::holds_alternative<Kind>(u); });
}

TEST(WorkerPool, IdleWorkersReleaseOldTables) {
  PublishedPeers published;
  auto table = std::make_shared<PeerTable>();
  auto session = std::make_shared<Session>(session::SessionParams{});
  table->by_index[1] = {session, 0};
  const std::weak_ptr<Session> over = session;
  session.reset();
  published.publish(std::move(table));

  // What the workers use outlives the pool.
  Counters counters;
  SilentTap tap;
  SilentUdp udp;
  constexpr int kWorkers = 3;
  std::atomic<int> holding = 0;
  boost::asio::io_context io;
  WorkerPool pool(io, [](auto) {});
  published.on_publish([&] { pool.wake_all(); });
  for (int i = 0; i < kWorkers; ++i) {
    auto inbound = std::make_shared<dataplane::Inbound>(tap, udp, counters, l2::Offloads{});
    auto outbound = std::make_shared<dataplane::Outbound>(tap, udp, counters);
    auto view = std::make_shared<PublishedPeers::View>();
    ASSERT_TRUE(pool.add({}, counters, [&, inbound, outbound, view](Instant now, dataplane::Upcalls& upcalls) {
      const bool first = view->value == nullptr;
      const std::size_t moved = inbound->pump(published, *view, now, upcalls);
      holding += first ? 1 : 0;
      return moved + outbound->pump(published, *view, now, upcalls);
    }));
  }
  ASSERT_TRUE(soon([&] { return holding == kWorkers; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // they sleep
  published.publish(std::make_shared<PeerTable>());
  EXPECT_TRUE(soon([&] { return over.expired(); }));
}

TEST(WorkerPool, WakesNobodyWhenNothingWasPublished) {
  Counters counters;
  std::atomic<int> pumped = 0;
  PublishedPeers published;
  PublishedPeers::View view;
  SilentUdp udp;
  boost::asio::io_context io;
  WorkerPool pool(io, [](auto) {});
  published.on_publish([&] { pool.wake_all(); });
  ASSERT_TRUE(pool.add({}, counters, [&](Instant, dataplane::Upcalls&) { return ++pumped, 0; }));
  int before = 0;
  ASSERT_TRUE(soon([&] {
    before = pumped;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return pumped == before;
  }));
  for (int i = 0; i < 100; ++i) published.after(dataplane::Batch::receive(udp, {}), view);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(pumped, before);
  published.publish(std::make_shared<PeerTable>());
  EXPECT_TRUE(soon([&] { return pumped > before; }));
}

// The control thread takes nothing in the meantime.
TEST(Worker, WaitingFramesDoNotCrowdOutOtherUpcalls) {
  constexpr int kRounds = 6, kFrames = 256;
  Counters counters;
  std::atomic<int> round = 0;
  const auto pump = [&](Instant, dataplane::Upcalls& upcalls) -> std::size_t {
    if (++round > kRounds) return 0;  // what was added before is delivered
    for (int i = 0; i < kFrames; ++i) EXPECT_TRUE(upcalls.add(dataplane::NeedSession{{1}, Bytes(60), {}}));
    if (round < kRounds) return 1;
    upcalls.add(dataplane::SessionConfirmed{{1}, 2});
    upcalls.add(dataplane::PeerWoke{{1}});
    upcalls.add(dataplane::HandshakeDatagram{{}, Bytes(100)});
    upcalls.add(dataplane::PathControl{{1}, 2, {}, Bytes(20)});
    return 1;
  };
  auto worker = Worker::start({}, counters, pump, [] {});
  ASSERT_TRUE(worker);
  ASSERT_TRUE(soon([&] { return round > kRounds; }));
  const auto all = (*worker)->take_upcalls();
  EXPECT_EQ(count_of<dataplane::SessionConfirmed>(all), 1);
  EXPECT_EQ(count_of<dataplane::PeerWoke>(all), 1);
  EXPECT_EQ(count_of<dataplane::HandshakeDatagram>(all), 1);
  EXPECT_EQ(count_of<dataplane::PathControl>(all), 1);
  EXPECT_EQ(count_of<dataplane::NeedSession>(all), kFrames);
  EXPECT_EQ(nonzero_drops(counters).at("congested"), (kRounds - 1U) * kFrames);
}

}  // namespace
}  // namespace eps::runtime
