// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>

#include "control/server.h"
#include "model/address_kinds.h"

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
    case registry::Refusal::Code::join_key:
    case registry::Refusal::Code::waits:
      break;
  }
  return wire::RefusalCode::other;
}

bool is_multicast(const IpAddress& ip) {
  return ip.is_v4() ? ip.v4().value >> 28 >= 14 : ip.bytes[0] == std::byte{0xff};
}

// An address where nobody can be reached, or where too many can.
bool useless(const IpAddress& ip) {
  // 0100::/64 is for discarding (RFC 6666); here it represents control connections, and nothing else.
  const bool discard = load_be64(ip.bytes.data()) == 0x0100000000000000U;
  return ip.is_unspecified() || ip.is_loopback() || is_multicast(ip) || discard;
}

}  // namespace

// Whether to tell the client to come back later, if it understands that. The check costs no more than the connection:
// the length of the first message shows whether it does.
bool Server::must_wait(ConnId id, Connection& c, const Bytes& initiation, Outputs& out, Instant now) {
  const std::size_t payload = initiation.size() - std::min(initiation.size(), noise::kInitiationOverhead);
  const bool can = payload == kWaitingPayload || payload == kWaitingPayload + 4;  // with the number of a join key
  const bool busy = admitted_until_ > now || unauthenticated_.size() > kMaxHandshakes;
  if (!busy || !can) return false;
  // Each gets its own turn, or returns at once when that is too far away.
  next_turn_ = std::max(next_turn_, now) + kPerAdmission;
  Bytes bytes;
  Channel::put_frame(make_busy(std::min<Duration>(next_turn_ - now, kMaxBusyPause)), bytes);
  out.to_send.emplace_back(id, std::move(bytes));
  end(id, c, out);
  return true;
}

void Server::on_initiation(ConnId id, Connection& c, const Bytes& frame, Outputs& out, Instant now) {
  if (must_wait(id, c, frame, out, now)) return;
  noise::Responder responder(registry_.identity().keys, as_view(kPrologue), rng_);
  const auto request = responder.read_initiation(frame);
  // Clients that do not know the server's key get no answer.
  if (!request || request->payload.size() < 2) return reject(id, c, "does not hold this network's key", out, now);
  const auto version = std::to_integer<unsigned>(request->payload[0]);
  const auto purpose = std::to_integer<std::uint8_t>(request->payload[1]);
  if (purpose < 1 || purpose > 2) return reject(id, c, "asked for what this version does not know", out, now);
  c.key = request->initiator;
  c.purpose = static_cast<Purpose>(purpose);
  crypto::Key psk;
  if (c.purpose == Purpose::first_join) {
    Reader rest(ByteView(request->payload).subspan(2));
    c.join_key = rest.remaining() >= 4 ? rest.u32() : registry::kNetworkKeyId;
    const JoinKey* key = registry_.join_keys().find(c.join_key);
    // With a secret that nobody has, the client finds that its key is wrong, as with a replaced one.
    std::array<std::byte, 16> secret{};
    key != nullptr ? void(secret = key->secret) : rng_.fill(secret);
    c.secrets_before = key != nullptr ? key->secrets_before : 0;
    psk = enrolment_psk(secret);
    crypto::wipe(secret);
  }
  const std::array payload = {std::byte{kVersion}};
  Bytes message;
  const auto keys = responder.write_response(payload, psk, message);
  if (!keys) return reject(id, c, "sent an unusable key", out, now);
  Bytes bytes;
  Channel::put_frame(message, bytes);
  out.to_send.emplace_back(id, std::move(bytes));
  c.channel.begin_transport(*keys, false);
  no_stranger(c);
  // Only clients that know our key take a turn from the others.
  admitted_until_ = std::max(admitted_until_, now - config_.admissions_at_once * kPerAdmission) + kPerAdmission;
  if (version == kVersion) return;
  // It holds our key, so it may know why it is not admitted.
  const std::string versions =
      "version " + std::to_string(version) + " of the control protocol, the server version " + std::to_string(kVersion);
  send(id, c,
       wire::Refused{wire::RefusalCode::other,
                     "This computer's eps-client speaks " + versions + ". Update the older of the two."},
       out);
  reject(id, c, "speaks " + versions, out, now);
}

