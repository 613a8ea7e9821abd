// SPDX-License-Identifier: MIT

// A batch of forged datagrams for a session: none is accepted, none yields plaintext, the session is not confirmed.
//
// The input is a series of | mode 8 | size 16 | bytes ... |. The mode says how the bytes are used:
//   0  they are the datagram
//   1  they follow a header with the right type and receiver, so that the AEAD is reached at once
//   2  they are the difference to a genuine datagram: near misses

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/check.h"
#include "session/session.h"

namespace {

using namespace eps;

constexpr Instant kNow{std::chrono::seconds(1)};
constexpr std::uint32_t kReceiver = 0x123456;
constexpr std::size_t kMaxBatch = 150;  // more than two chunks of the session

session::SessionParams params_of(crypto::AeadKind aead, bool initiator) {
  session::SessionParams params;
  params.local_index = initiator ? 1 : kReceiver;
  params.remote_index = initiator ? kReceiver : 1;
  params.aead = aead;
  std::ranges::fill(params.send_key.writable(), std::byte{initiator ? std::uint8_t{1} : std::uint8_t{2}});
  std::ranges::fill(params.receive_key.writable(), std::byte{initiator ? std::uint8_t{2} : std::uint8_t{1}});
  params.initiator = initiator;
  params.established_at = kNow;
  return params;
}

struct Target {
  explicit Target(crypto::AeadKind aead) : session(params_of(aead, false)), genuine(100) {
    session::Session sender(params_of(aead, true));
    const Bytes plain(genuine.size() - wire::kDataHeaderSize - wire::kTagSize, std::byte{1});
    const session::Seal item{{}, plain, genuine.data()};
    EPS_CHECK(sender.seal({&item, 1}, kNow));
  }
  session::Session session;
  Bytes genuine;
};

// Empty instead of the genuine datagram itself, which would correctly be accepted.
Bytes forge(const Target& target, std::uint8_t mode, ByteView bytes) {
  Bytes out(bytes.begin(), bytes.end());
  if (mode % 3 == 1) {
    out.insert(out.begin(), 4, std::byte{});
    out[0] = std::byte{4};
    store_be24(out.data() + 1, kReceiver);
  } else if (mode % 3 == 2) {
    out.resize(target.genuine.size());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] ^= target.genuine[i];
  }
  if (out == target.genuine) return {};
  out.shrink_to_fit();  // so that ASan sees a read past the end
  return out;
}

void attack(Target& target, ByteView in) {
  Reader reader(in);
  std::vector<Bytes> datagrams;
  while (reader.remaining() > 0 && datagrams.size() < kMaxBatch) {
    const std::uint8_t mode = reader.u8();
    const std::size_t size = reader.u16();
    datagrams.push_back(forge(target, mode, reader.bytes(std::min(size, reader.remaining()))));
  }
  std::vector<session::Open> items;
  for (Bytes& datagram : datagrams) items.push_back({.datagram = datagram, .plain = {}, .drop = Drop::none});
  EPS_CHECK(!target.session.open(items, kNow));
  for (const session::Open& item : items) {
    EPS_CHECK(item.drop == Drop::malformed || item.drop == Drop::unknown_session || item.drop == Drop::bad_tag);
    EPS_CHECK(item.plain.empty());
  }
  EPS_CHECK(!target.session.confirmed());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<std::unique_ptr<Target>> targets = [] {
    std::vector<std::unique_ptr<Target>> made;
    for (const crypto::AeadKind kind : crypto::preferred_kinds()) made.push_back(std::make_unique<Target>(kind));
    return made;
  }();
  if (size == 0) return 0;
  attack(*targets[data[0] % targets.size()], std::as_bytes(std::span(data, size)).subspan(1));
  return 0;
}
