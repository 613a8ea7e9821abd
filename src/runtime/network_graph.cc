#include "runtime/network_graph.h"

#include "os/output_file.h"
#include "runtime/unix_time.h"

namespace eps::runtime {
namespace {
constexpr mode_t kGraphMode = 0644;  // for other programs
constexpr auto kLeastSpan = std::chrono::seconds(1);
}  // namespace

NetworkGraph::NetworkGraph(boost::asio::io_context& io, ops::Log& log, std::function<ServerStatus()> status)
    : log_(log), status_(std::move(status)), timer_(io, [this] { write(); }) {}

void NetworkGraph::apply(const ServerSettings& settings) {
  const bool same = file_ == settings.graphviz && interval_ == settings.graphviz_interval;
  file_ = settings.graphviz;
  interval_ = settings.graphviz_interval;
  if (same) return;
  failure_.clear();
  // The first one at once: whoever asks for a picture looks for the file.
  timer_.arm(file_ ? os::now() : kNever);
}

void NetworkGraph::before_reports() {
  // Asked twice at once, as by somebody in a hurry: there is no rate of so short a time.
  if (os::now() - asked_at_ < kLeastSpan) return;
  earlier_ = status_();
  asked_before_ = std::exchange(asked_at_, os::now());
}

std::string NetworkGraph::text() {
  std::optional<report::EarlierStatus> earlier;
  if (earlier_ && asked_before_ != kNever) {
    earlier = {*earlier_, std::chrono::round<std::chrono::milliseconds>(asked_at_ - asked_before_)};
  }
  return report::graphviz_text(status_(), earlier, unix_time());
}

void NetworkGraph::write() {
  timer_.arm(os::now() + interval_);
  const auto written = os::write_output(*file_, text(), kGraphMode);
  const std::string failure = written ? "" : written.error().what;
  if (failure != failure_ && !failure.empty()) log_.warn(failure + "; there is no diagram until that is fixed.");
  failure_ = failure;
}

}  // namespace eps::runtime
