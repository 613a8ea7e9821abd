// SPDX-License-Identifier: MIT
#pragma once

// The network key: the only thing that a client needs besides the server's name.
//
//   "eps1-" base32( format version 1 (8) | server's X25519 public key (256) | enrolment secret (128)
//                   | typed fields: type 8, size 8, value ... | checksum (32) )
//   type 1: the number of the join key whose secret this is (32); absent: the network's own, number 0
//   type 2: the id of the network lock (256), put in by one of its signers; without it: whatever lock the server shows
//
// The checksum is the first 4 bytes of BLAKE2s over everything before it: a mistyped key is detected before anything is
// sent. Unknown typed fields are skipped.

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/types.h"
#include "crypto/secret.h"

namespace eps::control {

struct NetworkKey {
  PublicKey server;
  crypto::Secret<16> enrolment;  // the join key's secret
  std::uint32_t join_key = 0;    // its number; 0: the network's own key
  std::optional<std::array<std::byte, 32>> lock = std::nullopt;
  NetworkKey clone() const { return {server, enrolment.clone(), join_key, lock}; }
};

std::string to_text(const NetworkKey& key);
// Leading and trailing blanks are ignored, upper case is accepted. The Error says what is wrong (prefix, length,
// characters, checksum, version) and never contains the key.
Result<NetworkKey> parse_network_key(std::string_view text);
// The psk of a first join: BLAKE2s("eps enrolment psk" | secret).
crypto::Key enrolment_psk(std::span<const std::byte, 16> secret);

}  // namespace eps::control
