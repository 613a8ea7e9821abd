// SPDX-License-Identifier: MIT
#pragma once

// The server's end of all control connections. Sans I/O. Nobody is admitted and nothing is stored until a connection's
// first sealed message opens; until then a connection costs at most 512 bytes and five seconds.

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "base/run_set.h"
#include "base/time.h"
#include "control/arrivals.h"
#include "control/channel.h"
#include "control/copies.h"
#include "control/endpoint_news.h"
#include "control/join_limit.h"
#include "control/network_key.h"
#include "registry/registry.h"
#include "wire/control_messages.h"

namespace eps::control {

using ConnId = std::uint64_t;  // assigned by the caller, never reused

inline constexpr std::size_t kMaxUnauthenticatedBytes = 512;
inline constexpr Duration kAuthenticateWithin = std::chrono::seconds(5);
// Unauthenticated connections: beyond this the oldest is closed, first one that has not even shown that it knows the
// server's key. So neither a flood nor a thousand members that return at once keep the others out.
inline constexpr std::size_t kMaxUnauthenticated = 1024;
// Connections of one source that have not shown that they know the server's key. Beyond this the next one displaces the
// oldest, once that has had the time in which a client shows it; beyond the second limit even earlier. So nobody behind
// a NAT keeps the others there out.
inline constexpr std::size_t kMaxStrangersPerSource = 32;
inline constexpr std::size_t kMaxStrangersAtOnce = 128;
inline constexpr Duration kProveWithin = std::chrono::seconds(1);
// The pause between two rounds that tell everybody what changed. It grows with the cost of a round, so that changes
// gather: with the number of members, and with the bytes.
inline constexpr Duration kPushPause = std::chrono::milliseconds(20);
// While changes keep coming, as when many computers start, the pause doubles, up to a limit per member and a total
// limit: members that communicate with each other are told at once anyway, and each round is a packet to everybody and
// its acknowledgement. After this long without a round it is short again.
inline constexpr Duration kGatherPerMember = std::chrono::milliseconds(10);
inline constexpr Duration kMaxGather = std::chrono::milliseconds(500);
inline constexpr Duration kCalm = std::chrono::seconds(1);
inline constexpr Duration kPushPausePerMember = std::chrono::microseconds(50);
inline constexpr Duration kPushPausePerMegabyte = std::chrono::milliseconds(60);
inline constexpr Duration kMaxPushPause = std::chrono::seconds(5);
inline constexpr std::size_t kPushStep = 128;  // members served before anything else gets its turn
// Up to this many connected members, everybody is told everything; beyond it, only who is online, and the states of the
// members that a client asks for. Below three quarters of it, everything again.
inline constexpr std::size_t kTellAll = 256;
// Admissions are the server's most expensive work. When this many are used up, further clients are told when to return.
inline constexpr Duration kPerAdmission = std::chrono::milliseconds(2);
inline constexpr int kAdmissionsAtOnce = 1000;
// The same when more than this many are being admitted: this computer is too slow then.
inline constexpr std::size_t kMaxHandshakes = 256;
// First joins within this long after another are written to the store together.
inline constexpr Duration kGatherJoins = std::chrono::milliseconds(10);
inline constexpr Duration kServerDeadAfter = std::chrono::seconds(40);
// Of one connection, changes of the network lock that come to nothing or only propose one: their checks cost much.
inline constexpr int kMaxIdleLockChanges = 16;
// Log lines about rejected connections: beyond this many in a period, only their number is logged.
inline constexpr std::size_t kMaxRejectionsTold = 20;
inline constexpr Duration kRejectionPeriod = std::chrono::minutes(1);
// More than this between the clock and the time that has passed since it was last read: it was set, or the computer
// slept.
inline constexpr std::chrono::seconds kClockJump{30};

struct ServerConfig {
  std::string version;
  std::uint16_t data_port = kDefaultPort;
  std::uint16_t also_port = 0;  // an additional port for control connections; 0: none
  std::function<std::int64_t()> unix_time = [] { return std::int64_t{0}; };  // seconds since 1970
  std::size_t tell_all = kTellAll;
  int admissions_at_once = kAdmissionsAtOnce;
  Features features = kOwnFeatures;
};

// The line that a client needs to join with this key, or with the network's own.
NetworkKey network_key_of(const registry::Registry& registry, const JoinKey& key);
NetworkKey network_key_of(const registry::Registry& registry);

// Authenticates a member's data socket; new for each connection.
struct Credentials {
  crypto::Key bind_key;
  std::uint32_t relay_tag = 0;
};

struct ServerEvent {
  enum class Kind {
    joined,
    left,
    changed,  // what members may do, or the network
    removed,
    rejected,
    clock,  // it was set
    flood,  // a member changes its endpoints too often; see endpoint_news.h
  };
  Kind kind;
  std::string sentence;  // for the log; empty: there were too many of this member
  MemberId member = {};  // which joined or was removed
  bool members_changed() const { return kind < Kind::rejected; }
};

class Server {
 public:
  Server(registry::Registry& registry, ServerConfig config, Rng& rng);

