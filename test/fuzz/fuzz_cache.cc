// SPDX-License-Identifier: MIT

// The file in which a client stores its network, with arbitrary bytes and a matching hash: whatever is read from it
// stays within base/limits.h and survives a round trip; no list is accepted that the server did not sign, and a signed
// one only if no byte of the file has changed.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "control/cache_file.h"
#include "registry/list_digest.h"
#include "wire/network_cache.h"

namespace {

using namespace eps;

constexpr std::size_t kTitleSize = 18;  // of the file's first line

void check_member(const Member& m) {
  EPS_CHECK(m.id.value >= 1 && m.id.value <= 0xffffff);
  EPS_CHECK(valid_name(m.name) && !m.mac.is_group());
  EPS_CHECK(m.version.size() <= kMaxVersionSize && m.candidates.size() <= kMaxCandidates);
  for (const Candidate& c : m.candidates) EPS_CHECK(c.endpoint.valid());
}

void check_limits(const NetworkCache& cache) {
  const Ip4Network& network = cache.network.network;
  EPS_CHECK(network.prefix >= 1 && network.prefix <= 30 && network.contains(cache.self.address));
  EPS_CHECK(cache.network.mtu >= kMinMtu && cache.network.mtu <= kMaxMtu);
  EPS_CHECK(cache.list.members().size() <= kMaxMembers);
  check_member(cache.self);
  for (const auto& [id, member] : cache.list.members()) {
    EPS_CHECK(id == member.id);
    check_member(member);
  }
}

// A file with this body and its correct hash.
Bytes file_of(ByteView body) {
  Bytes file = control::encode_cache_file({});
  file.resize(kTitleSize);
  Writer w(file);
  w.bytes(crypto::blake2s({body}));
  w.bytes(body);
  return file;
}

// The stored state of a client in a small network, without its signature.
Bytes usual_body() {
  NetworkCache cache;
  cache.network.network = *parse_ip4_network("10.0.8.0/24");
  Delta all{.from = 0, .to = (7ULL << 32) + 3, .full = true, .upserts = {}, .removed = {}};
  for (std::uint32_t id = 1; id <= 3; ++id) {
    Member& m = all.upserts.emplace_back();
    m.id = {id};
    m.name = "h" + std::to_string(id);
    m.mac.bytes[0] = std::byte{2};
    m.address = {0x0a000800U + id};
    m.candidates = {{Candidate::Kind::local, {IpAddress::from_v4({0xc0a80000U + id}), 7000}}};
  }
  cache.self = all.upserts.back();
  cache.list.apply(all);
  return wire::encode(cache);
}

// The input itself, or changes of the usual body: three bytes give the position and the change.
Bytes body_of(ByteView input) {
  if (input.empty()) return {};
  if (input[0] == std::byte{0}) return Bytes(input.begin() + 1, input.end());
  static const Bytes kUsual = usual_body();
  Bytes body = kUsual;
  for (input = input.subspan(1); input.size() >= 3; input = input.subspan(3)) {
    body[load_be16(input.data()) % body.size()] = input[2];
  }
  return body;
}

bool is_empty(const NetworkCache& cache) {
  return cache.list.version() == 0 && cache.list.members().empty();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes body = body_of(std::as_bytes(std::span(data, size)));
  (void)control::decode_cache_file(body);
  const auto file = control::decode_cache_file(file_of(body));
  auto cache = wire::decode_network_cache(body);
  EPS_CHECK(!file || cache);
  if (!cache) return 0;
  check_limits(*cache);
  const Bytes again = wire::encode(*cache);
  const auto back = wire::decode_network_cache(again);
  EPS_CHECK(back && wire::encode(*back) == again);
  EPS_CHECK(!file || is_empty(*cache) ||
            registry::is_signed(cache->signing_key, cache->network.id, cache->list, cache->signature));

  static const crypto::Key kSeed;
  cache->signing_key = crypto::signing_public_key(kSeed);
  cache->signature = crypto::sign(kSeed, registry::signed_list_message(cache->network.id, cache->list.version(),
                                                                       registry::list_digest(cache->list.members())));
  Bytes kept = control::encode_cache_file(*cache);
  EPS_CHECK(control::decode_cache_file(kept).has_value());
  kept[again.size() % kept.size()] ^= std::byte{1};
  EPS_CHECK(!control::decode_cache_file(kept));
  return 0;
}
