// SPDX-License-Identifier: MIT
#include "registry/grants.h"

#include <algorithm>
#include <array>

namespace eps::registry {
namespace {

constexpr std::size_t kRangeSize = 17;

// A byte that follows the ranges, each of which has kRangeSize.
void put(Writer& w, const Grants& grants) {
  for (const IpNetwork& range : grants.ranges) {
    w.bytes(range.base.bytes);
    w.u8(range.length);
  }
  if (grants.bits() != 0) w.u8(grants.bits());
}

}  // namespace

Bytes signed_grants_message(const NetworkId& network, const Member& member) {
  Bytes out;
  Writer w(out);
  w.bytes(as_view("eps member grants"));
  w.bytes(network.bytes);
  w.u32(member.id.value);
  w.bytes(member.key.bytes);
  put(w, member.grants);
  return out;
}

void keep_signed_grants(const PublicKey& signing_key, const NetworkId& network, std::span<Member> members) {
  for (Member& m : members) {
    if (!m.grants.any()) continue;
    if (!crypto::verify(signing_key, signed_grants_message(network, m), m.grants.signature)) m.grants = {};
  }
}

std::string why_no_range(const std::string& text) {
  const auto slash = text.find('/');
  auto base = parse_ip(text.substr(0, slash));
  // The range in which the address lies: its last bits are zero.
  const unsigned fixed = base && base->is_v4() ? 96 : 0;
  for (unsigned bit = 128; base && slash != std::string::npos && bit-- > fixed;) {
    base->bytes[bit / 8] &= ~(std::byte{0x80} >> (bit % 8));
    const auto range = parse_ip_network(to_string(*base) + text.substr(slash));
    if (!range) continue;
    return text + " is an address with the size of its network; did you mean all of that, " + to_string(*range) +
           ", or " + text.substr(0, slash) + " alone?";
  }
  return "\"" + text +
         "\" is neither an address nor a range; give 192.168.43.50, 10.50.0.0/24, fd99::/64, or the word bridge or "
         "dhcp";
}

std::string why_not_allowed(const IpNetwork& range) {
  struct Kind {
    std::string_view addresses, name;
  };
  constexpr std::string_view kLinkLocal = "link-local addresses";
  static constexpr std::array<Kind, 10> kKinds = {{
      {"0.0.0.0/8", "addresses of no computer"},
      {"127.0.0.0/8", "loopback addresses"},
      {"169.254.0.0/16", kLinkLocal},
      {"224.0.0.0/4", "multicast addresses"},
      {"240.0.0.0/4", "reserved and broadcast addresses"},
      {"224.0.0.0/3", "multicast and reserved addresses"},
      {"::1/128", "the loopback address"},
      {"::/127", "addresses of no computer"},
      {"fe80::/10", kLinkLocal},
      {"ff00::/8", "multicast addresses"},
  }};
  const auto kind = std::ranges::find_if(kKinds, [&](const Kind& k) {
    const IpNetwork all = *parse_ip_network(k.addresses);
    return all.contains(range.base) && range.length >= all.length;
  });
  if (kind == kKinds.end()) return "";
  std::string why = "no member can send from " + std::string(kind->name);
  if (kind->name == kLinkLocal) {
    if (range.length == 128) return "";  // a further one of a member's interface
    why = std::string(kLinkLocal) + " are allowed one at a time";
  }
  return to_string(range) + " cannot be allowed: " + why +
         "; it can be an address (192.168.43.50), a range (10.50.0.0/24, fd99::/64), or for an exit node all of them "
         "(0.0.0.0/0, ::/0)";
}

Bytes encode_grants(const Grants& grants) {
  Bytes out;
  Writer w(out);
  put(w, grants);
  return out;
}

std::optional<Grants> decode_grants(ByteView bytes) {
  if (bytes.size() % kRangeSize > 1 || bytes.size() / kRangeSize > kMaxGrants) return std::nullopt;
  Grants out;
  Reader r(bytes);
  while (r.remaining() >= kRangeSize) {
    IpNetwork& range = out.ranges.emplace_back();
    range.base.bytes = r.array<16>();
    range.length = r.u8();
    if (!valid(range)) return std::nullopt;
  }
  if (r.remaining() > 0) {
    const std::uint8_t bits = r.u8();
    if (bits == 0 || bits > 3) return std::nullopt;
    out.bridge = (bits & 1) != 0;
    out.dhcp = (bits & 2) != 0;
  }
  return out;
}

}  // namespace eps::registry
