// SPDX-License-Identifier: MIT
#include "l2/segment.h"

#include <algorithm>

#include "l2/checksum.h"
#include "wire/datagram.h"

namespace eps::l2 {
namespace {

// If headers leave less room than this, cutting is not worth its overhead.
constexpr std::size_t kMinCut = 128;

// Whether the receiver, which knows both MACs and sees the IP version, can restore the Ethernet header exactly.
bool restorable(const FrameInfo& info, std::size_t frame_size, const MacPair& macs) {
  return info.ip_version != 0 && !info.vlan && info.ip_end == frame_size && info.src == macs.self &&
         info.dst == macs.peer;
}

std::byte kind_byte(const FrameInfo& info, bool elided, bool partial) {
  const wire::Kind kind = !elided ? wire::Kind::frame : info.ip_version == 4 ? wire::Kind::ipv4 : wire::Kind::ipv6;
  return static_cast<std::byte>(static_cast<unsigned>(kind) | (partial ? wire::kChecksumPartial : 0U));
}

// The kernel's metadata of a super-frame must agree with its headers.
bool gso_fits(const ports::TapFrame& frame, const FrameInfo& info) {
  const bool tcp = frame.meta.gso != ports::Gso::udp;
  if (!info.plain_transport() || info.ip_end != frame.bytes.size()) return false;
  if (info.protocol != (tcp ? kProtocolTcp : kProtocolUdp)) return false;
  if (tcp && info.ip_version != (frame.meta.gso == ports::Gso::tcp4 ? 4 : 6)) return false;
  const bool checksum_fits =
      frame.meta.csum_start == info.l4_offset && frame.meta.csum_offset == info.checksum_offset();
  return frame.meta.gso_size != 0 && (!frame.meta.checksum_partial || checksum_fits);
}

// Signatures cover the options and the whole segment (RFC 2385, RFC 5925).
bool signs(std::uint8_t option) {
  return option == kTcpOptionMd5 || option == kTcpOptionAo;
}

// Calls `visit(kind, value)` for each option of the TCP header. False as soon as `visit` says so, or when the options
// are malformed.
template <typename Visit>
bool each_option(const ports::TapFrame& frame, const FrameInfo& info, Visit visit) {
  ByteView options = ByteView(frame.bytes).subspan(info.l4_offset, info.payload_offset - info.l4_offset);
  for (options = options.subspan(kTcpSize); !options.empty() && options[0] != std::byte{kTcpOptionEnd};) {
    const auto kind = std::to_integer<std::uint8_t>(options[0]);
    if (kind == kTcpOptionNop) {
      options = options.subspan(1);
      continue;
    }
    const std::size_t size = options.size() < 2 ? 0 : std::to_integer<std::size_t>(options[1]);
    if (size < 2 || size > options.size() || !visit(kind, options.subspan(2, size - 2))) return false;
    options = options.subspan(size);
  }
  return true;
}

// Whether TCP allows segments smaller than its sender intended: not if the position of urgent data counts, nor in a
// SYN, whose payload is not part of the stream yet, nor if a signature covers the segment.
bool divisible(const ports::TapFrame& frame, const FrameInfo& info) {
  if (info.protocol != kProtocolTcp || !info.plain_transport() || info.ip_end != frame.bytes.size()) return false;
  const std::byte* tcp = frame.bytes.data() + info.l4_offset;
  if ((tcp[kTcpFlags] & std::byte{kTcpSyn | kTcpUrg | kTcpRst}) != std::byte{0}) return false;
  return each_option(frame, info, [](std::uint8_t kind, ByteView) { return !signs(kind); });
}

// The position in the frame of a SYN's MSS option value, if it may be changed; 0: none.
std::size_t mss_at(const ports::TapFrame& frame, const FrameInfo& info) {
  if (info.protocol != kProtocolTcp || !info.plain_transport()) return 0;
  if ((frame.bytes[info.l4_offset + kTcpFlags] & std::byte{kTcpSyn}) == std::byte{0}) return 0;
  std::size_t at = 0;
  const bool sound = each_option(frame, info, [&](std::uint8_t kind, ByteView value) {
    if (kind == kTcpOptionMss && value.size() == 2) at = static_cast<std::size_t>(value.data() - frame.bytes.data());
    return !signs(kind);
  });
  return sound ? at : 0;
}

// `at` and `l4` are positions in `head`.
void lower_mss(std::byte* head, std::size_t at, std::size_t l4, std::uint16_t to, bool checksum_complete) {
  const std::uint16_t from = load_be16(head + at);
  store_be16(head + at, to);
  if (!checksum_complete) return;
  // Options need not be aligned.
  const bool odd = (at - l4) % 2 != 0;
  const auto word = [odd](std::uint16_t v) { return odd ? static_cast<std::uint16_t>(v << 8 | v >> 8) : v; };
  std::byte* field = head + l4 + kTcpChecksum;
  store_be16(field, updated_checksum(load_be16(field), word(from), word(to)));
}

// Whether the checksum of a lone TCP segment is left to the device, or is correct: each piece gets one of its own,
// which must not repair what was broken on its way here.
bool checksum_is_sound(const ports::TapFrame& frame, const FrameInfo& info) {
  const std::size_t size = frame.bytes.size() - info.l4_offset;
  if (frame.meta.checksum_partial) {
    return frame.meta.csum_start == info.l4_offset && frame.meta.csum_offset == info.checksum_offset();
  }
  const std::byte* ip = frame.bytes.data() + info.l3_offset;
  const Sum sum = pseudo_header_sum(info.ip_version, ip, info.protocol, size);
  return verifies(add_bytes(sum, ByteView(frame.bytes).subspan(info.l4_offset)));
}

// The payload of each segment that the frame is cut into; 0: it stays one.
std::size_t step_of(const ports::TapFrame& frame, const FrameInfo& info, std::size_t skip, std::size_t limit) {
  const bool super = frame.meta.gso != ports::Gso::none;
  const std::size_t headers = 1 + info.payload_offset - skip;
  const std::size_t step = frame.meta.gso_size;
  if (!super && 1 + frame.bytes.size() - skip <= limit) return 0;
  if (super && (headers + step <= limit || frame.meta.gso == ports::Gso::udp)) return step;
  const bool cut = headers + kMinCut <= limit && divisible(frame, info) && (super || checksum_is_sound(frame, info));
  return cut ? limit - headers : step;
}

// Writes the headers of one segment after another, each over its own part of the super-frame's payload. Positions are
// those in a head without its kind byte.
class HeaderCutter {
 public:
  HeaderCutter(ByteView headers, const FrameInfo& info, std::size_t skip)
      : headers_(headers),
        l3_(info.l3_offset - skip),
        l4_(info.l4_offset - skip),
        ip_version_(info.ip_version),
        protocol_(info.protocol),
        checksum_at_(l4_ + info.checksum_offset()) {
    const std::byte* ip = headers.data() + l3_;
    addresses_ = add_addresses(0, ip_version_, ip);
    if (ip_version_ == 4) {
      // The sum of the IPv4 header without the fields that differ: length, id and checksum.
      ip_sum_ = add_bytes(add_bytes(add_bytes(0, {ip, 2}), {ip + 6, 4}), {ip + 12, l4_ - l3_ - 12});
      id_ = load_be16(ip + 4);
    }
    if (protocol_ == kProtocolTcp) sequence_ = load_be32(headers.data() + l4_ + kTcpSequence);
  }

