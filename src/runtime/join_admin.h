// SPDX-License-Identifier: MIT
#pragma once

// Administration of joining through the server's status socket: join keys, and computers that wait for approval. One
// JSON request, one JSON answer (ops/status_socket.h).

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "registry/registry.h"

namespace eps::runtime {

struct JoinAdmin {
  registry::Registry& registry;
  std::function<std::int64_t()> unix_time;
  // A log line about what was done.
  std::function<void(const std::string&)> note;
  // The network's own key has a new text.
  std::function<Result<void>(const std::string& text)> keep_network_key;
};

// nullopt: not one of these commands.
std::optional<nlohmann::json> answer_join_command(const JoinAdmin& admin, const nlohmann::json& request);

}  // namespace eps::runtime
