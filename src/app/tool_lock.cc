// SPDX-License-Identifier: MIT
#include "app/tool_lock.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <thread>

#include "app/option_values.h"
#include "control/network_key.h"
#include "os/files.h"
#include "os/os_rng.h"
#include "registry/network_lock.h"
#include "report/text.h"
#include "runtime/unix_time.h"

namespace eps::app {
namespace {

using registry::LockChain;
using runtime::LockReport;

constexpr std::size_t kSecrets = 3;  // one is kept apart from the others, and one may be lost
constexpr std::size_t kMaxKeyFile = 1024;
constexpr std::chrono::milliseconds kLookForAnswer{50};
constexpr int kLooks = 300;  // 15 s
constexpr std::size_t kKeyShown = 16;

std::string described(const Member& m) {
  return m.name + " (" + to_string(m.address) + "), member " + std::to_string(m.id.value) + ", key " +
         to_base32(m.key.bytes);
}

std::string granted(const Member& m) {
  std::string out;
  for (const IpNetwork& range : m.grants.ranges) out += ", may use " + to_string(range);
  for (const std::string& group : m.groups) out += ", in group " + group;
  return out + (m.grants.bridge ? ", may bridge" : "") + (m.grants.dhcp ? ", may serve DHCP" : "");
}

bool is_meant(const Member& m, std::string_view wish) {
  return m.name == wish || to_string(m.address) == wish || std::to_string(m.id.value) == wish;
}

Error no_lock(const LockChain& chain) {
  return make_error(Errc::not_found, chain.empty() ? "the network has no lock; begin one with: eps lock init"
                                                   : "the network lock has ended; begin another with: eps lock init");
}

}  // namespace

std::string clash_of(const Member& m, const std::vector<LockReport::Entry>& others) {
  // A range may hold it all the same: what it holds of others stays theirs.
  const auto holds = [](const Member& holder, const Member& of) {
    const IpNetwork alone{IpAddress::from_v4(of.address), 128};
    return std::ranges::find(holder.grants.ranges, alone) != holder.grants.ranges.end();
  };
  for (const LockReport::Entry& entry : others) {
    const Member& other = entry.member;
    if (other.id == m.id) continue;
    const std::string who = " is also that of " + other.name + " (" + to_string(other.address) + ")";
    if (other.name == m.name) return "its name" + who;
    if (other.key == m.key) return "its key" + who;
    if (other.mac == m.mac) return "its MAC" + who;
    if (other.address == m.address) return "its address" + who;
    if (holds(other, m)) return "its address is one that " + other.name + " may use";
    if (holds(m, other)) return "it may use the address of " + other.name + " (" + to_string(other.address) + ")";
  }
  return "";
}

int LockCommand::run() {
  const auto& words = request_.words;
  if (is({"lock"}) || is({"lock", "status"})) return status();
  if (is({"lock", "init"})) return init();
  if (is({"lock", "key"})) return key();
  if (is({"lock", "sign"})) return sign("");
  if (is({"lock", "pin"})) return pin();
  if (words.size() == 3) {
    if (words[1] == "sign" && !request_.all) return sign(words[2]);
    if (words[1] == "accept") return accept(words[2]);
    if (words[1] == "add" || words[1] == "remove") return change_signer(words[2], words[1] == "add");
    if (words[1] == "disable") return disable(words[2]);
  }
  if (is({"lock", "accept"})) return usage("lock accept needs the ID that eps lock init printed");
  if (is({"lock", "add"}) || is({"lock", "remove"})) {
    return usage(joined(words) + " needs a SIGNER, as eps lock key prints it there and eps lock status here");
  }
  if (is({"lock", "disable"})) return usage("lock disable needs one of the secrets that eps lock init printed");
  return usage("it is lock status, init, accept ID, sign NAME, pin, key, add SIGNER, remove SIGNER or disable SECRET");
}

Result<LockReport> LockCommand::report() const {
  const auto answer = ask(socket(), {{"command", "lock"}});
  if (!answer) return answer.error();
  try {
    return runtime::read_lock_report(*answer);
  } catch (const json::exception&) {
    return make_error(Errc::corrupt, "the daemon's answer is not as this version expects: is it another version?");
  }
}

Result<crypto::Key> LockCommand::load_key() const {
  auto text = os::read_file(key_path(), kMaxKeyFile);
  if (!text) {
    const bool none = text.error().code == Errc::not_found;
    return make_error(text.error().code, none ? "there is no lock key at " + key_path() +
                                                    ": run this where the key is, or name its file with --lock-key"
                                              : text.error().what + "; run with sudo");
  }
  std::string line;
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\n', at), text->size());
    if (end > at && (*text)[at] != '#') line = text->substr(at, end - at);
    at = end + 1;
  }
  auto raw = from_base32(line);
  crypto::wipe(std::as_writable_bytes(std::span(*text)));
  crypto::wipe(std::as_writable_bytes(std::span(line)));
  if (!raw || raw->size() != 32) return make_error(Errc::corrupt, key_path() + " does not hold a lock key");
  crypto::Key key{std::span<const std::byte, 32>(*raw)};
  crypto::wipe(*raw);
  struct stat info {};
  if (::stat(key_path().c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    err_ << "eps: others on this computer may read " << key_path() << "; chmod 600 " << key_path() << "\n";
  }
  return key;
}

Result<crypto::Key> LockCommand::load_or_make_key() const {
  struct stat info {};
  if (::lstat(key_path().c_str(), &info) == 0) return load_key();
  os::OsRng rng;
  crypto::Key key;
  rng.fill(key.writable());
  std::string text = "# A key of the network lock of EPS: whoever has it can admit members. Keep a copy offline.\n" +
                     to_base32(key.view()) + "\n";
  const auto written = os::write_file_atomic(key_path(), text, 0600);
  crypto::wipe(std::as_writable_bytes(std::span(text)));
  if (!written) return written.error();
  return key;
}

Result<std::string> LockCommand::send_part(const LockChange& change) const {
  json request = runtime::to_json(change);
  request["command"] = "lock_change";
  const auto answer = ask(socket(), request);
  if (!answer) return answer.error();
  if (answer->contains("note")) return answer->value("note", "");  // the server itself
  const auto ticket = answer->value("ticket", 0U);
  for (int i = 0; i < kLooks; ++i) {
    const auto looked = ask(socket(), {{"command", "lock"}});
    if (!looked) return looked.error();
    const json told = looked->value("answer", json::object());
    if (told.value("ticket", 0U) == ticket) {
      if (told.value("done", false)) return told.value("sentence", "");
      return make_error(Errc::unsupported, "the server refuses: " + told.value("sentence", ""));
    }
    std::this_thread::sleep_for(kLookForAnswer);
  }
  return make_error(Errc::unavailable, "the server has not answered; eps status shows whether it is connected");
}

// A server that was restored from a backup may have no lock yet, or an older state of it: it is sent what this computer
// knows, which proves itself, and then the change.
Result<std::string> LockCommand::send(const LockChange& change, const LockChain& known) {
  auto done = send_in_parts(change);
  if (done || known.empty()) return done;
  LockChange chain;
  chain.entries = known.entries();
  const auto taken = send_part(chain);
  if (!taken) return done;
  done = send_in_parts(change);
  if (!taken->ends_with("eps lock accept " + registry::lock_id_text(known.id()))) return done;
  const std::string mend =
      "The server had lost the network lock, as after a restoration of its state. Switch it on again, on "
      "the server:\n  eps lock accept " +
      registry::lock_id_text(known.id()) + "\n";
  if (done) {
    err_ << mend;
    return done;
  }
  return make_error(Errc::unavailable, mend + "Then run this again");
}

Result<std::string> LockCommand::send_in_parts(LockChange change) const {
  auto marks = std::exchange(change.marks, {});
  std::size_t at = 0;
  for (;;) {
    const std::size_t end = std::min(marks.size(), at + kMaxMarksPerChange);
    change.marks.assign(marks.begin() + static_cast<std::ptrdiff_t>(at),
                        marks.begin() + static_cast<std::ptrdiff_t>(end));
    auto done = send_part(change);
    if (!done || end == marks.size()) return done;
    change.entries.clear();
    change.policy_sequence = 0;
    at = end;
  }
}

int LockCommand::status() {
  const auto now = report();
  if (!now) return no_report(now.error());
  const LockChain& chain = now->chain;
  const auto counting = std::ranges::count_if(now->members, [](const auto& e) { return e.standing.counts; });
  if (request_.json) {
    json out = {{"on", chain.on()},
                {"id", chain.empty() ? json(nullptr) : json(registry::lock_id_text(chain.id()))},
                {"signers", json::array()},
                {"waiting", json::array()},
                {"members", now->members.size()},
                {"signed", counting}};
    for (const PublicKey& signer : chain.signers()) out["signers"].push_back(registry::signer_text(signer));
    for (const auto& [m, standing] : now->members) {
      if (chain.on() && !standing.counts) {
        out["waiting"].push_back({{"name", m.name},
                                  {"id", m.id.value},
                                  {"key", to_base32(m.key.bytes)},
                                  {"address", to_string(m.address)},
                                  {"why", standing.why}});
      }
    }
    return print_json(out);
  }
  if (!chain.on()) {
    const std::string sentence = no_lock(chain).what;
    return print(static_cast<char>(sentence[0] - 'a' + 'A') + sentence.substr(1) + "\n");
  }
  std::string out = "The network lock " + registry::lock_id_text(chain.id()) + " is on.\n";
  for (const PublicKey& signer : chain.signers()) out += "Signer: " + registry::signer_text(signer) + "\n";
  out += std::to_string(counting) + " of " + std::to_string(now->members.size()) + " members are signed.\n";
  print(out);
  return counting == static_cast<std::ptrdiff_t>(now->members.size()) ? 0 : print_waiting(*now);
}

int LockCommand::print_waiting(const LockReport& now) {
  std::vector<std::vector<std::string>> rows = {{"ID", "NAME", "ADDRESS", "KEY", "WHY IT IS REFUSED"}};
  for (const auto& [m, standing] : now.members) {
    if (standing.counts) continue;
    rows.push_back({std::to_string(m.id.value), m.name, to_string(m.address),
                    to_base32(m.key.bytes).substr(0, kKeyShown), standing.why});
  }
  if (rows.size() == 1) return print("All members are signed.\n");
  return print(report::columns(rows));
}

int LockCommand::init() {
  const auto now = report();
  if (!now) return no_report(now.error());
  if (now->chain.on()) {
    return fail("the network has a lock, " + registry::lock_id_text(now->chain.id()) + "; see eps lock status");
  }
  for (const auto& [m, standing] : now->members) {
    if (const std::string why = clash_of(m, now->members); !why.empty())
      return fail(m.name + " cannot be signed: " + why);
  }
  const auto key = load_or_make_key();
  if (!key) return fail(key.error().what);
  os::OsRng rng;
  std::vector<registry::LockSecret> secrets(kSecrets);
  for (registry::LockSecret& secret : secrets) rng.fill(secret);
  LockChange change;
  change.entries.push_back(registry::begin_lock(now->chain, now->network.id, *key, secrets));
  LockChain chain = now->chain;
  if (auto ok = chain.append(now->network.id, change.entries.back()); !ok) return fail(ok.error().what);
  change.lock = chain.id();
  if (!now->policy.text.empty()) {
    change.policy_sequence = static_cast<std::uint64_t>(runtime::unix_time());
    change.policy_signature =
        crypto::sign(*key, registry::locked_policy_message(chain.id(), {now->policy.text, change.policy_sequence, {}}));
  }
  const auto sequence = static_cast<std::uint64_t>(runtime::unix_time());
  std::string members;
  for (const auto& [m, standing] : now->members) {
    change.marks.emplace_back(m.id, registry::sign_record(*key, chain.id(), now->network, m, sequence));
    members += "  " + described(m) + granted(m) + "\n";
  }
  const auto done = send(change, now->chain);
  if (!done) return fail(done.error().what);
  const std::string id = registry::lock_id_text(chain.id());
  json texts = json::array();
  std::string lines;
  for (const registry::LockSecret& secret : secrets) {
    texts.push_back(registry::secret_text(secret));
    lines += "  " + registry::secret_text(secret) + "\n";
  }
  if (request_.json) {
    return print_json({{"id", id},
                       {"signer", registry::signer_text(chain.signers().front())},
                       {"lock_key", key_path()},
                       {"secrets", texts},
                       {"signed", now->members.size()}});
  }
  return print(
      "Signed with the key in " + key_path() + ", of which you should keep a copy offline:\n" + members +
      "\nThese secrets end the lock, each for everybody (eps lock disable). They are shown only now. Write them "
      "down, and keep them apart from the server and from this computer:\n" +
      lines + "\nThe lock is not on yet. Switch it on, on the server:\n  eps lock accept " + id + "\n");
}

int LockCommand::accept(const std::string& id) {
  const std::string server = request_.socket.value_or(defaults_.server_socket);
  const auto answer = ask(server, {{"command", "lock_accept"}, {"id", id}});
  if (!answer) return failed(answer.error(), "eps-server", server);
  return request_.json ? print_json(*answer) : print("Done: " + answer->value("note", "") + ".\n");
}

int LockCommand::sign(const std::string& wish) {
  const auto now = report();
  if (!now) return no_report(now.error());
  if (!now->chain.on()) return fail(no_lock(now->chain).what);
  if (wish.empty() && !request_.all && !request_.policy) return print_waiting(*now);
  const auto key = load_key();
  if (!key) return fail(key.error().what);
  if (std::ranges::find(now->chain.signers(), crypto::signing_public_key(*key)) == now->chain.signers().end()) {
    return fail("the key in " + key_path() + " is not a signer of the network lock; see eps lock status");
  }
  // What counts already, and what is about to: nothing of it may clash.
  Entries good;
  std::vector<const LockReport::Entry*> wanted;
  const bool exact = std::ranges::any_of(now->members, [&](const auto& entry) { return is_meant(entry.member, wish); });
  const auto is_wanted = [&](const LockReport::Entry& entry) {
    if (wish.empty()) return request_.all && !entry.standing.removed && (!entry.standing.counts || request_.again);
    if (exact) return is_meant(entry.member, wish);
    return lower(entry.member.name) == lower(wish) || to_string(entry.member.mac) == lower(wish);
  };
  for (const LockReport::Entry& entry : now->members) {
    const bool meant = is_wanted(entry);
    if (meant) wanted.push_back(&entry);
    if (meant || entry.standing.counts) good.push_back(entry);
  }
  if (wanted.empty() && !wish.empty()) return fail("there is no member \"" + quotable(wish) + "\"; see eps lock sign");
  // A member chooses its name, which may be another's number.
  if (wanted.size() > 1 && !wish.empty())
    return fail("several members are meant by \"" + quotable(wish) + "\"; see eps lock sign");
  LockChange change;
  change.lock = now->chain.id();
  std::string said;
  int refused = 0;
  for (const auto& [m, standing] : now->members) {
    if (!request_.all || !standing.removed) continue;
    refused = fail(m.name + ", member " + std::to_string(m.id.value) +
                   ", is not signed: it was removed, as this computer has seen. Remove it again on the server (eps "
                   "members remove " +
                   quotable(m.name) + "), or sign it by its name if it shall be a member");
  }
  for (const LockReport::Entry* entry : wanted) {
    const Member& m = entry->member;
    if (const std::string why = clash_of(m, good); !why.empty()) {
      refused = fail(m.name + ", member " + std::to_string(m.id.value) + ", is not signed: " + why);
      continue;
    }
    const auto sequence = std::max(static_cast<std::uint64_t>(runtime::unix_time()), entry->standing.next_sequence);
    change.marks.emplace_back(m.id, registry::sign_record(*key, now->chain.id(), now->network, m, sequence));
    said += described(m) + granted(m) + ", is signed.\n";
  }
  const bool policy_waits = !now->policy_counts && (!now->policy.text.empty() || now->next_policy_sequence > 1);
  if (request_.policy || (request_.all && (policy_waits || (request_.again && !now->policy.text.empty())))) {
    said += sign_policy(*key, *now, change);
  }
  if (change.policy_sequence == 0 && change.marks.empty())
    return refused != 0 ? refused : print("All members are signed.\n");
  const std::size_t count = change.marks.size();
  const auto done = send(change, now->chain);
  if (!done) return fail(done.error().what);
  request_.json ? print_json({{"ok", true}, {"signed", count}}) : print(said);
  return refused;
}

// Prints the text: whoever signs it must have read it.
std::string LockCommand::sign_policy(const crypto::Key& key, const LockReport& now, LockChange& change) {
  NetworkPolicy policy{now.policy.text, 0, {}};
  policy.sequence = std::max(static_cast<std::uint64_t>(runtime::unix_time()), now.next_policy_sequence);
  change.policy_sequence = policy.sequence;
  change.policy_signature = crypto::sign(key, registry::locked_policy_message(now.chain.id(), policy));
  if (policy.text.empty()) return "That there is no policy is signed: everything is allowed.\n";
  return "This policy is signed:\n" + policy.text + (policy.text.ends_with('\n') ? "" : "\n");
}

int LockCommand::key() {
  const auto key = load_or_make_key();
  if (!key) return fail(key.error().what);
  const std::string text = registry::signer_text(crypto::signing_public_key(*key));
  return request_.json ? print_json({{"signer", text}, {"lock_key", key_path()}}) : print(text + "\n");
}

int LockCommand::change_signer(const std::string& text, bool comes) {
  const auto signer = registry::parse_signer(text);
  if (!signer)
    return usage("\"" + quotable(text) + "\" is not a signer such as eps-signer1-..., which eps lock key prints");
  const auto now = report();
  if (!now) return no_report(now.error());
  if (!now->chain.on()) return fail(no_lock(now->chain).what);
  const auto key = load_key();
  if (!key) return fail(key.error().what);
  const LockChange change{.entries = {registry::change_signer(now->chain, now->network.id, *key, *signer, comes)},
                          .lock = {},
                          .marks = {},
                          .policy_sequence = 0,
                          .policy_signature = {}};
  LockChain next = now->chain;
  if (auto ok = next.append(now->network.id, change.entries[0]); !ok) return fail(ok.error().what);
  const auto done = send(change, now->chain);
  if (!done) return fail(done.error().what);
  if (request_.json) return print_json({{"ok", true}});
  return print(text + (comes ? " may sign from now on.\n"
                             : " is no longer a signer. Members that it alone has signed are refused until another "
                               "signs them; see eps lock sign.\n"));
}

int LockCommand::pin() {
  const auto now = report();
  if (!now) return no_report(now.error());
  if (!now->chain.on()) return fail(no_lock(now->chain).what);
  std::string line;
  std::getline(std::cin, line);
  auto key = control::parse_network_key(line);
  crypto::wipe(std::as_writable_bytes(std::span(line)));
  if (!key) return fail(key.error().what);
  key->lock = now->chain.id();
  const std::string text = control::to_text(*key);
  return request_.json ? print_json({{"key", text}}) : print(text + "\n");
}

int LockCommand::disable(const std::string& text) {
  const auto secret = registry::parse_secret(text);
  if (!secret) return usage("that is not a secret such as eps-unlock1-..., which eps lock init printed");
  auto now = report();
  if (!now && now.error().code == Errc::not_found && !request_.socket) {
    request_.socket = defaults_.server_socket;
    now = report();
  }
  if (!now) return failed(now.error(), "neither eps-client nor eps-server", socket());
  if (!now->chain.on()) return fail(no_lock(now->chain).what);
  const LockChange change{.entries = {registry::end_lock(now->chain, now->network.id, *secret)},
                          .lock = {},
                          .marks = {},
                          .policy_sequence = 0,
                          .policy_signature = {}};
  LockChain next = now->chain;
  if (!next.append(now->network.id, change.entries[0])) {
    return fail("that is none of the secrets of the network lock " + registry::lock_id_text(now->chain.id()));
  }
  const auto done = send(change, now->chain);
  if (!done) return fail(done.error().what);
  return request_.json ? print_json({{"ok", true}})
                       : print("The network lock has ended: the server alone says who is a member.\n");
}

}  // namespace eps::app
