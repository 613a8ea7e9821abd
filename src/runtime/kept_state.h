#pragma once

// What a client keeps from run to run (os/client_state.h): read for its node at the start, written when the node says
// so.

#include <optional>

#include "base/rng.h"
#include "node/client_node.h"
#include "ops/log.h"
#include "os/client_state.h"
#include "runtime/settings.h"

namespace eps::runtime {

// All that the node is told but for the network and for what the ports say of themselves.
Result<node::ClientParams> load_params(const ClientSettings& settings, control::NetworkKey key, os::ClientState& state,
                                       Rng& rng, ops::Log& log);

// What an earlier run kept. It only helps: no trouble with it stops the start.
std::optional<NetworkCache> load_network(os::ClientState& state, ops::Log& log);

// The peers that earlier runs knew: those of this server.
node::KnownPeers load_known(os::ClientState& state, const PublicKey& server, ops::Log& log);

// ClientOutputs::keep_network and keep_known.
void keep_network(os::ClientState& state, const std::optional<Bytes>& content, ops::Log& log);
void keep_known(os::ClientState& state, const std::optional<std::string>& text, ops::Log& log);

}  // namespace eps::runtime
