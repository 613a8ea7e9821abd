// SPDX-License-Identifier: MIT
#pragma once

// A data-plane thread: waits for its descriptors, pumps batches while there is work, and passes upcalls to the control
// thread. Under load it polls for a moment before it blocks, because waking a thread costs more than a short spin; if
// that gains nothing it blocks at once, and without traffic it sleeps.

#include <poll.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "base/time.h"
#include "dataplane/upcall.h"
#include "model/counters.h"
#include "os/unique_fd.h"

namespace eps::runtime {

class Worker {
 public:
  // One round: moves what is there and returns how much that was (0: nothing to do). Runs on the worker's thread.
  using Pump = std::function<std::size_t(Instant now, dataplane::Upcalls& upcalls)>;
  // Called on the worker's thread after it added upcalls to the mailbox: wakes the control thread.
  using Notify = std::function<void()>;

  // `fds`: what to wait for when there is nothing to do. `counters` count what does not fit into the mailbox.
  static Result<std::unique_ptr<Worker>> start(const std::vector<int>& fds, Counters& counters, Pump pump,
                                               Notify notify);
  // Ends the thread and joins it.
  ~Worker();

  // Makes it look for work that did not arrive through its descriptors. Any thread.
  void wake();
  // The upcalls since the last call. Any thread.
  std::vector<dataplane::Upcall> take_upcalls();

 private:
  Worker(const std::vector<int>& fds, os::UniqueFd wake, Counters& counters, Pump pump, Notify notify);
  void run();
  void deliver(dataplane::Upcalls& upcalls);
  void wait();

  std::vector<pollfd> polled_;  // the last is wake_
  os::UniqueFd wake_;           // an eventfd
  std::atomic<bool> stopping_{false};
  Counters& counters_;
  Pump pump_;
  Notify notify_;
  Mutex mutex_;
  dataplane::Upcalls mailbox_ EPS_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace eps::runtime
