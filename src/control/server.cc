// SPDX-License-Identifier: MIT
#include "control/server.h"

#include <algorithm>

#include "base/ip_network.h"

namespace eps::control {
namespace {

std::string describe(const Member& m) {
  return m.name + " (" + to_string(m.address) + ")";
}

// A frame that comes first begins with 0, the upper half of its length.
bool begins_tls(ByteView bytes) {
  return !bytes.empty() && bytes.front() == std::byte{0x16};
}

}  // namespace

NetworkKey network_key_of(const registry::Registry& registry, const JoinKey& key) {
  return {registry.identity().keys.public_key, crypto::Secret<16>(key.secret), key.id};
}

NetworkKey network_key_of(const registry::Registry& registry) {
  return network_key_of(registry, registry.join_keys().all().at(registry::kNetworkKeyId));
}

Server::Server(registry::Registry& registry, ServerConfig config, Rng& rng)
    : registry_(registry), config_(std::move(config)), rng_(rng) {}

Server::Outputs Server::on_open(ConnId id, const Endpoint& from, Instant now) {
  Outputs out;
  const IpAddress source = subscriber_of(from.ip);
  if (const auto known = strangers_.find(source);
      known != strangers_.end() && known->second >= kMaxStrangersPerSource) {
    const std::size_t n = known->second;
    const auto stranger_from_there = [&](ConnId other) {
      const Connection& c = connections_.at(other);
      return c.stranger && subscriber_of(c.from.ip) == source;
    };
    const auto oldest = std::find_if(unauthenticated_.begin(), unauthenticated_.end(), stranger_from_there);
    if (oldest != unauthenticated_.end() &&
        (n >= kMaxStrangersAtOnce || now >= connections_.at(*oldest).opened + kProveWithin)) {
      const ConnId silent = *oldest;
      reject(silent, connections_.at(silent),
             "was displaced by a newer one: " + std::to_string(n) + " from there have not shown the network key", out,
             now);
      forget(silent, out);
    }
  }
  ++strangers_[source];
  if (unauthenticated_.size() >= kMaxUnauthenticated) make_room(out, now);
  Connection& c = connections_[id];
  c.from = from;
  c.opened = c.last_received = c.rekeyed = now;
  unauthenticated_.insert(id);
  check_later(id, c);
  return out;
}

void Server::check_later(ConnId id, Connection& c) {
  checks_.erase({c.check_at, id});
  c.check_at = c.deadline();
  checks_.emplace(c.check_at, id);
}

void Server::no_stranger(Connection& c) {
  if (!std::exchange(c.stranger, false)) return;
  const auto it = strangers_.find(subscriber_of(c.from.ip));
  if (--it->second == 0) strangers_.erase(it);
}

void Server::make_room(Outputs& out, Instant now) {
  // Strangers first, then by age.
  const auto rank = [&](ConnId id) {
    const Connection& c = connections_.at(id);
    return std::pair(c.channel.transport(), c.opened);
  };
  const auto victim = std::min_element(unauthenticated_.begin(), unauthenticated_.end(),
                                       [&](ConnId a, ConnId b) { return rank(a) < rank(b); });
  const ConnId id = *victim;
  reject(id, connections_.at(id), "was displaced by newer ones: too many at once", out, now);
  forget(id, out);
}

Server::Outputs Server::on_bytes(ConnId id, ByteView bytes, Instant now) {
  Outputs out;
  const auto it = connections_.find(id);
  if (it == connections_.end()) return out;
  Connection& c = it->second;
  if (!c.authenticated()) c.early_bytes += bytes.size();
  if (c.early_bytes > kMaxUnauthenticatedBytes && !c.authenticated()) {
    reject(id, c, "sent too much before it proved the network key", out, now);
  } else if (!c.authenticated() && c.early_bytes == bytes.size() && begins_tls(bytes)) {
    reject(
        id, c,
        "speaks TLS, which this server takes on port 443 only: start eps-server with --tls, or that client without it",
        out, now);
  } else {
    on_frames(id, c, bytes, out, now);
  }
  if (c.ending) forget(id, out);
  forget_ended(out);
  push(out, now);
  return out;
}

void Server::forget_ended(Outputs& out) {
  for (const ConnId id : std::exchange(ended_, {})) forget(id, out);
}

void Server::on_frames(ConnId id, Connection& c, ByteView bytes, Outputs& out, Instant now) {
  while (!c.ending) {
    if (c.joining) {
      c.early.insert(c.early.end(), bytes.begin(), bytes.end());
      return;
    }
    const auto frame = c.channel.next_frame(bytes);
    if (!frame) return;
    if (!c.channel.transport()) {
      on_initiation(id, c, *frame, out, now);
      continue;
    }
    if (c.channel.worn()) return reject(id, c, "was closed: its keys are used up", out, now);
    const auto plain = c.channel.open(*frame);
    // The first sealed message proves the initiator's key and, at a first join, the enrolment secret.
    if (!plain)
      return reject(id, c, c.authenticated() ? "sent a forged message" : "did not prove the network key", out, now);
    c.last_received = now;
    auto message = wire::decode(*plain);
    if (!message) return reject(id, c, "was closed: " + message.error().what, out, now);
    on_message(id, c, std::move(*message), out, now);
  }
}

Result<Server::Outputs> Server::remove(std::string_view name, Instant now) {
  auto removed = registry_.remove(name);
  if (!removed) return removed.error();
  forget_member(removed->id);
  Outputs out;
  out.events.push_back(
      {ServerEvent::Kind::removed, describe(*removed) + " was removed; its key is refused from now on.", removed->id});
  if (const auto at = by_member_.find(removed->id); at != by_member_.end()) {
    const ConnId id = at->second;
    Connection& c = connections_.at(id);
    send(id, c,
         wire::Refused{wire::RefusalCode::removed, "This computer was removed from the network by its administrator."},
         out);
    end(id, c, out);
    forget(id, out);
  }
  push(out, now);
  return out;
}

// It is no longer a member.
void Server::forget_member(MemberId id) {
  copies_.forget(id);
  news_.forget(id);
  arrivals_.forget(id);
}

// Who is away is away by this clock: when a server's is wrong for a while, its members must not lose their places.
std::int64_t Server::unix_time(Instant now) {
  const std::int64_t shown = config_.unix_time();
  if (clock_read_) {
    const auto passed = std::chrono::floor<std::chrono::seconds>(now - clock_read_->first);
    const std::int64_t by = shown - clock_read_->second - passed.count();
    if (std::abs(by) > kClockJump.count()) {
      registry_.clock_jumped(by);
      clock_events_.push_back(
          {ServerEvent::Kind::clock, "This computer's clock went " + std::to_string(std::abs(by)) + " s " +
                                         (by > 0 ? "forward" : "back") +
                                         "; that time does not count towards how long members were away."});
    }
  }
  clock_read_ = {now, shown};
  return shown;
}

Result<Server::Outputs> Server::expire(std::int64_t keep, Instant now) {
  auto expired = registry_.expire(unix_time(now), keep);
  if (!expired) return expired.error();
  Outputs out;
  out.events = std::exchange(clock_events_, {});
  for (const auto& [member, away, ephemeral] : *expired) {
    forget_member(member.id);
    const std::string ago = ephemeral ? std::to_string(away / 60) + " min" : std::to_string(away / 86400) + " days";
    out.events.push_back({ServerEvent::Kind::removed,
                          describe(member) + (ephemeral ? ", an ephemeral member," : "") +
                              " expired: it was away for " + ago + ". Its address is free.",
                          member.id});
  }
  if (!expired->empty()) push(out, now);
  return out;
}

Result<Server::Outputs> Server::grant(std::string_view name, const IpNetwork& range, bool given, Instant now) {
  const auto member = given ? registry_.grant(name, range) : registry_.revoke_grant(name, range);
  if (!member) return member.error();
  Outputs out;
  out.events.push_back({ServerEvent::Kind::changed,
                        describe(*member) + (given ? " may use " : " may no longer use ") + to_string(range) + "."});
  push(out, now);
  return out;
}

Result<Server::Outputs> Server::grant_all(const IpNetwork& range, bool given, Instant now) {
  if (auto done = given ? registry_.grant_all(range) : registry_.revoke_from_all(range); !done) return done.error();
  Outputs out;
  out.events.push_back(
      {ServerEvent::Kind::changed,
       std::string("Every member ") + (given ? "may use " : "may no longer use ") + to_string(range) + "."});
  push(out, now);
  return out;
}

Result<Server::Outputs> Server::permit(std::string_view name, Permission what, bool allowed, Instant now) {
  const auto member = registry_.permit(name, what, allowed);
  if (!member) return member.error();
  const std::string act = what == Permission::bridge ? " bridge its interface." : " serve DHCP.";
  Outputs out;
  out.events.push_back({ServerEvent::Kind::changed, describe(*member) + (allowed ? " may" : " may no longer") + act});
  push(out, now);
  return out;
}

Result<Server::Outputs> Server::give_name(std::string_view name, std::string_view new_name, Instant now) {
  const auto member = registry_.give_name(name, new_name);
  if (!member) return member.error();
  Outputs out;
  out.events.push_back(
      {ServerEvent::Kind::changed, std::string(name) + " is called " + describe(*member) + " from now on."});
  push(out, now);
  return out;
}

Result<Server::Outputs> Server::set_policy(std::string text, Instant now) {
  const bool ends = text.empty();
  if (auto set = registry_.set_policy(std::move(text)); !set) return set.error();
  Outputs out;
  out.events.push_back({ServerEvent::Kind::changed, ends ? "The network's policy has ended: everything is allowed."
                                                         : "The network has a new policy; see eps policy show."});
  push(out, now);
  return out;
}

Result<Server::Outputs> Server::set_groups(std::string_view name, std::vector<std::string> groups, Instant now) {
  const auto member = registry_.set_groups(name, std::move(groups));
  if (!member) return member.error();
  std::string all;
  for (const std::string& group : member->groups) all += (all.empty() ? "" : ", ") + group;
  Outputs out;
  out.events.push_back(
      {ServerEvent::Kind::changed, describe(*member) + (all.empty() ? " is in no group." : " is in: " + all + ".")});
  push(out, now);
  return out;
}

Result<Server::Outputs> Server::recover(Instant now) {
  if (auto done = registry_.recover(unix_time(now)); !done) return done.error();
  Outputs out;
  // What they were told belongs to the former versions. It is the same for all that was prepared for them.
  const std::unordered_map<MemberId, ConnId> connected = by_member_;
  for (const auto& [member, id] : connected) {
    end(id, connections_.at(id), out);
    forget(id, out);
  }
  round_.reset();
  told_ = encoded_at_ = chunks_at_ = 0;
  chunks_.clear();
  out.events.push_back({ServerEvent::Kind::changed, "The member list begins anew, at version " +
                                                        list_version_text(registry_.version()) +
                                                        ": members follow it whatever they hold."});
  push(out, now);
  return out;
}

namespace {
ServerEvent lock_event(const std::string& who, const std::string& what) {
  return {ServerEvent::Kind::changed, "By " + who + ": " + what + "."};
}
}  // namespace

Result<std::string> Server::change_lock(const LockChange& change, Outputs& out, Instant now) {
  auto done = registry_.change_lock(change, std::nullopt);
  if (!done) return done;
  out.events.push_back(lock_event("an administrator", *done));
  push(out, now);
  return done;
}

Result<std::string> Server::accept_lock(std::string_view id, Outputs& out, Instant now) {
  auto done = registry_.accept_lock(id);
  if (!done) return done;
  out.events.push_back(lock_event("an administrator", *done));
  push(out, now);
  return done;
}

// Whoever brings it: what the signers signed proves itself.
void Server::on_lock_change(ConnId id, Connection& c, const wire::LockProposed& proposed, Outputs& out, Instant now) {
  const Member* member = registry_.find(c.member);
  if (member == nullptr) return;
  const std::string who = describe(*member);
  const std::uint64_t before = registry_.records_version();
  registry_.set_actor({who, config_.unix_time()});
  const auto done = registry_.change_lock(proposed.change, c.member);
  send(id, c, wire::LockAnswer{proposed.ticket, done.has_value(), done ? *done : done.error().what}, out);
  // A proposal takes a change for each part of the members.
  const auto parts = static_cast<int>(2 * registry_.members().size() / kMaxMarksPerChange);
  if (registry_.records_version() == before && ++c.idle_lock_changes > kMaxIdleLockChanges + parts) {
    return reject(id, c, "sent too many changes of the network lock that came to nothing", out, now);
  }
  if (done) out.events.push_back(lock_event(who, *done));
}

Server::Outputs Server::on_closed(ConnId id, Instant now) {
  Outputs out;
  forget(id, out);
  push(out, now);
  return out;
}

// Forgets a connection; its member is offline, unless a newer connection has taken its place.
void Server::forget(ConnId id, Outputs& out) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  Connection& c = it->second;
  const MemberId member = c.member;
  const bool told = c.arrival_told;
  no_stranger(c);
  forget_wishes(id, c);
  checks_.erase({c.check_at, id});
  if (c.authenticated()) {
    tags_.erase(c.credentials.relay_tag);
    if (!c.by_records()) --by_old_form_;
  }
  connections_.erase(it);
  unauthenticated_.erase(id);
  const auto current = by_member_.find(member);
  if (current == by_member_.end() || current->second != id) return;
  by_member_.erase(current);
  online_.remove(member.value);
  (void)news_.take(member);  // it announces itself anew
  out.gone.push_back(member);
  registry_.set_online(member, false);
  state_changed(member);
  count_members();
  if (const Member* m = registry_.find(member))
    out.events.push_back({ServerEvent::Kind::left, told ? describe(*m) + " left." : ""});
}

