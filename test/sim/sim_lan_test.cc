// SPDX-License-Identifier: MIT

// A LAN of many: what idle members send, what one broadcast costs, and that everybody receives it.

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "sim/world.h"

namespace eps::sim {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

class Lan : public testing::TestWithParam<int> {
 protected:
  Lan() : members(GetParam()), world(options(members)) {}
  static WorldOptions options(int members) {
    WorldOptions o;
    o.clients = members;
    o.network = *parse_ip4_network("10.43.0.0/16");
    return o;
  }
  void start_all() {
    for (int c = 0; c < members; ++c) world.start_client(c);
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, minutes(5)));
    world.run_for(seconds(10));
  }
  std::uint64_t sent() {
    std::uint64_t out = 0;
    for (int c = 0; c < members; ++c) out += world.network().datagrams_sent_by(world.host(c));
    return out;
  }
  // In the next minutes, all together.
  std::uint64_t sent_within(minutes time) {
    const std::uint64_t before = sent();
    world.run_for(time);
    return sent() - before;
  }
  void figure(const std::string& name, double value) {
    RecordProperty(name, std::to_string(value));
    printf("[ figure   ] %d members: %s %.1f\n", members, name.c_str(), value);
  }
  int members;
  World world;
};

TEST_P(Lan, IsQuietAndHearsOneBroadcast) {
  start_all();
  const double idle = static_cast<double>(sent_within(minutes(1)));
  figure("datagrams a minute of an idle member", idle / members);
  EXPECT_LE(idle / members, 24);
  const std::uint64_t frame = world.send_frame(0, -1);
  const double cost = static_cast<double>(sent_within(minutes(2))) - 2 * idle;
  figure("datagrams that one broadcast caused, for each other member", cost / (members - 1));
  int heard = 0;
  for (int c = 1; c < members; ++c) heard += world.delivered(frame, c) ? 1 : 0;
  EXPECT_EQ(heard, members - 1);
  // In a large network most sessions begin through the relay: what the peer can be reached at is asked for first.
  EXPECT_LE(cost / (members - 1), members <= 100 ? 22 : 60);
}

// More via the environment: EPS_SIM_MEMBERS=1000.
std::vector<int> sizes() {
  std::vector<int> out = {10, 100};
  if (const char* more = std::getenv("EPS_SIM_MEMBERS")) out.push_back(std::atoi(more));
  return out;
}
INSTANTIATE_TEST_SUITE_P(Members, Lan, testing::ValuesIn(sizes()));

}  // namespace
}  // namespace eps::sim
