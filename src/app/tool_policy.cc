// SPDX-License-Identifier: MIT
#include "app/tool_policy.h"

#include <array>
#include <map>

#include "app/option_values.h"
#include "os/files.h"
#include "report/text.h"

namespace eps::app {
namespace {

std::vector<std::string> groups_of(const nlohmann::json& member) {
  return member.value("groups", std::vector<std::string>());
}

std::string listed(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

// For whoever named another.
std::string listing(const nlohmann::json& members) {
  constexpr std::size_t kMostNamed = 12;
  std::vector<std::string> names;
  for (const auto& [name, member] : members.items()) names.push_back(name);
  if (names.empty() || names.size() > kMostNamed) return "; see eps peers, or on the server eps members";
  return "; the members are " + listed(names);
}

Result<policy::Policy> read_policy(const std::string& path, std::string& text) {
  auto read = os::read_file(path, kMaxPolicyText);
  if (!read) return read.error();
  text = std::move(*read);
  auto policy = policy::Policy::parse(text);
  if (!policy) return make_error(policy.error().code, path + ": " + policy.error().what);
  return policy;
}

}  // namespace

std::vector<std::string> words_of_list(std::string_view list) {
  std::vector<std::string> out;
  while (!list.empty()) {
    const std::string_view word = list.substr(0, list.find(','));
    if (!word.empty()) out.emplace_back(word);
    list.remove_prefix(std::min(list.size(), word.size() + 1));
  }
  return out;
}

int PolicyCommand::run() {
  const auto& words = request_.words;
  if (is({"policy"}) || is({"policy", "show"})) return show();
  if (words.size() == 3 && words[1] == "check") return check(words[2]);
  if (words.size() == 3 && words[1] == "set") return set_file(words[2]);
  if (is({"policy", "clear"})) return set("", "The policy has ended: everything is allowed.");
  if (words.size() >= 4 && words.size() <= 6 && words[1] == "test") return test();
  if (is({"policy", "check"}) || is({"policy", "set"})) return usage(joined(words) + " needs a FILE");
  if (is_one_of("policy", {"test"}))
    return usage("policy test needs FROM and TO, for example: eps policy test camera hub tcp 443");
  return usage("it is policy show, policy check FILE, policy set FILE, policy clear or policy test FROM TO");
}

Result<PolicyCommand::json> PolicyCommand::report() {
  if (request_.socket) return ask(*request_.socket, {{"command", "policy"}});
  auto answer = ask(defaults_.client_socket, {{"command", "policy"}});
  if (answer || answer.error().code != Errc::not_found) return answer;
  return ask(defaults_.server_socket, {{"command", "policy"}});
}

int PolicyCommand::no_report(const Error& error) {
  return failed(error, "neither eps-client nor eps-server", request_.socket.value_or(defaults_.client_socket));
}

std::string PolicyCommand::unknown_members(const policy::Policy& policy, const json& report) {
  const json members = report.value("members", json::object());
  std::string out;
  for (const std::string& name : policy.members_named()) {
    if (!members.contains(name)) out += (out.empty() ? "" : ", ") + name;
  }
  return out;
}

int PolicyCommand::show() {
  const auto answer = report();
  if (!answer) return no_report(answer.error());
  if (request_.json) return print_json(*answer);
  const std::string text = answer->value("text", "");
  if (text.empty()) return print("There is no policy: everything is allowed.\n");
  std::string out = text + (text.ends_with('\n') ? "" : "\n");
  if (const std::string trouble = answer->value("trouble", ""); !trouble.empty()) out += "\n" + trouble + "\n";
  std::vector<std::vector<std::string>> rows = {{"DROPPED HERE", "BY"}};
  for (const json& dropped : answer->value("dropped", json::array())) {
    rows.push_back({std::to_string(dropped.value("packets", std::uint64_t{0})), dropped.value("rule", "")});
  }
  std::map<std::string, std::vector<std::string>> in;
  const json members = answer->value("members", json::object());
  for (const auto& [name, member] : members.items()) {
    for (const std::string& group : groups_of(member)) in[group].push_back(name);
  }
  if (!in.empty()) out += "\n";
  for (const auto& [group, names] : in) out += "# in " + group + ": " + listed(names) + "\n";
  return print(out + (rows.size() == 1 ? "" : "\n" + report::columns(rows)));
}

int PolicyCommand::check(const std::string& path) {
  std::string text;
  const auto policy = read_policy(path, text);
  if (!policy) return fail(policy.error().what);
  // Of members that have not joined yet nothing is known; without a daemon here, of none.
  const auto answer = report();
  const std::string unknown = answer ? unknown_members(*policy, *answer) : "";
  const std::size_t rules = policy->rules().size();
  if (request_.json) return print_json({{"ok", true}, {"rules", rules}, {"unknown_members", words_of_list(unknown)}});
  return print(path + " is a policy with " + std::to_string(rules) + (rules == 1 ? " rule.\n" : " rules.\n") +
               (unknown.empty() ? "" : "It cannot be set before these are members: " + unknown + ".\n"));
}

int PolicyCommand::set_file(const std::string& path) {
  std::string text;
  const auto policy = read_policy(path, text);
  if (!policy) return fail(policy.error().what);
  const std::size_t rules = policy->rules().size();
  return set(text, "The network's policy has " + std::to_string(rules) + (rules == 1 ? " rule." : " rules."));
}

int PolicyCommand::set(const std::string& text, const std::string& done) {
  const std::string server = request_.socket.value_or(defaults_.server_socket);
  const auto answer = ask(server, {{"command", "set_policy"}, {"text", text}});
  if (!answer) return failed(answer.error(), "eps-server", server);
  if (request_.json) return print_json(*answer);
  return print(done + "\n" +
               (answer->value("locked", false)
                    ? "The network is locked: the members follow the policy that was signed last, until somebody who "
                      "holds a key of the lock signs this one: eps lock sign --policy. If none was ever signed, they "
                      "follow this one already.\n"
                    : ""));
}

int PolicyCommand::set_groups() {
  const auto& words = request_.words;
  std::vector<std::string> groups;
  for (std::size_t i = 3; i < words.size(); ++i) {
    for (std::string& group : words_of_list(words[i])) groups.push_back(std::move(group));
  }
  const std::string server = request_.socket.value_or(defaults_.server_socket);
  const std::string name = member_named(server, words[2]);
  const auto answer = ask(server, {{"command", "set_groups"}, {"name", name}, {"groups", groups}});
  if (!answer) return failed(answer.error(), "eps-server", server);
  if (request_.json) return print_json(*answer);
  return print(quotable(name) + (groups.empty() ? " is in no group" : " is in: " + listed(groups)) + ".\n" +
               (answer->value("locked", false)
                    ? "The network is locked, so the others refuse it until it is signed again: eps lock sign " +
                          quotable(name) + "\n"
                    : ""));
}

int PolicyCommand::test() {
  const auto& words = request_.words;
  const auto answer = report();
  if (!answer) return no_report(answer.error());
  std::string text = answer->value("text", "");
  std::optional<policy::Policy> policy;
  if (request_.file) {
    auto read = read_policy(*request_.file, text);
    if (!read) return fail(read.error().what);
    policy = std::move(*read);
  } else if (!text.empty()) {
    auto read = policy::Policy::parse(text);
    if (!read) return fail("the network's policy cannot be read by this version: " + read.error().what);
    policy = std::move(*read);
  }
  policy::Opening opening;
  if (words.size() > 4) {
    const auto service = policy::parse_service(words[4], words.size() > 5 ? words[5] : "");
    if (!service) return usage(service.error().what);
    opening.protocol = service->protocol;
    if (service->ports.size() > 1 || (!service->ports.empty() && service->ports[0].first != service->ports[0].last)) {
      return usage("policy test takes a single port");
    }
    if (!service->ports.empty()) opening.port = service->ports[0].first;
  } else {
    opening.protocol = 255;  // reserved (RFC 5237): only rules without protocols match
  }
  const json members = answer->value("members", json::object());
  json list = json::array();
  for (const auto& [name, member] : members.items()) {
    list.push_back(member);
    list.back()["name"] = name;
  }
  std::array<std::string, 2> names;
  std::array<std::vector<std::string>, 2> groups;
  for (std::size_t side = 0; side < 2; ++side) {
    const std::string& wish = words[2 + side];
    const json member = entry_of(list, wish);
    if (member.is_null()) return fail("there is no member \"" + quotable(wish) + "\"" + listing(members));
    names[side] = member.value("name", "");
    groups[side] = groups_of(member);
    const auto address = parse_ip(member.value("address", ""));
    if (address) (side == 0 ? opening.from : opening.to) = *address;
  }
  bool allow = true;
  std::string rule = "there is no policy";
  if (policy) {
    const policy::PairRules rules(*policy, {names[0], groups[0]}, {names[1], groups[1]});
    const policy::Verdict verdict = rules.decide(opening);
    allow = verdict.allow;
    rule = policy->name_of(verdict.rule);
  }
  if (request_.json) print_json({{"allowed", allow}, {"rule", rule}});
  if (!request_.json) print((allow ? "allowed (" : "dropped (") + rule + ")\n");
  return allow ? 0 : kExitFailure;
}

}  // namespace eps::app
