// SPDX-License-Identifier: MIT
#pragma once

// What the daemons report about themselves: plain values, filled by node/, turned into text and JSON by report/.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "model/nat.h"
#include "model/network.h"
#include "model/network_lock.h"
#include "model/offload.h"
#include "model/path_kind.h"
#include "model/port_mapping.h"
#include "model/relay_limit.h"
#include "model/traffic_report.h"
#include "model/way.h"

namespace eps {

// What was tried on one path to a peer, and the outcome.
struct WayStatus {
  enum class Origin : std::uint8_t { local, observed, mapped, seen, heard, relay };
  Way way;
  Origin origin = Origin::heard;  // how this node learned of it
  bool in_use = false;
  bool answers = false;
  bool lossy = false;  // too lossy to be used while there is a better path
  std::optional<Duration> round_trip;
  std::uint32_t pings = 0, pongs = 0;  // sent to it, answered from it
  std::uint32_t heard = 0;             // other datagrams of the peer from there, as far as they are counted
  std::optional<Duration> since_ping, since_answer, since_heard;
};
inline const char* name_of(WayStatus::Origin origin) {
  switch (origin) {
    case WayStatus::Origin::local:
      return "its own interface";
    case WayStatus::Origin::observed:
      return "as the server sees it";
    case WayStatus::Origin::mapped:
      return "mapped by its router";
    case WayStatus::Origin::seen:
      return "as a member sees it";
    case WayStatus::Origin::heard:
      return "heard from there";
    case WayStatus::Origin::relay:
      break;
  }
  return "relay";
}

struct PathEvent {
  Duration ago{};
  std::string what;
};

struct NatStatus {
  NatMapping mapping = NatMapping::unknown;
  NatFiltering filtering = NatFiltering::unknown;
};

struct TrafficTotals {
  std::uint64_t packets_sent = 0, bytes_sent = 0;
  std::uint64_t packets_received = 0, bytes_received = 0;
  std::uint64_t packets_forwarded = 0, bytes_forwarded = 0;
};

struct PeerStatus {
  Member member;
  PathKind path = PathKind::none;
  std::optional<Endpoint> endpoint;         // where datagrams are sent: the peer's, or the relay's
  bool over_tcp = false;                    // relayed by the server inside our control connection
  std::optional<Duration> since_handshake;  // age of the session in use
  std::optional<Duration> since_heard;      // since anything from it authenticated; nullopt: nothing has yet
  std::optional<Duration> round_trip;       // last measured on the path in use
  std::optional<std::size_t> path_mtu;      // IP packets of this size were confirmed there; none before large traffic
  std::string aead;                         // "" without a session
  std::string aead_library;
  TrafficTotals traffic;
  NatMapping nat = NatMapping::unknown;   // in front of the peer, according to the peer
  std::optional<MemberId> relay;          // if relayed: by whom; the server is kServerRelay
  bool refused = false;                   // its key is not the known one; why_relayed explains
  bool unreachable = false;               // there was something to send to it, but nothing comes back
  std::string why_relayed;                // one sentence; "" unless it is relayed or has no path
  std::vector<std::string> policy_drops;  // sentences: what the policy last dropped to it and from it
  std::string how_to_mend;                // one sentence; "" when nothing is wrong or nothing can be done
};

// The policy that a client enforces.
struct PolicyStatus {
  std::size_t rules = 0;
  std::string trouble;  // sentence; "": it is enforced as it was written
  struct Dropped {
    std::uint32_t line = 0;  // 0: no rule allowed it
    std::string rule;        // "line 7: deny all to db"
    std::uint64_t packets = 0;
  };
  std::vector<Dropped> dropped;  // by this policy, where it is any
};

// Everything known about the paths to one peer.
struct PeerWhy {
  PeerStatus peer;
  NatStatus own_nat;
  std::vector<WayStatus> ways;
  std::vector<PathEvent> events;  // oldest first
};

// Something dropped on the LAN side, and how to fix it.
struct LanFinding {
  std::string what, mend;  // sentences
  Duration ago{};          // when it last happened
};

// The network lock as a client knows it.
struct LockStatus {
  bool on = false;  // false: it has ended
  std::string id;
  std::vector<std::string> signers;
  bool waits = false;                 // this computer is not signed
  std::size_t not_signed = 0;         // peers that are refused for the lock's sake
  std::vector<std::string> troubles;  // sentences
};

struct ClientStatus {
  std::string name;
  std::string version;
  PublicKey key;
  std::string device;
  std::optional<Member> self;  // nullopt until the first join
  std::optional<NetworkInfo> network;
  bool connected = false;            // to the server, admitted
  std::optional<Endpoint> server;    // the connection in use or the last one tried
  std::string server_note;           // why it is not connected, one sentence
  std::string server_version;        // of its program, as last reported; "" unknown
  std::uint64_t rekeys = 0;          // how often the control connection got new keys
  std::optional<Endpoint> observed;  // our data socket as the server sees it
  bool relay_over_tcp = false;       // the server does not answer by UDP
  NatStatus nat;
  std::uint64_t list_version = 0;
  std::uint16_t data_port = 0;  // local UDP port
  OffloadStatus offloads;
  std::vector<PortMapping> port_mappings;
  Duration uptime{};
  TrafficTotals traffic;
  std::uint64_t connections_established = 0;   // to the server, admitted
  std::map<std::string, std::uint64_t> drops;  // by reason, non-zero only
  std::vector<LanFinding> findings;
  std::optional<PolicyStatus> policy;  // nullopt: there is none
  std::optional<LockStatus> lock;      // nullopt: there never was one
  std::vector<PeerStatus> peers;
};

struct ServerMemberStatus {
  Member member;
  std::optional<Endpoint> control;          // TCP peer address while connected
  std::optional<Endpoint> data;             // bound UDP endpoint
  TrafficTotals relayed;                    // relayed for this sender (forwarded), and to it (sent)
  std::optional<Duration> uptime;           // of its program, as last reported
  std::optional<std::int64_t> last_seen;    // when it was last connected, Unix time; nullopt: not as far as is known
  bool over_tcp = false;                    // what is relayed to it is sent over its control connection
  std::optional<IpAddress> copy_at;         // the address of another computer with the same key
  std::uint64_t relay_limit_drops = 0;      // packets that it sent beyond the limit for relaying
  std::uint64_t endpoint_changes_held = 0;  // that the others did not hear of at once
  bool floods = false;                      // there are too many of them just now
  bool relay_limited = false;               // some of them within the last minute or two
  bool ephemeral = false;
  std::optional<std::int64_t> expires_in = {};  // seconds until it is removed if it stays away; nullopt: it is not
  NotSigned not_signed = NotSigned::nothing;
};

struct ServerStatus {
  std::string version;
  std::int64_t unix_time = 0;  // of this status
  NetworkInfo network;
  std::uint16_t port = 0;
  OffloadStatus offloads;  // only of its UDP socket, as it has no interface
  RelayLimit relay_limit;
  std::uint64_t list_version = 0;
  Duration uptime{};
  TrafficTotals traffic;
  std::uint64_t connections_established = 0;
  std::vector<PortMapping> port_mappings;
  std::map<std::string, std::uint64_t> drops;
  bool locked = false;                // by the network lock
  std::optional<bool> policy_signed;  // by the lock; nullopt: there is no lock, or no policy
  std::vector<ServerMemberStatus> members;
  std::vector<PairStatus> pairs;
  std::vector<std::string> troubles;  // sentences: what is wrong now
};

}  // namespace eps
