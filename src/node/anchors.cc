// SPDX-License-Identifier: MIT
#include "node/anchors.h"

#include <algorithm>
#include <chrono>

#include "mesh/anchors.h"
#include "model/address_kinds.h"

namespace eps::node {
namespace {
// A restarting server is back before that; and not everybody starts at the same moment.
constexpr Duration kAfter = std::chrono::seconds(2);
constexpr Duration kSpread = std::chrono::seconds(3);
constexpr Duration kAgain = std::chrono::seconds(10);
constexpr Duration kUnreachableFor = std::chrono::minutes(5);
}  // namespace

bool has_public_address(const Member& member) {
  const auto kind = [&](Candidate::Kind wanted) {
    return std::ranges::any_of(member.candidates, [&](const Candidate& c) {
      const bool everywhere = !is_private(c.endpoint.ip) && !c.endpoint.ip.is_loopback();
      return c.kind == wanted && c.endpoint.ip.is_v4() && everywhere;
    });
  };
  return kind(Candidate::Kind::mapped) || (kind(Candidate::Kind::local) && !kind(Candidate::Kind::observed));
}

void Anchors::set_relayed(bool relayed, PeerSet& peers, Instant now) {
  if (relayed) {
    if (at_ == kNever) return;  // nobody was chosen since the last time
    for (auto& [id, peer] : peers.awake()) peer.kept = false;
    at_ = kNever;
    reachable_.clear();
  } else if (at_ == kNever) {
    at_ = now + kAfter + Duration(static_cast<Duration::rep>(rng_.below(static_cast<std::uint64_t>(kSpread.count()))));
  }
}

std::optional<std::vector<MemberId>> Anchors::take_due(MemberId self, PeerSet& peers, Instant now) {
  if (now < at_) return std::nullopt;
  at_ = now + kAgain;
  const std::size_t members = peers.members().size();
  const bool small = members < mesh::kSmallNetwork;
  std::vector<mesh::AnchorCandidate> all;
  std::vector<MemberId> answering;
  reachable_.clear();
  for (auto& [id, peer] : peers.awake()) peer.kept = false;
  for (const auto& [id, member] : peers.members()) {
    const Peer* peer = peers.awake(id);
    const bool direct = peer != nullptr && peer->sessions.may_send(now) && peer->path.direct();
    const bool silent =
        peer != nullptr && peer->unreachable_at != Instant{} && now - peer->unreachable_at < kUnreachableFor;
    const bool reachable = has_public_address(member);
    all.push_back({id, !silent && reachable, member.relays, direct});
    if (small || !reachable) continue;
    reachable_.push_back(id);
    if (!silent) answering.push_back(id);
  }
  return answering.empty() ? mesh::choose_anchors(std::move(all)) : mesh::anchors_of(self, answering, members + 1);
}

std::vector<MemberId> Anchors::of(const Peer& peer, const PeerSet& peers) const {
  if (reachable_.empty() || has_public_address(peer.member)) return {};
  return mesh::anchors_of(peer.member.id, reachable_, peers.members().size() + 1);
}

}  // namespace eps::node
