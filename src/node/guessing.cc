// SPDX-License-Identifier: MIT
#include "node/guessing.h"

#include <algorithm>
#include <array>
#include <string>

namespace eps::node {
namespace {

// Plain probes come first: against an open filter they suffice.
constexpr Duration kGuessAfter = std::chrono::milliseconds(300);
constexpr Duration kInVain = std::chrono::milliseconds(800);
// From the start of one burst at a peer to that of the next: the second follows as soon as the first is over, because
// bad luck or a lost call is the most likely reason for its failure; if it fails as well, the reason is another. A
// burst that the peer asked for may have started a little later than the peer's.
constexpr std::array<Duration, 3> kGuessPause = {std::chrono::seconds(8), std::chrono::seconds(60),
                                                 std::chrono::hours(1)};
constexpr std::array<Duration, 3> kFollowPause = {mesh::PortGuess::kFor, std::chrono::seconds(45),
                                                  std::chrono::hours(1)};

}  // namespace

bool Guessing::paused(const Record& record, bool follow, Instant now) {
  if (record.in_vain_ == 0) return false;
  const auto& pauses = follow ? kFollowPause : kGuessPause;
  const auto before = std::min(static_cast<std::size_t>(record.in_vain_), pauses.size());
  return now - record.began_ < pauses[before - 1];
}

bool Guessing::consider(const Target& target, NatMapping own_nat, const std::vector<Candidate>& own, Asked asked,
                        Instant now) {
  using Role = mesh::PortGuess::Role;
  mesh::PathFinder& path = target.path;
  if (burst_ || path.direct_answers() || !target.session || !target.at) return false;
  const auto searching = path.searching_for(now).value_or(Duration::zero());
  const bool follow = asked == Asked::by_the_peer;
  const Role role = mesh::PortGuess::role_of(own_nat, target.nat, follow || searching > kInVain);
  if (role == Role::none || (!follow && searching < kGuessAfter)) return false;
  if (paused(target.record, follow, now)) return false;
  // Both are behind one router, which does not let them connect: no port will do.
  const auto same_router = [&](const Candidate& c) {
    return c.kind == Candidate::Kind::observed && c.endpoint.ip == target.at->ip;
  };
  if (std::ranges::any_of(own, same_router) || !budget_.allows(role, target.at->ip, now)) return false;
  // The other end opens its sockets when it hears of the burst; what arrives earlier hits nothing.
  const bool wait = !follow && role != Role::many;
  const Duration delay = wait ? path.round_trip().value_or(Duration::zero()) * 3 / 4 : Duration::zero();
  burst_ = Burst{target.id, {role, target.at->port, rng_, now + delay}};
  target.record.began_ = now;
  ++target.record.in_vain_;
  auto& sides = target.record.sides_;
  for (std::size_t i = 0; burst_->guess.needs_sockets() && i < mesh::PortGuess::kSockets; ++i) {
    const auto side = out_.open_side();
    if (!side) break;
    sides.push_back(side->socket);
  }
  budget_.charge(target.at->ip, sides.size(), 0, now);
  path.note("a NAT makes a new mapping for each destination: sending from " + std::to_string(sides.size() + 1) +
                " sockets, " +
                (role == Role::many ? "to " + to_string(*target.at)
                                    : "guessing ports of " + to_string(Endpoint{target.at->ip, 0})),
            now);
  return true;
}

std::vector<mesh::Ping> Guessing::run(const Target& target, ports::SocketId socket, Instant now) {
  std::vector<mesh::Ping> out;
  if (!runs_for(target.id)) return out;
  mesh::PortGuess& guess = burst_->guess;
  if (target.path.direct_answers()) {
    target.record.in_vain_ = 0;
    stop(target, now);
    return out;
  }
  if (guess.over(now) || !target.session || !target.at) {
    target.path.note("no port was hit", now);
    stop(target, now);
    return out;
  }
  for (const std::uint16_t port : guess.take_ports(now)) {
    out.push_back({Way::straight({target.at->ip, port}, socket), guess.id()});
  }
  if (!out.empty()) budget_.charge(target.at->ip, out.size(), out.size(), now);
  if (guess.take_send(now)) {
    for (const ports::SocketId side : target.record.sides_) {
      out.push_back({Way::straight(*target.at, side), guess.id()});
    }
  }
  return out;
}

void Guessing::stop(const Target& target, Instant now) {
  if (runs_for(target.id)) burst_.reset();
  tidy(target, now);
}

void Guessing::tidy(const Target& target, Instant now) {
  std::erase_if(target.record.sides_, [&](ports::SocketId side) {
    if (target.session && target.path.needs_socket(side, now)) return false;
    target.path.forget_socket(side);
    out_.close_side(side);
    return true;
  });
}

}  // namespace eps::node
