// SPDX-License-Identifier: MIT

// Many clients, and how much they send: no storms of probes, whatever they all do at once.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>

#include "mesh/anchors.h"
#include "mesh/port_guess.h"
#include "node/client_node.h"
#include "registry/merkle_tree.h"
#include "sim/world.h"

namespace eps::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr auto kIndependent = Dependence::endpoint_independent;
constexpr auto kPort = Dependence::address_and_port_dependent;

// Homes of one to three clients each, behind NATs of every common kind, some with IPv6; every fifth client is directly
// on the Internet.
void settle(World& world, int clients) {
  const NatBehaviour nats[] = {
      {.mapping = kIndependent, .filtering = kPort, .ports = PortAllocation::random},
      {.mapping = kPort, .filtering = kPort, .ports = PortAllocation::preserving, .inbound_refreshes = true},
      {.mapping = kIndependent, .filtering = kIndependent, .ports = PortAllocation::random},
      {.mapping = kPort, .filtering = kPort, .ports = PortAllocation::random},
  };
  Network& network = world.network();
  for (int c = 0, home = 0; c < clients; ++home) {
    if (home % 3 == 2) {
      ++c;
      continue;
    }
    const RealmId realm = network.add_realm(kInternet, nats[home % 4], NatBehaviour{.filtering = kPort});
    for (int i = 0; i <= home % 3 + 1 && c < clients; ++i, ++c) {
      world.place(c, realm, home % 2 == 0 ? World::Families::v4 : World::Families::both);
    }
  }
}

// What the clients have sent since the last call.
class Meter {
 public:
  struct Sent {
    std::uint64_t most = 0;
    std::uint64_t mean = 0;
    std::uint64_t clients = 0;
  };
  Meter(World& world, int clients) : world_(world), before_(static_cast<std::size_t>(clients)) { read(); }
  Sent read() {
    Sent out;
    for (std::size_t c = 0; c < before_.size(); ++c) {
      const std::uint64_t now = world_.network().datagrams_sent_by(world_.host(static_cast<int>(c)));
      out.most = std::max(out.most, now - before_[c]);
      out.mean += now - before_[c];
      before_[c] = now;
    }
    out.clients = before_.size();
    out.mean = (out.mean + out.clients - 1) / out.clients;
    return out;
  }

 private:
  World& world_;
  std::vector<std::uint64_t> before_;
};

// What a client may send within a minute:
//   24 without any traffic: the keepalive of its binding every 20 s in both families and up to 12 requests to the
//      server's second port, or its beginning
//   130 more for each peer with which it newly exchanges frames. An initiation leaves on up to 6 ways (at most 3
//   candidates of each family here, and the relay) up to 3 times, and is answered as often; then there are 7 rounds of
//   probes on those ways, the same number of answers to the peer's, and a call with each round in both directions: 36 +
std::uint64_t bound(std::uint64_t peers) {
  return 24 + 130 * peers;
}

// Guessing ports adds bursts (mesh/port_guess.h): one at a time, of 6 s each if they hit nothing, so at most ten a
// minute. That affects only a few clients; the mean of all stays within the bound with one of them.
constexpr std::uint64_t kBurst = 2 * mesh::PortGuess::kSockets + mesh::PortGuess::kMaxGuesses;

void expect_within(const Meter::Sent& sent, std::uint64_t peers, std::uint64_t frames = 0) {
  const std::uint64_t bursts = std::min<std::uint64_t>(peers, 10);
  EXPECT_LE(sent.mean, bound(peers) + frames + std::min<std::uint64_t>(bursts, 1) * kBurst / sent.clients);
  EXPECT_LE(sent.most, bound(peers) + frames + bursts * kBurst);
}

// A frame without an answer is followed by a ping or two, and the peer's pings by answers.
constexpr std::uint64_t kOneFrame = 5;

class Crowd : public testing::TestWithParam<int> {
 protected:
  Crowd() : clients(GetParam()), world(options(clients)), meter(world, clients) {
    world.network().weather = {milliseconds(20), milliseconds(20), 0.01, 0};
    settle(world, clients);
  }
  static WorldOptions options(int clients) {
    WorldOptions o;
    o.clients = clients;
    return o;
  }
  void start_all() {
    for (int c = 0; c < clients; ++c) world.start_client(c);
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, minutes(1)));
  }
  // What they send in the next minute.
  Meter::Sent minute() {
    meter.read();
    world.run_for(minutes(1));
    return meter.read();
  }
  int clients;
  World world;
  Meter meter;
};

TEST_P(Crowd, IsQuietWithoutTraffic) {
  start_all();
  expect_within(meter.read(), 0);
  for (int i = 0; i < 3; ++i) expect_within(minute(), 0);
}

