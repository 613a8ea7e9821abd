// SPDX-License-Identifier: MIT
#pragma once

// The layout of every UDP datagram, and the limits that follow from it. All numbers are big-endian.
//
//   data            0      1          4           8                               n-16      n
//                   | type | receiver | counter   | sealed: kind byte, frame ...  | tag     |
//                   |   4  | index 24 |        32 |                               |     128 |
//                   The first 8 bytes are the additional data of the AEAD; the nonce is the counter.
//                   Cost of an ordinary unicast IP packet (Ethernet header elided): 8 + 1 + 16 = 25 bytes.
//
//   relay envelope  0      1          4           8
//                   | type | member   | tag       | a whole datagram of another type ...
//                   |   5  |   24     |        32 |
//                   To the relay: `member` is the destination, `tag` proves the sender together with its endpoint.
//                   From the relay: `member` is the origin, `tag` is the one the receiver was given (the relay
//                   rewrites these 7 bytes and nothing else).
//
//   initiation      | type 1 | sender index 24 | e 256 | s 384 | payload ... tag | mac1 128 | mac2 128 |
//   response        | type 2 | sender index 24 | receiver index 24 | e 256 | payload ... tag | mac1 128 | mac2 128 |
//   cookie reply    | type 3 | receiver index 24 | nonce 96 | sealed cookie 128 + tag 128 |
//   number reply    | type 8 | receiver index 24 | nonce 96 | sealed number 64 + tag 128 |   (noise/number_reply.h)
//   bind request    | type 6 | member 24 | number 64 | flags 8 | echo 64 | zeros ... | mac 128 |   (64 bytes)
//   bind reply      | type 7 | member 24 | number 64 | observed ip 128, port 16 | second port 16 | mac 128 |
//                   and before the MAC, if the client can echo: | echo 64 |
//
// The sum behind kOldMtu, on an underlay of 1500 bytes:
//   IPv6 40 + UDP 8 + relay envelope 8 + data header 8 + kind 1 + Ethernet 14 + VLAN tag 4 + MTU 1400 + tag 16 = 1499.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/types.h"

