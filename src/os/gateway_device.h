// SPDX-License-Identifier: MIT
#pragma once

// A router that forwards ports when asked, by either protocol. Calls block, each for a bounded time: seconds where the
// router has gone silent.

#include <chrono>
#include <memory>

#include "base/result.h"
#include "model/port_mapping.h"
#include "os/interfaces.h"

namespace eps::os {

class GatewayDevice {
 public:
  virtual ~GatewayDevice() = default;

  // Makes the mapping, or extends its lease. `external_port`: the one to ask for; another port than this is an Error.
  // `lease` is what we would like; a router may keep the mapping for a shorter or a longer time.
  virtual Result<PortMapping> map(Transport transport, std::uint16_t port, std::uint16_t external_port,
                                  std::chrono::seconds lease) = 0;
  // Whether the router has the mapping: not with another external address, nor when it does not answer. After a restart
  // it may have it because this asked for it again.
  virtual bool holds(const PortMapping& mapping) = 0;
  virtual void unmap(const PortMapping& mapping) = 0;
};

// Asks the gateway itself, with one unicast datagram repeated until `timeout` (RFC 6886, by libnatpmp). Null: it does
// not answer.
std::unique_ptr<GatewayDevice> find_nat_pmp(const Gateway& gateway, std::chrono::milliseconds timeout);

// Looks for an Internet Gateway Device by multicast on the gateway's interface only, and takes none but the gateway
// itself: any other host of the network that answers is not believed. (By libminiupnpc.) Null: none in time.
std::unique_ptr<GatewayDevice> find_upnp(const Gateway& gateway, std::chrono::milliseconds timeout);

}  // namespace eps::os
