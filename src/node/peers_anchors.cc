// SPDX-License-Identifier: MIT

// The sessions that node::Peers keeps without traffic while the server is away (mesh/anchors.h).

#include <algorithm>

#include "mesh/anchors.h"
#include "model/address_kinds.h"
#include "node/peers.h"

namespace eps::node {
namespace {
// A restarting server is back before that; and not everybody starts at the same moment.
constexpr Duration kAnchorsAfter = std::chrono::seconds(2);
constexpr Duration kAnchorsSpread = std::chrono::seconds(3);
constexpr Duration kAnchorsAgain = std::chrono::seconds(10);
constexpr Duration kUnreachableFor = std::chrono::minutes(5);
}  // namespace

// The server's relay became usable or unusable.
void Peers::schedule_anchors(Instant now) {
  if (relays_.server_relays()) {
    if (anchors_at_ == kNever) return;  // nobody was chosen since the last time
    for (auto& [id, peer] : peers_.awake()) peer.kept = false;
    anchors_at_ = kNever;
    reachable_.clear();
  } else if (anchors_at_ == kNever) {
    const auto spread = rng_.below(static_cast<std::uint64_t>(kAnchorsSpread.count()));
    anchors_at_ = now + kAnchorsAfter + Duration(static_cast<Duration::rep>(spread));
  }
}

bool Peers::has_public_address(const Member& member) {
  const auto kind = [&](Candidate::Kind wanted) {
    return std::ranges::any_of(member.candidates, [&](const Candidate& c) {
      const bool everywhere = !is_private(c.endpoint.ip) && !c.endpoint.ip.is_loopback();
      return c.kind == wanted && c.endpoint.ip.is_v4() && everywhere;
    });
  };
  return kind(Candidate::Kind::mapped) || (kind(Candidate::Kind::local) && !kind(Candidate::Kind::observed));
}

void Peers::tend_anchors(Instant now) {
  if (now < anchors_at_) return;
  anchors_at_ = now + kAnchorsAgain;
  const bool small = peers_.members().size() < mesh::kSmallNetwork;
  std::vector<mesh::AnchorCandidate> all;
  std::vector<MemberId> answering;
  reachable_.clear();
  for (auto& [id, peer] : peers_.awake()) peer.kept = false;
  for (const auto& [id, member] : peers_.members()) {
    const Peer* peer = peers_.awake(id);
    const bool direct = peer != nullptr && peer->sessions.may_send(now) && peer->path.direct();
    const bool silent =
        peer != nullptr && peer->unreachable_at != Instant{} && now - peer->unreachable_at < kUnreachableFor;
    const bool reachable = has_public_address(member);
    all.push_back({id, !silent && reachable, member.relays, direct});
    if (small || !reachable) continue;
    reachable_.push_back(id);
    if (!silent) answering.push_back(id);
  }
  const auto chosen = answering.empty() ? mesh::choose_anchors(std::move(all))
                                        : mesh::anchors_of(self_.id, answering, peers_.members().size() + 1);
  for (const MemberId id : chosen) {
    Peer& peer = *find(id, now);
    peer.kept = true;
    peer.tick_at = std::min(peer.tick_at, now + kTick);
    if (!peer.sessions.pending() && !peer.sessions.may_send(now)) start_handshake(peer, now);
  }
}

// Those most likely to know where it is now.
void Peers::seek_anchors_of(const Peer& peer, Instant now) {
  // A reachable peer is asked itself; so the search for an anchor triggers no other.
  if (reachable_.empty() || has_public_address(peer.member)) return;
  for (const MemberId id : mesh::anchors_of(peer.member.id, reachable_, peers_.members().size() + 1)) {
    Peer* anchor = find(id, now);
    if (anchor == nullptr) continue;
    if (anchor->sessions.current() && anchor->path.direct()) {
      send_control(*anchor, mesh::FindMessage{peer.member.id, here_.own()}, now);
    } else if (!anchor->sessions.pending()) {
      start_handshake(*anchor, now);
    }
  }
}

}  // namespace eps::node
