#include "mesh/port_guess.h"

#include <algorithm>
#include <numeric>

namespace eps::mesh {

PortGuess::Role PortGuess::role_of(NatMapping own, NatMapping peer, bool in_vain) {
  const auto hard = [](NatMapping m) { return m == NatMapping::per_destination; };
  const bool unknown = own == NatMapping::unknown || peer == NatMapping::unknown;
  if (unknown || (hard(own) && hard(peer))) return Role::none;
  if (hard(own)) return Role::many;
  if (hard(peer)) return Role::guess;
  const bool any_nat = own == NatMapping::independent || peer == NatMapping::independent;
  return in_vain && any_nat ? Role::both : Role::none;
}

PortGuess::PortGuess(Role role, std::uint16_t near, Rng& rng, Instant now)
    : role_(role), near_(near), id_(rng.u64() | 1), ends_(now + kFor) {
  if (role != Role::many) next_guess_ = now;
  if (role != Role::guess) next_send_ = now;
  start_ = static_cast<std::uint32_t>(rng.below(kPorts));
  do {
    stride_ = static_cast<std::uint32_t>(1 + rng.below(kPorts - 1));
  } while (std::gcd(stride_, kPorts) != 1);
}

std::uint16_t PortGuess::port(std::size_t i) const {
  // Many NATs count upwards, so the next mappings lie just above the one that the server saw.
  if (i < kNear) return static_cast<std::uint16_t>(std::max<std::uint32_t>(kFirstPort, (near_ + 1 + i) & 0xffff));
  return static_cast<std::uint16_t>(kFirstPort + (start_ + std::uint64_t{stride_} * i) % kPorts);
}

std::vector<std::uint16_t> PortGuess::take_ports(Instant now) {
  std::vector<std::uint16_t> out;
  if (now < next_guess_) return out;
  for (std::size_t n = 0; n < kPerStep && guesses_ < kMaxGuesses; ++n) out.push_back(port(guesses_++));
  next_guess_ = guesses_ < kMaxGuesses ? now + kStep : kNever;
  return out;
}

bool PortGuess::take_send(Instant now) {
  if (now < next_send_) return false;
  next_send_ = ++sends_ < 2 ? now + kAgain : kNever;
  return true;
}

}  // namespace eps::mesh
