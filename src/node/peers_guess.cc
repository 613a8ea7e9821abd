// Against a NAT that maps each destination anew (mesh/port_guess.h): the bursts of node::Peers, one at a time, and the
// side sockets that they leave behind.

#include <algorithm>

#include "node/peers.h"

namespace eps::node {
namespace {

// The plain probes come first: against an open filter they are enough.
constexpr Duration kGuessAfter = std::chrono::milliseconds(300);
constexpr Duration kInVain = std::chrono::milliseconds(800);
// From the beginning of one burst at a peer to that of the next: the second follows as soon as the first is over, since
// bad luck or a lost call is the likeliest reason for its failure; when it fails as well, something else is. Who is
// asked by the peer may have begun a little later than it.
constexpr std::array<Duration, 3> kGuessPause = {std::chrono::seconds(8), std::chrono::seconds(60),
                                                 std::chrono::hours(1)};
constexpr std::array<Duration, 3> kFollowPause = {mesh::PortGuess::kFor, std::chrono::seconds(45),
                                                  std::chrono::hours(1)};

}  // namespace

// An IPv4 endpoint of the peer that is not merely claimed: where its datagrams come from, or where our server sees it.
// What a member says of itself could make all others send to a stranger.
std::optional<Endpoint> Peers::seen_endpoint_of(const Peer& peer) const {
  for (const Candidate& c : usable_candidates(peer)) {
    if (c.kind != Candidate::Kind::observed || !c.endpoint.ip.is_v4()) continue;
    if (std::ranges::find(peer.member.candidates, c) != peer.member.candidates.end()) return c.endpoint;
  }
  return peer.path.heard_at();
}

// Both ends have to do their part at one time: who begins says so, and is followed unless that was just done.
void Peers::consider_guessing(Peer& peer, Asked asked, Instant now) {
  if (peer.guess || peer.path.direct_answers() || !peer.current) return;
  const auto searching = peer.path.searching_for(now).value_or(Duration::zero());
  const bool follow = asked == Asked::by_the_peer;
  const auto role = mesh::PortGuess::role_of(own_nat_.mapping, peer.nat, follow || searching > kInVain);
  if (role == mesh::PortGuess::Role::none) return;
  if (!follow && searching < kGuessAfter) return;
  if (peer.guessed > 0) {
    const auto& pauses = follow ? kFollowPause : kGuessPause;
    const auto before = std::min(static_cast<std::size_t>(peer.guessed), pauses.size());
    if (now - peer.guessed_at < pauses[before - 1]) return;
  }
  const auto endpoint = seen_endpoint_of(peer);
  if (!endpoint || std::ranges::any_of(live_, [](const auto& entry) { return entry.second->guess.has_value(); }))
    return;
  // Both are behind one router, which does not let them meet: no port will.
  const auto same_router = [&](const Candidate& c) {
    return c.kind == Candidate::Kind::observed && c.endpoint.ip == endpoint->ip;
  };
  if (std::ranges::any_of(own_candidates_, same_router)) return;
  if (!guess_budget_.allows(role, endpoint->ip, now)) return;
  // The other end opens its sockets when it has heard of the burst: what arrives before hits nothing.
  const bool wait = !follow && role != mesh::PortGuess::Role::many;
  const Duration delay = wait ? peer.path.round_trip().value_or(Duration::zero()) * 3 / 4 : Duration::zero();
  peer.guess.emplace(role, endpoint->port, rng_, now + delay);
  peer.guessed_at = now;
  ++peer.guessed;
  // More than once, against loss.
  const mesh::CallMessage message{false, true, own_nat_.mapping, own_candidates_};
  for (int i = 0; !follow && i < 4; ++i) send_control(peer, message, now);
  for (std::size_t i = 0; peer.guess->needs_sockets() && i < mesh::PortGuess::kSockets; ++i) {
    const auto side = out_.open_side();
    if (!side) break;
    peer.sides.push_back(side->socket);
  }
  guess_budget_.charge(endpoint->ip, peer.sides.size(), 0, now);
  peer.path.note("a NAT maps each destination anew: sending from " + std::to_string(peer.sides.size() + 1) +
                     " sockets, " + (role == mesh::PortGuess::Role::many ? "to " : "guessing ports of ") +
                     to_string(role == mesh::PortGuess::Role::many ? *endpoint : Endpoint{endpoint->ip, 0}),
                 now);
}

void Peers::run_guess(Peer& peer, Instant now) {
  if (!peer.guess) return;
  const auto endpoint = seen_endpoint_of(peer);
  if (peer.path.direct_answers()) {
    peer.guess.reset();
    peer.guessed = 0;
    return close_sides(peer, now);
  }
  if (peer.guess->over(now) || !peer.current || !endpoint) {
    peer.path.note("no port was hit", now);
    peer.guess.reset();
    return close_sides(peer, now);
  }
  const mesh::PingMessage ping{peer.guess->id()};
  const auto ports = peer.guess->take_ports(now);
  if (!ports.empty()) guess_budget_.charge(endpoint->ip, ports.size(), ports.size(), now);
  for (const std::uint16_t port : ports) {
    send_control(peer, ping, Way::straight({endpoint->ip, port}, server_.socket), now);
  }
  if (peer.guess->take_send(now)) {
    for (const ports::SocketId side : peer.sides) send_control(peer, ping, Way::straight(*endpoint, side), now);
  }
}

// All that neither end uses any more.
void Peers::close_sides(Peer& peer, Instant now) {
  std::erase_if(peer.sides, [&](ports::SocketId side) {
    if (peer.current && peer.path.needs_socket(side, now)) return false;
    peer.path.forget_socket(side);
    out_.close_side(side);
    return true;
  });
}

// Sockets that the server has known this node by before, once no path uses them.
void Peers::close_left_sides(Instant now) {
  std::erase_if(left_sides_, [&](ports::SocketId side) {
    const auto needs = [&](const auto& entry) {
      return entry.second->current && entry.second->path.needs_socket(side, now);
    };
    if (std::ranges::any_of(live_, needs)) return false;
    for (auto& [id, peer] : peers_) peer.path.forget_socket(side);
    out_.close_side(side);
    return true;
  });
}

}  // namespace eps::node
