// SPDX-License-Identifier: MIT
#include "os/port_mapper.h"

#include <algorithm>
#include <condition_variable>
#include <optional>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "os/clock.h"
#include "os/netlink.h"

namespace eps::os {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLeastPause{1000};  // between two checks, however often the network changes
constexpr int kOtherPorts = 8;             // how many to try when ours is taken at the router

std::optional<Gateway> gateway_of_this_machine() {
  auto socket = NetlinkSocket::open();
  return socket ? default_gateway(*socket) : std::nullopt;
}

// NAT-PMP first: a router that speaks it answers within milliseconds, and the request goes to the router only.
std::unique_ptr<GatewayDevice> find_either(const Gateway& gateway, milliseconds timeout) {
  auto device = find_nat_pmp(gateway, timeout);
  return device ? std::move(device) : find_upnp(gateway, timeout);
}

std::string sentence_of(const std::vector<PortMapping>& mappings, const Gateway& gateway) {
  std::string out = "The router at " + to_string(gateway.router) + " forwards";
  for (std::size_t i = 0; i < mappings.size(); ++i) {
    const PortMapping& m = mappings[i];
    out += (i == 0 ? " " : " and ") + to_string(m.external) + " (" + name_of(m.transport) + ")";
  }
  return out + " to this computer, by " + mappings.front().method + ".";
}

}  // namespace

struct PortMapper::Impl {
  Impl(PortMapperOptions given, OnReport report) : options(std::move(given)), on_report(std::move(report)) {}

  // Used by the thread only.
  PortMapperOptions options;
  std::optional<Gateway> gateway;
  std::unique_ptr<GatewayDevice> device;
  std::vector<PortMapping> mappings;
  Instant renew_at = kNever;
  Instant checked_at{};
  bool news = false;  // the network changed since the router was last asked
  milliseconds retry{0};
  Instant retry_at{};
  std::string told;  // the last note: each is reported once

  // Used by both threads.
  Mutex mutex;
  std::condition_variable_any wake;
  OnReport on_report EPS_GUARDED_BY(mutex);  // called under it; empty once reports are no longer wanted
  bool changed EPS_GUARDED_BY(mutex) = false;
  bool stopping EPS_GUARDED_BY(mutex) = false;
  bool ended EPS_GUARDED_BY(mutex) = false;

  void run() {
    while (true) {
      const Instant at = step();
      const Lock lock(mutex);
      while (!changed && !stopping) {
        if (at == kNever) {
          wake.wait(mutex);
        } else if (const Duration left = at - now(); left > Duration::zero()) {
          wake.wait_for(mutex, left);
        } else {
          break;
        }
      }
      news = std::exchange(changed, false) || news;
      if (stopping) break;
    }
    if (device) {
      for (const PortMapping& mapping : mappings) device->unmap(mapping);
    }
    const Lock lock(mutex);
    ended = true;
    wake.notify_all();
  }

  bool is_stopping() {
    const Lock lock(mutex);
    return stopping;
  }

  // Checks everything once; returns when to check again at the latest.
  Instant step() {
    const auto current = options.gateway();
    if (current != gateway) {
      // Mappings at the old router end with their lease; it can no longer be reached to remove them.
      gateway = current;
      lose();
      retry = options.first_retry;
      retry_at = now();
    }
    if (!gateway) {
      report("");
      return kNever;
    }
    if (device && now() - checked_at >= kLeastPause) {
      checked_at = now();
      news = false;
      if (!stands()) lose();
    }
    if (!device) {
      if (now() < retry_at) return retry_at;
      device = options.find(*gateway, options.timeout);
    }
    if (is_stopping()) return now();
    if (device && (mappings.empty() || now() >= renew_at)) map_all();
    if (device && !mappings.empty()) {
      retry = options.first_retry;
      report(sentence_of(mappings, *gateway));
      // A router that restarts within kLeastPause of the last check is noticed right after it, not at the next check.
      return std::min(news ? checked_at + kLeastPause : now() + options.check, renew_at);
    }
    if (!device) {
      report("No router that forwards ports by NAT-PMP or UPnP answered within " +
             std::to_string(options.timeout.count()) + " ms.");
    }
    device.reset();
    retry_at = now() + retry;
    retry = std::min(2 * retry, options.last_retry);
    return retry_at;
  }

  bool stands() {
    return std::ranges::all_of(mappings, [this](const PortMapping& m) { return device->holds(m); });
  }

  void lose() {
    device.reset();
    mappings.clear();
    retry_at = now();
  }

  // All ports or none: a server with only half of them forwarded is of no use.
  void map_all() {
    std::vector<PortMapping> made;
    for (const auto& [transport, port] : options.ports) {
      const auto before = std::ranges::find_if(
          mappings, [&, t = transport, p = port](const auto& m) { return m.transport == t && m.port == p; });
      auto mapping = map(transport, port, before == mappings.end() ? port : before->external.port);
      if (!mapping) {
        for (const PortMapping& m : made) device->unmap(m);
        mappings.clear();
        return report("The router at " + to_string(gateway->router) +
                      " does not forward a port to us: " + mapping.error().what + ".");
      }
      made.push_back(std::move(*mapping));
    }
    mappings = std::move(made);
    renew_at = now() + options.lease / 2;
  }

  Result<PortMapping> map(Transport transport, std::uint16_t port, std::uint16_t external) {
    auto mapping = device->map(transport, port, external, options.lease);
    for (int i = 0; i < kOtherPorts && !options.same_port && !mapping && mapping.error().code == Errc::in_use; ++i) {
      external = external == 65535 ? 1024 : static_cast<std::uint16_t>(external + 1);
      mapping = device->map(transport, port, external, options.lease);
    }
    return mapping;
  }

  std::vector<PortMapping> reported;
  void report(const std::string& note) {
    const std::string fresh = note == told ? "" : note;
    if (mappings == reported && fresh.empty()) return;
    if (!note.empty()) told = note;
    reported = mappings;
    const Lock lock(mutex);
    if (on_report) on_report({mappings, fresh});
  }
};

PortMapper::PortMapper(PortMapperOptions options, OnReport on_report) {
  if (!options.gateway) options.gateway = gateway_of_this_machine;
  if (!options.find) options.find = find_either;
  impl_ = std::make_shared<Impl>(std::move(options), std::move(on_report));
  std::thread([impl = impl_] { impl->run(); }).detach();
}

PortMapper::~PortMapper() {
  const Lock lock(impl_->mutex);
  impl_->on_report = nullptr;
  impl_->stopping = true;
  impl_->wake.notify_all();
  const Instant until = now() + kEndTimeout;
  for (Duration left = kEndTimeout; !impl_->ended && left > Duration::zero(); left = until - now()) {
    impl_->wake.wait_for(impl_->mutex, left);
  }
}

void PortMapper::network_changed() {
  const Lock lock(impl_->mutex);
  impl_->changed = true;
  impl_->wake.notify_all();
}

}  // namespace eps::os
