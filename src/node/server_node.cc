// SPDX-License-Identifier: MIT
#include "node/server_node.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <tuple>

#include "crypto/primitives.h"
#include "dataplane/relay.h"
#include "wire/datagram.h"

namespace eps::node {

void ServerOutputs::merge(ServerOutputs&& other) {
  std::move(other.to_send.begin(), other.to_send.end(), std::back_inserter(to_send));
  to_close.insert(to_close.end(), other.to_close.begin(), other.to_close.end());
  members_changed |= other.members_changed;
  std::move(other.notes.begin(), other.notes.end(), std::back_inserter(notes));
}

ServerNode::ServerNode(registry::Registry& registry, ServerParams params, dataplane::StreamPort& udp, Rng& rng,
                       dataplane::PublishedRelay& published, Instant now)
    : registry_(registry),
      params_(std::move(params)),
      udp_(udp),
      published_(published),
      control_(registry, {params_.version, params_.port, params_.also_port, params_.unix_time}, rng),
      quotas_(params_.relay_limit),
      reports_(now),
      started_(now),
      second_(udp.open_side()) {
  rng.fill(echo_secret_.writable());
}

ServerOutputs ServerNode::on_open(control::ConnId id, const Endpoint& from, Instant now) {
  return take(control_.on_open(id, from, now), now);
}
ServerOutputs ServerNode::on_bytes(control::ConnId id, ByteView bytes, Instant now) {
  control::Server::Outputs from = control_.on_bytes(id, bytes, now);
  // The relay counts what is relayed inside the connection.
  own_.bytes_received += bytes.size();
  if (from.relayed.empty()) ++own_.packets_received;
  for (const auto& [member, datagrams] : from.relayed) {
    for (const Bytes& datagram : datagrams) relayed_inside_ += datagram.size();
  }
  return take(std::move(from), now);
}
ServerOutputs ServerNode::on_closed(control::ConnId id, Instant now) {
  return take(control_.on_closed(id, now), now);
}
ServerOutputs ServerNode::on_deadline(Instant now) {
  ServerOutputs out = take(control_.on_deadline(now), now);
  for (const RelayQuotas::Excess& excess : quotas_.take_due(now)) tell(excess, out, now);
  return out;
}

ServerOutputs ServerNode::request_reports(Instant now) {
  reports_.begin_round();
  return take(control_.request_reports(now), now);
}

Result<ServerOutputs> ServerNode::remove(std::string_view name, Instant now) {
  auto removed = control_.remove(name, now);
  if (!removed) return removed.error();
  return take(std::move(*removed), now);
}

Result<ServerOutputs> ServerNode::expire(std::int64_t keep, Instant now) {
  keep_ = keep;
  auto expired = control_.expire(keep, now);
  if (!expired) return expired.error();
  return take(std::move(*expired), now);
}

Result<ServerOutputs> ServerNode::grant(std::string_view name, const IpNetwork& range, bool given, Instant now) {
  auto changed = control_.grant(name, range, given, now);
  if (!changed) return changed.error();
  return take(std::move(*changed), now);
}

Result<ServerOutputs> ServerNode::grant_all(const IpNetwork& range, bool given, Instant now) {
  auto changed = control_.grant_all(range, given, now);
  if (!changed) return changed.error();
  return take(std::move(*changed), now);
}

Result<ServerOutputs> ServerNode::permit(std::string_view name, Permission what, bool allowed, Instant now) {
  auto changed = control_.permit(name, what, allowed, now);
  if (!changed) return changed.error();
  return take(std::move(*changed), now);
}

Result<ServerOutputs> ServerNode::give_name(std::string_view name, std::string_view new_name, Instant now) {
  auto changed = control_.give_name(name, new_name, now);
  if (!changed) return changed.error();
  return take(std::move(*changed), now);
}

Result<ServerOutputs> ServerNode::set_policy(std::string text, Instant now) {
  auto changed = control_.set_policy(std::move(text), now);
  if (!changed) return changed.error();
  return take(std::move(*changed), now);
}

Result<ServerOutputs> ServerNode::set_groups(std::string_view name, std::vector<std::string> groups, Instant now) {
  auto changed = control_.set_groups(name, std::move(groups), now);
  if (!changed) return changed.error();
  return take(std::move(*changed), now);
}

Result<ServerOutputs> ServerNode::recover(Instant now) {
  auto done = control_.recover(now);
  if (!done) return done.error();
  return take(std::move(*done), now);
}

Result<std::string> ServerNode::change_lock(const LockChange& change, ServerOutputs& out, Instant now) {
  control::Server::Outputs step;
  auto done = control_.change_lock(change, step, now);
  out.merge(take(std::move(step), now));
  return done;
}

Result<std::string> ServerNode::accept_lock(std::string_view id, ServerOutputs& out, Instant now) {
  control::Server::Outputs step;
  auto done = control_.accept_lock(id, step, now);
  out.merge(take(std::move(step), now));
  return done;
}

ServerOutputs ServerNode::take(control::Server::Outputs from, Instant now) {
  for (const auto& [id, bytes] : from.to_send) {
    ++own_.packets_sent;
    own_.bytes_sent += bytes.size();
  }
  return carry(std::move(from), now);
}

ServerOutputs ServerNode::carry(control::Server::Outputs from, Instant now) {
  ServerOutputs out;
  out.to_send = std::move(from.to_send);
  out.to_close = std::move(from.to_close);
  std::vector<MemberId> joined;
  for (const control::ServerEvent& event : from.events) {
    if (event.kind == control::ServerEvent::Kind::joined) joined.push_back(event.member);
    if (event.kind == control::ServerEvent::Kind::removed) {
      reports_.forget(event.member);
      quotas_.forget(event.member);
    }
    out.members_changed |= event.members_changed();
    if (!event.sentence.empty()) out.notes.push_back(event.sentence);
  }
  for (auto& [member, report] : from.reports) {
    std::erase_if(report.peers, [&](const PeerReport& p) { return registry_.find(p.peer) == nullptr; });
    for (const PairStatus& pair : reports_.take(member, report, now)) out.notes.push_back(contradiction_in(pair));
  }
  for (const MemberId member : from.gone) on_gone(member, now);
  for (const MemberId member : joined) on_joined(member);
  if (!from.gone.empty() || !joined.empty()) publish();
  for (const auto& [member, here] : from.relay_here) on_relay_here(member, here);
  for (auto& [member, datagrams] : from.relayed) {
    const std::size_t all = datagrams.size();
    if (const std::size_t taken = udp_.arrive(member, std::move(datagrams)); taken < all) {
      counters_.drop(Drop::congested, all - taken);
    }
  }
  return out;
}

ServerOutputs ServerNode::on_upcalls(const std::vector<dataplane::Upcall>& upcalls, Instant now) {
  ServerOutputs out;
  for (const dataplane::Upcall& upcall : upcalls) {
    if (const auto* datagram = std::get_if<dataplane::HandshakeDatagram>(&upcall)) on_bind(*datagram, out, now);
    if (const auto* limited = std::get_if<dataplane::RelayLimited>(&upcall)) {
      tell(quotas_.begin(limited->from, now), out, now);
    }
  }
  return out;
}

// To the log, and to the member itself.
void ServerNode::tell(const RelayQuotas::Excess& excess, ServerOutputs& out, Instant now) {
  const Member* member = registry_.find(excess.member);
  if (member == nullptr) return quotas_.forget(excess.member);
  out.notes.push_back(sentence_of(excess, member->name + " (" + to_string(member->address) + ")", quotas_.limit()));
  out.merge(take(control_.tell_relay_limit(excess.member, to_string(quotas_.limit())), now));
}

std::string ServerNode::contradiction_in(const PairStatus& pair) const {
  const auto of = [&](MemberId id) {
    const Member* member = registry_.find(id);
    return member == nullptr ? "a former member" : member->name + " (" + to_string(member->address) + ")";
  };
  return "The reports of " + of(pair.from) + " and " + of(pair.to) + " contradict each other: " + of(pair.to) +
         " received " + std::to_string(pair.recent_packets_received) + " packets of the other lately, which reports " +
         std::to_string(pair.recent_packets_sent) + " sent. Do not trust the traffic figures of the two.";
}

// The others hear of the member now, and their traffic to it must not wait until its data socket is known.
void ServerNode::on_joined(MemberId member) {
  ++connections_established_;
  const control::Credentials* credentials = control_.credentials(member);
  if (credentials == nullptr) return;  // gone again in the same step
  bound_[member].tag = credentials->relay_tag;
  udp_.open(member);
  changed(member);
}

// Bindings under the credentials of a connection end with it.
void ServerNode::on_gone(MemberId member, Instant now) {
  if (bound_.erase(member) == 0) return;
  registry_.saw(member, control_.unix_time(now));
  relay_table_.erase(member);
  counters_.drop(Drop::congested, udp_.close(member));
}

void ServerNode::on_relay_here(MemberId member, bool here) {
  const auto it = bound_.find(member);
  if (it == bound_.end() || it->second.here == here) return;
  it->second.here = here;
  changed(member);
  publish();
}

std::vector<control::ConnId> ServerNode::streams_waiting(Instant now) {
  std::vector<control::ConnId> out;
  for (const MemberId member : udp_.take_waiting(now)) {
    if (const auto id = control_.connection_of(member)) out.push_back(*id);
  }
  return out;
}

ServerOutputs ServerNode::on_stream_room(control::ConnId id, std::size_t room, Instant now) {
  const MemberId member = control_.member_of(id);
  std::size_t too_old = 0;
  auto datagrams = udp_.take(member, room, now, too_old);
  counters_.drop(Drop::congested, too_old);
  return carry(control_.relay(member, std::move(datagrams)), now);
}

std::uint64_t ServerNode::echo_for(MemberId member, const Endpoint& endpoint) const {
  std::array<std::byte, 4 + 4 + 2> rest;
  store_be32(rest.data(), member.value);
  store_be32(rest.data() + 4, bound_.at(member).tag);
  store_be16(rest.data() + 8, endpoint.port);
  const auto mac = crypto::mac16(echo_secret_.view(), {endpoint.ip.bytes, rest});
  return load_be64(mac.data()) | 1;
}

// The source of the control connection is a real host: TCP has proved that. A client of version 0.1 can prove nothing
// else; for requests from elsewhere it gets its datagrams in the control connection.
bool ServerNode::proved(MemberId member, const Endpoint& from, const wire::BindRequest& request) const {
  const auto connected = control_.connected_from(member);
  if ((connected && connected->ip == from.ip) || bound_.at(member).endpoint == from) return true;
  return request.can_echo && request.echo == echo_for(member, from);
}

void ServerNode::on_bind(const dataplane::HandshakeDatagram& datagram, ServerOutputs& out, Instant now) {
  counters_.received(1, datagram.bytes.size());
  const auto request = wire::parse_bind_request(datagram.bytes);
  if (!request) return counters_.drop(Drop::malformed);
  const control::Credentials* credentials = control_.credentials(request->member);
  const ByteView bytes(datagram.bytes);
  if (credentials == nullptr) {
    return counters_.drop(now - started_ < dataplane::kRelayBegins ? Drop::expired : Drop::unauthorised);
  }
  const auto mac = crypto::mac16(credentials->bind_key.view(), {bytes.first(bytes.size() - wire::kMacSize)});
  if (!crypto::constant_time_equal(mac, bytes.last(wire::kMacSize))) return counters_.drop(Drop::unauthorised);

  if (dataplane::is_stream(datagram.arrival.from)) return counters_.drop(Drop::malformed);
  Bound& bound = bound_.at(request->member);
  const dataplane::Arrival& arrival = datagram.arrival;
  const Endpoint& from = arrival.from;
  const bool proof = proved(request->member, from, *request);
  bool moved = false;
  if (arrival.socket == 0) {
    // A request replayed from elsewhere must not move the member's endpoint.
    std::uint64_t& last = request->observe_only ? bound.last_observed_number : bound.last_number;
    if (request->number <= last) return counters_.drop(Drop::replayed);
    last = request->number;
    moved = proof && !request->observe_only && bound.endpoint != from;
    if (moved) bound.endpoint = from;
  }

  wire::BindReply answer{request->member, request->number, from, second_ ? second_->port : std::uint16_t{0}};
  if (request->can_echo) answer.echo = proof ? request->echo : echo_for(request->member, from);
  Bytes reply = wire::make_bind_reply(answer);
  const auto reply_mac =
      crypto::mac16(credentials->bind_key.view(), {ByteView(reply).first(reply.size() - wire::kMacSize)});
  std::copy(reply_mac.begin(), reply_mac.end(), reply.end() - wire::kMacSize);
  if (moved) {  // before the reply: the member may relay as soon as it has the reply
    changed(request->member);
    publish();
  }
  std::vector<ports::TxDatagram> tx = {{from, reply, 0, arrival.socket}};
  // An unproven endpoint gets no more bytes than it sent.
  if (proof && request->twice && second_ && arrival.socket == 0) tx.push_back({from, reply, 0, second_->socket});
  const std::size_t sent = udp_.send(tx);
  counters_.sent(sent, sent * reply.size());
  if (moved || (proof && request->observe_only && arrival.socket == 0)) {
    out.merge(take(control_.on_observed(request->member, from, now), now));
  }
}

void ServerNode::changed(MemberId member) {
  const Bound& bound = bound_.at(member);
  const bool inside = bound.here || !bound.endpoint.valid();
  relay_table_.put({member, bound.tag, bound.endpoint, 0, bound.counters, inside, quotas_.of(member)});
}

void ServerNode::publish() {
  published_.publish(std::make_shared<dataplane::RelayTable>(relay_table_));
}

Result<void> ServerNode::keep_last_seen(Instant now) {
  const std::int64_t clock = control_.unix_time(now);
  for (const auto& [id, bound] : bound_) registry_.saw(id, clock);
  return registry_.keep_last_seen();
}

std::pair<TrafficTotals, std::uint64_t> ServerNode::totals() const {
  TrafficTotals out = totals_of(counters_);
  out.packets_sent += own_.packets_sent;
  out.bytes_sent += own_.bytes_sent;
  out.packets_received += own_.packets_received;
  out.bytes_received += own_.bytes_received - std::min(own_.bytes_received, relayed_inside_);
  return {out, connections_established_};
}

// A former member's reports about its paths no longer count.
PairStatus ServerNode::as_told(const PairStatus& pair) const {
  PairStatus out = pair;
  if (const Member* from = registry_.find(pair.from); from == nullptr || !from->online) out.path = PathKind::none;
  return out;
}

std::vector<PairStatus> ServerNode::pairs() const {
  std::vector<PairStatus> out;
  out.reserve(reports_.pairs().size());
  for (const auto& [key, pair] : reports_.pairs()) out.push_back(as_told(pair));
  return out;
}

ServerNode::PairsPage ServerNode::pairs_page(MemberId of, std::pair<MemberId, MemberId> after) const {
  PairsPage out;
  const TrafficReports::Page page = reports_.page(of, after, kPairsPage);
  std::set<MemberId> named;
  for (const PairStatus& pair : page.pairs) {
    out.status.pairs.push_back(as_told(pair));
    named.insert({pair.from, pair.to});
  }
  if (page.more) out.next = {page.pairs.back().from, page.pairs.back().to};
  for (const MemberId id : named) {
    if (const Member* member = registry_.find(id)) out.status.members.emplace_back().member = *member;
  }
  return out;
}

ServerStatus ServerNode::status(Instant now, bool with_pairs) const {
  ServerStatus s;
  s.unix_time = params_.unix_time();
  s.version = params_.version;
  s.network = registry_.network();
  s.port = params_.port;
  s.offloads = params_.offloads;
  s.relay_limit = quotas_.limit();
  s.list_version = registry_.records_version();
  s.uptime = now - started_;
  std::tie(s.traffic, s.connections_established) = totals();
  s.drops = nonzero_drops(counters_);
  s.locked = registry_.lock().on();
  s.policy_signed = registry_.policy_signed();
  for (const auto& [id, member] : registry_.members()) {
    ServerMemberStatus m;
    m.member = member;
    m.control = control_.connected_from(id);
    m.copy_at = control_.copy_at(id, now);
    m.uptime = reports_.uptime(id);
    m.last_seen = member.online ? std::optional(s.unix_time) : registry_.last_seen(id);
    m.endpoint_changes_held = control_.held_news(id);
    m.floods = control_.floods(id, now);
    m.relay_limit_drops = quotas_.packets_dropped(id);
    m.relay_limited = quotas_.exceeds(id);
    m.ephemeral = registry_.is_ephemeral(id);
    if (const auto at = registry_.expires_at(member, keep_))
      m.expires_in = std::max<std::int64_t>(*at - s.unix_time, 0);
    m.not_signed = registry_.not_signed(member);
    if (const auto it = bound_.find(id); it != bound_.end()) {
      if (it->second.endpoint.valid()) m.data = it->second.endpoint;
      m.over_tcp = it->second.here;
      m.relayed = totals_of(*it->second.counters);
    }
    s.members.push_back(std::move(m));
  }
  if (with_pairs) s.pairs = pairs();
  return s;
}

}  // namespace eps::node