void Server::on_message(ConnId id, Connection& c, wire::ControlMessage message, Outputs& out, Instant now) {
  if (auto* hello = std::get_if<wire::Hello>(&message)) return on_hello(id, c, std::move(*hello), out, now);
  if (!c.authenticated()) return reject(id, c, "did not say hello", out, now);
  if (auto* candidates = std::get_if<wire::Candidates>(&message)) {
    return on_candidates(c, std::move(candidates->candidates), out, now);
  }
  if (std::holds_alternative<wire::Ping>(message)) return send(id, c, wire::Pong{}, out);
  if (auto* relay = std::get_if<wire::Relay>(&message)) out.relayed.emplace_back(c.member, std::move(relay->datagrams));
  if (const auto* relay = std::get_if<wire::RelayHere>(&message)) out.relay_here.emplace_back(c.member, relay->here);
  if (const auto* report = std::get_if<TrafficReport>(&message)) {
    // One per question: sending more must not make us work.
    if (std::exchange(c.report_awaited, false)) out.reports.emplace_back(c.member, *report);
    return;
  }
  if (const auto* rekey = std::get_if<wire::Rekey>(&message)) return on_rekey(id, c, *rekey, out, now);
  if (const auto* want = std::get_if<wire::Want>(&message)) on_want(id, c, *want);
  if (const auto* lock = std::get_if<wire::LockProposed>(&message)) return on_lock_change(id, c, *lock, out, now);
  if (std::holds_alternative<wire::Resync>(message)) {
    c.push_whole = true;
    urgent_.insert(id);
  }
}

void Server::on_hello(ConnId id, Connection& c, wire::Hello hello, Outputs& out, Instant now) {
  if (c.authenticated() || c.joining) return reject(id, c, "said hello twice", out, now);
  const bool stranger = registry_.find_key(c.key) == nullptr && c.purpose == Purpose::first_join;
  if (stranger && !registry_.waits(c.key) && !join_limit_.take(c.from.ip, now)) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(join_limit_.wait_for(c.from.ip, now)).count();
    send(
        id, c,
        wire::Refused{wire::RefusalCode::other, "Too many new computers have joined from " + to_string(c.from.ip) +
                                                    ": the next one is admitted in " + std::to_string(seconds) + " s."},
        out);
    return reject(id, c, "is not admitted yet: too many new computers have joined from this address", out, now);
  }
  c.joining = true;
  const bool writes = registry_.join_writes(c.key, hello.name);
  joining_.emplace_back(id, std::move(hello));
  // A join that writes nothing waits for nothing, but keeps its place behind earlier ones.
  if (joining_.size() == 1 && (!writes || now >= joined_at_ + kGatherJoins)) return finish_joins(out, now);
  join_at_ = std::min(join_at_, writes ? joined_at_ + kGatherJoins : now);
}

void Server::finish_joins(Outputs& out, Instant now) {
  join_at_ = kNever;
  const auto all = std::exchange(joining_, {});
  const std::int64_t clock = unix_time(now);
  std::vector<registry::JoinRequest> requests;
  std::vector<std::pair<ConnId, const wire::Hello*>> who;
  std::vector<std::string> old_names;
  for (const auto& [id, hello] : all) {
    const auto it = connections_.find(id);
    if (it == connections_.end() || it->second.ending) continue;
    Connection& c = it->second;
    const Member* known = registry_.find_key(c.key);
    c.run = hello.run;
    if (known != nullptr && is_copy(id, c, *known, out, now)) {
      ended_.push_back(id);
      continue;
    }
    old_names.push_back(known != nullptr ? known->name : "");
    const bool renames = known != nullptr && registry_.join_writes(c.key, hello.name);
    c.keeps_name = renames && !arrivals_.rename(known->id, now);
    if (known == nullptr || (renames && !c.keeps_name)) joined_at_ = now;
    registry::JoinRequest request{c.key, c.keeps_name ? known->name : hello.name, hello.version};
    if (c.purpose == Purpose::first_join) request.join_key = c.join_key;
    request.secrets_before = c.secrets_before;
    request.relays = hello.relays;
    request.from = c.from.ip;
    request.unix_time = clock;
    requests.push_back(std::move(request));
    who.emplace_back(id, &hello);
  }
  const auto joined = registry_.join_all(requests);
  for (const auto& [member, since, away] : registry_.take_reclaimed()) {
    forget_member(member.id);
    const std::string ago = away < 2 * 3600 ? std::to_string(away / 60) + " min" : std::to_string(away / 3600) + " h";
    out.events.push_back(
        {ServerEvent::Kind::removed,
         member.name + " (" + to_string(member.address) + ") was displaced by a new member: no address " +
             "was free, and it had been away longest (" + (away < 120 ? std::to_string(away) + " s" : ago) + ").",
         member.id});
  }
  for (std::size_t i = 0; i < who.size(); ++i) {
    const auto it = connections_.find(who[i].first);
    if (it == connections_.end()) continue;  // another one with the same key has just taken its place
    Connection& c = it->second;
    on_joined(it->first, c, *who[i].second, old_names[i], joined[i], out, now);
    if (const Bytes early = std::exchange(c.early, {}); !early.empty()) on_frames(it->first, c, early, out, now);
    if (c.ending) ended_.push_back(it->first);
  }
}

