// SPDX-License-Identifier: MIT
#pragma once

// Reads the published test vectors of test/data.

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/bytes.h"
#include "base/check.h"

namespace eps::test {

inline nlohmann::json load_vectors(const std::string& name) {
  std::ifstream in(std::string(EPS_TEST_DATA) + "/" + name);
  EPS_CHECK(in.good());
  return nlohmann::json::parse(in);
}

inline Bytes hex_field(const nlohmann::json& vector, const char* field) {
  const auto bytes = from_hex(vector.at(field).get<std::string>());
  EPS_CHECK(bytes);
  return *bytes;
}

// The field's first N bytes; shorter fields are filled up with zeros.
template <std::size_t N>
std::array<std::byte, N> hex_array(const nlohmann::json& vector, const char* field) {
  const Bytes bytes = hex_field(vector, field);
  std::array<std::byte, N> out{};
  std::memcpy(out.data(), bytes.data(), std::min(N, bytes.size()));
  return out;
}

}  // namespace eps::test
