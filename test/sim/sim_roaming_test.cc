// SPDX-License-Identifier: MIT

// Changes while two clients talk: addresses, NATs, sleep, silence, cuts. Each test runs many seeds (sim/seeds.h) and
// evaluates the longest interruptions of all; a failure names the seeds of the worst.

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "sim/conversation.h"
#include "sim/seeds.h"
#include "sim/world.h"

namespace eps::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr auto kIndependent = Dependence::endpoint_independent;
constexpr auto kPort = Dependence::address_and_port_dependent;

const NatBehaviour kEasy{.mapping = kIndependent, .filtering = kPort, .ports = PortAllocation::random};
const NatBehaviour kHard{.mapping = kPort, .filtering = kPort, .ports = PortAllocation::random};
const NatBehaviour kLinux{
    .mapping = kPort, .filtering = kPort, .ports = PortAllocation::preserving, .inbound_refreshes = true};

// A limit for tests that take minutes.
std::vector<std::uint64_t> few_seeds(std::size_t most) {
  std::vector<std::uint64_t> out = seeds();
  if (out.size() > most) out.resize(most);
  return out;
}

// Interruptions, one per seed.
class Interruptions {
 public:
  void add(std::uint64_t seed, Duration time) { times_.emplace_back(time, seed); }
  // All but one in a hundred are shorter.
  void expect_shorter(Duration limit) {
    ASSERT_FALSE(times_.empty());
    std::sort(times_.begin(), times_.end());
    const auto& [time, seed] = times_[(times_.size() * 99 + 99) / 100 - 1];
    EXPECT_LT(in_seconds(time), in_seconds(limit))
        << "seed " << seed << "; the longest " << in_seconds(times_.back().first) << " s, seed "
        << times_.back().second;
    std::printf("    interruptions: median %.2f s, 99 %% %.2f s, longest %.2f s (seed %lu)\n",
                in_seconds(times_[times_.size() / 2].first), in_seconds(time), in_seconds(times_.back().first),
                static_cast<unsigned long>(times_.back().second));
  }

 private:
  std::vector<std::pair<Duration, std::uint64_t>> times_;
};

// Two clients that talk directly, with frames every 20 ms; then `change` happens, and the longest gap of the next ten
// seconds is measured.
void interrupt(const std::function<void(World&)>& build, const std::function<void(World&)>& change, Duration limit,
               bool direct_again = true, Duration lasts = Duration{}) {
  Interruptions all;
  for (const std::uint64_t seed : seeds()) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    WorldOptions o;
    o.seed = seed;
    World world(o);
    world.network().weather = {milliseconds(10 + seed % 40), milliseconds(5), 0.002, 0};
    build(world);
    for (int c = 0; c < 2; ++c) world.start_client(c);
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
    Conversation talk(world, 0, 1);
    ASSERT_TRUE(talk.run_until([&] { return talk.talked(); }, seconds(10)));
    if (direct_again) {
      ASSERT_TRUE(talk.run_until([&] { return talk.direct(); }, seconds(20)));
    }
    talk.run(milliseconds(5000 + seed * 37 % 1000));
    change(world);
    talk.run(lasts);
    talk.forget_gap();
    talk.run(seconds(10));
    all.add(seed, talk.longest_gap());
    if (direct_again) {
      EXPECT_TRUE(talk.run_until([&] { return talk.direct(); }, seconds(30)));
    }
  }
  all.expect_shorter(limit);
}

void put_behind(World& world, int c, const NatBehaviour& nat) {
  world.place(c, world.network().add_realm(kInternet, nat));
}

TEST(Roaming, AnotherAddressInTheSameLan) {
  interrupt(
      [](World& w) {
        put_behind(w, 0, kEasy);
        put_behind(w, 1, kEasy);
      },
      [](World& w) { w.place(0, w.network().realm(w.host(0))); }, seconds(1));
}

TEST(Roaming, FromHomeToHome) {
  interrupt(
      [](World& w) {
        put_behind(w, 0, kEasy);
        put_behind(w, 1, kLinux);
      },
      [](World& w) { put_behind(w, 0, kLinux); }, seconds(1));
}

