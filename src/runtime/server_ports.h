// SPDX-License-Identifier: MIT
#pragma once

// What a server opens before it gives up its rights: the network's registry, and its sockets. A server has all of it or
// does not start.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "os/sqlite_store.h"
#include "registry/registry.h"
#include "runtime/daemon_ports.h"
#include "runtime/foundation.h"
#include "runtime/tcp_listener.h"

namespace eps::runtime {

struct ServerPorts {
  // `on_key` receives the network key's text before anybody can connect. `base` outlives the result.
  static Result<ServerPorts> open(Foundation<ServerSettings>& base,
                                  const std::function<void(const std::string& key)>& on_key);

  std::unique_ptr<os::SqliteStore> store;
  std::unique_ptr<registry::Registry> registry;
  ReportPorts reports;
  UdpQueues udp;
  std::vector<std::unique_ptr<TcpListener>> listeners;
};

// Writes the network key's text to its file, if that does not hold it.
Result<void> keep_network_key(const ServerSettings& settings, const std::string& text);

}  // namespace eps::runtime
