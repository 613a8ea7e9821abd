// SPDX-License-Identifier: MIT
#pragma once

// A daemon's task every --interval seconds: statistics to the log, the scorecard.

#include <functional>
#include <string>

#include "ops/background.h"
#include "ops/log.h"
#include "report/scorecard.h"
#include "report/statistics.h"
#include "runtime/control_loop.h"
#include "runtime/settings.h"

namespace eps::runtime {

class Reporter {
 public:
  struct Sources {
    std::function<report::Totals()> totals;
    // Takes a snapshot; the result computes its figures, in another thread.
    std::function<std::function<std::vector<report::Figure>()>(const report::Passed&, std::int64_t unix_time)> figures;
    std::function<void()> after;  // at the end of every interval; if set, also when nothing is written
  };
  Reporter(boost::asio::io_context& io, ops::Background& background, ops::Log& log, Sources sources);
  // Starts, or continues with other settings: the running interval restarts when its length changes.
  void apply(const CommonSettings& settings);

  // Why there is no scorecard now, as a sentence; "": there is one, or none is wanted.
  std::string failure() const;

 private:
  void report();
  void write_scorecard(const report::Passed& passed);

  ops::Background& background_;
  ops::Log& log_;
  Sources sources_;
  std::chrono::seconds interval_{0};
  bool stats_ = false;
  std::optional<std::string> scorecard_;
  report::ScorecardFormat format_ = report::ScorecardFormat::keys;
  bool writing_ = false;
  std::string failure_;  // the last one logged
  report::Totals before_;
  Instant looked_at_{};
  Instant due_{};
  DeadlineTimer timer_;
};

}  // namespace eps::runtime
