// SPDX-License-Identifier: MIT
#include "l2/coalesce.h"

#include <algorithm>

#include "base/check.h"
#include "l2/checksum.h"

namespace eps::l2 {
namespace {

constexpr std::size_t kMaxIpBytes = 65535;
constexpr std::uint16_t kDontFragment = 0x4000;

std::uint8_t u8(const std::byte* p) {
  return std::to_integer<std::uint8_t>(*p);
}
bool same(const std::byte* a, const std::byte* b, std::size_t n) {
  return std::memcmp(a, b, n) == 0;
}

// A look at the headers of a frame with TCP or UDP.
struct Headers {
  explicit Headers(const Inner& inner)
      : info(inner.info), ip(inner.at(inner.info.l3_offset)), l4(inner.at(inner.info.l4_offset)) {}
  bool tcp() const { return info.protocol == kProtocolTcp; }
  std::size_t payload_size() const { return info.ip_end - info.payload_offset; }
  std::size_t l4_size() const { return info.ip_end - info.l4_offset; }
  std::uint16_t ip4_id() const { return load_be16(ip + 4); }
  bool dont_fragment() const { return load_be16(ip + 6) == kDontFragment; }
  std::uint8_t tcp_flags() const { return u8(l4 + kTcpFlags); }
  std::uint16_t checksum_field() const { return load_be16(l4 + info.checksum_offset()); }

