// SPDX-License-Identifier: MIT
#pragma once

// Work beside the event loop: turning a snapshot of a large network into text. One thread, begun with the first work
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
  // Waits for the work that runs; what has not begun is forgotten.
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // Calls `work` in the thread, so it holds what it needs, and what it returns in the event loop. From the loop's
  // thread.
  void run(std::function<Done()> work);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace eps::ops
