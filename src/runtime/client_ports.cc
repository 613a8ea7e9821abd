// SPDX-License-Identifier: MIT
#include "runtime/client_ports.h"

#include "os/privilege.h"
#include "runtime/kept_state.h"
#include "runtime/worker_pool.h"

namespace eps::runtime {
namespace {

Result<std::vector<std::unique_ptr<os::LinuxTap>>> open_taps(const ClientSettings& settings) {
  const OffloadSet wish = settings.offload.value_or(OffloadSet());
  const std::size_t workers = worker_count(settings.workers);
  auto first = os::LinuxTap::open(
      settings.device, {.checksum = wish.csum, .tso = wish.tso, .uso = wish.uso, .queues = static_cast<int>(workers)});
  if (!first) return first.error();
  std::vector<std::unique_ptr<os::LinuxTap>> out;
  out.push_back(std::move(*first));
  while (out.size() < workers) {
    auto queue = out.front()->add_queue();
    if (!queue) return queue.error();
    out.push_back(std::move(*queue));
  }
  return out;
}

// Peers that cannot ask the server look for this client at its old port.
Result<UdpQueues> open_udp(const ClientSettings& settings, const std::optional<NetworkCache>& cache) {
  if (settings.udp_port == 0 && cache && cache->data_port != 0) {
    if (auto udp = UdpQueues::open(cache->data_port, settings)) return udp;
  }
  return UdpQueues::open(settings.udp_port, settings);
}

Result<void> load(node::ClientParams& params, os::ClientState& state, const PublicKey& server, ops::Log& log) {
  params.known = load_known(state, server, log);
  auto lock = load_lock(state, server);
  if (!lock) return lock.error();
  params.lock = std::move(*lock);
  params.cache = load_network(state, log);
  if (!params.cache) return {};
  const NetworkCache& known = *params.cache;
  if (const auto why = why_not_accepted(params.accepted, known.network, known.self.address)) {
    return make_error(Errc::invalid_argument, "According to the stored state of the network, " + *why);
  }
  return {};
}

}  // namespace

Result<ClientPorts> ClientPorts::open(Foundation<ClientSettings>& base) {
  const ClientSettings& settings = base.settings;
  if (auto ok = os::require_net_admin(); !ok) return ok.error();
  auto key = control::parse_network_key(settings.key);
  if (!key) return key.error();
  const PublicKey server = key->server;
  ClientPorts out;
  auto state = os::ClientState::open(settings.state + "/client");
  if (!state) return state.error();
  out.state = std::make_unique<os::ClientState>(std::move(*state));
  auto params = load_params(settings, std::move(*key), *out.state, base.rng, base.log);
  if (!params) return params.error();
  out.params = std::move(*params);
  out.params.run = base.rng.u64();
  auto reports = ReportPorts::open(base.loop.io(), base.background, settings, "eps-client");
  if (!reports) return reports.error();
  out.reports = std::move(*reports);
  if (auto ok = load(out.params, *out.state, server, base.log); !ok) return ok.error();

  auto taps = open_taps(settings);
  if (!taps) return taps.error();
  out.taps = std::move(*taps);
  auto udp = open_udp(settings, out.params.cache);
  if (!udp) return udp.error();
  out.udp = std::move(*udp);
  const os::LinuxTap& tap = *out.taps.front();
  out.params.device = tap.name();
  out.params.data_port = out.udp.first().local_port();
  out.params.offloads = offload_status(
      settings.offload.value_or(OffloadSet()),
      {tap.options().checksum, tap.options().tso, tap.options().uso, out.udp.first().gso(), out.udp.first().gro()});
  tell_missing(base.log, settings, out.params.offloads);

  auto link = os::NetlinkLink::open(tap.name(), settings.bridge);
  if (!link) return link.error();
  out.link = std::move(*link);
  auto monitor = os::AddressMonitor::open();
  if (!monitor) return monitor.error();
  out.monitor = std::move(*monitor);
  return out;
}

}  // namespace eps::runtime
