// SPDX-License-Identifier: MIT
#include "control/cache_file.h"

#include <string_view>

#include "registry/grants.h"
#include "registry/list_digest.h"
#include "wire/network_cache.h"

namespace eps::control {
namespace {
constexpr std::string_view kTitle = "EPS network cache\n";
}

Bytes encode_cache_file(const NetworkCache& cache) {
  const Bytes body = wire::encode(cache);
  Bytes out;
  Writer w(out);
  w.bytes(as_view(kTitle));
  w.bytes(crypto::blake2s({body}));
  w.bytes(body);
  return out;
}

Result<NetworkCache> decode_cache_file(ByteView bytes) {
  const std::size_t head = kTitle.size() + sizeof(crypto::Hash);
  if (bytes.size() < head || as_text(bytes.first(kTitle.size())) != kTitle) {
    return make_error(Errc::corrupt, "it is not a file of eps-client");
  }
  const ByteView body = bytes.subspan(head);
  if (!equal(bytes.subspan(kTitle.size(), sizeof(crypto::Hash)), crypto::blake2s({body}))) {
    return make_error(Errc::corrupt, "it is damaged");
  }
  auto cache = wire::decode_network_cache(body);
  if (!cache) return cache.error();
  const bool empty = cache->list.version() == 0 && cache->list.members().empty();
  if (!empty && !registry::is_signed(cache->signing_key, cache->network.id, cache->list, cache->signature)) {
    return make_error(Errc::corrupt, "its member list is not signed by the server");
  }
  Delta members{.from = 0, .to = cache->list.version(), .full = true, .upserts = {}, .removed = {}};
  members.policy = cache->list.policy();
  for (const auto& [id, member] : cache->list.members()) members.upserts.push_back(member);
  registry::keep_signed_grants(cache->signing_key, cache->network.id, members.upserts);
  registry::keep_signed_grants(cache->signing_key, cache->network.id, {&cache->self, 1});
  cache->list.apply(members);
  return cache;
}

}  // namespace eps::control
