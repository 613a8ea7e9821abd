// SPDX-License-Identifier: MIT
#pragma once

// The whole server, sans I/O: the control connections, the registry behind them, the binds of the members' data
// sockets, and the table that the relay works from.
//
// Thread rules: one thread at a time (the control thread).

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
};

// What the caller has to do, in this order.
struct ServerOutputs {
  std::vector<std::pair<control::ConnId, Bytes>> to_send;
  std::vector<control::ConnId> to_close;
  bool members_changed = false;    // somebody came, went, was removed or has another name
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
  // The control connections for which relayed datagrams wait, when the port says that some do. They age from then on.
  std::vector<control::ConnId> streams_waiting(Instant now);
  // Whether any do for this one.
  bool stream_waits(control::ConnId id) const { return udp_.waits(control_.member_of(id)); }
  // This connection has room for about so many bytes of them.
  ServerOutputs on_stream_room(control::ConnId id, std::size_t room, Instant now);
  Instant next_deadline() const { return control_.next_deadline(); }
  // Asks all members what they counted; status() has it when they have answered.
  ServerOutputs request_reports(Instant now);
  // Evicts a member.
  Result<ServerOutputs> remove(std::string_view name, Instant now);
  // Removes ephemeral members that have left, and whoever has been away for `keep` seconds (0: nobody).
  Result<ServerOutputs> expire(std::int64_t keep, Instant now);
  Result<ServerOutputs> grant(std::string_view name, const IpNetwork& range, bool given, Instant now);
  Result<ServerOutputs> allow_bridge(std::string_view name, bool allowed, Instant now);

  // Makes durable when each member was last here; every now and then, and before the end.
  Result<void> keep_last_seen(Instant now);

  // Without its pairs it costs a few milliseconds with 10,000 members.
  ServerStatus status(Instant now, bool with_pairs = true) const;
  // What status() has of them.
  std::pair<TrafficTotals, std::uint64_t> totals() const;
  std::vector<PairStatus> pairs() const;
  std::size_t pairs_told() const { return reports_.pairs().size(); }
  // Of all pairs, or of those of one member, the first kPairsPage behind `after`, ordered by `from` and `to`.
  struct PairsPage {
    ServerStatus status;                                // with these pairs and the members in them, nothing else
    std::optional<std::pair<MemberId, MemberId>> next;  // to go on behind; nullopt: that was the last
  };
  static constexpr std::size_t kPairsPage = 5000;
  PairsPage pairs_page(MemberId of, std::pair<MemberId, MemberId> after) const;
  Counters& counters() { return counters_; }

 private:
  struct Bound {
    Endpoint endpoint;  // by UDP; !valid(): none yet, what is relayed to it goes into its control connection
    bool here = false;  // it asked for the control connection: UDP does not reach it
    std::uint32_t tag = 0;
    std::uint64_t last_number = 0;
    std::uint64_t last_observed_number = 0;  // of requests that only ask how they are seen
    std::shared_ptr<Counters> counters = std::make_shared<Counters>();
  };
  ServerOutputs take(control::Server::Outputs from, Instant now);
  // take() without counting what is sent as the server's own.
  ServerOutputs carry(control::Server::Outputs from, Instant now);
  PairStatus as_told(const PairStatus& pair) const;
  void on_joined(MemberId member);
  void on_gone(MemberId member, Instant now);
  void on_relay_here(MemberId member, bool here);
  // Whether what is sent to this endpoint reaches the member, and not a stranger whose address somebody forged.
  bool proved(MemberId member, const Endpoint& from, const wire::BindRequest& request) const;
  std::uint64_t echo_for(MemberId member, const Endpoint& endpoint) const;
  void on_bind(const dataplane::HandshakeDatagram& datagram, ServerOutputs& out, Instant now);
  // What is bound of the member changed: to be published.
  void changed(MemberId member);
  void publish();

  registry::Registry& registry_;
  ServerParams params_;
  dataplane::StreamPort& udp_;
  dataplane::PublishedRelay& published_;
  control::Server control_;
  std::map<MemberId, Bound> bound_;    // of each member that is connected
  dataplane::RelayTable relay_table_;  // of the same
  Counters counters_;
  // On the control connections: our own messages, and how much of what was received is relayed traffic.
  TrafficTotals own_;
  std::uint64_t relayed_inside_ = 0;
  TrafficReports reports_;
  std::uint64_t connections_established_ = 0;
  Instant started_;
  crypto::Key echo_secret_;
  std::optional<ports::UdpPort::Side> second_;  // a second port, with which members find out how their NAT behaves
};

}  // namespace eps::node
