// SPDX-License-Identifier: MIT
#pragma once

// Shared by both daemons' control threads: the event loop, its one timer for the node's deadlines, the signals that end
// it, and waking it from a worker.

#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <csignal>
#include <functional>
#include <utility>

#include "base/result.h"
#include "base/time.h"
#include "ops/log.h"
#include "os/clock.h"
#include "os/heap.h"
#include "os/unique_fd.h"
#include "runtime/settings.h"

namespace eps::runtime {

// Calls back whenever the descriptor is readable, until destroyed. The descriptor stays the caller's.
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

// One deadline on CLOCK_BOOTTIME, the clock of os::now(): deadlines that passed while the machine slept fire when it
// wakes. Asio's own timers stand still during sleep. Throws like Asio's constructors if descriptors run out.
class DeadlineTimer {
 public:
  DeadlineTimer(boost::asio::io_context& io, std::function<void()> on_expired)
      : fd_(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)),
        watch_(io, checked(fd_.get()), [this, on_expired = std::move(on_expired)] {
          std::uint64_t expirations = 0;
          if (read(fd_.get(), &expirations, sizeof expirations) > 0) on_expired();
        }) {}
  // Fires once at this time, at once if it has passed, never for kNever; replaces the previous deadline.
  void arm(Instant at) {
    itimerspec when{};
    if (at != kNever) {
      // All zeros would disarm it.
      const auto ns = std::max<Instant::rep>(at.time_since_epoch().count(), 1);
      when.it_value = {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    }
    timerfd_settime(fd_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
  }

 private:
  static int checked(int fd) {
    if (fd < 0) throw boost::system::system_error(errno, boost::system::system_category(), "timerfd_create");
    return fd;
  }
  os::UniqueFd fd_;
  ReadableWatch watch_;
};

class ControlLoop {
 public:
  ControlLoop() : io_(1), timer_(io_, [this] { expired(); }), signals_(io_, SIGTERM, SIGINT) {
    // A peer that hangs up must not end the daemon.
    std::signal(SIGPIPE, SIG_IGN);
    // No argument, and by default it would end the daemon.
    std::signal(SIGUSR2, SIG_IGN);
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
  // Calls `on_deadline` once at `at` (kNever: never), replacing the previous deadline.
  void wake_at(Instant at, std::function<void()> on_deadline) {
    if (at == armed_) return;
    armed_ = at;
    on_deadline_ = std::move(on_deadline);
    timer_.arm(at);
  }

 private:
  void expired() {
    // Set again since the timer expired.
    if (armed_ == kNever || os::now() < armed_) return;
    armed_ = kNever;
    std::exchange(on_deadline_, nullptr)();
    heap_.look(os::now());
  }

  boost::asio::io_context io_;
  DeadlineTimer timer_;
  boost::asio::signal_set signals_;
  Instant armed_ = kNever;
  std::function<void()> on_deadline_;
  os::HeapTrimmer heap_;
  int exit_code_ = 0;
};

// An offload that was requested by name, but is missing in this kernel.
inline void tell_missing(ops::Log& log, const CommonSettings& settings, const OffloadStatus& offloads) {
  if (!settings.offload || offloads.missing == kNoOffloads) return;
  log.warn("This kernel lacks " + to_string(offloads.missing) + " of the option offload; it goes on without.");
}

// Enough for a client, and for a server of some hundred members: each needs one.
inline constexpr rlim_t kDescriptors = 1024;

// The soft limit becomes the hard one: the usual one, 1,024, allows few members. A hard one below kDescriptors is
// raised where that is permitted (CAP_SYS_RESOURCE): a daemon needs about 30 itself.
inline void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = std::max(limit.rlim_max, kDescriptors);
  const rlimit raised{wanted, wanted};
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Kept free of connections, for the database, logs, reports and eps.
inline constexpr rlim_t kKeptDescriptors = 16;

// Whether only the kept ones are left. `newest`: what was opened just now, which has the lowest number that was free.
inline bool descriptors_are_few(int newest) {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 && static_cast<rlim_t>(newest) + kKeptDescriptors >= limit.rlim_cur;
}

// The remedy for an error of this number, as the rest of a sentence; "": unknown.
inline std::string remedy(int error) {
  const bool few = error == EMFILE || error == ENFILE;
  return few ? "; it needs more descriptors: ulimit -n 1024, or LimitNOFILE= in its unit." : "";
}

// The exit code of a daemon that ended, after a last line in the log.
inline int tell_end(ops::Log& log, const std::string& program, const Result<int>& code) {
  if (code) {
    log.info(program + " ends.");
    return *code;
  }
  const Error& error = code.error();
  const std::string_view what = error.what;
  const std::string mend = remedy(error.sys);
  log.error(std::string(mend.empty() ? what : what.substr(0, what.find_last_not_of('.') + 1)) + mend);
  return 1;
}

// Runs a daemon to its end. Asio and the timers throw if descriptors run out: that becomes a sentence as well.
template <class Run>
int run_to_end(ops::Log& log, const std::string& program, Run run) {
  raise_descriptor_limit();
  try {
    return tell_end(log, program, run());
  } catch (const boost::system::system_error& e) {
    return tell_end(
        log, program,
        make_error(Errc::exhausted, program + " cannot go on: " + e.code().message() + ".", e.code().value()));
  }
}

}  // namespace eps::runtime
