// SPDX-License-Identifier: MIT

// Every parser of wire/datagram.h on arbitrary bytes: none reads outside the datagram, each agrees with the type byte,
// and accepted datagrams are encoded to the same bytes. The same for the messages of mesh/path_message.h.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "mesh/path_message.h"
#include "wire/datagram.h"

namespace {

using eps::Bytes;
using eps::ByteView;
namespace wire = eps::wire;

bool inside(ByteView part, ByteView whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

void check_headers(ByteView in) {
  std::array<std::byte, 8> again;
  if (const auto data = wire::parse_data_header(in)) {
    EPS_CHECK(wire::type_of(in) == wire::Type::data);
    wire::put_data_header(again.data(), *data);
    EPS_CHECK(eps::equal(again, in.first(again.size())));
  }
  if (const auto relay = wire::parse_relay_header(in)) {
    EPS_CHECK(wire::type_of(in) == wire::Type::relay);
    EPS_CHECK(!wire::parse_relay_header(in.subspan(wire::kRelayHeaderSize)));
    wire::put_relay_header(again.data(), *relay);
    EPS_CHECK(eps::equal(again, in.first(again.size())));
  }
}

void check_handshakes(ByteView in) {
  const auto is_front = [in](const Bytes& made) {
    return made.size() + 2 * wire::kMacSize == in.size() && eps::equal(made, in.first(made.size()));
  };
  if (const auto initiation = wire::parse_initiation(in)) {
    EPS_CHECK(wire::type_of(in) == wire::Type::initiation);
    EPS_CHECK(inside(initiation->noise, in));
    EPS_CHECK(is_front(wire::make_initiation(initiation->sender, initiation->noise)));
  }
  if (const auto response = wire::parse_response(in)) {
    EPS_CHECK(wire::type_of(in) == wire::Type::response);
    EPS_CHECK(inside(response->noise, in));
    EPS_CHECK(is_front(wire::make_response(response->sender, response->receiver, response->noise)));
  }
}

void check_bind(ByteView in) {
  if (const auto request = wire::parse_bind_request(in)) {
    EPS_CHECK(wire::type_of(in) == wire::Type::bind_request);
    EPS_CHECK(eps::equal(ByteView(wire::make_bind_request(*request)).first(12), in.first(12)));
  }
  if (const auto reply = wire::parse_bind_reply(in)) {
    EPS_CHECK(wire::type_of(in) == wire::Type::bind_reply);
    const auto again = wire::make_bind_reply(*reply);
    EPS_CHECK(eps::equal(ByteView(again).first(again.size() - wire::kMacSize), in.first(in.size() - wire::kMacSize)));
  }
}

// Zeros and the order of groups are not kept, so the second encoding is compared.
void check_path_message(ByteView in) {
  const auto message = eps::mesh::decode_path_message(in);
  if (!message) return;
  const Bytes once = eps::mesh::encode(*message);
  EPS_CHECK(once.size() == in.size());
  const auto again = eps::mesh::decode_path_message(once);
  EPS_CHECK(again && eps::mesh::encode(*again) == once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView in = std::as_bytes(std::span(data, size));
  check_headers(in);
  check_handshakes(in);
  check_bind(in);
  check_path_message(in);
  return 0;
}
