#pragma once

// What a daemon does every --interval seconds: statistics to the log.

#include <functional>
#include <string>

#include "ops/log.h"
#include "report/statistics.h"
#include "runtime/control_loop.h"
#include "runtime/settings.h"

namespace eps::runtime {

class Reporter {
 public:
  Reporter(boost::asio::io_context& io, ops::Log& log, std::function<report::Totals()> totals);
  // Begins, or goes on with other settings: the running interval starts anew when its length changes.
  void apply(const CommonSettings& settings);

 private:
  void report();

  ops::Log& log_;
  std::function<report::Totals()> totals_;
  std::chrono::seconds interval_{0};
  bool stats_ = false;
  report::Totals before_;
  Instant looked_at_{};
  Instant due_{};
  DeadlineTimer timer_;
};

}  // namespace eps::runtime
