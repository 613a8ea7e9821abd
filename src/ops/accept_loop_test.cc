// SPDX-License-Identifier: MIT
#include "ops/accept_loop.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <boost/asio/ip/tcp.hpp>
#include <ctime>

namespace eps::ops {
namespace {

using boost::asio::ip::tcp;

class AcceptLoopTest : public testing::Test {
 protected:
  AcceptLoopTest() {
    loop_->acceptor().open(tcp::v4());
    loop_->acceptor().bind({boost::asio::ip::address_v4::loopback(), 0});
    loop_->acceptor().listen();
    loop_->start([this](tcp::socket socket) { accepted_.push_back(std::move(socket)); });
  }
  ~AcceptLoopTest() override { loop_->stop(); }
  void run(std::chrono::milliseconds time) { io_.run_for(time); }

  boost::asio::io_context io_;
  std::shared_ptr<AcceptLoop<tcp>> loop_ = std::make_shared<AcceptLoop<tcp>>(io_);
  std::vector<tcp::socket> accepted_;
};

TEST_F(AcceptLoopTest, ContinuesWhenDescriptorsAreAvailableAgain) {
  // UBSan needs descriptors to examine a type that it sees for the first time.
  run(std::chrono::milliseconds(1));
  tcp::socket first(io_), second(io_);
  first.connect(loop_->acceptor().local_endpoint());
  second.connect(loop_->acceptor().local_endpoint());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{static_cast<rlim_t>(second.native_handle()) + 1, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const std::clock_t began = std::clock();
  run(std::chrono::milliseconds(300));
  const std::clock_t used = std::clock() - began;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(accepted_.empty());
  EXPECT_LT(used, CLOCKS_PER_SEC / 10) << "it does not spin";
  run(std::chrono::milliseconds(500));
  EXPECT_EQ(accepted_.size(), 2U);
}

TEST_F(AcceptLoopTest, AcceptsNothingAfterItsEnd) {
  tcp::socket client(io_);
  client.connect(loop_->acceptor().local_endpoint());
  loop_->stop();
  run(std::chrono::milliseconds(100));
  EXPECT_TRUE(accepted_.empty());
}

struct Thing {
  bool closed = false;
  void close() { closed = true; }
};

TEST(Connections, AreBoundedAndClosedAtTheEnd) {
  auto first = std::make_shared<Thing>(), second = std::make_shared<Thing>();
  {
    Connections<Thing> things(2);
    things.add(first);
    EXPECT_FALSE(things.full());
    things.add(second);
    EXPECT_TRUE(things.full());
    first.reset();
    EXPECT_FALSE(things.full()) << "ended connections do not count";
  }
  EXPECT_TRUE(second->closed);
}

}  // namespace
}  // namespace eps::ops
