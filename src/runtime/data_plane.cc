// SPDX-License-Identifier: MIT
#include "runtime/data_plane.h"

#include <boost/asio/post.hpp>

namespace eps::runtime {

DataPlane::DataPlane(boost::asio::io_context& io, UdpQueues udp, Handlers handlers)
    : udp_(std::move(udp)),
      port_(
          udp_.first(),
          [this, &io, on_stream = std::move(handlers.on_stream)] {
            boost::asio::post(io, [this, on_stream] {
              if (workers_.running()) on_stream();
            });
          },
          [this] { workers_.wake(); }),
      workers_(io, std::move(handlers.on_upcalls)) {}

Result<void> DataPlane::start(Counters& counters, const MakeTask& make) {
  for (std::size_t i = 0; i < udp_.all.size(); ++i) {
    os::LinuxUdp& udp = *udp_.all[i];
    if (i > 0) more_.push_back(std::make_unique<dataplane::StreamPort::Queue>(port_, udp));
    ports::UdpPort& port = i == 0 ? static_cast<ports::UdpPort&>(port_) : *more_.back();
    Task task = make(i, port);
    task.fds.push_back(udp.fd());
    if (i == 0) task.fds.push_back(udp.side_fd());
    if (auto ok = workers_.add(task.fds, counters, std::move(task.pump)); !ok) return ok;
  }
  return {};
}

}  // namespace eps::runtime
