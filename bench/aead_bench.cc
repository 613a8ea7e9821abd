// SPDX-License-Identifier: MIT

// Sealing and opening one packet: each kind in each library, in place and with a head gathered in front, in batches of
// 32 as the data plane makes them. The time is per packet.

#include <benchmark/benchmark.h>

#include <string>

#include "crypto/aead.h"

namespace eps::crypto {
namespace {

constexpr std::size_t kBatch = 32;
constexpr std::size_t kHeadSize = 60;  // headers written before a segment of a large frame

// A batch of packets, each in its own place as in a send buffer.
struct Batch {
  explicit Batch(std::size_t size) : text(size), stride(kHeadSize + size + kTagSize), packets(kBatch * stride) {}
  std::byte* at(std::size_t i) { return packets.data() + i * stride; }

  std::array<std::byte, 8> aad{};
  std::array<std::byte, kHeadSize> head{};
  std::uint64_t nonce = 0;
  Bytes text;
  std::size_t stride;
  Bytes packets;
};

void finish(benchmark::State& state, std::size_t size) {
  const auto packets = state.iterations() * static_cast<std::int64_t>(kBatch);
  state.SetItemsProcessed(packets);
  state.SetBytesProcessed(packets * static_cast<std::int64_t>(size));
  state.counters["per_packet"] = benchmark::Counter(
      static_cast<double>(kBatch), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void seal(benchmark::State& state, const Aead& aead, std::size_t size, bool gather) {
  Batch batch(size);
  std::array<SealItem, kBatch> items;
  for (auto _ : state) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      items[i] = {.nonce = batch.nonce++, .aad = batch.aad, .body = ByteView(batch.at(i), size), .out = batch.at(i)};
      if (gather) items[i].head = batch.head, items[i].body = batch.text;
    }
    aead.seal(items);
  }
  finish(state, size);
}

void open(benchmark::State& state, const Aead& aead, std::size_t size) {
  Batch batch(size);
  Bytes out(size);
  std::array<SealItem, kBatch> sealed;
  std::array<OpenItem, kBatch> items;
  for (std::size_t i = 0; i < kBatch; ++i) {
    sealed[i] = {.nonce = i, .aad = batch.aad, .body = batch.text, .out = batch.at(i)};
    items[i] = {.nonce = i, .aad = batch.aad, .sealed = ByteView(batch.at(i), size + kTagSize), .out = out.data()};
  }
  aead.seal(sealed);
  for (auto _ : state) aead.open(items);
  if (!items[0].ok) state.SkipWithError("does not open");
  finish(state, size);
}

void add(AeadKind kind, AeadLibrary library) {
  const std::shared_ptr<const Aead> aead = make_aead(kind, Key(), library);
  const std::string name = std::string(name_of(library)).append("/").append(name_of(kind)).append("/");
  for (const std::size_t size : {64, 256, 1400, 8900}) {
    const auto run = [&](const char* what, auto function) {
      benchmark::RegisterBenchmark((name + what + std::to_string(size)).c_str(), function);
    };
    run("seal/", [=](benchmark::State& state) { seal(state, *aead, size, false); });
    run("seal_gathered/", [=](benchmark::State& state) { seal(state, *aead, size, true); });
    run("open/", [=](benchmark::State& state) { open(state, *aead, size); });
  }
}

}  // namespace
}  // namespace eps::crypto

int main(int argc, char** argv) {
  using eps::crypto::AeadKind;
  using eps::crypto::AeadLibrary;
  for (const AeadLibrary library : {AeadLibrary::ipsec_mb, AeadLibrary::openssl}) {
    for (const AeadKind kind : {AeadKind::aes128gcm, AeadKind::aes256gcm, AeadKind::chacha20poly1305}) {
      if (eps::crypto::available(kind, library)) eps::crypto::add(kind, library);
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
