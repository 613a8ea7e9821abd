// SPDX-License-Identifier: MIT
#pragma once

// Asks the router of this network to forward our ports to us, by NAT-PMP or UPnP, and keeps it so: extends the leases,
// asks again after the router has restarted and when the route out of this computer has changed, and removes the
// mappings at the end. Has a thread of its own, because both libraries block. Without a default route through a router
// it is silent: nothing is sent anywhere.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/port_mapping.h"
#include "os/gateway_device.h"

namespace eps::os {

struct PortMapperOptions {
  struct Port {
    Transport transport;
    std::uint16_t port;
  };
  std::vector<Port> ports;
  bool same_port = false;                   // the external ports must be ours; else another one will do
  std::chrono::milliseconds timeout{1000};  // for the router to answer
  std::chrono::seconds lease{3600};         // extended when half of it is over
  std::chrono::milliseconds check{30000};   // how often to check that the router still has it
  std::chrono::milliseconds first_retry{5000};
  std::chrono::milliseconds last_retry{600000};  // each pause is twice as long as the one before
  // Replaced by tests.
  std::function<std::optional<Gateway>()> gateway;
  std::function<std::unique_ptr<GatewayDevice>(const Gateway&, std::chrono::milliseconds timeout)> find;
};

class PortMapper {
 public:
  struct Report {
    std::vector<PortMapping> mappings;  // all that exist
    std::string note;                   // one sentence for the log, "" for none
  };
  // Called on the mapper's thread whenever something changed; never after the destructor has begun.
  using OnReport = std::function<void(Report)>;

  PortMapper(PortMapperOptions options, OnReport on_report);
  // Removes the mappings. Waits for that at most kEndTimeout; if a router has not answered by then, it is left to the
  // thread, which ends with the process.
  ~PortMapper();
  PortMapper(const PortMapper&) = delete;
  PortMapper& operator=(const PortMapper&) = delete;

  static constexpr std::chrono::seconds kEndTimeout{3};

  // The machine's interfaces, addresses or routes changed. Any thread.
  void network_changed();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace eps::os
