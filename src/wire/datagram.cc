// SPDX-License-Identifier: MIT
#include "wire/datagram.h"

#include <algorithm>

#include "base/check.h"

namespace eps::wire {
namespace {

constexpr std::size_t kTypeAndIndexSize = 4;  // the type byte and one 24-bit index: how most datagrams begin
constexpr std::size_t kMacsSize = 2 * kMacSize;

// Noise_IKpsk2 with an empty payload: e, encrypted s, the payload's tag; the response has no s.
constexpr std::size_t kMinInitiationNoise = 32 + 48 + kTagSize;
constexpr std::size_t kMinResponseNoise = 32 + kTagSize;
constexpr std::size_t kInitiationHeaderSize = kTypeAndIndexSize;
constexpr std::size_t kResponseHeaderSize = kTypeAndIndexSize + 3;

constexpr std::byte byte_of(Type type) {
  return static_cast<std::byte>(type);
}

bool is(ByteView datagram, Type type) {
  return !datagram.empty() && datagram[0] == byte_of(type);
}

bool handshake_fits(ByteView datagram, std::size_t header_size, std::size_t min_noise) {
  return datagram.size() >= header_size + min_noise + kMacsSize && datagram.size() <= kMaxHandshakeSize;
}

ByteView noise_of(ByteView datagram, std::size_t header_size) {
  return datagram.subspan(header_size, datagram.size() - header_size - kMacsSize);
}

void put_type_and_index(std::byte* out, Type type, std::uint32_t index) {
  out[0] = byte_of(type);
  store_be24(out + 1, index);
}

}  // namespace

std::optional<Type> type_of(ByteView datagram) {
  if (datagram.empty()) return std::nullopt;
  const auto value = std::to_integer<std::uint8_t>(datagram[0]);
  if (value < static_cast<std::uint8_t>(Type::initiation) || value > static_cast<std::uint8_t>(Type::number_reply)) {
    return std::nullopt;
  }
  return static_cast<Type>(value);
}

void put_data_header(std::byte* out, const DataHeader& header) {
  put_type_and_index(out, Type::data, header.receiver);
  store_be32(out + 4, header.counter);
}

std::optional<DataHeader> parse_data_header(ByteView datagram) {
  if (datagram.size() < kDataOverhead || !is(datagram, Type::data)) return std::nullopt;
  return DataHeader{.receiver = load_be24(datagram.data() + 1), .counter = load_be32(datagram.data() + 4)};
}

void put_relay_header(std::byte* out, const RelayHeader& header) {
  put_type_and_index(out, Type::relay, header.member.value);
  store_be32(out + 4, header.tag);
}

void put_fragment_header(std::byte* out, const Fragment& fragment) {
  store_be32(out, fragment.id);
  store_be16(out + 4, fragment.total);
  out[6] = std::byte{fragment.index};
  out[7] = std::byte{fragment.count};
}

std::optional<Fragment> parse_fragment(ByteView content) {
  Reader in(content);
  Fragment f{.id = in.u32(), .total = in.u16(), .index = in.u8(), .count = in.u8()};
  if (!in.ok() || f.count < 2 || f.index >= f.count || (f.count - 1) * f.piece() >= f.total) return std::nullopt;
  if (in.remaining() != f.size()) return std::nullopt;
  return f;
}

std::optional<RelayHeader> parse_relay_header(ByteView datagram) {
  if (datagram.size() <= kRelayHeaderSize || !is(datagram, Type::relay)) return std::nullopt;
  // One relay a path: an envelope in an envelope could otherwise send a datagram around for as long as it is deep.
  if (is(datagram.subspan(kRelayHeaderSize), Type::relay)) return std::nullopt;
  return RelayHeader{.member = {load_be24(datagram.data() + 1)}, .tag = load_be32(datagram.data() + 4)};
}

Bytes make_initiation(std::uint32_t sender, ByteView noise) {
  EPS_CHECK(sender <= kMaxIndex);
  EPS_CHECK(kInitiationHeaderSize + noise.size() + kMacsSize <= kMaxHandshakeSize);
  Bytes out;
  out.reserve(kInitiationHeaderSize + noise.size() + kMacsSize);
  Writer writer(out);
  writer.u8(static_cast<std::uint8_t>(Type::initiation));
  writer.u24(sender);
  writer.bytes(noise);
  return out;
}

Bytes make_response(std::uint32_t sender, std::uint32_t receiver, ByteView noise) {
  EPS_CHECK(sender <= kMaxIndex && receiver <= kMaxIndex);
  EPS_CHECK(kResponseHeaderSize + noise.size() + kMacsSize <= kMaxHandshakeSize);
  Bytes out;
  out.reserve(kResponseHeaderSize + noise.size() + kMacsSize);
  Writer writer(out);
  writer.u8(static_cast<std::uint8_t>(Type::response));
  writer.u24(sender);
  writer.u24(receiver);
  writer.bytes(noise);
  return out;
}

std::optional<Initiation> parse_initiation(ByteView datagram) {
  if (!is(datagram, Type::initiation)) return std::nullopt;
  if (!handshake_fits(datagram, kInitiationHeaderSize, kMinInitiationNoise)) return std::nullopt;
  return Initiation{.sender = load_be24(datagram.data() + 1), .noise = noise_of(datagram, kInitiationHeaderSize)};
}

std::optional<Response> parse_response(ByteView datagram) {
  if (!is(datagram, Type::response)) return std::nullopt;
  if (!handshake_fits(datagram, kResponseHeaderSize, kMinResponseNoise)) return std::nullopt;
  return Response{.sender = load_be24(datagram.data() + 1),
                  .receiver = load_be24(datagram.data() + 4),
                  .noise = noise_of(datagram, kResponseHeaderSize)};
}

namespace {
constexpr std::size_t kBindFlagsAt = 12;
constexpr std::uint8_t kObserveOnly = 1;
constexpr std::uint8_t kTwice = 2;
constexpr std::uint8_t kCanEcho = 4;
constexpr std::size_t kRequestEchoAt = 13;
}  // namespace

// A reply to an address that somebody else wrote into a request must not be larger than the request.
static_assert(kBindReplySize + kBindEchoSize <= kBindRequestSize);

std::optional<BindRequest> parse_bind_request(ByteView datagram) {
  if (datagram.size() != kBindRequestSize || !is(datagram, Type::bind_request)) return std::nullopt;
  const auto flags = std::to_integer<std::uint8_t>(datagram[kBindFlagsAt]);
  return BindRequest{.member = {load_be24(datagram.data() + 1)},
                     .number = load_be64(datagram.data() + 4),
                     .observe_only = (flags & kObserveOnly) != 0,
                     .twice = (flags & kTwice) != 0,
                     .can_echo = (flags & kCanEcho) != 0,
                     .echo = load_be64(datagram.data() + kRequestEchoAt)};
}

std::optional<BindReply> parse_bind_reply(ByteView datagram) {
  const bool echo = datagram.size() == kBindReplySize + kBindEchoSize;
  if ((!echo && datagram.size() != kBindReplySize) || !is(datagram, Type::bind_reply)) return std::nullopt;
  Reader reader(datagram.subspan(1));
  BindReply reply;
  reply.member = {reader.u24()};
  reply.number = reader.u64();
  reply.observed.ip.bytes = reader.array<16>();
  reply.observed.port = reader.u16();
  reply.second_port = reader.u16();
  if (echo) reply.echo = reader.u64();
  return reply;
}

std::array<std::byte, kBindRequestSize> make_bind_request(const BindRequest& request) {
  std::array<std::byte, kBindRequestSize> out{};
  put_type_and_index(out.data(), Type::bind_request, request.member.value);
  store_be64(out.data() + 4, request.number);
  out[kBindFlagsAt] = static_cast<std::byte>((request.observe_only ? kObserveOnly : 0) | (request.twice ? kTwice : 0) |
                                             (request.can_echo ? kCanEcho : 0));
  store_be64(out.data() + kRequestEchoAt, request.echo);
  return out;
}

Bytes make_bind_reply(const BindReply& reply) {
  Bytes out(kBindReplySize + (reply.echo ? kBindEchoSize : 0));
  put_type_and_index(out.data(), Type::bind_reply, reply.member.value);
  store_be64(out.data() + 4, reply.number);
  std::copy(reply.observed.ip.bytes.begin(), reply.observed.ip.bytes.end(), out.begin() + 12);
  store_be16(out.data() + 28, reply.observed.port);
  store_be16(out.data() + 30, reply.second_port);
  if (reply.echo) store_be64(out.data() + 32, *reply.echo);
  return out;
}

}  // namespace eps::wire
