// SPDX-License-Identifier: MIT
#pragma once

// The simulated underlay: hosts with addresses of both families in nested realms, of which the outermost is the
// Internet and every other has NATs and firewalls in front; datagrams that are delayed, lost, duplicated and reordered,
// and byte streams that are only delayed or cut.
//
//     the Internet ──┬── host                      a realm's hosts reach each other by their own addresses; what leaves
//                    ├── NAT ── realm ── hosts     a realm passes its NAT (IPv4) or its firewall (IPv6); a realm behind
//                    └── NAT ── realm ── NAT ── …  a realm is a double NAT

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/rng.h"
#include "base/types.h"
#include "ports/udp.h"
#include "sim/clock_queue.h"
#include "sim/nat.h"

namespace eps::sim {

struct Weather {
  Duration delay = std::chrono::milliseconds(5);
  Duration jitter = std::chrono::milliseconds(1);  // beyond a spacing of two datagrams it reorders them
  double loss = 0;
  double duplication = 0;
};

using RealmId = std::uint32_t;
inline constexpr RealmId kInternet = 0;
using HostId = std::uint32_t;

class Network;

// A host's UDP socket, bound to a port on all of the host's addresses, whatever they become.
class SimUdp final : public ports::UdpPort {
 public:
  SimUdp(Network& network, HostId host, std::uint16_t port) : network_(network), host_(host), port_(port) {}
  ~SimUdp() override;
  // Another socket on the same port, as with SO_REUSEPORT: everything from one endpoint arrives at one of them. Lives
  // as long as this one.
  SimUdp& add_queue();
  // Its process has ended: it neither sends nor receives any more.
  void close();
  std::size_t receive(std::span<ports::RxDatagram> out) override;
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override;
  std::optional<Side> open_side() override;
  void close_side(ports::SocketId socket) override { sides_.erase(socket); }
  std::function<void()> on_readable;
  // Called by a receiving or sending thread, at the beginning of the call and at its end: other threads may run there.
  std::function<void()> on_call;

 private:
  friend class Network;
  struct Waiting {
    Endpoint from;
    Bytes bytes;
    std::uint16_t segment_size;
  };
  Network& network_;
  HostId host_;
  std::uint16_t port_;
  std::vector<Waiting> inbox_;
  std::vector<Waiting> lent_;  // what the last receive returned
  void called() const {
    if (on_call) on_call();
  }
  std::size_t take(std::span<ports::RxDatagram> out);
  SimUdp& queue_for(const Endpoint& from);
  std::map<ports::SocketId, std::unique_ptr<SimUdp>> sides_;
  std::uint16_t next_side_port_ = 20000;
  std::vector<std::unique_ptr<SimUdp>> queues_;  // beside this one
  bool main_ = true;                             // known to the network
  bool closed_ = false;
};

// One end of a byte stream between two hosts.
struct SimStream : std::enable_shared_from_this<SimStream> {
  std::function<void(ByteView)> on_bytes;
  std::function<void()> on_closed;
  void send(ByteView bytes);
  void close();
  bool open() const { return !closed_; }

 private:
  friend class Network;
  Network* network_ = nullptr;
  HostId host_ = 0;
  bool moved() const;  // the host has moved, or a NAT in front of it has forgotten the stream
  void pass(std::function<void(SimStream&)> what);
  void take(HostId from, bool gone, const std::function<void(SimStream&)>& what);
  std::pair<std::uint32_t, std::uint32_t> epoch_;
  std::weak_ptr<SimStream> other_;
  Instant last_arrival_{};
  bool closed_ = false;
  bool lost_ = false;
};

class Network {
 public:
  Network(ClockQueue& clock, Rng& rng);

  Weather weather;  // for traffic across the Internet
  Weather lan_weather{std::chrono::microseconds(300), std::chrono::microseconds(100), 0, 0};

  // A realm inside another one. Without a NAT no IPv4 leaves it; without a firewall IPv6 passes freely.
  RealmId add_realm(RealmId outer, const std::optional<NatBehaviour>& nat,
                    const std::optional<NatBehaviour>& firewall = std::nullopt);
  Nat& nat(RealmId realm) { return *realms_[realm].nat; }
  Nat& firewall(RealmId realm) { return *realms_[realm].firewall; }
  // An unused address in the realm; every realm but the Internet has the same IPv4 network, like homes.
  IpAddress new_ip4(RealmId realm);
  IpAddress new_ip6(RealmId realm);

  HostId add_host(RealmId realm, std::vector<IpAddress> addresses);
  // Connects it elsewhere, or gives it other addresses. Its streams are dead from then on, its sockets stay.
  void move_host(HostId host, RealmId realm, std::vector<IpAddress> addresses);
  void add_address(HostId host, const IpAddress& ip);
  // A router in front of the host forgets its streams alone, as one that keeps UDP mappings by their ports.
  void forget_streams(HostId host) { ++hosts_[host].moves; }
  const std::vector<IpAddress>& addresses(HostId host) const { return hosts_[host].addresses; }
  RealmId realm(HostId host) const { return hosts_[host].realm; }
  // Until then the host receives nothing: datagrams to it are lost, streams wait.
  void sleep(HostId host, Instant until) { hosts_[host].wakes_at = until; }
  Instant wakes_at(HostId host) const { return hosts_[host].wakes_at; }
  // No datagram enters or leaves the host.
  void block_udp(HostId host, bool blocked) { hosts_[host].udp_blocked = blocked; }
  // Where streams from this host may go; nullopt: anywhere.
  void allow_tcp_ports(HostId host, std::optional<std::set<std::uint16_t>> ports) {
    hosts_[host].tcp_ports = std::move(ports);
  }
  // Drops datagrams between these two hosts (a NAT or firewall), or everything (a partition).
  void block_udp(HostId a, HostId b, bool blocked) { set_pair(udp_blocked_, a, b, blocked); }
  void partition(HostId a, HostId b, bool cut) { set_pair(partitions_, a, b, cut); }
  // Drops larger datagrams between these two hosts.
  void limit_size(HostId a, HostId b, std::size_t bytes) { size_limits_[std::minmax(a, b)] = bytes; }