  // `index` and `at` are the segment's number and its payload's position in the whole payload.
  void write(std::byte* out, std::size_t index, std::size_t at, ByteView payload, bool last) const {
    std::memcpy(out, headers_.data(), headers_.size());
    const std::size_t l4_size = headers_.size() - l4_ + payload.size();
    put_ip(out + l3_, index, l4_size);
    std::byte* l4 = out + l4_;
    if (protocol_ == kProtocolTcp) {
      store_be32(l4 + kTcpSequence, static_cast<std::uint32_t>(sequence_ + at));
      std::uint8_t flags = std::to_integer<std::uint8_t>(l4[kTcpFlags]);
      if (!last) flags &= static_cast<std::uint8_t>(~(kTcpFin | kTcpPsh));
      if (index != 0) flags &= static_cast<std::uint8_t>(~kTcpCwr);  // RFC 3168: once per reduction
      l4[kTcpFlags] = std::byte{flags};
    } else {
      store_be16(l4 + kUdpLength, static_cast<std::uint16_t>(l4_size));
    }
    store_be16(out + checksum_at_, fold(add_pseudo_tail(addresses_, protocol_, l4_size)));
  }

  // Turns the pseudo-header sum that write() left into the checksum. Transport headers have an even length.
  void complete(std::byte* out, ByteView payload) const {
    const Sum sum = add_bytes(add_bytes(0, {out + l4_, headers_.size() - l4_}), payload);
    store_be16(out + checksum_at_, nonzero_checksum(sum));
  }

 private:
  void put_ip(std::byte* ip, std::size_t index, std::size_t l4_size) const {
    const std::size_t header = l4_ - l3_;
    if (ip_version_ == 6) return store_be16(ip + 4, static_cast<std::uint16_t>(header - kIp6Size + l4_size));
    const auto total = static_cast<std::uint16_t>(header + l4_size);
    const auto id = static_cast<std::uint16_t>(id_ + index);
    store_be16(ip + 2, total);
    store_be16(ip + 4, id);
    store_be16(ip + 10, checksum(add_word(add_word(ip_sum_, total), id)));
  }

