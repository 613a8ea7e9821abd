// SPDX-License-Identifier: MIT
#pragma once

// The state that a client stores between runs (os/client_state.h): read for its node at the start, written when the
// node says so.

#include <optional>
#include <string>
#include <utility>

#include "base/rng.h"
#include "node/client_node.h"
#include "ops/log.h"
#include "os/client_state.h"
#include "runtime/settings.h"

namespace eps::runtime {

// The node's parameters, except for the network and the properties of the ports.
Result<node::ClientParams> load_params(const ClientSettings& settings, control::NetworkKey key, os::ClientState& state,
                                       Rng& rng, ops::Log& log);

// The network as stored by an earlier run. It is only an aid: no problem with it prevents the start.
std::optional<NetworkCache> load_network(os::ClientState& state, ops::Log& log);

// The peers known to earlier runs: those of this server.
node::KnownPeers load_known(os::ClientState& state, const PublicKey& server, ops::Log& log);

// The network lock that earlier runs saw. An error stops the start: a lock that cannot be read must not be forgotten.
Result<node::LockGuard> load_lock(os::ClientState& state, const PublicKey& server);

// Writes what the node wants stored. What cannot be written, as on a full disk, waits for the next write(): only the
// newest of each kind. A failure is logged once, and so is its end.
//
// Thread rules: one thread at a time. REQUIRES: both outlive it
class Keeper {
 public:
  Keeper(os::ClientState& state, ops::Log& log) : state_(state), log_(log) {}

  void keep_enrolment(const PublicKey& server) { enrolment_ = server; }
  // ClientOutputs::keep_network: empty content removes the file.
  void keep_network(Bytes content) { network_ = std::move(content); }
  void keep_known(std::string text) { known_ = std::move(text); }
  void keep_lock(std::string text) { lock_ = std::move(text); }
  // False: something is still waiting.
  bool write();
  // Why it waits; "": nothing waits.
  const std::string& failure() const { return failure_; }

 private:
  os::ClientState& state_;
  ops::Log& log_;
  std::optional<PublicKey> enrolment_;
  std::optional<Bytes> network_;
  std::optional<std::string> known_;
  std::optional<std::string> lock_;
  std::string failure_;  // the one last logged
};

}  // namespace eps::runtime
