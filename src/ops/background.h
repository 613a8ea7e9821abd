// SPDX-License-Identifier: MIT
#pragma once

// Work outside the event loop: turning a snapshot of a large network into text. One thread, started with the first task
// and doing one after the other.

#include <functional>
#include <memory>

namespace boost::asio {
class io_context;
}

namespace eps::ops {

class Background {
 public:
  using Done = std::function<void()>;
  explicit Background(boost::asio::io_context& io);
  // Waits for the running task; tasks that have not started are discarded.
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // Calls `work` in the thread, so it must own what it needs, and its result in the event loop. Call from the loop's
  // thread.
  void run(std::function<Done()> work);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace eps::ops
