// SPDX-License-Identifier: MIT
#include "sim/network.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace eps::sim {

SimUdp::~SimUdp() {
  if (!closed_ && main_) network_.detach(*this);
}

SimUdp& SimUdp::add_queue() {
  SimUdp& queue = *queues_.emplace_back(std::make_unique<SimUdp>(network_, host_, port_));
  queue.main_ = false;
  return queue;
}

void SimUdp::close() {
  if (std::exchange(closed_, true)) return;
  network_.detach(*this);
  sides_.clear();
  for (const auto& queue : queues_) queue->closed_ = true;
}

SimUdp& SimUdp::queue_for(const Endpoint& from) {
  const std::size_t n = std::hash<Endpoint>{}(from) % (queues_.size() + 1);
  return n == 0 ? *this : *queues_[n - 1];
}

std::size_t SimUdp::receive(std::span<ports::RxDatagram> out) {
  called();
  const std::size_t count = take(out);
  called();
  return count;
}

std::size_t SimUdp::take(std::span<ports::RxDatagram> out) {
  const std::size_t n = std::min(out.size(), inbox_.size());
  lent_.assign(std::make_move_iterator(inbox_.begin()),
               std::make_move_iterator(inbox_.begin() + static_cast<std::ptrdiff_t>(n)));
  inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(n));
  for (std::size_t i = 0; i < n; ++i) out[i] = {lent_[i].from, lent_[i].bytes, lent_[i].segment_size};
  std::size_t count = n;
  for (const auto& [id, side] : sides_) {
    const std::size_t more = side->take(out.subspan(count));
    for (ports::RxDatagram& d : out.subspan(count, more)) d.socket = id;
    // The bytes stay in place if the side socket is closed before the next receive.
    std::ranges::move(side->lent_, std::back_inserter(lent_));
    side->lent_.clear();
    count += more;
  }
  return count;
}

std::optional<ports::UdpPort::Side> SimUdp::open_side() {
  if (sides_.size() >= ports::kMaxSideSockets) return std::nullopt;
  ports::SocketId id = 1;
  while (sides_.contains(id)) ++id;
  auto side = std::make_unique<SimUdp>(network_, host_, next_side_port_++);
  network_.attach(*side);
  side->on_readable = [this] {
    if (on_readable) on_readable();
  };
  const Side out{id, side->port_};
  sides_.emplace(id, std::move(side));
  return out;
}

std::size_t SimUdp::send(std::span<const ports::TxDatagram> datagrams) {
  called();
  if (closed_) return 0;
  for (const ports::TxDatagram& d : datagrams) {
    const auto side = sides_.find(d.socket);
    if (d.socket != 0 && side == sides_.end()) continue;
    const std::uint16_t port = d.socket == 0 ? port_ : side->second->port_;
    const std::size_t segment = d.segment_size == 0 ? d.bytes.size() : d.segment_size;
    for (std::size_t at = 0; at < d.bytes.size(); at += segment) {
      network_.transmit(host_, port, d.to, d.bytes.subspan(at, std::min(segment, d.bytes.size() - at)));
    }
  }
  called();
  return datagrams.size();
}

Network::Network(ClockQueue& clock, Rng& rng) : clock_(clock), rng_(rng), realms_(1) {}

// --- places --------------------------------------------------------------------------------------------------------

RealmId Network::add_realm(RealmId outer, const std::optional<NatBehaviour>& nat,
                           const std::optional<NatBehaviour>& firewall) {
  const auto id = static_cast<RealmId>(realms_.size());
  Realm realm;
  realm.outer = outer;
  if (nat) {
    const IpAddress external = new_ip4(outer);
    realm.nat = std::make_unique<Nat>(*nat, external, rng_);
    gates_at_[{outer, external}] = id;
  }
  if (firewall) {
    NatBehaviour behaviour = *firewall;
    behaviour.translates = false;
    realm.firewall = std::make_unique<Nat>(behaviour, IpAddress{}, rng_);
  }
  realms_.push_back(std::move(realm));
  return id;
}

IpAddress Network::new_ip4(RealmId realm) {
  const std::uint32_t number = ++realms_[realm].used4;
  return IpAddress::from_v4({(realm == kInternet ? 0xc6120000U : 0xc0a80100U) + number});  // 198.18.0.0, 192.168.1.0
}

