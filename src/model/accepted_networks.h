// SPDX-License-Identifier: MIT
#pragma once

// The networks that a client lets its server put it into. The server says which addresses the interface and its route
// get: one that was taken over could draw a part of the internet, or an intranet, into the interface.

#include <optional>
#include <string>
#include <vector>

#include "base/ip_network.h"
#include "model/network.h"

namespace eps {

// Private (RFC 1918), shared (RFC 6598) and unique local (RFC 4193).
std::vector<IpNetwork> private_networks();

// Why a computer that accepts these does not take this network with this address of its own: half a sentence. nullopt:
// it takes it.
std::optional<std::string> why_not_accepted(const std::vector<IpNetwork>& accepted, const NetworkInfo& network,
                                            Ip4 self);

}  // namespace eps
