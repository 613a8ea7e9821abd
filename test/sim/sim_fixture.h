// SPDX-License-Identifier: MIT
#pragma once

// The start of tests of whole networks: a world for each seed, with all clients admitted.

#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <utility>

#include "sim/seeds.h"
#include "sim/world.h"

namespace eps::sim {

class Sim : public testing::TestWithParam<std::uint64_t> {
 protected:
  WorldOptions options(int clients, std::set<int> relays = {}) {
    WorldOptions o;
    o.seed = GetParam();
    o.clients = clients;
    o.relays = std::move(relays);
    return o;
  }
};

// All clients up and admitted.
inline void join(World& world, int clients) {
  for (int c = 0; c < clients; ++c) world.start_client(c);
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, std::chrono::seconds(20)));
}

}  // namespace eps::sim
