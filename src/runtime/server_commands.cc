// SPDX-License-Identifier: MIT
#include "runtime/server_commands.h"

#include <array>

#include "os/clock.h"
#include "registry/grants.h"
#include "report/pairs.h"
#include "report/status_json.h"
#include "report/text.h"
#include "runtime/answer.h"
#include "runtime/audit.h"
#include "runtime/join_admin.h"
#include "runtime/lock_admin.h"
#include "runtime/policy_admin.h"
#include "runtime/unix_time.h"

namespace eps::runtime {

using nlohmann::json;

ServerCommands::MakeReport ServerCommands::report_of(std::string_view name) {
  static constexpr std::array<Named<MakeReport>, 4> kAll = {{{"status", &ServerCommands::status},
                                                             {"members", &ServerCommands::members},
                                                             {"pairs", &ServerCommands::pairs},
                                                             {"graph", &ServerCommands::graph}}};
  return by_name(kAll, name);
}

ServerCommands::Command ServerCommands::command_of(std::string_view name) {
  static constexpr std::array<Named<Command>, 14> kAll = {{{"audit", &ServerCommands::audit},
                                                           {"refresh", &ServerCommands::refresh},
                                                           {"remove", &ServerCommands::remove},
                                                           {"rename", &ServerCommands::rename},
                                                           {"recover", &ServerCommands::recover},
                                                           {"allow", &ServerCommands::allow},
                                                           {"revoke", &ServerCommands::revoke},
                                                           {"policy", &ServerCommands::policy},
                                                           {"set_policy", &ServerCommands::set_policy},
                                                           {"set_groups", &ServerCommands::set_groups},
                                                           {"lock", &ServerCommands::lock},
                                                           {"lock_change", &ServerCommands::change_lock},
                                                           {"lock_accept", &ServerCommands::accept_lock},
                                                           {"reload", &ServerCommands::reload}}};
  return by_name(kAll, name);
}

ops::StatusSocket::Answer ServerCommands::operator()(const json& request) {
  const std::string name = request.value("command", "");
  if (const MakeReport report = report_of(name)) return (this->*report)(request);
  daemon_.registry.set_actor({who_asks(request), unix_time()});
  if (const Command command = command_of(name)) return (this->*command)(request);
  const JoinAdmin admin{daemon_.registry, unix_time,
                        [this](const std::string& sentence) { daemon_.log.info(sentence); }, daemon_.keep_network_key};
  if (auto answer = answer_join_command(admin, request)) {
    daemon_.act(daemon_.node.on_deadline(os::now()));  // the members hear of a new one
    return *answer;
  }
  return unknown_command("eps-server", name, "eps-client");
}

// --- reports -------------------------------------------------------------------------------------------------------

ServerCommands::Report ServerCommands::status(const json&) {
  return [s = daemon_.status()] { return json{{"ok", true}, {"status", report::to_json(s)}}; };
}

ServerCommands::Report ServerCommands::members(const json&) {
  return [s = daemon_.node.status(os::now(), false)] { return json{{"ok", true}, {"status", report::to_json(s)}}; };
}

ServerCommands::Report ServerCommands::pairs(const json& request) {
  const MemberId of{request.value("member", std::uint32_t{0})};
  const json after = request.value("after", json::array({0U, 0U}));
  const std::pair<MemberId, MemberId> behind{{after.at(0).get<std::uint32_t>()}, {after.at(1).get<std::uint32_t>()}};
  return [page = daemon_.node.pairs_page(of, behind)] {
    json out = {{"ok", true}, {"pairs", report::pairs_json(page.status, page.status.pairs)}};
    if (page.next) out["next"] = {page.next->first.value, page.next->second.value};
    return out;
  };
}

ServerCommands::Report ServerCommands::graph(const json&) {
  return [draw = daemon_.graph.text()] { return json{{"ok", true}, {"dot", draw()}}; };
}

// --- members -------------------------------------------------------------------------------------------------------

json ServerCommands::done(Result<node::ServerOutputs> out, json told) {
  if (!out) return refused(out.error());
  daemon_.act(std::move(*out));
  told["ok"] = true;
  return told;
}

json ServerCommands::audit(const json& request) {
  return answer_audit(daemon_.registry, request);
}

json ServerCommands::refresh(const json&) {
  daemon_.ask_members();
  return {{"ok", true}};
}

json ServerCommands::remove(const json& request) {
  return done(daemon_.node.remove(request.value("name", ""), os::now()));
}

json ServerCommands::rename(const json& request) {
  const std::string name = request.value("name", ""), given = request.value("new_name", "");
  const bool was_in_policy = daemon_.registry.policy_has(name);
  auto renamed = daemon_.node.give_name(name, given, os::now());
  return done(std::move(renamed), {{"locked", daemon_.registry.lock().on() && name != given},
                                   {"gained_rules", daemon_.registry.policy_has(given)},
                                   {"lost_rules", was_in_policy && name != given}});
}

json ServerCommands::recover(const json&) {
  auto recovered = daemon_.node.recover(os::now());
  return done(std::move(recovered), {{"list_version", list_version_text(daemon_.registry.version())}});
}

json ServerCommands::grant(const json& request, bool given) {
  const std::string text = request.value("range", "");
  const std::string name = request.value("name", "");
  const bool all = request.value("all", false);
  const auto range = parse_ip_network(text);
  const auto permission = parse_permission(text);
  if (all && permission) {
    return refused(text + " is for one member at a time: eps members " + (given ? "allow" : "revoke") + " NAME " +
                   text);
  }
  if (!range && !permission) return refused(registry::why_no_range(text));
  node::ServerNode& node = daemon_.node;
  return changed_policy(all     ? node.grant_all(*range, given, os::now())
                        : range ? node.grant(name, *range, given, os::now())
                                : node.permit(name, *permission, given, os::now()));
}

// --- what the network lock covers -----------------------------------------------------------------------------------

// `locked`: it counts once an administrator has signed it.
json ServerCommands::changed_policy(Result<node::ServerOutputs> out) {
  return done(std::move(out), {{"locked", daemon_.registry.lock().on()}});
}

json ServerCommands::policy(const json&) {
  return policy_report(daemon_.registry.policy(), daemon_.registry.members(), std::nullopt);
}

json ServerCommands::set_policy(const json& request) {
  return changed_policy(daemon_.node.set_policy(request.at("text").get<std::string>(), os::now()));
}

json ServerCommands::set_groups(const json& request) {
  const auto groups = request.at("groups").get<std::vector<std::string>>();
  return changed_policy(daemon_.node.set_groups(request.value("name", ""), groups, os::now()));
}

json ServerCommands::lock(const json&) {
  return lock_report(daemon_.registry);
}

json ServerCommands::change_lock(const json& request) {
  const auto change = lock_change_of(request);
  if (!change) return refused("Bad request: not a change of the network lock.");
  node::ServerOutputs out;
  const auto changed = daemon_.node.change_lock(*change, out, os::now());
  daemon_.act(std::move(out));
  if (!changed) return refused(changed.error());
  return {{"ok", true}, {"note", *changed}};
}

json ServerCommands::accept_lock(const json& request) {
  node::ServerOutputs out;
  const auto accepted = daemon_.node.accept_lock(request.value("id", ""), out, os::now());
  daemon_.act(std::move(out));
  if (!accepted) return refused(accepted.error());
  return {{"ok", true}, {"note", *accepted}};
}

json ServerCommands::reload(const json& request) {
  return reload_answer("eps-server", daemon_.reload(conf_text(request)));
}

}  // namespace eps::runtime