  ByteView headers_;
  std::size_t l3_;
  std::size_t l4_;
  std::uint8_t ip_version_;
  std::uint8_t protocol_;
  std::size_t checksum_at_;
  Sum addresses_ = 0;
  Sum ip_sum_ = 0;
  std::uint16_t id_ = 0;
  std::uint32_t sequence_ = 0;
};

}  // namespace

Segmenter::Segmenter(bool carry_checksums) : carry_checksums_(carry_checksums), arena_(new std::byte[kArenaSize]) {
  segments_.reserve(kMaxSegments);
}

Drop Segmenter::split(const ports::TapFrame& frame, const MacPair* elide, std::span<const Segment>& out,
                      Limits limits) {
  const auto info = parse_frame(frame.bytes);
  if (info) return split(frame, *info, elide, out, limits);
  out = {};
  return Drop::malformed;
}

Drop Segmenter::split(const ports::TapFrame& frame, const FrameInfo& info, const MacPair* elide,
                      std::span<const Segment>& out, Limits limits) {
  segments_.clear();
  used_ = 0;
  const bool elided = elide != nullptr && restorable(info, frame.bytes.size(), *elide);
  const std::size_t skip = elided ? kEthernetSize : 0;
  const std::size_t step = step_of(frame, info, skip, limits.segment);
  const bool one = step == 0 && frame.meta.gso == ports::Gso::none;
  const bool ok = one ? split_one(frame, info, skip, limits.promised) : split_many(frame, info, skip, step);
  if (!ok) segments_.clear();
  out = segments_;
  return ok ? Drop::none : Drop::malformed;
}

std::byte* Segmenter::take(std::size_t size) {
  if (size > kArenaSize - used_) return nullptr;
  std::byte* out = arena_.get() + used_;
  used_ += size;
  return out;
}

// One segment. The head is the kind byte alone, or extends beyond what is filled in here: a checksum field, or the MSS
// of a SYN.
bool Segmenter::split_one(const ports::TapFrame& frame, const FrameInfo& info, std::size_t skip, std::size_t promised) {
  const ports::FrameMeta& meta = frame.meta;
  const ByteView bytes = frame.bytes;
  const std::size_t field = std::size_t{meta.csum_start} + meta.csum_offset;
  bool partial = false;
  std::size_t body_at = skip;
  if (meta.checksum_partial) {
    if (meta.csum_start < kEthernetSize || field + 2 > bytes.size()) return false;
    const bool derivable = info.plain_transport() && info.ip_end == bytes.size() && meta.csum_start == info.l4_offset &&
                           meta.csum_offset == info.checksum_offset();
    partial = derivable && carry_checksums_;
    if (!partial) body_at = field + 2;
  }
  const bool checksum_filled = body_at != skip;
  const std::size_t headers = 1 + info.l4_offset + kTcpSize - skip;
  const std::size_t mss = promised == kNoLimit || headers + kMinCut > promised ? 0 : mss_at(frame, info);
  const bool lower = mss != 0 && headers + load_be16(bytes.data() + mss) > promised;
  if (lower) body_at = std::max(body_at, info.payload_offset);
  std::byte* head = take(1 + body_at - skip);
  if (head == nullptr) return false;
  head[0] = kind_byte(info, skip != 0, partial);
  std::memcpy(head + 1, bytes.data() + skip, body_at - skip);
  if (checksum_filled) {
    // The field already holds the sum of the pseudo-header, so it is included as it is.
    store_be16(head + 1 + (field - skip), nonzero_checksum(add_bytes(0, bytes.subspan(meta.csum_start))));
  }
  if (lower) {
    lower_mss(head + 1, mss - skip, info.l4_offset - skip, static_cast<std::uint16_t>(promised - headers), !partial);
  }
  segments_.push_back({{head, 1 + body_at - skip}, bytes.subspan(body_at), static_cast<std::uint32_t>(bytes.size())});
  return true;
}

bool Segmenter::split_many(const ports::TapFrame& frame, const FrameInfo& info, std::size_t skip, std::size_t step) {
  if (frame.meta.gso != ports::Gso::none && !gso_fits(frame, info)) return false;
  const ByteView headers = ByteView(frame.bytes).subspan(skip, info.payload_offset - skip);
  const ByteView payload = ByteView(frame.bytes).subspan(info.payload_offset);
  const std::size_t count = std::max<std::size_t>(1, (payload.size() + step - 1) / step);
  if (count > kMaxSegments) return false;
  const HeaderCutter cutter(headers, info, skip);
  const std::byte kind = kind_byte(info, skip != 0, carry_checksums_);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = i * step;
    const ByteView part = payload.subspan(at, std::min(step, payload.size() - at));
    std::byte* head = take(1 + headers.size());
    if (head == nullptr) return false;
    head[0] = kind;
    cutter.write(head + 1, i, at, part, i + 1 == count);
    if (!carry_checksums_) cutter.complete(head + 1, part);
    segments_.push_back(
        {{head, 1 + headers.size()}, part, static_cast<std::uint32_t>(info.payload_offset + part.size())});
  }
  return true;
}

}  // namespace eps::l2