  struct Outputs {
    std::vector<std::pair<ConnId, Bytes>> to_send;
    std::vector<ConnId> to_close;  // after sending the above
    std::vector<ServerEvent> events;
    std::vector<std::pair<MemberId, TrafficReport>> reports;
    std::vector<MemberId> gone;                                    // no longer valid; before those who joined
    std::vector<std::pair<MemberId, bool>> relay_here;             // see wire::RelayHere
    std::vector<std::pair<MemberId, std::vector<Bytes>>> relayed;  // datagrams that arrived in a control connection
  };
  Outputs on_open(ConnId id, const Endpoint& from, Instant now);
  Outputs on_bytes(ConnId id, ByteView bytes, Instant now);
  Outputs on_closed(ConnId id, Instant now);
  Outputs on_deadline(Instant now);
  Instant next_deadline() const;
  // The member's data socket was seen at this endpoint, which becomes its candidate, replacing the previous one of the
  // same address family.
  Outputs on_observed(MemberId member, const Endpoint& endpoint, Instant now);
  // Asks all members for a report of their traffic, some in each step.
  Outputs request_reports(Instant now);
  // Removes a member: it is told and disconnected, everybody else is told, its key is refused from now on.
  Result<Outputs> remove(std::string_view name, Instant now);
  // Removes members that were away too long (registry::Registry::expire()); everybody is told.
  Result<Outputs> expire(std::int64_t keep, Instant now);

  // Seconds since 1970. Notices when the clock was set (registry::Registry::clock_jumped()); expire() reports it.
  std::int64_t unix_time(Instant now);

  // Grants or revokes further addresses of a member; everybody is told.
  Result<Outputs> grant(std::string_view name, const IpNetwork& range, bool given, Instant now);
  Result<Outputs> grant_all(const IpNetwork& range, bool given, Instant now);
  Result<Outputs> permit(std::string_view name, Permission what, bool allowed, Instant now);
  // Gives a member a name; everybody is told.
  Result<Outputs> give_name(std::string_view name, std::string_view new_name, Instant now);
  // The policy, or the groups of a member; told to all. See Registry.
  Result<Outputs> set_policy(std::string text, Instant now);
  Result<Outputs> set_groups(std::string_view name, std::vector<std::string> groups, Instant now);

  // The member list begins anew (registry::Registry::recover()). All members are disconnected, and come back at once.
  Result<Outputs> recover(Instant now);

  // What an administrator of this server says of the network lock (registry::Registry); a sentence about it.
  Result<std::string> change_lock(const LockChange& change, Outputs& out, Instant now);
  Result<std::string> accept_lock(std::string_view id, Outputs& out, Instant now);

  // How many changes of its endpoints the others did not hear of at once, and whether there are too many just now.
  std::uint64_t held_news(MemberId member) const { return news_.held(member); }
  bool floods(MemberId member, Instant now) const { return by_member_.contains(member) && news_.floods(member, now); }

