// SPDX-License-Identifier: MIT
#pragma once

// All other members as this node communicates with them: handshakes, session lifetimes, paths, and the snapshot that
// the data plane uses. Sans I/O: datagrams go into the step's Outbox, time and randomness are arguments.

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/rate_limit.h"
#include "base/rng.h"
#include "base/time.h"
#include "dataplane/commit.h"
#include "dataplane/peer_table.h"
#include "dataplane/upcall.h"
#include "mesh/path_message.h"
#include "model/status.h"
#include "node/anchors.h"
#include "node/broadcasts.h"
#include "node/explain.h"
#include "node/known_peers.h"
#include "node/lan.h"
#include "node/listening.h"
#include "node/peer.h"
#include "node/peer_set.h"
#include "node/peers_params.h"
#include "node/policy_keeper.h"
#include "node/sender.h"
#include "node/surroundings.h"

namespace eps::node {

// Broadcasts considered for members without a session: any more are a stream, which would reach them late and in
// pieces.
inline constexpr Duration kSilentPause = std::chrono::milliseconds(50);
inline constexpr Duration kSilentBurst = std::chrono::seconds(1);

class Peers {
 public:
  Peers(PeersParams params, dataplane::Outbox& out, Rng& rng);

  // This node's own identity in the network. A change of it ends every session.
  void set_self(const NetworkInfo& network, const Member& self, Instant now);
  // The server's data endpoint, the tag by which it knows us, and how it accepts what it should relay.
  void set_relay(const Endpoint& server, std::uint32_t tag, ServerRelay by, Instant now, ports::SocketId socket = 0);
  // Refused members are treated as if they were not members (node/known_peers.h). `changed`: those that changed in the
  // list, or became refused or accepted, since the previous call. Grants of those in `without_grants` do not count.
  void update_members(const MemberList& list, Instant now, const std::map<MemberId, RefusedPeer>& refused = {},
                      const MembersChanged& changed = {true, {}}, const std::set<MemberId>& without_grants = {});
  // The server no longer knows this node by this socket: close it once no path uses it.
  void leave_side(ports::SocketId side) { left_sides_.push_back(side); }
  // Where this node may be reached, for the peers; `local` are the addresses of its interfaces.
  void set_own_candidates(std::vector<Candidate> candidates, std::vector<IpAddress> local, Instant now);
  // Networks inside EPS interfaces of this computer, and inside other tunnels (ports::Underlay): no path leads there.
  void set_inside(std::vector<IpPrefix> inside, std::vector<IpPrefix> tunnels, Instant now);
  // Whether this address is inside an EPS network, this one's or another's on this computer.
  bool is_inside(const IpAddress& ip) const { return here_.is_inside(ip); }
  // Unspecified: the network has no IPv6 prefix.
  IpAddress address6(const Mac& mac) const {
    return network_ && network_->network6 ? address6_of(*network_->network6, mac) : IpAddress{};
  }
  bool may_bridge() const { return self_.grants.bridge; }
  // Whether a machine behind this computer has sent a packet of this IP version.
  bool machine_passed(int ip_version) const { return lan_.groups().machine_passed[ip_version == 4 ? 0 : 1]; }
  // The policy to enforce from now on; `self`: this computer's record.
  void set_policy(const NetworkPolicy& policy, const Member& self);
  std::optional<PolicyStatus> policy_status() const { return policy_.status(); }
  void set_own_nat(NatStatus nat, Instant now);
  // The server said that it drops what this node sends through its relay beyond its limit.
  void on_server_limit(Instant now) { relays_.on_server_limit(now); }
  const NatStatus& own_nat() const { return here_.nat(); }
  // Where a rule in the router leads to this node, as far as traffic has shown.
  std::optional<Endpoint> rule(Instant now) const { return here_.rule(now); }
  // Which multicast this computer takes.
  void set_groups(GroupFilter filter, Instant now);
  // True once when set_groups() is needed.
  bool take_look_at_groups() { return listening_.take_look(); }
  // This machine's addresses changed, or it slept: every direct path has to be confirmed again.
  void on_network_change(Instant now);

