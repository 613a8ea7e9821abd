// SPDX-License-Identifier: MIT
#include "app/tool_keys.h"

#include <array>
#include <chrono>
#include <cstdio>

#include "app/option_values.h"
#include "app/server_conf.h"
#include "report/text.h"

namespace eps::app {
namespace {

std::string uses_of(const nlohmann::json& key) {
  const std::string used = std::to_string(key.value("used", 0U));
  const auto uses = key.value("uses", 0U);
  return uses == 0 ? used : used + " of " + std::to_string(uses);
}

std::string groups_of(const nlohmann::json& key) {
  std::string out;
  for (const nlohmann::json& group : key.value("groups", nlohmann::json::array())) {
    out += (out.empty() ? " groups " : ",") + group.get<std::string>();
  }
  return out;
}

}  // namespace

std::string date_text(std::int64_t unix_time) {
  using namespace std::chrono;
  const sys_seconds at{seconds(unix_time)};
  const year_month_day day{floor<days>(at)};
  const hh_mm_ss time{at - floor<days>(at)};
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%d-%02u-%02u %02d:%02d UTC", static_cast<int>(day.year()),
                static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()),
                static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()));
  return text.data();
}

std::optional<std::int64_t> parse_validity(std::string_view text) {
  constexpr std::int64_t kDay = 24 * 60 * 60;
  constexpr std::int64_t kTenYears = 3650 * kDay;
  if (text.empty()) return std::nullopt;
  const std::int64_t unit = text.back() == 's' ? 1 : text.back() == 'm' ? 60 : text.back() == 'h' ? 3600 : kDay;
  if (std::string_view("smhd").find(text.back()) == std::string_view::npos) return std::nullopt;
  text.remove_suffix(1);
  const auto number = number_value(text, 1, static_cast<std::uint64_t>(kTenYears / unit));
  if (!number) return std::nullopt;
  return static_cast<std::int64_t>(*number) * unit;
}

int KeysCommand::run() {
  const auto& words = request_.words;
  if (is({"keys"}) || is({"keys", "list"})) return list();
  if (is({"keys", "create"})) return create();
  if (is({"keys", "rotate"})) return rotate();
  if (words.size() == 3 && words[1] == "revoke") return revoke(words[2]);
  if (is({"keys", "revoke"})) return usage("keys revoke needs the key's number or name; see eps keys list");
  return usage("it is keys list, keys create, keys revoke ID or keys rotate");
}

int KeysCommand::run_members() {
  const auto& words = request_.words;
  if (is({"members", "pending"})) return pending();
  if (words.size() == 3 && words[1] == "approve") return act_on("approve", words[2], "is approved.");
  if (words.size() == 3 && words[1] == "deny")
    return act_on("deny", words[2], "is denied: its key is refused from now on.");
  return usage(joined(words) + " needs a NAME; see eps members pending");
}

Result<KeysCommand::json> KeysCommand::ask_server(json what) const {
  if (request_.uses) what["uses"] = *request_.uses;
  if (request_.expires) what["valid_for"] = *request_.expires;
  if (request_.name) what["name"] = *request_.name;
  if (request_.approve) what["approve"] = true;
  if (request_.ephemeral) what["ephemeral"] = true;
  if (request_.groups) what["groups"] = *request_.groups;
  return ask(request_.socket.value_or(defaults_.server_socket), what);
}

int KeysCommand::list() {
  const auto answer = ask_server({{"command", "keys"}});
  if (!answer) return failed(answer.error(), "eps-server", request_.socket.value_or(defaults_.server_socket));
  const json keys = answer->value("keys", json::array());
  if (request_.json) return print_json(keys);
  std::vector<std::vector<std::string>> rows = {{"ID", "NAME", "STATE", "USED", "EXPIRES", ""}};
  for (const json& key : keys) {
    const auto id = key.value("id", 0U);
    const auto expires = key.value("expires", std::int64_t{0});
    rows.push_back({std::to_string(id), id == 0 ? "(the network key)" : key.value("name", ""), key.value("state", "-"),
                    uses_of(key), expires == 0 ? "never" : date_text(expires),
                    std::string(key.value("ephemeral", false) ? "ephemeral" : "") +
                        (key.value("ephemeral", false) && key.value("approve", false) ? ", " : "") +
                        (key.value("approve", false) ? "needs approval" : "") + groups_of(key)});
  }
  return print(report::columns(rows));
}

