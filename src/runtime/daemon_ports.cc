// SPDX-License-Identifier: MIT
#include "runtime/daemon_ports.h"

#include "runtime/worker_pool.h"

namespace eps::runtime {

Result<ReportPorts> ReportPorts::open(boost::asio::io_context& io, ops::Background& background,
                                      const CommonSettings& settings, const std::string& program) {
  ReportPorts out;
  auto socket = ops::StatusSocket::open(io, background, settings.socket, program);
  if (!socket) return socket.error();
  out.socket = std::move(*socket);
  if (!settings.http) return out;
  auto http = ops::HttpServer::open(io, background, *settings.http);
  if (!http) return http.error();
  out.http = std::move(*http);
  return out;
}

Result<UdpQueues> UdpQueues::open(std::uint16_t port, const CommonSettings& settings) {
  const OffloadSet wish = settings.offload.value_or(OffloadSet());
  const std::size_t workers = worker_count(settings.workers);
  auto first = os::LinuxUdp::open({.port = port, .gso = wish.gso, .gro = wish.gro, .queues = workers > 1});
  if (!first) return first.error();
  UdpQueues out;
  out.all.push_back(std::move(*first));
  while (out.all.size() < workers) {
    auto queue = out.first().add_queue();
    if (!queue) return queue.error();
    out.all.push_back(std::move(*queue));
  }
  return out;
}

}  // namespace eps::runtime