  // Datagrams for a member in its control connection.
  Outputs relay(MemberId member, std::vector<Bytes> datagrams);
  // Tells a member that it sends more through our relay than this.
  Outputs tell_relay_limit(MemberId member, const std::string& limit);
  // The connection of a member, and the reverse.
  std::optional<ConnId> connection_of(MemberId member) const;
  MemberId member_of(ConnId id) const;  // value 0: none
  // Null unless the member is connected.
  const Credentials* credentials(MemberId member) const;
  std::optional<Endpoint> connected_from(MemberId member) const;
  // The address of another computer with the key of a connected member; nullopt: none.
  std::optional<IpAddress> copy_at(MemberId member, Instant now) const {
    return by_member_.contains(member) ? copies_.at(member, now) : std::nullopt;
  }

 private:
  struct Connection {
    Endpoint from;
    Channel channel;
    Instant opened{};
    Instant last_received{};      // a complete message that opened
    Instant check_at = kNever;    // its entry in checks_
    Instant rekeyed{};            // it has its present keys since then
    bool stranger = true;         // it has not shown that it knows the server's key
    bool joining = false;         // its hello waits in joining_
    Bytes early;                  // what arrived after it in the meantime
    std::size_t early_bytes = 0;  // received before authentication
    PublicKey key;                // of the initiator, once its first message was read
    Purpose purpose = Purpose::member;
    std::uint32_t join_key = 0;        // with Purpose::first_join
    std::uint32_t secrets_before = 0;  // of that key
    MemberId member;                   // value 0: not admitted yet
    // What it was last told. In the form of version 0.1: of everything; otherwise of the records, and of the states.
    std::uint64_t list_version = 0;
    std::uint64_t held_version = 0;    // of the records, as it has them
    std::uint64_t states_version = 0;  // 0: nothing
    bool on_demand = false;            // it was told so
    std::size_t lock_entries = 0;      // of the network lock's chain
    int idle_lock_changes = 0;
    bool push_whole = false;
    Features features;  // of the client's program
    std::uint64_t run = 0;
    std::vector<MemberId> wanted;  // whose states it requested
    std::vector<MemberId> due;     // those of them that it must be told
    bool ending = false;
    bool arrival_told = false;  // in the log
    bool keeps_name = false;    // it may not change it now
    bool report_awaited = false;
    Credentials credentials;
    bool authenticated() const { return member.value != 0; }
    bool by_records() const { return features.has(Feature::records); }
    Instant deadline() const {
      return authenticated() ? last_received + kServerDeadAfter : opened + kAuthenticateWithin;
    }
  };
  // The rejections recently logged.
  struct Rejections {
    Instant since{};
    std::size_t told = 0;
    std::size_t untold = 0;
  };

  // server.cc: the life of a connection.
  void make_room(Outputs& out, Instant now);
  void check_later(ConnId id, Connection& c);
  void no_stranger(Connection& c);
  void on_frames(ConnId id, Connection& c, ByteView bytes, Outputs& out, Instant now);
  void reject(ConnId id, Connection& c, const std::string& why, Outputs& out, Instant now);
  void end(ConnId id, Connection& c, Outputs& out);
  void forget(ConnId id, Outputs& out);
  void forget_member(MemberId id);
  void forget_ended(Outputs& out);
  void tell_rejections(Outputs& out, Instant now);
  void send(ConnId id, Connection& c, const wire::ControlMessage& message, Outputs& out);

  // server_messages.cc: messages from clients.
  void on_initiation(ConnId id, Connection& c, const Bytes& frame, Outputs& out, Instant now);
  void on_message(ConnId id, Connection& c, wire::ControlMessage message, Outputs& out, Instant now);
  void on_hello(ConnId id, Connection& c, wire::Hello hello, Outputs& out, Instant now);
  bool must_wait(ConnId id, Connection& c, const Bytes& initiation, Outputs& out, Instant now);
  void finish_joins(Outputs& out, Instant now);
  void on_joined(ConnId id, Connection& c, const wire::Hello& hello, const std::string& old_name,
                 const registry::Registry::Joined& joined, Outputs& out, Instant now);
  bool is_copy(ConnId id, Connection& c, const Member& member, Outputs& out, Instant now);
  void admit(ConnId id, Connection& c, const Member& member, const RecoveryId& held, Outputs& out);
  void on_rekey(ConnId id, Connection& c, const wire::Rekey& rekey, Outputs& out, Instant now);
  void on_want(ConnId id, Connection& c, const wire::Want& want);
  void on_lock_change(ConnId id, Connection& c, const wire::LockProposed& proposed, Outputs& out, Instant now);
  void on_candidates(const Connection& c, std::vector<Candidate> announced, Outputs& out, Instant now);
  void on_news(const Member& member, Outputs& out, Instant now);
  void tell_news(MemberId member);
  static std::vector<Candidate> with_announced(const Member& member, const Endpoint& from,
                                               const std::vector<Candidate>& announced);
  static std::vector<Candidate> with_observed(const std::vector<Candidate>& known, const Endpoint& endpoint);
  void ask_for_reports(Outputs& out, Instant now);
  std::uint32_t new_relay_tag();

