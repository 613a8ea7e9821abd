#include "runtime/reporter.h"

namespace eps::runtime {

Reporter::Reporter(boost::asio::io_context& io, ops::Log& log, std::function<report::Totals()> totals)
    : log_(log), totals_(std::move(totals)), timer_(io, [this] { report(); }) {}

void Reporter::apply(const CommonSettings& settings) {
  const bool idle = !stats_;
  stats_ = settings.stats;
  if (!stats_) return timer_.arm(kNever);
  if (!idle && settings.interval == interval_) return;
  interval_ = settings.interval;
  before_ = totals_();
  looked_at_ = os::now();
  due_ = looked_at_ + interval_;
  timer_.arm(due_);
}

void Reporter::report() {
  const Instant now = os::now();
  const report::Totals total = totals_();
  const report::Totals passed = total - before_;
  const double seconds = std::chrono::duration<double>(now - looked_at_).count();
  if (stats_) {
    log_.info(report::rates_line(passed, seconds));
    log_.info(report::statistics_text(passed, total, interval_));
  }
  before_ = total;
  looked_at_ = now;
  // In step, but with nothing to catch up with after a sleep.
  due_ = std::max(due_ + interval_, now);
  timer_.arm(due_);
}

}  // namespace eps::runtime