  // The acceptor at this port of the host; on_accept gets the server's end and the client's address as seen there.
  using Accept = std::function<void(std::shared_ptr<SimStream>, Endpoint)>;
  void listen(HostId host, std::uint16_t port, Accept accept) { listeners_[{host, port}] = std::move(accept); }
  void unlisten(HostId host, std::uint16_t port) { listeners_.erase({host, port}); }
  // Calls back with the client's end, or null if nobody listens there or the way is blocked.
  void connect(HostId from, const Endpoint& to, std::function<void(std::shared_ptr<SimStream>)> done);

  // Whether a middlebox drops what crosses the Internet from here to there.
  std::function<bool(const Endpoint& from, const Endpoint& to)> drops;
  // Observes every datagram that is sent, with its addresses after the sender's NATs.
  std::function<void(HostId sender, const Endpoint& from, const Endpoint& to, ByteView)> on_wire;
  // Delivers these bytes as if somebody on the Internet had sent them from there, without loss.
  void inject(const Endpoint& from, const Endpoint& to, Bytes bytes);
  std::uint64_t datagrams_sent = 0;
  std::uint64_t datagrams_sent_by(HostId host) const { return hosts_[host].sent; }
  // By streams, and in how many pieces.
  struct Streamed {
    std::uint64_t bytes = 0, pieces = 0;
  };
  const Streamed& streamed_to(HostId host) const { return hosts_[host].streamed; }

 private:
  friend class SimUdp;
  friend struct SimStream;
  struct Realm {
    RealmId outer = kInternet;
    std::unique_ptr<Nat> nat;
    std::unique_ptr<Nat> firewall;
    std::uint32_t used4 = 0, used6 = 0;
  };
  struct Host {
    RealmId realm = kInternet;
    std::vector<IpAddress> addresses;
    Instant wakes_at{};
    bool udp_blocked = false;
    std::optional<std::set<std::uint16_t>> tcp_ports;
    std::uint32_t moves = 0;
    std::uint64_t sent = 0;
    Streamed streamed;
    const IpAddress* source_for(const IpAddress& to) const;
  };
  // A datagram at the outermost point of its route.
  struct Transit {
    RealmId realm = kInternet;
    std::optional<RealmId> left;  // the realm that it last left
    Endpoint from, to;
  };
  using Socket = std::pair<HostId, std::uint16_t>;
  static void set_pair(std::set<std::pair<HostId, HostId>>& pairs, HostId a, HostId b, bool in);
  bool chance(double p) { return p > 0 && static_cast<double>(rng_.below(1'000'000)) < p * 1'000'000; }
  Duration travel(const Weather& of);
  bool too_large(HostId a, HostId b, std::size_t size) const {
    const auto limit = size_limits_.find(std::minmax(a, b));
    return limit != size_limits_.end() && size > limit->second;
  }
  bool cut(HostId a, HostId b) const { return partitions_.contains(std::minmax(a, b)); }
  std::pair<std::uint32_t, std::uint32_t> epoch(HostId host) const;
  bool within(RealmId realm, const IpAddress& ip) const;
  std::optional<RealmId> next_inner(RealmId realm, const IpAddress& ip) const;
  Nat* gate(RealmId realm, const IpAddress& ip) const;
  std::optional<Transit> ascend(HostId host, std::uint16_t port, const Endpoint& to);
  std::optional<Socket> descend(Transit transit);
  std::optional<Socket> listener_for(HostId from, Endpoint to, IpAddress& source) const;
  void transmit(HostId host, std::uint16_t port, const Endpoint& to, ByteView bytes);
  void deliver(std::optional<HostId> origin, const Transit& transit, Bytes bytes);

  ClockQueue& clock_;
  Rng& rng_;
  std::vector<Realm> realms_;
  std::vector<Host> hosts_;
  std::map<std::pair<RealmId, IpAddress>, HostId> hosts_at_;
  std::map<std::pair<RealmId, IpAddress>, RealmId> gates_at_;  // a NAT's external address -> the realm behind it
  std::map<IpAddress, HostId> hosts_by_ip6_;
  std::map<Socket, SimUdp*> sockets_;
  std::map<Socket, Accept> listeners_;
  std::set<std::pair<HostId, HostId>> udp_blocked_;
  std::set<std::pair<HostId, HostId>> partitions_;
  std::map<std::pair<HostId, HostId>, std::size_t> size_limits_;

 public:
  void attach(SimUdp& socket) { sockets_[{socket.host_, socket.port_}] = &socket; }
  void detach(SimUdp& socket) {
    const auto it = sockets_.find({socket.host_, socket.port_});
    if (it != sockets_.end() && it->second == &socket) sockets_.erase(it);
  }
};

}  // namespace eps::sim
