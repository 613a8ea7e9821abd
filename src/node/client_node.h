// SPDX-License-Identifier: MIT
#pragma once

// The complete client, sans I/O: the control connection, the bind to the server's data port, and the peers. The daemon
// and the simulation run this same code and differ only in how bytes are transported.
//
// A step publishes nothing and sends nothing: it returns both as a value (dataplane/commit.h).
//
// Thread rules: one thread at a time (the control thread). The data plane returns its upcalls through on_upcalls().

#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "control/admission.h"
#include "control/network_key.h"
#include "dataplane/commit.h"
#include "dataplane/stream_port.h"
#include "dataplane/upcall.h"
#include "model/members_changed.h"
#include "model/status.h"
#include "node/bind.h"
#include "node/lock_guard.h"
#include "node/peers.h"
#include "ports/link.h"

namespace eps::node {

// Pauses between connection attempts to the server, the last one repeated; each is extended by up to 50 % at random, so
// that a restarted server is not flooded: after an outage of 10 s, 200 clients return spread over
// 4 s.
inline constexpr std::array<Duration, 6> kReconnect = {std::chrono::milliseconds(100), std::chrono::milliseconds(500),
                                                       std::chrono::seconds(1),        std::chrono::seconds(2),
                                                       std::chrono::seconds(5),        std::chrono::seconds(10)};
// Changes of the network are stored at most this often: at once for new peers, and then at this interval.
inline constexpr Duration kKeepNetworkAfter = std::chrono::seconds(5);
// Plus this much per member, because the whole list is written: the server repeats what a crash loses.
inline constexpr Duration kKeepLaterPerMember = std::chrono::milliseconds(20);
// A deadline missed by this much means that the machine slept, and the network may have changed meanwhile.
inline constexpr Duration kSlept = std::chrono::seconds(2);
// If the server has not answered by UDP this long after the welcome, it relays inside the control connection.
inline constexpr Duration kRelayHereAfter = std::chrono::seconds(1);
// With more members than this the control connection is pinged less often (control::kSparsePings), while UDP works.
inline constexpr std::size_t kLargeNetwork = 500;
inline constexpr Duration kLastingConnection = std::chrono::seconds(10);
// Between two probes because of unknown members: a stranger's datagrams, or programs that ask for an unused address,
// must not become a stream to the server.
inline constexpr Duration kListDoubtPause = std::chrono::seconds(3);

struct ClientParams {
  PeersParams peers;
  control::NetworkKey key;
  std::string name;
  std::string version;
  std::string device;
  std::uint16_t data_port = 0;                           // local UDP port, which local candidates have
  OffloadStatus offloads;                                // for the status
  std::vector<IpNetwork> accepted = private_networks();  // acceptable networks for this computer
  bool enrolled = false;                                 // this server has admitted this key before
  std::optional<NetworkCache> cache = std::nullopt;      // stored by an earlier run, verified
  KnownPeers known = {};                                 // likewise
  LockGuard lock = {};                                   // likewise
  std::uint64_t run = 0;                                 // random; distinguishes this run from a copy
  Duration control_rekey_after = control::kRekeyAfter;   // of the control connection
  std::function<std::int64_t()> unix_time = [] { return std::int64_t{0}; };  // seconds since 1970; 0: unknown
};

// What the caller must do, in this order.
struct ClientOutputs {
  dataplane::Commit commit;  // to execute()
  // Bytes for TCP connections, and which of them to close afterwards.
  std::vector<std::pair<control::LinkId, Bytes>> to_server;
  std::vector<control::LinkId> disconnect;
  bool stop_dialing = false;              // cancels `connect`
  bool connect = false;                   // resolve and dial the server's addresses and ports, one after the other,
                                          // until told to stop: on_connected() for each established connection, and
                                          // on_dialed_all() at the end
  bool woke = false;                      // the machine slept: examine the network outside again
  bool look_at_groups = false;            // on_groups() is needed
  std::optional<ports::LinkConfig> link;  // configure the interface; a failure is fatal
  bool enrolled = false;                  // the server admitted this key: store that durably
  std::optional<Bytes> keep_network;      // to store durably, replacing the previous one; empty: delete it
  std::optional<std::string> keep_known;  // to store durably, replacing the previous one
  std::optional<std::string> keep_lock;   // likewise
  MembersChanged members_changed;         // log the changes of the list
  std::vector<std::string> notes;         // sentences for the log
  std::vector<std::string> warnings;      // sentences that somebody should read
  std::optional<std::string> fatal;       // end the program with this sentence

