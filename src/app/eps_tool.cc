// SPDX-License-Identifier: MIT
#include "app/eps_tool.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <thread>

#include "app/conf_file.h"
#include "app/options.h"
#include "app/server_conf.h"
#include "app/tool_audit.h"
#include "app/tool_base.h"
#include "app/tool_check.h"
#include "app/tool_graph.h"
#include "app/tool_keys.h"
#include "app/tool_lock.h"
#include "app/tool_pairs.h"
#include "app/tool_ping.h"
#include "app/tool_policy.h"
#include "app/tool_request.h"
#include "app/version.h"
#include "os/files.h"
#include "report/text.h"

namespace eps::app {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxKeySize = 4096;
constexpr std::chrono::milliseconds kReportPause{500};  // for the members' answers

class Tool : private ToolBase {
 public:
  using ToolBase::ToolBase;

  int run() {
    const std::vector<std::string>& words = request_.words;
    if (!words.empty() && words[0] == "help") return help({words.begin() + 1, words.end()});
    if (request_.help) return help(words);
    if (request_.version || is({"version"})) {
      return request_.json ? print_json({{"version", version()}}) : print(version_line() + "\n");
    }
    if (is({"status"})) return status();
    if (is({"peers"})) return list("peers", defaults_.client_socket, "eps-client", report::peers_text);
    if (is({"members"})) return list("members", defaults_.server_socket, "eps-server", report::members_text);
    if (words.size() == 3 && words[0] == "members" && words[1] == "remove") return remove(words[2]);
    if (words.size() == 4 && words[0] == "members" && words[1] == "rename") return rename(words[2], words[3]);
    if (is_one_of("members", {"pending", "approve", "deny"})) {
      return KeysCommand(request_, defaults_, out_, err_).run_members();
    }
    if (words.size() == 4 && words[0] == "members" && (words[1] == "allow" || words[1] == "revoke") && !request_.all) {
      return grant(words[1], words[2], words[3]);
    }
    if (words.size() == 3 && words[0] == "members" && (words[1] == "allow" || words[1] == "revoke") && request_.all) {
      return grant(words[1], "", words[2]);
    }
    if (words.size() >= 3 && words[0] == "members" && words[1] == "group") {
      return PolicyCommand(request_, defaults_, out_, err_).set_groups();
    }
    if (!words.empty() && words[0] == "policy") return PolicyCommand(request_, defaults_, out_, err_).run();
    if (is({"key"})) return key();
    if (!words.empty() && words[0] == "keys") return KeysCommand(request_, defaults_, out_, err_).run();
    if (!words.empty() && words[0] == "lock") return LockCommand(request_, defaults_, out_, err_).run();
    if (is({"audit"})) return AuditCommand(request_, defaults_, out_, err_).run();
    if (is({"graph"})) return graph();
    if (is({"doctor"})) return DoctorCommand(request_, defaults_, out_, err_).run();
    if (is({"watch"})) return WatchCommand(request_, defaults_, out_, err_).run();
    if (is({"check", "client"})) return CheckCommand(request_, defaults_, out_, err_).run(Program::client);
    if (is({"check", "server"})) return CheckCommand(request_, defaults_, out_, err_).run(Program::server);
    if (is({"pairs"})) return PairsCommand(request_, defaults_, out_, err_).run("");
    if (words.size() == 2 && words[0] == "pairs") return PairsCommand(request_, defaults_, out_, err_).run(words[1]);
    if (words.size() == 2 && words[0] == "ping") return PingCommand(request_, defaults_, out_, err_).run(words[1]);
    if (words.size() == 2 && words[0] == "why") return why(words[1]);
    if (words.size() == 2 && words[0] == "trust") return trust(words[1]);
    if (is({"recover"})) return recover();
    if (is({"reload"})) return reload();
    if (words.empty()) return usage("no command is given");
    if (is({"ping"}) || is({"why"}) || is({"trust"}) || is({"members", "remove"}) || is({"members", "group"}))
      return usage(joined(words) + " needs a NAME");
    if (is_one_of("members", {"rename"})) return usage("members rename needs a NAME and the NEW one");
    if (words.size() >= 2 && words[0] == "members" && (words[1] == "allow" || words[1] == "revoke")) {
      return usage("members " + words[1] + " needs a NAME and a RANGE, for example: eps members " + words[1] +
                   " laptop 192.168.43.50");
    }
    if (words[0] == "check") return usage("check needs client or server");
    // Unless the second word is mistyped.
    const std::string forms = forms_of(words[0]);
    if (!forms.empty() && suggestion(words).find("\"" + words[0] + " ") == std::string::npos) return usage(forms);
    return usage("unknown command \"" + quotable(joined(words)) + "\"" + suggestion(words));
  }

