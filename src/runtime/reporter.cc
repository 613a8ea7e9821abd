// SPDX-License-Identifier: MIT
#include "runtime/reporter.h"

#include <algorithm>
#include <utility>

#include "os/output_file.h"
#include "runtime/unix_time.h"

namespace eps::runtime {
namespace {

constexpr mode_t kScorecardMode = 0644;  // for other programs

std::string without_scorecard(const std::string& failure) {
  return failure + "; there is no scorecard until that is fixed.";
}

}  // namespace

std::string Reporter::failure() const {
  return failure_.empty() ? "" : without_scorecard(failure_);
}

Reporter::Reporter(boost::asio::io_context& io, ops::Background& background, ops::Log& log, Sources sources)
    : background_(background), log_(log), sources_(std::move(sources)), timer_(io, [this] { report(); }) {}

void Reporter::apply(const CommonSettings& settings) {
  stats_ = settings.stats;
  scorecard_ = settings.scorecard;
  format_ = settings.scorecard_format;
  failure_.clear();
  const bool wanted = stats_ || scorecard_ || sources_.after;
  if (!wanted) {
    interval_ = std::chrono::seconds(0);
    return timer_.arm(kNever);
  }
  if (interval_ == settings.interval) return;
  interval_ = settings.interval;
  before_ = sources_.totals();
  looked_at_ = os::now();
  due_ = looked_at_ + interval_;
  timer_.arm(due_);
}

void Reporter::report() {
  const Instant now = os::now();
  const report::Totals total = sources_.totals();
  const report::Totals passed = total - before_;
  if (stats_) {
    log_.info(report::rates_line(passed, std::chrono::duration<double>(now - looked_at_).count()));
    log_.info(report::statistics_text(passed, total, interval_));
  }
  if (scorecard_) write_scorecard({passed, std::chrono::round<std::chrono::milliseconds>(now - looked_at_)});
  if (sources_.after) sources_.after();
  before_ = total;
  looked_at_ = now;
  // At regular times, but without catching up after a sleep.
  due_ += interval_;
  if (due_ <= now) due_ = now + interval_;
  timer_.arm(due_);
}

void Reporter::write_scorecard(const report::Passed& passed) {
  if (std::exchange(writing_, true)) return;  // the previous one takes longer than an interval
  background_.run([this, figures = sources_.figures(passed, unix_time()), file = *scorecard_,
                   format = format_]() -> ops::Background::Done {
    const auto written = os::write_output(file, report::scorecard_text(figures(), format), kScorecardMode);
    return [this, failure = written ? "" : written.error().what] {
      writing_ = false;
      if (failure != failure_ && !failure.empty()) log_.warn(without_scorecard(failure));
      failure_ = failure;
    };
  });
}

}  // namespace eps::runtime
