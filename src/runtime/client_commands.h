// SPDX-License-Identifier: MIT
#pragma once

// What `eps` asks of a running client (ops/status_socket.h), and its answers.
//
// Thread rules: the control thread.

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "node/client_node.h"
#include "ops/status_socket.h"
#include "runtime/reload.h"

namespace eps::runtime {

class ClientCommands {
 public:
  // The daemon, which outlives this.
  struct Daemon {
    node::ClientNode& node;
    std::function<void(node::ClientOutputs)> act;
    std::function<std::function<nlohmann::json()>()> status;  // takes a snapshot; the result makes JSON of it
    std::function<Result<std::string>(const ConfText& conf)> reload;
  };
  explicit ClientCommands(Daemon daemon) : daemon_(std::move(daemon)) {}

  ops::StatusSocket::Answer operator()(const nlohmann::json& request);

 private:
  using Answer = ops::StatusSocket::Answer;
  using Command = Answer (ClientCommands::*)(const nlohmann::json& request);
  static Command command_of(std::string_view name);  // null: none of them

  Answer status(const nlohmann::json& request);
  Answer why(const nlohmann::json& request);
  Answer trust(const nlohmann::json& request);
  Answer policy(const nlohmann::json& request);
  Answer lock(const nlohmann::json& request);
  Answer change_lock(const nlohmann::json& request);
  Answer reload(const nlohmann::json& request);

  Daemon daemon_;
  std::uint32_t lock_ticket_ = 0;
};

}  // namespace eps::runtime