 private:
  // All commands, or those that begin with these words.
  int help(const std::vector<std::string>& words) {
    if (words.empty()) return print_folded(help_text());
    const std::string text = help_text(words);
    if (text.empty()) return usage("unknown command \"" + quotable(joined(words)) + "\"" + suggestion(words));
    return print_folded(text + "See also eps --help and man eps.\n");
  }

  // How a command that begins with this word is written; "": none does.
  static std::string forms_of(const std::string& first) {
    std::vector<std::string> forms;
    for (const Command& command : commands()) {
      if (command.words.substr(0, command.words.find(' ')) == first) forms.push_back(command.line());
    }
    if (forms.empty()) return "";
    if (forms.size() == 1 && forms[0] == first) return first + " takes no argument";
    std::string out = "it is " + forms[0];
    for (std::size_t i = 1; i < forms.size(); ++i) out += (i + 1 == forms.size() ? " or " : ", ") + forms[i];
    return out;
  }

  // The likely intended command: one whose letters differ little, or that begins the same.
  static std::string suggestion(const std::vector<std::string>& words) {
    constexpr std::size_t kMostLetters = 2;
    std::string_view best;
    std::size_t least = kMostLetters + 1;
    const std::string typed = lower(joined(words)), first = lower(words[0]);
    for (const Command& command : commands()) {
      const std::string_view word = command.words.substr(0, command.words.find(' '));
      // Arguments of the command are not part of its name.
      const std::size_t whole = edit_distance(typed, command.words), alone = edit_distance(first, word);
      std::size_t distance = std::min(whole, command.words == word && first != word ? alone : whole);
      if (first.size() >= 3 && word.starts_with(first) && first != word) distance = std::min<std::size_t>(distance, 1);
      if (distance >= least || distance * 2 > typed.size()) continue;
      least = distance;
      best = command.words;
    }
    return best.empty() ? "" : "; did you mean \"" + std::string(best) + "\"?";
  }

  int status() {
    if (request_.socket) {
      const auto answer = ask_status(*request_.socket, "status");
      if (!answer) return failed(answer.error(), "the daemon", *request_.socket);
      return request_.json ? print_json(*answer) : print_folded(report::status_text(*answer));
    }
    const auto client = ask_status(defaults_.client_socket, "status");
    const auto server = ask_status(defaults_.server_socket, "status");
    if (!client && !server) {
      for (const auto* answer : {&client, &server}) {
        if (answer->error().code != Errc::not_found) return fail(answer->error().what);
      }
      return not_running("neither eps-client nor eps-server runs here",
                         defaults_.client_socket + " or " + defaults_.server_socket);
    }
    // One runs and the other exists but cannot be queried.
    for (const auto* answer : {&client, &server}) {
      if (!*answer && answer->error().code != Errc::not_found) err_ << "eps: " << answer->error().what << "\n";
    }
    json both = json::object();
    if (client) both["client"] = *client;
    if (server) both["server"] = *server;
    if (request_.json) return print_json(both);
    std::string text = client ? report::status_text(*client) : "";
    if (client && server) text += "\n";
    return print_folded(text + (server ? report::status_text(*server) : ""));
  }

  int list(const std::string& what, const std::string& default_socket, const std::string& who,
           std::string (*as_text)(const json&, std::size_t width)) {
    const std::string socket = request_.socket.value_or(default_socket);
    const auto answer = ask_status(socket, what);
    if (!answer) return failed(answer.error(), who, socket);
    if (request_.json) return print_json(answer->value(what, json::array()));
    const std::string table = as_text(*answer, width());
    // If the table is longer than the screen, repeat its header at the end.
    const bool long_one = height() != 0 && static_cast<std::size_t>(std::ranges::count(table, '\n')) >= height();
    const std::string waits = what == "members" ? who_waits(socket) : "";
    return print(table + (long_one ? table.substr(0, table.find('\n') + 1) : "") +
                 (waits.empty() ? "" : waits + "; see eps members pending\n"));
  }

