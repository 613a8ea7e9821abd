// SPDX-License-Identifier: MIT
#include "app/tool_request.h"

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>

#include "app/command_line.h"
#include "app/option_values.h"
#include "app/options.h"
#include "app/tool_keys.h"
#include "app/tool_policy.h"
#include "base/limits.h"

namespace eps::app {
namespace {

namespace po = boost::program_options;

constexpr std::array kCommands = std::to_array<Command>({
    {"status", "", "status of eps-client and eps-server on this computer"},
    {"peers", "", "the other members and how this client reaches them"},
    {"members", "", "the members of this server's network"},
    {"members remove", "NAME", "remove a member: its key is refused from now on, its address is free"},
    {"members pending", "", "the computers that wait for approval"},
    {"members approve", "NAME", "admit a waiting computer"},
    {"members deny", "NAME", "reject a waiting computer: its key is refused from now on"},
    {"members rename", "NAME NEW", "give a member another name, which it keeps whatever its computer is called"},
    {"members allow", "NAME RANGE",
     "allow a member further addresses (192.168.43.50, fd99::/64), to bridge (bridge) or to serve DHCP (dhcp)"},
    {"members revoke", "NAME RANGE", "withdraw that; with --all instead of NAME, both apply to every member"},
    {"members group", "NAME [GROUP...]", "set the policy groups of a member; without GROUP it is in none"},
    {"policy show", "", "the policy of the network, and how much each rule dropped here"},
    {"policy check", "FILE", "check FILE, and list the members it names that do not exist"},
    {"policy set", "FILE", "on the server: make FILE the network's policy"},
    {"policy clear", "", "on the server: end the policy, so that everything is allowed"},
    {"policy test", "FROM TO [PROTOCOL [PORT]]",
     "which rule decides about a connection; with --file FILE, in that policy"},
    {"pairs", "", "what members sent to each other, and what was lost"},
    {"pairs", "NAME", "the same for one member"},
    {"key", "", "print this server's network key, which every client needs; see --qr"},
    {"keys list", "", "the join keys: the network key and those created with \"keys create\""},
    {"keys create", "",
     "create a join key and print it; see --uses, --expires, --name, --groups, --approve and --ephemeral"},
    {"keys revoke", "ID", "withdraw a join key: it admits nobody any more; members stay"},
    {"keys rotate", "", "replace the network key: the old one admits nobody any more; members stay"},
    {"lock status", "", "the network lock: its signers, and who is not signed"},
    {"lock init", "",
     "lock the network: no server can add or change members without a key that stays on this computer"},
    {"lock accept", "ID", "on the server: switch on the lock that \"lock init\" proposed on a member's computer"},
    {"lock sign", "NAME",
     "sign a member with the lock's key, or with --all every waiting one and the policy; without NAME: list them"},
    {"lock key", "", "make a lock key on this computer, if it has none, and print its public part for \"lock add\""},
    {"lock add", "SIGNER", "let another key sign as well"},
    {"lock remove", "SIGNER", "withdraw a key: what it alone has signed no longer counts"},
    {"lock pin", "",
     "add the lock's id to a key from standard input: a computer that joins with it accepts no other lock"},
    {"lock disable", "SECRET", "end the lock for everybody with one of the secrets that \"lock init\" printed"},
    {"audit", "", "who did what at this server, and when: joins, removals, keys, addresses, reloads; see --since"},
    {"recover", "",
     "on the server: begin the member list anew, for members that refuse it as older than the one they hold"},
    {"why", "NAME", "how a member is reached and why: each path that was tried, and the result"},
    {"trust", "NAME", "accept the key of a member that is refused because its key has changed"},
    {"ping", "NAME", "the round trip to a member through the conduit and on the path outside, and loss"},
    {"watch", "", "a table of peers or members with their traffic, every second"},
    {"doctor", "", "what is wrong with the daemons here, and how to fix it"},
    {"check client", "", "whether eps-client could start: configuration, privileges, routes, server's name"},
    {"check server", "", "whether eps-server could start: configuration, key, ports, privileges, routes"},
    {"graph", "", "a picture of the network: DOT for Graphviz, or an image with --png FILE or --svg FILE"},
    {"reload", "", "make the daemons reread their configuration files"},
    {"version", "", "show version information"},
    {"help", "", "show this help message, or explain the command that follows"},
});

// Sets what an option says. The Error's sentence goes on after the option's name.
using Setter = Result<void> (*)(Request&, const std::string& value);

template <auto kMember>
Result<void> text(Request& request, const std::string& value) {
  request.*kMember = value;
  return {};
}

template <auto kMember>
Result<void> flag(Request& request, const std::string&) {
  request.*kMember = true;
  return {};
}

template <auto kMember>
Result<void> number(Request& request, const std::string& value) {
  const auto parsed = number_value(value, 1, 1'000'000);
  if (!parsed) return parsed.error();
  request.*kMember = *parsed;
  return {};
}

Result<void> expires(Request& request, const std::string& value) {
  request.expires = parse_validity(value);
  if (request.expires) return {};
  return make_error(Errc::invalid_argument, "\"" + quotable(value) + "\" is not a time such as 90s, 15m, 24h or 7d");
}

Result<void> key_name(Request& request, const std::string& value) {
  if (value.empty() || value.size() > kMaxNameSize) {
    return make_error(Errc::invalid_argument, "must have 1 to " + std::to_string(kMaxNameSize) + " characters");
  }
  request.name = value;
  return {};
}

Result<void> groups(Request& request, const std::string& value) {
  request.groups = words_of_list(value);
  if (static_cast<std::size_t>(std::ranges::count(value, ',')) + 1 == request.groups->size()) return {};
  return make_error(Errc::invalid_argument, "\"" + quotable(value) + "\" is not a list such as web,guests");
}

struct Option {
  std::string_view name, value;  // value: "FILE"; "": takes none
  std::string_view commands;     // it belongs to these and those that begin with them; "": to all
  std::string_view help;
  Setter set;
};

// Those that say which daemon is meant belong to all commands, so that an alias for a second network can contain them.
constexpr std::array kOptions = std::to_array<Option>({
    {"socket", "PATH", "", "the daemon's socket (=/run/eps/client.sock, /run/eps/server.sock)", text<&Request::socket>},
    {"state", "DIR", "", "the server's state directory, for \"key\" (=/var/lib/eps)", text<&Request::state>},
    {"into", "FILE", "key", "write the line into that configuration file, unless it has one, instead of printing it",
     text<&Request::into>},
    {"count", "NUMBER", "ping, watch", "number of pings (=5), or of tables (=until it is interrupted)",
     number<&Request::count>},
    {"conf", "FILE", "", "the configuration file, for \"check\", \"reload\" and \"keys rotate\" (=/etc/eps.conf)",
     text<&Request::conf>},
    {"png", "FILE", "graph", "write a PNG image; needs the package graphviz", text<&Request::png>},
    {"svg", "FILE", "graph", "write an SVG image; needs the package graphviz", text<&Request::svg>},
    {"uses", "NUMBER", "keys create, keys rotate", "computers that may join with the key (=any number)",
     number<&Request::uses>},
    {"expires", "TIME", "keys create, keys rotate", "how long the key is valid: 90s, 15m, 24h or 7d (=for ever)",
     expires},
    {"name", "NAME", "keys create", "name of the key in \"keys list\"", key_name},
    {"groups", "GROUP,...", "keys create", "groups of the policy for the computers that join with the key", groups},
    {"approve", "", "keys create, keys rotate", "computers that join with the key wait for \"members approve\"",
     flag<&Request::approve>},
    {"ephemeral", "", "keys create",
     "computers that join with the key are members until they have been away for 10 minutes",
     flag<&Request::ephemeral>},
    {"qr", "", "key, keys create, keys rotate",
     "print the key as a QR code as well, in a terminal; needs the package qrencode", flag<&Request::qr>},
    {"file", "FILE", "policy test", "the policy (=the network's)", text<&Request::file>},
    {"since", "TIME", "audit", "begin there: 24h, 7d or 2026-11-27 (=all)", text<&Request::since>},
    {"lock-key", "FILE", "lock", "the key of the network lock (=/etc/eps-lock.key)", text<&Request::lock_key>},
    {"all", "", "lock sign, members allow, members revoke",
     "\"lock sign\" signs every waiting member, and the policy; the others apply to every member, including those that "
     "join later",
     flag<&Request::all>},
    {"again", "", "lock sign", "--all also signs members that are signed, for example before a key is withdrawn",
     flag<&Request::again>},
    {"policy", "", "lock sign", "sign the policy alone", flag<&Request::policy>},
    {"json", "", "",
     "print JSON: for \"status\" an object with \"client\" and \"server\", whichever runs, or with --socket that "
     "daemon's status itself; for \"peers\", \"members\" and \"pairs\" a list",
     flag<&Request::json>},
    {"help", "", "", "show this help message", flag<&Request::help>},
    {"version", "", "", "show version information", flag<&Request::version>},
});

const Option& option_named(std::string_view name) {
  return *std::ranges::find(kOptions, name, &Option::name);
}

// Whether `words` are `command`, or begin with it.
bool begins(std::string_view words, std::string_view command) {
  return words.starts_with(command) && (words.size() == command.size() || words[command.size()] == ' ');
}

std::vector<std::string_view> commands_of(const Option& option) {
  std::vector<std::string_view> out;
  for (std::string_view rest = option.commands; !rest.empty();) {
    const std::size_t end = std::min(rest.find(", "), rest.size());
    out.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(rest.size(), end + 2));
  }
  return out;
}

bool belongs(const Option& option, std::string_view words) {
  return option.commands.empty() ||
         std::ranges::any_of(commands_of(option), [&](std::string_view command) { return begins(words, command); });
}

// An Error if the command would ignore an option.
Result<void> check_options(const Request& request) {
  const std::string words = joined(request.words);
  const bool known = std::ranges::any_of(kCommands, [&](const Command& c) { return begins(words, c.words); });
  if (!known || request.help || request.version || words.starts_with("help")) return {};
  for (const std::string& name : request.options) {
    const Option& option = option_named(name);
    if (belongs(option, words)) continue;
    return make_error(Errc::invalid_argument, "--" + name + " is an option of: " + std::string(option.commands));
  }
  return {};
}

std::string option_line(const Option& option, bool with_commands) {
  constexpr std::size_t kColumn = 21;
  std::string left = "--" + std::string(option.name) + (option.value.empty() ? "" : " ") + std::string(option.value);
  left.resize(std::max(left.size(), kColumn - 2), ' ');
  const std::string of = with_commands && !option.commands.empty() ? std::string(option.commands) + ": " : "";
  return "  " + left + "  " + of + std::string(option.help) + "\n";
}

}  // namespace

