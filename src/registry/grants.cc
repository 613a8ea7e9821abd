#include "registry/grants.h"

namespace eps::registry {
namespace {

constexpr std::size_t kRangeSize = 17;

void put(Writer& w, const IpNetwork& range) {
  w.bytes(range.base.bytes);
  w.u8(range.length);
}

}  // namespace

Bytes signed_grants_message(const NetworkId& network, const Member& member) {
  Bytes out;
  Writer w(out);
  w.bytes(as_view("eps member grants"));
  w.bytes(network.bytes);
  w.u32(member.id.value);
  w.bytes(member.key.bytes);
  for (const IpNetwork& range : member.grants.ranges) put(w, range);
  return out;
}

void keep_signed_grants(const PublicKey& signing_key, const NetworkId& network, std::span<Member> members) {
  for (Member& m : members) {
    if (m.grants.ranges.empty()) continue;
    if (!crypto::verify(signing_key, signed_grants_message(network, m), m.grants.signature)) m.grants = {};
  }
}

Bytes encode_grants(const std::vector<IpNetwork>& ranges) {
  Bytes out;
  Writer w(out);
  for (const IpNetwork& range : ranges) put(w, range);
  return out;
}

std::optional<std::vector<IpNetwork>> decode_grants(ByteView bytes) {
  if (bytes.size() % kRangeSize != 0 || bytes.size() / kRangeSize > kMaxGrants) return std::nullopt;
  std::vector<IpNetwork> out;
  for (Reader r(bytes); r.remaining() > 0;) {
    IpNetwork& range = out.emplace_back();
    range.base.bytes = r.array<16>();
    range.length = r.u8();
    if (!valid(range)) return std::nullopt;
  }
  return out;
}

}  // namespace eps::registry
