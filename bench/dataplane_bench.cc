// SPDX-License-Identifier: MIT

// The lookups of the data plane: a frame's peer, a datagram's session, the two members of a relayed datagram, and
// whether there is a newer table. By the number of members; each lookup is for another one, in random order.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "base/check.h"
#include "dataplane/peer_table.h"

namespace eps::dataplane {
namespace {

constexpr std::size_t kLooks = 4096;  // a power of two

Mac mac_of(std::uint32_t member) {
  Mac mac{{std::byte{2}}};
  for (std::size_t i = 1; i < 5; ++i) mac.bytes[i] = static_cast<std::byte>(member * 0x9e3779b1U >> 8 * (i - 1));
  return mac;
}

// Session indices and tags are random numbers.
std::uint32_t index_of(std::uint32_t member) {
  return member * 0x85ebca6bU ^ 0x5bd1e995U;
}

Endpoint endpoint_of(std::uint32_t member) {
  return {IpAddress::from_v4({0x0a000000 + member}), 40000};
}

std::vector<std::uint32_t> looks(std::uint32_t members) {
  std::mt19937 random(1);
  std::uniform_int_distribution<std::uint32_t> any(0, members - 1);
  std::vector<std::uint32_t> out(kLooks);
  for (std::uint32_t& member : out) member = any(random);
  return out;
}

PeerTable table_of(std::uint32_t members) {
  PeerTable table;
  for (std::uint32_t i = 0; i < members; ++i) {
    Peer& peer = table.peers.emplace_back();
    peer.id = {i + 1};
    peer.to = endpoint_of(i);
    table.by_mac[mac_of(i)] = i;
    table.by_index[index_of(i)] = {nullptr, i};
  }
  EPS_CHECK(table.by_mac.size() == members && table.by_index.size() == members);
  return table;
}

// The destination peer of a frame.
void peer_by_mac(benchmark::State& state) {
  const auto members = static_cast<std::uint32_t>(state.range(0));
  const PeerTable table = table_of(members);
  std::vector<Mac> wanted;
  for (const std::uint32_t member : looks(members)) wanted.push_back(mac_of(member));
  std::size_t i = 0;
  for (auto _ : state) {
    const auto found = table.by_mac.find(wanted[i++ % kLooks]);
    EPS_CHECK(found != table.by_mac.end());
    benchmark::DoNotOptimize(table.peers[found->second].to.port);
  }
}
BENCHMARK(peer_by_mac)->ArgName("members")->Arg(2)->Arg(50)->Arg(1000)->Arg(10000);

// The session and the peer of a datagram.
void session_by_index(benchmark::State& state) {
  const auto members = static_cast<std::uint32_t>(state.range(0));
  const PeerTable table = table_of(members);
  std::vector<std::uint32_t> wanted;
  for (const std::uint32_t member : looks(members)) wanted.push_back(index_of(member));
  std::size_t i = 0;
  for (auto _ : state) {
    const auto found = table.by_index.find(wanted[i++ % kLooks]);
    EPS_CHECK(found != table.by_index.end());
    benchmark::DoNotOptimize(table.peers[found->second.peer].to.port);
  }
}
BENCHMARK(session_by_index)->ArgName("members")->Arg(2)->Arg(50)->Arg(1000)->Arg(10000);

// Sender and destination of a relayed datagram.
void relay_members(benchmark::State& state) {
  const auto members = static_cast<std::uint32_t>(state.range(0));
  RelayTable table;
  for (std::uint32_t i = 0; i < members; ++i) {
    table.put({{i}, index_of(i), endpoint_of(i), 0, nullptr});
  }
  const std::vector<std::uint32_t> wanted = looks(members);
  std::size_t i = 0;
  for (auto _ : state) {
    const std::uint32_t from = wanted[i % kLooks];
    const MemberId to{wanted[(i + 1) % kLooks]};
    ++i;
    const RelayMember* const sender = table.by_tag(index_of(from));
    EPS_CHECK(sender != nullptr && sender->endpoint == endpoint_of(from));
    const RelayMember* const destination = table.by_id(to);
    EPS_CHECK(destination != nullptr);
    benchmark::DoNotOptimize(destination->endpoint.port);
  }
}
BENCHMARK(relay_members)->ArgName("members")->Arg(2)->Arg(50)->Arg(1000)->Arg(10000);

// Provides nothing and accepts nothing.
class NoTap final : public ports::TapPort {
 public:
  std::size_t read(std::span<ports::TapFrame>) override { return 0; }
  std::size_t write(std::span<const ports::TapWrite>) override { return 0; }
};

// The check for a newer table, once per batch.
void refresh_unchanged(benchmark::State& state) {
  PublishedPeers published;
  published.publish(std::make_shared<const PeerTable>(table_of(50)));
  PublishedPeers::View view;
  NoTap tap;
  for (auto _ : state) benchmark::DoNotOptimize(published.after(Batch::read(tap, {}), view).peers.size());
}
BENCHMARK(refresh_unchanged);

}  // namespace
}  // namespace eps::dataplane
