#include "control/server.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace eps::control {
namespace {

wire::RefusalCode code_of(registry::Refusal::Code code) {
  switch (code) {
    case registry::Refusal::Code::unknown_key:
      return wire::RefusalCode::unknown_key;
    case registry::Refusal::Code::revoked:
      return wire::RefusalCode::removed;
    case registry::Refusal::Code::full:
      return wire::RefusalCode::full;
    case registry::Refusal::Code::store_failed:
      break;
  }
  return wire::RefusalCode::other;
}

}  // namespace

Server::Server(registry::Registry& registry, ServerConfig config, Rng& rng)
    : registry_(registry),
      config_(std::move(config)),
      rng_(rng),
      enrolment_psk_(enrolment_psk({registry.identity().keys.public_key, registry.identity().enrolment.clone()})) {}

Server::Outputs Server::on_open(ConnId id, const Endpoint& from, Instant now) {
  Outputs out;
  std::size_t waiting = 0;
  std::size_t from_there = 0;
  for (const auto& [other, c] : connections_) {
    if (c.authenticated()) continue;
    ++waiting;
    from_there += c.from.ip == from.ip ? 1 : 0;
  }
  if (waiting >= kMaxUnauthenticated || from_there >= kMaxUnauthenticatedPerSource) {
    out.to_close.push_back(id);
    return out;
  }
  Connection& c = connections_[id];
  c.from = from;
  c.opened = c.last_received = now;
  return out;
}

Server::Outputs Server::on_bytes(ConnId id, ByteView bytes, Instant now) {
  Outputs out;
  const auto it = connections_.find(id);
  if (it == connections_.end() || it->second.ending) return out;
  Connection& c = it->second;
  c.last_received = now;
  if (!(c.authenticated() ? c.channel.feed(bytes) : c.channel.feed(bytes, kMaxUnauthenticatedBytes))) {
    reject(id, c, "sent too much", out);
  }
  while (!c.ending) {
    const auto frame = c.channel.next_frame();
    if (!frame) break;
    if (!c.channel.transport()) {
      on_initiation(id, c, *frame, out);
      continue;
    }
    const auto plain = c.channel.open(*frame);
    // The first sealed message is what proves the initiator's key and, at a first join, the enrolment secret.
    if (!plain) {
      reject(id, c, c.authenticated() ? "sent a forged message" : "did not prove the network key", out);
      break;
    }
    const auto message = wire::decode(*plain);
    if (message) {
      on_message(id, c, *message, out, now);
    } else {
      reject(id, c, message.error().what, out);
    }
  }
  if (c.ending) forget(id, out);
  push(out, now);
  return out;
}

void Server::on_initiation(ConnId id, Connection& c, const Bytes& frame, Outputs& out) {
  noise::Responder responder(registry_.identity().keys, as_view(kPrologue), rng_);
  const auto request = responder.read_initiation(frame);
  // Nothing is answered to whoever does not know the server's key.
  if (!request || request->payload.size() < 2) return reject(id, c, "does not hold this network's key", out);
  const auto purpose = std::to_integer<std::uint8_t>(request->payload[1]);
  if (request->payload[0] != std::byte{kVersion} || purpose < 1 || purpose > 2) {
    return reject(id, c, "speaks another version of the protocol", out);
  }
  c.key = request->initiator;
  c.purpose = static_cast<Purpose>(purpose);
  const crypto::Key no_psk;
  const std::array payload = {std::byte{kVersion}};
  Bytes message;
  const auto keys =
      responder.write_response(payload, c.purpose == Purpose::first_join ? enrolment_psk_ : no_psk, message);
  if (!keys) return reject(id, c, "sent an unusable key", out);
  Bytes bytes;
  Channel::put_frame(message, bytes);
  out.to_send.emplace_back(id, std::move(bytes));
  c.channel.begin_transport(*keys, false);
}

void Server::on_message(ConnId id, Connection& c, const wire::ControlMessage& message, Outputs& out, Instant now) {
  if (const auto* hello = std::get_if<wire::Hello>(&message)) return on_hello(id, c, *hello, out, now);
  if (!c.authenticated()) return reject(id, c, "did not say hello", out);
  if (const auto* candidates = std::get_if<wire::Candidates>(&message)) return on_candidates(c, *candidates);
  if (std::holds_alternative<wire::Ping>(message)) return send(id, c, wire::Pong{}, out);
  if (std::holds_alternative<wire::Resync>(message)) c.push_whole = true;
}

