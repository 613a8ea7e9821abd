// What node::Peers says of the peers, and why a path is what it is: told from what was tried, not guessed.

#include <algorithm>

#include "node/peers.h"

namespace eps::node {
namespace {

// So long the first rounds of probes take; before that nothing can be said.
constexpr Duration kStillTrying = std::chrono::seconds(5);

constexpr int kAttemptsInVain = 3;  // of a handshake: 2 s without an answer

bool hard(NatMapping mapping) {
  return mapping == NatMapping::per_destination;
}

}  // namespace

std::vector<PeerStatus> Peers::status(Instant now) const {
  std::vector<PeerStatus> out;
  for (const auto& [id, peer] : peers_) out.push_back(status_of(peer, now));
  return out;
}

PeerStatus Peers::status_of(const Peer& peer, Instant now) const {
  PeerStatus s;
  s.member = peer.member;
  s.nat = peer.nat;
  const dataplane::Peer to = route(peer);
  const Instant heard = peer.activity->received_at();
  if (heard != Instant{}) s.since_heard = now - heard;
  if (to.ready() && peer.current->may_send(now) && !gone(peer, now)) {
    s.path = to.relayed ? PathKind::relayed : PathKind::direct;
    s.endpoint = to.to;
    s.relay = peer.path.path()->relay;
    s.since_handshake = now - peer.current->established_at();
    s.round_trip = peer.path.round_trip();
    if (sized(peer)) s.path_mtu = peer.mtu.path_mtu(*peer.path.path());
    s.aead = crypto::name_of(peer.current->aead());
    s.aead_library = crypto::name_of(peer.current->library());
  }
  const bool unanswered = peer.handshake ? peer.handshake->attempt >= kAttemptsInVain : peer.given_up;
  s.unreachable = s.path == PathKind::none && peer.member.online && (peer.current || unanswered);
  s.traffic = totals_of(peer.activity->counters);
  explain(peer, s, now);
  return s;
}

// Off by the server's list and by what is heard of it: the session still remembers a path, but nobody is there.
bool Peers::gone(const Peer& peer, Instant now) {
  if (peer.member.online) return false;
  return now - std::max(peer.activity->received_at(), peer.offline_at) > kOfflineSilence;
}

std::optional<PeerWhy> Peers::why(std::string_view name, Instant now) const {
  for (const auto& [id, peer] : peers_) {
    if (peer.member.name != name && to_string(peer.member.address) != name) continue;
    return PeerWhy{status_of(peer, now), own_nat_, peer.path.ways(now), peer.path.events(now)};
  }
  return std::nullopt;
}

void Peers::explain(const Peer& peer, PeerStatus& s, Instant now) const {
  if (s.path == PathKind::direct) return;
  if (s.path == PathKind::none) {
    if (peer.current && gone(peer, now)) {
      s.why_relayed = "It is not connected to the server, and it does not answer.";
    } else if (peer.current) {
      s.why_relayed = "There is a session but no way: no relay can be used and no endpoint answers.";
    } else if (peer.handshake) {
      s.why_relayed = "The handshake is not answered yet, attempt " + std::to_string(peer.handshake->attempt + 1) + ".";
    } else if (!peer.member.online && server_relays()) {
      s.why_relayed = "It is not connected to the server.";
    } else if (peer.given_up) {
      s.why_relayed = "The last handshake was not answered in " + std::to_string(kHandshakeAttempts) + " attempts.";
    } else {
      s.why_relayed = "Nothing was sent to it lately, so there is no session; the first frame makes one.";
    }
    return;
  }
  const auto ways = peer.path.ways(now);
  const auto searching = peer.path.searching_for(now);
  std::size_t tried = 0, answering = 0;
  const WayStatus* heard = nullptr;
  for (const WayStatus& w : ways) {
    if (!w.way.direct()) continue;
    tried += w.pings > 0 ? 1 : 0;
    answering += w.answers ? 1 : 0;
    // What came before the path was lost says nothing of now.
    const bool lately = w.since_heard && (!searching || *w.since_heard <= *searching);
    if (lately && (heard == nullptr || w.heard > heard->heard)) heard = &w;
  }
  const std::string endpoints = std::to_string(tried) + (tried == 1 ? " endpoint" : " endpoints");
  const bool mapped =
      std::ranges::any_of(own_candidates_, [](const Candidate& c) { return c.kind == Candidate::Kind::mapped; });
  // Where our router forwards already, only the other end can do something.
  const std::string forward =
      mapped ? "Forward the UDP port of " + peer.member.name +
                   " at its router, or allow UPnP or NAT-PMP there; ours forwards already."
             : "Forward the UDP port of one of the two computers at its router, or allow UPnP or NAT-PMP there.";
  if (answering > 0) {
    s.why_relayed = "A direct way answers, but the relay is much faster.";
  } else if (tried == 0) {
    s.why_relayed = "It has announced no endpoint that can be tried.";
    s.how_to_mend = "Look at `eps status` there: its UDP socket may be blocked.";
  } else if (searching && *searching < kStillTrying) {
    s.why_relayed = "The search has just begun, with " + endpoints + " to try.";
  } else if (hard(own_nat_.mapping) && hard(peer.nat)) {
    s.why_relayed = "The NATs on both sides map each destination anew, so neither end knows where to send.";
    s.how_to_mend = forward;
  } else if (heard != nullptr) {
    s.why_relayed = "Its datagrams reach us from " + to_string(heard->way.to) + ", but ours are not answered there.";
    s.how_to_mend = "Allow UDP from this computer's network in the firewall in front of " + peer.member.name + ".";
  } else if (hard(own_nat_.mapping) || hard(peer.nat)) {
    s.why_relayed = std::string(hard(peer.nat) ? "The NAT in front of it maps" : "The NAT in front of us maps") +
                    " each destination anew, and guessing its port has not succeeded.";
    s.how_to_mend = forward;
  } else {
    s.why_relayed = "It does not answer at " + endpoints +
                    " and nothing of it arrives here: a firewall or NAT on the way drops UDP.";
    s.how_to_mend = forward;
  }
}

}  // namespace eps::node
