// SPDX-License-Identifier: MIT
#pragma once

// The complete server, sans I/O: the control connections, the registry behind them, the binds of the members' data
// sockets, and the table that the relay uses.
//
// Thread rules: one thread at a time (the control thread).

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "control/server.h"
#include "crypto/secret.h"
#include "dataplane/peer_table.h"
#include "dataplane/relay.h"
#include "dataplane/stream_port.h"
#include "dataplane/upcall.h"
#include "model/status.h"
#include "node/bind.h"
#include "node/relay_quotas.h"
#include "node/traffic_reports.h"
#include "registry/registry.h"
#include "wire/datagram.h"

namespace eps::node {

struct ServerParams {
  std::string version;
  std::uint16_t port = kDefaultPort;
  std::uint16_t also_port = 0;                                               // of TCP; 0: none
  OffloadStatus offloads = {};                                               // for the status
  std::function<std::int64_t()> unix_time = [] { return std::int64_t{0}; };  // seconds since 1970
  RelayLimit relay_limit = {};                                               // for each member
};

// What the caller must do, in this order.
struct ServerOutputs {
  std::vector<std::pair<control::ConnId, Bytes>> to_send;
  std::vector<control::ConnId> to_close;
  bool members_changed = false;    // a member joined, left, was removed or changed its name
  std::vector<std::string> notes;  // sentences for the log

  void merge(ServerOutputs&& other);
};

class ServerNode {
 public:
  ServerNode(registry::Registry& registry, ServerParams params, dataplane::StreamPort& udp, Rng& rng,
             dataplane::PublishedRelay& published, Instant now);

  ServerOutputs on_open(control::ConnId id, const Endpoint& from, Instant now);
  ServerOutputs on_bytes(control::ConnId id, ByteView bytes, Instant now);
  ServerOutputs on_closed(control::ConnId id, Instant now);
  ServerOutputs on_upcalls(const std::vector<dataplane::Upcall>& upcalls, Instant now);
  ServerOutputs on_deadline(Instant now);
  // The control connections with waiting relayed datagrams, when the port says that there are some. They age from then.
  std::vector<control::ConnId> streams_waiting(Instant now);
  // Whether there are any for this one.
  bool stream_waits(control::ConnId id) const { return udp_.waits(control_.member_of(id)); }
  // This connection has room for about this many bytes of them.
  ServerOutputs on_stream_room(control::ConnId id, std::size_t room, Instant now);
  Instant next_deadline() const { return std::min(control_.next_deadline(), quotas_.next_deadline()); }
  // Holds from now on, for the members of now as well.
  void set_relay_limit(const RelayLimit& limit) { quotas_.set(limit); }
  // Asks all members for their counters; status() has them when they have answered.
  ServerOutputs request_reports(Instant now);
  // Removes a member.
  Result<ServerOutputs> remove(std::string_view name, Instant now);
  // Removes ephemeral members that have left, and members that were away for `keep` seconds (0: none). status() tells
  // who would be next by the same `keep`.
  Result<ServerOutputs> expire(std::int64_t keep, Instant now);
  Result<ServerOutputs> grant(std::string_view name, const IpNetwork& range, bool given, Instant now);
  Result<ServerOutputs> grant_all(const IpNetwork& range, bool given, Instant now);
  Result<ServerOutputs> permit(std::string_view name, Permission what, bool allowed, Instant now);
  Result<ServerOutputs> give_name(std::string_view name, std::string_view new_name, Instant now);
  Result<ServerOutputs> set_policy(std::string text, Instant now);
  Result<ServerOutputs> set_groups(std::string_view name, std::vector<std::string> groups, Instant now);
  // The member list begins anew; see control::Server.
  Result<ServerOutputs> recover(Instant now);
  Result<std::string> change_lock(const LockChange& change, ServerOutputs& out, Instant now);
  Result<std::string> accept_lock(std::string_view id, ServerOutputs& out, Instant now);

  // Stores durably when each member was last here; call it from time to time, and before the end.
  Result<void> keep_last_seen(Instant now);

  // Without its pairs it takes a few milliseconds with 10,000 members.
  ServerStatus status(Instant now, bool with_pairs = true) const;
  // The share of status() in it.
  std::pair<TrafficTotals, std::uint64_t> totals() const;
  std::vector<PairStatus> pairs() const;
  std::size_t pairs_told() const { return reports_.pairs().size(); }
  // Of all pairs, or of those of one member, the first kPairsPage after `after`, ordered by `from` and `to`.
  struct PairsPage {
    ServerStatus status;                                // with these pairs and the members in them, nothing else
    std::optional<std::pair<MemberId, MemberId>> next;  // where to continue; nullopt: this was the last page
  };
  static constexpr std::size_t kPairsPage = 5000;
  PairsPage pairs_page(MemberId of, std::pair<MemberId, MemberId> after) const;
  Counters& counters() { return counters_; }

 private:
  struct Bound {
    Endpoint endpoint;  // by UDP; !valid(): none yet, relayed traffic for it goes into its control connection
    bool here = false;  // it asked for the control connection: UDP does not reach it
    std::uint32_t tag = 0;
    std::uint64_t last_number = 0;
    std::uint64_t last_observed_number = 0;  // of requests that only ask how they are seen
    std::shared_ptr<Counters> counters = std::make_shared<Counters>();
  };
  ServerOutputs take(control::Server::Outputs from, Instant now);
  // take() without counting the output as the server's own.
  ServerOutputs carry(control::Server::Outputs from, Instant now);
  PairStatus as_told(const PairStatus& pair) const;
  std::string contradiction_in(const PairStatus& pair) const;
  void on_joined(MemberId member);
  void on_gone(MemberId member, Instant now);
  void on_relay_here(MemberId member, bool here);
  // Whether packets to this endpoint reach the member, rather than a stranger whose address somebody forged.
  bool proved(MemberId member, const Endpoint& from, const wire::BindRequest& request) const;
  std::uint64_t echo_for(MemberId member, const Endpoint& endpoint) const;
  void on_bind(const dataplane::HandshakeDatagram& datagram, ServerOutputs& out, Instant now);
  void tell(const RelayQuotas::Excess& excess, ServerOutputs& out, Instant now);
  // The member's binding changed and must be published.
  void changed(MemberId member);
  void publish();

  registry::Registry& registry_;
  ServerParams params_;
  dataplane::StreamPort& udp_;
  dataplane::PublishedRelay& published_;
  control::Server control_;
  std::map<MemberId, Bound> bound_;    // of each connected member
  dataplane::RelayTable relay_table_;  // of the same members
  RelayQuotas quotas_;
  Counters counters_;
  // On the control connections: our own messages, and the part of the received bytes that is relayed traffic.
  TrafficTotals own_;
  std::uint64_t relayed_inside_ = 0;
  std::int64_t keep_ = 0;
  TrafficReports reports_;
  std::uint64_t connections_established_ = 0;
  Instant started_;
  crypto::Key echo_secret_;
  std::optional<ports::UdpPort::Side> second_;  // a second port, with which members classify their NAT
};

}  // namespace eps::node
