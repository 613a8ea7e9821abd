#include "runtime/worker_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>

namespace eps::runtime {
namespace {

// Whether it becomes true soon.
bool soon(const std::function<bool()>& condition) {
  for (int ms = 0; ms < 5000 && !condition(); ++ms) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return condition();
}

template <class Kind>
std::ptrdiff_t count_of(const std::vector<dataplane::Upcall>& all) {
  return std::ranges::count_if(all, [](const auto& u) { return std::holds_alternative<Kind>(u); });
}

// The control thread takes nothing meanwhile.
TEST(Worker, WaitingFramesTakeNoRoomOfOthers) {
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
