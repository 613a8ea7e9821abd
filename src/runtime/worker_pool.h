// SPDX-License-Identifier: MIT
#pragma once

// The data plane's threads, and the way back from them: their upcalls are passed to one function on the control
// thread.

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "runtime/worker.h"

namespace eps::runtime {

// Thread rules: the thread of `io`; wake() may be called by any thread between add() and stop().
class WorkerPool {
 public:
  using Handler = std::function<void(std::vector<dataplane::Upcall> upcalls)>;
  WorkerPool(boost::asio::io_context& io, Handler handler) : io_(io), handler_(std::move(handler)) {}

  // Starts another thread (runtime/worker.h).
  Result<void> add(const std::vector<int>& fds, Counters& counters, Worker::Pump pump) {
    auto worker = Worker::start(fds, counters, std::move(pump), [this, index = workers_.size()] {
      boost::asio::post(io_, [this, index] {
        if (index < workers_.size()) handler_(workers_[index]->take_upcalls());
      });
    });
    if (!worker) return worker.error();
    workers_.push_back(std::move(*worker));
    return {};
  }
  bool running() const { return !workers_.empty(); }
  // Wakes the first one: something arrived that is not on its descriptors.
  void wake() {
    if (running()) workers_.front()->wake();
  }
  // For Published::on_publish().
  void wake_all() {
    for (const auto& worker : workers_) worker->wake();
  }
  // Ends and joins all of them.
  void stop() { workers_.clear(); }

 private:
  boost::asio::io_context& io_;
  Handler handler_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

// `wish` 0: one thread on one or two processors, beyond that one for every two, because the programs that send and
// receive need to run as well; at most 8.
std::size_t worker_count(std::uint16_t wish);

}  // namespace eps::runtime