  int remove(const std::string& wish) {
    const std::string socket = request_.socket.value_or(defaults_.server_socket);
    const std::string name = member_named(socket, wish);
    const auto answer = ask(socket, {{"command", "remove"}, {"name", name}});
    if (!answer) return failed(answer.error(), "eps-server", socket);
    if (request_.json) return print_json(*answer);
    return print(quotable(name) +
                 " is removed. Whoever still holds a join key can join as a new member: to replace the "
                 "network key, run: eps keys rotate\n");
  }

  int rename(const std::string& wish, const std::string& given) {
    const std::string socket = request_.socket.value_or(defaults_.server_socket);
    const std::string name = member_named(socket, wish);
    const auto answer = ask(socket, {{"command", "rename"}, {"name", name}, {"new_name", given}});
    if (!answer) return failed(answer.error(), "eps-server", socket);
    if (request_.json) return print_json(*answer);
    std::string text = quotable(name) + " is called " + quotable(given) + " from now on.\n";
    if (answer->value("lost_rules", false)) {
      text += "The policy's rules for " + quotable(name) + " apply to no member now; see eps policy show.\n";
    }
    if (answer->value("gained_rules", false)) {
      text += "The policy's rules for this name apply to this member now; see eps policy show.\n";
    }
    if (answer->value("locked", false)) {
      text += "The network is locked, so the others refuse it until it is signed again: eps lock sign " +
              quotable(given) + "\n";
    }
    return print(text);
  }

  int grant(const std::string& command, const std::string& wish, const std::string& range) {
    const std::string socket = request_.socket.value_or(defaults_.server_socket);
    const std::string name = request_.all ? wish : member_named(socket, wish);
    const auto answer = ask(socket, {{"command", command}, {"name", name}, {"all", request_.all}, {"range", range}});
    if (!answer) return failed(answer.error(), "eps-server", socket);
    if (request_.json) return print_json(*answer);
    const std::string what = range == "bridge" ? "bridge its interface"
                             : range == "dhcp" ? "serve DHCP"
                                               : "use " + quotable(range);
    const std::string who = request_.all ? "Every member" : quotable(name);
    std::string text = who + (command == "allow" ? " may " : " may no longer ") + what + ".\n";
    if (answer->value("locked", false)) {
      text +=
          "The network is locked: until the change is signed, only the member's own addresses count: eps lock sign " +
          (request_.all ? "--all" : quotable(name)) + "\n";
    }
    return print(text);
  }

  int recover() {
    const std::string socket = request_.socket.value_or(defaults_.server_socket);
    const auto answer = ask(socket, {{"command", "recover"}});
    if (!answer) return failed(answer.error(), "eps-server", socket);
    if (request_.json) return print_json(*answer);
    return print("The member list begins anew, at version " + answer->value("list_version", "") +
                 ". Every member takes it, whatever list it holds: those that are connected within a second, the "
                 "others when they come back.\n");
  }

  int why(const std::string& wish) {
    const std::string socket = request_.socket.value_or(defaults_.client_socket);
    const auto peers = ask_status(socket, "peers");
    const json meant = peers ? entry_of(peers->value("peers", json::array()), wish) : json();
    const std::string us = peers && meant.is_null() ? that_is_us(*peers, wish) : "";
    if (!us.empty()) return fail(us);
    const std::string peer = meant.is_null() ? wish : meant.value("name", wish);
    const auto answer = ask(socket, {{"command", "why"}, {"peer", peer}});
    if (!answer) return failed(answer.error(), "eps-client", socket);
    const json found = answer->value("why", json::object());
    return request_.json ? print_json(found) : print(report::why_text(found, width()));
  }

  int trust(const std::string& wish) {
    const std::string socket = request_.socket.value_or(defaults_.client_socket);
    const auto peers = ask_status(socket, "peers");
    const json meant = peers ? entry_of(peers->value("peers", json::array()), wish) : json();
    const std::string us = peers && meant.is_null() ? that_is_us(*peers, wish) : "";
    if (!us.empty()) return fail(us);
    const auto answer =
        ask(socket, {{"command", "trust"}, {"peer", meant.is_null() ? wish : meant.value("name", wish)}});
    if (!answer) return failed(answer.error(), "eps-client", socket);
    return request_.json ? print_json(*answer) : print(answer->value("note", "") + "\n");
  }

