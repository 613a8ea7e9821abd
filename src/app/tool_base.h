#pragma once

// What the commands of `eps` share: the request, printing, exit codes, asking a daemon.

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "app/command_line.h"
#include "app/eps_tool.h"
#include "app/options.h"
#include "ops/status_socket.h"

namespace eps::app {

struct Request {
  std::vector<std::string> words;
  std::optional<std::string> socket, state, into, png, svg, conf;
  std::optional<std::uint64_t> count, uses;
  std::optional<std::int64_t> expires;  // seconds from now
  std::optional<std::string> name;
  bool json = false, help = false, version = false, approve = false;
};

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
  static std::string joined(const std::vector<std::string>& words) {
    std::string out;
    for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
    return out;
  }
  int print(const std::string& text) {
    out_ << text << std::flush;
    return 0;
  }
  int print_json(const json& value) { return print(value.dump(2, ' ', false, json::error_handler_t::replace) + "\n"); }
  int usage(const std::string& sentence) {
    err_ << "eps: " << sentence << "; see eps --help\n";
    return kExitUsage;
  }
  int fail(const std::string& sentence) {
    err_ << "eps: " << sentence << "\n";
    return kExitFailure;
  }
  int not_running(const std::string& sentence, const std::string& where) {
    err_ << "eps: " << sentence << " (nobody answers at " << where << "). Start it, or name its socket with "
         << "--socket.\n";
    return kExitNotRunning;
  }
  int failed(const Error& error, const std::string& who, const std::string& where) {
    return error.code == Errc::not_found ? not_running(who + " does not run here", where) : fail(error.what);
  }

  // The whole answer of a daemon that says yes.
  Result<json> ask(const std::string& socket, const json& what) const {
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

  Request request_;
  const ToolDefaults& defaults_;
  std::ostream& out_;
  std::ostream& err_;
};

}  // namespace eps::app