  void merge(ClientOutputs&& other);
};

class ClientNode {
 public:
  ClientNode(ClientParams params, dataplane::StreamPort& udp, Rng& rng);

  ClientOutputs start(std::vector<IpAddress> local_addresses, Instant now);
  // `all`: the known addresses of the server, including this one, unless it is a proxy's.
  ClientOutputs on_connected(control::LinkId link, const Endpoint& server, std::vector<IpAddress> all, Instant now);
  // All addresses were dialled; `why` says what failed.
  ClientOutputs on_dialed_all(const std::string& why, Instant now);
  ClientOutputs on_server_bytes(control::LinkId link, ByteView bytes, Instant now);
  ClientOutputs on_server_closed(control::LinkId link, const std::string& why, Instant now);
  // `rerouted`: routes to the outside have changed, whether or not the addresses have.
  ClientOutputs on_local_addresses(std::vector<IpAddress> addresses, Instant now, bool rerouted = false);
  // The next search dials other servers than the ones before.
  ClientOutputs on_new_servers(Instant now);
  // Where no path may lead (ports::Underlay).
  void set_inside(std::vector<IpPrefix> inside, std::vector<IpPrefix> tunnels, Instant now) {
    peers_.set_inside(std::move(inside), std::move(tunnels), now);
  }
  // Which multicast the interface takes.
  ClientOutputs on_groups(GroupFilter filter, Instant now);
  // What routers currently forward to our data port. Only UDP counts.
  ClientOutputs on_mapped(std::vector<PortMapping> mappings, Instant now);
  ClientOutputs on_upcalls(std::vector<dataplane::Upcall> upcalls, Instant now);
  ClientOutputs on_deadline(Instant now);
  // The control connection has room for about this many bytes of queued relay traffic. Queued data ages from the first
  // call on, so call it even when there is no room.
  ClientOutputs on_stream_room(std::size_t room, Instant now);
  Instant next_deadline() const;
  // What keep_network would contain a little later: for an orderly shutdown.
  std::optional<Bytes> unkept_network();
  std::optional<std::string> unkept_known();
  std::optional<std::string> unkept_lock();

  const MemberList& members() const { return members_; }
  // Whether this member is treated as if it were not a member: its key differs from the known one, or the network lock
  // has not signed it.
  bool refuses(MemberId id) const { return refused_.contains(id); }
  // Accepts the present key of the peer with this name or address; returns a sentence about it. Errc::not_found.
  Result<std::string> trust(std::string_view peer, ClientOutputs& out, Instant now);
  const LockGuard& lock() const { return lock_; }
  // The policy that this computer enforces.
  const NetworkPolicy& policy() const { return policy_; }
  const std::optional<NetworkInfo>& network() const { return network_; }
  // Brings what a signer of the network lock signed to the server; lock_answer() has its answer some time later.
  // Errc::unavailable without a connection, Errc::unsupported where the server is too old.
  Result<void> propose_lock(std::uint32_t ticket, LockChange change, ClientOutputs& out, Instant now);
  const std::optional<control::LockAnswered>& lock_answer() const { return lock_answer_; }
  // The TCP connection through which this computer is admitted; 0: none.
  control::LinkId link() const { return link_; }
  // Another TCP port of the server, as announced by it; 0: none.
  std::uint16_t also_port() const { return also_port_; }
  // The member's name at the server; before the first join, the requested one.
  const std::string& name() const { return self_ ? self_->name : params_.name; }
  // Whether machines behind this computer may have their own MACs and addresses. Also false before the first join.
  bool may_bridge() const { return peers_.may_bridge(); }
  bool machine_passed(int ip_version) const { return peers_.machine_passed(ip_version); }
  // With the peers that there was never a session with it costs as much as there are members.
  ClientStatus status(Instant now, bool with_silent = true) const;
  // By the peer's name or address; nullopt: there is no such peer.
  std::optional<PeerWhy> why(std::string_view peer, Instant now) const;
  Counters& counters() { return peers_.counters(); }

