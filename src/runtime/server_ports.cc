// SPDX-License-Identifier: MIT
#include "runtime/server_ports.h"

#include <unistd.h>

#include <algorithm>

#include "control/server.h"
#include "os/files.h"
#include "runtime/unix_time.h"

namespace eps::runtime {
namespace {

// Evidence that this server had a network, and how to begin another; nullopt for a first start.
std::optional<std::string> find_earlier_network(const ServerSettings& settings) {
  const std::string directory = settings.state + "/server";
  const std::string file = directory + "/network.key";
  std::string shows, remedy;
  if (::access(file.c_str(), F_OK) == 0) {
    shows = file;
    remedy = "remove " + file;
  }
  if (!settings.configured_key.empty()) {
    const std::string line = "the line \"key = ...\" in " + settings.conf;
    shows += (shows.empty() ? "" : " and ") + line;
    remedy += (remedy.empty() ? "" : " and ") + ("remove " + line);
  }
  if (shows.empty()) return std::nullopt;
  return shows + " shows that there was one. Restore " + directory +
         "/server.db from a backup and start again. To begin another network instead, which every client must join "
         "anew with another key, " +
         remedy;
}

Result<void> open_registry(ServerPorts& out, Foundation<ServerSettings>& base) {
  const ServerSettings& settings = base.settings;
  const auto had_network = find_earlier_network(settings);
  auto store = os::SqliteStore::open(settings.state + "/server", !had_network);
  if (!store && had_network && store.error().code == Errc::not_found) {
    return make_error(Errc::corrupt, "The network is lost: " + store.error().what + ", but " + *had_network + ".");
  }
  if (!store) return store.error();
  out.store = std::move(*store);
  registry::RegistryConfig config{settings.network, settings.sequential, settings.mtu};
  config.network6 = settings.network6;
  config.had_network = had_network;
  config.started_as = "eps-server " + settings.version + " on port " + std::to_string(settings.port) +
                      " for the network " + to_string(settings.network) + ", MTU " + std::to_string(settings.mtu);
  config.started_at = unix_time();
  auto registry = registry::Registry::open(*out.store, config, base.rng);
  if (!registry) return registry.error();
  out.registry = std::move(*registry);
  if (const auto& unsaved = out.registry->unsaved()) {
    base.log.warn(unsaved->what +
                  "; the server starts from the stored state. Nobody new can join, and nobody can be removed, "
                  "until that is fixed.");
  }
  return {};
}

Result<void> listen(ServerPorts& out, Foundation<ServerSettings>& base) {
  const auto add = [&](std::uint16_t port, const char* option) -> Result<void> {
    auto listener = TcpListener::open(base.loop.io(), port, option);
    if (!listener) return listener.error();
    out.listeners.push_back(std::move(*listener));
    return {};
  };
  if (auto ok = add(base.settings.port, "--port"); !ok || base.settings.also_port == 0) return ok;
  return add(base.settings.also_port, "--also-port");
}

}  // namespace

Result<void> keep_network_key(const ServerSettings& settings, const std::string& text) {
  const std::string path = settings.state + "/server/network.key";
  const auto kept = os::read_file(path, text.size() + 1);
  if (kept && *kept == text + "\n") return {};
  return os::write_file_atomic(path, text + "\n", 0600);
}

Result<ServerPorts> ServerPorts::open(Foundation<ServerSettings>& base,
                                      const std::function<void(const std::string& key)>& on_key) {
  const ServerSettings& settings = base.settings;
  ServerPorts out;
  if (auto ok = open_registry(out, base); !ok) return ok.error();
  const std::string key = control::to_text(control::network_key_of(*out.registry));
  if (auto saved = keep_network_key(settings, key); !saved) {
    if (!os::is_unwritable(saved.error())) return saved.error();
    base.log.warn(saved.error().what);
  }
  auto reports = ReportPorts::open(base.loop.io(), base.background, settings, "eps-server");
  if (!reports) return reports.error();
  out.reports = std::move(*reports);
  auto udp = UdpQueues::open(settings.port, settings);
  if (!udp) return udp.error();
  out.udp = std::move(*udp);
  on_key(key);
  if (auto ok = listen(out, base); !ok) return ok.error();
  return out;
}

}  // namespace eps::runtime
