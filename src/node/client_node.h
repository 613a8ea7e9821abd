// SPDX-License-Identifier: MIT
#pragma once

// The whole client, sans I/O: the control connection, the bind to the server's data port, and the peers. The daemon
// and the simulation run this same code and differ only in who moves the bytes.
//
// A step publishes nothing and sends nothing: it returns both as a value (dataplane/commit.h).
//
// Thread rules: one thread at a time (the control thread). The data plane hands its upcalls back through on_upcalls().

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
#include "node/peers.h"
#include "ports/link.h"

namespace eps::node {

// Pauses between attempts to connect to the server, the last one again and again; each with up to 50 % more at random,
// so that a restarted server is not met by everybody at once: after it was away for 10 s, 200 clients come back spread
// over 4 s.
inline constexpr std::array<Duration, 6> kReconnect = {std::chrono::milliseconds(100), std::chrono::milliseconds(500),
                                                       std::chrono::seconds(1),        std::chrono::seconds(2),
                                                       std::chrono::seconds(5),        std::chrono::seconds(10)};
// What changed in the network is kept durably at most so often; new peers at once, and then as seldom.
inline constexpr Duration kKeepNetworkAfter = std::chrono::seconds(5);
// And for each member so much later, as the whole list is written: what is lost in a crash, the server says again.
inline constexpr Duration kKeepLaterPerMember = std::chrono::milliseconds(20);
// A deadline that is met so late: the machine slept, and the world may have changed meanwhile.
inline constexpr Duration kSlept = std::chrono::seconds(2);
// A server that has not answered by UDP so long after the welcome relays inside the control connection.
inline constexpr Duration kRelayHereAfter = std::chrono::seconds(1);
inline constexpr Duration kLastingConnection = std::chrono::seconds(10);

struct ClientParams {
  PeersParams peers;
  control::NetworkKey key;
  std::string name;
  std::string version;
  std::string device;
  std::uint16_t data_port = 0;                           // local UDP port, the one of local candidates
  OffloadStatus offloads;                                // for the status
  std::vector<IpNetwork> accepted = private_networks();  // where the server may put this computer
  bool enrolled = false;                                 // this key has been admitted by this server before
  std::optional<NetworkCache> cache = std::nullopt;      // what an earlier life kept, verified
  KnownPeers known = {};                                 // as well
  std::uint64_t run = 0;                                 // random; tells this life from a copy's
};

// What the caller has to do, in this order.
struct ClientOutputs {
  dataplane::Commit commit;  // to execute()
  // Bytes for TCP connections, and which of them to close after that.
  std::vector<std::pair<control::LinkId, Bytes>> to_server;
  std::vector<control::LinkId> disconnect;
  bool stop_dialing = false;              // what `connect` began
  bool connect = false;                   // resolve and dial the server's addresses and ports, one after the other
                                          // until told to stop: on_connected() for each connection that is made, and
                                          // on_dialed_all() at the end
  bool woke = false;                      // the machine slept: look at the network outside anew
  std::optional<ports::LinkConfig> link;  // configure the interface; a failure is fatal
  bool enrolled = false;                  // the server admitted this key: remember it durably
  std::optional<Bytes> keep_network;      // durably, in place of what was kept before; empty: nothing any more
  std::optional<std::string> keep_known;  // durably, in place of what was kept before
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
  // `all`: the addresses that the server is known by, this one among them, unless it is a proxy's.
  ClientOutputs on_connected(control::LinkId link, const Endpoint& server, std::vector<IpAddress> all, Instant now);
  // Nothing is left to dial; `why` says what failed.
  ClientOutputs on_dialed_all(const std::string& why, Instant now);
  ClientOutputs on_server_bytes(control::LinkId link, ByteView bytes, Instant now);
  ClientOutputs on_server_closed(control::LinkId link, const std::string& why, Instant now);
  // `rerouted`: the ways out are others than before, whether or not the addresses are.
  ClientOutputs on_local_addresses(std::vector<IpAddress> addresses, Instant now, bool rerouted = false);
  // Where no path may lead (ports::Underlay).
  void set_inside(std::vector<IpPrefix> inside, std::vector<IpPrefix> tunnels, Instant now) {
    peers_.set_inside(std::move(inside), std::move(tunnels), now);
  }
  // What routers forward to our data port now. Only UDP counts.
  ClientOutputs on_mapped(std::vector<PortMapping> mappings, Instant now);
  ClientOutputs on_upcalls(std::vector<dataplane::Upcall> upcalls, Instant now);
  ClientOutputs on_deadline(Instant now);
  // The control connection has room for about so many bytes of what waits to be relayed. What waits ages from the first
  // call on, so it is made also when there is none.
  ClientOutputs on_stream_room(std::size_t room, Instant now);
  Instant next_deadline() const;
  // What keep_network would have got a little later: for an orderly end.
  std::optional<Bytes> unkept_network();
  std::optional<std::string> unkept_known();