// Only the control connection exists, and it is dead without any notification.
TEST(Roaming, FromHomeToHomeWithoutUdp) {
  interrupt(
      [](World& w) {
        put_behind(w, 0, kEasy);
        put_behind(w, 1, kEasy);
        w.network().block_udp(w.host(0), true);
      },
      [](World& w) { put_behind(w, 0, kLinux); }, seconds(2), false);
}
TEST(Roaming, ANatThatForgetsAClientWithoutUdp) {
  interrupt(
      [](World& w) {
        put_behind(w, 0, kEasy);
        put_behind(w, 1, kEasy);
        w.network().block_udp(w.host(0), true);
      },
      [](World& w) { w.network().nat(w.network().realm(w.host(0))).rebind(); }, seconds(3), false);
}

// A router forgets the control connection alone, and nothing shows it to a client that has its peers: what the server
// sends does not arrive. A handshake of a member that it does not know yet does.
TEST(Roaming, ANewMemberIsHeardOfAlthoughTheControlConnectionDiedInSilence) {
  Interruptions all;
  for (const std::uint64_t seed : few_seeds(50)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    WorldOptions o;
    o.seed = seed;
    o.clients = 3;
    World world(o);
    for (int c = 0; c < 3; ++c) put_behind(world, c, kEasy);
    for (int c = 0; c < 2; ++c) world.start_client(c);
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
    Conversation talk(world, 0, 1);
    ASSERT_TRUE(talk.run_until([&] { return talk.direct(); }, seconds(20)));
    talk.run(milliseconds(2000 + seed * 37 % 1000));
    world.network().forget_streams(world.host(0));
    world.start_client(2);
    const auto joined = [&] { return world.client(2).status(world.clock().now()).connected; };
    ASSERT_TRUE(world.run_until(joined, seconds(10)));
    const Instant began = world.clock().now();
    std::vector<std::uint64_t> sent;
    const auto arrived = [&](std::uint64_t frame) { return world.delivered(frame, 0); };
    while (world.clock().now() - began < seconds(10) && std::ranges::none_of(sent, arrived)) {
      sent.push_back(world.send_frame(2, 0));
      talk.run(milliseconds(50));
    }
    all.add(seed, world.clock().now() - began);
  }
  all.expect_shorter(seconds(3));
}

TEST(Roaming, FromOneLanToBehindAHardNat) {
  interrupt(
      [](World& w) {
        put_behind(w, 0, kEasy);
        w.place(1, w.network().realm(w.host(0)));
      },
      [](World& w) { put_behind(w, 0, kEasy); }, seconds(1));
}

TEST(Roaming, ToAHardNatAgainstAHardOne) {
  interrupt(
      [](World& w) {
        put_behind(w, 0, kHard);
        put_behind(w, 1, kHard);
      },
      [](World& w) { put_behind(w, 0, kHard); }, seconds(1), false);
}

TEST(Roaming, BothAtOnce) {
  interrupt(
      [](World& w) {
        put_behind(w, 0, kEasy);
        put_behind(w, 1, kEasy);
      },
      [](World& w) {
        put_behind(w, 0, kEasy);
        put_behind(w, 1, kLinux);
      },
      seconds(2));
}

TEST(Roaming, FromIPv4ToIPv6) {
  interrupt(
      [](World& w) {
        put_behind(w, 0, kEasy);
        w.place(1, w.network().add_realm(kInternet, kEasy, NatBehaviour{.filtering = kPort}), World::Families::both);
      },
      [](World& w) {
        w.place(0, w.network().add_realm(kInternet, std::nullopt, NatBehaviour{.filtering = kPort}),
                World::Families::v6);
      },
      seconds(1));
}

// The machine notices nothing but silence, which has to last a while to count as such.
TEST(Roaming, ANatThatForgets) {
  interrupt(
      [](World& w) {
        put_behind(w, 0, kEasy);
        put_behind(w, 1, kEasy);
      },
      [](World& w) { w.network().nat(w.network().realm(w.host(0))).rebind(); }, seconds(2));
}

// A middlebox ends each UDP flow after a minute, for good. Another local socket makes a new flow.
TEST(Roaming, AMiddleboxThatEndsEachFlowAfterAMinute) {
  for (const std::uint64_t seed : few_seeds(10)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    WorldOptions o;
    o.seed = seed;
    World world(o);
    put_behind(world, 0, kEasy);
    if (seed % 2 == 0) put_behind(world, 1, kLinux);
    std::map<std::pair<Endpoint, Endpoint>, Instant> flows;
    world.network().drops = [&](const Endpoint& from, const Endpoint& to) {
      if (to.ip == world.address(kServer) || from.ip == world.address(kServer)) return false;
      const Instant now = world.clock().now();
      return now - flows.try_emplace(std::minmax(from, to), now).first->second > minutes(1);
    };
    for (int c = 0; c < 2; ++c) world.start_client(c);
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
    Conversation talk(world, 0, 1);
    ASSERT_TRUE(talk.run_until([&] { return talk.direct(); }, seconds(10)));
    int relayed = 0;
    for (int second = 0; second < 200; ++second) {
      talk.run(seconds(1));
      relayed += talk.direct() ? 0 : 1;
    }
    EXPECT_LT(relayed, 70);
    EXPECT_LT(in_seconds(talk.longest_gap()), 2.5);
  }
}

