// SPDX-License-Identifier: MIT

// What a session adds to its AEAD: seal and open of batches as the data plane makes them, the bare AEAD beside them,
// and the replay window alone. Times are per batch; items_per_second counts packets.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "session/session.h"

namespace eps::session {
namespace {

constexpr Instant kNow{std::chrono::seconds(1)};
constexpr std::size_t kBatch = 44;     // the segments of a 64 KB frame at MTU 1400
constexpr std::size_t kHeadSize = 53;  // kind byte, IPv4, TCP with timestamps

SessionParams params_of(crypto::AeadKind aead, bool initiator) {
  SessionParams params;
  params.local_index = initiator ? 1 : 2;
  params.remote_index = initiator ? 2 : 1;
  params.aead = aead;
  std::ranges::fill(params.send_key.writable(), std::byte{initiator ? std::uint8_t{1} : std::uint8_t{2}});
  std::ranges::fill(params.receive_key.writable(), std::byte{initiator ? std::uint8_t{2} : std::uint8_t{1}});
  params.established_at = kNow;
  params.send_packets = std::numeric_limits<std::uint32_t>::max();  // a benchmark outlives a session
  return params;
}

// A batch of plaintexts, split like the data plane does, and the room for its datagrams.
class Batch {
 public:
  Batch(std::size_t count, std::size_t size)
      : size_(size), head_(kHeadSize, std::byte{1}), body_(1 + size - kHeadSize), arena_(count * datagram_size()) {
    for (std::size_t i = 0; i < count; ++i) seals_.push_back({head_, body_, arena_.data() + i * datagram_size()});
  }
  std::size_t datagram_size() const { return wire::kDataOverhead + size_; }
  std::span<const Seal> seals() const { return seals_; }
  std::vector<Open> opens() {
    std::vector<Open> out;
    for (const Seal& seal : seals_) out.push_back({{seal.out, datagram_size()}, {}, Drop::none});
    return out;
  }

 private:
  std::size_t size_;
  Bytes head_;
  Bytes body_;
  Bytes arena_;
  std::vector<Seal> seals_;
};

crypto::AeadKind kind_of(const benchmark::State& state) {
  return static_cast<crypto::AeadKind>(state.range(0));
}

void finish(benchmark::State& state, std::size_t count) {
  const auto packets = static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(count);
  state.SetItemsProcessed(packets);
  state.SetBytesProcessed(packets * state.range(2));
  state.SetLabel(std::string(crypto::name_of(kind_of(state))) + ", " +
                 std::string(crypto::name_of(crypto::preferred_library(kind_of(state)))));
}

// Runs `work` once per iteration on a batch that `prepare` renewed, timing only the work.
template <class Prepare, class Work>
void time_only(benchmark::State& state, Prepare prepare, Work work) {
  for (auto _ : state) {
    prepare();
    const auto start = std::chrono::steady_clock::now();
    work();
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
}

void seal(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(1));
  Session session(params_of(kind_of(state), true));
  Batch batch(count, static_cast<std::size_t>(state.range(2)));
  for (auto _ : state) {
    if (!session.seal(batch.seals(), kNow)) state.SkipWithError("the session refused");
  }
  finish(state, count);
}

void seal_aead_alone(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(1));
  const auto aead = crypto::make_aead(kind_of(state), crypto::Key());
  Batch batch(count, static_cast<std::size_t>(state.range(2)));
  std::vector<crypto::SealItem> items;
  for (const Seal& s : batch.seals()) {
    items.push_back({0, {s.out, wire::kDataHeaderSize}, s.head, s.body, s.out + wire::kDataHeaderSize});
  }
  std::uint64_t nonce = 0;
  for (auto _ : state) {
    for (crypto::SealItem& item : items) item.nonce = nonce++;
    aead->seal(items);
  }
  finish(state, count);
}

void open(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(1));
  Session sender(params_of(kind_of(state), true));
  Session receiver(params_of(kind_of(state), false));
  Batch batch(count, static_cast<std::size_t>(state.range(2)));
  std::vector<Open> items = batch.opens();
  time_only(
      state, [&] { sender.seal(batch.seals(), kNow); }, [&] { receiver.open(items, kNow); });
  if (std::ranges::any_of(items, [](const Open& i) { return i.drop != Drop::none; })) state.SkipWithError("dropped");
  finish(state, count);
}

void open_aead_alone(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(1));
  Session sender(params_of(kind_of(state), true));
  const SessionParams params = params_of(kind_of(state), false);
  const auto aead = crypto::make_aead(params.aead, params.receive_key);
  Batch batch(count, static_cast<std::size_t>(state.range(2)));
  std::vector<crypto::OpenItem> items;
  for (const Open& o : batch.opens()) {
    const ByteSpan sealed = o.datagram.subspan(wire::kDataHeaderSize);
    items.push_back({0, o.datagram.first(wire::kDataHeaderSize), sealed, sealed.data(), false});
  }
  std::uint64_t nonce = 0;
  const auto prepare = [&] {
    sender.seal(batch.seals(), kNow);
    for (crypto::OpenItem& item : items) item.nonce = nonce++;
  };
  time_only(state, prepare, [&] { aead->open(items); });
  if (!std::ranges::all_of(items, &crypto::OpenItem::ok)) state.SkipWithError("did not open");
  finish(state, count);
}

void arguments(benchmark::internal::Benchmark* b) {
  b->ArgNames({"aead", "batch", "size"});
  for (const crypto::AeadKind kind : crypto::preferred_kinds()) b->Args({static_cast<int>(kind), kBatch, 1400});
  for (const int batch : {1, static_cast<int>(kBatch)}) {
    b->Args({static_cast<int>(crypto::preferred_kinds().front()), batch, 64});
  }
}
BENCHMARK(seal)->Apply(arguments);
BENCHMARK(seal_aead_alone)->Apply(arguments);
BENCHMARK(open)->Apply(arguments)->UseManualTime();
BENCHMARK(open_aead_alone)->Apply(arguments)->UseManualTime();

// Counters in order of arrival: in order, in swapped pairs, each twice.
template <class Next>
void window(benchmark::State& state, Next next) {
  ReplayWindow replay;
  std::uint32_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(replay.accept(next(i++)));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK_CAPTURE(window, in_order, [](std::uint32_t i) { return i; });
BENCHMARK_CAPTURE(window, swapped, [](std::uint32_t i) { return i ^ 1U; });
BENCHMARK_CAPTURE(window, each_twice, [](std::uint32_t i) { return i / 2; });
BENCHMARK_CAPTURE(window, too_old, [](std::uint32_t i) { return i == 0 ? 100'000U : 5U; });

}  // namespace
}  // namespace eps::session
