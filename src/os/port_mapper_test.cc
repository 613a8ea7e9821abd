// SPDX-License-Identifier: MIT
#include "os/port_mapper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "os/clock.h"

namespace eps::os {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// A router that all its devices share.
struct Router {
  std::mutex mutex;
  std::set<std::pair<Transport, std::uint16_t>> mapped;  // by external port
  std::set<std::uint16_t> taken;                         // external ports of others
  int found = 0, maps = 0, looks = 0;
  bool there = true;
  std::chrono::milliseconds delay{0};  // of unmap()

  auto locked() { return std::unique_lock(mutex); }
};

class Device final : public GatewayDevice {
 public:
  explicit Device(Router& router) : router_(router) {}
  Result<PortMapping> map(Transport transport, std::uint16_t port, std::uint16_t external,
                          std::chrono::seconds) override {
    const auto lock = router_.locked();
    ++router_.maps;
    if (router_.taken.contains(external)) return make_error(Errc::in_use, "taken");
    router_.mapped.emplace(transport, external);
    return PortMapping{transport, port, {*parse_ip("203.0.113.1"), external}, "test"};
  }
  bool holds(const PortMapping& m) override {
    const auto lock = router_.locked();
    ++router_.looks;
    return router_.there && router_.mapped.contains({m.transport, m.external.port});
  }
  void unmap(const PortMapping& m) override {
    std::this_thread::sleep_for(router_.delay);
    const auto lock = router_.locked();
    router_.mapped.erase({m.transport, m.external.port});
  }

 private:
  Router& router_;
};

class PortMapperTest : public testing::Test {
 protected:
  PortMapperOptions options() {
    PortMapperOptions out;
    out.ports = {{Transport::tcp, 43439}, {Transport::udp, 43439}};
    out.check = 10ms;
    out.first_retry = 10ms;
    out.last_retry = 20ms;
    out.gateway = [this] {
      const auto lock = router.locked();
      return gateway;
    };
    out.find = [this](const Gateway&, std::chrono::milliseconds) {
      const auto lock = router.locked();
      ++router.found;
      return router.there ? std::make_unique<Device>(router) : nullptr;
    };
    return out;
  }
  PortMapper::OnReport record() {
    return [this](PortMapper::Report report) {
      const auto lock = router.locked();
      last = report;
      if (!report.note.empty()) notes.push_back(report.note);
    };
  }
  template <class Condition>
  bool within_seconds(Condition condition) {
    for (int i = 0; i < 1000; ++i) {
      {
        const auto lock = router.locked();
        if (condition()) return true;
      }
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }

  Router router;
  std::optional<Gateway> gateway = Gateway{2, *parse_ip4("192.168.1.1"), *parse_ip4("192.168.1.2")};
  PortMapper::Report last;
  std::vector<std::string> notes;
};

TEST_F(PortMapperTest, MapsAllPortsAndRemovesThemAtTheEnd) {
  {
    const PortMapper mapper(options(), record());
    EXPECT_TRUE(within_seconds([&] { return last.mappings.size() == 2; }));
    const auto lock = router.locked();
    EXPECT_EQ(router.mapped.size(), 2U);
    EXPECT_EQ(
        last.note,
        "The router at 192.168.1.1 forwards 203.0.113.1:43439 (TCP) and 203.0.113.1:43439 (UDP) to this computer, "
        "by test.");
  }
  EXPECT_TRUE(router.mapped.empty());
}

TEST_F(PortMapperTest, SendsNothingWithoutARouter) {
  gateway.reset();
  PortMapper mapper(options(), record());
  std::this_thread::sleep_for(50ms);
  {
    const auto lock = router.locked();
    EXPECT_EQ(router.found, 0);
    gateway = Gateway{2, *parse_ip4("192.168.1.1"), *parse_ip4("192.168.1.2")};
  }
  mapper.network_changed();
  EXPECT_TRUE(within_seconds([&] { return last.mappings.size() == 2; }));
}

TEST_F(PortMapperTest, AsksAgainAfterTheRouterRestarted) {
  const PortMapper mapper(options(), record());
  ASSERT_TRUE(within_seconds([&] { return last.mappings.size() == 2; }));
  {
    const auto lock = router.locked();
    router.mapped.clear();
    router.there = false;
  }
  EXPECT_TRUE(within_seconds([&] { return last.mappings.empty(); }));
  {
    const auto lock = router.locked();
    EXPECT_THAT(notes.back(), HasSubstr("No router"));
    router.there = true;
  }
  EXPECT_TRUE(within_seconds([&] { return last.mappings.size() == 2 && router.mapped.size() == 2; }));
}

TEST_F(PortMapperTest, AChangeRightAfterACheckIsNotForgotten) {
  auto seldom = options();
  seldom.check = 1h;
  PortMapper mapper(seldom, record());
  ASSERT_TRUE(within_seconds([&] { return last.mappings.size() == 2; }));
  mapper.network_changed();
  ASSERT_TRUE(within_seconds([&] { return router.looks > 0; }));
  {
    const auto lock = router.locked();
    router.mapped.clear();
  }
  mapper.network_changed();
  EXPECT_TRUE(within_seconds([&] { return router.mapped.size() == 2; }));
}

TEST_F(PortMapperTest, FollowsToAnotherRouter) {
  PortMapper mapper(options(), record());
  ASSERT_TRUE(within_seconds([&] { return last.mappings.size() == 2; }));
  {
    const auto lock = router.locked();
    gateway->router = *parse_ip4("192.168.7.1");
  }
  mapper.network_changed();
  EXPECT_TRUE(within_seconds([&] { return notes.back().find("192.168.7.1") != std::string::npos; }));
}

TEST_F(PortMapperTest, ExtendsTheLease) {
  auto short_lease = options();
  short_lease.lease = 1s;
  const PortMapper mapper(short_lease, record());
  EXPECT_TRUE(within_seconds([&] { return router.maps >= 6; })) << "two more rounds of two";
  const auto lock = router.locked();
  EXPECT_EQ(notes.size(), 1U) << "extensions are not logged";
}

TEST_F(PortMapperTest, TakesAnotherPortOnlyIfAllowed) {
  router.taken = {43439, 43440};
  auto any = options();
  any.ports = {{Transport::udp, 43439}};
  {
    const PortMapper mapper(any, record());
    ASSERT_TRUE(within_seconds([&] { return last.mappings.size() == 1; }));
    EXPECT_EQ(last.mappings[0].external.port, 43441);
    EXPECT_EQ(last.mappings[0].port, 43439);
  }
  auto same = options();
  same.same_port = true;
  const PortMapper mapper(same, record());
  ASSERT_TRUE(
      within_seconds([&] { return notes.back().find("does not forward a port to us: taken.") != std::string::npos; }));
  EXPECT_TRUE(within_seconds([&] { return router.mapped.empty(); }));
}

TEST_F(PortMapperTest, ASilentRouterDoesNotDelayTheEnd) {
  router.delay = 2s;  // for each of two ports
  std::optional<PortMapper> mapper;
  mapper.emplace(options(), record());
  ASSERT_TRUE(within_seconds([&] { return last.mappings.size() == 2; }));
  const Instant begun = now();
  mapper.reset();
  EXPECT_LT(now() - begun, PortMapper::kEndTimeout + 500ms);
  // The thread still uses what this test owns.
  EXPECT_TRUE(within_seconds([&] { return router.mapped.empty(); }));
}

}  // namespace
}  // namespace eps::os
