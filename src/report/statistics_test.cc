// SPDX-License-Identifier: MIT
#include "report/statistics.h"

#include <gtest/gtest.h>

namespace eps::report {
namespace {

// The figures of the manual's sample.
TEST(Statistics, AreInTheManualsForm) {
  const Totals before{{12, 615, 1420983, 1207668279, 1421037, 1207676542}, 3};
  const Totals total{{12, 615, 1690102, 1436426256, 1690156, 1436434521}, 3};
  const Totals passed = total - before;
  EXPECT_EQ(rates_line(passed, 60),
            "in: 3.81 MBps (30.50 Mbps), out: 0.00 Bps (0.00 bps), fwd: 3.81 MBps (30.50 Mbps)");
  EXPECT_EQ(statistics_text(passed, total, std::chrono::seconds(60)),
            "EPS statistics:\n"
            "60-second stats:\n"
            "269119 packets forwarded\n"
            "228757979 bytes forwarded (228.76 MBytes)\n"
            "269119 packets received\n"
            "228757977 bytes received (228.76 MBytes)\n"
            "total stats:\n"
            "1690156 packets forwarded\n"
            "1436434521 bytes forwarded (1.44 GBytes)\n"
            "1690102 packets received\n"
            "1436426256 bytes received (1.44 GBytes)\n"
            "12 packets sent\n"
            "615 bytes sent (0.62 KBytes)\n"
            "3 connections established");
}

TEST(Statistics, OfNothing) {
  EXPECT_EQ(statistics_text({}, {}, std::chrono::seconds(2)), "EPS statistics:\n2-second stats:\ntotal stats:");
  EXPECT_EQ(rates_line({}, 2), "in: 0.00 Bps (0.00 bps), out: 0.00 Bps (0.00 bps), fwd: 0.00 Bps (0.00 bps)");
}

TEST(Statistics, ScaleWithSiPrefixes) {
  const auto out_of = [](std::uint64_t bytes) { return rates_line({{0, bytes, 0, 0, 0, 0}, 0}, 1); };
  EXPECT_NE(out_of(999).find("out: 999.00 Bps (7.99 Kbps)"), std::string::npos) << out_of(999);
  EXPECT_NE(out_of(1000).find("out: 1.00 KBps (8.00 Kbps)"), std::string::npos);
  EXPECT_NE(out_of(999'995).find("out: 1.00 MBps"), std::string::npos);
  EXPECT_NE(out_of(1'250'000'000).find("out: 1.25 GBps (10.00 Gbps)"), std::string::npos);
  const auto sent = [](std::uint64_t bytes) {
    return statistics_text({}, {{1, bytes, 0, 0, 0, 0}, 0}, std::chrono::seconds(60));
  };
  EXPECT_NE(sent(1).find("1 bytes sent (0.00 KBytes)"), std::string::npos);
  EXPECT_NE(sent(999'999).find("(1.00 MBytes)"), std::string::npos);
}

}  // namespace
}  // namespace eps::report
