// SPDX-License-Identifier: MIT
#pragma once

// What both daemons open before they give up their rights: where `eps` and monitoring ask, and the UDP socket with a
// queue for each worker.

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "ops/background.h"
#include "ops/http_server.h"
#include "ops/status_socket.h"
#include "os/udp.h"
#include "runtime/settings.h"

namespace boost::asio {
class io_context;
}

namespace eps::runtime {

struct ReportPorts {
  // Both outlive it. `program` is for the texts of errors.
  static Result<ReportPorts> open(boost::asio::io_context& io, ops::Background& background,
                                  const CommonSettings& settings, const std::string& program);

  std::unique_ptr<ops::StatusSocket> socket;
  std::unique_ptr<ops::HttpServer> http;  // null: none is wanted
};

struct UdpQueues {
  // The number of workers and the offloads are those of `settings`.
  static Result<UdpQueues> open(std::uint16_t port, const CommonSettings& settings);

  os::LinuxUdp& first() const { return *all.front(); }

  std::vector<std::unique_ptr<os::LinuxUdp>> all;  // one for each worker
};

}  // namespace eps::runtime
