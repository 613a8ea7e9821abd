// SPDX-License-Identifier: MIT
#pragma once

// What `eps` asks of a running server (ops/status_socket.h), and its answers.
//
// Thread rules: the control thread.

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "node/server_node.h"
#include "ops/log.h"
#include "ops/status_socket.h"
#include "registry/registry.h"
#include "runtime/network_graph.h"
#include "runtime/reload.h"

namespace eps::runtime {

class ServerCommands {
 public:
  // The daemon, which outlives this.
  struct Daemon {
    registry::Registry& registry;
    node::ServerNode& node;
    NetworkGraph& graph;
    ops::Log& log;
    std::function<void(node::ServerOutputs&&)> act;
    std::function<ServerStatus()> status;
    std::function<void()> ask_members;  // for their counters
    std::function<Result<std::string>(const ConfText& conf)> reload;
    std::function<Result<void>(const std::string& text)> keep_network_key;
  };
  explicit ServerCommands(Daemon daemon) : daemon_(std::move(daemon)) {}

  ops::StatusSocket::Answer operator()(const nlohmann::json& request);

 private:
  // Answers from a snapshot, because that takes long in a large network.
  using Report = std::function<nlohmann::json()>;
  using MakeReport = Report (ServerCommands::*)(const nlohmann::json& request);
  using Command = nlohmann::json (ServerCommands::*)(const nlohmann::json& request);
  static MakeReport report_of(std::string_view name);  // null: none of them
  static Command command_of(std::string_view name);    // likewise

  Report status(const nlohmann::json& request);
  Report members(const nlohmann::json& request);
  Report pairs(const nlohmann::json& request);
  Report graph(const nlohmann::json& request);

  nlohmann::json audit(const nlohmann::json& request);
  nlohmann::json refresh(const nlohmann::json& request);
  nlohmann::json remove(const nlohmann::json& request);
  nlohmann::json rename(const nlohmann::json& request);
  nlohmann::json recover(const nlohmann::json& request);
  nlohmann::json allow(const nlohmann::json& request) { return grant(request, true); }
  nlohmann::json revoke(const nlohmann::json& request) { return grant(request, false); }
  nlohmann::json grant(const nlohmann::json& request, bool given);
  nlohmann::json policy(const nlohmann::json& request);
  nlohmann::json set_policy(const nlohmann::json& request);
  nlohmann::json set_groups(const nlohmann::json& request);
  nlohmann::json lock(const nlohmann::json& request);
  nlohmann::json change_lock(const nlohmann::json& request);
  nlohmann::json accept_lock(const nlohmann::json& request);
  nlohmann::json reload(const nlohmann::json& request);
  // Passes on what the node wants done. Unless it refused, the answer is `told` besides "ok".
  nlohmann::json done(Result<node::ServerOutputs> out, nlohmann::json told = nlohmann::json::object());
  nlohmann::json changed_policy(Result<node::ServerOutputs> out);

  Daemon daemon_;
};

}  // namespace eps::runtime
