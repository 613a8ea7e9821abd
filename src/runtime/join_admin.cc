// SPDX-License-Identifier: MIT
#include "runtime/join_admin.h"

#include <nlohmann/json.hpp>

#include "control/server.h"
#include "runtime/answer.h"

namespace eps::runtime {
namespace {

using nlohmann::json;

JoinKeyWish wish_of(const json& request) {
  JoinKeyWish wish;
  if (const std::string name = request.value("name", ""); !name.empty()) wish.name = make_valid_name(name);
  wish.uses = request.value("uses", 0U);
  wish.valid_for = request.value("valid_for", std::int64_t{0});
  wish.approve = request.value("approve", false);
  wish.ephemeral = request.value("ephemeral", false);
  wish.groups = request.value("groups", std::vector<std::string>());
  return wish;
}

// Without the secret.
json to_json(const JoinKey& key, std::int64_t now) {
  const bool expired = key.expires != 0 && now >= key.expires;
  const bool used_up = key.uses != 0 && key.used >= key.uses;
  return {{"id", key.id},
          {"name", key.name},
          {"uses", key.uses},
          {"used", key.used},
          {"created", key.created},
          {"expires", key.expires},
          {"approve", key.approve},
          {"ephemeral", key.ephemeral},
          {"groups", key.groups},
          {"state", key.revoked ? "revoked" : expired ? "expired" : used_up ? "used up" : "valid"}};
}

std::string called(const JoinKey& key) {
  if (key.id == registry::kNetworkKeyId) return "the network key";
  return "join key " + std::to_string(key.id) + (key.name.empty() ? "" : " (" + key.name + ")");
}

std::string text_of(const JoinAdmin& admin, const JoinKey& key) {
  return control::to_text(control::network_key_of(admin.registry, key));
}

json keys(const JoinAdmin& admin) {
  json list = json::array();
  for (const auto& [id, key] : admin.registry.join_keys().all()) list.push_back(to_json(key, admin.unix_time()));
  return {{"ok", true}, {"keys", list}};
}

json create(const JoinAdmin& admin, const json& request) {
  const auto key = admin.registry.create_join_key(wish_of(request), admin.unix_time());
  if (!key) return refused(key.error());
  admin.note("An administrator made " + called(*key) + ".");
  return {{"ok", true}, {"key", text_of(admin, *key)}, {"made", to_json(*key, admin.unix_time())}};
}

json revoke(const JoinAdmin& admin, const json& request) {
  const auto key = admin.registry.revoke_join_key(request.value("which", ""));
  if (!key) return refused(key.error());
  admin.note("An administrator revoked " + called(*key) + ": it admits nobody any more; members stay.");
  return {{"ok", true}, {"revoked", called(*key)}};
}

json rotate(const JoinAdmin& admin, const json& request) {
  const auto key = admin.registry.rotate_network_key(wish_of(request), admin.unix_time());
  if (!key) return refused(key.error());
  const std::string text = text_of(admin, *key);
  admin.note("An administrator rotated the network key: the old one admits nobody any more; members stay.");
  json out = {{"ok", true}, {"key", text}};
  if (auto kept = admin.keep_network_key(text); !kept) out["warning"] = kept.error().what;
  return out;
}

json pending(const JoinAdmin& admin) {
  json list = json::array();
  for (const registry::PendingJoin& p : admin.registry.pending()) {
    list.push_back({{"name", p.name},
                    {"key", to_hex(p.request.key.bytes)},
                    {"from", to_string(p.request.from)},
                    {"join_key", *p.request.join_key},
                    {"since", p.since}});
  }
  return {{"ok", true}, {"pending", list}};
}

json approve(const JoinAdmin& admin, const json& request) {
  const std::string name = request.value("name", "");
  const auto member = admin.registry.approve(name, admin.unix_time());
  if (!member) return refused(member.error());
  admin.note("An administrator approved " + member->name + " (" + to_string(member->address) + ").");
  return {{"ok", true}, {"name", member->name}, {"address", to_string(member->address)}};
}

json deny(const JoinAdmin& admin, const json& request) {
  const std::string name = request.value("name", "");
  if (auto denied = admin.registry.deny(name); !denied) return refused(denied.error());
  admin.note("An administrator denied " + name + ": its key is refused from now on.");
  return {{"ok", true}};
}

}  // namespace

std::optional<json> answer_join_command(const JoinAdmin& admin, const json& request) {
  const std::string command = request.value("command", "");
  if (command == "keys") return keys(admin);
  if (command == "create_key") return create(admin, request);
  if (command == "revoke_key") return revoke(admin, request);
  if (command == "rotate_key") return rotate(admin, request);
  if (command == "pending") return pending(admin);
  if (command == "approve") return approve(admin, request);
  if (command == "deny") return deny(admin, request);
  return std::nullopt;
}

}  // namespace eps::runtime
