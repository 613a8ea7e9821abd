// SPDX-License-Identifier: MIT

// What the policy costs a frame on its way out: the whole outbound pipeline but for the kernel, with AES-256-GCM, over
// 10,000 flows in turn. items_per_second counts frames; the ratio of rules:1000 to rules:0 (no policy) is the share of
// the throughput that remains. `opens` is the evaluation of a flow that opens, against all rules.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <limits>
#include <string>

#include "base/check.h"
#include "dataplane/outbound.h"
#include "support/seeded_rng.h"

namespace eps::dataplane {
namespace {

constexpr Instant kNow{std::chrono::hours(1)};
constexpr std::size_t kBatch = 64;
constexpr std::uint32_t kFlows = 10'000;
const Mac kSelf = *parse_mac("02:00:00:00:00:01"), kPeer = *parse_mac("02:00:00:00:00:02");

struct Tap final : ports::TapPort {
  std::size_t size;
  std::uint32_t flow = 0;
  std::vector<Bytes> rooms;
  explicit Tap(std::size_t packet) : size(packet) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      Bytes& f = rooms.emplace_back(ports::kTapHeadroom + 14 + size);
      std::byte* at = f.data() + ports::kTapHeadroom;
      std::ranges::copy(kPeer.bytes, at);
      std::ranges::copy(kSelf.bytes, at + 6);
      store_be16(at + 12, l2::kEtherIp4);
      at[14] = std::byte{0x45};
      store_be16(at + 16, static_cast<std::uint16_t>(size));
      at[22] = std::byte{64};
      at[23] = std::byte{l2::kProtocolUdp};
      store_be32(at + 26, 0x0a090001);
      store_be32(at + 30, 0x0a090002);
      store_be16(at + 38, static_cast<std::uint16_t>(size - 20));
    }
  }
  std::size_t read(std::span<ports::TapFrame> out) override {
    for (std::size_t i = 0; i < kBatch; ++i) {
      flow = (flow + 1) % kFlows;
      std::byte* at = rooms[i].data() + ports::kTapHeadroom;
      store_be16(at + 34, static_cast<std::uint16_t>(1024 + flow));
      store_be16(at + 36, 53);
      out[i] = {ByteSpan(rooms[i]).subspan(ports::kTapHeadroom), {}};
    }
    return kBatch;
  }
  std::size_t write(std::span<const ports::TapWrite>) override { return 0; }
};

struct NoUdp final : ports::UdpPort {
  std::size_t receive(std::span<ports::RxDatagram>) override { return 0; }
  std::size_t send(std::span<const ports::TxDatagram> all) override { return all.size(); }
  std::optional<Side> open_side() override { return std::nullopt; }
  void close_side(ports::SocketId) override {}
};

// All but the last are for other ports.
std::shared_ptr<const policy::Policy> policy_of(std::int64_t rules) {
  std::string text;
  for (std::int64_t i = 1; i < rules; ++i) text += "deny all to hub tcp " + std::to_string(i) + "\n";
  return std::make_shared<const policy::Policy>(*policy::Policy::parse(text + "allow all to hub udp 53\n"));
}

std::shared_ptr<PeerTable> table_of(std::int64_t rules) {
  session::SessionParams params;
  params.local_index = 1;
  params.remote_index = 2;
  params.aead = crypto::AeadKind::aes256gcm;
  params.established_at = kNow;
  params.send_packets = std::numeric_limits<std::uint32_t>::max();
  auto table = std::make_shared<PeerTable>();
  table->self_mac = kSelf;
  table->self_address = {0x0a090001};
  Peer& peer = table->peers.emplace_back();
  peer.id = {2};
  peer.mac = kPeer;
  peer.to = {IpAddress::from_v4({0x0a000001}), 40000};
  peer.session = std::make_shared<session::Session>(std::move(params));
  peer.activity = std::make_shared<PeerActivity>();
  table->by_mac[kPeer] = 0;
  if (rules == 0) return table;
  test::SeededRng rng(1);
  const auto policy = policy_of(rules);
  const policy::Subject here{"camera", {}}, there{"hub", {}};
  table->policy = std::make_shared<const PolicyInForce>(policy, std::make_shared<FlowTable>(rng), 1);
  peer.rules = std::make_shared<const PeerRules>(
      PeerRules{policy, policy::PairRules(*policy, here, there), policy::PairRules(*policy, there, here)});
  return table;
}

void outbound(benchmark::State& state) {
  Tap tap(static_cast<std::size_t>(state.range(1)));
  NoUdp udp;
  Counters counters;
  PublishedPeers published;
  published.publish(table_of(state.range(0)));
  PublishedPeers::View view;
  Upcalls upcalls;
  Outbound out(tap, udp, counters);
  for (std::uint32_t i = 0; i < kFlows; i += kBatch) out.pump(published, view, kNow, upcalls);
  for (auto _ : state) out.pump(published, view, kNow, upcalls);
  EPS_CHECK(totals_of(counters).packets_sent > 0 && nonzero_drops(counters).empty());
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kBatch));
}
BENCHMARK(outbound)->ArgNames({"rules", "bytes"})->ArgsProduct({{0, 1, 1000}, {100, 1400}});

void opens(benchmark::State& state) {
  const auto policy = policy_of(state.range(0));
  const policy::PairRules rules(*policy, {"camera", {}}, {"hub", {}});
  const policy::Opening opening{{}, {}, true, policy::kUdp, 53};
  for (auto _ : state) benchmark::DoNotOptimize(rules.decide(opening));
}
BENCHMARK(opens)->ArgName("rules")->Arg(1)->Arg(1000);

}  // namespace
}  // namespace eps::dataplane
