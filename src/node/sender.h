// SPDX-License-Identifier: MIT
#pragma once

// How what the control thread says to peers leaves: handshakes in the clear, path messages sealed in the session, each
// by a direct way or in a relay's envelope.
//
// Sans I/O: into the step's Outbox. Thread rules: one thread at a time.

#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "dataplane/commit.h"
#include "dataplane/upcall.h"
#include "mesh/path_message.h"
#include "model/way.h"
#include "node/paths.h"
#include "node/relay_directory.h"

namespace eps::node {

struct Peer;

class Sender {
 public:
  Sender(dataplane::Outbox& out, const RelayDirectory& relays, Paths& paths)
      : out_(out), relays_(relays), paths_(paths) {}

  // A handshake datagram: by the path in use, or by every possible path, so that the fastest wins.
  enum class Spread { best, every };
  void send_handshake(const Peer& peer, ByteView datagram, Spread spread);
  // By the way that the datagram came which it answers. Nothing if it is empty.
  void answer(const dataplane::Arrival& arrival, ByteView reply);

  // Sealed in the newest session that may seal; without one it is not sent. By the path in use, or by this way.
  void send(Peer& peer, const mesh::PathMessage& message, Instant now);
  void send(Peer& peer, const mesh::PathMessage& message, const Way& way, Instant now);
  void send(Peer& peer, const std::vector<Paths::Outgoing>& messages, Instant now);

 private:
  std::optional<dataplane::RelayHop> hop_by(const Way& way) const;
  void put(MemberId to, const Way& way, const dataplane::RelayHop& hop, ByteView datagram, bool whole = false);

  dataplane::Outbox& out_;
  const RelayDirectory& relays_;
  Paths& paths_;
};

}  // namespace eps::node
