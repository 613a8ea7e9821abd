// SPDX-License-Identifier: MIT
#pragma once

// The networks that a client lets its server assign. The server chooses the interface's address and route, so a server
// that was taken over could otherwise route a part of the internet, or of an intranet, into the interface.

#include <optional>
#include <string>
#include <vector>

#include "base/ip_network.h"
#include "model/network.h"

namespace eps {

// Private (RFC 1918), shared (RFC 6598) and unique local (RFC 4193).
std::vector<IpNetwork> private_networks();

// The prefix of the network that a computer which accepts `accepted` refuses. nullopt: none. An `accepted` without any
// IPv6 network accepts unique local IPv6.
std::optional<IpNetwork> not_accepted(const std::vector<IpNetwork>& accepted, const NetworkInfo& network);

// Why such a computer refuses this network with this address of its own: begins within a sentence, ends without its
// full stop. nullopt: it does not refuse it.
std::optional<std::string> why_not_accepted(const std::vector<IpNetwork>& accepted, const NetworkInfo& network,
                                            Ip4 self);

// A value of accept-network with which a client accepts this network: "203.0.113.0/24".
std::string accepting(const NetworkInfo& network);

}  // namespace eps
