// SPDX-License-Identifier: MIT
#include "runtime/client_commands.h"

#include <array>

#include "os/clock.h"
#include "report/status_json.h"
#include "runtime/answer.h"
#include "runtime/lock_admin.h"
#include "runtime/policy_admin.h"

namespace eps::runtime {

using nlohmann::json;

ClientCommands::Command ClientCommands::command_of(std::string_view name) {
  static constexpr std::array<Named<Command>, 8> kAll = {{{"status", &ClientCommands::status},
                                                          {"peers", &ClientCommands::status},
                                                          {"why", &ClientCommands::why},
                                                          {"trust", &ClientCommands::trust},
                                                          {"policy", &ClientCommands::policy},
                                                          {"lock", &ClientCommands::lock},
                                                          {"lock_change", &ClientCommands::change_lock},
                                                          {"reload", &ClientCommands::reload}}};
  return by_name(kAll, name);
}

ops::StatusSocket::Answer ClientCommands::operator()(const json& request) {
  const std::string name = request.value("command", "");
  if (const Command command = command_of(name)) return (this->*command)(request);
  return unknown_command("eps-client", name, "eps-server");
}

ops::StatusSocket::Answer ClientCommands::status(const json&) {
  return [status = daemon_.status()] { return json{{"ok", true}, {"status", status()}}; };
}

ops::StatusSocket::Answer ClientCommands::why(const json& request) {
  const std::string peer = request.value("peer", "");
  const auto why = daemon_.node.why(peer, os::now());
  if (!why) return refused("there is no member \"" + peer + "\"; see eps peers");
  return json{{"ok", true}, {"why", report::to_json(*why)}};
}

ops::StatusSocket::Answer ClientCommands::trust(const json& request) {
  node::ClientOutputs out;
  const auto done = daemon_.node.trust(request.value("peer", ""), out, os::now());
  daemon_.act(std::move(out));
  if (!done) return refused(done.error());
  return json{{"ok", true}, {"note", *done}};
}

ops::StatusSocket::Answer ClientCommands::policy(const json&) {
  const node::ClientNode& node = daemon_.node;
  return policy_report(node.policy(), node.members().members(), node.status(os::now()).policy);
}

ops::StatusSocket::Answer ClientCommands::lock(const json&) {
  return lock_report(daemon_.node);
}

// The server's answer comes later: lock_report() has it.
ops::StatusSocket::Answer ClientCommands::change_lock(const json& request) {
  auto change = lock_change_of(request);
  if (!change) return refused("Bad request: not a change of the network lock.");
  node::ClientOutputs out;
  const auto proposed = daemon_.node.propose_lock(++lock_ticket_, std::move(*change), out, os::now());
  daemon_.act(std::move(out));
  if (!proposed) return refused(proposed.error());
  return json{{"ok", true}, {"ticket", lock_ticket_}};
}

ops::StatusSocket::Answer ClientCommands::reload(const json& request) {
  return reload_answer("eps-client", daemon_.reload(conf_text(request)));
}

}  // namespace eps::runtime