Server::Outputs Server::on_deadline(Instant now) {
  Outputs out;
  while (!checks_.empty() && checks_.begin()->first <= now) {
    const ConnId id = checks_.begin()->second;
    Connection& c = connections_.at(id);
    if (now < c.deadline()) {
      check_later(id, c);
      continue;
    }
    c.authenticated() ? end(id, c, out) : reject(id, c, "did not authenticate within 5 seconds", out, now);
    forget(id, out);
  }
  if (now >= join_at_) finish_joins(out, now);
  for (const MemberId member : news_.take_due(now)) tell_news(member);
  forget_ended(out);
  tell_rejections(out, now);
  if (now >= ask_at_) ask_for_reports(out, now);
  push(out, now);
  return out;
}

Instant Server::next_deadline() const {
  const Instant tell_at = rejections_.untold > 0 ? rejections_.since + kRejectionPeriod : kNever;
  return std::min(
      {checks_.empty() ? kNever : checks_.begin()->first, push_at_, tell_at, join_at_, ask_at_, news_.next_deadline()});
}

Server::Outputs Server::relay(MemberId member, std::vector<Bytes> datagrams) {
  Outputs out;
  const auto it = by_member_.find(member);
  if (it == by_member_.end() || datagrams.empty()) return out;
  send(it->second, connections_.at(it->second), wire::Relay{std::move(datagrams)}, out);
  return out;
}

