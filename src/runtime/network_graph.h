// SPDX-License-Identifier: MIT
#pragma once

// The picture of the network that the server draws, periodically into a file and on request.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ops/background.h"
#include "ops/log.h"
#include "report/graphviz.h"
#include "runtime/control_loop.h"
#include "runtime/settings.h"

namespace eps::runtime {

class NetworkGraph {
 public:
  NetworkGraph(boost::asio::io_context& io, ops::Background& background, ops::Log& log,
               std::function<ServerStatus()> status, std::function<std::vector<PairStatus>()> pairs);
  // Starts, or continues with other settings.
  void apply(const ServerSettings& settings);
  // Call before the members are asked for new reports: rates cover the time since. With this many pairs, they are kept
  // only for a picture that somebody requests.
  void before_reports(bool many);
  // Takes a snapshot; the result draws it, in any thread.
  std::function<std::string()> text();
  // Why there is no diagram in the file now, as a sentence; "": there is one, or none is wanted.
  std::string failure() const;

 private:
  void write();

  ops::Background& background_;
  ops::Log& log_;
  std::function<ServerStatus()> status_;
  std::function<std::vector<PairStatus>()> pairs_;
  bool asked_for_ = false;
  std::optional<std::string> file_;
  std::chrono::seconds interval_{0};
  bool writing_ = false;
  std::string failure_;  // the last one logged
  std::shared_ptr<const std::vector<PairStatus>> earlier_;
  Instant asked_at_ = os::now(), asked_before_ = kNever;  // the last two requests to the members, or the start
  DeadlineTimer timer_;
};

}  // namespace eps::runtime
