// The control connection of node::ClientNode: from the moment that it is made, by what the server says in it, to its
// loss and the pause before the next.

#include <algorithm>

#include "node/client_node.h"

namespace eps::node {

ClientOutputs ClientNode::on_connected(const Endpoint& server, std::vector<IpAddress> all, Instant now) {
  server_ = server;
  server_addresses_ = std::move(all);
  server_note_ = "connected, waiting to be admitted";
  connection_.emplace(
      control::ClientParams{params_.peers.self.clone(), params_.key.clone(), params_.name, params_.version,
                            params_.enrolled, params_.peers.relay_for_others, signing_key_},
      members_, rng_);
  return finish(take(connection_->start(now), now), now);
}

ClientOutputs ClientNode::on_connect_failed(std::string why, Instant now) {
  ClientOutputs out;
  connection_lost(std::move(why), out, now);
  return finish(std::move(out), now);
}

ClientOutputs ClientNode::on_server_bytes(ByteView bytes, Instant now) {
  if (!connection_) return {};
  return finish(take(connection_->on_bytes(bytes, now), now), now);
}

ClientOutputs ClientNode::on_server_closed(std::string why, Instant now) {
  if (!connection_) return {};
  ClientOutputs out = take(connection_->on_closed(now), now);
  if (connection_) {
    connection_.reset();
    connection_lost("the server closed the connection" + (why.empty() ? "" : " (" + why + ")"), out, now);
  }
  return finish(std::move(out), now);
}

// Runs the events of a step of the control connection.
ClientOutputs ClientNode::take(control::ClientConnection::Outputs from, Instant now) {
  ClientOutputs out;
  out.to_server = std::move(from.to_send);
  for (const control::ClientEvent& event : from.events) {
    std::visit([&](const auto& e) { on_event(e, out, now); }, event);
  }
  if (from.close) {
    out.disconnect = true;
    connection_.reset();
    if (!out.fatal) connection_lost(server_note_, out, now);
  }
  return out;
}

void ClientNode::on_event(const control::Welcomed& welcome, ClientOutputs& out, Instant now) {
  admitted_ = true;
  ++connections_established_;
  admitted_at_ = now;
  silent_refusals_ = 0;
  last_failure_.clear();
  server_note_.clear();
  server_version_ = welcome.server_version;
  if (!params_.enrolled) out.enrolled = true;
  params_.enrolled = true;
  // The key is pinned from now on, so it must not be forgotten.
  if (signing_key_ != welcome.signing_key || network_ != welcome.network || also_port_ != welcome.also_port ||
      self_->address != welcome.self.address) {
    keep_at_ = now;
  }
  also_port_ = welcome.also_port;
  signing_key_ = welcome.signing_key;
  set_self(welcome.network, welcome.self, now);
  bring_up(out);
  out.notes.push_back("Admitted by the server at " + to_string(*server_) + " as " + self_->name + " with the address " +
                      to_string(self_->address) + "/" + std::to_string(network_->network.prefix) + ".");
  // The server may listen for data elsewhere than it was dialled, but never on another address.
  // In the other family as well, where both have an address.
  std::optional<Endpoint> other;
  for (const IpAddress& ip : server_addresses_) {
    const auto same_family = [&](const IpAddress& own) { return own.is_v4() == ip.is_v4(); };
    if (ip.is_v4() != server_->ip.is_v4() && std::ranges::any_of(local_addresses_, same_family)) {
      other = {ip, welcome.data_port};
    }
  }
  udp_.open(kServerRelay);
  const Endpoint data{server_->ip, welcome.data_port};
  relay_tag_ = welcome.relay_tag;
  peers_.set_relay(data, relay_tag_, ServerRelay::inside, now);
  bind_.begin(self_->id, welcome.bind_key.clone(), data, other, now);
  bind_awaited_since_ = now;
  announce(out, now);
}

void ClientNode::on_event(const control::ListChanged&, ClientOutputs& out, Instant now) {
  MemberList before = std::exchange(members_, connection_->members());
  list_signature_ = connection_->list_signature();
  members_.keep_candidates(before);
  keep_at_ = std::min(keep_at_, now + kKeepNetworkAfter);
  peers_.update_members(members_, now);
  out.members_changed = true;
  if (const Member* self = self_ ? members_.find(self_->id) : nullptr) self_ = *self;
  bring_up(out);
}

void ClientNode::on_event(const control::ReportRequested&, ClientOutputs& out, Instant now) {
  TrafficReport report{.uptime = now - started_, .peers = {}};
  for (const PeerStatus& peer : peers_.status(now)) {
    const TrafficTotals& t = peer.traffic;
    if (peer.path == PathKind::none && t.packets_sent == 0 && t.packets_received == 0) continue;
    report.peers.push_back({peer.member.id, t.packets_sent, t.bytes_sent, t.packets_received, t.bytes_received,
                            peer.path, peer.round_trip, peer.why_relayed});
  }
  out.merge(take(connection_->report(std::move(report), now), now));
}

void ClientNode::on_event(const control::Relayed& relayed, ClientOutputs&, Instant) {
  const std::size_t taken = udp_.arrive(kServerRelay, relayed.datagrams);
  counters().drop(Drop::congested, relayed.datagrams.size() - taken);
}

ClientOutputs ClientNode::on_stream_room(std::size_t room, Instant now) {
  std::size_t too_old = 0;
  (void)udp_.take_waiting(now);
  auto datagrams = udp_.take(kServerRelay, room, now, too_old);
  counters().drop(Drop::congested, too_old);
  if (!connection_) return {};
  return finish(take(connection_->relay(std::move(datagrams), now), now), now);
}

void ClientNode::on_event(const control::ListRefused& refused, ClientOutputs& out, Instant) {
  out.notes.push_back(refused.sentence);
}

void ClientNode::on_event(const control::Refused& refused, ClientOutputs& out, Instant now) {
  (void)now;
  server_note_ = refused.sentence;
  if (refused.forget_enrolment) params_.enrolled = false;
  if (refused.silent && ++silent_refusals_ < kSilentRefusals) return;
  // A server that knew this computer once is not given up: the peers are there without it.
  if (refused.silent && params_.enrolled) return;
  if (!refused.retry) out.fatal = refused.sentence;
  if (refused.removed) {
    out.keep_network.emplace();
    keep_at_ = kNever;
  }
}

void ClientNode::connection_lost(std::string why, ClientOutputs& out, Instant now) {
  // Only a connection that lasted ends the backing off: two computers with one key would replace each other for ever.
  if (admitted_ && now - admitted_at_ >= kLastingConnection) failures_ = 0;
  admitted_ = false;
  counters().drop(Drop::congested, udp_.close(kServerRelay));
  relay_here_ = false;
  relay_by(bind_.bound() ? ServerRelay::udp : ServerRelay::none, now);
  const auto pause = kReconnect[std::min<std::size_t>(static_cast<std::size_t>(failures_), kReconnect.size() - 1)];
  ++failures_;
  connect_at_ =
      now + pause + Duration(static_cast<Duration::rep>(rng_.below(static_cast<std::uint64_t>(pause.count() / 2))));
  while (why.ends_with('.')) why.pop_back();
  server_note_ = why;
  // Once a reason, not once an attempt.
  if (why != last_failure_) {
    out.notes.push_back("No connection to the server: " + why + ". Trying again.");
    last_failure_ = std::move(why);
  }
}

}  // namespace eps::node