void Server::on_hello(ConnId id, Connection& c, const wire::Hello& hello, Outputs& out, Instant now) {
  if (c.authenticated()) return reject(id, c, "said hello twice", out);
  const auto joined = registry_.join({c.key, hello.name, hello.version, c.purpose == Purpose::first_join});
  if (const auto* refusal = std::get_if<registry::Refusal>(&joined)) {
    send(id, c, wire::Refused{code_of(refusal->code), refusal->sentence}, out);
    return reject(id, c, "was refused: " + refusal->sentence, out);
  }
  const Member member = std::get<Member>(joined);
  if (const auto older = by_member_.find(member.id); older != by_member_.end()) {
    const ConnId replaced = older->second;
    end(replaced, connections_.at(replaced), out);
    forget(replaced, out);
  }
  by_member_[member.id] = id;
  c.member = member.id;
  c.list_version = hello.list_version;
  rng_.fill(c.credentials.bind_key.writable());
  c.credentials.relay_tag = new_relay_tag();
  registry_.set_online(member.id, true);

  wire::Welcome welcome;
  welcome.network = registry_.network();
  welcome.self = *registry_.find(member.id);
  welcome.data_port = config_.data_port;
  std::copy(c.credentials.bind_key.view().begin(), c.credentials.bind_key.view().end(), welcome.bind_key.begin());
  welcome.relay_tag = c.credentials.relay_tag;
  welcome.version = config_.version;
  welcome.signing_key = registry_.signing_key();
  send(id, c, welcome, out);
  crypto::wipe(welcome.bind_key);
  c.last_push = now - kPushPause;
  out.events.push_back({ServerEvent::Kind::joined, member.name + " (" + to_string(member.address) + ") joined from " +
                                                       to_string(c.from.ip) + "."});
}

void Server::on_candidates(Connection& c, const wire::Candidates& message) {
  const Member* member = registry_.find(c.member);
  if (member == nullptr) return;
  std::vector<Candidate> all;
  for (const Candidate& candidate : message.candidates) {
    if (candidate.kind != Candidate::Kind::observed) all.push_back(candidate);
  }
  // What the server saw itself is not the client's to say.
  for (const Candidate& old : member->candidates) {
    if (old.kind == Candidate::Kind::observed) all.push_back(old);
  }
  registry_.set_candidates(c.member, std::move(all));
}

Server::Outputs Server::on_observed(MemberId id, const Endpoint& endpoint, Instant now) {
  Outputs out;
  const Member* member = registry_.find(id);
  if (member == nullptr) return out;
  std::vector<Candidate> all = member->candidates;
  std::erase_if(all, [](const Candidate& c) { return c.kind == Candidate::Kind::observed; });
  // An endpoint that is the member's own needs no second entry.
  const bool known = std::any_of(all.begin(), all.end(), [&](const Candidate& c) { return c.endpoint == endpoint; });
  if (!known) all.push_back({Candidate::Kind::observed, endpoint});
  registry_.set_candidates(id, std::move(all));
  push(out, now);
  return out;
}

Result<Server::Outputs> Server::remove(std::string_view name, Instant now) {
  auto removed = registry_.remove(name);
  if (!removed) return removed.error();
  Outputs out;
  if (const auto at = by_member_.find(removed->id); at != by_member_.end()) {
    const ConnId id = at->second;
    Connection& c = connections_.at(id);
    send(id, c,
         wire::Refused{wire::RefusalCode::removed, "This computer was removed from the network by its administrator."},
         out);
    end(id, c, out);
    connections_.erase(id);
    by_member_.erase(removed->id);
  }
  out.events.push_back({ServerEvent::Kind::removed, removed->name + " (" + to_string(removed->address) +
                                                        ") was removed; its key is refused from now on."});
  push(out, now);
  return out;
}

Server::Outputs Server::on_closed(ConnId id, Instant now) {
  Outputs out;
  forget(id, out);
  push(out, now);
  return out;
}

