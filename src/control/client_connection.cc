#include "control/client_connection.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "crypto/primitives.h"
#include "registry/grants.h"
#include "registry/list_digest.h"

namespace eps::control {
namespace {
constexpr const char* kForgetNetwork =
    "remove the file \"network\" from eps-client's state directory (/var/lib/eps/client) and start it again";
}

ClientConnection::ClientConnection(ClientParams params, const MemberList& held, Rng& rng)
    : params_(std::move(params)), members_(held), rng_(rng) {}

ClientConnection::Outputs ClientConnection::start(Instant now) {
  started_ = last_sent_ = last_received_ = now;
  Outputs out;
  handshake_.emplace(params_.self, params_.key.server, as_view(kPrologue), rng_);
  const auto purpose = params_.enrolled ? Purpose::member : Purpose::first_join;
  Bytes payload = {std::byte{kVersion}, static_cast<std::byte>(purpose)};
  if (purpose == Purpose::first_join && params_.key.join_key != 0) Writer(payload).u32(params_.key.join_key);
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
    if (!frame) break;
    if (!channel_.transport()) {
      on_response(*frame, out, now);
      continue;
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
  const crypto::Key psk = params_.enrolled ? crypto::Key() : enrolment_psk(params_.key.enrolment.view());
  const auto done = handshake_->read_response(frame, psk);
  if (!done) return refuse_stranger("gave another answer", true, out);
  channel_.begin_transport(done->keys, true);
  last_received_ = now;
  round_trip_ = now - started_;
  out.events.push_back(Proved{});
}

ClientConnection::Outputs ClientConnection::say_hello(const MemberList& held, Instant now) {
  Outputs out;
  if (ended_) return out;
  members_ = held;
  const std::string version = params_.version.substr(0, kMaxVersionSize);
  send(wire::Hello{make_valid_name(params_.name), version, members_.version(), params_.relays, kOwnFeatures}, out, now);
  return out;
}

ClientConnection::Outputs ClientConnection::probe(Instant now) {
  Outputs out;
  // Not again while an answer is due as soon, or overdue.
  if (welcomed_ && !ended_ && !silent_ && silent_at_ > now + answer_time()) ping(answer_time(), out, now);
  return out;
}

Duration ClientConnection::answer_time() const {
  return std::clamp<Duration>(3 * round_trip_, kLeastAnswerTime, kMostAnswerTime);
}

void ClientConnection::ping(Duration answer_within, Outputs& out, Instant now) {
  last_ping_ = now;
  // An answer that is awaited already does not get more time.
  if (!silent_) silent_at_ = std::min(silent_at_, now + answer_within);
  send(wire::Ping{}, out, now);
}

void ClientConnection::on_message(wire::ControlMessage message, Outputs& out, Instant now) {
  if (auto* welcome = std::get_if<wire::Welcome>(&message)) {
    if (params_.signing_key && *params_.signing_key != welcome->signing_key) {
      crypto::wipe(welcome->bind_key);
      return refuse({std::string("the server signs its member list with another key than when this computer joined; if "
                                 "its state was made anew, ") +
                     kForgetNetwork},
                    out);
    }
    welcomed_ = true;
    network_ = welcome->network.id;
    signing_key_ = welcome->signing_key;
    registry::keep_signed_grants(signing_key_, network_, {&welcome->self, 1});
    crypto::Key bind_key{std::span<const std::byte, 32>(welcome->bind_key)};
    crypto::wipe(welcome->bind_key);
    out.events.push_back(Welcomed{welcome->network, welcome->self, welcome->data_port, std::move(bind_key),
                                  welcome->relay_tag, welcome->version, signing_key_, welcome->also_port});
  } else if (const auto* delta = std::get_if<wire::MemberDelta>(&message)) {
    on_delta(*delta, out, now);
  } else if (const auto* refused = std::get_if<wire::Refused>(&message)) {
    using enum wire::RefusalCode;
    const bool unknown = refused->code == unknown_key;
    // What can be tried again is told as the reason within a sentence.
    std::string why = refused->sentence;
    if (refused->code != removed && why.ends_with('.')) why.pop_back();
    const bool out_for_good = refused->code == removed;
    refuse({std::move(why), !out_for_good, true, false, out_for_good, unknown}, out);
  } else if (std::holds_alternative<wire::ReportRequest>(message)) {
    out.events.push_back(ReportRequested{});
  } else if (auto* relay = std::get_if<wire::Relay>(&message)) {
    out.events.push_back(Relayed{std::move(relay->datagrams)});
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
  // What crossed our wish for the whole list on its way applies to nothing that we hold.
  if (resync_ && !delta.full) return;
  if (delta.to < members_.version()) {
    resync_ = false;
    if (std::exchange(behind_, true)) return;
    out.events.push_back(ListRefused{"The server's member list " + list_version_text(delta.to) +
                                     " is older than the list " + list_version_text(members_.version()) +
                                     " that this computer holds, as when the server was restored from a backup while "
                                     "its clock was wrong. The newer one holds. To take the server's, " +
                                     kForgetNetwork + "."});
    return;
  }
  MemberList next = members_;
  const bool applied = next.apply(delta);
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
  members_ = std::move(next);
  list_signature_ = last.signature;
  out.events.push_back(ListChanged{});
}

ClientConnection::Outputs ClientConnection::on_closed(Instant) {
  Outputs out;
  if (ended_) return out;
  if (!channel_.transport()) {
    refuse_stranger("hung up", false, out);
  } else {
    refuse({"the server closed the connection"}, out);
  }
  return out;
}

ClientConnection::Outputs ClientConnection::announce(std::vector<Candidate> candidates, Instant now) {
  Outputs out;
  // The server ends a connection over a message that breaks a limit.
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
    refuse({"the server has not been heard for 35 seconds"}, out);
  } else if (now >= silent_at_) {
    silent_at_ = kNever;
    silent_ = true;
    out.events.push_back(Silent{});
  } else if (welcomed_ && now >= ping_at()) {
    const bool relays = relayed_since_ != kNever && now >= relayed_since_ + kRelayUnanswered;
    ping(relays ? answer_time() : kIdleAnswerTime, out, now);
  }
  return out;
}

Instant ClientConnection::next_deadline() const {
  if (ended_) return kNever;
  if (!welcomed_) return started_ + kAdmitWithin;
  return std::min({ping_at(), silent_at_, last_received_ + kDeadAfter});
}

// What this end sends, as what it relays, is answered by nobody: a server that is not heard is asked as well.
Instant ClientConnection::ping_at() const {
  const Instant due = std::min(last_sent_, std::max(last_received_, last_ping_)) + kPingAfter;
  if (relayed_since_ == kNever || silent_at_ != kNever || silent_) return due;
  return std::min(due, relayed_since_ + kRelayUnanswered);
}

void ClientConnection::send(const wire::ControlMessage& message, Outputs& out, Instant now) {
  last_sent_ = now;
  channel_.seal(wire::encode(message), out.to_send);
}

// Whoever has not proved the server's key may be anybody: a program that listens there, a portal that wants a login, a
// server that is starting. Nothing follows from what it says or does not say.
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
