// SPDX-License-Identifier: MIT
#include "runtime/worker.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "os/clock.h"

namespace eps::runtime {
namespace {
// How long to poll after work before blocking; longer gained nothing, shorter cost wake-ups.
constexpr Duration kSpin = std::chrono::microseconds(30);
// After this many useless polls it stops, until work arrives again this soon after blocking: a wake-up costs about as
// much.
constexpr int kInVain = 4;
constexpr Duration kSoon = std::chrono::microseconds(100);
}  // namespace

Result<std::unique_ptr<Worker>> Worker::start(const std::vector<int>& fds, Counters& counters, Pump pump,
                                              Notify notify) {
  os::UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return make_error(Errc::exhausted, "Cannot make an eventfd: too many open files.", errno);
  std::unique_ptr<Worker> worker(new Worker(fds, std::move(wake), counters, std::move(pump), std::move(notify)));
  worker->thread_ = std::thread([w = worker.get()] { w->run(); });
  return worker;
}

Worker::Worker(const std::vector<int>& fds, os::UniqueFd wake, Counters& counters, Pump pump, Notify notify)
    : wake_(std::move(wake)), counters_(counters), pump_(std::move(pump)), notify_(std::move(notify)) {
  for (const int fd : fds) polled_.push_back({fd, POLLIN, 0});
  polled_.push_back({wake_.get(), POLLIN, 0});
}

Worker::~Worker() {
  stopping_.store(true, std::memory_order_relaxed);
  wake();
  thread_.join();
}

void Worker::wake() {
  const std::uint64_t one = 1;
  // Fails only if it already holds billions.
  [[maybe_unused]] const ssize_t n = write(wake_.get(), &one, sizeof one);
}

std::vector<dataplane::Upcall> Worker::take_upcalls() {
  const Lock lock(mutex_);
  return mailbox_.take();
}

void Worker::deliver(dataplane::Upcalls& upcalls) {
  if (upcalls.empty()) return;
  bool was_empty = false;
  {
    std::vector<dataplane::Upcall> items = upcalls.take();
    const Lock lock(mutex_);
    was_empty = mailbox_.empty();
    for (dataplane::Upcall& item : items) {
      const bool counts = !dataplane::is_hint(item);
      if (!mailbox_.add(std::move(item)) && counts) counters_.drop(Drop::congested);
    }
  }
  if (was_empty) notify_();
}

// Blocks until there is something to do or the thread must end.
void Worker::wait() {
  while (poll(polled_.data(), polled_.size(), -1) < 0 && errno == EINTR) {
  }
  if (polled_.back().revents == 0) return;
  std::uint64_t wakes = 0;
  [[maybe_unused]] const ssize_t n = read(wake_.get(), &wakes, sizeof wakes);
}

void Worker::run() {
  dataplane::Upcalls upcalls;
  int in_vain = 0;
  while (!stopping_.load(std::memory_order_relaxed)) {
    Instant now = os::now();
    Instant idle_since = now;
    bool idle = false;
    while (!stopping_.load(std::memory_order_relaxed)) {
      const bool worked = pump_(now, upcalls) > 0;
      deliver(upcalls);
      now = os::now();
      if (worked) {
        if (idle) in_vain = 0;
        idle = false;
        idle_since = now;
        continue;
      }
      idle = true;
      if (in_vain >= kInVain || now - idle_since >= kSpin) break;
      sched_yield();
    }
    if (in_vain < kInVain) ++in_vain;
    wait();
    if (os::now() - now < kSoon) in_vain = 0;
  }
}

}  // namespace eps::runtime
