#include "model/counters.h"

namespace eps {

const char* name_of(Drop drop) {
  switch (drop) {
    case Drop::none:
      return "none";
    case Drop::malformed:
      return "malformed";
    case Drop::unknown_session:
      return "unknown_session";
    case Drop::bad_tag:
      return "bad_tag";
    case Drop::replayed:
      return "replayed";
    case Drop::expired:
      return "expired";
    case Drop::spoofed_source:
      return "spoofed_source";
    case Drop::wrong_destination:
      return "wrong_destination";
    case Drop::no_peer:
      return "no_peer";
    case Drop::not_ready:
      return "not_ready";
    case Drop::congested:
      return "congested";
    case Drop::overrun:
      return "overrun";
    case Drop::unauthorised:
      return "unauthorised";
    case Drop::rate_limited:
      return "rate_limited";
    case Drop::oversized:
      return "oversized";
    case Drop::looped:
      return "looped";
    case Drop::incomplete:
      return "incomplete";
    case Drop::kCount:
      break;
  }
  return "unknown";
}

TrafficTotals totals_of(const Counters& c) {
  return {c.packets_sent, c.bytes_sent, c.packets_received, c.bytes_received, c.packets_forwarded, c.bytes_forwarded};
}

std::map<std::string, std::uint64_t> nonzero_drops(const Counters& counters) {
  std::map<std::string, std::uint64_t> out;
  for (std::size_t i = 0; i < counters.drops.size(); ++i) {
    const std::uint64_t n = counters.drops[i].load(std::memory_order_relaxed);
    if (n > 0) out.emplace(name_of(static_cast<Drop>(i)), n);
  }
  return out;
}

}  // namespace eps
