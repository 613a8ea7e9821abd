// SPDX-License-Identifier: MIT
#pragma once

// Who relays for whom. The server relays for everybody; a member started with --relay offers it to each peer that it
// has a session with, and serves those that it reaches directly. Only members that have made an offer are ever visited,
// however many members there are.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "base/types.h"
#include "dataplane/peer_table.h"
#include "dataplane/relay_table.h"
#include "model/counters.h"
#include "model/network.h"
#include "model/way.h"
#include "node/relay_quotas.h"

namespace eps::node {

struct Peer;

inline constexpr std::size_t kMaxMemberRelays = 3;  // tried for one peer

// By UDP once a bind request was answered, inside the control connection before that and where UDP is blocked.
enum class ServerRelay { none, inside, udp };

// Holds pointers to the peers with an offer, until end_sessions() or forget().
class RelayDirectory {
 public:
  // The part of one peer.
  class Record {
    friend class RelayDirectory;
    std::uint32_t theirs_ = 0;    // the tag of its offer to relay for us; 0: none
    std::uint32_t ours_ = 0;      // the tag of our offer to relay for it
    std::optional<Way> told_by_;  // the direct path by which it was last told so
    std::shared_ptr<Counters> served_ = std::make_shared<Counters>();
  };

  RelayDirectory(bool for_others, Rng& rng, const RelayLimit& limit = {})
      : for_others_(for_others), rng_(rng), quotas_(limit) {}

  // The server's data endpoint, the tag by which it knows us, and how it accepts what it should relay.
  struct ServerChange {
    bool address = false;  // it has another endpoint
    bool socket = false;   // it sees another local socket
    bool usable = false;   // what could not get through before can now
  };
  ServerChange set_server(const Endpoint& server, std::uint32_t tag, ServerRelay by, ports::SocketId socket);
  // The server drops what this node sends beyond its limit. It says so again each minute as long as that goes on.
  void on_server_limit(Instant now) { server_limits_at_ = now; }
  bool server_limits(Instant now) const {
    return server_limits_at_ && now - *server_limits_at_ < kTellLimited + std::chrono::seconds(10);
  }
  bool server_relays() const { return server_by_ != ServerRelay::none; }
  const Endpoint& server() const { return server_.endpoint; }
  // The local socket that the server sees.
  ports::SocketId socket() const { return server_.socket; }

  // The peer is a member, and was or was not started to relay for others.
  void on_member(const Member& member);
  // There is a new session with it.
  void on_session(Peer& peer);
  // Its offer; 0: it withdraws it. True: something changed.
  bool on_offer(Peer& peer, std::uint32_t tag);
  // Its sessions are gone, and the offers of both sides with them.
  void end_sessions(Peer& peer);
  void forget(MemberId member);

  // What to send to the relay; nullopt while it cannot be used.
  std::optional<dataplane::RelayHop> hop_of(MemberId relay) const;
  // Those that may be tried for this peer.
  std::vector<MemberId> usable_for(const Peer& peer) const;
  // All that may relay to us, with each endpoint that they may do so from.
  std::vector<dataplane::RelayHop> hops() const;
  // For a peer that cannot be reached directly: members that were started to relay.
  std::vector<MemberId> to_seek(MemberId peer) const;
  // Whether a new handshake with one of those may bring an offer.
  bool lacks_offer(const Peer& relay, Instant now) const;

  // Our offer to this peer, when it must be sent: at its first direct path in a session, and again when the path
  // changes, because the previous message may have been lost with the path. Call it once serves() is published.
  std::optional<std::uint32_t> take_offer(Peer& peer) const;
  // The entry of a peer for which this node relays; nullopt: it does not.
  std::optional<dataplane::RelayMember> service_for(const Peer& peer);
  // Those of these for which this node relays, the same table as before if nothing changed; null: it relays for nobody.
  std::shared_ptr<const dataplane::RelayTable> serves(const std::map<MemberId, Peer*>& peers);
  // Of those that this node relays for.
  RelayQuotas& quotas() { return quotas_; }
  const RelayQuotas& quotas() const { return quotas_; }

 private:
  const bool for_others_;
  Rng& rng_;
  RelayQuotas quotas_;
  dataplane::RelayHop server_;         // by UDP
  dataplane::RelayHop server_inside_;  // inside the control connection
  ServerRelay server_by_ = ServerRelay::none;
  std::optional<Instant> server_limits_at_;
  std::map<MemberId, const Peer*> offering_;    // those that have offered to relay for us
  std::set<MemberId> relaying_;                 // those that were started to relay for others
  std::vector<dataplane::RelayMember> served_;  // by serves_
  std::shared_ptr<const dataplane::RelayTable> serves_;
};

}  // namespace eps::node
