// SPDX-License-Identifier: MIT
#include "dataplane/flow_guard.h"

#include <array>
#include <cstring>

namespace eps::dataplane {
namespace {

constexpr std::uint64_t kTimeMask = (1U << 19) - 1;
constexpr unsigned kOpenedBit = 19, kGenerationBit = 20, kTagBit = 30;
constexpr Duration kTimeUnit = std::chrono::seconds(4);

constexpr std::uint8_t kIcmp4Echo = 8, kIcmp4EchoReply = 0, kIcmp6Echo = 128, kIcmp6EchoReply = 129;
constexpr std::uint8_t kFirstNeighbourMessage = 133, kLastNeighbourMessage = 137;

std::uint64_t units(Instant now) {
  return static_cast<std::uint64_t>(now.time_since_epoch() / kTimeUnit) & kTimeMask;
}

// Both halves of the product depend on all bits of both factors.
std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t word(const std::byte* from) {
  std::uint64_t out = 0;
  std::memcpy(&out, from, sizeof(out));
  return out;
}

// IPv4-mapped, as IpAddress::from_v4() makes it, but in two stores, which the hash's loads can follow at once.
IpAddress address_v4(const std::byte* from) {
  IpAddress out;
  std::array<std::byte, 8> half{std::byte{0}, std::byte{0}, std::byte{0xff}, std::byte{0xff}};
  std::memcpy(half.data() + 4, from, 4);
  std::memcpy(out.bytes.data() + 8, half.data(), half.size());
  return out;
}

std::uint8_t u8(ByteView bytes, std::size_t at) {
  return std::to_integer<std::uint8_t>(bytes[at]);
}

Duration idle_of(std::uint16_t kind) {
  if ((kind & FlowTable::kFragments) != 0) return kFragmentFlow;
  if (kind == policy::kTcp) return kTcpFlow;
  return kind == policy::kIcmp || kind == policy::kIcmp6 ? kIcmpFlow : kUdpFlow;
}

bool is_icmp(std::uint8_t protocol, std::uint8_t ip_version) {
  return protocol == (ip_version == 4 ? policy::kIcmp : policy::kIcmp6);
}

}  // namespace

FlowTable::Place FlowTable::place_of(const Key& key) {
  const std::uint64_t ports = std::uint64_t{key.local_port} << 32 | key.remote_port;
  const std::uint64_t who = std::uint64_t{key.peer} << 16 | key.kind;
  const std::byte *l = key.local.bytes.data(), *r = key.remote.bytes.data();
  std::uint64_t h = fold(ports ^ secret_[0], who ^ secret_[1]);
  h = fold(word(l) ^ h ^ secret_[1], word(l + 8) ^ secret_[2]);
  h = fold(word(r) ^ h ^ secret_[2], word(r + 8) ^ secret_[0]);
  h = fold(h ^ secret_[0], secret_[1]);
  std::uint64_t tag = h >> kTagBit << kTagBit;
  if (tag == 0) tag = std::uint64_t{1} << kTagBit;
  return {&buckets_[h % kBuckets], tag};
}

std::optional<FlowTable::Known> FlowTable::find(const Key& key, std::uint16_t generation, Duration idle, Instant now) {
  const auto [bucket, tag] = place_of(key);
  const std::uint64_t at = units(now);
  for (Entry& entry : bucket->entries) {
    std::uint64_t value = entry.load(std::memory_order_relaxed);
    if (value >> kTagBit << kTagBit != tag) continue;
    const std::uint64_t age = (at - value) & kTimeMask;
    // Another thread's clock may be a moment ahead.
    if (age > static_cast<std::uint64_t>(idle / kTimeUnit) && age != kTimeMask) return std::nullopt;
    const Known known{static_cast<Heading>(value >> kOpenedBit & 1),
                      (value >> kGenerationBit & (kGenerations - 1)) == generation};
    if (known.current && age != 0) {
      entry.compare_exchange_strong(value, (value & ~kTimeMask) | at, std::memory_order_relaxed);
    }
    return known;
  }
  return std::nullopt;
}

void FlowTable::put(const Key& key, std::uint16_t generation, Heading opened, Instant now) {
  const auto [bucket, tag] = place_of(key);
  const std::uint64_t at = units(now);
  Entry* chosen = nullptr;
  std::uint64_t oldest = 0;
  for (Entry& entry : bucket->entries) {
    const std::uint64_t value = entry.load(std::memory_order_relaxed);
    if (value >> kTagBit << kTagBit == tag) {
      chosen = &entry;
      break;
    }
    const std::uint64_t age = value == 0 ? kTimeMask + 1 : (at - value) & kTimeMask;
    if (chosen == nullptr || age > oldest) {
      chosen = &entry;
      oldest = age;
    }
  }
  chosen->store(tag | std::uint64_t{generation} << kGenerationBit |
                    std::uint64_t{static_cast<std::uint8_t>(opened)} << kOpenedBit | at,
                std::memory_order_relaxed);
}

void FlowTable::remove(const Key& key) {
  const auto [bucket, tag] = place_of(key);
  for (Entry& entry : bucket->entries) {
    std::uint64_t value = entry.load(std::memory_order_relaxed);
    if (value >> kTagBit << kTagBit == tag) entry.compare_exchange_strong(value, 0, std::memory_order_relaxed);
  }
}

void FlowTable::forget(std::uint16_t generation) {
  for (std::size_t i = 0; i < kBuckets; ++i) {
    for (Entry& entry : buckets_[i].entries) {
      const std::uint64_t value = entry.load(std::memory_order_relaxed);
      if ((value >> kGenerationBit & (kGenerations - 1)) == generation) entry.store(0, std::memory_order_relaxed);
    }
  }
}

// What the guard reads of an IP packet.
struct PolicyInForce::Packet {
  IpAddress from, to;
  std::uint8_t protocol = 0;
  bool has_ports = false;
  bool opens = false;  // SYN without ACK
  bool fragment = false, later = false;
  bool hides = false;                        // its transport header, or overwrites a part of it
  std::uint32_t from_port = 0, to_port = 0;  // an echo's id in both
  std::uint32_t fragment_id = 0;