void Server::on_joined(ConnId id, Connection& c, const wire::Hello& hello, const std::string& old_name,
                       const registry::Registry::Joined& joined, Outputs& out, Instant now) {
  c.joining = false;
  if (const auto* refusal = std::get_if<registry::Refusal>(&joined)) {
    send(id, c, wire::Refused{code_of(refusal->code), refusal->sentence}, out);
    reject(id, c, "was refused: " + refusal->sentence, out, now);
    return;
  }
  const Member member = std::get<Member>(joined);
  if (const auto older = by_member_.find(member.id); older != by_member_.end()) {
    // Its own older connection, which it lost, or another computer with a copy of its key.
    const ConnId replaced = older->second;
    Connection& old = connections_.at(replaced);
    send(replaced, old,
         wire::Refused{wire::RefusalCode::other,
                       "Another connection with this computer's key took its place. If its state directory was copied "
                       "to another computer, remove the copy there."},
         out);
    end(replaced, old, out);
    forget(replaced, out);
  }
  c.features = hello.features;
  c.list_version = c.held_version = hello.list_version;
  if (c.by_records()) {
    const bool ahead = hello.list_version > registry_.records_version() && hello.list_version <= registry_.version();
    if (ahead) registry_.raise_records_version();
    c.list_version = hello.root ? registry_.resume(hello.list_version, *hello.root) : 0;
  } else {
    ++by_old_form_;
  }
  const bool other_beginning = hello.recovery != registry_.recovery() && c.features.has(Feature::recovery);
  if (other_beginning) c.list_version = c.held_version = 0;
  admit(id, c, member, hello.recovery, out);
  tell(id, c, out);
  const std::string wish = make_valid_name(hello.name);
  const bool name_is_signed = registry_.lock().on() && member.lock.sequence != 0;
  const std::string why_not_so = c.keeps_name     ? ", but has changed its name too often to change it now"
                                 : name_is_signed ? ", but the network lock signed its name"
                                                  : ", as another member does";
  std::string line = member.name + " (" + to_string(member.address) + ") joined from " + to_string(c.from.ip) +
                     (wish == member.name ? "." : "; it calls itself " + wish + why_not_so + ".");
  if (!old_name.empty() && member.name != old_name) line = old_name + " is now called " + member.name + ". " + line;
  line = arrivals_.line(member.id, std::move(line), now);
  c.arrival_told = !line.empty();
  out.events.push_back({ServerEvent::Kind::joined, std::move(line), member.id});
}

// Two computers with one key would displace each other for ever. The present one stays, as long as it is there.
bool Server::is_copy(ConnId id, Connection& c, const Member& member, Outputs& out, Instant now) {
  const auto older = by_member_.find(member.id);
  if (older == by_member_.end()) return false;
  const Connection& holder = connections_.at(older->second);
  const auto [copy, tell] = copies_.ask(member.id, c.run, holder.run, c.from.ip, now);
  if (!copy) return false;
  const std::string mend =
      "On one of the two, move the state directory away and start eps-client again: it joins as a new member.";
  send(id, c,
       wire::Refused{wire::RefusalCode::other, "Another computer, at " + to_string(holder.from.ip) +
                                                   ", is connected with this computer's key: the state directory was "
                                                   "copied. " +
                                                   mend},
       out);
  end(id, c, out);
  if (tell) {
    out.events.push_back(
        {ServerEvent::Kind::rejected, member.name + " (" + to_string(member.address) + ") exists twice, at " +
                                          to_string(holder.from.ip) + " and at " + to_string(c.from.ip) +
                                          ": its state directory was copied. The first stays connected. " + mend});
  }
  return true;
}

