// SPDX-License-Identifier: MIT
#include "sim/world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <ranges>
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
  if (on_call) on_call();
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
  if (on_call) on_call();
  return frames.size();
}

World::World(const WorldOptions& options)
    : options_(options), rng_(options.seed), threads_rng_(~options.seed), network_(clock_, rng_) {
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

// Events still in the clock keep their daemon alive, but no socket in the network.
World::~World() {
  if (digests_ != nullptr) write_digest();
  stop_server();
  for (int c = 0; c < static_cast<int>(clients_.size()); ++c) stop_client(c);
}

// --- daemons and their threads --------------------------------------------------------------------------------------

void World::start_server() {
  Server& s = server_;
  s.life = std::make_shared<ServerLife>();
  ServerLife& life = *s.life;
  life.host = s.host;
  auto opened = registry::Registry::open(s.store, {options_.network, options_.sequential, kDefaultMtu}, rng_);
  EPS_CHECK(opened.has_value());
  life.registry = std::move(*opened);
  network_key_ = control::to_text(control::network_key_of(*life.registry));
  open_port(s.life, kDefaultPort, &World::relay_streams);
  life.node = std::make_unique<node::ServerNode>(*life.registry, node::ServerParams{"sim", kDefaultPort}, *life.port,
                                                 rng_, life.published, clock_.now());
  add_workers(s.life);
  network_.listen(s.host, kDefaultPort, [this, life = s.life](std::shared_ptr<SimStream> stream, Endpoint from) {
    if (life->ended) return stream->close();
    const control::ConnId id = life->next_conn++;
    stream->on_bytes = [this, id, life](ByteView bytes) {
      control<ServerLife>(life, [this, id, copy = Bytes(bytes.begin(), bytes.end())](ServerLife& l) {
        if (l.streams.contains(id)) act(l, l.node->on_bytes(id, copy, clock_.now()));
      });
    };
    stream->on_closed = [this, id, life] {
      control<ServerLife>(life, [this, id](ServerLife& l) {
        l.streams.erase(id);
        act(l, l.node->on_closed(id, clock_.now()));
      });
    };
    life->streams.emplace(id, std::move(stream));
    control<ServerLife>(life, [this, id, from](ServerLife& l) { act(l, l.node->on_open(id, from, clock_.now())); });
  });
  arm(life);
}

void World::stop_server() {
  const ServerPtr life = std::exchange(server_.life, nullptr);
  if (!life) return;
  life->ended = true;
  network_.unlisten(server_.host, kDefaultPort);
  for (auto& [id, stream] : life->streams) stream->close();
  life->streams.clear();
  life->udp->close();
}

void World::start_client(int c) {
  Client& k = clients_[static_cast<std::size_t>(c)];
  k.life = std::make_shared<ClientLife>();
  ClientLife& life = *k.life;
  life.host = k.host;
  life.number = c;
  open_port(k.life, kClientPort, &World::relay_stream);
  life.published.on_publish([this, weak = std::weak_ptr<ClientLife>(k.life)] {
    const ClientPtr l = weak.lock();
    for (std::size_t w = 0; l && w < l->workers.size(); ++w) wake(l, w);
  });
  node::ClientParams params;
  params.peers.self = crypto::key_pair_from_secret(k.secret.clone());
  params.peers.aeads = {crypto::AeadKind::chacha20poly1305, crypto::AeadKind::aes256gcm};
  params.peers.first_handshake_number = k.next_number;
  params.peers.rekey_after_packets = options_.rekey_after_packets;
  params.peers.relay_for_others = options_.relays.contains(c);
  params.peers.check_tables = true;
  k.next_number += 1ULL << 32;
  params.key = *control::parse_network_key(network_key_);
  params.name = "c" + std::to_string(c);
  params.control_rekey_after = options_.control_rekey_after;
  params.version = "sim";
  params.data_port = kClientPort;
  params.enrolled = k.enrolled;
  if (!k.kept_network.empty()) {
    auto cache = control::decode_cache_file(k.kept_network);
    EPS_CHECK(cache);
    params.cache = std::move(*cache);
  }
  if (!k.kept_known.empty()) {
    auto known = node::KnownPeers::decode(k.kept_known, params.key.server);
    EPS_CHECK(known);
    params.known = std::move(*known);
  }
  if (!k.kept_lock.empty()) {
    auto lock = node::LockGuard::decode(k.kept_lock, params.key.server);
    EPS_CHECK(lock);
    params.lock = std::move(*lock);
  }
  life.node = std::make_unique<node::ClientNode>(std::move(params), *life.port, rng_);
  add_workers(k.life);
  k.fatal.clear();
  control<ClientLife>(k.life,
                      [this](ClientLife& l) { act(l, l.node->start(network_.addresses(l.host), clock_.now())); });
}

void World::stop_client(int c) {
  const ClientPtr life = std::exchange(clients_[static_cast<std::size_t>(c)].life, nullptr);
  if (!life) return;
  life->ended = true;
  for (const auto& [link, stream] : life->streams) stream->close();
  life->streams.clear();
  life->udp->close();
}

void World::place(int c, RealmId realm, Families families) {
  std::vector<IpAddress> addresses;
  if (families != Families::v6) addresses.push_back(network_.new_ip4(realm));
  if (families != Families::v4) addresses.push_back(network_.new_ip6(realm));
  const bool elsewhere = realm != network_.realm(host(c));
  network_.move_host(host(c), realm, addresses);
  // The link goes down and up; the new address may be the old one.
  if (elsewhere) tell_addresses(c, {});
  tell_addresses(c, std::move(addresses));
}

void World::add_ip6(int c) {
  std::vector<IpAddress> addresses = network_.addresses(host(c));
  addresses.push_back(network_.new_ip6(network_.realm(host(c))));
  network_.add_address(host(c), addresses.back());
  tell_addresses(c, std::move(addresses));
}

void World::tell_addresses(int c, std::vector<IpAddress> addresses) {
  if (!running(c)) return;
  control<ClientLife>(clients_[static_cast<std::size_t>(c)].life, [this, now = std::move(addresses)](ClientLife& l) {
    act(l, l.node->on_local_addresses(now, clock_.now()));
  });
}

void World::sleep(int c, Duration time) {
  const Instant until = clock_.now() + time;
  network_.sleep(host(c), until);
  if (const ClientPtr life = clients_[static_cast<std::size_t>(c)].life) {
    clock_.at(until, [this, life] { arm(life); });
  }
}

void World::copy_state(int from, int to) {
  clients_[static_cast<std::size_t>(to)].secret = clients_[static_cast<std::size_t>(from)].secret.clone();
}

Result<std::string> World::change_lock(const LockChange& change) {
  Result<std::string> done = std::string();
  control<ServerLife>(server_.life, [&](ServerLife& l) {
    node::ServerOutputs out;
    done = l.node->change_lock(change, out, clock_.now());
    act(l, std::move(out));
  });
  return done;
}

bool World::trust(int c, const std::string& peer) {
  ClientLife& life = *clients_[static_cast<std::size_t>(c)].life;
  node::ClientOutputs out;
  const auto done = life.node->trust(peer, out, clock_.now());
  act(life, std::move(out));
  return done.has_value();
}

void World::name_servers(int c) {
  ClientLife& life = *clients_[static_cast<std::size_t>(c)].life;
  act(life, life.node->on_new_servers(clock_.now()));
}

void World::connect(const ClientPtr& life) {
  const auto& servers = network_.addresses(server_.host);
  const Endpoint server{address(life->number).is_v4() ? servers.front() : servers.back(), kDefaultPort};
  const std::uint64_t dialing = life->dialing = ++life->dialed;
  network_.connect(life->host, server, [this, life, dialing, server](std::shared_ptr<SimStream> stream) {
    if (life->ended || life->dialing != dialing) {
      if (stream) stream->close();
      return;
    }
    if (!stream) {
      return control<ClientLife>(life, [this, dialing](ClientLife& l) {
        if (l.dialing == dialing) act(l, l.node->on_dialed_all("nobody listens", clock_.now()));
      });
    }
    const control::LinkId link = ++life->last_link;
    stream->on_bytes = [this, life, link](ByteView bytes) {
      control<ClientLife>(life, [this, link, copy = Bytes(bytes.begin(), bytes.end())](ClientLife& l) {
        if (l.streams.contains(link)) act(l, l.node->on_server_bytes(link, copy, clock_.now()));
      });
    };
    stream->on_closed = [this, life, link] {
      control<ClientLife>(life, [this, link](ClientLife& l) {
        if (l.streams.erase(link) > 0) act(l, l.node->on_server_closed(link, "", clock_.now()));
      });
    };
    control<ClientLife>(life, [this, server, stream, link, dialing](ClientLife& l) {
      if (l.dialing != dialing) return stream->close();
      l.streams[link] = stream;
      act(l, l.node->on_connected(link, server, network_.addresses(server_.host), clock_.now()));
      if (!l.ended && l.dialing == dialing) act(l, l.node->on_dialed_all("", clock_.now()));
    });
  });
}

void World::act(ClientLife& life, node::ClientOutputs out) {
  if (life.ended) return;
  (void)dataplane::execute(std::move(out.commit), life.published, *life.port);
  Client& k = clients_[static_cast<std::size_t>(life.number)];
  for (const auto& [link, bytes] : out.to_server) {
    if (const auto it = life.streams.find(link); it != life.streams.end()) it->second->send(bytes);
  }
  for (const control::LinkId link : out.disconnect) {
    if (const auto stream = life.streams.extract(link)) stream.mapped()->close();
  }
  if (out.stop_dialing) life.dialing = 0;
  k.enrolled |= out.enrolled;
  if (out.link && life.node->members().members().empty()) violated("an interface is up before any member is known");
  if (out.keep_network) k.kept_network = std::move(*out.keep_network);
  if (out.keep_known) k.kept_known = std::move(*out.keep_known);
  if (out.keep_lock) k.kept_lock = std::move(*out.keep_lock);
  if (out.fatal) {
    k.fatal = *out.fatal;
    return stop_client(life.number);
  }
  if (out.connect) connect(k.life);
  arm(life);
}

void World::act(ServerLife& life, node::ServerOutputs out) {
  if (life.ended) return;
  for (auto& [id, bytes] : out.to_send) {
    if (const auto it = life.streams.find(id); it != life.streams.end()) it->second->send(bytes);
  }
  for (const control::ConnId id : out.to_close) {
    if (auto node = life.streams.extract(id)) node.mapped()->close();
  }
  if (out.members_changed) check_addresses();
  arm(life);
}

// Streams have unlimited room: what waits leaves at once.
void World::relay_stream(ClientLife& life) {
  for (bool more = true; more && !life.ended;) {
    auto out = life.node->on_stream_room(dataplane::StreamPort::kMaxTaken, clock_.now());
    more = !out.to_server.empty();
    act(life, std::move(out));
  }
}

void World::relay_streams(ServerLife& life) {
  for (const control::ConnId id : life.node->streams_waiting(clock_.now())) {
    for (bool more = true; more && !life.ended;) {
      auto out = life.node->on_stream_room(id, dataplane::StreamPort::kMaxTaken, clock_.now());
      more = !out.to_send.empty();
      act(life, std::move(out));
    }
  }
}

// A deadline that stays in the past would let the daemon spin.
void World::check_progress(Instant& last, int& count) const {
  count = last == clock_.now() ? count + 1 : 0;
  last = clock_.now();
  if (count > 1000) violated("a deadline stays in the past");
}

template <class Life>
void World::arm(const std::shared_ptr<Life>& life) {
  if (!life || life->ended) return;
  const Instant deadline = life->node->next_deadline();
  const Instant at = deadline == kNever ? kNever : std::max(deadline, network_.wakes_at(life->host));
  if (at == kNever || (life->woken_at != kNever && life->woken_at <= at && life->woken_at > clock_.now())) return;
  life->woken_at = at;
  clock_.at(at, [this, at, life] {
    control<Life>(life, [this, at, life](Life& l) {
      if (l.woken_at != at) return;  // an earlier one has replaced it
      l.woken_at = kNever;
      if (l.node->next_deadline() <= clock_.now() && network_.wakes_at(l.host) <= clock_.now()) {
        check_progress(l.last_deadline, l.deadlines_now);
        act(l, l.node->on_deadline(clock_.now()));
      } else {
        arm(life);
      }
    });
  });
}

void World::run_for(Duration time) {
  const Instant until = clock_.now() + time;
  while (clock_.step(until)) {
  }
  for (const Client& k : clients_) {
    if (k.life) check_views(*k.life);
  }
}

bool World::run_until(const std::function<bool()>& condition, Duration limit) {
  const Instant until = clock_.now() + limit;
  // Not after every event: with many clients the check costs more than the events.
  for (Instant asked = clock_.now(); !condition(); asked = clock_.now()) {
    while (clock_.now() - asked < std::chrono::milliseconds(1)) {
      if (!clock_.step(until)) return condition();
    }
  }
  return true;
}

std::uint64_t World::send_frame(int from, int to, std::size_t size) {
  const Member* src = server_.life ? server_.life->registry->find_name("c" + std::to_string(from)) : nullptr;
  const MemberList& list = client(from).members();
  if (src == nullptr) src = list.find_name("c" + std::to_string(from));
  const Member* dst = to < 0 ? nullptr : list.find_name("c" + std::to_string(to));
  const std::uint64_t number = next_frame_++;
  if (src == nullptr || (to >= 0 && dst == nullptr)) return number;
  Mac everyone;
  everyone.bytes.fill(std::byte{0xff});
  sent_[number] = {from, to};
  const ClientPtr life = clients_[static_cast<std::size_t>(from)].life;
  const std::size_t queue = static_cast<std::size_t>(to + 1) % life->workers.size();  // a flow stays on one
  life->taps[queue]->push(make_udp_frame(src->mac, dst != nullptr ? dst->mac : everyone, src->address,
                                         dst != nullptr ? dst->address : options_.network.broadcast(),
                                         {number, static_cast<std::uint32_t>(from), to}, size));
  run_worker(life, queue);
  return number;
}

bool World::delivered(std::uint64_t number, int to) const {
  return delivered_.contains({number, to});
}

void World::on_frame(int c, const Bytes& frame) {
  digest(frame);
  // The directory's announcements to the kernel are not from members.
  const auto info = l2::parse_frame(frame);
  if (info && l2::read_link_message(frame, *info).kind == l2::LinkMessage::Kind::announcement) return;
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

// Two clients have drawn this index for sessions of theirs: with 24 bits, one in some thousand worlds has such a pair.
bool World::is_drawn_twice(std::uint32_t index) {
  const auto has = [&](const Client& k) {
    dataplane::PublishedPeers::View view;
    return k.life &&
           k.life->published.after(dataplane::Batch::receive(*k.life->port, {}), view).by_index.contains(index);
  };
  return std::ranges::count_if(clients_, has) > 1;
}

void World::on_wire(HostId sender, const Endpoint& from, const Endpoint& to, ByteView bytes) {
  if (as_text(bytes).find(kMarker) != std::string_view::npos) violated("inner bytes in clear on the wire");
  const ByteView inner = wire::parse_relay_header(bytes) ? bytes.subspan(wire::kRelayHeaderSize) : bytes;
  // Relayed datagrams were counted when their origin sent them.
  if (const auto header = wire::parse_data_header(inner); header && sender != server_.host) {
    const std::size_t body = hash_bytes(inner);
    const std::uint64_t key = std::uint64_t{sender} << 56 | std::uint64_t{header->receiver} << 32 | header->counter;
    const auto [it, fresh] = counters_seen_.try_emplace(key, body, clock_.now());
    // A later session may draw the same index.
    if (!fresh && clock_.now() - it->second.second > session::kReceiveUntil) it->second = {body, clock_.now()};
    if (!fresh && it->second.first != body && !is_drawn_twice(header->receiver)) {
      violated("a counter was used for two datagrams");
    }
  }
  if (digests_ != nullptr) digest(as_view(to_string(from) + to_string(to)));
  digest(bytes);
  if (sniffed_.size() >= kKeptSniffed) sniffed_.erase(sniffed_.begin(), sniffed_.begin() + kKeptSniffed / 2);
  sniffed_.push_back({from, to, Bytes(bytes.begin(), bytes.end())});
}

void World::digest(ByteView what) {
  if (digests_ == nullptr) return;
  const auto at = static_cast<std::size_t>(clock_.now().time_since_epoch().count());
  digest_ = (digest_ ^ hash_bytes(what) ^ at) * 0x100000001b3ULL;
}

// One line per world, whose last word is equal for two builds that behave alike: what went over the wire, what was
// delivered, what the clients finally report, and how much randomness was used.
void World::write_digest() {
  const Instant now = clock_.now();
  const auto add = [this](const std::string& text) { digest(as_view(text)); };
  for (const Client& k : clients_) {
    if (!k.life) continue;
    const ClientStatus status = k.life->node->status(now);
    for (const std::uint64_t drops : status.drops | std::views::values) add(std::to_string(drops));
    for (const PeerStatus& peer : status.peers) {
      add(peer.why_relayed + peer.how_to_mend + to_string(peer.endpoint.value_or(Endpoint{})));
      const auto why = k.life->node->why(peer.member.name, now);
      for (const PathEvent& event : why ? why->events : std::vector<PathEvent>{}) add(event.what);
    }
  }
  add(std::to_string(rng_.u64()));
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  std::ofstream(digests_, std::ios::app) << (test != nullptr ? test->name() : "") << ' ' << options_.seed << ' '
                                         << std::hex << digest_ << '\n';
}

// Of the members that changed since the last time.
void World::check_addresses() {
  const Delta changed =
      server_.life->registry->records_since(std::exchange(addresses_at_, server_.life->registry->records_version()));
  const auto gone = [&](MemberId id) {
    return changed.full || std::ranges::find(changed.removed, id) != changed.removed.end();
  };
  if (changed.full || !changed.removed.empty()) {
    std::erase_if(addresses_, [&](const auto& entry) { return gone(entry.second); });
    std::erase_if(macs_, [&](const auto& entry) { return gone(entry.second); });
  }
  for (const Member& member : changed.upserts) check_address(member);
}

void World::check_address(const Member& member) {
  const MemberId by_address = addresses_.try_emplace(member.address, member.id).first->second;
  if (by_address != member.id) violated("two members have " + to_string(member.address));
  const MemberId by_mac = macs_.try_emplace(member.mac, member.id).first->second;
  if (by_mac != member.id) violated("two members have " + to_string(member.mac));
  if (!options_.network.contains(member.address)) violated("an address outside the network");
}

void World::inject(const Endpoint& from, const Endpoint& to, Bytes bytes) {
  network_.inject(from, to, std::move(bytes));
}

Result<void> World::remove(const std::string& name) {
  Result<void> done;
  control<ServerLife>(server_.life, [&](ServerLife& l) {
    auto out = l.node->remove(name, clock_.now());
    if (!out) {
      done = out.error();
    } else {
      act(l, std::move(*out));
    }
  });
  return done;
}

void World::request_reports() {
  control<ServerLife>(server_.life, [this](ServerLife& l) { act(l, l.node->request_reports(clock_.now())); });
}

bool World::all_admitted() const {
  const auto online =
      std::ranges::count_if(server_.life->registry->members(), [](const auto& m) { return m.second.online; });
  const bool all_states = online <= static_cast<std::ptrdiff_t>(control::kTellAll * 3 / 4);
  // Whoever was not ready the last time is likely not to be now.
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    const std::size_t c = (unready_ + i) % clients_.size();
    if (admitted(clients_[c], all_states)) continue;
    unready_ = c;
    return false;
  }
  return true;
}

bool World::admitted(const Client& k, bool all_states) const {
  if (!k.life) return true;
  const ClientStatus status = k.life->node->status(clock_.now(), false);
  return status.connected && (status.observed || status.relay_over_tcp) &&
         status.list_version == server_.life->registry->records_version() &&
         knows_states(*k.life->node, server_.life->registry->members(), all_states);
}

// It sees who is online, and in a small network everybody's candidates.
bool World::knows_states(const node::ClientNode& node, const std::map<MemberId, Member>& members, bool all) {
  const MemberMap& held = node.members().members();
  const auto known = [&](const auto& theirs) {
    const Member& m = theirs.second;
    const Member* h = held.find(m.id);
    if (h == nullptr || m.online != h->online) return false;
    return !all || !h->online || m.candidates.empty() || h->candidates == m.candidates;
  };
  return members.size() == held.size() && std::ranges::all_of(members, known);
}

bool World::all_direct() const {
  for (const Client& k : clients_) {
    if (!k.life) continue;
    for (const PeerStatus& peer : k.life->node->status(clock_.now()).peers) {
      if (peer.member.online && peer.path != PathKind::direct) return false;
    }
  }
  return true;
}

PathKind World::path(int from, int to) const {
  if (!running(from)) return PathKind::none;
  const std::string name = "c" + std::to_string(to);
  for (const PeerStatus& peer : clients_[static_cast<std::size_t>(from)].life->node->status(clock_.now()).peers) {
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
