// SPDX-License-Identifier: MIT
#include "control/client_connection.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <utility>

#include "crypto/primitives.h"
#include "registry/grants.h"
#include "registry/list_digest.h"

namespace eps::control {
namespace {

std::string in_brackets(const std::string& why) {
  return why.empty() ? "" : " (" + why + ")";
}
constexpr const char* kForgetNetwork =
    "remove the file \"network\" from eps-client's state directory (/var/lib/eps/client) and start it again";
constexpr std::size_t kMaxAnswer = 512;  // of a server to the first message, which takes 48 bytes
}  // namespace

ClientConnection::ClientConnection(ClientParams params, const MemberList& held, Rng& rng)
    : params_(std::move(params)), members_(held), rng_(rng) {}

ClientConnection::Outputs ClientConnection::start(Instant now) {
  started_ = last_sent_ = last_received_ = now;
  Outputs out;
  handshake_.emplace(params_.self, params_.key.server, as_view(kPrologue), rng_);
  const auto purpose = params_.enrolled ? Purpose::member : Purpose::first_join;
  Bytes payload = {std::byte{kVersion}, static_cast<std::byte>(purpose)};
  if (purpose == Purpose::first_join && params_.key.join_key != 0) Writer(payload).u32(params_.key.join_key);
  payload.push_back(kMayWait);
  Bytes message;
  if (!handshake_->write_initiation(payload, message)) {
    refuse({"The network key holds no usable server key. Copy it again from the server (eps key).", false}, out);
    return out;
  }
  Channel::put_frame(message, out.to_send);
  return out;
}

ClientConnection::Outputs ClientConnection::on_bytes(ByteView bytes, Instant now) {
  Outputs out;
  if (ended_) return out;
  while (!ended_) {
    const auto frame = channel_.next_frame(bytes);
    if (!frame) {
      // The rest of what only looks like the beginning of a frame ("HTTP/1.1 302", a record of TLS) never comes.
      if (!channel_.transport() && channel_.awaited() > kMaxAnswer) refuse_stranger("gave another answer", true, out);
      break;
    }
    if (!channel_.transport()) {
      on_response(*frame, out, now);
      continue;
    }
    if (channel_.worn()) {
      refuse({"the keys of the connection are used up"}, out);
      break;
    }
    const auto plain = channel_.open(*frame);
    if (!plain) {
      refuse({"a message of the server was changed on its way"}, out);
      break;
    }
    last_received_ = now;
    silent_at_ = relayed_since_ = kNever;
    if (std::exchange(silent_, false)) out.events.push_back(Heard{});
    auto message = wire::decode(*plain);
    if (!message) {
      refuse({message.error().what}, out);
      break;
    }
    on_message(std::move(*message), out, now);
  }
  return out;
}

void ClientConnection::on_response(const Bytes& frame, Outputs& out, Instant now) {
  if (const auto pause = parse_busy(frame)) {
    Refused busy{"the server is busy, and asked this computer to come back a little later"};
    busy.come_back = *pause;
    return refuse(std::move(busy), out);
  }
  const crypto::Key psk = params_.enrolled ? crypto::Key() : enrolment_psk(params_.key.enrolment.view());
  const auto done = handshake_->read_response(frame, psk);
  if (!done) return refuse_stranger("gave another answer", true, out);
  channel_.begin_transport(done->keys, true);
  handshake_.reset();  // and its secrets
  last_received_ = now;
  round_trip_ = now - started_;
  out.events.push_back(Proved{});
}

ClientConnection::Outputs ClientConnection::say_hello(const MemberList& held, Instant now) {
  Outputs out;
  if (ended_) return out;
  members_ = held;
  const std::string version = params_.version.substr(0, kMaxVersionSize);
  wire::Hello hello{make_valid_name(params_.name), version, members_.version(), params_.relays, params_.features};
  tree_.emplace(members_);
  hello.root = tree_->root();
  hello.run = params_.run;
  hello.recovery = members_.recovery();
  send(hello, out, now);
  return out;
}

ClientConnection::Outputs ClientConnection::probe(Instant now) {
  Outputs out;
  // Not if an answer is due just as soon, or overdue.
  if (welcomed_ && !ended_ && !silent_ && silent_at_ > now + answer_time()) ping(answer_time(), out, now);
  return out;
}

Duration ClientConnection::answer_time() const {
  return std::clamp<Duration>(3 * round_trip_, kLeastAnswerTime, kMostAnswerTime);
}

void ClientConnection::ping(Duration answer_within, Outputs& out, Instant now) {
  last_ping_ = now;
  // An answer that is already awaited does not get more time.
  if (!silent_) silent_at_ = std::min(silent_at_, now + answer_within);
  send(wire::Ping{}, out, now);
}

void ClientConnection::on_message(wire::ControlMessage message, Outputs& out, Instant now) {
  if (auto* welcome = std::get_if<wire::Welcome>(&message)) {
    if (params_.signing_key && *params_.signing_key != welcome->signing_key) {
      crypto::wipe(welcome->bind_key);
      return refuse(
          {std::string("the server signs its member list with a different key than when this computer joined; if "
                       "its state was made anew, ") +
           kForgetNetwork},
          out);
    }
    if (const auto why = why_not_accepted(params_.accepted, welcome->network, welcome->self.address)) {
      crypto::wipe(welcome->bind_key);
      return refuse({*why}, out);
    }
    welcomed_ = true;
    features_ = params_.features & welcome->features;
    keys_changed(now);
    network_ = welcome->network.id;
    signing_key_ = welcome->signing_key;
    recovery_ = welcome->recovery;
    recovery_proved_ =
        welcome->recovery_proof &&
        crypto::verify(signing_key_, registry::signed_recovery_message(network_, recovery_, channel_.binding()),
                       *welcome->recovery_proof);
    registry::keep_signed_grants(signing_key_, network_, {&welcome->self, 1});
    crypto::Key bind_key{std::span<const std::byte, 32>(welcome->bind_key)};
    crypto::wipe(welcome->bind_key);
    out.events.push_back(Welcomed{welcome->network, welcome->self, welcome->data_port, std::move(bind_key),
                                  welcome->relay_tag, welcome->version, signing_key_, welcome->also_port,
                                  welcome->features});
  } else if (const auto* delta = std::get_if<wire::MemberDelta>(&message)) {
    on_delta(*delta, out, now);
  } else if (auto* records = std::get_if<wire::Records>(&message)) {
    on_records(*records, out, now);
  } else if (const auto* states = std::get_if<wire::States>(&message)) {
    on_states(*states, out, now);
  } else if (auto* lock = std::get_if<wire::Lock>(&message)) {
    lock_ = std::move(lock->entries);
    if (!lock->more) changed({members_.version(), members_.version(), false, {}, {}, {}}, true, false, out);
  } else if (auto* answer = std::get_if<wire::LockAnswer>(&message)) {
    out.events.push_back(LockAnswered{answer->ticket, answer->done, std::move(answer->sentence)});
  } else if (const auto* rekey = std::get_if<wire::Rekey>(&message)) {
    on_rekey(*rekey, out, now);
  } else if (const auto* refused = std::get_if<wire::Refused>(&message)) {
    using enum wire::RefusalCode;
    const bool unknown = refused->code == unknown_key;
    // A retryable error is given as a reason within a sentence.
    std::string why = refused->sentence;
    if (refused->code != removed && why.ends_with('.')) why.pop_back();
    const bool out_for_good = refused->code == removed;
    refuse({std::move(why), !out_for_good, true, false, out_for_good, unknown}, out);
  } else if (std::holds_alternative<wire::ReportRequest>(message)) {
    out.events.push_back(ReportRequested{});
  } else if (auto* relay = std::get_if<wire::Relay>(&message)) {
    out.events.push_back(Relayed{std::move(relay->datagrams)});
  } else if (auto* limited = std::get_if<wire::RelayLimited>(&message)) {
    out.events.push_back(RelayLimited{std::move(limited->limit)});
  } else if (std::holds_alternative<wire::Ping>(message)) {
    send(wire::Pong{}, out, now);
  }
}

void ClientConnection::on_delta(const wire::MemberDelta& part, Outputs& out, Instant now) {
  if (!partial_) {
    partial_ = part.delta;
  } else if (partial_->from != part.delta.from || partial_->to != part.delta.to || partial_->full != part.delta.full ||
             partial_->upserts.size() > kMaxMembers || partial_->removed.size() > kMaxMembers) {
    return refuse({"the parts of a change of the member list do not belong together"}, out);
  } else {
    std::copy(part.delta.upserts.begin(), part.delta.upserts.end(), std::back_inserter(partial_->upserts));
    std::copy(part.delta.removed.begin(), part.delta.removed.end(), std::back_inserter(partial_->removed));
  }
  if (!part.last) return;
  Delta delta = std::move(*partial_);
  partial_.reset();
  registry::keep_signed_grants(signing_key_, network_, delta.upserts);
  on_whole_delta(delta, part, out, now);
}

void ClientConnection::on_whole_delta(const Delta& delta, const wire::MemberDelta& last, Outputs& out, Instant now) {
  // What was sent before our request for the whole list arrived applies to nothing that we hold.
  if ((resync_ && !delta.full) || is_behind(delta.to, out)) return;
  MemberList next = members_;
  const bool anew = starts_anew(delta.to);
  if (anew) next.begin_anew(recovery_);
  const bool applied = (delta.full || !anew) && next.apply(delta);
  if (applied && !crypto::verify(signing_key_, registry::signed_list_message(network_, next.version(), last.digest),
                                 last.signature)) {
    return refuse({"the member list is not signed by the server"}, out);
  }
  if (!applied || registry::list_digest(next.members()) != last.digest) {
    if (delta.full) return refuse({"the member list contradicts its digest"}, out);
    resync_ = true;
    return send(wire::Resync{}, out, now);
  }
  resync_ = false;
  if (anew) tell_replaced(delta.to, out);
  members_ = std::move(next);
  tree_.reset();
  list_signature_ = last.signature;
  changed(delta, true, false, out);
}

// Whether the list is refused because of what is held; says so once.
bool ClientConnection::is_behind(std::uint64_t version, Outputs& out) {
  const bool other_beginning = recovery_ != members_.recovery();
  const bool nothing_held = members_.version() == 0;
  if (nothing_held || (other_beginning && recovery_proved_)) return false;
  const bool held_is_wrong = from_the_future(members_.version()) && !from_the_future(version);
  if (!other_beginning && (version >= members_.version() || held_is_wrong)) return false;
  resync_ = false;
  if (std::exchange(behind_, true)) return true;
  const std::string held = list_version_text(members_.version());
  if (other_beginning) {
    out.events.push_back(
        ListRefused{"The server's member list " + list_version_text(version) +
                    " is from before the recovery with which "
                    "the list " +
                    held +
                    " that this computer holds began, and the server does not prove that it is "
                    "meant, as when an older version of eps-server runs there. The list held stays in use. To take the "
                    "server's: run the present version of eps-server."});
    return true;
  }
  out.events.push_back(ListRefused{"The server's member list " + list_version_text(version) +
                                   " is older than the list " + held +
                                   " that this computer holds, as when the server was restored from a backup while "
                                   "its clock was wrong. The newer one stays in use. To make all members take the "
                                   "server's, run there: eps recover"});
  return true;
}

// By a clock that is wrong itself nothing is judged.
bool ClientConnection::from_the_future(std::uint64_t version) const {
  const std::int64_t clock = params_.unix_time();
  return clock >= kEarliestClock && static_cast<std::int64_t>(version >> 32) > clock + kMaxAhead;
}

// Whether such a list replaces the one held whatever its version. REQUIRES: !is_behind().
bool ClientConnection::starts_anew(std::uint64_t version) const {
  return recovery_ != members_.recovery() || version < members_.version();
}

void ClientConnection::tell_replaced(std::uint64_t version, Outputs& out) const {
  if (members_.version() == 0) return;
  const std::string held = "the list " + list_version_text(members_.version()) + " that this computer held";
  out.events.push_back(
      ListReplaced{"The server's member list " + list_version_text(version) + " replaces " + held +
                   (recovery_ != members_.recovery() ? ": an administrator of the server began the list anew."
                                                     : ", whose version is ahead of this computer's clock.")});
}

void ClientConnection::on_records(wire::Records& part, Outputs& out, Instant now) {
  if (!partial_) partial_.emplace();
  auto& [from, to, full, upserts, removed, policy] = *partial_;
  std::move(part.delta.upserts.begin(), part.delta.upserts.end(), std::back_inserter(upserts));
  removed.insert(removed.end(), part.delta.removed.begin(), part.delta.removed.end());
  if (upserts.size() > kMaxMembers || removed.size() > kMaxMembers) {
    return refuse({"a change of the member list is larger than any list"}, out);
  }
  if (!part.last) return;
  from = part.delta.from;
  to = part.delta.to;
  full = part.delta.full;
  policy = std::move(part.delta.policy);
  Delta delta = std::move(*partial_);
  partial_.reset();
  registry::keep_signed_grants(signing_key_, network_, delta.upserts);
  on_whole_records(std::move(delta), part, out, now);
}

// Only the tree is changed until it is known that the server signed the result.
void ClientConnection::on_whole_records(Delta delta, const wire::Records& last, Outputs& out, Instant now) {
  if ((resync_ && !delta.full) || is_behind(delta.to, out)) return;
  if (!crypto::verify(signing_key_, registry::signed_records_message(network_, recovery_, delta.to, last.root),
                      last.signature)) {
    return refuse({"the member list is not signed by the server"}, out);
  }
  if (!tree_) tree_.emplace(members_);
  const bool anew = starts_anew(delta.to);
  bool right = delta.full || (delta.from == members_.version() && !anew);
  if (delta.full) {
    registry::MerkleTree whole;
    for (const Member& m : delta.upserts) whole.put(m.id, registry::record_hash(m));
    whole.put(delta.policy.value_or(NetworkPolicy()));
    right = whole.root() == last.root;
    if (!right) return refuse({"the member list contradicts its signature"}, out);
    tree_ = std::move(whole);
  } else if (right) {
    for (const MemberId id : delta.removed) tree_->erase(id);
    for (const Member& m : delta.upserts) tree_->put(m.id, registry::record_hash(m));
    if (delta.policy) tree_->put(*delta.policy);
    right = tree_->root() == last.root;
  }
  if (!right) {
    tree_.reset();
    resync_ = true;
    return send(wire::Resync{}, out, now);
  }
  resync_ = false;
  for (Member& m : delta.upserts) {
    const Member* old = members_.find(m.id);
    if (old == nullptr || old->key != m.key) continue;
    m.online = old->online;
    m.candidates = old->candidates;
    m.version = old->version;
    m.relays = old->relays;
  }
  if (anew) {
    tell_replaced(delta.to, out);
    members_.begin_anew(recovery_);
  }
  members_.apply(delta);
  list_signature_ = last.signature;
  changed(std::move(delta), true, last.more, out);
}

void ClientConnection::on_states(const wire::States& states, Outputs& out, Instant now) {
  Delta delta{.from = members_.version(), .to = members_.version(), .full = false, .upserts = {}, .removed = {}};
  const auto become = [&](Member next) {
    const Member* old = members_.find(next.id);
    if (next == *old) return;
    delta.upserts.push_back(std::move(next));
  };
  const auto presence = [&](MemberId id, bool online) {
    const Member* old = members_.find(id);
    if (old == nullptr || old->online == online) return;
    delta.upserts.push_back(*old);
    delta.upserts.back().online = online;
    if (!online) delta.upserts.back().candidates.clear();
  };
  if (states.all) {
    std::set<MemberId> named(states.online.begin(), states.online.end());
    for (const wire::MemberState& s : states.states) named.insert(s.id);
    for (const auto& [id, member] : members_.members()) {
      if (!named.contains(id)) presence(id, false);
    }
  }
  for (const MemberId id : states.online) presence(id, true);
  for (const MemberId id : states.offline) presence(id, false);
  for (const wire::MemberState& s : states.states) {
    const Member* old = members_.find(s.id);
    if (old == nullptr) continue;
    Member next = *old;
    next.online = s.online;
    next.version = s.version;
    next.relays = s.relays;
    next.candidates = s.candidates;
    become(std::move(next));
  }
  members_.apply(delta);
  if (states.on_demand && !on_demand_ && !wanted_.empty()) send(wire::Want{wanted_}, out, now);
  on_demand_ = states.on_demand;
  changed(std::move(delta), false, states.more, out);
}

// Parts of one change become visible together.
void ClientConnection::changed(Delta delta, bool records, bool more, Outputs& out) {
  if (!unseen_) {
    unseen_.emplace(ListChanged{std::move(delta), records});
  } else if (!unseen_->delta.full) {
    Delta& all = unseen_->delta;
    std::move(delta.upserts.begin(), delta.upserts.end(), std::back_inserter(all.upserts));
    all.removed.insert(all.removed.end(), delta.removed.begin(), delta.removed.end());
    all.to = delta.to;
    all.full = delta.full;
    if (delta.policy) all.policy = std::move(delta.policy);
    unseen_->records |= records;
  }
  if (more) return;
  ListChanged whole = std::move(*unseen_);
  unseen_.reset();
  if (whole.records) whole.lock = std::exchange(lock_, std::nullopt);
  const bool nothing = !whole.records && whole.delta.upserts.empty() && !whole.delta.full;
  if (!nothing) out.events.push_back(std::move(whole));
}

void ClientConnection::keys_changed(Instant now) {
  rekeyed_ = now;
  if (!features_.has(Feature::rekey)) return;
  // Clients that came back together shall not ask together.
  const auto spread = static_cast<std::uint64_t>(params_.rekey_after.count() / 4);
  rekey_due_ = now + params_.rekey_after + Duration(static_cast<Duration::rep>(rng_.below(spread + 1)));
}

Instant ClientConnection::rekey_at() const {
  if (!features_.has(Feature::rekey) || channel_.rekeying()) return kNever;
  const bool full = channel_.volume() >= params_.rekey_after_bytes;
  return std::max(full ? Instant{} : rekey_due_, rekeyed_ + kRekeyPause);
}

void ClientConnection::on_rekey(const wire::Rekey& rekey, Outputs& out, Instant now) {
  if (!channel_.finish_rekey(rekey.handshake)) {
    return refuse({"the server answered with keys that nobody asked for"}, out);
  }
  send(wire::Rekey{}, out, now);
  channel_.seal_anew();
  channel_.open_anew();
  keys_changed(now);
  ++rekeys_;
}

std::string closed_because(const std::string& why) {
  return "the server closed the connection" + in_brackets(why);
}

ClientConnection::Outputs ClientConnection::on_closed(const std::string& why) {
  Outputs out;
  if (ended_) return out;
  if (!channel_.transport()) {
    refuse_stranger("hung up" + in_brackets(why), false, out);
  } else {
    refuse({closed_because(why)}, out);
  }
  return out;
}

ClientConnection::Outputs ClientConnection::announce(std::vector<Candidate> candidates, Instant now) {
  Outputs out;
  // The server ends a connection over a message that exceeds a limit.
  std::erase_if(candidates, [](const Candidate& c) { return !c.endpoint.valid(); });
  if (candidates.size() > kMaxCandidates) candidates.resize(kMaxCandidates);
  if (welcomed_ && !ended_) send(wire::Candidates{std::move(candidates)}, out, now);
  return out;
}

ClientConnection::Outputs ClientConnection::relay_here(bool here, Instant now) {
  Outputs out;
  if (welcomed_ && !ended_) send(wire::RelayHere{here}, out, now);
  return out;
}

ClientConnection::Outputs ClientConnection::want(std::span<const MemberId> members) {
  Outputs out;
  std::vector<MemberId> added;
  for (const MemberId id : members) {
    if (std::ranges::find(wanted_, id) != wanted_.end()) continue;
    wanted_.push_back(id);
    added.push_back(id);
  }
  for (auto* ids : {&wanted_, &added}) {
    if (ids->size() > wire::kMaxWanted) ids->erase(ids->begin(), ids->end() - wire::kMaxWanted);
  }
  if (welcomed_ && !ended_ && on_demand_ && !added.empty()) send(wire::Want{std::move(added)}, out, last_sent_);
  return out;
}

ClientConnection::Outputs ClientConnection::propose_lock(std::uint32_t ticket, LockChange change, Instant now) {
  Outputs out;
  if (welcomed_ && !ended_) send(wire::LockProposed{ticket, std::move(change)}, out, now);
  return out;
}

ClientConnection::Outputs ClientConnection::relay(std::vector<Bytes> datagrams, Instant now) {
  Outputs out;
  if (welcomed_ && !ended_ && !datagrams.empty()) {
    send(wire::Relay{std::move(datagrams)}, out, now);
    relayed_since_ = std::min(relayed_since_, now);
  }
  return out;
}

ClientConnection::Outputs ClientConnection::report(TrafficReport report, Instant now) {
  Outputs out;
  auto& peers = report.peers;
  const auto busier = [](const PeerReport& a, const PeerReport& b) {
    return a.bytes_sent + a.bytes_received > b.bytes_sent + b.bytes_received;
  };
  if (peers.size() > kMaxPeersPerReport) {
    std::nth_element(peers.begin(), peers.begin() + kMaxPeersPerReport, peers.end(), busier);
    peers.resize(kMaxPeersPerReport);
  }
  for (PeerReport& peer : peers) peer.reason.resize(std::min(peer.reason.size(), kMaxReasonSize));
  if (welcomed_ && !ended_) send(std::move(report), out, now);
  return out;
}

ClientConnection::Outputs ClientConnection::on_deadline(Instant now) {
  Outputs out;
  if (ended_) return out;
  if (!welcomed_ && now >= started_ + kAdmitWithin) {
    refuse({"no answer within 10 seconds"}, out);
  } else if (now >= last_received_ + kDeadAfter) {
    refuse({"nothing was received from the server for 35 seconds"}, out);
  } else if (now >= silent_at_) {
    silent_at_ = kNever;
    silent_ = true;
    out.events.push_back(Silent{});
  } else if (welcomed_ && now >= ping_at()) {
    const bool relays = relayed_since_ != kNever && now >= relayed_since_ + kRelayUnanswered;
    ping(relays ? answer_time() : kIdleAnswerTime, out, now);
  }
  if (!ended_ && now >= rekey_at()) {
    send(wire::Rekey{channel_.begin_rekey(params_.self, params_.key.server, rng_)}, out, now);
  }
  return out;
}

Instant ClientConnection::next_deadline() const {
  if (ended_) return kNever;
  if (!welcomed_) return started_ + kAdmitWithin;
  return std::min({ping_at(), silent_at_, last_received_ + kDeadAfter, rekey_at()});
}

// Neither what this end sends nor what it relays is answered: a silent server is probed as well.
Instant ClientConnection::ping_at() const {
  const Instant due = std::min(last_sent_, std::max(last_received_, last_ping_)) + ping_after_;
  if (relayed_since_ == kNever || silent_at_ != kNever || silent_) return due;
  return std::min(due, relayed_since_ + kRelayUnanswered);
}

void ClientConnection::send(const wire::ControlMessage& message, Outputs& out, Instant now) {
  last_sent_ = now;
  channel_.seal(wire::encode(message), out.to_send);
}

// Until it has proved the server's key, the other end may be anybody: another program that listens there, a captive
// portal, a server that is starting. Nothing follows from what it says or does not say.
void ClientConnection::refuse_stranger(const std::string& what, bool answered, Outputs& out) {
  refuse({"it " + what +
              " without proving that it is the server of this network key: another program or another "
              "network's server listens there, something in between answers, or the server is starting",
          true, false, answered},
         out);
}

void ClientConnection::refuse(Refused why, Outputs& out) {
  ended_ = true;
  out.close = true;
  out.events.push_back(std::move(why));
}

}  // namespace eps::control
