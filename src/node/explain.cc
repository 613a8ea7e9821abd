// SPDX-License-Identifier: MIT
#include "node/explain.h"

#include <algorithm>
#include <string>

namespace eps::node {
namespace {

// The duration of the first rounds of probes; no verdict is possible before.
constexpr Duration kStillTrying = std::chrono::seconds(5);

// So long after something was sent by a path that was given up, it counts as lost.
constexpr Duration kInVainFor = std::chrono::seconds(10);

constexpr int kAttemptsInVain = 3;  // of a handshake: 2 s without an answer

bool hard(NatMapping mapping) {
  return mapping == NatMapping::per_destination;
}

// Offline according to the server and to silence: the session still has a path, but nobody is there.
bool gone(const Peer& peer, Instant now) {
  if (peer.member.online) return false;
  return now - std::max(peer.activity->received_at(), peer.offline_at) > kOfflineSilence;
}

std::string why_silent(const Member& member, const Standpoint& here) {
  if (!member.online && here.server_relays) return "It is not connected to the server.";
  return "Nothing was sent to it lately, so there is no session; the first frame makes one.";
}

void explain(const Peer& peer, const Standpoint& here, PeerStatus& s, Instant now) {
  if (s.path == PathKind::direct) return;
  if (s.path == PathKind::none) {
    if (const PskMismatch mismatch = peer.sessions.psk_mismatch(); mismatch != PskMismatch::none) {
      s.why_relayed = sentence_of(mismatch, peer.member.name);
      s.how_to_mend = remedy_of(mismatch, peer.member.name);
    } else if (peer.sessions.current() && gone(peer, now)) {
      s.why_relayed = "It is not connected to the server, and it does not answer.";
    } else if (peer.sessions.current()) {
      s.why_relayed = "There is a session but no path: no relay can be used and no endpoint answers.";
    } else if (peer.sessions.pending()) {
      s.why_relayed = "The handshake is not answered yet, attempt " + std::to_string(peer.sessions.attempt() + 1) + ".";
    } else if (peer.sessions.given_up() && (peer.member.online || !here.server_relays)) {
      s.why_relayed = "The last handshake was not answered in " + std::to_string(kHandshakeAttempts) + " attempts.";
    } else {
      s.why_relayed = why_silent(peer.member, here);
    }
    return;
  }
  const auto ways = peer.path.ways(now);
  const auto searching = peer.path.in_vain_for(now);
  std::size_t tried = 0, answering = 0, lossy = 0;
  const WayStatus* heard = nullptr;
  for (const WayStatus& w : ways) {
    if (!w.way.direct()) continue;
    tried += w.pings > 0 ? 1 : 0;
    answering += w.answers ? 1 : 0;
    lossy += w.answers && w.lossy ? 1 : 0;
    // Failures from before the path was lost say nothing about now.
    const bool lately = w.since_heard && (!searching || *w.since_heard <= *searching);
    if (lately && (heard == nullptr || w.heard > heard->heard)) heard = &w;
  }
  const std::string endpoints = std::to_string(tried) + (tried == 1 ? " endpoint" : " endpoints");
  // If our router already forwards a port, only the other end can do something.
  const std::string forward =
      here.forwarded
          ? "Forward the UDP port of " + peer.member.name +
                " at its router, or allow UPnP or NAT-PMP there; ours forwards already."
          : "Forward the UDP port of one of the two computers at its router, or allow UPnP or NAT-PMP there.";
  if (answering > 0) {
    s.why_relayed =
        lossy == answering
            ? "A direct path answers, but has lost datagrams lately; it is measured, and used again once it recovers."
            : "A direct path answers, but the relay is much faster.";
  } else if (tried == 0) {
    s.why_relayed = "It has announced no endpoint that can be tried.";
    s.how_to_mend = "Look at `eps status` there: its UDP socket may be blocked.";
  } else if (searching && *searching < kStillTrying) {
    s.why_relayed = "The search has just begun, with " + endpoints + " to try.";
  } else if (hard(here.nat) && hard(peer.paths.nat())) {
    s.why_relayed =
        "The NATs on both sides make a new mapping for each destination, so neither end knows where to send.";
    s.how_to_mend = forward;
  } else if (heard != nullptr) {
    s.why_relayed = "Its datagrams reach us from " + to_string(heard->way.to) + ", but ours are not answered there.";
    s.how_to_mend = "Allow UDP from this computer's network in the firewall in front of " + peer.member.name + ".";
  } else if (hard(here.nat) || hard(peer.paths.nat())) {
    s.why_relayed =
        std::string(hard(peer.paths.nat()) ? "The NAT in front of it makes" : "The NAT in front of us makes") +
        " a new mapping for each destination, and guessing its port has not succeeded.";
    s.how_to_mend = forward;
  } else {
    s.why_relayed = "It does not answer at " + endpoints +
                    " and nothing of it arrives here: a firewall or NAT on the way drops UDP.";
    s.how_to_mend = forward;
  }
}

}  // namespace

PeerStatus status_of(const Member& silent, const Standpoint& here) {
  PeerStatus s;
  s.member = silent;
  s.why_relayed = why_silent(silent, here);
  return s;
}

PeerStatus status_of(const Peer& peer, const dataplane::Peer& route, const Standpoint& here, Instant now) {
  PeerStatus s;
  s.member = peer.member;
  s.nat = peer.paths.nat();
  const Instant heard = peer.activity->received_at();
  if (heard != Instant{}) s.since_heard = now - heard;
  // What is sent by a path that was given up is lost, however often it is sent.
  const bool in_vain = peer.path.given_up() && now - peer.activity->sent_at() < kInVainFor;
  if (route.ready() && peer.sessions.current()->may_send(now) && !gone(peer, now) && !in_vain) {
    s.path = route.relayed ? PathKind::relayed : PathKind::direct;
    s.endpoint = route.to;
    s.relay = peer.path.path()->relay;
    s.since_handshake = now - peer.sessions.current()->established_at();
    s.round_trip = peer.path.round_trip();
    // Beyond a limit the large datagrams are lost first, whatever the path carries.
    const bool limited = here.server_limits && s.relay == kServerRelay;
    if (Paths::sized(peer) && !limited) s.path_mtu = peer.paths.mtu().path_mtu(*peer.path.path());
    s.aead = crypto::name_of(peer.sessions.current()->aead());
    s.aead_library = crypto::name_of(peer.sessions.current()->library());
  }
  const bool unanswered =
      peer.sessions.psk_mismatch() != PskMismatch::none ||
      (peer.sessions.pending() ? peer.sessions.attempt() >= kAttemptsInVain : peer.sessions.given_up());
  s.unreachable = s.path == PathKind::none && peer.member.online && (peer.sessions.current() || unanswered);
  s.traffic = totals_of(peer.activity->counters);
  explain(peer, here, s, now);
  return s;
}

}  // namespace eps::node