  void read_addresses(ByteView ip, std::uint8_t version) {
    if (version == 4) {
      from = address_v4(ip.data() + 12);
      to = address_v4(ip.data() + 16);
    } else {
      std::memcpy(from.bytes.data(), ip.data() + 8, 16);
      std::memcpy(to.bytes.data(), ip.data() + 24, 16);
    }
  }
  // `quoted`: by an ICMP error, which needs to hold no more than 8 bytes of it.
  void read_transport(ByteView transport, std::uint8_t version, bool quoted = false) {
    if (protocol == policy::kTcp || protocol == policy::kUdp) {
      // A first fragment that ends before the flags could hide a SYN (RFC 1858).
      if (transport.size() < (protocol == policy::kUdp || quoted ? 8 : l2::kTcpFlags + 1)) {
        hides = true;
        return;
      }
      has_ports = true;
      from_port = load_be16(transport.data());
      to_port = load_be16(transport.data() + 2);
      opens = protocol == policy::kTcp && !quoted &&
              (u8(transport, l2::kTcpFlags) & (l2::kTcpSyn | l2::kTcpAck)) == l2::kTcpSyn;
    } else if (is_icmp(protocol, version) && transport.size() >= 8) {
      const std::uint8_t type = u8(transport, 0);
      const bool echo =
          version == 4 ? type == kIcmp4Echo || type == kIcmp4EchoReply : type == kIcmp6Echo || type == kIcmp6EchoReply;
      if (echo) from_port = to_port = std::uint32_t{0x10000} | load_be16(transport.data() + 4);
    }
  }
  void read_fragment(ByteView packet, std::size_t l4, std::uint8_t version) {
    fragment = true;
    std::uint32_t offset = 0;  // in units of 8 bytes
    if (version == 4) {
      offset = load_be16(packet.data() + 6) & 0x1fff;
      fragment_id = load_be16(packet.data() + 4);
    } else {  // its header is the last before the transport
      offset = load_be16(packet.data() + l4 - 6) >> 3;
      fragment_id = load_be32(packet.data() + l4 - 4);
    }
    later = offset != 0;
    const bool reaches_flags = offset == 1 && protocol == policy::kTcp;  // RFC 3128
    // Extension headers behind the fragment header: the transport is deeper, in this fragment or in a later one.
    const bool deeper = version == 6 && l2::is_ip6_extension(protocol);
    hides = reaches_flags || deeper;
  }
  policy::Opening opening(bool reversed) const {
    policy::Opening out{from, to, true, protocol, std::nullopt};
    if (has_ports) out.port = static_cast<std::uint16_t>(reversed ? from_port : to_port);
    if (reversed) std::swap(out.from, out.to);
    return out;
  }
  FlowTable::Key key(MemberId peer, Heading heading) const {
    if (heading == Heading::out) return {peer.value, protocol, from_port, to_port, from, to};
    return {peer.value, protocol, to_port, from_port, to, from};
  }
  FlowTable::Key fragment_key(MemberId peer, Heading heading) const {
    FlowTable::Key out = key(peer, heading);
    out.kind = static_cast<std::uint16_t>(protocol | FlowTable::kFragments);
    // Ids of the two directions have nothing to do with each other.
    out.local_port = fragment_id;
    out.remote_port = static_cast<std::uint32_t>(heading);
    return out;
  }
};

// If the policy has changed since it opened, it is evaluated again, in the direction in which it was opened.
bool PolicyInForce::knows(const PeerRules& rules, const Packet& packet, const FlowTable::Key& key, Heading heading,
                          Instant now) const {
  const auto known = flows_->find(key, generation_, idle_of(key.kind), now);
  if (!known || known->current) return known.has_value();
  const bool fragments = (key.kind & FlowTable::kFragments) != 0;
  if (!fragments && rules.of(known->opened).decide(packet.opening(known->opened != heading)).allow) {
    flows_->put(key, generation_, known->opened, now);
    return true;
  }
  flows_->remove(key);
  return false;
}

// RFC 792, RFC 4443: the error quotes the packet that it is about, which went the other way.
bool PolicyInForce::is_error_of_flow(const PeerRules& rules, MemberId peer, Heading heading, ByteView transport,
                                     std::uint8_t version, Instant now) const {
  if (transport.size() < 8) return false;
  const std::uint8_t type = u8(transport, 0);
  const bool error = version == 4 ? type == 3 || type == 11 || type == 12 : type >= 1 && type <= 4;
  if (!error) return false;
  const ByteView quoted = transport.subspan(8);
  Packet packet;
  std::size_t header = l2::kIp6Size;
  bool cut = false;
  if (version == 4) {
    if (quoted.size() < l2::kIp4Size || u8(quoted, 0) >> 4 != 4) return false;
    header = std::size_t{u8(quoted, 0)} % 16 * 4;
    packet.protocol = u8(quoted, 9);
    if (header < l2::kIp4Size) return false;
    cut = (load_be16(quoted.data() + 6) & 0x3fff) != 0;
  } else {
    if (quoted.size() < l2::kIp6Size || u8(quoted, 0) >> 4 != 6) return false;
    packet.protocol = u8(quoted, 6);
    while (!cut && l2::is_ip6_extension(packet.protocol)) {
      if (quoted.size() < header + 8) return false;
      cut = packet.protocol == l2::kIp6Fragment;
      packet.protocol = u8(quoted, header);
      header += cut ? 8 : (std::size_t{u8(quoted, header + 1)} + 1) * 8;
    }
  }
  if (quoted.size() < header) return false;
  packet.read_addresses(quoted, version);
  if (cut) packet.read_fragment(quoted, header, version);
  if (packet.hides) return false;
  const Heading quoted_heading = opposite(heading);
  if (packet.later) return knows(rules, packet, packet.fragment_key(peer, quoted_heading), quoted_heading, now);
  packet.read_transport(quoted.subspan(header), version, true);
  return knows(rules, packet, packet.key(peer, quoted_heading), quoted_heading, now);
}

policy::Verdict PolicyInForce::check(const PeerRules& rules, MemberId peer, Heading heading, ByteView packet,
                                     const l2::FrameInfo& info, Instant now) const {
  const auto counted = [&](policy::Verdict verdict) {
    if (!verdict.allow) (*drops_)[verdict.rule].fetch_add(1, std::memory_order_relaxed);
    return verdict;
  };
  if (info.ip_version == 0) {
    if (info.ethertype == l2::kEtherArp) return {true, 0};
    return counted(rules.of(heading).decide({{}, {}, false, 0, std::nullopt}));
  }
  const std::size_t l4 = info.l4_offset - info.l3_offset;
  const ByteView transport = packet.subspan(l4, info.ip_end - info.l4_offset);
  const bool icmp = is_icmp(info.protocol, info.ip_version) && !info.fragment;
  if (icmp && info.ip_version == 6 && !transport.empty() && u8(transport, 0) >= kFirstNeighbourMessage &&
      u8(transport, 0) <= kLastNeighbourMessage) {
    return {true, 0};
  }
  Packet p;
  p.protocol = info.protocol;
  p.read_addresses(packet, info.ip_version);
  if (info.fragment) p.read_fragment(packet, l4, info.ip_version);
  if (!p.later) p.read_transport(transport, info.ip_version);
  if (p.hides) return counted({false, static_cast<std::uint16_t>(policy_->rules().size())});
  const FlowTable::Key key = p.later ? p.fragment_key(peer, heading) : p.key(peer, heading);
  bool known = !p.opens && knows(rules, p, key, heading, now);
  if (!known && icmp) known = is_error_of_flow(rules, peer, heading, transport, info.ip_version, now);
  if (!known) {
    const policy::Verdict verdict = rules.of(heading).decide(p.opening(false));
    if (!verdict.allow) return counted(verdict);
    if (p.later) return verdict;
    flows_->put(key, generation_, heading, now);
  }
  if (p.fragment && !p.later) flows_->put(p.fragment_key(peer, heading), generation_, heading, now);
  return {true, 0};
}

}  // namespace eps::dataplane