// Each talks to two others: the number of other members does not increase what it sends.
TEST_P(Crowd, SendsOnlyToItsCommunicationPartners) {
  start_all();
  for (int c = 0; c < clients; ++c) world.send_frame(c, (c + 1) % clients);
  expect_within(minute(), 2);
  for (int i = 0; i < 5; ++i) minute();
  expect_within(minute(), 0);  // quiet again
}

TEST_P(Crowd, HearsABroadcast) {
  start_all();
  const std::uint64_t frame = world.send_frame(0, -1);
  expect_within(minute(), static_cast<std::uint64_t>(clients - 1));
  int heard = 0;
  for (int c = 1; c < clients; ++c) heard += world.delivered(frame, c) ? 1 : 0;
  EXPECT_GE(heard, (clients - 1) * 9 / 10) << "with 1 % loss on every hop";
}

// The computers of a whole network are switched on at once, or its server is: everybody is admitted, and nothing else
// happens.
TEST_P(Crowd, StartsAgainAllAtOnce) {
  start_all();
  for (int c = 0; c < clients; ++c) world.send_frame(c, (c + 1) % clients);
  world.run_for(seconds(20));
  world.stop_server();
  for (int c = 0; c < clients; ++c) world.stop_client(c);
  world.run_for(seconds(1));  // nothing of theirs is in transit any more: it would wake a peer
  world.start_server();
  for (int c = 0; c < clients; ++c) world.start_client(c);
  expect_within(minute(), 0);
  EXPECT_TRUE(world.all_admitted());
  world.stop_server();
  // While the server is away everybody keeps sessions with three anchors (mesh/anchors.h), in a small network all with
  // the same. In a large one each reachable member, here every sixth, is an anchor for about eighteen.
  const auto most =
      static_cast<std::uint64_t>(clients) <= mesh::kSmallNetwork ? static_cast<std::uint64_t>(clients) : 40;
  const auto away = minute();
  EXPECT_LE(away.mean, bound(6)) << "each has three anchors and is an anchor for three";
  EXPECT_LE(away.most, bound(most));
  world.start_server();
  const auto sent = minute();
  EXPECT_LE(sent.mean, bound(3));
  EXPECT_LE(sent.most, bound(most));
  EXPECT_TRUE(world.all_admitted());
}

// The same while each talks to two others all the time.
TEST_P(Crowd, StartsAgainUnderTraffic) {
  start_all();
  const auto talk = [&](Duration time) {
    for (const Instant until = world.clock().now() + time; world.clock().now() < until;) {
      for (int c = 0; c < clients; ++c) {
        if (world.running(c)) world.send_frame(c, (c + 1) % clients);
      }
      world.run_for(seconds(1));
    }
  };
  talk(seconds(20));
  for (int c = 0; c < clients; ++c) world.stop_client(c);
  for (int c = 0; c < clients; ++c) world.start_client(c);
  meter.read();
  talk(minutes(1));
  expect_within(meter.read(), 2, 60 * kOneFrame);
  std::vector<std::uint64_t> frames;
  for (int c = 0; c < clients; ++c) frames.push_back(world.send_frame(c, (c + 1) % clients));
  world.run_for(seconds(1));
  int heard = 0;
  for (int c = 0; c < clients; ++c) heard += world.delivered(frames[static_cast<std::size_t>(c)], (c + 1) % clients);
  EXPECT_GE(heard, clients * 9 / 10);
}

INSTANTIATE_TEST_SUITE_P(Clients, Crowd, testing::Values(2, 10, 50, 200));

// Everything that happens to a large network. More clients via the environment: EPS_SIM_CLIENTS=2000. Each knows each
// other one, so memory grows with the square (docs/testing.md).
class LargeCrowd : public testing::Test {
 protected:
  LargeCrowd() : world(options(clients + joiners)), meter(world, clients + joiners) {
    world.network().weather = {milliseconds(20), milliseconds(20), 0.01, 0};
    settle(world, clients + joiners);
    read_streams();
  }
  static int from_environment() {
    const char* more = std::getenv("EPS_SIM_CLIENTS");
    return more != nullptr ? std::atoi(more) : 1000;
  }
  static WorldOptions options(int clients) {
    WorldOptions o;
    o.clients = clients;
    o.network = *parse_ip4_network("10.43.0.0/16");
    return o;
  }
  void figure(const std::string& name, double value) {
    RecordProperty(name, std::to_string(value));
    printf("[ figure   ] %d clients: %s %.2f\n", clients, name.c_str(), value);
  }
  // What control connections have brought to each client is told from now on.
  void read_streams() {
    streamed.clear();
    for (int c = 0; c < clients + joiners; ++c) streamed.push_back(world.network().streamed_to(world.host(c)));
  }
  void until_all_agree(const std::string& event) {
    const Instant began = world.clock().now();
    ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, minutes(5))) << event;
    figure(event + ": seconds until all agree", std::chrono::duration<double>(world.clock().now() - began).count());
    for (int c = 0; c < clients + joiners; ++c) {
      if (!world.running(c)) continue;
      EXPECT_EQ(registry::MerkleTree(world.client(c).members()).root(), world.registry().root()) << "c" << c;
    }
  }
  // The control connections have brought at most so much to each of the first clients since read_streams().
  void expect_told(const std::string& event, std::uint64_t bytes, std::uint64_t pieces) {
    Network::Streamed most;
    for (int c = 0; c < clients; ++c) {
      const Network::Streamed& now = world.network().streamed_to(world.host(c));
      const Network::Streamed& before = streamed[static_cast<std::size_t>(c)];
      most.bytes = std::max(most.bytes, now.bytes - before.bytes);
      most.pieces = std::max(most.pieces, now.pieces - before.pieces);
    }
    read_streams();
    figure(event + ": KB to a client, at most", static_cast<double>(most.bytes) / 1000);
    figure(event + ": messages to a client, at most", static_cast<double>(most.pieces));
    EXPECT_LE(most.bytes, bytes) << event;
    EXPECT_LE(most.pieces, pieces) << event;
  }
  void expect_no_sessions() {
    for (int c = 0; c < clients + joiners; ++c) {
      if (!world.running(c)) continue;
      EXPECT_TRUE(world.client(c).status(world.clock().now(), false).peers.empty()) << "c" << c;
    }
  }
  const int clients = from_environment();
  const int joiners = clients / 50;
  World world;
  Meter meter;
  std::vector<Network::Streamed> streamed;
};

