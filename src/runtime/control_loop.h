#pragma once

// What both daemons' control threads share: the event loop, its one timer for the node's deadlines, the signals that
// end it, and waking it from a worker.

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <functional>

#include "base/result.h"
#include "base/time.h"
#include "ops/log.h"
#include "os/clock.h"

namespace eps::runtime {

class ControlLoop {
 public:
  ControlLoop() : io_(1), timer_(io_), signals_(io_, SIGTERM, SIGINT) {
    // A peer that hangs up must not end the daemon.
    std::signal(SIGPIPE, SIG_IGN);
    signals_.async_wait([this](boost::system::error_code e, int) {
      if (!e) stop(0);
    });
  }

  boost::asio::io_context& io() { return io_; }
  // Runs until stop(); returns its exit code.
  int run() {
    io_.run();
    return exit_code_;
  }
  void stop(int exit_code) {
    exit_code_ = exit_code;
    io_.stop();
  }
  // Calls `on_deadline` once at `at` (kNever: not at all), replacing what was asked before.
  void wake_at(Instant at, const std::function<void()>& on_deadline) {
    if (at == armed_) return;
    armed_ = at;
    if (at == kNever) {
      timer_.cancel();
      return;
    }
    // CLOCK_BOOTTIME and the timer's clock part while the machine sleeps; a deadline that passed meanwhile is met when
    // the timer fires, at most as late as the sleep was early in the wait.
    timer_.expires_after(std::max(at - os::now(), Duration::zero()));
    timer_.async_wait([this, on_deadline](boost::system::error_code e) {
      if (e) return;
      armed_ = kNever;
      on_deadline();
    });
  }

 private:
  boost::asio::io_context io_;
  boost::asio::steady_timer timer_;
  boost::asio::signal_set signals_;
  Instant armed_ = kNever;
  int exit_code_ = 0;
};

// The exit code of a daemon that ended, after a last sentence in the log.
inline int tell_end(ops::Log& log, const std::string& program, const Result<int>& code) {
  if (code) {
    log.info(program + " ends.");
    return *code;
  }
  log.error(code.error().what);
  return 1;
}

// Calls back whenever the descriptor is readable, until the owner goes. The descriptor stays the caller's.
class ReadableWatch {
 public:
  ReadableWatch(boost::asio::io_context& io, int fd, std::function<void()> on_readable)
      : descriptor_(io, fd), on_readable_(std::move(on_readable)) {
    wait();
  }
  ~ReadableWatch() { descriptor_.release(); }

 private:
  void wait() {
    descriptor_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code e) {
      if (e) return;
      on_readable_();
      wait();
    });
  }
  boost::asio::posix::stream_descriptor descriptor_;
  std::function<void()> on_readable_;
};

}  // namespace eps::runtime
