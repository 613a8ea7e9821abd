#pragma once

// The picture of the network that the server draws, into a file every now and then and for whoever asks.

#include <functional>
#include <optional>
#include <string>

#include "ops/log.h"
#include "report/graphviz.h"
#include "runtime/control_loop.h"
#include "runtime/settings.h"

namespace eps::runtime {

class NetworkGraph {
 public:
  NetworkGraph(boost::asio::io_context& io, ops::Log& log, std::function<ServerStatus()> status);
  // Begins, or goes on with other settings.
  void apply(const ServerSettings& settings);
  // Call before the members are asked for new reports: rates are what has come since.
  void before_reports();
  std::string text();

 private:
  void write();

  ops::Log& log_;
  std::function<ServerStatus()> status_;
  std::optional<std::string> file_;
  std::chrono::seconds interval_{0};
  std::string failure_;  // the last one told
  std::optional<ServerStatus> earlier_;
  Instant asked_at_ = os::now(), asked_before_ = kNever;  // the last two times that members were asked, or the start
  DeadlineTimer timer_;
};

}  // namespace eps::runtime
