#include "sim/network.h"

#include <algorithm>

namespace eps::sim {

SimUdp::~SimUdp() {
  network_.detach(*this);
}

std::size_t SimUdp::receive(std::span<ports::RxDatagram> out) {
  const std::size_t n = std::min(out.size(), inbox_.size());
  lent_.assign(std::make_move_iterator(inbox_.begin()),
               std::make_move_iterator(inbox_.begin() + static_cast<std::ptrdiff_t>(n)));
  inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(n));
  for (std::size_t i = 0; i < n; ++i) out[i] = {lent_[i].from, lent_[i].bytes, lent_[i].segment_size};
  std::size_t count = n;
  for (const auto& [id, side] : sides_) {
    const std::size_t more = side->receive(out.subspan(count));
    for (ports::RxDatagram& d : out.subspan(count, more)) d.socket = id;
    count += more;
  }
  return count;
}

std::optional<ports::SocketId> SimUdp::open_side() {
  if (sides_.size() >= ports::kMaxSideSockets) return std::nullopt;
  ports::SocketId id = 1;
  while (sides_.contains(id)) ++id;
  auto side = std::make_unique<SimUdp>(network_, Endpoint{local_.ip, next_side_port_++});
  network_.attach(*side);
  side->on_readable = on_readable;
  sides_.emplace(id, std::move(side));
  return id;
}

std::size_t SimUdp::send(std::span<const ports::TxDatagram> datagrams) {
  for (const ports::TxDatagram& d : datagrams) {
    const auto side = sides_.find(d.socket);
    if (d.socket != 0 && side == sides_.end()) continue;
    const Endpoint& local = d.socket == 0 ? local_ : side->second->local_;
    const std::size_t segment = d.segment_size == 0 ? d.bytes.size() : d.segment_size;
    for (std::size_t at = 0; at < d.bytes.size(); at += segment) {
      network_.transmit(local, d.to, d.bytes.subspan(at, std::min(segment, d.bytes.size() - at)));
    }
  }
  return datagrams.size();
}

void Network::block_udp(const IpAddress& a, const IpAddress& b, bool blocked) {
  if (blocked) {
    udp_blocked_.insert(std::minmax(a, b));
  } else {
    udp_blocked_.erase(std::minmax(a, b));
  }
}

void Network::partition(const IpAddress& a, const IpAddress& b, bool cut) {
  if (cut) {
    partitions_.insert(std::minmax(a, b));
  } else {
    partitions_.erase(std::minmax(a, b));
  }
}

Duration Network::travel() {
  const auto jitter = static_cast<std::uint64_t>(weather.jitter.count());
  return weather.delay + Duration(jitter == 0 ? 0 : static_cast<Duration::rep>(rng_.below(jitter)));
}

void Network::transmit(const Endpoint& from, const Endpoint& to, ByteView bytes) {
  ++datagrams_sent;
  if (on_wire) on_wire(from, to, bytes);
  if (cut(from.ip, to.ip) || udp_blocked_.contains(std::minmax(from.ip, to.ip))) return;
  const int copies = chance(weather.loss) ? 0 : chance(weather.duplication) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    clock_.in(travel(), [this, from, to, copy = Bytes(bytes.begin(), bytes.end())] { deliver(from, to, copy); });
  }
}

void Network::deliver(const Endpoint& from, const Endpoint& to, Bytes bytes) {
  const auto it = sockets_.find(to);
  if (it == sockets_.end()) return;
  // Neighbours of one size from one sender arrive as a run now and then, as the kernel's GRO makes them.
  SimUdp& socket = *it->second;
  const auto size = static_cast<std::uint16_t>(bytes.size());
  if (!socket.inbox_.empty() && chance(0.5)) {
    SimUdp::Waiting& last = socket.inbox_.back();
    if (last.from == from && size <= last.segment_size && last.bytes.size() % last.segment_size == 0 &&
        last.bytes.size() + size <= ports::kMaxUdpPayload) {
      last.bytes.insert(last.bytes.end(), bytes.begin(), bytes.end());
      return;
    }
  }
  socket.inbox_.push_back({from, std::move(bytes), size});
  // The owner wakes a moment later, so that several datagrams may wait for it.
  if (socket.inbox_.size() == 1) {
    clock_.in(std::chrono::microseconds(50), [this, to] {
      const auto owner = sockets_.find(to);
      if (owner != sockets_.end() && owner->second->on_readable) owner->second->on_readable();
    });
  }
}

void Network::connect(const IpAddress& from, const Endpoint& to, std::function<void(std::shared_ptr<SimStream>)> done) {
  clock_.in(travel() * 2, [this, from, to, done = std::move(done)] {
    const auto listener = listeners_.find(to);
    if (listener == listeners_.end() || cut(from, to.ip)) return done(nullptr);
    auto client = std::make_shared<SimStream>();
    auto server = std::make_shared<SimStream>();
    client->network_ = server->network_ = this;
    client->host_ = from;
    server->host_ = to.ip;
    client->other_ = server;
    server->other_ = client;
    listener->second(server, {from, static_cast<std::uint16_t>(1024 + rng_.below(60000))});
    done(client);
  });
}

void SimStream::send(ByteView bytes) {
  if (closed_ || bytes.empty()) return;
  const Instant arrival = std::max(network_->clock_.now() + network_->travel(), last_arrival_);
  last_arrival_ = arrival;
  network_->clock_.at(arrival,
                      [network = network_, from = host_, to = other_, copy = Bytes(bytes.begin(), bytes.end())] {
                        const auto end = to.lock();
                        if (!end || end->closed_ || end->lost_) return;
                        // A cut loses bytes, and a stream that has lost some says nothing more: its ends find out by
                        // their own timers.
                        if (network->cut(from, end->host_)) {
                          end->lost_ = true;
                          return;
                        }
                        // Streams know no message bounds: now and then the bytes come in two parts.
                        const std::size_t split = network->rng_.below(copy.size() + 1);
                        if (split > 0) end->on_bytes(ByteView(copy).first(split));
                        if (split < copy.size() && !end->closed_) end->on_bytes(ByteView(copy).subspan(split));
                      });
}

void SimStream::close() {
  if (closed_) return;
  closed_ = true;
  const Instant arrival = std::max(network_->clock_.now() + network_->travel(), last_arrival_);
  network_->clock_.at(arrival, [to = other_] {
    const auto end = to.lock();
    if (!end || end->closed_ || end->lost_) return;
    end->closed_ = true;
    if (end->on_closed) end->on_closed();
  });
}

}  // namespace eps::sim