Server::Outputs Server::tell_relay_limit(MemberId member, const std::string& limit) {
  Outputs out;
  const auto it = by_member_.find(member);
  if (it != by_member_.end()) send(it->second, connections_.at(it->second), wire::RelayLimited{limit}, out);
  return out;
}

std::optional<ConnId> Server::connection_of(MemberId member) const {
  const auto it = by_member_.find(member);
  if (it == by_member_.end()) return std::nullopt;
  return it->second;
}

MemberId Server::member_of(ConnId id) const {
  const auto it = connections_.find(id);
  return it == connections_.end() ? MemberId{} : it->second.member;
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

void Server::reject(ConnId id, Connection& c, const std::string& why, Outputs& out, Instant now) {
  tell_rejections(out, now);
  if (rejections_.told == 0) rejections_.since = now;
  if (rejections_.told < kMaxRejectionsTold) {
    ++rejections_.told;
    out.events.push_back({ServerEvent::Kind::rejected,
                          "The connection from " + to_string(c.from) + " " + why + (why.ends_with('.') ? "" : ".")});
  } else {
    ++rejections_.untold;
  }
  end(id, c, out);
}

// At the end of a period: how many were rejected without their own log line.
void Server::tell_rejections(Outputs& out, Instant now) {
  if (rejections_.told == 0 || now < rejections_.since + kRejectionPeriod) return;
  if (rejections_.untold > 0) {
    out.events.push_back({ServerEvent::Kind::rejected,
                          std::to_string(rejections_.untold) + " more connections were rejected within a minute."});
  }
  rejections_ = {};
}

void Server::end(ConnId id, Connection& c, Outputs& out) {
  c.ending = true;
  out.to_close.push_back(id);
}

}  // namespace eps::control
