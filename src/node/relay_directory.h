// SPDX-License-Identifier: MIT
#pragma once

// Who relays for whom. The server does for everybody; a member that was started with --relay offers it to each peer
// that it has a session with, and serves those that it reaches directly. Only members that have made an offer are ever
// looked at, however many there are.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"
#include "dataplane/peer_table.h"
#include "dataplane/relay_table.h"
#include "model/counters.h"
#include "model/way.h"

namespace eps::node {

struct Peer;

inline constexpr std::size_t kMaxMemberRelays = 3;  // that are tried for one peer

// By UDP once a bind request was answered, inside the control connection before that and where UDP does not pass.
enum class ServerRelay { none, inside, udp };

// Holds pointers to the peers that it was told of, until forget().
class RelayDirectory {
 public:
  // One peer's.
  class Record {
    friend class RelayDirectory;
    std::uint32_t theirs_ = 0;    // the tag of its offer to relay for us; 0: none
    std::uint32_t ours_ = 0;      // the tag of our offer to relay for it
    std::optional<Way> told_by_;  // the direct path by which it was last told of that
    std::shared_ptr<Counters> served_ = std::make_shared<Counters>();
  };

  RelayDirectory(bool for_others, Rng& rng) : for_others_(for_others), rng_(rng) {}

  // The server's data endpoint, the tag that it knows us by, and how it takes what it shall relay.
  struct ServerChange {
    bool any = false;
    bool address = false;  // it is reached elsewhere
    bool socket = false;   // it sees another socket of ours
    bool usable = false;   // what could not pass before can now
  };
  ServerChange set_server(const Endpoint& server, std::uint32_t tag, ServerRelay by, ports::SocketId socket);
  bool server_relays() const { return server_by_ != ServerRelay::none; }
  const Endpoint& server() const { return server_.endpoint; }
  // The one of our sockets that the server sees.
  ports::SocketId socket() const { return server_.socket; }

  // The peer is a member, and was or was not started to relay for others.
  void on_member(Peer& peer);
  // There is a new session with it.
  void on_session(Peer& peer);
  // Its offer; 0: it takes it back. True: something changed.
  bool on_offer(Peer& peer, std::uint32_t tag);
  // Its sessions are gone, and with them the offers of both sides.
  void end_sessions(Peer& peer);
  void forget(const Peer& peer);

  // What the relay is sent; nullopt while it cannot be used.
  std::optional<dataplane::RelayHop> hop_of(MemberId relay) const;
  // That may be tried for this peer.
  std::vector<MemberId> usable_for(const Peer& peer) const;
  // All that may relay to us.
  std::vector<dataplane::RelayHop> hops() const;
  // For a peer that cannot be reached directly: members that were started to relay.
  std::vector<Peer*> to_seek(const Peer& peer) const;
  // Whether a new handshake with one of those may bring an offer.
  bool lacks_offer(const Peer& relay, Instant now) const;

  // Our offer to this peer, when that has to be told: at its first direct path in a session, and again when the path
  // changes, as the one before may have been lost with the path. Once serves() is published.
  std::optional<std::uint32_t> take_offer(Peer& peer) const;
  // Whom of these this node relays for; null: it does not.
  std::shared_ptr<const dataplane::RelayTable> serves(const std::map<MemberId, Peer*>& peers) const;

 private:
  const bool for_others_;
  Rng& rng_;
  dataplane::RelayHop server_;         // by UDP
  dataplane::RelayHop server_inside_;  // in the control connection
  ServerRelay server_by_ = ServerRelay::none;
  std::map<MemberId, const Peer*> offering_;  // have offered to relay for us
  std::map<MemberId, Peer*> relaying_;        // were started to relay for others
};

}  // namespace eps::node
