// SPDX-License-Identifier: MIT
#include "runtime/network_graph.h"

#include "os/output_file.h"
#include "runtime/unix_time.h"

namespace eps::runtime {
namespace {
constexpr mode_t kGraphMode = 0644;  // for other programs
constexpr auto kLeastSpan = std::chrono::seconds(1);

std::string without_diagram(const std::string& failure) {
  return failure + "; there is no diagram until that is fixed.";
}

}  // namespace

NetworkGraph::NetworkGraph(boost::asio::io_context& io, ops::Background& background, ops::Log& log,
                           std::function<ServerStatus()> status, std::function<std::vector<PairStatus>()> pairs)
    : background_(background), log_(log), status_(std::move(status)), pairs_(std::move(pairs)), timer_(io, [this] {
        write();
      }) {}

void NetworkGraph::apply(const ServerSettings& settings) {
  const bool same = file_ == settings.graphviz && interval_ == settings.graphviz_interval;
  file_ = settings.graphviz;
  interval_ = settings.graphviz_interval;
  if (same) return;
  failure_.clear();
  // The first one at once: somebody who enables the picture looks for the file.
  timer_.arm(file_ ? os::now() : kNever);
}

std::string NetworkGraph::failure() const {
  return failure_.empty() ? "" : without_diagram(failure_);
}

void NetworkGraph::before_reports(bool many) {
  // Two requests in a hurry: there is no rate over so short a time.
  if (os::now() - asked_at_ < kLeastSpan) return;
  earlier_ = many && !asked_for_ ? nullptr : std::make_shared<const std::vector<PairStatus>>(pairs_());
  asked_before_ = std::exchange(asked_at_, os::now());
}

std::function<std::string()> NetworkGraph::text() {
  asked_for_ = true;
  auto earlier = asked_before_ == kNever ? nullptr : earlier_;
  const auto ago = std::chrono::round<std::chrono::milliseconds>(asked_at_ - asked_before_);
  return [now = status_(), earlier = std::move(earlier), ago, at = unix_time()] {
    if (!earlier) return report::graphviz_text(now, std::nullopt, at);
    return report::graphviz_text(now, report::Earlier{*earlier, ago}, at);
  };
}

void NetworkGraph::write() {
  timer_.arm(os::now() + interval_);
  if (std::exchange(writing_, true)) return;  // the previous one takes longer than the interval
  background_.run([this, file = *file_, text = text()]() -> ops::Background::Done {
    const auto written = os::write_output(file, text(), kGraphMode);
    return [this, failure = written ? "" : written.error().what] {
      writing_ = false;
      if (failure != failure_ && !failure.empty()) log_.warn(without_diagram(failure));
      failure_ = failure;
    };
  });
}

}  // namespace eps::runtime