// The direct way becomes lossy while a relay is not: it is left, and used again once it recovers.
TEST(Roaming, AWayThatBecomesLossyIsLeft) {
  for (const std::uint64_t seed : few_seeds(30)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    WorldOptions o;
    o.seed = seed;
    World world(o);
    world.network().weather = {milliseconds(5 + seed % 20), milliseconds(2), 0, 0};
    for (int c = 0; c < 2; ++c) put_behind(world, c, kEasy);
    for (int c = 0; c < 2; ++c) world.start_client(c);
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
    Conversation talk(world, 0, 1);
    ASSERT_TRUE(talk.run_until([&] { return talk.direct(); }, seconds(10)));
    talk.run(seconds(10));
    const std::uint64_t percent = 20 + seed * 7 % 31;
    bool lossy = true;
    world.network().drops = [&](const Endpoint& from, const Endpoint& to) {
      const bool direct = to.ip != world.address(kServer) && from.ip != world.address(kServer);
      return lossy && direct && world.rng().below(100) < percent;
    };
    const auto both_relayed = [&] {
      return world.path(0, 1) == PathKind::relayed && world.path(1, 0) == PathKind::relayed;
    };
    ASSERT_TRUE(talk.run_until(both_relayed, seconds(15))) << percent << " %";
    int returns = 0;
    for (int second = 0; second < 30; ++second) {
      talk.run(seconds(1));
      returns += both_relayed() ? 0 : 1;
    }
    EXPECT_LE(returns, 3) << percent << " %: it stays left";
    lossy = false;
    EXPECT_TRUE(talk.run_until([&] { return talk.direct(); }, minutes(6)));
  }
}

TEST(Roaming, AHardNatThatForgetsUnderARelay) {
  interrupt(
      [](World& w) {
        put_behind(w, 0, kHard);
        put_behind(w, 1, kHard);
      },
      [](World& w) { w.network().nat(w.network().realm(w.host(0))).rebind(); }, seconds(4), false);
}

TEST(Roaming, AMachineThatSleptForAMinute) {
  interrupt(
      [](World& w) {
        put_behind(w, 0, kEasy);
        put_behind(w, 1, kEasy);
      },
      [](World& w) { w.sleep(0, minutes(1)); }, seconds(1), true, minutes(1));
}

TEST(Roaming, AMachineThatSleptForAnHour) {
  interrupt(
      [](World& w) {
        put_behind(w, 0, kEasy);
        put_behind(w, 1, kEasy);
      },
      [](World& w) { w.sleep(0, minutes(60)); }, seconds(1), true, minutes(60));
}

TEST(Roaming, AMachineThatWokeElsewhere) {
  interrupt(
      [](World& w) {
        put_behind(w, 0, kEasy);
        put_behind(w, 1, kEasy);
      },
      [](World& w) {
        w.sleep(0, minutes(10));
        w.clock().in(minutes(10), [&w] { put_behind(w, 0, kEasy); });
      },
      seconds(1), true, minutes(10));
}

// --- silence -------------------------------------------------------------------------------------------------------

// Mappings time out after 30 s. A frame after a silence arrives at once, however long the silence was.
TEST(Silence, IsBrokenAtOnce) {
  for (const std::uint64_t seed : seeds()) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    WorldOptions o;
    o.seed = seed;
    World world(o);
    put_behind(world, 0, seed % 2 == 0 ? kEasy : kLinux);
    put_behind(world, 1, seed % 3 == 0 ? kHard : kEasy);
    for (int c = 0; c < 2; ++c) world.start_client(c);
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
    ASSERT_TRUE(world.everybody_talks(seconds(5)));
    for (const int silence : {25, 35, 100, 125, 130, 140, 160, 600, 3600}) {
      world.run_for(seconds(silence));
      const std::uint64_t frame = world.send_frame(0, 1);
      EXPECT_TRUE(world.run_until([&] { return world.delivered(frame, 1); }, milliseconds(500)))
          << "after " << silence << " s";
      const std::uint64_t answer = world.send_frame(1, 0);
      EXPECT_TRUE(world.run_until([&] { return world.delivered(answer, 0); }, milliseconds(500)));
    }
  }
}