  int graph() {
    const std::string socket = request_.socket.value_or(defaults_.server_socket);
    // Ask the members for their counts. A member that does not answer soon is drawn as of the last interval.
    if (ask(socket, {{"command", "refresh"}})) std::this_thread::sleep_for(kReportPause);
    const auto answer = ask(socket, {{"command", "graph"}});
    if (!answer) return failed(answer.error(), "eps-server", socket);
    const std::string dot = answer->value("dot", "");
    for (const auto& [form, file] : {std::pair("png", request_.png), std::pair("svg", request_.svg)}) {
      if (!file) continue;
      if (const auto drawn = draw(dot, form, *file); !drawn) return fail(drawn.error().what);
    }
    if (request_.png || request_.svg) return 0;
    return request_.json ? print_json({{"dot", dot}}) : print(dot);
  }

  // Of the named socket's instance of the unit eps-client@, if there is one. It is not the daemon that says which file
  // root is to read for it.
  std::string conf_to_reload() const {
    if (request_.conf || !request_.socket) return request_.conf.value_or(defaults_.conf);
    const std::string name = std::filesystem::path(*request_.socket).stem();
    const std::string of_instance = defaults_.conf + ".d/" + name + ".conf";
    std::error_code ignored;
    return std::filesystem::exists(of_instance, ignored) ? of_instance : defaults_.conf;
  }

  // Both daemons, or the one whose socket is named.
  int reload() {
    std::vector<std::string> sockets = {defaults_.client_socket, defaults_.server_socket};
    if (request_.socket) sockets = {*request_.socket};
    json request = {{"command", "reload"}};
    // For a daemon that may not read it; root may.
    const std::string path = conf_to_reload();
    const auto conf = os::read_file(path, kMaxConfSize);
    if (conf) request.update({{"conf", *conf}, {"conf_path", full_path(path)}});
    if (!conf && request_.conf) return fail(conf.error().what);
    json results = json::object();
    std::optional<Error> problem;
    for (const std::string& socket : sockets) {
      const auto answer = ask(socket, request);
      if (answer) {
        results[answer->value("program", socket)] = answer->value("note", "");
      } else if (answer.error().code != Errc::not_found) {
        problem = answer.error();
      }
    }
    for (const auto& [program, note] : results.items()) {
      if (!request_.json) print(program + ": " + note.get<std::string>() + "\n");
    }
    if (problem) return fail(problem->what);
    if (results.empty()) return not_running("no daemon runs here", sockets.front());
    return request_.json ? print_json(results) : 0;
  }

  int key() {
    const std::string path = request_.state.value_or(defaults_.state) + "/server/network.key";
    const auto text = os::read_file(path, kMaxKeySize);
    if (!text && text.error().code == Errc::not_found) {
      return fail("there is no network key at " + path +
                  ": it is made when eps-server starts for the first time; --state names another state directory");
    }
    if (!text) return fail(text.error().what + (text.error().code == Errc::permission ? "; run with sudo" : ""));
    const std::string line(trim(std::string_view(*text).substr(0, text->find('\n'))));
    if (line.empty()) return fail("there is no network key in " + path + "; start eps-server again, which writes it");
    if (request_.into) return key_into(*request_.into, line);
    return request_.json ? print_json({{"key", line}}) : print_key(line);
  }

  // What eps-server does itself where it may.
  int key_into(const std::string& path, const std::string& key) {
    const auto outcome = ensure_conf_key(path, key);
    const auto note = note_of(outcome, path, request_.state.value_or(defaults_.state));
    if (!outcome) return fail(note.text);
    if (note.warning) err_ << "eps: " << note.text << "\n";
    return print(note.warning ? "" : note.text + "\n");
  }
};

}  // namespace

int run_tool(const std::vector<std::string>& arguments, const ToolDefaults& defaults, std::ostream& out,
             std::ostream& err) {
  std::vector<std::string> given = arguments;
  for (std::string& argument : given) {
    if (argument == "--") break;
    if (argument == "-h") argument = "--help";
    if (argument == "-V") argument = "--version";
  }
  auto request = parse_request(given);
  if (request) return Tool(std::move(*request), defaults, out, err).run();
  err << "eps: " << request.error().what << "; see eps --help\n";
  return kExitUsage;
}

}  // namespace eps::app
