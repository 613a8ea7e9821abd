// SPDX-License-Identifier: MIT
#pragma once

// What a client keeps from run to run (os/client_state.h): read for its node at the start, written when the node says
// so.

#include <optional>
#include <string>
#include <utility>

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

// Writes what the node says must be kept. What cannot be written, as on a full disk, waits for the next write(): the
// newest of each kind. The log says what failed once, and that it was mended.
//
// Thread rules: one thread at a time. REQUIRES: both outlive it
class Keeper {
 public:
  Keeper(os::ClientState& state, ops::Log& log) : state_(state), log_(log) {}

  void keep_enrolment(const PublicKey& server) { enrolment_ = server; }
  // ClientOutputs::keep_network: empty content removes it.
  void keep_network(Bytes content) { network_ = std::move(content); }
  void keep_known(std::string text) { known_ = std::move(text); }
  // False: something still waits.
  bool write();
  // Why it does; "": nothing waits.
  const std::string& failure() const { return failure_; }

 private:
  os::ClientState& state_;
  ops::Log& log_;
  std::optional<PublicKey> enrolment_;
  std::optional<Bytes> network_;
  std::optional<std::string> known_;
  std::string failure_;  // that the log has
};

}  // namespace eps::runtime