IpAddress Network::new_ip6(RealmId realm) {
  IpAddress ip = *parse_ip("2001:db8::");
  store_be32(&ip.bytes[4], realm);
  store_be32(&ip.bytes[12], ++realms_[realm].used6);
  return ip;
}

HostId Network::add_host(RealmId realm, std::vector<IpAddress> addresses) {
  const auto id = static_cast<HostId>(hosts_.size());
  hosts_.emplace_back();
  move_host(id, realm, std::move(addresses));
  return id;
}

void Network::move_host(HostId id, RealmId realm, std::vector<IpAddress> addresses) {
  Host& host = hosts_[id];
  for (const IpAddress& ip : host.addresses) {
    hosts_at_.erase({host.realm, ip});
    hosts_by_ip6_.erase(ip);
  }
  ++host.moves;
  host.realm = realm;
  host.addresses = std::move(addresses);
  for (const IpAddress& ip : host.addresses) {
    hosts_at_[{realm, ip}] = id;
    if (!ip.is_v4()) hosts_by_ip6_[ip] = id;
  }
}

void Network::add_address(HostId id, const IpAddress& ip) {
  Host& host = hosts_[id];
  host.addresses.push_back(ip);
  hosts_at_[{host.realm, ip}] = id;
  if (!ip.is_v4()) hosts_by_ip6_[ip] = id;
}

const IpAddress* Network::Host::source_for(const IpAddress& to) const {
  const auto it = std::find_if(addresses.begin(), addresses.end(), [&](auto& a) { return a.is_v4() == to.is_v4(); });
  return it == addresses.end() ? nullptr : &*it;
}

void Network::set_pair(std::set<std::pair<HostId, HostId>>& pairs, HostId a, HostId b, bool in) {
  if (in) {
    pairs.insert(std::minmax(a, b));
  } else {
    pairs.erase(std::minmax(a, b));
  }
}

// --- the way of a datagram -----------------------------------------------------------------------------------------

// What separates a realm from the one outside of it for this address's family; null: nothing.
Nat* Network::gate(RealmId realm, const IpAddress& ip) const {
  return ip.is_v4() ? realms_[realm].nat.get() : realms_[realm].firewall.get();
}

// The inner realm next to `realm` that leads to the address.
std::optional<RealmId> Network::next_inner(RealmId realm, const IpAddress& ip) const {
  if (ip.is_v4()) {
    const auto it = gates_at_.find({realm, ip});
    return it == gates_at_.end() ? std::nullopt : std::optional(it->second);
  }
  const auto owner = hosts_by_ip6_.find(ip);
  if (owner == hosts_by_ip6_.end()) return std::nullopt;
  for (RealmId at = hosts_[owner->second].realm; at != kInternet; at = realms_[at].outer) {
    if (realms_[at].outer == realm) return at;
  }
  return std::nullopt;
}

bool Network::within(RealmId realm, const IpAddress& ip) const {
  return hosts_at_.contains({realm, ip}) || next_inner(realm, ip);
}

// From the sender outwards, until a realm has the destination.
std::optional<Network::Transit> Network::ascend(HostId id, std::uint16_t port, const Endpoint& to) {
  const Host& host = hosts_[id];
  const IpAddress* source = host.source_for(to.ip);
  if (source == nullptr) return std::nullopt;
  Transit transit{host.realm, std::nullopt, {*source, port}, to};
  while (!within(transit.realm, to.ip)) {
    if (transit.realm == kInternet) return std::nullopt;
    Nat* out = gate(transit.realm, to.ip);
    if (out == nullptr && to.ip.is_v4()) return std::nullopt;
    if (out != nullptr) {
      const auto from = out->outbound(transit.from, to, clock_.now());
      if (!from) return std::nullopt;
      transit.from = *from;
    }
    transit.left = transit.realm;
    transit.realm = realms_[transit.realm].outer;
  }
  return transit;
}

