// SPDX-License-Identifier: MIT

// The control connection of node::ClientNode: from its establishment, through the server's messages, to its
// loss and the pause before the next one.

#include <algorithm>
#include <iterator>
#include <utility>

#include "node/client_node.h"

namespace eps::node {

// Starts looking for the server, while an existing connection may still be good.
void ClientNode::search(ClientOutputs& out) {
  stop_search(out);
  admission_.begin();
  out.connect = true;
}

// Unless there is a connection in which nothing is wrong.
void ClientNode::search_now(Instant now) {
  failures_ = 0;
  if (!connection_ || admission_.running()) connect_at_ = now;
}

void ClientNode::stop_search(ClientOutputs& out) {
  connect_at_ = kNever;
  if (!admission_.running()) return;
  std::ranges::copy(admission_.stop(), std::back_inserter(out.disconnect));
  out.stop_dialing = true;
}

void ClientNode::drop_connection(ClientOutputs& out) {
  connection_.reset();
  out.disconnect.push_back(std::exchange(link_, 0));
}

// The path to the server may have changed or vanished.
void ClientNode::doubt_server(ClientOutputs& out, Instant now) {
  if (connection_) out.merge(take(connection_->probe(now), now));
}

// A list that the server pushes into a dead connection does not arrive, and an idle client sends nothing that would
// show it. Members that are unknown here do.
void ClientNode::doubt_list(ClientOutputs& out, Instant now) {
  if (!peers_.take_list_doubt() || now - list_doubted_at_ < kListDoubtPause) return;
  list_doubted_at_ = now;
  doubt_server(out, now);
}

ClientOutputs ClientNode::on_connected(control::LinkId link, const Endpoint& server, std::vector<IpAddress> all,
                                       Instant now) {
  if (!admitted_) {
    server_ = server;
    server_note_ = "connected, waiting to be admitted";
  }
  control::ClientParams params{
      params_.peers.self.clone(),     params_.key.clone(), params_.name,          params_.version, params_.enrolled,
      params_.peers.relay_for_others, signing_key_,        params_.peers.features};
  params.accepted = params_.accepted;
  params.run = params_.run;
  params.rekey_after = params_.control_rekey_after;
  params.unix_time = params_.unix_time;
  return finish(take(admission_.on_connected(link, server, std::move(all), std::move(params), members_, now), now),
                now);
}

ClientOutputs ClientNode::on_dialed_all(const std::string& why, Instant now) {
  return finish(take(admission_.on_dialed_all(why), now), now);
}

ClientOutputs ClientNode::on_server_bytes(control::LinkId link, ByteView bytes, Instant now) {
  if (connection_ && link == link_) return finish(take(connection_->on_bytes(bytes, now), now), now);
  return finish(take(admission_.on_bytes(link, bytes, members_, now), now), now);
}

ClientOutputs ClientNode::on_server_closed(control::LinkId link, const std::string& why, Instant now) {
  if (!connection_ || link != link_) return finish(take(admission_.on_closed(link, why, members_, now), now), now);
  ClientOutputs out = take(connection_->on_closed(why), now);
  if (connection_) {
    drop_connection(out);
    if (!admission_.asking()) connection_lost(control::closed_because(why), out, now);
  }
  return finish(std::move(out), now);
}

// The result of a step towards admission.
ClientOutputs ClientNode::take(control::Admission::Outputs from, Instant now) {
  ClientOutputs out;
  out.to_server = std::move(from.to_send);
  out.disconnect = std::move(from.to_close);
  if (from.won) {
    connect_at_ = kNever;
    out.stop_dialing = true;
    if (connection_) drop_connection(out);
    link_ = from.won->link;
    server_ = from.won->server;
    server_addresses_ = std::move(from.won->addresses);
    connection_.emplace(std::move(from.won->connection));
    run_events(from.won->events, out, now);
    if (std::ranges::any_of(from.won->events,
                            [](const auto& e) { return std::holds_alternative<control::Refused>(e); })) {
      drop_connection(out);
      if (!out.fatal) connection_lost(server_note_, out, now);
    }
  } else if (from.lost) {
    out.stop_dialing = true;
    // An existing connection may still be good, whatever strangers say. What the server says counts.
    if (connection_ && !from.lost->by_server && from.lost->retry) {
      search_later(now);
    } else {
      if (connection_) drop_connection(out);
      on_event(*from.lost, out, now);
      if (!out.fatal) connection_lost(server_note_, out, now);
    }
  }
  return out;
}

// Applies the events of a step of the control connection.
ClientOutputs ClientNode::take(control::ClientConnection::Outputs from, Instant now) {
  ClientOutputs out;
  if (!from.to_send.empty()) out.to_server.emplace_back(link_, std::move(from.to_send));
  const bool moving = admission_.asking();
  // The server ends the older connection for the newer one, which is about to replace it.
  if (from.close && moving)
    std::erase_if(from.events, [](const auto& e) { return std::holds_alternative<control::Refused>(e); });
  run_events(from.events, out, now);
  if (from.close) {
    drop_connection(out);
    if (!out.fatal && !moving) connection_lost(server_note_, out, now);
  }
  return out;
}

void ClientNode::run_events(const std::vector<control::ClientEvent>& events, ClientOutputs& out, Instant now) {
  for (const control::ClientEvent& event : events) {
    std::visit([&](const auto& e) { on_event(e, out, now); }, event);
  }
}

void ClientNode::on_event(const control::Silent&, ClientOutputs& out, Instant) {
  if (!admission_.running()) search(out);
}

// The connection works after all: no other is needed, unless the server was already asked for admission there.
void ClientNode::on_event(const control::Heard&, ClientOutputs& out, Instant) {
  if (!admission_.asking()) stop_search(out);
}

void ClientNode::on_event(const control::Welcomed& welcome, ClientOutputs& out, Instant now) {
  admitted_ = true;
  ++connections_established_;
  admitted_at_ = now;
  last_failure_.clear();
  server_note_.clear();
  server_version_ = welcome.server_version;
  server_features_ = welcome.features;
  if (!params_.enrolled) out.enrolled = true;
  params_.enrolled = true;
  // The key is pinned from now on, so it must not be lost.
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
  if (const std::string wish = make_valid_name(params_.name); wish != self_->name) {
    out.notes.push_back("It is called " + self_->name + " here, not " + wish +
                        ": another member has that name, or the " +
                        "server's administrator chose this one. On the server, eps members rename changes it.");
  }
  // The server may receive data on another port than it was dialled at, but never at another address.
  // In the other family as well, if both have an address.
  std::optional<Endpoint> other;
  for (const IpAddress& ip : server_addresses_) {
    const auto same_family = [&](const IpAddress& own) { return own.is_v4() == ip.is_v4(); };
    if (ip.is_v4() != server_->ip.is_v4() && std::ranges::any_of(local_addresses_, same_family)) {
      other = {ip, welcome.data_port};
    }
  }
  udp_.open(kServerRelay);
  // Behind a proxy the server's own address may be unknown: then there is no UDP to it.
  const bool known = std::ranges::find(server_addresses_, server_->ip) != server_addresses_.end();
  const Endpoint data = known ? Endpoint{server_->ip, welcome.data_port} : Endpoint{};
  // If relayed traffic needed the previous connection, it needs this one until UDP has answered.
  const bool here = std::exchange(relay_here_, false);
  relay_tag_ = welcome.relay_tag;
  peers_.set_relay(data, relay_tag_, ServerRelay::inside, now);
  bind_.begin(self_->id, welcome.bind_key.clone(), data, other, now);
  bind_awaited_since_ = now;
  if (here) relay_here(true, out, now);
  announce(out, now);
  out.merge(take(connection_->want(peers_.in_touch()), now));
}

void ClientNode::on_event(const control::ListChanged& changed, ClientOutputs& out, Instant now) {
  Delta delta = changed.delta;
  const bool other = delta.full || delta.from != members_.version();
  MembersChanged which{std::exchange(look_at_all_, false) || other, {}};
  if (other) {
    const MemberList before = std::exchange(members_, connection_->members());
    members_.keep_candidates(before);
  } else {
    for (Member& m : delta.upserts) {
      if (const Member* old = members_.find(m.id); m.candidates.empty() && old != nullptr && old->key == m.key) {
        m.candidates = old->candidates;
      }
    }
    for (const Member& m : delta.upserts) which.ids.push_back(m.id);
    which.ids.insert(which.ids.end(), delta.removed.begin(), delta.removed.end());
    which = which.all ? MembersChanged{true, {}} : MembersChanged::of(std::move(which.ids));
    members_.apply(delta, connection_->members().members());
  }
  if (changed.lock && network_) lock_.receive(network_->id, *changed.lock);
  list_signature_ = connection_->list_signature().value_or(list_signature_);
  keep_at_ = std::min(keep_at_, now + keep_pause());
  out.members_changed.merge(update_peers(other || changed.records, std::move(which), now));
  if (const Member* self = self_ ? members_.find(self_->id) : nullptr) self_ = *self;
  bring_up(out);
}

void ClientNode::on_event(const control::ReportRequested&, ClientOutputs& out, Instant now) {
  TrafficReport report{.uptime = now - started_, .peers = {}};
  for (const PeerStatus& peer : peers_.status_of_met(now)) {
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

void ClientNode::on_event(const control::RelayLimited& limited, ClientOutputs& out, Instant now) {
  auto line = limits_.note(
      "The server drops what this computer sends through its relay beyond " + limited.limit + ".",
      "Open direct paths (eps why NAME says what is missing), send less, or raise relay-limit on the server.", now);
  if (line) out.warnings.push_back(std::move(*line));
  peers_.on_server_limit(now);
}

ClientOutputs ClientNode::on_stream_room(std::size_t room, Instant now) {
  std::size_t too_old = 0;
  (void)udp_.take_waiting(now);
  auto datagrams = udp_.take(kServerRelay, room, now, too_old);
  counters().drop(Drop::congested, too_old);
  if (!connection_) return {};
  return finish(take(connection_->relay(std::move(datagrams), now), now), now);
}

void ClientNode::on_event(const control::Refused& refused, ClientOutputs& out, Instant now) {
  (void)now;
  server_note_ = refused.sentence;
  come_back_ = refused.come_back;
  if (refused.forget_enrolment) params_.enrolled = false;
  if (!refused.retry) out.fatal = refused.sentence;
  if (refused.removed) {
    out.keep_network.emplace();
    keep_at_ = kNever;
  }
}

void ClientNode::connection_lost(std::string why, ClientOutputs& out, Instant now) {
  // Only a connection that lasted resets the backoff: two computers with one key would displace each other for ever.
  if (admitted_ && now - admitted_at_ >= kLastingConnection) failures_ = 0;
  admitted_ = false;
  counters().drop(Drop::congested, udp_.close(kServerRelay));
  relay_here_ = false;
  relay_by(bind_.bound() ? ServerRelay::udp : ServerRelay::none, now);
  if (!admission_.running()) search_later(now);
  while (why.ends_with('.')) why.pop_back();
  server_note_ = why;
  // Once per reason, not per attempt.
  if (why != last_failure_) {
    out.notes.push_back("No connection to the server: " + why + ". Trying again.");
    last_failure_ = std::move(why);
  }
}

void ClientNode::search_later(Instant now) {
  Duration pause = kReconnect[std::min<std::size_t>(static_cast<std::size_t>(failures_), kReconnect.size() - 1)];
  if (const auto asked = std::exchange(come_back_, std::nullopt)) {
    pause = *asked;
  } else {
    ++failures_;
  }
  connect_at_ =
      now + pause + Duration(static_cast<Duration::rep>(rng_.below(static_cast<std::uint64_t>(pause.count() / 2))));
}

}  // namespace eps::node
