#pragma once

// The server's end of all control connections. Sans I/O. Nobody is admitted and nothing is stored before a connection's
// first sealed message opens; until then a connection costs at most 512 bytes and five seconds.

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "base/time.h"
#include "control/channel.h"
#include "control/join_limit.h"
#include "control/network_key.h"
#include "registry/registry.h"
#include "wire/control_messages.h"

namespace eps::control {

using ConnId = std::uint64_t;  // given by the caller, never used twice

inline constexpr std::size_t kMaxUnauthenticatedBytes = 512;
inline constexpr Duration kAuthenticateWithin = std::chrono::seconds(5);
// Connections that have not authenticated: beyond this the oldest goes, first one that has not even shown that it knows
// the server's key. So neither a flood nor a thousand members that return at once keep the others out.
inline constexpr std::size_t kMaxUnauthenticated = 1024;
// Of one source, connections that have not shown that they know the server's key; the next one is closed at once.
inline constexpr std::size_t kMaxStrangersPerSource = 32;
inline constexpr Duration kPushPause = std::chrono::milliseconds(20);  // between two deltas to one member
inline constexpr Duration kServerDeadAfter = std::chrono::seconds(40);
// Sentences about rejected connections: beyond so many in so long, only their number is told.
inline constexpr std::size_t kMaxRejectionsTold = 20;
inline constexpr Duration kRejectionPeriod = std::chrono::minutes(1);

struct ServerConfig {
  std::string version;
  std::uint16_t data_port = kDefaultPort;
  std::uint16_t also_port = 0;  // where it listens for control connections as well; 0: nowhere
  std::function<std::int64_t()> unix_time = [] { return std::int64_t{0}; };  // seconds since 1970
};

// The line that a client needs to join with this key, or with the network's own.
NetworkKey network_key_of(const registry::Registry& registry, const JoinKey& key);
NetworkKey network_key_of(const registry::Registry& registry);

// What proves a member's data socket; new for each connection.
struct Credentials {
  crypto::Key bind_key;
  std::uint32_t relay_tag = 0;
};

struct ServerEvent {
  enum class Kind {
    joined,
    left,
    changed,  // a member has another name
    removed,
    rejected,
  };
  Kind kind;
  std::string sentence;  // for the log
  MemberId member = {};  // who joined
  bool members_changed() const { return kind != Kind::rejected; }
};

class Server {
 public:
  Server(registry::Registry& registry, ServerConfig config, Rng& rng);

  struct Outputs {
    std::vector<std::pair<ConnId, Bytes>> to_send;
    std::vector<ConnId> to_close;  // after what is to be sent
    std::vector<ServerEvent> events;
    std::vector<std::pair<MemberId, TrafficReport>> reports;
    std::vector<std::pair<MemberId, bool>> relay_here;             // see wire::RelayHere
    std::vector<std::pair<MemberId, std::vector<Bytes>>> relayed;  // datagrams that came in a control connection
  };
  Outputs on_open(ConnId id, const Endpoint& from, Instant now);
  Outputs on_bytes(ConnId id, ByteView bytes, Instant now);
  Outputs on_closed(ConnId id, Instant now);
  Outputs on_deadline(Instant now);
  Instant next_deadline() const;
  // The member's data socket was seen at this endpoint: that becomes a candidate of it, in place of the one before of
  // the same address family.
  Outputs on_observed(MemberId member, const Endpoint& endpoint, Instant now);
  // Asks all members for a report of their traffic.
  Outputs request_reports();
  // Evicts a member: it is told and disconnected, everybody else hears of it, its key is refused from now on.
  Result<Outputs> remove(std::string_view name, Instant now);

  // Gives a member further addresses or takes them back; everybody hears of it.
  Result<Outputs> grant(std::string_view name, const IpNetwork& range, bool given, Instant now);

  // Datagrams for a member in its control connection.
  Outputs relay(MemberId member, std::vector<Bytes> datagrams);
  // The connection of a member, and the other way round.
  std::optional<ConnId> connection_of(MemberId member) const;
  MemberId member_of(ConnId id) const;  // value 0: none
  // Null unless the member is connected.
  const Credentials* credentials(MemberId member) const;
  std::optional<Endpoint> connected_from(MemberId member) const;

 private:
  struct Connection {
    Endpoint from;
    Channel channel;
    Instant opened{};
    Instant last_received{};  // a whole message that opened
    Instant last_push{};
    std::size_t early_bytes = 0;  // received before it was authenticated
    PublicKey key;                // of the initiator, once its first message was read
    Purpose purpose = Purpose::member;
    std::uint32_t join_key = 0;  // with Purpose::first_join
    MemberId member;             // value 0: not admitted yet
    std::uint64_t list_version = 0;
    Features features;  // of the client's program
    bool push_whole = false;
    bool ending = false;
    bool report_awaited = false;
    Credentials credentials;
    bool authenticated() const { return member.value != 0; }
    Instant deadline() const {
      return authenticated() ? last_received + kServerDeadAfter : opened + kAuthenticateWithin;
    }
  };
  // What rejections the log has heard of lately.
  struct Rejections {
    Instant since{};
    std::size_t told = 0;
    std::size_t untold = 0;
  };

  // server.cc: the life of a connection.
  void make_room(Outputs& out, Instant now);
  void on_frames(ConnId id, Connection& c, ByteView bytes, Outputs& out, Instant now);
  void reject(ConnId id, Connection& c, const std::string& why, Outputs& out, Instant now);
  void end(ConnId id, Connection& c, Outputs& out);
  void forget(ConnId id, Outputs& out);
  void tell_rejections(Outputs& out, Instant now);
  void send(ConnId id, Connection& c, const wire::ControlMessage& message, Outputs& out);

  // server_messages.cc: what a client says.
  void on_initiation(ConnId id, Connection& c, const Bytes& frame, Outputs& out, Instant now);
  void on_message(ConnId id, Connection& c, wire::ControlMessage message, Outputs& out, Instant now);
  void on_hello(ConnId id, Connection& c, const wire::Hello& hello, Outputs& out, Instant now);
  void admit(ConnId id, Connection& c, const Member& member, Outputs& out);
  void on_candidates(Connection& c, const wire::Candidates& message);
  std::uint32_t new_relay_tag();

  // server_push.cc: what the members are told. Sends what changed to everyone who was not sent something a moment ago.
  void push(Outputs& out, Instant now);
  std::vector<Bytes> encode_delta(std::uint64_t since) const;

  registry::Registry& registry_;
  ServerConfig config_;
  Rng& rng_;
  std::map<ConnId, Connection> connections_;
  std::set<ConnId> unauthenticated_;
  std::unordered_map<MemberId, ConnId> by_member_;
  Rejections rejections_;
  JoinLimit join_limit_;
  Instant check_at_ = kNever;         // no connection is late or dead before
  Instant push_at_ = kNever;          // when somebody who is behind may be sent more
  std::uint64_t pushed_version_ = 0;  // everybody has this version, unless push_at_ says otherwise
};

}  // namespace eps::control
