// SPDX-License-Identifier: MIT
#pragma once

// The data plane of a daemon: its workers, the queue of the UDP socket that each of them has to itself, and the
// datagrams inside control connections (dataplane/stream_port.h), which the first worker receives as well.
//
// Thread rules: the thread of `io`.

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/stream_port.h"
#include "runtime/daemon_ports.h"
#include "runtime/worker_pool.h"

namespace eps::runtime {

class DataPlane {
 public:
  struct Handlers {
    WorkerPool::Handler on_upcalls;
    std::function<void()> on_stream;  // something waits to be sent inside a control connection; not after stop()
  };
  // `io` outlives it.
  DataPlane(boost::asio::io_context& io, UdpQueues udp, Handlers handlers);

  os::LinuxUdp& udp() { return udp_.first(); }
  dataplane::StreamPort& port() { return port_; }

  // What a worker does, and the descriptors for which it waits besides those of its UDP queue.
  struct Task {
    Worker::Pump pump;
    std::vector<int> fds;
  };
  using MakeTask = std::function<Task(std::size_t worker, ports::UdpPort& port)>;
  // Once. `counters` outlive it.
  Result<void> start(Counters& counters, const MakeTask& make);
  // For Published::on_publish().
  void wake_all() { workers_.wake_all(); }
  // Ends and joins the workers.
  void stop() { workers_.stop(); }

 private:
  UdpQueues udp_;
  dataplane::StreamPort port_;
  std::vector<std::unique_ptr<dataplane::StreamPort::Queue>> more_;  // of further workers
  WorkerPool workers_;
};

}  // namespace eps::runtime
