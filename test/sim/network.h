#pragma once

// The simulated underlay: hosts with one address each, datagrams that are delayed, lost, repeated and overtaken, and
// byte streams that are only delayed or cut.

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

namespace eps::sim {

struct Weather {
  Duration delay = std::chrono::milliseconds(5);
  Duration jitter = std::chrono::milliseconds(1);  // beyond a spacing of two datagrams it reorders them
  double loss = 0;
  double duplication = 0;
};

class Network;

// A host's UDP socket. Received runs are handed to the owner by on_datagram.
class SimUdp final : public ports::UdpPort {
 public:
  SimUdp(Network& network, Endpoint local) : network_(network), local_(local) {}
  ~SimUdp() override;
  std::size_t receive(std::span<ports::RxDatagram> out) override;
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override;
  std::optional<ports::SocketId> open_side() override;
  void close_side(ports::SocketId socket) override { sides_.erase(socket); }
  const Endpoint& local() const { return local_; }
  std::function<void()> on_readable;

 private:
  friend class Network;
  struct Waiting {
    Endpoint from;
    Bytes bytes;
    std::uint16_t segment_size;
  };
  Network& network_;
  Endpoint local_;
  std::vector<Waiting> inbox_;
  std::vector<Waiting> lent_;  // what the last receive handed out
  std::map<ports::SocketId, std::unique_ptr<SimUdp>> sides_;
  std::uint16_t next_side_port_ = 20000;
};

// One end of a byte stream between two hosts.
struct SimStream {
  std::function<void(ByteView)> on_bytes;
  std::function<void()> on_closed;
  void send(ByteView bytes);
  void close();
  bool open() const { return !closed_; }

 private:
  friend class Network;
  Network* network_ = nullptr;
  IpAddress host_;
  std::weak_ptr<SimStream> other_;
  Instant last_arrival_{};
  bool closed_ = false;
  bool lost_ = false;
};

class Network {
 public:
  Network(ClockQueue& clock, Rng& rng) : clock_(clock), rng_(rng) {}

  Weather weather;
  // Datagrams between these two hosts vanish (a NAT or firewall), or everything does (a partition).
  void block_udp(const IpAddress& a, const IpAddress& b, bool blocked);
  void partition(const IpAddress& a, const IpAddress& b, bool cut);

  // The acceptor at this endpoint; on_accept gets the server's end and the client's address.
  using Accept = std::function<void(std::shared_ptr<SimStream>, Endpoint)>;
  void listen(const Endpoint& at, Accept accept) { listeners_[at] = std::move(accept); }
  void unlisten(const Endpoint& at) { listeners_.erase(at); }
  // Calls back with the client's end, or null when nobody listens there.
  void connect(const IpAddress& from, const Endpoint& to, std::function<void(std::shared_ptr<SimStream>)> done);

  // Sees every datagram that anybody sends.
  std::function<void(const Endpoint& from, const Endpoint& to, ByteView)> on_wire;
  // Delivers these bytes as if somebody had sent them from there, without loss.
  void inject(const Endpoint& from, const Endpoint& to, Bytes bytes) { deliver(from, to, std::move(bytes)); }
  std::uint64_t datagrams_sent = 0;

 private:
  friend class SimUdp;
  friend struct SimStream;
  bool chance(double p) { return p > 0 && static_cast<double>(rng_.below(1'000'000)) < p * 1'000'000; }
  Duration travel();
  bool cut(const IpAddress& a, const IpAddress& b) const { return partitions_.contains(std::minmax(a, b)); }
  void transmit(const Endpoint& from, const Endpoint& to, ByteView bytes);
  void deliver(const Endpoint& from, const Endpoint& to, Bytes bytes);

  ClockQueue& clock_;
  Rng& rng_;
  std::map<Endpoint, SimUdp*> sockets_;
  std::map<Endpoint, Accept> listeners_;
  std::set<std::pair<IpAddress, IpAddress>> udp_blocked_;
  std::set<std::pair<IpAddress, IpAddress>> partitions_;

 public:
  void attach(SimUdp& socket) { sockets_[socket.local()] = &socket; }
  void detach(SimUdp& socket) {
    const auto it = sockets_.find(socket.local());
    if (it != sockets_.end() && it->second == &socket) sockets_.erase(it);
  }
};

}  // namespace eps::sim