// From there inwards, to a host.
std::optional<Network::Socket> Network::descend(Transit transit) {
  for (;;) {
    const auto host = hosts_at_.find({transit.realm, transit.to.ip});
    if (host != hosts_at_.end()) return Socket{host->second, transit.to.port};
    const auto inner = next_inner(transit.realm, transit.to.ip);
    if (!inner) return std::nullopt;
    if (Nat* in = gate(*inner, transit.to.ip)) {
      if (transit.left == inner) {
        const Hairpinning turns = in->behaviour().hairpinning;
        if (turns == Hairpinning::none) return std::nullopt;
        if (turns == Hairpinning::forwarded && !in->forwarded(transit.to.port)) return std::nullopt;
      }
      const auto to = in->inbound(transit.from, transit.to, clock_.now());
      if (!to) return std::nullopt;
      transit.to = *to;
    }
    transit.realm = *inner;
  }
}

Duration Network::travel(const Weather& of) {
  const auto jitter = static_cast<std::uint64_t>(of.jitter.count());
  return of.delay + Duration(jitter == 0 ? 0 : static_cast<Duration::rep>(rng_.below(jitter)));
}

void Network::transmit(HostId host, std::uint16_t port, const Endpoint& to, ByteView bytes) {
  ++datagrams_sent;
  ++hosts_[host].sent;
  if (hosts_[host].udp_blocked) return;
  const auto transit = ascend(host, port, to);
  if (!transit) return;
  if (on_wire) on_wire(host, transit->from, to, bytes);
  if (drops && transit->realm == kInternet && drops(transit->from, to)) return;
  const Weather& here = transit->realm == kInternet ? weather : lan_weather;
  const int copies = chance(here.loss) ? 0 : chance(here.duplication) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    clock_.in(travel(here), [this, host, transit = *transit, copy = Bytes(bytes.begin(), bytes.end())]() mutable {
      deliver(host, transit, std::move(copy));
    });
  }
}

void Network::inject(const Endpoint& from, const Endpoint& to, Bytes bytes) {
  deliver(std::nullopt, {kInternet, std::nullopt, from, to}, std::move(bytes));
}

void Network::deliver(std::optional<HostId> origin, const Transit& transit, Bytes bytes) {
  const auto to = descend(transit);
  if (!to) return;
  const Host& host = hosts_[to->first];
  if (host.udp_blocked || host.wakes_at > clock_.now()) return;
  if (origin && (cut(*origin, to->first) || udp_blocked_.contains(std::minmax(*origin, to->first)))) return;
  if (origin && too_large(*origin, to->first, bytes.size())) return;
  const auto it = sockets_.find(*to);
  if (it == sockets_.end()) return;
  // Consecutive datagrams of one size from one sender sometimes arrive as a run, like those joined by the kernel's GRO.
  SimUdp& socket = it->second->queue_for(transit.from);
  const auto size = static_cast<std::uint16_t>(bytes.size());
  if (!socket.inbox_.empty() && chance(0.5)) {
    SimUdp::Waiting& last = socket.inbox_.back();
    if (last.from == transit.from && size <= last.segment_size && last.bytes.size() % last.segment_size == 0 &&
        last.bytes.size() + size <= ports::kMaxUdpPayload) {
      last.bytes.insert(last.bytes.end(), bytes.begin(), bytes.end());
      return;
    }
  }
  socket.inbox_.push_back({transit.from, std::move(bytes), size});
  // The owner wakes a moment later, so that several datagrams may be waiting.
  if (socket.inbox_.size() == 1) {
    clock_.in(std::chrono::microseconds(50), [this, at = *to, from = transit.from] {
      const auto owner = sockets_.find(at);
      if (owner == sockets_.end()) return;
      if (const SimUdp& queue = owner->second->queue_for(from); queue.on_readable) queue.on_readable();
    });
  }
}

// --- streams -------------------------------------------------------------------------------------------------------

// Changes when the host moves or a NAT in front of it forgets: existing connections are dead then.
std::pair<std::uint32_t, std::uint32_t> Network::epoch(HostId host) const {
  std::uint32_t rebinds = 0;
  for (RealmId at = hosts_[host].realm; at != kInternet; at = realms_[at].outer) {
    if (realms_[at].nat) rebinds += realms_[at].nat->rebinds();
  }
  return {hosts_[host].moves, rebinds};
}