  const FrameInfo& info;
  std::byte* ip;
  std::byte* l4;
};

ByteView ethernet_of(const Inner& inner) {
  if (inner.elided) return inner.ethernet;
  return ByteView(inner.bytes).first(inner.info.l3_offset);
}

// A quick filter rather than a hash for a table: find() compares every match in full. A sender can choose the inputs
// and make its own flows collide, which slows down nobody else.
std::uint32_t flow_hash(const Headers& h) {
  std::uint64_t x = load_be32(h.l4);  // ports
  const std::byte* addresses = h.info.ip_version == 4 ? h.ip + 12 : h.ip + 8;
  const std::size_t size = h.info.ip_version == 4 ? 8 : 32;
  for (std::size_t i = 0; i < size; i += 8) x = (x ^ load_be64(addresses + i)) * 0x9e3779b97f4a7c15U;
  return static_cast<std::uint32_t>(x >> 32) ^ h.info.protocol;
}

bool same_flow(const Inner& a, const Inner& b) {
  const Headers x(a);
  const Headers y(b);
  if (x.info.ip_version != y.info.ip_version || x.info.protocol != y.info.protocol) return false;
  const bool addresses = x.info.ip_version == 4 ? same(x.ip + 12, y.ip + 12, 8) : same(x.ip + 8, y.ip + 8, 32);
  return addresses && same(x.l4, y.l4, 4) && equal(ethernet_of(a), ethernet_of(b));
}

// The parts of the IP header that must be equal within a run: everything but lengths, ids and checksums.
bool same_ip_rules(const Headers& a, const Headers& b) {
  if (a.info.ip_version == 6) return same(a.ip, b.ip, 4) && a.ip[7] == b.ip[7];  // class, flow label; hop limit
  return a.ip[1] == b.ip[1] && same(a.ip + 6, b.ip + 6, 3);                      // TOS; DF, TTL
}

// Flags that the kernel's segmentation leaves on the first segment only (CWR), and on the last (FIN, PSH).
constexpr std::uint8_t kTcpCutFlags = kTcpCwr | kTcpFin | kTcpPsh;

// The TCP header without sequence, checksum and those flags: ports, acknowledgement, window, ECE, options.
bool same_tcp_rules(const Headers& a, const Headers& b) {
  if (((a.tcp_flags() ^ b.tcp_flags()) & ~kTcpCutFlags) != 0 || (b.tcp_flags() & kTcpCwr) != 0) return false;
  const std::size_t size = a.info.payload_offset - a.info.l4_offset;
  if (size != b.info.payload_offset - b.info.l4_offset) return false;
  return same(a.l4 + 8, b.l4 + 8, 5) && same(a.l4 + 14, b.l4 + 14, 2) && same(a.l4 + 18, b.l4 + 18, size - 18);
}

bool checksum_proved(const Headers& h) {
  const Sum pseudo = pseudo_header_sum(h.info.ip_version, h.ip, h.info.protocol, h.l4_size());
  return verifies(add_bytes(pseudo, ByteView(h.l4, h.l4_size())));
}

// IPv4 ids count up, or stay where DF makes them meaningless (RFC 6864); the second segment decides which.
bool id_follows(const Headers& first, const Headers& next, std::uint32_t segments, bool& fixed) {
  const bool counts = next.ip4_id() == static_cast<std::uint16_t>(first.ip4_id() + segments);
  const bool stays = next.ip4_id() == first.ip4_id() && first.dont_fragment();
  if (segments == 1) fixed = !counts;
  return fixed ? stays : counts;
}

ports::FrameMeta partial_meta(const FrameInfo& info) {
  ports::FrameMeta meta;
  meta.header_size = static_cast<std::uint16_t>(info.payload_offset);
  meta.checksum_partial = true;
  meta.csum_start = static_cast<std::uint16_t>(info.l4_offset);
  meta.csum_offset = static_cast<std::uint16_t>(info.checksum_offset());
  return meta;
}

}  // namespace

Coalescer::Coalescer(Offloads offloads) : offloads_(offloads) {
  runs_.reserve(kMaxFrames);
  tails_.reserve(kMaxFrames);
  ethernets_.reserve(kMaxFrames);
  pieces_.reserve(2 * kMaxFrames);
  writes_.reserve(kMaxFrames);
}

void Coalescer::reset() {
  runs_.clear();
  tails_.clear();
  ethernets_.clear();
  pieces_.clear();
  writes_.clear();
  open_count_ = 0;
  frames_ = 0;
}

bool Coalescer::add(const Inner& inner) {
  if (frames_ == kMaxFrames) return false;
  ++frames_;
  if (!inner.info.plain_transport()) {
    // A fragment belongs to a flow that it does not name, so nothing may overtake it.
    const bool nameless =
        inner.info.fragment || inner.info.protocol == kProtocolTcp || inner.info.protocol == kProtocolUdp;
    if (nameless) open_count_ = 0;
    new_run(inner);
    return true;
  }
  const std::uint32_t hash = flow_hash(Headers(inner));
  Open* const met = find(hash, inner);
  const bool joins = joinable(inner);
  if (met != nullptr) {
    met->met = ++clock_;
    if (joins && extend(runs_[met->run], inner)) {
      if (!grows(runs_[met->run])) close(*met);
      return true;
    }
    close(*met);
  }
  const std::uint32_t run = new_run(inner);
  if (joins && grows(runs_[run])) open(hash, run);
  return true;
}

// Whether the frame can be part of a run, including as its first.
bool Coalescer::joinable(const Inner& inner) const {
  const Headers h(inner);
  if (!offloads_.checksum || !(h.tcp() ? offloads_.tso : offloads_.uso)) return false;
  if (h.payload_size() == 0 || inner.info.ip_end != inner.frame_size()) return false;
  // No IPv4 options, no IPv6 extension headers, and no IPv4 flags except DF.
  const std::size_t ip_size = inner.info.l4_offset - inner.info.l3_offset;
  if (ip_size != (inner.info.ip_version == 4 ? kIp4Size : kIp6Size)) return false;
  if (inner.info.ip_version == 4) {
    if ((load_be16(h.ip + 6) & ~kDontFragment) != 0) return false;
    // The joined header gets a correct checksum, which must not cover up a wrong one in any of its segments.
    if (!verifies(add_bytes(0, ByteView(h.ip, kIp4Size)))) return false;
  }
  if (h.tcp()) return (h.tcp_flags() & ~(kTcpCutFlags | kTcpEce)) == kTcpAck;
  return inner.checksum_partial || h.checksum_field() != 0;  // a UDP datagram may have none
}

// Whether a run can take another segment: its last one was not short, pushed or the flow's end, and it is not full.
bool Coalescer::grows(const Run& run) {
  const Headers h(run.first);
  if (run.payload != run.segments * run.gso_size) return false;
  if (h.tcp() && (h.tcp_flags() & (kTcpFin | kTcpPsh)) != 0) return false;
  return run.segments < (h.tcp() ? kMaxRunSegments : kMaxUdpSegments);
}

// Appends a frame of the same flow, if it continues the run.
bool Coalescer::extend(Run& run, const Inner& inner) {
  const Headers a(run.first);
  const Headers b(inner);
  const std::size_t size = b.payload_size();
  if (size > run.gso_size || a.info.payload_offset - a.info.l3_offset + run.payload + size > kMaxIpBytes) return false;
  if (!same_ip_rules(a, b)) return false;
  if (a.tcp() && (load_be32(b.l4 + kTcpSequence) != run.sequence || !same_tcp_rules(a, b))) return false;
  bool fixed_id = run.fixed_id;
  if (a.info.ip_version == 4 && !id_follows(a, b, run.segments, fixed_id)) return false;
  if (!proved(run, inner)) return false;

  run.fixed_id = fixed_id;
  run.sequence += static_cast<std::uint32_t>(size);
  run.payload += size;
  ++run.segments;
  if (a.tcp()) a.l4[kTcpFlags] |= b.l4[kTcpFlags];  // FIN, PSH
  const auto tail = static_cast<std::uint32_t>(tails_.size());
  tails_.push_back({ByteView(inner.at(inner.info.payload_offset), size), kNone});
  if (run.list_tail == kNone) {
    run.list_head = tail;
  } else {
    tails_[run.list_tail].next = tail;
  }
  run.list_tail = tail;
  return true;
}

// A joined frame claims that all its checksums were correct, so computed ones are verified first. The first frame's
// verification waits until there is something to join.
bool Coalescer::proved(Run& run, const Inner& inner) {
  if (run.proof == Proof::unverified) {
    if (!checksum_proved(Headers(run.first))) return false;
    run.proof = Proof::verified;
  }
  return inner.checksum_partial || checksum_proved(Headers(inner));
}

std::uint32_t Coalescer::new_run(const Inner& inner) {
  Run& run = runs_.emplace_back();
  run.first = inner;
  if (inner.elided) run.ethernet = keep_ethernet(inner);
  if (inner.checksum_partial) run.proof = Proof::partial;
  if (inner.info.plain_transport()) {
    const Headers h(inner);
    run.payload = run.gso_size = h.payload_size();
    if (h.tcp()) run.sequence = load_be32(h.l4 + kTcpSequence) + static_cast<std::uint32_t>(run.payload);
  }
  return static_cast<std::uint32_t>(runs_.size() - 1);
}

// Packets of one peer are consecutive, so the last header kept is most often the same.
const std::byte* Coalescer::keep_ethernet(const Inner& inner) {
  if (ethernets_.empty() || ethernets_.back() != inner.ethernet) ethernets_.push_back(inner.ethernet);
  return ethernets_.back().data();
}

Coalescer::Open* Coalescer::find(std::uint32_t hash, const Inner& inner) {
  for (Open& open : std::span(open_).first(open_count_)) {
    if (open.hash == hash && same_flow(runs_[open.run].first, inner)) return &open;
  }
  return nullptr;
}

void Coalescer::open(std::uint32_t hash, std::uint32_t run) {
  const auto oldest = [](const Open& a, const Open& b) { return a.met < b.met; };
  Open& slot =
      open_count_ < kMaxOpenRuns ? open_[open_count_++] : *std::min_element(open_.begin(), open_.end(), oldest);
  slot = {hash, run, ++clock_};
}

void Coalescer::close(Open& open) {
  open = open_[--open_count_];
}

std::span<const ports::TapWrite> Coalescer::finish() {
  EPS_CHECK(writes_.empty());  // finish() follows reset()
  for (Run& run : runs_) {
    ports::TapWrite& write = writes_.emplace_back();
    const std::size_t begin = pieces_.size();
    if (run.first.elided) pieces_.emplace_back(run.ethernet, kEthernetSize);
    if (run.segments == 1) {
      finish_one(run, write.meta);
      pieces_.emplace_back(run.first.bytes);
    } else {
      finish_joined(run, write.meta);
      pieces_.emplace_back(run.first.bytes);
      for (std::uint32_t i = run.list_head; i != kNone; i = tails_[i].next) pieces_.push_back(tails_[i].payload);
    }
    write.pieces = std::span(pieces_).subspan(begin);
  }
  open_count_ = 0;
  return writes_;
}

void Coalescer::finish_one(const Run& run, ports::FrameMeta& meta) const {
  if (run.proof != Proof::partial) {
    meta.checksum_valid = run.proof == Proof::verified;
  } else {
    // Even where the kernel would do it later: programs that read packets themselves (DHCP clients, captures) see them
    // earlier, and a frame that leaves through another device needs it anyway.
    const Headers h(run.first);
    std::byte* const field = h.l4 + h.info.checksum_offset();
    // From the addresses again, so that the sender's value in the field does not count.
    store_be16(field, 0);
    const Sum pseudo = pseudo_header_sum(h.info.ip_version, h.ip, h.info.protocol, h.l4_size());
    store_be16(field, nonzero_checksum(add_bytes(pseudo, ByteView(h.l4, h.l4_size()))));
    meta.checksum_valid = offloads_.checksum;
  }
}

// Turns the first frame's headers into those of the super-frame.
void Coalescer::finish_joined(const Run& run, ports::FrameMeta& meta) {
  const Headers h(run.first);
  const std::size_t ip_size = h.info.l4_offset - h.info.l3_offset;
  const std::size_t l4_size = h.info.payload_offset - h.info.l4_offset + run.payload;
  if (h.info.ip_version == 4) {
    store_be16(h.ip + 2, static_cast<std::uint16_t>(ip_size + l4_size));
    store_be16(h.ip + 10, 0);
    store_be16(h.ip + 10, checksum(add_bytes(0, ByteView(h.ip, ip_size))));
  } else {
    store_be16(h.ip + 4, static_cast<std::uint16_t>(l4_size));
  }
  if (!h.tcp()) store_be16(h.l4 + kUdpLength, static_cast<std::uint16_t>(l4_size));
  store_be16(h.l4 + h.info.checksum_offset(),
             fold(pseudo_header_sum(h.info.ip_version, h.ip, h.info.protocol, l4_size)));
  meta = partial_meta(h.info);
  meta.gso = !h.tcp() ? ports::Gso::udp : h.info.ip_version == 4 ? ports::Gso::tcp4 : ports::Gso::tcp6;
  meta.gso_size = static_cast<std::uint16_t>(run.gso_size);
}

}  // namespace eps::l2