void Server::admit(ConnId id, Connection& c, const Member& member, const RecoveryId& held, Outputs& out) {
  by_member_[member.id] = id;
  online_.add(member.id.value);
  unauthenticated_.erase(id);
  c.member = member.id;
  rng_.fill(c.credentials.bind_key.writable());
  c.credentials.relay_tag = new_relay_tag();
  registry_.set_online(member.id, true);
  state_changed(member.id);
  count_members();

  wire::Welcome welcome;
  welcome.network = registry_.network();
  // It would send larger frames in datagrams that many paths lose.
  if (!c.features.has(Feature::path_mtu)) welcome.network.mtu = std::min(welcome.network.mtu, kOldMtu);
  welcome.self = *registry_.find(member.id);
  welcome.data_port = config_.data_port;
  welcome.also_port = config_.also_port;
  std::copy(c.credentials.bind_key.view().begin(), c.credentials.bind_key.view().end(), welcome.bind_key.begin());
  welcome.relay_tag = c.credentials.relay_tag;
  welcome.version = config_.version;
  welcome.signing_key = registry_.signing_key();
  welcome.features = config_.features;
  if ((c.features & config_.features).has(Feature::recovery)) {
    welcome.recovery = registry_.recovery();
    if (held != welcome.recovery) welcome.recovery_proof = registry_.recovery_proof(c.channel.binding());
  }
  send(id, c, welcome, out);
  crypto::wipe(welcome.bind_key);
}

// The member's candidates when it announces these from there. It must not announce what the server itself observes.
// That comes first: of too many, the last are cut.
std::vector<Candidate> Server::with_announced(const Member& member, const Endpoint& from,
                                              const std::vector<Candidate>& announced) {
  std::vector<Candidate> all;
  for (const Candidate& old : member.candidates) {
    if (old.kind == Candidate::Kind::observed) all.push_back(old);
  }
  for (const Candidate& candidate : announced) {
    if (candidate.kind != Candidate::Kind::observed && !useless(candidate.endpoint.ip)) all.push_back(candidate);
  }
  // Until its data socket has been seen, and for ever where only our TCP port is forwarded: the address from which it
  // connects, with its own port, which most home routers keep.
  const auto outside = [&](const Candidate& o) {
    return o.endpoint.ip.is_v4() && (o.kind != Candidate::Kind::local || o.endpoint.ip == from.ip);
  };
  const auto local = std::ranges::find_if(
      announced, [](const Candidate& o) { return o.kind == Candidate::Kind::local && o.endpoint.ip.is_v4(); });
  if (from.ip.is_v4() && !useless(from.ip) && !is_private(from.ip) && local != announced.end() &&
      std::ranges::none_of(all, outside)) {
    all.push_back({Candidate::Kind::seen, {from.ip, local->endpoint.port}});
  }
  if (all.size() > kMaxCandidates) all.resize(kMaxCandidates);
  return all;
}

// Its data socket was seen at this endpoint.
std::vector<Candidate> Server::with_observed(const std::vector<Candidate>& known, const Endpoint& endpoint) {
  std::vector<Candidate> all = known;
  const bool v4 = endpoint.ip.is_v4();
  std::erase_if(all, [&](const Candidate& c) {
    const bool confirmed = c.kind == Candidate::Kind::seen && c.endpoint == endpoint;
    return confirmed || (c.kind == Candidate::Kind::observed && c.endpoint.ip.is_v4() == v4);
  });
  // An endpoint of the member's own needs no second entry.
  if (std::ranges::find(all, endpoint, &Candidate::endpoint) == all.end()) {
    all.insert(all.begin(), {Candidate::Kind::observed, endpoint});
  }
  if (all.size() > kMaxCandidates) all.resize(kMaxCandidates);
  return all;
}

