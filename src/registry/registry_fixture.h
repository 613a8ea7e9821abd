// SPDX-License-Identifier: MIT
#pragma once

// A registry over a store that outlives it, as a disk outlives the server.

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "registry/registry.h"
#include "support/memory_store.h"
#include "support/seeded_rng.h"

namespace eps::registry {

class RegistryTest : public testing::Test {
 protected:
  RegistryTest() { config_.network = *parse_ip4_network("192.168.43.0/24"); }

  // Also a restart: stops the server and starts it with the present configuration.
  void open() {
    registry_.reset();
    auto opened = Registry::open(store_, config_, rng_);
    ASSERT_TRUE(opened) << opened.error().what;
    registry_ = std::move(*opened);
  }

  static PublicKey key(std::uint32_t n) {
    PublicKey out;
    store_be32(out.bytes.data(), n);
    out.bytes[31] = std::byte{0x40};
    return out;
  }

  std::variant<Member, Refusal> try_join(std::uint32_t n, std::string name = "host", bool proved = true) {
    JoinRequest request{key(n), std::move(name), "0.1.0"};
    if (proved) request.join_key = kNetworkKeyId;
    return registry_->join(request);
  }

  Member join(std::uint32_t n, std::string name = "host") {
    auto joined = try_join(n, std::move(name));
    if (const auto* refusal = std::get_if<Refusal>(&joined)) {
      ADD_FAILURE() << refusal->sentence;
      return {};
    }
    return std::get<Member>(joined);
  }

  Refusal refusal(std::uint32_t n, std::string name = "host", bool proved = true) {
    auto joined = try_join(n, std::move(name), proved);
    if (std::holds_alternative<Member>(joined)) {
      ADD_FAILURE() << "was admitted";
      return {};
    }
    return std::get<Refusal>(joined);
  }

  test::MemoryStore store_;
  test::SeededRng rng_{7};
  RegistryConfig config_;
  std::unique_ptr<Registry> registry_;
};

}  // namespace eps::registry