// An occasional frame keeps a direct path direct, through NATs that forget after 30 s.
TEST(Silence, BetweenRareFramesLosesNone) {
  for (const std::uint64_t seed : seeds()) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    WorldOptions o;
    o.seed = seed;
    World world(o);
    for (int c = 0; c < 2; ++c) put_behind(world, c, kEasy);
    for (int c = 0; c < 2; ++c) world.start_client(c);
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
    Conversation talk(world, 0, 1);
    ASSERT_TRUE(talk.run_until([&] { return talk.direct(); }, seconds(5)));
    for (int i = 0; i < 40; ++i) {
      const std::uint64_t frame = world.send_frame(i % 2, 1 - i % 2);
      world.run_for(seconds(5 + static_cast<int>(world.rng().below(30))));
      EXPECT_TRUE(world.delivered(frame, 1 - i % 2)) << i;
    }
  }
}

// The direct path is lost during silence. Queries and their answers use the relay within two seconds of the first
// query, however long the silence was.
TEST(Silence, InWhichThePathIsLost) {
  for (const std::uint64_t seed : seeds()) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    for (const int silence : {0, 1, 4, 20}) {
      WorldOptions o;
      o.seed = seed;
      World world(o);
      for (int c = 0; c < 2; ++c) world.start_client(c);
      ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
      ASSERT_TRUE(world.everybody_talks(seconds(5)));
      ASSERT_TRUE(world.run_until([&] { return world.all_direct(); }, seconds(5)));
      world.run_for(seconds(silence));
      world.block_udp(0, 1, true);
      const Instant cut = world.clock().now();
      std::size_t questions = 0;
      std::set<std::uint64_t> answers;
      bool answered = false;
      world.on_delivered = [&](int from, int, std::uint64_t number) {
        questions += from == 0 ? 1 : 0;
        answered |= from == 1 && answers.contains(number);
      };
      while (!answered && world.clock().now() - cut < seconds(5)) {
        world.send_frame(0, 1);
        for (; questions > 0; --questions) answers.insert(world.send_frame(1, 0));
        world.run_for(milliseconds(20));
      }
      EXPECT_LT(in_seconds(world.clock().now() - cut), 2) << "after " << silence << " s";
    }
  }
}

// --- cuts ----------------------------------------------------------------------------------------------------------

// Five clients and the server; two clients are cut off from all others. Inside both parts everybody keeps talking, even
// in the one without a server, and after the cut everybody talks to everybody.
TEST(Partition, PartsContinueAndReunite) {
  for (const std::uint64_t seed : seeds()) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    WorldOptions o;
    o.seed = seed;
    o.clients = 5;
    World world(o);
    for (int c = 0; c < 5; ++c) {
      if (c != 2) put_behind(world, c, c % 2 == 0 ? kEasy : kLinux);
    }
    for (int c = 0; c < 5; ++c) world.start_client(c);
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(20)));
    ASSERT_TRUE(world.everybody_talks(seconds(5)));
    ASSERT_TRUE(world.run_until([&] { return world.all_direct(); }, seconds(5)));
    const auto cut = [&](bool on) {
      for (const int lost : {0, 1}) {
        for (const int other : {kServer, 2, 3, 4}) world.partition(lost, other, on);
      }
    };
    cut(true);
    // Long enough for a session to be replaced.
    const std::pair<int, int> inside[] = {{0, 1}, {2, 3}, {3, 4}, {4, 2}};
    for (int second = 0; second < 300; ++second) {
      for (const auto& [a, b] : inside) {
        const std::uint64_t frame = world.send_frame(a, b);
        world.run_for(milliseconds(250));
        ASSERT_TRUE(world.delivered(frame, b)) << "c" << a << " to c" << b << " after " << second << " s";
      }
    }
    cut(false);
    EXPECT_TRUE(world.run_until([&] { return world.all_admitted(); }, seconds(30)));
    EXPECT_TRUE(world.everybody_talks(seconds(10)));
    EXPECT_TRUE(world.run_until([&] { return world.all_direct(); }, seconds(20)));
  }
}

}  // namespace
}  // namespace eps::sim