// Where a stream to that endpoint ends, and its source as seen there. Into a realm, only a forwarded port leads, or
// IPv6 without a firewall.
std::optional<Network::Socket> Network::listener_for(HostId from, Endpoint to, IpAddress& source) const {
  const Host& host = hosts_[from];
  const IpAddress* own = host.source_for(to.ip);
  if (own == nullptr || (host.tcp_ports && !host.tcp_ports->contains(to.port))) return std::nullopt;
  source = *own;
  RealmId realm = host.realm;
  for (; !within(realm, to.ip); realm = realms_[realm].outer) {
    if (realm == kInternet || (to.ip.is_v4() && !realms_[realm].nat)) return std::nullopt;
    if (to.ip.is_v4()) source = realms_[realm].nat->external();
  }
  for (;;) {
    if (const auto it = hosts_at_.find({realm, to.ip}); it != hosts_at_.end()) return Socket{it->second, to.port};
    const auto inner = next_inner(realm, to.ip);
    if (!inner) return std::nullopt;
    if (const Nat* in = gate(*inner, to.ip)) {
      const auto inside = in->forwarded(to.port);
      if (!inside) return std::nullopt;
      to = *inside;
    }
    realm = *inner;
  }
}

void Network::connect(HostId from, const Endpoint& to, std::function<void(std::shared_ptr<SimStream>)> done) {
  clock_.in(travel(weather) * 2, [this, from, to, done = std::move(done)]() mutable {
    if (const Instant at = wakes_at(from); at > clock_.now()) {
      return clock_.at(at, [this, from, to, done = std::move(done)]() mutable { connect(from, to, std::move(done)); });
    }
    IpAddress source;
    const auto at = listener_for(from, to, source);
    const auto listener = at ? listeners_.find(*at) : listeners_.end();
    if (listener == listeners_.end() || cut(from, at->first)) return done(nullptr);
    auto client = std::make_shared<SimStream>();
    auto server = std::make_shared<SimStream>();
    client->network_ = server->network_ = this;
    client->host_ = from;
    server->host_ = at->first;
    client->epoch_ = epoch(from);
    server->epoch_ = epoch(at->first);
    client->other_ = server;
    server->other_ = client;
    listener->second(server, {source, static_cast<std::uint16_t>(1024 + rng_.below(60000))});
    done(client);
  });
}

bool SimStream::moved() const {
  return network_->epoch(host_) != epoch_;
}

// Applied at the other end on arrival. A cut loses bytes, and a stream that has lost some stays silent: its ends notice
// by their own timers.
void SimStream::pass(std::function<void(SimStream&)> what) {
  const Instant arrival = std::max(network_->clock_.now() + network_->travel(network_->weather), last_arrival_);
  last_arrival_ = arrival;
  network_->clock_.at(arrival, [from = host_, gone = moved(), to = other_, what = std::move(what)] {
    if (const auto end = to.lock()) end->take(from, gone, what);
  });
}

void SimStream::take(HostId from, bool gone, const std::function<void(SimStream&)>& what) {
  if (closed_ || lost_) return;
  if (const Instant wakes_at = network_->wakes_at(host_); wakes_at > network_->clock_.now()) {
    const auto later = [self = weak_from_this(), from, gone, what] {
      if (const auto end = self.lock()) end->take(from, gone, what);
    };
    return network_->clock_.at(wakes_at, later);
  }
  lost_ = gone || moved() || network_->cut(from, host_);
  if (!lost_) what(*this);
}

void SimStream::send(ByteView bytes) {
  if (closed_ || bytes.empty()) return;
  if (const auto other = other_.lock()) {
    Network::Streamed& streamed = network_->hosts_[other->host_].streamed;
    streamed.bytes += bytes.size();
    ++streamed.pieces;
  }
  pass([copy = Bytes(bytes.begin(), bytes.end())](SimStream& end) {
    // Streams have no message boundaries: sometimes the bytes arrive in two parts.
    const std::size_t split = end.network_->rng_.below(copy.size() + 1);
    if (split > 0) end.on_bytes(ByteView(copy).first(split));
    if (split < copy.size() && !end.closed_) end.on_bytes(ByteView(copy).subspan(split));
  });
}

void SimStream::close() {
  if (closed_) return;
  closed_ = true;
  pass([](SimStream& end) {
    end.closed_ = true;
    if (end.on_closed) end.on_closed();
  });
}

}  // namespace eps::sim