namespace eps::wire {

enum class Type : std::uint8_t {
  initiation = 1,
  response = 2,
  cookie_reply = 3,
  data = 4,
  relay = 5,
  bind_request = 6,
  bind_reply = 7,
  number_reply = 8,
};
// nullopt for an empty datagram or an unknown type.
std::optional<Type> type_of(ByteView datagram);

inline constexpr std::uint32_t kMaxIndex = (1U << 24) - 1;

inline constexpr std::size_t kDataHeaderSize = 8;
inline constexpr std::size_t kTagSize = 16;
inline constexpr std::size_t kDataOverhead = kDataHeaderSize + 1 + kTagSize;
inline constexpr std::size_t kRelayHeaderSize = 8;
inline constexpr std::size_t kBindRequestSize = 64;
inline constexpr std::size_t kMacSize = 16;

// The first sealed byte of a data datagram. The low bits say what follows; the flag is the only other bit in use, and
// a receiver drops a datagram with any other bit set.
enum class Kind : std::uint8_t {
  frame = 1,     // a whole Ethernet frame
  ipv4 = 2,      // an IPv4 packet; both MACs are the session's, EtherType 0x0800
  ipv6 = 3,      // an IPv6 packet; both MACs are the session's, EtherType 0x86dd
  control = 4,   // a message of the path protocol (mesh/)
  fragment = 5,  // a piece of what would be sealed whole, if the path took it; to peers with Feature::path_mtu
};

// A fragment, behind its kind byte. All pieces but the last have ceil(total / count) bytes, so that each says where it
// belongs: | id 32 | total 16 | index 8 | count 8 | bytes of the whole, which begins with a kind byte ... |
struct Fragment {
  std::uint32_t id = 0;     // the same in all pieces of one whole
  std::uint16_t total = 0;  // bytes of the whole
  std::uint8_t index = 0;
  std::uint8_t count = 0;
  std::size_t piece() const { return (std::size_t{total} + count - 1) / count; }
  std::size_t offset() const { return index * piece(); }
  std::size_t size() const { return index + 1 < count ? piece() : total - offset(); }
};
inline constexpr std::size_t kFragmentHeaderSize = 8;
inline constexpr std::size_t kMaxFragments = 255;
void put_fragment_header(std::byte* out, const Fragment& fragment);
// nullopt unless it is one of two or more pieces that make up `total`, with as many bytes as its position requires.
std::optional<Fragment> parse_fragment(ByteView content);

inline constexpr std::uint8_t kKindMask = 0x07;
inline constexpr std::uint8_t kChecksumPartial = 0x80;  // the transport checksum is not computed

struct DataHeader {
  std::uint32_t receiver = 0;
  std::uint32_t counter = 0;
};
void put_data_header(std::byte* out, const DataHeader& header);
// nullopt if it is too short to hold a header, a kind byte and a tag, or no data datagram.
std::optional<DataHeader> parse_data_header(ByteView datagram);

struct RelayHeader {
  MemberId member;
  std::uint32_t tag = 0;
  bool operator==(const RelayHeader&) const = default;
};
void put_relay_header(std::byte* out, const RelayHeader& header);
// nullopt if nothing follows the envelope, another envelope follows, or it is none.
std::optional<RelayHeader> parse_relay_header(ByteView datagram);

// Initiation and response without the envelope of their MACs: `noise` views the handshake message itself.
struct Initiation {
  std::uint32_t sender = 0;
  ByteView noise;
};
struct Response {
  std::uint32_t sender = 0;
  std::uint32_t receiver = 0;
  ByteView noise;
};
// Write header and noise message; mac1 and mac2 are appended by noise/cookie.h.
Bytes make_initiation(std::uint32_t sender, ByteView noise);
Bytes make_response(std::uint32_t sender, std::uint32_t receiver, ByteView noise);
// The datagram includes both MACs. nullopt if it is too short, too long (kMaxHandshakeSize) or another type.
inline constexpr std::size_t kMaxHandshakeSize = 512;
std::optional<Initiation> parse_initiation(ByteView datagram);
std::optional<Response> parse_response(ByteView datagram);

// Bind: a client proves its data socket's endpoint to the server and learns how the server sees it. The MAC key is
// given over the control channel, a new one for each connection; `number` grows with each request of that key.
struct BindRequest {
  MemberId member;
  std::uint64_t number = 0;
  bool observe_only = false;  // flag 1: report my endpoint as you see it, but keep relaying to the one bound before
  bool twice = false;         // flag 2: answer from your second port as well
  bool can_echo = false;      // flag 4: send me a number to echo from here
  std::uint64_t echo = 0;     // what the last reply to this socket said; 0: none came yet
};
struct BindReply {
  MemberId member;
  std::uint64_t number = 0;
  Endpoint observed;
  std::uint16_t second_port = 0;  // of the server, for finding out how a NAT behaves; 0: it has none
  // Only a receiver at `observed` can know it, and the server accepts no endpoint that has not echoed it. 0: the
  // endpoint needs no proof. nullopt: a request without can_echo, or a server of version 0.1.
  std::optional<std::uint64_t> echo = std::nullopt;
};
// Without checking the MAC, so that the server can find the key first.
std::optional<BindRequest> parse_bind_request(ByteView datagram);
std::optional<BindReply> parse_bind_reply(ByteView datagram);
// Everything but the MAC, whose place is the last 16 bytes, left zero.
std::array<std::byte, kBindRequestSize> make_bind_request(const BindRequest& request);
inline constexpr std::size_t kBindReplySize = 4 + 8 + 16 + 2 + 2 + kMacSize;
inline constexpr std::size_t kBindEchoSize = 8;
Bytes make_bind_reply(const BindReply& reply);

}  // namespace eps::wire