TEST_F(LargeCrowd, IsWholeAfterARestartOfTheServerAndAfterChurn) {
  const auto n = static_cast<std::uint64_t>(clients);
  constexpr std::uint64_t kRecord = 60;  // at least: a key, a MAC, an address, a name
  for (int c = 0; c < clients; ++c) world.start_client(c);
  ASSERT_NO_FATAL_FAILURE(until_all_agree("first join"));
  expect_told("first join", 25'000 + 100 * n, 20);
  expect_within(meter.read(), 0);
  world.run_for(minutes(1));
  if (n > node::kLargeNetwork) expect_told("a quiet minute", 200, 3);  // answers to pings
  expect_within(meter.read(), 0);

  world.stop_server();
  world.run_for(seconds(1));
  world.start_server();
  ASSERT_NO_FATAL_FAILURE(until_all_agree("restart of the server"));
  expect_told("restart of the server", 20'000 + 2 * n, 20);  // not the whole list

  expect_within(meter.read(), 0);
  expect_no_sessions();

  // Some leave, of whom some are removed; others join, and others move.
  for (int c = 0; c < clients; c += 50) world.stop_client(c);
  for (int c = 0; c < clients; c += 100) ASSERT_TRUE(world.remove("c" + std::to_string(c)));
  for (int c = clients; c < clients + joiners; ++c) world.start_client(c);
  for (int c = 1; c < clients; c += 50) {
    world.place(c, world.network().add_realm(kInternet, NatBehaviour{.ports = PortAllocation::random}));
  }
  ASSERT_NO_FATAL_FAILURE(until_all_agree("churn"));
  EXPECT_EQ(world.registry().members().size(), n + static_cast<std::uint64_t>(joiners) - (n + 99) / 100);
  expect_told("churn", 2000 + 4 * kRecord * static_cast<std::uint64_t>(joiners), 20);
  expect_within(meter.read(), 0);
  expect_no_sessions();

  // Those that moved are reached, by those that joined as well, and there are no sessions but these.
  std::vector<std::uint64_t> frames;
  for (int i = 0; i < joiners; ++i) frames.push_back(world.send_frame(clients + i, 1 + 50 * i));
  world.run_for(seconds(10));
  for (int i = 0; i < joiners; ++i) {
    EXPECT_TRUE(world.delivered(frames[static_cast<std::size_t>(i)], 1 + 50 * i)) << i;
    for (const int c : {clients + i, 1 + 50 * i}) {
      EXPECT_EQ(world.client(c).status(world.clock().now(), false).peers.size(), 1U) << "c" << c;
    }
  }
  world.run_for(minutes(1));
  expect_told("a minute of silence", 1000, 12);
}

// Everybody sends something to everybody: a thousand pairs at once.
TEST(Fair, EverybodyToEverybody) {
  constexpr int kClients = 32;
  WorldOptions o;
  o.clients = kClients;
  World world(o);
  settle(world, kClients);
  for (int c = 0; c < kClients; ++c) world.start_client(c);
  ASSERT_TRUE(world.run_until([&] { return world.all_admitted(); }, minutes(1)));
  Meter meter(world, kClients);
  for (int c = 0; c < kClients; ++c) world.send_frame(c, -1);
  world.run_for(minutes(1));
  expect_within(meter.read(), kClients - 1, kBurst / 2);  // with so many pairs every second client guesses
  EXPECT_TRUE(world.everybody_talks(seconds(10)));
}

}  // namespace
}  // namespace eps::sim
