// SPDX-License-Identifier: MIT
#pragma once

// A node::ServerNode with what it stands on, for tests that are its clients.

#include <memory>
#include <optional>
#include <string_view>

#include "node/server_node.h"
#include "support/memory_store.h"
#include "support/node_fakes.h"
#include "support/seeded_rng.h"

namespace eps::test {

class ServerNodeBed {
 protected:
  ServerNodeBed(std::string_view network, node::ServerParams params) {
    registry::RegistryConfig config;
    config.network = *parse_ip4_network(network);
    registry_ = std::move(*registry::Registry::open(store_, config, rng_));
    node_.emplace(*registry_, std::move(params), port_, rng_, published_, now_);
  }

  SeededRng rng_{5};
  MemoryStore store_;
  std::unique_ptr<registry::Registry> registry_;
  QuietUdp udp_;
  dataplane::StreamPort port_{udp_, [] {}, [] {}};
  dataplane::PublishedRelay published_;
  Instant now_{std::chrono::hours(1)};
  std::optional<node::ServerNode> node_;
};

}  // namespace eps::test
