// SPDX-License-Identifier: MIT
#include "control/network_key.h"

#include <algorithm>

#include "crypto/primitives.h"

namespace eps::control {
namespace {

constexpr std::string_view kPrefix = "eps1-";
constexpr std::uint8_t kFormat = 1;
constexpr std::size_t kChecksumSize = 4;
constexpr std::size_t kFixedSize = 1 + 32 + 16;
constexpr std::size_t kMaxText = 1024;
constexpr std::uint8_t kJoinKeyField = 1, kLockField = 2;

constexpr const char* kWhereToGetIt =
    " Copy the whole line again: on the server, `eps key` prints it, and the key line of its configuration file holds "
    "it.";

Error bad_key(const std::string& why) {
  return make_error(Errc::invalid_argument, "The network key " + why + kWhereToGetIt);
}

crypto::Hash checksum_of(ByteView bytes) {
  return crypto::blake2s({as_view("eps network key"), bytes});
}

}  // namespace

std::string to_text(const NetworkKey& key) {
  Bytes raw;
  Writer w(raw);
  w.u8(kFormat);
  w.bytes(key.server.bytes);
  w.bytes(key.enrolment.view());
  if (key.join_key != 0) {
    w.u8(kJoinKeyField);
    w.u8(4);
    w.u32(key.join_key);
  }
  if (key.lock) {
    w.u8(kLockField);
    w.u8(static_cast<std::uint8_t>(key.lock->size()));
    w.bytes(*key.lock);
  }
  const crypto::Hash sum = checksum_of(raw);
  w.bytes(ByteView(sum).first(kChecksumSize));
  std::string text = std::string(kPrefix) + to_base32(raw);
  crypto::wipe(raw);
  return text;
}

Result<NetworkKey> parse_network_key(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return bad_key("is empty.");
  text = text.substr(first, text.find_last_not_of(kBlank) - first + 1);
  std::string prefix(text.substr(0, kPrefix.size()));
  std::transform(prefix.begin(), prefix.end(), prefix.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (prefix != kPrefix) return bad_key("does not begin with \"eps1-\".");
  if (text.size() > kMaxText) return bad_key("is far too long.");
  auto raw = from_base32(text.substr(kPrefix.size()));
  if (!raw) return bad_key("contains an invalid character, or its end is missing (allowed: a-z and 2-7).");
  if (raw->size() < kFixedSize + kChecksumSize) return bad_key("is too short.");
  const ByteView body = ByteView(*raw).first(raw->size() - kChecksumSize);
  const crypto::Hash sum = checksum_of(body);
  if (!equal(ByteView(sum).first(kChecksumSize), ByteView(*raw).last(kChecksumSize))) {
    return bad_key("is mistyped: its checksum does not match.");
  }
  Reader in(body);
  if (in.u8() != kFormat) return bad_key("is of a newer format: update this program.");
  NetworkKey key;
  key.server.bytes = in.array<32>();
  auto secret = in.array<16>();
  key.enrolment = crypto::Secret<16>(std::span<const std::byte, 16>(secret));
  crypto::wipe(secret);
  while (in.ok() && in.remaining() > 0) {
    const std::uint8_t type = in.u8();
    const std::uint8_t size = in.u8();
    if (type == kJoinKeyField && size == 4) {
      key.join_key = in.u32();
    } else if (type == kLockField && size == 32) {
      key.lock = in.array<32>();
    } else {
      in.bytes(size);  // from a newer version
    }
  }
  crypto::wipe(*raw);
  if (!in.ok()) return bad_key("contradicts itself.");
  return key;
}

crypto::Key enrolment_psk(std::span<const std::byte, 16> secret) {
  crypto::Hash hash = crypto::blake2s({as_view("eps enrolment psk"), secret});
  crypto::Key out{std::span<const std::byte, 32>(hash)};
  crypto::wipe(hash);
  return out;
}

}  // namespace eps::control
