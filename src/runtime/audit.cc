// SPDX-License-Identifier: MIT
#include "runtime/audit.h"

#include <pwd.h>

#include <array>
#include <nlohmann/json.hpp>

namespace eps::runtime {
namespace {

std::string name_of_user(uid_t uid) {
  passwd found{};
  passwd* result = nullptr;
  std::array<char, 4096> buffer{};
  const bool named = ::getpwuid_r(uid, &found, buffer.data(), buffer.size(), &result) == 0 && result != nullptr;
  return named ? found.pw_name : "user " + std::to_string(uid);
}

}  // namespace

std::string who_asks(const nlohmann::json& request) {
  const auto uid = request.find("uid");
  if (uid == request.end() || !uid->is_number_unsigned()) return "an administrator";
  std::string out = name_of_user(uid->get<uid_t>());
  // Root may name the user it acts for; nobody else can.
  const auto sudo = request.find("for");
  if (uid->get<uid_t>() == 0 && sudo != request.end() && sudo->is_string() && valid_name(sudo->get<std::string>())) {
    out += " for " + sudo->get<std::string>();
  }
  return out;
}

nlohmann::json answer_audit(const registry::Registry& registry, const nlohmann::json& request) {
  const auto entries = registry.audit({.after = request.value("after", std::uint64_t{0}),
                                       .since = request.value("since", std::int64_t{0}),
                                       .limit = kMaxAuditAnswer});
  if (!entries) return {{"ok", false}, {"error", entries.error().what}};
  nlohmann::json list = nlohmann::json::array();
  for (const AuditEntry& e : *entries) {
    list.push_back({{"id", e.id},
                    {"time", e.unix_time},
                    {"kind", name_of(e.kind)},
                    {"act", e.act},
                    {"who", e.who},
                    {"what", e.what}});
  }
  return {{"ok", true}, {"entries", std::move(list)}, {"more", entries->size() == kMaxAuditAnswer}};
}

}  // namespace eps::runtime
