// SPDX-License-Identifier: MIT
#pragma once

// Shared by the commands of `eps`: the request, printing, exit codes, querying a daemon.

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "app/command_line.h"
#include "app/eps_tool.h"
#include "app/options.h"
#include "app/tool_graph.h"
#include "app/tool_request.h"
#include "ops/status_socket.h"
#include "report/text.h"

namespace eps::app {

class ToolBase {
 public:
  ToolBase(Request request, const ToolDefaults& defaults, std::ostream& out, std::ostream& err)
      : request_(std::move(request)), defaults_(defaults), out_(out), err_(err) {}

 protected:
  using json = nlohmann::json;

  bool is(const std::vector<std::string>& words) const { return request_.words == words; }
  // Whether the second word behind `first` is one of these.
  bool is_one_of(std::string_view first, std::initializer_list<std::string_view> seconds) const {
    const auto& words = request_.words;
    return words.size() >= 2 && words[0] == first && std::ranges::find(seconds, words[1]) != seconds.end();
  }
  int print(const std::string& text) {
    out_ << text << std::flush;
    return 0;
  }
  int print_json(const json& value) { return print(value.dump(2, ' ', false, json::error_handler_t::replace) + "\n"); }
  // A network key, and with --qr its picture, which is for a camera in front of a terminal alone.
  int print_key(const std::string& key) {
    print(key + "\n");
    if (!request_.qr || !defaults_.terminal) return 0;
    const auto printed = print_qr(key);
    return printed ? 0 : fail(printed.error().what);
  }
  // Of the terminal; 0 where there is none.
  std::size_t width() const { return defaults_.columns != 0 ? defaults_.columns : size().ws_col; }
  std::size_t height() const { return size().ws_row; }
  // In lines that fit the terminal.
  int print_folded(const std::string& text) { return print(report::folded(text, width())); }
  int usage(const std::string& sentence) {
    err_ << "eps: " << sentence << "; see eps --help\n";
    return kExitUsage;
  }
  int fail(const std::string& sentence) {
    err_ << "eps: " << sentence << "\n";
    return kExitFailure;
  }
  int not_running(const std::string& sentence, const std::string& where) {
    err_ << "eps: " << sentence << " (no answer at " << where << "). Start it: " << how_to_start(sentence)
         << "; or name its socket with --socket.\n";
    return kExitNotRunning;
  }
  // `sentence` names the programs.
  std::string how_to_start(const std::string& sentence) const {
    const bool client = sentence.find("eps-client") != std::string::npos;
    const bool server = sentence.find("eps-server") != std::string::npos;
    if (client == server) return "sudo eps-configure.sh, which asks what it needs";
    const std::string program = client ? "eps-client" : "eps-server";
    if (defaults_.systemd) return "sudo systemctl start " + program;
    return "sudo " + program + (client ? " --server HOST" : "");
  }
  int failed(const Error& error, const std::string& who, const std::string& where) {
    const char* const runs = who.starts_with("neither ") ? " runs here" : " does not run here";
    return error.code == Errc::not_found ? not_running(who + runs, where) : fail(error.what);
  }

  // The whole answer of a daemon if it succeeds.
  Result<json> ask(const std::string& socket, json what) const {
    // For the server's audit record; it trusts root alone.
    if (const char* user = std::getenv("SUDO_USER"); user != nullptr) what["for"] = user;
    auto answer = ops::ask(socket, what);
    if (!answer) return answer;
    const auto ok = answer->find("ok");
    if (ok != answer->end() && ok->is_boolean() && ok->get<bool>()) return answer;
    const auto error = answer->find("error");
    const bool says_why = error != answer->end() && error->is_string();
    return make_error(Errc::unsupported, says_why ? error->get<std::string>() : "the daemon refuses");
  }
  Result<json> ask_status(const std::string& socket, const std::string& command) const {
    auto answer = ask(socket, {{"command", command}});
    if (!answer) return answer;
    return Result<json>(boost::system::in_place_value, answer->value("status", json::object()));
  }

  winsize size() const {
    winsize out{};
    if (!defaults_.terminal || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &out) != 0) return {};
    return out;
  }
  // The intended entry of a list of peers or members: by address or MAC, which a member does not choose, by name, and
  // if none fits, by name in any case. Null if there is none, or several.
  static json entry_of(const json& list, const std::string& wish) {
    const std::string folded = lower(wish);
    json named, alike;
    bool several = wish.empty();
    for (const json& entry : wish.empty() ? json::array() : list) {
      if (entry.value("address", "") == wish || entry.value("address6", "-") == folded) return entry;
      if (lower(entry.value("mac", "")) == folded) return entry;
      const std::string name = entry.value("name", "");
      if (name == wish) named = entry;
      if (lower(name) != folded) continue;
      several |= !alike.is_null();
      alike = entry;
    }
    return !named.is_null() ? named : several ? json() : alike;
  }
  static std::string name_in(const json& list, const std::string& wish) {
    const json meant = entry_of(list, wish);
    return meant.is_null() ? wish : meant.value("name", wish);
  }
  // The name of the intended member of the server's network: the server itself knows names only.
  std::string member_named(const std::string& server, const std::string& wish) const {
    const auto members = ask_status(server, "members");
    return members ? name_in(members->value("members", json::array()), wish) : wish;
  }
  static std::string lower(std::string text) {
    for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    return text;
  }
  // "" unless `wish` names the computer whose status this is.
  static std::string that_is_us(const json& status, const std::string& wish) {
    const std::string address = status.value("address", json()).is_string() ? status.value("address", "") : "";
    const json self = {{"name", status.value("name", "")},
                       {"address", address.substr(0, address.find('/'))},
                       {"address6", status.value("address6", "-")},
                       {"mac", status.value("mac", json()).is_string() ? status.value("mac", "") : ""}};
    if (wish.empty() || entry_of(json::array({self}), wish).is_null()) return "";
    return "\"" + quotable(wish) + "\" is this computer itself; see eps status for it, and eps peers for the others";
  }

  Request request_;
  const ToolDefaults& defaults_;
  std::ostream& out_;
  std::ostream& err_;
};

}  // namespace eps::app
