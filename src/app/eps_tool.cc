// SPDX-License-Identifier: MIT
#include "app/eps_tool.h"

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <thread>

#include "app/command_line.h"
#include "app/conf_file.h"
#include "app/option_table.h"
#include "app/option_values.h"
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
#include "app/version.h"
#include "os/files.h"
#include "report/text.h"

namespace eps::app {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

constexpr std::size_t kMaxKeySize = 4096;
constexpr std::chrono::milliseconds kReportPause{500};  // for the members' answers

struct Command {
  std::string_view words, argument, help;
};
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

std::string line_of(const Command& command) {
  return std::string(command.words) + (command.argument.empty() ? "" : " ") + std::string(command.argument);
}

std::string help_text() {
  std::string out = "eps [OPTION]... COMMAND\n\nCommands:\n";
  constexpr std::size_t kColumn = 19;
  for (const Command& command : kCommands) {
    std::string left = line_of(command);
    left.resize(std::max(left.size(), kColumn), ' ');
    out += "  " + left + "  " + std::string(command.help) + "\n";
  }
  return out +
         "\n"
         "A NAME is a member's name, in upper or lower case, its address or its MAC.\n"
         "\n"
         "Options:\n"
         "  --socket PATH        the daemon's socket (=/run/eps/client.sock, /run/eps/server.sock)\n"
         "  --state DIR          the server's state directory, for \"key\" (=/var/lib/eps)\n"
         "  --into FILE          \"key\" writes the line into that configuration file, unless it has one, instead of "
         "printing\n"
         "  --count NUMBER       number of pings of \"ping\" (=5) and tables of \"watch\"\n"
         "  --conf FILE          the configuration file for \"check\" and \"reload\" (=/etc/eps.conf)\n"
         "  --png FILE, --svg FILE\n"
         "                       where \"graph\" writes its image; needs the package graphviz\n"
         "  --uses NUMBER        computers that may join with a key (=any number)\n"
         "  --expires TIME       how long a key is valid: 90s, 15m, 24h or 7d (=for ever)\n"
         "  --name NAME          name of the key in \"keys list\"\n"
         "  --groups GROUP,...   groups of the policy for the computers that join with the key\n"
         "  --file FILE          the policy for \"policy test\" (=the network's)\n"
         "  --since TIME         \"audit\" begins there: 24h, 7d or 2026-11-27 (=all)\n"
         "  --approve            computers that join with the key wait for \"members approve\"\n"
         "  --ephemeral          computers that join with the key are members until they have been away for 10 "
         "minutes\n"
         "  --qr                 \"key\", \"keys create\" and \"keys rotate\" print the key as a QR code as well, in a "
         "terminal;\n"
         "                       needs the package qrencode\n"
         "  --lock-key FILE      the key of the network lock, for \"lock\" (=/etc/eps-lock.key)\n"
         "  --all                \"lock sign\" signs every waiting member, and the policy; \"members allow\" and "
         "\"members\n"
         "                       revoke\" apply to every member, including those that join later\n"
         "  --again              \"lock sign --all\" also signs members that are signed, for example before a key is "
         "withdrawn\n"
         "  --policy             \"lock sign\" signs the policy alone\n"
         "  --json               print JSON: for \"status\" an object with \"client\" and \"server\", whichever runs, "
         "or "
         "with\n"
         "                       --socket that daemon's status itself; for \"peers\", \"members\" and \"pairs\" a "
         "list\n"
         "  --help               show this help message\n"
         "  --version            show version information\n"
         "\n"
         "Exit status: 0 success, 1 refused or failed, 2 wrong usage, 3 the daemon does not run\n";
}

Result<Request> parse(const std::vector<std::string>& arguments) {
  po::options_description known;
  known.add_options()("socket", po::value<std::string>())("state", po::value<std::string>())(
      "into", po::value<std::string>())("png", po::value<std::string>())("count", po::value<std::string>())(
      "conf", po::value<std::string>())("svg", po::value<std::string>())("uses", po::value<std::string>())(
      "expires", po::value<std::string>())("since", po::value<std::string>())("name", po::value<std::string>())(
      "groups", po::value<std::string>())("file", po::value<std::string>())("policy", "")("qr", "")("approve", "")(
      "ephemeral", "")("lock-key", po::value<std::string>())("all", "")("again", "")("json", "")("help", "")("version",
                                                                                                             "");
  using namespace po::command_line_style;
  Request out;
  try {
    for (const po::option& option : po::command_line_parser(arguments)
                                        .options(known)
                                        .style(allow_long | long_allow_adjacent | long_allow_next)
                                        .run()
                                        .options) {
      if (option.string_key == "socket") out.socket = option.value.front();
      if (option.string_key == "state") out.state = option.value.front();
      if (option.string_key == "into") out.into = option.value.front();
      if (option.string_key == "count") {
        const auto count = number_value(option.value.front(), 1, 1'000'000);
        if (!count) return make_error(Errc::invalid_argument, "--count: " + count.error().what);
        out.count = *count;
      }
      if (option.string_key == "uses") {
        const auto uses = number_value(option.value.front(), 1, 1'000'000);
        if (!uses) return make_error(Errc::invalid_argument, "--uses: " + uses.error().what);
        out.uses = *uses;
      }
      if (option.string_key == "expires") {
        out.expires = parse_validity(option.value.front());
        if (!out.expires) {
          return make_error(Errc::invalid_argument, "--expires: \"" + quotable(option.value.front()) +
                                                        "\" is not a time such as 90s, 15m, 24h or 7d");
        }
      }
      if (option.string_key == "since") out.since = option.value.front();
      if (option.string_key == "name") out.name = option.value.front();
      if (option.string_key == "groups") out.groups = words_of_list(option.value.front());
      if (option.string_key == "file") out.file = option.value.front();
      if (option.string_key == "policy") out.policy = true;
      if (option.string_key == "qr") out.qr = true;
      if (option.string_key == "approve") out.approve = true;
      if (option.string_key == "lock-key") out.lock_key = option.value.front();
      if (option.string_key == "all") out.all = true;
      if (option.string_key == "again") out.again = true;
      if (option.string_key == "ephemeral") out.ephemeral = true;
      if (option.string_key == "conf") out.conf = option.value.front();
      if (option.string_key == "png") out.png = option.value.front();
      if (option.string_key == "svg") out.svg = option.value.front();
      if (option.string_key == "json") out.json = true;
      if (option.string_key == "help") out.help = true;
      if (option.string_key == "version") out.version = true;
      if (option.string_key.empty()) out.words.insert(out.words.end(), option.value.begin(), option.value.end());
    }
  } catch (const po::unknown_option& e) {
    const std::string typed = e.get_option_name();
    std::string meant;
    std::size_t least = 3;
    for (const auto& option : known.options()) {
      const std::size_t distance = edit_distance(typed, "--" + option->long_name());
      if (distance < least) meant = "; did you mean \"--" + option->long_name() + "\"?";
      least = std::min(least, distance);
    }
    return make_error(Errc::invalid_argument, "unknown option \"" + quotable(typed) + "\"" + meant);
  } catch (const po::invalid_command_line_syntax& e) {
    if (e.kind() != po::invalid_syntax::missing_parameter) return make_error(Errc::invalid_argument, e.what());
    return make_error(Errc::invalid_argument, "--" + e.get_option_name().substr(2) + " needs a value");
  } catch (const po::error& e) {
    return make_error(Errc::invalid_argument, e.what());
  }
  return out;
}

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
    std::string out;
    for (const Command& command : kCommands) {
      const std::string line = line_of(command);
      if (line == joined(words) || line.starts_with(joined(words) + " ")) {
        out += "eps " + line + "\n    " + std::string(command.help) + "\n";
      }
    }
    if (out.empty()) return usage("unknown command \"" + quotable(joined(words)) + "\"" + suggestion(words));
    return print_folded(out + "eps --help lists the options; see also man eps.\n");
  }

  // How a command that begins with this word is written; "": none does.
  static std::string forms_of(const std::string& first) {
    std::vector<std::string> forms;
    for (const Command& command : kCommands) {
      if (command.words.substr(0, command.words.find(' ')) == first) forms.push_back(line_of(command));
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
    for (const Command& command : kCommands) {
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

  // Both daemons, or the one whose socket is named.
  int reload() {
    std::vector<std::string> sockets = {defaults_.client_socket, defaults_.server_socket};
    if (request_.socket) sockets = {*request_.socket};
    json request = {{"command", "reload"}};
    // For a daemon that may not read it; root may.
    const auto conf = os::read_file(request_.conf.value_or(defaults_.conf), kMaxConfSize);
    if (conf) request["conf"] = *conf;
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
  auto request = parse(given);
  if (request) return Tool(std::move(*request), defaults, out, err).run();
  err << "eps: " << request.error().what << "; see eps --help\n";
  return kExitUsage;
}

}  // namespace eps::app