void Server::on_candidates(const Connection& c, std::vector<Candidate> announced, Outputs& out, Instant now) {
  const Member* member = registry_.find(c.member);
  if (member == nullptr) return;
  if (!news_.waits(c.member) && with_announced(*member, c.from, announced) == member->candidates) return;
  news_.announced(c.member, std::move(announced));
  on_news(*member, out, now);
}

// Something was added to news_.
void Server::on_news(const Member& member, Outputs& out, Instant now) {
  switch (news_.judge(member.id, now)) {
    case EndpointNews::Verdict::now:
      return tell_news(member.id);
    case EndpointNews::Verdict::flooded:
      out.events.push_back(
          {ServerEvent::Kind::flood, member.name + " (" + to_string(member.address) +
                                         ") changes its endpoints all the time: the others hear of it once a second."});
      break;
    case EndpointNews::Verdict::waits:
      break;
  }
}

void Server::tell_news(MemberId id) {
  const Member* member = registry_.find(id);
  const auto connection = by_member_.find(id);
  const EndpointNews::News news = news_.take(id);
  if (member == nullptr || connection == by_member_.end()) return;
  std::vector<Candidate> all = member->candidates;
  if (news.announced) all = with_announced(*member, connections_.at(connection->second).from, *news.announced);
  for (const Endpoint& endpoint : news.observed) all = with_observed(all, endpoint);
  if (all == member->candidates) return;
  registry_.set_candidates(id, std::move(all));
  state_changed(id);
}

void Server::on_rekey(ConnId id, Connection& c, const wire::Rekey& rekey, Outputs& out, Instant now) {
  if (rekey.handshake.empty()) {
    if (!c.channel.open_anew()) reject(id, c, "changed to keys that were not agreed on", out, now);
    return;
  }
  if (now < c.rekeyed + kRekeyPause / 2) return reject(id, c, "asked for new keys too often", out, now);
  auto answer = c.channel.answer_rekey(registry_.identity().keys, c.key, rekey.handshake, rng_);
  if (!answer) return reject(id, c, "asked for new keys with a handshake that is not its own", out, now);
  c.rekeyed = now;
  send(id, c, wire::Rekey{std::move(*answer)}, out);
  c.channel.seal_anew();
}

void Server::on_want(ConnId id, Connection& c, const wire::Want& want) {
  for (const MemberId member : want.members) {
    // A repeated request is answered again.
    c.due.push_back(member);
    if (!wanted_by_[member].insert(id).second) continue;
    c.wanted.push_back(member);
    if (c.wanted.size() <= wire::kMaxWanted) continue;
    const auto oldest = wanted_by_.find(c.wanted.front());
    oldest->second.erase(id);
    if (oldest->second.empty()) wanted_by_.erase(oldest);
    c.wanted.erase(c.wanted.begin());
  }
  urgent_.insert(id);
}

Server::Outputs Server::on_observed(MemberId id, const Endpoint& endpoint, Instant now) {
  Outputs out;
  const Member* member = registry_.find(id);
  if (member == nullptr || !by_member_.contains(id)) return out;
  if (!news_.waits(id) && with_observed(member->candidates, endpoint) == member->candidates) return out;
  news_.observed(id, endpoint);
  on_news(*member, out, now);
  push(out, now);
  return out;
}

Server::Outputs Server::request_reports(Instant now) {
  Outputs out;
  ask_from_ = ConnId{0};
  ask_for_reports(out, now);
  return out;
}

void Server::ask_for_reports(Outputs& out, Instant now) {
  auto it = connections_.lower_bound(*ask_from_);
  for (std::size_t asked = 0; it != connections_.end() && asked < kPushStep; ++it) {
    auto& [id, c] = *it;
    if (!c.authenticated() || c.ending) continue;
    c.report_awaited = true;
    send(id, c, wire::ReportRequest{}, out);
    ++asked;
  }
  ask_at_ = it == connections_.end() ? kNever : now;
  ask_from_ = it == connections_.end() ? std::nullopt : std::optional(it->first);
}

std::uint32_t Server::new_relay_tag() {
  for (;;) {
    const std::uint32_t tag = rng_.u32();
    if (tag != 0 && tags_.insert(tag).second) return tag;
  }
}

}  // namespace eps::control
