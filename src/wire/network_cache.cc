// SPDX-License-Identifier: MIT
#include "wire/network_cache.h"

#include "wire/member_proto.h"

namespace eps::wire {
namespace {

using wire::take;

constexpr std::uint32_t kFormat = 1;

bool take(const proto::NetworkCache& from, NetworkCache& to) {
  if (!take(from.server(), to.server.bytes) || !take(from.signing_key(), to.signing_key.bytes) ||
      !take_network(from, to.network) || !take(from.self(), to.self) || from.also_port() > 65535 ||
      from.data_port() > 65535 || !to.network.network.contains(to.self.address) ||
      from.members_size() > static_cast<int>(kMaxMembers)) {
    return false;
  }
  to.also_port = static_cast<std::uint16_t>(from.also_port());
  to.data_port = static_cast<std::uint16_t>(from.data_port());
  Delta whole{.from = 0, .to = from.list_version(), .full = true, .upserts = {}, .removed = {}};
  for (const proto::Member& m : from.members()) {
    if (!take(m, whole.upserts.emplace_back())) return false;
  }
  if (from.has_policy() && !wire::take(from.policy(), whole.policy.emplace())) return false;
  RecoveryId recovery{};
  if (!take_recovery(from.recovery(), recovery)) return false;
  to.list.begin_anew(recovery);
  to.list.apply(whole);
  return take(from.signature(), to.signature);
}

}  // namespace

Bytes encode(const NetworkCache& cache) {
  proto::NetworkCache to;
  to.set_format(kFormat);
  to.set_server(text_of(cache.server.bytes));
  to.set_signing_key(text_of(cache.signing_key.bytes));
  put_network(cache.network, to);
  put(cache.self, *to.mutable_self());
  to.set_also_port(cache.also_port);
  to.set_data_port(cache.data_port);
  to.set_list_version(cache.list.version());
  for (const auto& [id, member] : cache.list.members()) put(member, *to.add_members());
  if (cache.list.policy().any()) put(cache.list.policy(), *to.mutable_policy());
  to.set_signature(text_of(cache.signature));
  put_recovery(cache.list.recovery(), to);
  Bytes out(to.ByteSizeLong());
  to.SerializeToArray(out.data(), static_cast<int>(out.size()));
  return out;
}

Result<NetworkCache> decode_network_cache(ByteView bytes) {
  proto::NetworkCache from;
  if (!from.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return make_error(Errc::corrupt, "it does not parse");
  }
  if (from.format() != kFormat) {
    return make_error(Errc::unsupported, "it has format " + std::to_string(from.format()) + ", this version reads " +
                                             std::to_string(kFormat));
  }
  NetworkCache to;
  if (!take(from, to)) return make_error(Errc::corrupt, "it breaks a limit");
  return to;
}

}  // namespace eps::wire