  // server_push.cc: messages to the members. All members in rounds, some of them in each step; at once for new members,
  // for requests, and for members whose communication partner changed state.
  void push(Outputs& out, Instant now);
  std::uint64_t news() const;
  bool lacks_records(const Connection& c) const;
  bool lacks_states(const Connection& c) const;
  void step_round(Outputs& out, Instant now);
  void serve_urgent(Outputs& out, Instant now);
  void tell(ConnId id, Connection& c, Outputs& out);
  void state_changed(MemberId member);
  void count_members();
  void forget_wishes(ConnId id, const Connection& c);
  const std::vector<Bytes>& old_delta(std::uint64_t since);
  void put_records(Connection& c, bool more, Bytes& to);
  void put_all_records(Connection& c, Bytes& to);
  static std::vector<Bytes> record_parts(const Delta& delta);
  const std::vector<Bytes>& states_since(std::uint64_t since);
  static wire::MemberState state_of(const Member& member);
  void refresh_news();

  registry::Registry& registry_;
  ServerConfig config_;
  Rng& rng_;
  std::map<ConnId, Connection> connections_;
  std::set<ConnId> unauthenticated_;
  std::unordered_map<MemberId, ConnId> by_member_;
  RunSet online_;  // the same members
  Rejections rejections_;
  std::optional<std::pair<Instant, std::int64_t>> clock_read_;  // when it was last read, and its value
  std::vector<ServerEvent> clock_events_;                       // for expire() to report
  JoinLimit join_limit_;
  EndpointNews news_;
  Copies copies_;
  Arrivals arrivals_;
  std::set<std::pair<Instant, ConnId>> checks_;  // no connection times out before its entry
  std::map<IpAddress, std::size_t> strangers_;   // per source
  std::unordered_set<std::uint32_t> tags_;
  std::size_t by_old_form_ = 0;  // connections of clients of version 0.1

  // Admission.
  std::vector<std::pair<ConnId, wire::Hello>> joining_;
  Instant join_at_ = kNever;
  Instant joined_at_{};        // the last write
  std::vector<ConnId> ended_;  // connections of a batch to forget when the step ends
  Instant admitted_until_{};
  Instant next_turn_{};

  std::optional<ConnId> ask_from_;  // the next one to ask for a report
  Instant ask_at_ = kNever;

  // Updates.
  Instant push_at_ = kNever;
  std::uint64_t told_ = 0;       // the version that a round sent, or is sending
  std::optional<ConnId> round_;  // continues with this connection
  std::size_t round_bytes_ = 0;
  Instant round_at_{};  // no round starts before
  Duration gather_{};   // the pause in which changes gather
  std::set<ConnId> urgent_;
  Instant urgent_at_{};
  bool on_demand_ = false;
  std::unordered_map<MemberId, std::set<ConnId>> wanted_by_;
  // Encoded for one, needed by most others as well; of the registry's version encoded_at_.
  std::uint64_t encoded_at_ = 0;
  std::map<std::uint64_t, std::vector<Bytes>> old_deltas_;
  std::map<std::uint64_t, std::vector<Bytes>> records_;
  std::map<std::uint64_t, std::vector<Bytes>> states_;
  // All records by groups of 64 ids, as of chunks_at_.
  std::map<std::uint32_t, Bytes> chunks_;
  std::uint64_t chunks_at_ = 0;
};

}  // namespace eps::control
