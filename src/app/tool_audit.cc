// SPDX-License-Identifier: MIT
#include "app/tool_audit.h"

#include <charconv>
#include <chrono>

#include "app/option_values.h"
#include "app/tool_keys.h"
#include "report/text.h"
#include "runtime/unix_time.h"

namespace eps::app {
namespace {

std::optional<int> number_in(std::string_view text) {
  int out = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  const bool whole = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && text.front() != '-';
  return whole ? std::optional(out) : std::nullopt;
}

}  // namespace

std::optional<std::int64_t> parse_since(std::string_view text, std::int64_t now) {
  using namespace std::chrono;
  if (const auto ago = parse_validity(text)) return now - *ago;
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto y = number_in(text.substr(0, 4)), m = number_in(text.substr(5, 2)), d = number_in(text.substr(8, 2));
  if (!y || !m || !d) return std::nullopt;
  const year_month_day day{year(*y), month(static_cast<unsigned>(*m)), std::chrono::day(static_cast<unsigned>(*d))};
  if (!day.ok()) return std::nullopt;
  return sys_seconds(sys_days(day)).time_since_epoch().count();
}

int AuditCommand::run() {
  const std::string socket = request_.socket.value_or(defaults_.server_socket);
  json ask_for = {{"command", "audit"}, {"after", 0U}};
  if (request_.since) {
    const auto since = parse_since(*request_.since, runtime::unix_time());
    if (!since) {
      return usage("--since: \"" + quotable(*request_.since) +
                   "\" is neither a day such as 2026-11-27 nor a time such as 90s, 15m, 24h or 7d");
    }
    ask_for["since"] = *since;
  }
  json all = json::array();
  for (bool more = true; more;) {
    const auto answer = ask(socket, ask_for);
    if (!answer) return failed(answer.error(), "eps-server", socket);
    const json entries = answer->value("entries", json::array());
    for (const json& entry : entries) all.push_back(entry);
    more = answer->value("more", false) && !entries.empty();
    if (more) ask_for["after"] = entries.back().value("id", std::uint64_t{0});
  }
  if (request_.json) return print_json(all);
  if (all.empty())
    return print("No act of control is recorded" + std::string(request_.since ? " since then" : "") + ".\n");
  std::vector<std::vector<std::string>> rows = {{"TIME", "WHO", "ACT", "WHAT"}};
  for (const json& entry : all) {
    rows.push_back({date_text(entry.value("time", std::int64_t{0})), entry.value("who", "-"), entry.value("act", "-"),
                    entry.value("what", "-")});
  }
  return print(report::columns(rows));
}

}  // namespace eps::app
