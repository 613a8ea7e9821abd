// SPDX-License-Identifier: MIT
#include "report/statistics.h"

#include <array>

#include "report/text.h"

namespace eps::report {
namespace {

constexpr std::array<const char*, 7> kPrefixes = {"", "K", "M", "G", "T", "P", "E"};

// "3.81 M"; `least`: the smallest prefix that is used.
std::string scaled(double value, std::size_t least) {
  std::size_t prefix = 0;
  // From here on two decimals would show 1000.00.
  while (prefix < least || (value >= 999.995 && prefix + 1 < kPrefixes.size())) {
    value /= 1000;
    ++prefix;
  }
  constexpr double kHalfGoesUp = 1 + 1e-12;  // 0.615 is 0.61499… in binary
  return decimals(value * kHalfGoesUp, 2) + " " + kPrefixes[prefix];
}

std::string rate(std::uint64_t bytes, double seconds) {
  const double per_second = static_cast<double>(bytes) / seconds;
  return scaled(per_second, 0) + "Bps (" + scaled(per_second * 8, 0) + "bps)";
}

std::string lines(std::uint64_t packets, std::uint64_t bytes, const std::string& what) {
  std::string out;
  if (packets != 0) out += "\n" + std::to_string(packets) + " packets " + what;
  if (bytes != 0) {
    out += "\n" + std::to_string(bytes) + " bytes " + what + " (" + scaled(static_cast<double>(bytes), 1) + "Bytes)";
  }
  return out;
}

std::string block(const Totals& t) {
  std::string out = lines(t.traffic.packets_forwarded, t.traffic.bytes_forwarded, "forwarded") +
                    lines(t.traffic.packets_received, t.traffic.bytes_received, "received") +
                    lines(t.traffic.packets_sent, t.traffic.bytes_sent, "sent");
  if (t.connections_established != 0) {
    out += "\n" + std::to_string(t.connections_established) + " connections established";
  }
  return out;
}

}  // namespace

Totals operator-(const Totals& now, const Totals& before) {
  const TrafficTotals &a = now.traffic, &b = before.traffic;
  return {{a.packets_sent - b.packets_sent, a.bytes_sent - b.bytes_sent, a.packets_received - b.packets_received,
           a.bytes_received - b.bytes_received, a.packets_forwarded - b.packets_forwarded,
           a.bytes_forwarded - b.bytes_forwarded},
          now.connections_established - before.connections_established};
}

std::string rates_line(const Totals& passed, double seconds) {
  return "in: " + rate(passed.traffic.bytes_received, seconds) + ", out: " + rate(passed.traffic.bytes_sent, seconds) +
         ", fwd: " + rate(passed.traffic.bytes_forwarded, seconds);
}

std::string statistics_text(const Totals& passed, const Totals& total, std::chrono::seconds interval) {
  return "EPS statistics:\n" + std::to_string(interval.count()) + "-second stats:" + block(passed) +
         "\ntotal stats:" + block(total);
}

}  // namespace eps::report
