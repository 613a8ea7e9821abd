// SPDX-License-Identifier: MIT
#include "mesh/port_guess.h"

#include <algorithm>
#include <bitset>

namespace eps::mesh {

PortGuess::Role PortGuess::role_of(NatMapping own, NatMapping peer, bool in_vain) {
  const auto hard = [](NatMapping m) { return m == NatMapping::per_destination; };
  const bool unknown = own == NatMapping::unknown || peer == NatMapping::unknown;
  if (unknown || (hard(own) && hard(peer))) return Role::none;
  if (hard(own)) return Role::many;
  if (hard(peer)) return Role::guess;
  const bool easy = own == NatMapping::independent && peer == NatMapping::independent;
  return in_vain && easy ? Role::both : Role::none;
}

std::size_t PortGuess::guesses_of(Role role) {
  switch (role) {
    case Role::guess:
      return kMaxGuesses;
    case Role::both:
      return kMaxGuessesOfBoth;
    case Role::none:
    case Role::many:
      break;
  }
  return 0;
}

std::size_t PortGuess::entries_of(Role role) {
  const std::size_t sockets = role == Role::many || role == Role::both ? kSockets : 0;
  return guesses_of(role) + sockets;
}

PortGuess::PortGuess(Role role, std::uint16_t near, Rng& rng, Instant now)
    : role_(role), id_(rng.u64() | 1), ends_(now + kFor) {
  if (role != Role::many) next_guess_ = now;
  if (role != Role::guess) next_send_ = now;
  draw_ports(near, rng);
}

// Many NATs count upwards, so the next mappings lie just above the one that the server saw. The others are independent
// of each other: a NAT that preserves ports has mapped the sockets to a few dense ranges, which a regular pattern would
// hit often or never.
void PortGuess::draw_ports(std::uint16_t near, Rng& rng) {
  std::bitset<65536> drawn;
  while (ports_.size() < guesses_of(role_)) {
    const std::size_t i = ports_.size();
    const auto port = i < kNear ? static_cast<std::uint16_t>(kFirstPort + (near + 1 + i + kPorts - kFirstPort) % kPorts)
                                : static_cast<std::uint16_t>(kFirstPort + rng.below(kPorts));
    if (drawn.test(port)) continue;
    drawn.set(port);
    ports_.push_back(port);
  }
}

std::vector<std::uint16_t> PortGuess::take_ports(Instant now) {
  std::vector<std::uint16_t> out;
  if (now < next_guess_) return out;
  for (std::size_t n = 0; n < kPerStep && guesses_ < ports_.size(); ++n) out.push_back(ports_[guesses_++]);
  next_guess_ = guesses_ < ports_.size() ? now + kStep : kNever;
  return out;
}

bool PortGuess::take_send(Instant now) {
  if (now < next_send_) return false;
  next_send_ = ++sends_ < 2 ? now + kAgain : kNever;
  return true;
}

void GuessBudget::forget_old(Instant now) {
  while (!charges_.empty() && now - charges_.front().when >= kWindow) charges_.pop_front();
}

std::size_t GuessBudget::entries(Instant now, Duration lately) {
  forget_old(now);
  std::size_t sum = 0;
  for (const Charge& c : charges_) sum += now - c.when < lately ? c.entries : 0;
  return sum;
}

bool GuessBudget::allows(PortGuess::Role role, const IpAddress& at, Instant now) {
  const std::size_t more = PortGuess::entries_of(role);
  if (entries(now) + more > kEntriesAnHour || charges_.size() >= kMaxRemembered) return false;
  if (entries(now, kEntryLives) + more > kEntriesAtOnce) return false;
  if (role == PortGuess::Role::many) return true;
  std::size_t guesses = 0;
  for (const Charge& c : charges_) guesses += c.at == at ? c.guesses : 0;
  return guesses + PortGuess::guesses_of(role) <= kGuessesAnAddress;
}

void GuessBudget::charge(const IpAddress& at, std::size_t entries, std::size_t guesses, Instant now) {
  // The steps of one burst are one charge.
  if (charges_.empty() || charges_.back().at != at || now - charges_.back().when >= 2 * PortGuess::kFor) {
    charges_.push_back({now, at, 0, 0});
  }
  charges_.back().entries += entries;
  charges_.back().guesses += guesses;
}

}  // namespace eps::mesh
