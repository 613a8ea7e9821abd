// SPDX-License-Identifier: MIT
#include "node/client_node.h"

#include <algorithm>
#include <iterator>

#include "control/cache_file.h"
#include "wire/datagram.h"

namespace eps::node {
namespace {

const Member* find_refused(const MemberList& list, const std::map<MemberId, RefusedPeer>& refused,
                           std::string_view peer) {
  for (const auto& [id, why] : refused) {
    const Member* m = list.find(id);
    if (m != nullptr && (m->name == peer || to_string(m->address) == peer)) return m;
  }
  return nullptr;
}

}  // namespace

void ClientOutputs::merge(ClientOutputs&& other) {
  commit.merge(std::move(other.commit));
  std::move(other.to_server.begin(), other.to_server.end(), std::back_inserter(to_server));
  disconnect.insert(disconnect.end(), other.disconnect.begin(), other.disconnect.end());
  stop_dialing |= other.stop_dialing;
  connect |= other.connect;
  woke |= other.woke;
  look_at_groups |= other.look_at_groups;
  if (other.link) link = other.link;
  enrolled |= other.enrolled;
  if (other.keep_network) keep_network = std::move(other.keep_network);
  if (other.keep_known) keep_known = std::move(other.keep_known);
  if (other.keep_lock) keep_lock = std::move(other.keep_lock);
  members_changed.merge(std::move(other.members_changed));
  std::move(other.notes.begin(), other.notes.end(), std::back_inserter(notes));
  std::move(other.warnings.begin(), other.warnings.end(), std::back_inserter(warnings));
  if (!fatal) fatal = std::move(other.fatal);
}

ClientNode::ClientNode(ClientParams params, dataplane::StreamPort& udp, Rng& rng)
    : params_(std::move(params)),
      rng_(rng),
      udp_(udp),
      out_(udp),
      peers_({.self = params_.peers.self.clone(),
              .psks = params_.peers.psks.clone(),
              .aeads = params_.peers.aeads,
              .first_handshake_number = params_.peers.first_handshake_number,
              .rekey_after_packets = params_.peers.rekey_after_packets,
              .relay_for_others = params_.peers.relay_for_others,
              .relay_limit = params_.peers.relay_limit,
              .device = params_.device,
              .features = params_.peers.features,
              .copy_dscp = params_.peers.copy_dscp,
              .check_tables = params_.peers.check_tables},
             out_, rng),
      bind_(out_),
      admission_(rng),
      known_(std::move(params_.known)),
      lock_(std::move(params_.lock)) {
  if (params_.key.lock) lock_.expect(*params_.key.lock);
}

ClientOutputs ClientNode::start(std::vector<IpAddress> local_addresses, Instant now) {
  started_ = now;
  local_addresses_ = std::move(local_addresses);
  ClientOutputs out;
  search(out);
  if (params_.cache) recall(*std::exchange(params_.cache, std::nullopt), out, now);
  return finish(std::move(out), now);
}

// Continues where an earlier run ended; the server reports what has changed since.
void ClientNode::recall(NetworkCache cache, ClientOutputs& out, Instant now) {
  if (cache.server != params_.key.server || cache.self.key != params_.peers.self.public_key) {
    out.notes.push_back("The stored network of an earlier run does not belong to this network key: it is not used.");
    return;
  }
  signing_key_ = cache.signing_key;
  also_port_ = cache.also_port;
  members_ = std::move(cache.list);
  list_signature_ = cache.signature;
  out.notes.push_back(
      "Until the server answers, its last list stays in use: " + std::to_string(members_.members().size()) +
      (members_.members().size() == 1 ? " member" : " members") + ", and the address " + to_string(cache.self.address) +
      "/" + std::to_string(cache.network.network.prefix) + " for this computer.");
  set_self(cache.network, cache.self, now);
  out.members_changed = update_peers(true, {true, {}}, now);
  bring_up(out);
  announce(out, now);
}

void ClientNode::set_self(const NetworkInfo& network, const Member& self, Instant now) {
  if (self_ && self_->id != self.id) look_at_all_ = true;  // the former holder of this identity is now a peer
  network_ = network;
  self_ = self;
  link_due_ = true;
  waits_ = !lock_.admits(network, self);
  Member allowed = self;
  if (lock_.on() && !registry::are_grants_signed(lock_.chain(), self)) allowed.grants = {};
  peers_.set_self(network, allowed, now);
}

// The interface comes up once the members are known: earlier broadcasts, such as the first ARP request of an
// application that was waiting for it, would reach nobody. And never with an
// address that the network lock does not know.
void ClientNode::bring_up(ClientOutputs& out) {
  if (!link_due_ || members_.members().empty() || waits_) return;
  link_due_ = false;
  out.link = ports::LinkConfig{self_->mac, self_->address, network_->network, network_->mtu};
  if (network_->network6) out.link->address6 = address6_of(*network_->network6, self_->mac);
}

void ClientNode::relay_by(ServerRelay by, Instant now) {
  peers_.set_relay(bind_.server(), relay_tag_, by, now, bind_.socket());
  for (const ports::SocketId side : bind_.take_left()) peers_.leave_side(side);
}

// Set only while a connection exists and UDP has failed; kNever otherwise.
Instant ClientNode::relay_here_at() const {
  if (!admitted_ || relay_here_ || bind_.bound()) return kNever;
  return bind_.lost() ? bind_awaited_since_ : bind_awaited_since_ + kRelayHereAfter;
}

void ClientNode::relay_here(bool here, ClientOutputs& out, Instant now) {
  if (relay_here_ == here || !connection_) return;
  relay_here_ = here;
  out.merge(take(connection_->relay_here(here, now), now));
  if (here) relay_by(ServerRelay::inside, now);
}

void ClientNode::announce(ClientOutputs& out, Instant now) {
  std::vector<Candidate> candidates;
  std::vector<Endpoint> local;
  for (const IpAddress& ip : local_addresses_) local.push_back({ip, params_.data_port});
  bind_.set_local(std::move(local));
  for (const IpAddress& ip : local_addresses_) {
    if (peers_.is_inside(ip)) continue;
    if (candidates.size() < kMaxCandidates - 5) {
      candidates.push_back({Candidate::Kind::local, {ip, params_.data_port}});
    }
  }
  // Leaves room for one, and for what the server observes.
  const auto mapped = std::ranges::find(port_mappings_, Transport::udp, &PortMapping::transport);
  if (mapped != port_mappings_.end()) candidates.push_back({Candidate::Kind::mapped, mapped->external});
  for (const Endpoint& seen : peers_.seen()) candidates.push_back({Candidate::Kind::seen, seen});
  if (const auto forwarded = port_of_a_rule()) candidates.push_back({Candidate::Kind::seen, *forwarded});
  std::vector<Candidate> own = candidates;
  for (const Endpoint& observed : bind_.all_observed()) {
    if (peers_.is_inside(observed.ip)) continue;
    const auto same = [&](const Candidate& c) { return c.endpoint == observed; };
    if (std::ranges::none_of(own, same)) own.insert(own.begin(), {Candidate::Kind::observed, observed});
  }
  peers_.set_own_candidates(std::move(own), local_addresses_, now);
  if (connection_ && admitted_) out.merge(take(connection_->announce(std::move(candidates), now), now));
}

// Where a hard NAT leads to this node if its user forwards our port by a rule, which nothing else shows: what this node
// sends leaves from other ports all the same.
std::optional<Endpoint> ClientNode::port_of_a_rule() const {
  const auto& seen = bind_.observed();
  const bool hard = bind_.nat().mapping == NatMapping::per_destination;
  if (!hard || !seen || !seen->ip.is_v4() || seen->port == params_.data_port) return std::nullopt;
  return Endpoint{seen->ip, params_.data_port};
}

ClientOutputs ClientNode::on_local_addresses(std::vector<IpAddress> addresses, Instant now, bool rerouted) {
  ClientOutputs out;
  if (addresses == local_addresses_ && !rerouted) return out;
  local_addresses_ = std::move(addresses);
  if (connection_ && server_ && family_is_gone(server_->ip)) {
    // The connection is dead, but nothing will ever report that. The server may be reachable in the other family.
    drop_connection(out);
    connection_lost(
        std::string("this computer has no ") + (server_->ip.is_v4() ? "IPv4" : "IPv6") + " address any more", out, now);
    connect_at_ = now;
  }
  announce(out, now);
  look_anew(out, now);
  out.merge(pass_deadline(now));
  return finish(std::move(out), now);
}

// There are addresses, but none in the family of `ip`.
bool ClientNode::family_is_gone(const IpAddress& ip) const {
  if (ip.is_loopback() || ip.is_link_local() || local_addresses_.empty()) return false;
  return std::ranges::none_of(local_addresses_, [&](const IpAddress& own) { return own.is_v4() == ip.is_v4(); });
}

void ClientNode::on_wake(Duration late, ClientOutputs& out, Instant now) {
  out.woke = true;
  out.notes.push_back("This computer slept, or this program stood still, for " +
                      std::to_string(std::chrono::round<std::chrono::seconds>(late).count()) +
                      " seconds: looking for the server and the paths to all peers anew.");
  look_anew(out, now);
}

// Everything known about the network outside may be wrong.
void ClientNode::look_anew(ClientOutputs& out, Instant now) {
  // The relay knows only the old address until the bind is answered.
  bind_.refresh(now);
  bind_awaited_since_ = now;
  if (!relay_here_) relay_by(ServerRelay::none, now);
  peers_.on_network_change(now);
  // Connection attempts so far used the old route. A server that was unreachable may be reachable now.
  search_now(now);
  doubt_server(out, now);
}

ClientOutputs ClientNode::on_new_servers(Instant now) {
  search_now(now);
  return finish(pass_deadline(now), now);
}

ClientOutputs ClientNode::on_mapped(std::vector<PortMapping> mappings, Instant now) {
  ClientOutputs out;
  if (mappings == port_mappings_) return out;
  port_mappings_ = std::move(mappings);
  announce(out, now);
  return finish(std::move(out), now);
}

ClientOutputs ClientNode::on_upcalls(std::vector<dataplane::Upcall> upcalls, Instant now) {
  ClientOutputs out;
  std::erase_if(upcalls, [&](const dataplane::Upcall& upcall) {
    const std::vector<Endpoint> before = bind_.all_observed();
    const std::optional<Endpoint> before_main = bind_.observed();
    const NatMapping mapping_before = bind_.nat().mapping;
    const Endpoint server_before = bind_.server();
    const ports::SocketId socket_before = bind_.socket();
    const auto* datagram = std::get_if<dataplane::HandshakeDatagram>(&upcall);
    if (datagram == nullptr || wire::type_of(datagram->bytes) != wire::Type::bind_reply) return false;
    if (datagram->arrival.relayed() ||
        !bind_.on_reply(datagram->arrival.from, datagram->arrival.socket, datagram->bytes, now)) {
      counters().drop(Drop::unauthorised);
    } else {
      const bool same_way = bind_.server() == server_before && bind_.socket() == socket_before;
      const bool moved = same_way && bind_.observed() != before_main;
      if (bind_.all_observed() != before || bind_.nat().mapping != mapping_before) announce(out, now);
      peers_.set_own_nat(bind_.nat(), now);
      if (bind_.bound()) {
        relay_here(false, out, now);
        relay_by(ServerRelay::udp, now);
      }
      // The NAT made a new mapping to the server, so probably new ones to the peers as well.
      if (moved && before_main) {
        peers_.on_network_change(now);
        doubt_server(out, now);
      }
    }
    return true;
  });
  peers_.on_upcalls(std::move(upcalls), now);
  if (peers_.take_seen_changed()) announce(out, now);
  doubt_list(out, now);
  return finish(std::move(out), now);
}

ClientOutputs ClientNode::on_groups(GroupFilter filter, Instant now) {
  peers_.set_groups(std::move(filter), now);
  return finish({}, now);
}

ClientOutputs ClientNode::on_deadline(Instant now) {
  return finish(pass_deadline(now), now);
}

ClientOutputs ClientNode::pass_deadline(Instant now) {
  ClientOutputs out;
  const Instant due = next_deadline();
  // A connection that was silent for too long ends; after a sleep another is made at once.
  if (connection_ && now >= connection_->next_deadline()) out.merge(take(connection_->on_deadline(now), now));
  if (now >= admission_.next_deadline()) out.merge(take(admission_.on_deadline(members_, now), now));
  if (due < now && now - due >= kSlept) on_wake(now - due, out, now);
  if (now >= connect_at_) search(out);
  const bool was_lost = bind_.lost();
  const bool was_given_up = bind_.given_up();
  bind_.on_deadline(now);
  peers_.set_own_nat(bind_.nat(), now);
  if (!was_lost && bind_.lost()) {
    if (!relay_here_) relay_by(ServerRelay::none, now);
    doubt_server(out, now);
  }
  if (!was_given_up && bind_.given_up()) {
    if (admitted_) {
      out.notes.push_back("The server does not answer on UDP at " + to_string(bind_.server()) +
                          ": relayed traffic uses the TCP connection, which is slower. Allow UDP to this "
                          "port in the firewalls in between.");
    }
  }
  if (now >= relay_here_at()) relay_here(true, out, now);
  peers_.on_deadline(now);
  if (peers_.take_relay_doubt()) {
    bind_.verify(now);
    doubt_server(out, now);
  }
  if (peers_.take_relay_used()) bind_.verify(now);
  if (peers_.take_flow_doubt()) bind_.renew(now);
  if (now >= keep_at_) {
    out.keep_known = unkept_known();
    if (out.keep_known) known_kept_at_ = now;
    out.keep_lock = unkept_lock();
    out.keep_network = unkept_network();
  }
  return out;
}

std::optional<std::string> ClientNode::unkept_known() {
  return known_.take_changed() ? std::optional(known_.encode(params_.key.server)) : std::nullopt;
}

std::optional<std::string> ClientNode::unkept_lock() {
  return lock_.take_changed() ? std::optional(lock_.encode(params_.key.server)) : std::nullopt;
}

std::optional<Bytes> ClientNode::unkept_network() {
  if (std::exchange(keep_at_, kNever) == kNever || !self_ || !network_ || !signing_key_) return std::nullopt;
  return control::encode_cache_file(
      {params_.key.server, *signing_key_, *network_, *self_, members_, list_signature_, also_port_, params_.data_port});
}

Instant ClientNode::next_deadline() const {
  Instant at = std::min({connect_at_, keep_at_, relay_here_at(), bind_.next_deadline(), peers_.next_deadline(),
                         admission_.next_deadline()});
  if (connection_) at = std::min(at, connection_->next_deadline());
  return at;
}

// Ends each step that the caller sees.
ClientOutputs ClientNode::finish(ClientOutputs out, Instant now) {
  if (const auto wanted = peers_.take_wanted(); !wanted.empty() && connection_) {
    auto asked = connection_->want(wanted);
    if (!asked.to_send.empty()) out.to_server.emplace_back(link_, std::move(asked.to_send));
  }
  if (connection_) {
    const bool sparse = bind_.bound() && members_.members().size() > kLargeNetwork;
    connection_->set_ping_after(sparse ? control::kSparsePings : control::kPingAfter);
  }
  for (auto notes : {peers_.take_notes(), known_.take_notes(), lock_.take_notes()}) {
    std::ranges::move(notes, std::back_inserter(out.notes));
  }
  for (auto warnings : {known_.take_warnings(), lock_.take_warnings()}) {
    std::ranges::move(warnings, std::back_inserter(out.warnings));
  }
  for (std::string& note : std::exchange(notes_, {})) out.notes.push_back(std::move(note));
  if (lock_.chain_changed()) out.keep_lock = unkept_lock();
  out.look_at_groups |= peers_.take_look_at_groups();
  auto table = peers_.commit(now);
  out.commit.merge(out_.take());
  if (table) out.commit.table = std::move(table);
  return out;
}

ClientStatus ClientNode::status(Instant now, bool with_silent) const {
  ClientStatus s;
  s.name = self_ ? self_->name : params_.name;
  s.version = params_.version;
  s.key = params_.peers.self.public_key;
  s.device = params_.device;
  s.self = self_;
  s.network = network_;
  s.connected = admitted_;
  s.server = server_;
  // It is looked for beside a connection that is there only while that is silent.
  const bool silent = admitted_ && (admission_.running() || connect_at_ != kNever);
  s.server_note = silent      ? "it does not answer at the moment, and another connection to it is tried"
                  : admitted_ ? ""
                              : server_note_;
  s.server_version = server_version_;
  s.rekeys = connection_ ? connection_->rekeys() : 0;
  s.observed = bind_.bound() ? bind_.observed() : std::nullopt;
  s.nat = peers_.own_nat();
  s.relay_over_tcp = relay_here_;
  s.list_version = members_.version();
  s.data_port = params_.data_port;
  s.offloads = params_.offloads;
  s.port_mappings = port_mappings_;
  if (const auto rule = peers_.rule(now)) {
    s.port_mappings.push_back({Transport::udp, params_.data_port, *rule, "a rule of its own"});
  }
  s.uptime = now - started_;
  s.traffic = totals_of(peers_.counters());
  s.connections_established = connections_established_;
  s.drops = nonzero_drops(peers_.counters());
  s.findings = peers_.findings(now);
  std::ranges::copy(limits_.list(now), std::back_inserter(s.findings));
  std::ranges::copy(known_.findings(now), std::back_inserter(s.findings));
  s.peers = with_silent ? peers_.status(now) : peers_.status_of_met(now);
  for (PeerStatus& peer : s.peers) tell_stream(peer);
  for (const auto& [id, why] : refused_) {
    if (const Member* member = members_.find(id)) s.peers.push_back(status_of_refused(*member));
  }
  s.policy = peers_.policy_status();
  if (lock_.known()) {
    s.lock = lock_.status();
    s.lock->waits = waits_;
    if (waits_) s.lock->troubles.push_back(waiting_sentence());
  }
  return s;
}

PeerStatus ClientNode::status_of_refused(const Member& member) const {
  const RefusedPeer& refused = refused_.at(member.id);
  PeerStatus s;
  s.member = member;
  s.refused = true;
  s.why_relayed = refused.why + " Nothing is sent to it and nothing is taken from it.";
  s.how_to_mend = refused.mend;
  return s;
}

std::optional<PeerWhy> ClientNode::why(std::string_view peer, Instant now) const {
  if (const Member* refused = find_refused(members_, refused_, peer)) {
    return PeerWhy{status_of_refused(*refused), peers_.own_nat(), {}, {}};
  }
  auto out = peers_.why(peer, now);
  if (out) tell_stream(out->peer);
  return out;
}

// Before the effects of the step, so that nothing is sent to a refused member, and everything learned is known.
MembersChanged ClientNode::update_peers(bool records, MembersChanged changed, Instant now) {
  if (records) {
    changed = known_.look(members_, params_.peers.self.public_key, now, std::move(changed));
    look_at_lock(changed, now);
  }
  if (known_.changed()) {
    keep_at_ = std::min(keep_at_, known_kept_at_ ? std::max(now, *known_kept_at_ + keep_pause()) : now);
  }
  if (self_) {
    const Member* self = members_.find(self_->id);
    policy_ = lock_.policy(members_.policy());
    peers_.set_policy(policy_, self != nullptr ? *self : *self_);
  }
  peers_.update_members(members_, now, refused_, changed, lock_.own_addresses_only());
  return changed;
}

void ClientNode::look_at_lock(MembersChanged& changed, Instant now) {
  refused_ = known_.refused();
  if (!network_ || !self_ || !lock_.known()) return;
  MembersChanged by_lock = MembersChanged::of(lock_.look(*network_, members_, self_->id, changed));
  changed.merge(std::move(by_lock));
  refused_.insert(lock_.refused().begin(), lock_.refused().end());
  const Member* listed = members_.find(self_->id);
  waits_ = !lock_.admits(*network_, listed != nullptr ? *listed : *self_);
  if (std::exchange(told_waits_, waits_) != waits_) {
    notes_.push_back(waits_ ? waiting_sentence() : "This computer is signed by the network lock.");
  }
  if (lock_.changed()) {
    keep_at_ = std::min(keep_at_, now + keep_pause());
  }
}

std::string ClientNode::waiting_sentence() const {
  return "This computer waits: no signer of the network lock has signed its record as it is, so no member takes "
         "anything from it. "
         "On a computer that holds a key of the lock: eps lock sign " +
         self_->name + ", after comparing the key there with this one: " + to_base32(self_->key.bytes) + ".";
}

Result<void> ClientNode::propose_lock(std::uint32_t ticket, LockChange change, ClientOutputs& out, Instant now) {
  if (!connection_ || !admitted_) return make_error(Errc::unavailable, "eps-client is not connected to the server");
  if (!server_features_.has(Feature::lock)) {
    return make_error(Errc::unsupported,
                      "the server's version " + server_version_ + " knows no network lock: update it");
  }
  lock_answer_.reset();
  out.merge(take(connection_->propose_lock(ticket, std::move(change), now), now));
  out = finish(std::move(out), now);
  return {};
}

Duration ClientNode::keep_pause() const {
  return kKeepNetworkAfter + kKeepLaterPerMember * static_cast<Duration::rep>(members_.members().size());
}

Result<std::string> ClientNode::trust(std::string_view peer, ClientOutputs& out, Instant now) {
  if (const Member* refused = find_refused(members_, lock_.refused(), peer)) {
    return make_error(Errc::permission,
                      refused->name +
                          " is refused by the network lock, which one computer alone "
                          "cannot change. On a computer that holds a key of the lock: eps lock sign " +
                          refused->name);
  }
  if (const Member* refused = find_refused(members_, known_.refused(), peer)) {
    known_.trust(*refused);
    const MemberId id = refused->id;
    const std::string name = refused->name, key = to_base32(refused->key.bytes);
    out.members_changed.merge(update_peers(true, {true, {}}, now));
    out.notes.push_back("The key " + key + " of " + name + " was accepted by this computer's user.");
    out.keep_known = unkept_known();
    out.merge(finish({}, now));
    if (refuses(id)) return make_error(Errc::in_use, refused_.at(id).why);
    return "The key " + key + " is the one of " + name + " from now on.";
  }
  for (const auto& [id, member] : members_.members()) {
    if (member.name != peer && to_string(member.address) != peer) continue;
    known_.trust(member);
    return member.name + " has the key that this computer knows: " + to_base32(member.key.bytes) + ".";
  }
  return make_error(Errc::not_found, "there is no member \"" + std::string(peer) + "\"; see eps peers");
}

// The stream's endpoint belongs to nobody: show the server's.
void ClientNode::tell_stream(PeerStatus& peer) const {
  if (!peer.endpoint || !dataplane::is_stream(*peer.endpoint)) return;
  peer.over_tcp = true;
  peer.endpoint = server_;
}

}  // namespace eps::node