// Drops what is known of a connection; its member is offline, unless a newer connection has taken its place.
void Server::forget(ConnId id, Outputs& out) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  const MemberId member = it->second.member;
  connections_.erase(it);
  const auto current = by_member_.find(member);
  if (current == by_member_.end() || current->second != id) return;
  by_member_.erase(current);
  registry_.set_online(member, false);
  if (const Member* m = registry_.find(member)) {
    out.events.push_back({ServerEvent::Kind::left, m->name + " (" + to_string(m->address) + ") left."});
  }
}

Server::Outputs Server::on_deadline(Instant now) {
  Outputs out;
  std::vector<ConnId> gone;
  for (auto& [id, c] : connections_) {
    const bool late = !c.authenticated() && now >= c.opened + kAuthenticateWithin;
    const bool dead = c.authenticated() && now >= c.last_received + kServerDeadAfter;
    if (late || dead) gone.push_back(id);
  }
  for (const ConnId id : gone) {
    out.to_close.push_back(id);
    forget(id, out);
  }
  push(out, now);
  return out;
}

Instant Server::next_deadline() const {
  Instant at = kNever;
  for (const auto& [id, c] : connections_) {
    if (!c.authenticated()) {
      at = std::min(at, c.opened + kAuthenticateWithin);
    } else {
      at = std::min(at, c.last_received + kServerDeadAfter);
      if (c.push_whole || c.list_version != registry_.version()) at = std::min(at, c.last_push + kPushPause);
    }
  }
  return at;
}

void Server::push(Outputs& out, Instant now) {
  for (auto& [id, c] : connections_) {
    const bool behind = c.push_whole || c.list_version != registry_.version();
    if (c.authenticated() && !c.ending && behind && now >= c.last_push + kPushPause) push_to(id, c, out, now);
  }
}

void Server::push_to(ConnId id, Connection& c, Outputs& out, Instant now) {
  const Delta delta = registry_.delta_since(c.push_whole ? 0 : c.list_version);
  wire::MemberDelta part;
  part.delta = {.from = delta.from, .to = delta.to, .full = delta.full, .upserts = {}, .removed = delta.removed};
  for (std::size_t at = 0;;) {
    const std::size_t n = std::min(wire::kMaxMembersPerDelta, delta.upserts.size() - at);
    part.delta.upserts.assign(delta.upserts.begin() + static_cast<std::ptrdiff_t>(at),
                              delta.upserts.begin() + static_cast<std::ptrdiff_t>(at + n));
    at += n;
    part.last = at == delta.upserts.size();
    if (part.last) {
      part.digest = registry_.digest();
      part.signature = registry_.signature();
    }
    send(id, c, part, out);
    if (part.last) break;
    part.delta.removed.clear();
  }
  c.list_version = delta.to;
  c.push_whole = false;
  c.last_push = now;
}

const Credentials* Server::credentials(MemberId member) const {
  const auto it = by_member_.find(member);
  return it == by_member_.end() ? nullptr : &connections_.at(it->second).credentials;
}

std::optional<Endpoint> Server::connected_from(MemberId member) const {
  const auto it = by_member_.find(member);
  if (it == by_member_.end()) return std::nullopt;
  return connections_.at(it->second).from;
}

void Server::send(ConnId id, Connection& c, const wire::ControlMessage& message, Outputs& out) {
  Bytes bytes;
  c.channel.seal(wire::encode(message), bytes);
  out.to_send.emplace_back(id, std::move(bytes));
}

void Server::reject(ConnId id, Connection& c, const std::string& why, Outputs& out) {
  out.events.push_back({ServerEvent::Kind::rejected, "The connection from " + to_string(c.from) + " " + why + "."});
  end(id, c, out);
}

void Server::end(ConnId id, Connection& c, Outputs& out) {
  c.ending = true;
  out.to_close.push_back(id);
}

std::uint32_t Server::new_relay_tag() {
  for (;;) {
    const std::uint32_t tag = rng_.u32();
    const auto same = [&](const auto& c) { return c.second.credentials.relay_tag == tag; };
    if (tag != 0 && std::none_of(connections_.begin(), connections_.end(), same)) return tag;
  }
}

}  // namespace eps::control