  const MemberList& members() const { return members_; }
  // Whether the key of this member is another than the one that was known.
  bool refuses(MemberId id) const { return known_.refused().contains(id); }
  // Accepts the key that the peer has now, by its name or address; a sentence about it. Errc::not_found.
  Result<std::string> trust(std::string_view peer, ClientOutputs& out, Instant now);
  // The TCP connection in which this computer is admitted; 0: none.
  control::LinkId link() const { return link_; }
  // Another TCP port of the server, which it told; 0: none.
  std::uint16_t also_port() const { return also_port_; }
  // As the server knows this member; before the first join as it wants to be called.
  const std::string& name() const { return self_ ? self_->name : params_.name; }
  // Whether machines behind this computer may have MACs and addresses of their own. False also before the first join.
  bool may_bridge() const { return peers_.may_bridge(); }
  ClientStatus status(Instant now) const;
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
  void on_event(const control::ListRefused& event, ClientOutputs& out, Instant now);
  void on_event(const control::Refused& event, ClientOutputs& out, Instant now);
  MembersChanged update_peers(bool records, MembersChanged changed, Instant now);
  PeerStatus status_of_refused(const Member& member) const;
  void recall(NetworkCache cache, ClientOutputs& out, Instant now);
  void set_self(const NetworkInfo& network, const Member& self, Instant now);
  void bring_up(ClientOutputs& out);
  void on_wake(Duration late, ClientOutputs& out, Instant now);
  void tell_stream(PeerStatus& peer) const;
  void relay_by(ServerRelay by, Instant now);
  void relay_here(bool here, ClientOutputs& out, Instant now);
  Instant relay_here_at() const;
  bool family_is_gone(const IpAddress& ip) const;
  void look_anew(ClientOutputs& out, Instant now);
  void search(ClientOutputs& out);
  void stop_search(ClientOutputs& out);
  void drop_connection(ClientOutputs& out);
  void doubt_server(ClientOutputs& out, Instant now);
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
  bool relay_here_ = false;  // what is relayed goes inside the control connection
  Instant bind_awaited_since_{};
  control::Admission admission_;                         // to connections that are no more than made
  std::optional<control::ClientConnection> connection_;  // in which this computer is admitted
  control::LinkId link_ = 0;                             // of connection_
  MemberList members_;
  KnownPeers known_;
  crypto::Signature list_signature_{};
  std::optional<NetworkInfo> network_;
  std::optional<Member> self_;
  bool look_at_all_ = false;  // at the next change of the list, and not at what has changed in it
  bool link_due_ = false;     // the interface does not have self_'s address yet
  std::uint16_t also_port_ = 0;
  std::optional<PublicKey> signing_key_;  // of the server, from the first join on
  Instant keep_at_ = kNever;              // what changed since is not durable yet
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
  int failures_ = 0;
  std::optional<Duration> come_back_;  // as the server asked when it was busy
  Instant connect_at_ = kNever;
  Instant started_{};
};

}  // namespace eps::node
