// SPDX-License-Identifier: MIT

// What a router says by NAT-PMP (RFC 6886), and what is asked of it.

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "os/gateway_device.h"
#include "os/netns_fixture.h"
#include "os/unique_fd.h"

namespace eps::os {
namespace {

using namespace std::chrono_literals;

// Answers every request, each with the next of the clocks given, the last one for good.
class Router {
 public:
  Router() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(5351);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    thread_ = std::thread([this] { run(); });
  }
  ~Router() {
    stop_ = true;
    thread_.join();
  }
  void set_clocks(std::vector<std::uint32_t> clocks) {
    const std::lock_guard lock(mutex_);
    clocks_ = std::move(clocks);
    requests_.clear();
  }
  // Once, a request of this opcode.
  void lose(int op) {
    const std::lock_guard lock(mutex_);
    lose_ = op;
  }
  // The opcode (0: the address, 1: UDP, 2: TCP) and the lifetime of each.
  std::vector<std::pair<int, std::uint32_t>> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void run() {
    while (!stop_) {
      pollfd readable{fd_.get(), POLLIN, 0};
      if (::poll(&readable, 1, 20) != 1) continue;
      std::array<std::byte, 16> in{};
      sockaddr_in from{};
      socklen_t size = sizeof from;
      if (::recvfrom(fd_.get(), in.data(), in.size(), 0, reinterpret_cast<sockaddr*>(&from), &size) < 2) continue;
      const std::lock_guard lock(mutex_);
      const int op = std::to_integer<int>(in[1]);
      requests_.emplace_back(op, op == 0 ? 0 : load_be32(&in[8]));
      if (op == lose_ && std::exchange(lose_, -1) == op) continue;
      std::array<std::byte, 16> out{};
      out[1] = static_cast<std::byte>(128 + op);
      store_be32(&out[4], clocks_.front());
      if (clocks_.size() > 1) clocks_.erase(clocks_.begin());
      if (op == 0) {
        store_be32(&out[8], 0x0b4d0001);
      } else {
        std::copy_n(&in[4], 4, &out[8]);
        std::copy_n(&in[8], 4, &out[12]);
      }
      ::sendto(fd_.get(), out.data(), op == 0 ? 12 : 16, 0, reinterpret_cast<sockaddr*>(&from), size);
    }
  }

  UniqueFd fd_;
  std::thread thread_;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  int lose_ = -1;
  std::vector<std::uint32_t> clocks_{1000};
  std::vector<std::pair<int, std::uint32_t>> requests_;
};

using NatPmpTest = NetnsTest;
using Requests = std::vector<std::pair<int, std::uint32_t>>;

std::unique_ptr<GatewayDevice> find() {
  auto device = find_nat_pmp({1, {INADDR_LOOPBACK}, {INADDR_LOOPBACK}}, 2s);
  EXPECT_TRUE(device);
  return device;
}

TEST_F(NatPmpTest, ARestartIsSeenByTheRoutersClock) {
  Router router;
  auto device = find();
  const PortMapping mapping = must(device->map(Transport::udp, 43439, 43439, 1h));
  router.set_clocks({1000, 1001});
  EXPECT_TRUE(device->holds(mapping));
  EXPECT_EQ(router.requests(), (Requests{{0, 0}, {1, 3600}}));
  // Before it is asked for the mapping, which it has lost.
  router.set_clocks({3});
  EXPECT_FALSE(device->holds(mapping));
  EXPECT_EQ(router.requests(), (Requests{{0, 0}}));
  // Between both answers: what has just been mapped is taken away.
  device = find();
  (void)must(device->map(Transport::udp, 43439, 43439, 1h));
  router.set_clocks({10, 0});
  EXPECT_FALSE(device->holds(mapping));
  EXPECT_EQ(router.requests(), (Requests{{0, 0}, {1, 3600}, {1, 0}}));
}

TEST_F(NatPmpTest, ARouterThatAnswersLateMayHaveRestarted) {
  Router router;
  const auto device = find();
  const PortMapping mapping = must(device->map(Transport::udp, 43439, 43439, 1h));
  router.set_clocks({1000});
  router.lose(1);
  EXPECT_FALSE(device->holds(mapping));
  EXPECT_EQ(router.requests(), (Requests{{0, 0}, {1, 3600}, {1, 3600}, {1, 0}}));
}

TEST_F(NatPmpTest, ItIsNotAskedForMoreThen) {
  Router router;
  router.lose(0);  // the search itself may be slow
  const auto device = find();
  const PortMapping mapping = must(device->map(Transport::udp, 43439, 43439, 1h));
  router.set_clocks({1000});
  EXPECT_TRUE(device->holds(mapping));
  router.set_clocks({1000});
  router.lose(0);
  EXPECT_FALSE(device->holds(mapping));
  EXPECT_EQ(router.requests(), (Requests{{0, 0}, {0, 0}}));
}

// Until that is known, whoever asks again would make one mapping of several anew, in another order than before.
TEST_F(NatPmpTest, ALateAnswerCountsAtTheNextLook) {
  Router router;
  const auto device = find();
  router.lose(1);
  const PortMapping mapping = must(device->map(Transport::udp, 43439, 43439, 1h));
  router.set_clocks({1000});
  EXPECT_FALSE(device->holds(mapping));
  EXPECT_EQ(router.requests(), Requests{});
}

TEST_F(NatPmpTest, TheFirstRequestRemovesWhatAnEarlierLifeLeft) {
  Router router;
  const auto device = find();
  router.set_clocks({1000});
  (void)must(device->map(Transport::tcp, 43439, 43439, 1h));
  (void)must(device->map(Transport::udp, 43439, 43439, 1h));
  (void)must(device->map(Transport::tcp, 43439, 43439, 1h));
  EXPECT_EQ(router.requests(), (Requests{{2, 0}, {2, 3600}, {1, 0}, {1, 3600}, {2, 3600}}));
}

}  // namespace
}  // namespace eps::os