int KeysCommand::create() {
  const auto answer = ask_server({{"command", "create_key"}});
  if (!answer) return failed(answer.error(), "eps-server", request_.socket.value_or(defaults_.server_socket));
  return request_.json ? print_json(*answer) : print_key(answer->value("key", ""));
}

int KeysCommand::revoke(const std::string& which) {
  const auto answer = ask_server({{"command", "revoke_key"}, {"which", which}});
  if (!answer) return failed(answer.error(), "eps-server", request_.socket.value_or(defaults_.server_socket));
  const std::string revoked = answer->value("revoked", which);
  return request_.json ? print_json(*answer)
                       : print(revoked + " is revoked; computers that joined with it stay members.\n");
}

int KeysCommand::rotate() {
  const auto answer = ask_server({{"command", "rotate_key"}});
  if (!answer) return failed(answer.error(), "eps-server", request_.socket.value_or(defaults_.server_socket));
  const std::string key = answer->value("key", "");
  if (const std::string warning = answer->value("warning", ""); !warning.empty()) err_ << "eps: " << warning << "\n";
  // The line from which the key is copied.
  const std::string conf = request_.conf.value_or(defaults_.conf);
  const auto parsed = control::parse_network_key(key);
  const auto replaced = parsed ? replace_conf_key(conf, *parsed) : Result<bool>(parsed.error());
  if (!replaced) err_ << "eps: the key in " << conf << " is still the old one (" << replaced.error().what << ")\n";
  if (replaced && !*replaced) err_ << "eps: the key in " << conf << " is another server's, and stays\n";
  return request_.json ? print_json({{"key", key}}) : print_key(key);
}

int KeysCommand::pending() {
  const auto answer = ask_server({{"command", "pending"}});
  if (!answer) return failed(answer.error(), "eps-server", request_.socket.value_or(defaults_.server_socket));
  const json list = answer->value("pending", json::array());
  if (request_.json) return print_json(list);
  if (list.empty()) return print("No computer waits to be approved.\n");
  std::vector<std::vector<std::string>> rows = {{"NAME", "FROM", "JOIN KEY", "SINCE", "KEY"}};
  for (const json& p : list) {
    rows.push_back({p.value("name", "-"), p.value("from", "-"), std::to_string(p.value("join_key", 0U)),
                    date_text(p.value("since", std::int64_t{0})), p.value("key", "-").substr(0, 16)});
  }
  return print(report::columns(rows));
}

std::string who_waits(const std::string& socket) {
  const auto answer = ops::ask(socket, {{"command", "pending"}});
  const nlohmann::json list = answer && answer->value("ok", false) ? answer->value("pending", nlohmann::json::array())
                                                                   : nlohmann::json::array();
  if (list.empty()) return "";
  std::string out;
  for (std::size_t i = 0; i < std::min<std::size_t>(list.size(), 3); ++i) {
    out += (i == 0 ? "" : ", ") + quotable(list[i].value("name", "-"));
  }
  if (list.size() > 3) out += " and " + std::to_string(list.size() - 3) + " more";
  return out + (list.size() == 1 ? " waits" : " wait") + " to be approved";
}

int KeysCommand::act_on(const std::string& command, const std::string& wish, const std::string& done) {
  const auto waiting = ask_server({{"command", "pending"}});
  const std::string name = waiting ? name_in(waiting->value("pending", json::array()), wish) : wish;
  const auto answer = ask_server({{"command", command}, {"name", name}});
  if (!answer) return failed(answer.error(), "eps-server", request_.socket.value_or(defaults_.server_socket));
  return request_.json ? print_json(*answer) : print(quotable(name) + " " + done + "\n");
}

}  // namespace eps::app