  void on_upcalls(std::vector<dataplane::Upcall> upcalls, Instant now);
  void on_deadline(Instant now);
  Instant next_deadline() const {
    return std::min({anchors_.next_deadline(), peers_.next_deadline(), broadcasts_.next_deadline(),
                     relays_.quotas().next_deadline()});
  }
  // Ends a step: sends what waited for the table that results from it, and returns the table; null: nothing changed.
  std::shared_ptr<const dataplane::PeerTable> commit(Instant now);

  std::vector<PeerStatus> status(Instant now) const;
  // Only peers that had a session since the program started: no others can have had traffic.
  std::vector<PeerStatus> status_of_met(Instant now) const;
  // nullopt: no such peer.
  std::optional<PeerWhy> why(std::string_view name, Instant now) const;
  // Endpoints at which peers saw this node's data socket, other than known candidates; true once after a change.
  bool take_seen_changed() { return here_.take_seen_changed(); }
  const std::vector<Endpoint>& seen() const { return here_.seen(); }
  // The members with sessions or handshakes, and those that began one since the last call.
  std::vector<MemberId> in_touch() const;
  std::vector<MemberId> take_wanted() { return std::exchange(wanted_, {}); }
  // True once when nothing comes back through the server's relay any more: the bind must be renewed.
  bool take_relay_doubt() { return std::exchange(relay_doubt_, false); }
  // True once after traffic with a peer used the server's relay, or such a peer called: the bind must be verified.
  bool take_relay_used() { return std::exchange(relay_used_, false); }
  // True once when somebody is unknown here: who begins a handshake, or has an address that this computer asks for.
  bool take_list_doubt() { return std::exchange(list_doubt_, false); }
  // True once when the flow to a peer from the socket that the server sees is dead, and another may work.
  bool take_flow_doubt() { return std::exchange(flow_doubt_, false); }
  // What was recently dropped because of a problem on the LAN, and what else the user should know.
  std::vector<LanFinding> findings(Instant now) const;
  Counters& counters() { return counters_; }
  const Counters& counters() const { return counters_; }
  // One sentence each, for the log; emptied by the call.
  std::vector<std::string> take_notes() { return std::exchange(notes_, {}); }

