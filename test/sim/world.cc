#include "sim/world.h"

#include <algorithm>
#include <stdexcept>

#include "base/check.h"
#include "control/cache_file.h"
#include "sim/frames.h"

namespace eps::sim {
namespace {
constexpr std::uint16_t kClientPort = 7000;
constexpr std::size_t kKeptSniffed = 4000;
}  // namespace

std::size_t SimTap::read(std::span<ports::TapFrame> out) {
  const std::size_t n = std::min(out.size(), outgoing.size());
  lent_.clear();
  for (std::size_t i = 0; i < n; ++i) {
    Bytes room(ports::kTapHeadroom);
    room.insert(room.end(), outgoing[i].begin(), outgoing[i].end());
    lent_.push_back(std::move(room));
  }
  outgoing.erase(outgoing.begin(), outgoing.begin() + static_cast<std::ptrdiff_t>(n));
  for (std::size_t i = 0; i < n; ++i) out[i] = {ByteSpan(lent_[i]).subspan(ports::kTapHeadroom), {}};
  return n;
}

std::size_t SimTap::write(std::span<const ports::TapWrite> frames) {
  for (const ports::TapWrite& frame : frames) {
    Bytes whole;
    for (const ByteView piece : frame.pieces) whole.insert(whole.end(), piece.begin(), piece.end());
    on_frame(std::move(whole));
  }
  return frames.size();
}

World::World(const WorldOptions& options) : options_(options), rng_(options.seed), network_(clock_, rng_) {
  network_.on_wire = [this](HostId sender, const Endpoint& from, const Endpoint& to, ByteView bytes) {
    on_wire(sender, from, to, bytes);
  };
  server_.host = network_.add_host(kInternet, {network_.new_ip4(kInternet), network_.new_ip6(kInternet)});
  clients_.resize(static_cast<std::size_t>(options.clients));
  for (Client& c : clients_) {
    c.secret = std::move(crypto::generate_key_pair(rng_).secret);
    c.host = network_.add_host(kInternet, {network_.new_ip4(kInternet)});
  }
  start_server();
}

World::~World() = default;

void World::start_server() {
  Server& s = server_;
  auto opened = registry::Registry::open(s.store, {options_.network, options_.sequential, kDefaultMtu}, rng_);
  EPS_CHECK(opened.has_value());
  s.registry = std::move(*opened);
  network_key_ = control::to_text(
      control::NetworkKey{s.registry->identity().keys.public_key, s.registry->identity().enrolment.clone()});
  s.udp = std::make_unique<SimUdp>(network_, s.host, kDefaultPort);
  network_.attach(*s.udp);
  const std::uint64_t life = ++s.life;
  const auto soon = [this, life](void (World::*step)()) {
    clock_.at(clock_.now(), [this, life, step] {
      if (life == server_.life) (this->*step)();
    });
  };
  s.port = std::make_unique<dataplane::StreamPort>(
      *s.udp, [soon] { soon(&World::relay_streams); }, [soon] { soon(&World::pump_server); });
  s.published = std::make_unique<dataplane::PublishedRelay>();
  s.node = std::make_unique<node::ServerNode>(*s.registry, node::ServerParams{"sim", kDefaultPort}, *s.port, rng_,
                                              *s.published, clock_.now());
  s.relay = std::make_unique<dataplane::Relay>(*s.port, s.node->counters());
  s.udp->on_readable = [this] { pump_server(); };
  network_.listen(s.host, kDefaultPort, [this, life](std::shared_ptr<SimStream> stream, Endpoint from) {
    if (life != server_.life) return stream->close();
    const control::ConnId id = server_.next_conn++;
    stream->on_bytes = [this, id, life](ByteView bytes) {
      if (life == server_.life) act(server_.node->on_bytes(id, bytes, clock_.now()));
    };
    stream->on_closed = [this, id, life] {
      if (life != server_.life) return;
      server_.streams.erase(id);
      act(server_.node->on_closed(id, clock_.now()));
    };
    server_.streams.emplace(id, std::move(stream));
    act(server_.node->on_open(id, from, clock_.now()));
  });
  arm_server();
}

void World::stop_server() {
  ++server_.life;
  network_.unlisten(server_.host, kDefaultPort);
  for (auto& [id, stream] : server_.streams) stream->close();
  server_.streams.clear();
  server_.relay.reset();
  server_.node.reset();
  server_.registry.reset();
  server_.port.reset();
  server_.udp.reset();
  server_.woken_at = kNever;
}

void World::start_client(int c) {
  Client& k = clients_[static_cast<std::size_t>(c)];
  k.udp = std::make_unique<SimUdp>(network_, k.host, kClientPort);
  network_.attach(*k.udp);
  const auto soon = [this, c, life = ++k.life](void (World::*step)(int)) {
    clock_.at(clock_.now(), [this, c, life, step] {
      if (life == clients_[static_cast<std::size_t>(c)].life) (this->*step)(c);
    });
  };
  k.port = std::make_unique<dataplane::StreamPort>(
      *k.udp, [soon] { soon(&World::relay_stream); }, [soon] { soon(&World::pump_client); });
  k.tap = std::make_unique<SimTap>();
  k.tap->on_frame = [this, c](Bytes frame) { on_frame(c, frame); };
  k.published = std::make_unique<dataplane::PublishedPeers>();
  node::ClientParams params;
  params.peers.self = crypto::key_pair_from_secret(k.secret.clone());
  params.peers.aeads = {crypto::AeadKind::chacha20poly1305, crypto::AeadKind::aes256gcm};
  params.peers.first_handshake_number = k.next_number;
  params.peers.rekey_after_packets = options_.rekey_after_packets;
  params.peers.relay_for_others = options_.relays.contains(c);
  k.next_number += 1ULL << 32;
  params.key = *control::parse_network_key(network_key_);
  params.name = "c" + std::to_string(c);
  params.version = "sim";
  params.data_port = kClientPort;
  params.enrolled = k.enrolled;
  if (auto cache = control::decode_cache_file(k.kept_network)) params.cache = std::move(*cache);
  k.node = std::make_unique<node::ClientNode>(std::move(params), *k.port, rng_, *k.published);
  k.outbound = std::make_unique<dataplane::Outbound>(*k.tap, *k.port, k.node->counters());
  k.inbound = std::make_unique<dataplane::Inbound>(*k.tap, *k.port, k.node->counters(), l2::Offloads{});
  k.fatal.clear();
  k.udp->on_readable = [this, c] { pump_client(c); };
  act(c, k.node->start(network_.addresses(k.host), clock_.now()));
}

void World::stop_client(int c) {
  Client& k = clients_[static_cast<std::size_t>(c)];
  ++k.life;
  if (k.stream) std::exchange(k.stream, nullptr)->close();
  k.inbound.reset();
  k.outbound.reset();
  k.node.reset();
  k.tap.reset();
  k.port.reset();
  k.udp.reset();
  k.woken_at = kNever;
}

void World::place(int c, RealmId realm, Families families) {
  std::vector<IpAddress> addresses;
  if (families != Families::v6) addresses.push_back(network_.new_ip4(realm));
  if (families != Families::v4) addresses.push_back(network_.new_ip6(realm));
  const bool elsewhere = realm != network_.realm(host(c));
  network_.move_host(host(c), realm, addresses);
  // The link goes down and comes up; the new address may be the old one.
  if (running(c) && elsewhere) act(c, client(c).on_local_addresses({}, clock_.now()));
  if (running(c)) act(c, client(c).on_local_addresses(std::move(addresses), clock_.now()));
}

void World::sleep(int c, Duration time) {
  const Instant until = clock_.now() + time;
  network_.sleep(host(c), until);
  clock_.at(until, [this, c, life = clients_[static_cast<std::size_t>(c)].life] {
    if (life == clients_[static_cast<std::size_t>(c)].life) arm(c);
  });
}

void World::copy_state(int from, int to) {
  clients_[static_cast<std::size_t>(to)].secret = clients_[static_cast<std::size_t>(from)].secret.clone();
}

void World::connect(int c) {
  Client& k = clients_[static_cast<std::size_t>(c)];
  const std::uint64_t life = k.life;
  const auto& servers = network_.addresses(server_.host);
  const Endpoint server{address(c).is_v4() ? servers.front() : servers.back(), kDefaultPort};
  network_.connect(k.host, server, [this, c, life, server](std::shared_ptr<SimStream> stream) {
    Client& client = clients_[static_cast<std::size_t>(c)];
    if (client.life != life) {
      if (stream) stream->close();
      return;
    }
    if (!stream) return act(c, client.node->on_connect_failed("nobody listens", clock_.now()));
    client.stream = stream;
    const auto current = [this, c, life, raw = stream.get()] {
      const Client& now = clients_[static_cast<std::size_t>(c)];
      return now.life == life && now.stream.get() == raw;
    };
    stream->on_bytes = [this, c, current](ByteView bytes) {
      if (current()) act(c, clients_[static_cast<std::size_t>(c)].node->on_server_bytes(bytes, clock_.now()));
    };
    stream->on_closed = [this, c, current] {
      if (!current()) return;
      clients_[static_cast<std::size_t>(c)].stream.reset();
      act(c, clients_[static_cast<std::size_t>(c)].node->on_server_closed("", clock_.now()));
    };
    act(c, client.node->on_connected(server, network_.addresses(server_.host), clock_.now()));
  });
}

void World::act(int c, node::ClientOutputs out) {
  Client& k = clients_[static_cast<std::size_t>(c)];
  if (k.stream) k.stream->send(out.to_server);
  if (out.disconnect && k.stream) std::exchange(k.stream, nullptr)->close();
  k.enrolled |= out.enrolled;
  if (out.link && k.node->members().members().empty()) violated("an interface is up where nobody is known yet");
  if (out.keep_network) k.kept_network = std::move(*out.keep_network);
  if (out.fatal) {
    k.fatal = *out.fatal;
    return stop_client(c);
  }
  if (out.connect) connect(c);
  arm(c);
}

void World::act(node::ServerOutputs out) {
  for (auto& [id, bytes] : out.to_send) {
    if (const auto it = server_.streams.find(id); it != server_.streams.end()) it->second->send(bytes);
  }
  for (const control::ConnId id : out.to_close) {
    if (auto node = server_.streams.extract(id)) node.mapped()->close();
  }
  if (out.members_changed) check_addresses();
  arm_server();
}

void World::pump_client(int c) {
  Client& k = clients_[static_cast<std::size_t>(c)];
  if (!k.node) return;
  dataplane::PublishedPeers::View view;
  // As the daemon's worker does: pump until there is nothing left, handing upcalls over after each round.
  for (std::size_t moved = 1; moved > 0 && k.node;) {
    dataplane::Upcalls upcalls;
    moved = k.inbound->pump(*k.published, view, clock_.now(), upcalls);
    moved += k.outbound->pump(*k.published, view, clock_.now(), upcalls);
    if (!upcalls.empty()) act(c, k.node->on_upcalls(upcalls.take(), clock_.now()));
  }
}

// Streams have room for everything: what waits leaves at once.
void World::relay_stream(int c) {
  Client& k = clients_[static_cast<std::size_t>(c)];
  for (bool more = true; more && k.node;) {
    auto out = k.node->on_stream_room(dataplane::StreamPort::kMaxTaken, clock_.now());
    more = !out.to_server.empty();
    act(c, std::move(out));
  }
}

void World::relay_streams() {
  for (const control::ConnId id : server_.node->streams_waiting(clock_.now())) {
    for (bool more = true; more;) {
      auto out = server_.node->on_stream_room(id, dataplane::StreamPort::kMaxTaken, clock_.now());
      more = !out.to_send.empty();
      act(std::move(out));
    }
  }
}

void World::pump_server() {
  if (!server_.node) return;
  dataplane::PublishedRelay::View view;
  for (std::size_t moved = 1; moved > 0;) {
    dataplane::Upcalls upcalls;
    moved = server_.relay->pump(*server_.published, view, clock_.now(), upcalls);
    if (!upcalls.empty()) act(server_.node->on_upcalls(upcalls.take(), clock_.now()));
  }
}

// A deadline that has passed and stays would let the daemon spin.
void World::check_progress(Instant& last, int& count) const {
  count = last == clock_.now() ? count + 1 : 0;
  last = clock_.now();
  if (count > 1000) violated("a deadline stays in the past");
}

void World::arm(int c) {
  Client& k = clients_[static_cast<std::size_t>(c)];
  if (!k.node) return;
  const Instant deadline = k.node->next_deadline();
  const Instant at = deadline == kNever ? kNever : std::max(deadline, network_.wakes_at(k.host));
  if (at == kNever || (k.woken_at != kNever && k.woken_at <= at && k.woken_at > clock_.now())) return;
  k.woken_at = at;
  clock_.at(at, [this, c, at, life = k.life] {
    Client& client = clients_[static_cast<std::size_t>(c)];
    if (client.life != life || client.woken_at != at) return;  // an earlier one has taken its place
    client.woken_at = kNever;
    if (client.node->next_deadline() <= clock_.now() && network_.wakes_at(client.host) <= clock_.now()) {
      check_progress(client.last_deadline, client.deadlines_now);
      act(c, client.node->on_deadline(clock_.now()));
    } else {
      arm(c);
    }
  });
}

void World::arm_server() {
  if (!server_.node) return;
  const Instant at = server_.node->next_deadline();
  if (at == kNever || (server_.woken_at != kNever && server_.woken_at <= at && server_.woken_at > clock_.now())) return;
  server_.woken_at = at;
  clock_.at(at, [this, at, life = server_.life] {
    if (server_.life != life || server_.woken_at != at) return;
    server_.woken_at = kNever;
    if (server_.node->next_deadline() <= clock_.now()) {
      check_progress(server_.last_deadline, server_.deadlines_now);
      act(server_.node->on_deadline(clock_.now()));
    } else {
      arm_server();
    }
  });
}

void World::run_for(Duration time) {
  const Instant until = clock_.now() + time;
  while (clock_.step(until)) {
  }
}

bool World::run_until(const std::function<bool()>& condition, Duration limit) {
  const Instant until = clock_.now() + limit;
  // Not after every event: with many clients the question costs more than what happens.
  for (Instant asked = clock_.now(); !condition(); asked = clock_.now()) {
    while (clock_.now() - asked < std::chrono::milliseconds(1)) {
      if (!clock_.step(until)) return condition();
    }
  }
  return true;
}

std::uint64_t World::send_frame(int from, int to, std::size_t size) {
  const Member* src = server_.registry ? server_.registry->find_name("c" + std::to_string(from)) : nullptr;
  const MemberList& list = client(from).members();
  if (src == nullptr) src = list.find_name("c" + std::to_string(from));
  const Member* dst = to < 0 ? nullptr : list.find_name("c" + std::to_string(to));
  const std::uint64_t number = next_frame_++;
  if (src == nullptr || (to >= 0 && dst == nullptr)) return number;
  Mac everyone;
  everyone.bytes.fill(std::byte{0xff});
  sent_[number] = {from, to};
  clients_[static_cast<std::size_t>(from)].tap->push(
      make_udp_frame(src->mac, dst != nullptr ? dst->mac : everyone, src->address,
                     dst != nullptr ? dst->address : options_.network.broadcast(),
                     {number, static_cast<std::uint32_t>(from), to}, size));
  pump_client(from);
  return number;
}

bool World::delivered(std::uint64_t number, int to) const {
  return delivered_.contains({number, to});
}

void World::on_frame(int c, const Bytes& frame) {
  const auto tag = read_udp_frame(frame);
  if (!tag) violated("a changed or foreign frame reached c" + std::to_string(c));
  const auto sent = sent_.find(tag->number);
  if (sent == sent_.end() || sent->second != std::pair(static_cast<int>(tag->from), static_cast<int>(tag->to))) {
    violated("a frame that nobody sent reached c" + std::to_string(c));
  }
  if (tag->to >= 0 && tag->to != c)
    violated("a frame for c" + std::to_string(tag->to) + " reached c" + std::to_string(c));
  if (!delivered_.insert({tag->number, c}).second) violated("a frame reached c" + std::to_string(c) + " twice");
  if (on_delivered) on_delivered(static_cast<int>(tag->from), c, tag->number);
}

void World::on_wire(HostId sender, const Endpoint& from, const Endpoint& to, ByteView bytes) {
  if (as_text(bytes).find(kMarker) != std::string_view::npos) violated("inner bytes in clear on the wire");
  const ByteView inner = wire::parse_relay_header(bytes) ? bytes.subspan(wire::kRelayHeaderSize) : bytes;
  // What the relay forwards was counted when its origin sent it.
  if (const auto header = wire::parse_data_header(inner); header && sender != server_.host) {
    const std::size_t body = hash_bytes(inner);
    const std::uint64_t key = std::uint64_t{sender} << 56 | std::uint64_t{header->receiver} << 32 | header->counter;
    const auto [it, fresh] = counters_seen_.try_emplace(key, body);
    if (!fresh && it->second != body) violated("a counter was used for two datagrams");
  }
  if (sniffed_.size() >= kKeptSniffed) sniffed_.erase(sniffed_.begin(), sniffed_.begin() + kKeptSniffed / 2);
  sniffed_.push_back({from, to, Bytes(bytes.begin(), bytes.end())});
}

void World::check_addresses() {
  std::set<Ip4> addresses;
  std::set<Mac> macs;
  for (const auto& [id, member] : server_.registry->members()) {
    if (!addresses.insert(member.address).second) violated("two members have " + to_string(member.address));
    if (!macs.insert(member.mac).second) violated("two members have " + to_string(member.mac));
    if (!options_.network.contains(member.address)) violated("an address outside the network");
  }
}

void World::inject(const Endpoint& from, const Endpoint& to, Bytes bytes) {
  network_.inject(from, to, std::move(bytes));
}

Result<void> World::remove(const std::string& name) {
  auto out = server_.node->remove(name, clock_.now());
  if (!out) return out.error();
  act(std::move(*out));
  return {};
}

void World::request_reports() {
  act(server_.node->request_reports(clock_.now()));
}

bool World::all_admitted() const {
  return std::all_of(clients_.begin(), clients_.end(), [&](const Client& k) {
    if (!k.node) return true;
    const ClientStatus status = k.node->status(clock_.now());
    return status.connected && (status.observed || status.relay_over_tcp) &&
           status.list_version == server_.registry->version();
  });
}

bool World::all_direct() const {
  for (const Client& k : clients_) {
    if (!k.node) continue;
    for (const PeerStatus& peer : k.node->status(clock_.now()).peers) {
      if (peer.member.online && peer.path != PathKind::direct) return false;
    }
  }
  return true;
}

PathKind World::path(int from, int to) const {
  if (!running(from)) return PathKind::none;
  const std::string name = "c" + std::to_string(to);
  for (const PeerStatus& peer : clients_[static_cast<std::size_t>(from)].node->status(clock_.now()).peers) {
    if (peer.member.name == name) return peer.path;
  }
  return PathKind::none;
}

bool World::everybody_talks(Duration limit) {
  std::set<std::pair<int, int>> missing;
  const int n = static_cast<int>(clients_.size());
  for (int a = 0; a < n; ++a) {
    for (int b = 0; b < n; ++b) {
      if (a != b && running(a) && running(b)) missing.insert({a, b});
    }
  }
  const Instant until = clock_.now() + limit;
  std::map<std::pair<int, int>, std::vector<std::uint64_t>> tries;
  while (!missing.empty() && clock_.now() < until) {
    for (const auto& [a, b] : missing) tries[{a, b}].push_back(send_frame(a, b));
    run_for(std::chrono::milliseconds(300));
    std::erase_if(missing, [&](const auto& pair) {
      const auto& sent = tries[pair];
      return std::any_of(sent.begin(), sent.end(), [&](std::uint64_t f) { return delivered(f, pair.second); });
    });
  }
  return missing.empty();
}

void World::violated(const std::string& what) const {
  throw std::logic_error(what + " (seed " + std::to_string(options_.seed) + ", at " +
                         std::to_string(std::chrono::duration<double>(clock_.now().time_since_epoch()).count()) +
                         " s)");
}

}  // namespace eps::sim