 private:
  ClientOutputs take(control::ClientConnection::Outputs from, Instant now);
  ClientOutputs take(control::Admission::Outputs from, Instant now);
  void run_events(const std::vector<control::ClientEvent>& events, ClientOutputs& out, Instant now);
  void on_event(const control::Proved&, ClientOutputs&, Instant) {}
  void on_event(const control::Silent& event, ClientOutputs& out, Instant now);
  void on_event(const control::Heard& event, ClientOutputs& out, Instant now);
  ClientOutputs pass_deadline(Instant now);
  void on_event(const control::Welcomed& event, ClientOutputs& out, Instant now);
  void on_event(const control::ListChanged& event, ClientOutputs& out, Instant now);
  void on_event(const control::ReportRequested& event, ClientOutputs& out, Instant now);
  void on_event(const control::Relayed& event, ClientOutputs& out, Instant now);
  void on_event(const control::RelayLimited& event, ClientOutputs& out, Instant now);
  void on_event(const control::LockAnswered& event, ClientOutputs&, Instant) { lock_answer_ = event; }
  void on_event(const control::ListRefused& event, ClientOutputs& out, Instant) { out.notes.push_back(event.sentence); }
  void on_event(const control::ListReplaced& event, ClientOutputs& out, Instant) {
    out.warnings.push_back(event.sentence);
  }
  void on_event(const control::Refused& event, ClientOutputs& out, Instant now);
  MembersChanged update_peers(bool records, MembersChanged changed, Instant now);
  PeerStatus status_of_refused(const Member& member) const;
  void recall(NetworkCache cache, ClientOutputs& out, Instant now);
  void set_self(const NetworkInfo& network, const Member& self, Instant now);
  void look_at_lock(MembersChanged& changed, Instant now);
  std::string waiting_sentence() const;
  void bring_up(ClientOutputs& out);
  void on_wake(Duration late, ClientOutputs& out, Instant now);
  void tell_stream(PeerStatus& peer) const;
  std::optional<Endpoint> port_of_a_rule() const;
  void relay_by(ServerRelay by, Instant now);
  void relay_here(bool here, ClientOutputs& out, Instant now);
  Instant relay_here_at() const;
  bool family_is_gone(const IpAddress& ip) const;
  void look_anew(ClientOutputs& out, Instant now);
  void search(ClientOutputs& out);
  void stop_search(ClientOutputs& out);
  void drop_connection(ClientOutputs& out);
  void doubt_server(ClientOutputs& out, Instant now);
  void doubt_list(ClientOutputs& out, Instant now);
  void search_now(Instant now);
  void search_later(Instant now);
  void announce(ClientOutputs& out, Instant now);
  Duration keep_pause() const;
  void connection_lost(std::string why, ClientOutputs& out, Instant now);
  ClientOutputs finish(ClientOutputs out, Instant now);

  ClientParams params_;
  Rng& rng_;
  dataplane::StreamPort& udp_;
  dataplane::Outbox out_;
  Peers peers_;
  Bind bind_;
  std::uint32_t relay_tag_ = 0;
  bool relay_here_ = false;  // relayed traffic uses the control connection
  Instant bind_awaited_since_{};
  control::Admission admission_;                         // over connections that are established but not admitted
  std::optional<control::ClientConnection> connection_;  // through which this computer is admitted
  control::LinkId link_ = 0;                             // of connection_
  MemberList members_;
  KnownPeers known_;
  LockGuard lock_;
  NetworkPolicy policy_;
  std::map<MemberId, RefusedPeer> refused_;  // by either
  bool waits_ = false;                       // this computer is not signed by the network lock
  bool told_waits_ = false;
  std::vector<std::string> notes_;  // of the step
  Features server_features_;
  std::optional<control::LockAnswered> lock_answer_;
  LanFindings limits_;  // of the server that this computer exceeds
  crypto::Signature list_signature_{};
  std::optional<NetworkInfo> network_;
  std::optional<Member> self_;
  bool look_at_all_ = false;  // at the next change of the list, examine all of it rather than the changes
  bool link_due_ = false;     // the interface does not have self_'s address yet
  std::uint16_t also_port_ = 0;
  std::optional<PublicKey> signing_key_;  // of the server, from the first join on
  Instant keep_at_ = kNever;              // later changes are not durable yet
  std::optional<Instant> known_kept_at_;
  std::optional<Endpoint> server_;
  std::vector<IpAddress> server_addresses_;
  std::vector<IpAddress> local_addresses_;
  std::vector<PortMapping> port_mappings_;
  std::string server_version_;
  std::string server_note_ = "not connected yet";
  std::string last_failure_;
  bool admitted_ = false;
  std::uint64_t connections_established_ = 0;
  Instant admitted_at_{};
  Instant list_doubted_at_{};
  int failures_ = 0;
  std::optional<Duration> come_back_;  // as requested by a busy server
  Instant connect_at_ = kNever;
  Instant started_{};
};

}  // namespace eps::node