 private:
  using Arrival = dataplane::Arrival;
  // Upcalls.
  void on(dataplane::HandshakeDatagram& datagram, Instant now);
  void on(dataplane::PathControl& control, Instant now);
  void on(dataplane::NeedSession& need, Instant now);
  void on(dataplane::SessionConfirmed& confirmed, Instant now);
  void on(dataplane::UnknownSession& unknown, Instant now);
  void on(dataplane::PeerWoke& woke, Instant now);
  void on(dataplane::HeardElsewhere& heard, Instant now);
  void on(dataplane::RelayWanted& wanted, Instant now);
  void on(dataplane::RelayLimited& limited, Instant now);
  void on(dataplane::ForTheSilent& frame, Instant now);
  void on(dataplane::FrameRefused& refused, Instant now);
  void on(dataplane::LoopSeen& seen, Instant now);
  void on(dataplane::TooManyGroupFrames& too_many, Instant now);
  void on(dataplane::PolicyDropped& dropped, Instant now);
  PeerStatus with_policy(PeerStatus status, const Peer& peer) const;
  void on(dataplane::UnwantedGroup& unwanted, Instant) { listening_.unwanted_from(unwanted.peer); }
  void on(dataplane::GroupsReported&, Instant) { listening_.reported(); }
  void on(dataplane::NobodyHas&, Instant) { list_doubt_ = true; }
  void on(dataplane::AbsentWanted& wanted, Instant) { lan_.on(wanted); }
  void serve_the_silent(Instant now);
  const Member* member(MemberId id) const { return peers_.member(id); }
  // Path messages (peers_paths.cc).
  void on(const mesh::PingMessage& ping, Peer& peer, const Arrival& arrival, std::uint32_t arrived, Instant now);
  void on(const mesh::PongMessage& pong, Peer& peer, const Arrival& arrival, Instant now);
  void on(const mesh::CallMessage& call, Peer& peer, const Arrival& arrival, Instant now);
  void take_call(const mesh::CallMessage& call, Peer& peer, const Arrival& arrival, Instant now);
  void on(const mesh::FindMessage& find, Peer& peer, const Arrival& arrival, Instant now);
  void on(const mesh::IntroduceMessage& introduce, Peer& peer, const Arrival& arrival, Instant now);
  void on(const mesh::OfferMessage& offer, Peer& peer, const Arrival& arrival, Instant now);
  void on(const mesh::SizePingMessage& ping, Peer& peer, const Arrival& arrival, Instant now);
  void on(const mesh::SizePongMessage& pong, Peer& peer, const Arrival& arrival, Instant now);
  void on(const mesh::GroupsMessage& groups, Peer& peer, const Arrival& arrival, Instant now);
  void probe_size(Peer& peer, Instant now);
  void call(Peer& peer, bool moved, Instant now);
  void ask_others_for(Peer& peer, Instant now);
  void refresh_candidates(Peer& peer, bool probe, Instant now);
  void seek_observers(Instant now);
  // Hard NATs.
  static Guessing::Target target_of(Peer& peer);  // without `at`
  void consider_guessing(Peer& peer, Guessing::Asked asked, Instant now);
  void run_guess(Peer& peer, Instant now);
  void close_left_sides(Instant now);
  // Relays.
  void offer_relaying(Instant now);
  void seek_relays(const Peer& peer, Instant now);
  void refresh_relays(Instant now);
  void tell_relay_limit(Instant now);
  // Handshakes.
  void on_initiation(const Arrival& arrival, ByteView datagram, Instant now);
  void on_response(const Arrival& arrival, ByteView datagram, Instant now);
  void on_cookie_reply(ByteView datagram, Instant now);
  void on_number_reply(ByteView datagram, Instant now);
  void start_handshake(Peer& peer, Instant now);
  void send_initiation(Peer& peer, int attempt, Instant now);
  void confirm(Peer& peer, std::uint32_t local_index, Instant now);
  void install(Peer& peer, Sessions::SessionPtr session, Instant now);
  void flush_waiting(Peer& peer, Instant now);
  // Timers.
  void keep_anchors(Instant now);
  void tick(Peer& peer, Instant now);
  void expire(Peer& peer, Instant now);
  void probe(Peer& peer, Instant now);
  Instant deadline_of(const Peer& peer) const;
  void settle();
  // Bookkeeping.
  void forget_sessions(Peer& peer, Instant now);
  void drop(MemberId id, Instant now);
  void take_in(MemberMap::Record record, Instant now);
  std::vector<IpAddress> addresses() const;  // that any peer may send from
  // Marks it as touched, as do the next two; a silent member becomes a Peer.
  Peer* find(MemberId id, Instant now);
  Peer* find_key(const PublicKey& key, Instant now);
  Peer* find_index(std::uint32_t index, Instant now);
  void wake(Peer& peer, Instant now) const;
  dataplane::Peer route(const Peer& peer) const;
  // With what the policy allows.
  dataplane::Peer ruled(const Peer& peer);
  // The snapshot for the data plane. Nobody says that it has changed: what it would say is compared with what it says,
  // for the peers that a step has touched.
  dataplane::NetworkView view();
  bool in_table(const Peer& peer, const std::vector<Sessions::SessionPtr>& receiving) const;
  bool differs_from_table(const Peer& peer);
  std::shared_ptr<const dataplane::PeerTable> make_table(dataplane::NetworkView view);
  Standpoint standpoint(Instant now) const;

  PeersParams params_;
  dataplane::Outbox& out_;
  Rng& rng_;
  Counters counters_;
  Surroundings here_;
  PeerSet peers_;
  Anchors anchors_;
  Sessions sessions_;
  WaitingFrames waiting_;
  Guessing guessing_;
  RelayDirectory relays_;
  Paths paths_;
  Sender sender_;
  Lan lan_;
  PolicyKeeper policy_;
  Listening listening_;

  std::optional<NetworkInfo> network_;
  Member self_;
  std::vector<ports::SocketId> left_sides_;
  bool relay_doubt_ = false;
  bool relay_used_ = false;
  bool list_doubt_ = false;
  bool flow_doubt_ = false;
  Instant flow_doubted_at_{};
  std::vector<MemberId> wanted_;
  Broadcasts broadcasts_;
  RateLimit silent_limit_;
  std::shared_ptr<const dataplane::PeerTable> table_;  // the latest
  bool stale_ = false;                                 // it no longer describes a peer that was touched since
  std::vector<std::string> notes_;
  std::optional<Instant> began_;  // when this node last changed its identity
};

}  // namespace eps::node
