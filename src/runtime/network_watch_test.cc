// SPDX-License-Identifier: MIT
#include "runtime/network_watch.h"

#include <gtest/gtest.h>

#include <functional>
#include <thread>

namespace eps::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Somebody changes something all the time, until this returns true; what a look takes.
void change(Duration look, const std::function<bool(int looks, Duration passed)>& done) {
  boost::asio::io_context io(1);
  int looks = 0;
  SettleTimer settle(io, [&] {
    ++looks;
    std::this_thread::sleep_for(look);
  });
  const Instant began = os::now();
  for (Instant now = began; !done(looks, now - began); now = os::now()) {
    settle.changed(now, true);
    io.run_for(milliseconds(2));
    io.restart();
  }
}

TEST(SettleTimer, LooksWhileChangesGoOn) {
  int seen = 0;
  change(milliseconds(0), [&](int looks, Duration passed) {
    seen = looks;
    return looks >= 2 || passed > seconds(30);
  });
  EXPECT_EQ(seen, 2);
}

TEST(SettleTimer, AnExpensiveLookIsRare) {
  int seen = 0;
  change(milliseconds(200), [&](int looks, Duration passed) {
    seen = looks;
    return passed > seconds(3);
  });
  EXPECT_LE(seen, 2) << "two seconds from one to the next";
}

// A change of an interface or an address does not wait for the rest after an expensive look, nor does what has a
// deadline of its own.
TEST(SettleTimer, WhatMattersDoesNotWait) {
  boost::asio::io_context io(1);
  int count = 0;
  SettleTimer settle(io, [&] { std::this_thread::sleep_for(milliseconds(++count < 3 ? 1000 : 0)); });
  const auto wait_for = [&](int n) {
    while (count < n) io.run_one();
    return os::now();
  };
  settle.by(os::now());
  Instant since = wait_for(1);
  settle.changed(since, true);
  settle.changed(since, false);
  EXPECT_LT(wait_for(2) - since, seconds(5)) << "the rest is 9 s";
  since = os::now();
  settle.changed(since, true);
  settle.by(since);
  EXPECT_LT(wait_for(3) - since, seconds(5));
}

}  // namespace
}  // namespace eps::runtime