std::string Command::line() const {
  return std::string(words) + (argument.empty() ? "" : " ") + std::string(argument);
}

std::span<const Command> commands() {
  return kCommands;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::string help_text() {
  std::string out = "eps [OPTION]... COMMAND\n\nCommands:\n";
  constexpr std::size_t kColumn = 19;
  for (const Command& command : kCommands) {
    std::string left = command.line();
    left.resize(std::max(left.size(), kColumn), ' ');
    out += "  " + left + "  " + std::string(command.help) + "\n";
  }
  out +=
      "\n"
      "A NAME is a member's name, in upper or lower case, its address or its MAC.\n"
      "\n"
      "Options, and the commands that they belong to:\n";
  for (const Option& option : kOptions) out += option_line(option, true);
  return out + "\nExit status: 0 success, 1 refused or failed, 2 wrong usage, 3 the daemon does not run\n";
}

std::string help_text(const std::vector<std::string>& words) {
  std::string out, options;
  std::vector<const Command*> shown;
  for (const Command& command : kCommands) {
    const std::string line = command.line();
    if (line != joined(words) && !line.starts_with(joined(words) + " ")) continue;
    shown.push_back(&command);
    out += "eps " + line + "\n    " + std::string(command.help) + "\n";
  }
  for (const Option& option : kOptions) {
    const auto has = [&](const Command* command) { return belongs(option, command->words); };
    if (option.commands.empty() || !std::ranges::any_of(shown, has)) continue;
    options += option_line(option, !std::ranges::all_of(shown, has));
  }
  return out + (options.empty() ? "" : "\nOptions:\n" + options);
}

Result<Request> parse_request(const std::vector<std::string>& arguments) {
  po::options_description known;
  for (const Option& option : kOptions) {
    if (option.value.empty()) {
      known.add_options()(std::string(option.name).c_str(), "");
    } else {
      known.add_options()(std::string(option.name).c_str(), po::value<std::string>());
    }
  }
  using namespace po::command_line_style;
  Request out;
  try {
    for (const po::option& given : po::command_line_parser(arguments)
                                       .options(known)
                                       .style(allow_long | long_allow_adjacent | long_allow_next)
                                       .run()
                                       .options) {
      if (given.string_key.empty()) {
        out.words.insert(out.words.end(), given.value.begin(), given.value.end());
        continue;
      }
      out.options.push_back(given.string_key);
      const auto set = option_named(given.string_key).set(out, given.value.empty() ? "" : given.value.front());
      if (!set) return make_error(set.error().code, "--" + given.string_key + ": " + set.error().what);
    }
  } catch (const po::unknown_option& e) {
    const std::string typed = e.get_option_name();
    std::string meant;
    std::size_t least = 3;
    for (const Option& option : kOptions) {
      const std::string name = "--" + std::string(option.name);
      const std::size_t distance = edit_distance(typed, name);
      if (distance < least) meant = "; did you mean \"" + name + "\"?";
      least = std::min(least, distance);
    }
    return make_error(Errc::invalid_argument, "unknown option \"" + quotable(typed) + "\"" + meant);
  } catch (const po::invalid_command_line_syntax& e) {
    if (e.kind() != po::invalid_syntax::missing_parameter) return make_error(Errc::invalid_argument, e.what());
    return make_error(Errc::invalid_argument, "--" + e.get_option_name().substr(2) + " needs a value");
  } catch (const po::error& e) {
    return make_error(Errc::invalid_argument, e.what());
  }
  if (const auto checked = check_options(out); !checked) return checked.error();
  return out;
}

}  // namespace eps::app
