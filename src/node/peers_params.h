// SPDX-License-Identifier: MIT
#pragma once

// The parameters of node::Peers and its parts.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "crypto/aead.h"
#include "crypto/primitives.h"
#include "model/features.h"
#include "model/relay_limit.h"
#include "node/preshared_keys.h"
#include "session/session.h"

namespace eps::node {

struct PeersParams {
  crypto::KeyPair self;
  PresharedKeys psks;
  std::vector<crypto::AeadKind> aeads;       // in order of preference
  std::uint64_t first_handshake_number = 1;  // greater than any that this key has used before
  std::uint32_t rekey_after_packets = session::kRekeyAfterPackets;
  bool relay_for_others = false;
  RelayLimit relay_limit = {};  // for each of them
  std::string device = "eps0";  // the interface's name, for sentences
  Features features = kOwnFeatures;
  bool copy_dscp = true;  // from the inner packet to its datagrams
  // Checks at each step that a table which is not made again still says what a new one would: for simulations.
  bool check_tables = false;
};

}  // namespace eps::node
