// SPDX-License-Identifier: MIT
#include "app/eps_tool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "app/tool_audit.h"
#include "control/network_key.h"
#include "ops/background.h"
#include "ops/status_socket.h"
#include "os/files.h"
#include "report/status_json.h"
#include "support/temporary_directory.h"

namespace eps::app {
namespace {

using nlohmann::json;
using test::TemporaryDirectory;
using testing::HasSubstr;
using testing::Not;

std::string network_key(unsigned char server, unsigned char secret) {
  control::NetworkKey key;
  key.server.bytes.fill(std::byte{server});
  std::ranges::fill(key.enrolment.writable(), std::byte{secret});
  return control::to_text(key);
}

ClientStatus client_status() {
  ClientStatus s;
  s.name = "alice";
  s.version = "0.1.0";
  PeerStatus bob;
  bob.member.name = "bob";
  s.peers = {bob};
  return s;
}

ServerStatus server_status() {
  ServerStatus s;
  s.version = "0.1.0";
  ServerMemberStatus alice;
  alice.member.name = "alice";
  alice.member.address = *parse_ip4("10.0.8.1");
  alice.member.mac = *parse_mac("02:00:00:00:00:0a");
  s.members = {alice};
  return s;
}

json client_answer(const json& request) {
  const std::string command = request.value("command", "");
  if (command == "status" || command == "peers") return {{"ok", true}, {"status", report::to_json(client_status())}};
  if (command == "reload") return {{"ok", true}, {"program", "eps-client"}, {"note", "The configuration was reread."}};
  return {{"ok", false}, {"error", "eps-client does not know the command"}};
}

json server_answer(const json& request) {
  const std::string command = request.value("command", "");
  if (command == "status" || command == "members") return {{"ok", true}, {"status", report::to_json(server_status())}};
  if (command == "remove" && request.value("name", "") == "alice") return {{"ok", true}};
  if (command == "graph") return {{"ok", true}, {"dot", "graph eps { a -- b }\n"}};
  if (command == "reload") return {{"ok", false}, {"error", "eps.conf:1: unknown option"}};
  return {{"ok", false}, {"error", "There is no member with that name."}};
}

// A daemon's socket, served by a thread.
class Daemon {
 public:
  Daemon(const std::string& path, ops::StatusSocket::Handler handler)
      : socket_(ops::StatusSocket::open(io_, background_, path, "test").value()) {
    socket_->start(std::move(handler));
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Daemon() {
    io_.stop();
    thread_.join();
  }

 private:
  boost::asio::io_context io_{1};
  ops::Background background_{io_};
  std::unique_ptr<ops::StatusSocket> socket_;
  std::thread thread_;
};

class EpsTool : public testing::Test {
 protected:
  int run(const std::vector<std::string>& arguments) {
    out.str("");
    err.str("");
    return run_tool(arguments, {dir / "client.sock", dir / "server.sock", dir / "state", dir / "eps.conf"}, out, err);
  }
  json printed() const { return json::parse(out.str()); }

  const TemporaryDirectory dir;
  std::ostringstream out, err;
};

TEST_F(EpsTool, ShowsWhicheverRuns) {
  EXPECT_EQ(run({"status"}), 3);
  EXPECT_EQ(err.str(),
            "eps: neither eps-client nor eps-server runs here (no answer at " + dir.path() + "/client.sock or " +
                dir.path() +
                "/server.sock). Start it: sudo eps-configure.sh, which asks what it needs; or name its socket with "
                "--socket.\n");
  EXPECT_EQ(out.str(), "");
  const Daemon client(dir / "client.sock", client_answer);
  EXPECT_EQ(run({"status"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("eps-client  0.1.0"));
  EXPECT_THAT(out.str(), testing::Not(HasSubstr("eps-server")));
  const Daemon server(dir / "server.sock", server_answer);
  EXPECT_EQ(run({"status"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("eps-client  0.1.0"));
  EXPECT_THAT(out.str(), HasSubstr("\n\neps-server   0.1.0"));
  EXPECT_EQ(err.str(), "");
}

TEST_F(EpsTool, StatusAsJson) {
  const Daemon server(dir / "server.sock", server_answer);
  EXPECT_EQ(run({"status", "--json"}), 0);
  EXPECT_EQ(printed(), (json{{"server", report::to_json(server_status())}}));
  EXPECT_EQ(run({"--json", "--socket", dir / "server.sock", "status"}), 0);
  EXPECT_EQ(printed(), report::to_json(server_status()));
  const Daemon client(dir / "client.sock", client_answer);
  EXPECT_EQ(run({"status", "--json"}), 0);
  EXPECT_EQ(printed().size(), 2u);
}

TEST_F(EpsTool, MakesAndRotatesJoinKeys) {
  EXPECT_EQ(run({"keys"}), 3);
  json asked;
  const Daemon server(dir / "server.sock", [&](const json& request) -> json {
    asked = request;
    for (const char* who : {"uid", "for"}) asked.erase(who);
    const std::string command = request.value("command", "");
    if (command == "keys") {
      return {{"ok", true},
              {"keys",
               {{{"id", 0}, {"used", 4}, {"state", "valid"}},
                {{"id", 3}, {"name", "phone"}, {"used", 1}, {"uses", 1}, {"state", "used up"}}}}};
    }
    if (command == "rotate_key") return {{"ok", true}, {"key", network_key(1, 2)}};
    return {{"ok", true}, {"key", "eps1-made"}, {"revoked", "join key 3 (phone)"}};
  });
  EXPECT_EQ(run({"keys", "create", "--uses", "1", "--expires", "24h", "--name", "phone", "--approve"}), 0);
  EXPECT_EQ(out.str(), "eps1-made\n");
  EXPECT_EQ(asked,
            (json{{"command", "create_key"}, {"uses", 1}, {"valid_for", 86400}, {"name", "phone"}, {"approve", true}}));
  EXPECT_EQ(run({"keys", "create", "--ephemeral"}), 0);
  EXPECT_EQ(asked, (json{{"command", "create_key"}, {"ephemeral", true}}));
  EXPECT_EQ(run({"keys", "create", "--groups", "iot,guests"}), 0);
  EXPECT_EQ(asked, (json{{"command", "create_key"}, {"groups", {"iot", "guests"}}}));
  EXPECT_EQ(run({"keys", "rotate", "--groups", "iot"}), 2);
  EXPECT_EQ(run({"keys", "rotate", "--ephemeral"}), 2);
  EXPECT_EQ(run({"keys", "create", "--expires", "soon"}), 2);
  EXPECT_THAT(err.str(), HasSubstr("--expires: \"soon\" is not a time such as"));
  EXPECT_EQ(run({"keys", "list"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("(the network key)"));
  EXPECT_THAT(out.str(), HasSubstr("1 of 1"));
  EXPECT_EQ(run({"keys", "revoke", "3"}), 0);
  EXPECT_EQ(out.str(), "join key 3 (phone) is revoked; computers that joined with it stay members.\n");

  const std::string others = "key = " + network_key(2, 1) + "\n";
  ASSERT_TRUE(os::write_file_atomic(dir / "eps.conf", "# ours\nkey = " + network_key(1, 1) + "\n", 0600));
  EXPECT_EQ(run({"keys", "rotate"}), 0);
  EXPECT_EQ(out.str(), network_key(1, 2) + "\n");
  EXPECT_EQ(err.str(), "");
  EXPECT_EQ(*os::read_file(dir / "eps.conf", 4096), "# ours\nkey = " + network_key(1, 2) + "\n");
  ASSERT_TRUE(os::write_file_atomic(dir / "eps.conf", others, 0600));
  EXPECT_EQ(run({"keys", "rotate"}), 0);
  EXPECT_THAT(err.str(), HasSubstr("is another server's, and stays"));
  EXPECT_EQ(*os::read_file(dir / "eps.conf", 4096), others);
}

TEST_F(EpsTool, BeginsTheMemberListAnew) {
  EXPECT_EQ(run({"recover"}), 3);
  json asked;
  const Daemon server(dir / "server.sock", [&](const json& request) -> json {
    asked = request;
    return {{"ok", true}, {"list_version", "1800000000.0"}};
  });
  EXPECT_EQ(run({"recover"}), 0);
  EXPECT_EQ(asked["command"], "recover");
  EXPECT_THAT(out.str(), HasSubstr("begins anew, at version 1800000000.0."));
  EXPECT_EQ(run({"recover", "a"}), 2);
}

TEST_F(EpsTool, ShowsWaitingComputersAndApprovesThem) {
  json asked;
  const Daemon server(dir / "server.sock", [&](const json& request) -> json {
    asked = request;
    for (const char* who : {"uid", "for"}) asked.erase(who);
    if (request.value("command", "") != "pending") return {{"ok", true}};
    return {{"ok", true},
            {"pending", {{{"name", "guest"}, {"from", "10.0.0.9"}, {"join_key", 2}, {"since", 0}, {"key", "ab"}}}}};
  });
  EXPECT_EQ(run({"members", "pending"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("guest  10.0.0.9  2         1970-01-01 00:00 UTC  ab"));
  EXPECT_EQ(run({"members", "approve", "guest"}), 0);
  EXPECT_EQ(asked, (json{{"command", "approve"}, {"name", "guest"}}));
  EXPECT_EQ(out.str(), "guest is approved.\n");
  EXPECT_EQ(run({"members", "deny", "guest"}), 0);
  EXPECT_EQ(asked, (json{{"command", "deny"}, {"name", "guest"}}));
  EXPECT_EQ(run({"members", "approve"}), 2);
}

TEST_F(EpsTool, PrintsTheGraph) {
  EXPECT_EQ(run({"graph"}), 3);
  const Daemon server(dir / "server.sock", server_answer);
  EXPECT_EQ(run({"graph"}), 0);
  EXPECT_EQ(out.str(), "graph eps { a -- b }\n");
  EXPECT_EQ(run({"graph", "--json"}), 0);
  EXPECT_EQ(printed(), (json{{"dot", "graph eps { a -- b }\n"}}));
}

TEST_F(EpsTool, ReadsThePairsInPages) {
  const Daemon server(dir / "server.sock", [](const json& request) -> json {
    if (request.value("command", "") == "members") return server_answer(request);
    const auto pair = [](const char* from, const char* to) {
      return json{{"from", from}, {"to", to}, {"path", "direct"}, {"bytes_sent", 1500}, {"packets_lost", 2}};
    };
    EXPECT_EQ(request.value("command", ""), "pairs");
    if (request.contains("member")) return {{"ok", true}, {"pairs", json::array({pair("alice", "carol")})}};
    if (!request.contains("after")) {
      return {{"ok", true}, {"pairs", json::array({pair("alice", "bob")})}, {"next", {1, 2}}};
    }
    EXPECT_EQ(request["after"], json::array({1, 2}));
    return {{"ok", true}, {"pairs", json::array({pair("bob", "alice")})}};
  });
  EXPECT_EQ(run({"pairs"}), 0);
  EXPECT_EQ(out.str(),
            "FROM   TO     PATH    RTT  SENT     RECEIVED  LOST\n"
            "alice  bob    direct  -    1.50 kB  0 B       2\n"
            "bob    alice  direct  -    1.50 kB  0 B       2\n");
  EXPECT_EQ(run({"--json", "pairs", "alice"}), 0);
  EXPECT_EQ(printed().at(0).at("to"), "carol");
  EXPECT_EQ(run({"pairs", "nobody"}), 1);
}

TEST_F(EpsTool, SaysWhoWaits) {
  const Daemon server(dir / "server.sock", [](const json& request) -> json {
    if (request.value("command", "") != "pending") return server_answer(request);
    json list = json::array();
    for (const char* name : {"p1", "p2", "p3", "p4", "p5"}) list.push_back({{"name", name}});
    return {{"ok", true}, {"pending", list}};
  });
  EXPECT_EQ(run({"members"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("\np1, p2, p3 and 2 more wait to be approved; see eps members pending\n"));
  EXPECT_EQ(run({"doctor"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("warning  p1, p2, p3 and 2 more wait to be approved.\n"));
}

TEST_F(EpsTool, ReloadsWhateverRuns) {
  EXPECT_EQ(run({"reload"}), 3);
  const Daemon client(dir / "client.sock", client_answer);
  EXPECT_EQ(run({"reload"}), 0);
  EXPECT_EQ(out.str(), "eps-client: The configuration was reread.\n");
  EXPECT_EQ(run({"reload", "--json"}), 0);
  EXPECT_EQ(printed(), (json{{"eps-client", "The configuration was reread."}}));
  const Daemon server(dir / "server.sock", server_answer);
  EXPECT_EQ(run({"reload"}), 1);
  EXPECT_EQ(err.str(), "eps: eps.conf:1: unknown option\n");
  EXPECT_EQ(out.str(), "eps-client: The configuration was reread.\n") << "the other one is reloaded nevertheless";
}

TEST_F(EpsTool, PassesTheNamedFileToADaemon) {
  const Daemon client(dir / "client.sock", [](const json& request) -> json {
    return {{"ok", true}, {"program", "eps-client"}, {"note", request.value("conf", "none")}};
  });
  std::ofstream(dir / "lab.conf") << "server = lab";
  EXPECT_EQ(run({"reload", "--conf", dir / "lab.conf"}), 0);
  EXPECT_EQ(out.str(), "eps-client: server = lab\n");
  EXPECT_EQ(run({"reload", "--conf", dir / "none.conf"}), 1);
  EXPECT_THAT(err.str(), HasSubstr("none.conf"));
}

TEST_F(EpsTool, PassesTheFileOfTheNamedInstance) {
  json asked;
  const Daemon client(dir / "lab.sock", [&](const json& request) -> json {
    asked = request;
    return {{"ok", true}, {"program", "eps-client"}, {"note", ""}};
  });
  dir.write("eps.conf", "server = home");
  EXPECT_EQ(run({"reload", "--socket", dir / "lab.sock"}), 0);
  EXPECT_EQ(asked["conf_path"], dir / "eps.conf");
  std::filesystem::create_directory(dir / "eps.conf.d");
  dir.write("eps.conf.d/lab.conf", "server = lab");
  EXPECT_EQ(run({"reload", "--socket", dir / "lab.sock"}), 0);
  EXPECT_EQ(asked["conf"], "server = lab");
  EXPECT_EQ(asked["conf_path"], dir / "eps.conf.d/lab.conf");
  EXPECT_EQ(run({"reload", "--socket", dir / "lab.sock", "--conf", dir / "eps.conf.d/../eps.conf"}), 0);
  EXPECT_EQ(asked["conf_path"], dir / "eps.conf");
}

TEST_F(EpsTool, NamesASocket) {
  const Daemon other(dir / "other.sock", client_answer);
  EXPECT_EQ(run({"status", "--socket", dir / "other.sock"}), 0);
  EXPECT_EQ(run({"--socket=" + (dir / "other.sock"), "peers"}), 0);
  EXPECT_EQ(run({"--socket", dir / "none.sock", "status"}), 3);
  EXPECT_THAT(err.str(), HasSubstr("no answer at " + dir.path() + "/none.sock"));
}

TEST_F(EpsTool, PeersAndMembers) {
  EXPECT_EQ(run({"peers"}), 3);
  EXPECT_THAT(err.str(), HasSubstr("eps: eps-client does not run here"));
  EXPECT_THAT(err.str(), HasSubstr("Start it: sudo eps-client --server HOST; or name"));
  EXPECT_EQ(run({"members"}), 3);
  EXPECT_THAT(err.str(), HasSubstr("eps: eps-server does not run here"));
  EXPECT_EQ(run({"policy"}), 3);
  EXPECT_THAT(err.str(), HasSubstr("eps: neither eps-client nor eps-server runs here"));
  const Daemon client(dir / "client.sock", client_answer), server(dir / "server.sock", server_answer);
  EXPECT_EQ(run({"peers"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("\nbob "));
  EXPECT_EQ(run({"peers", "--json"}), 0);
  EXPECT_EQ(printed()[0]["name"], "bob");
  EXPECT_EQ(run({"members"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("\nalice "));
  EXPECT_EQ(run({"members", "--json"}), 0);
  EXPECT_EQ(printed()[0]["name"], "alice");
  EXPECT_EQ(run({"members", "--socket", dir / "client.sock"}), 1);
  EXPECT_EQ(err.str(), "eps: eps-client does not know the command\n");
}

TEST_F(EpsTool, RemovesAMember) {
  EXPECT_EQ(run({"members", "remove", "alice"}), 3);
  const Daemon server(dir / "server.sock", server_answer);
  EXPECT_EQ(run({"members", "remove", "alice"}), 0);
  EXPECT_EQ(
      out.str(),
      "alice is removed. Whoever still holds a join key can join as a new member: to replace the network key, run: "
      "eps keys rotate\n");
  EXPECT_EQ(run({"members", "remove", "alice", "--json"}), 0);
  EXPECT_EQ(printed(), (json{{"ok", true}}));
  EXPECT_EQ(run({"members", "remove", "nobody"}), 1);
  EXPECT_EQ(err.str(), "eps: There is no member with that name.\n");
  EXPECT_EQ(run({"members", "remove"}), 2);
}

TEST_F(EpsTool, RenamesAMember) {
  EXPECT_EQ(run({"members", "rename", "alice", "camera"}), 3);
  json asked;
  bool more = false;
  const Daemon server(dir / "server.sock", [&](const json& request) -> json {
    if (request.value("command", "") != "rename") return server_answer(request);
    asked = request;
    return {{"ok", true}, {"locked", more}, {"gained_rules", more}, {"lost_rules", more}};
  });
  EXPECT_EQ(run({"members", "rename", "10.0.8.1", "camera"}), 0);
  EXPECT_EQ(asked["name"], "alice");
  EXPECT_EQ(asked["new_name"], "camera");
  EXPECT_EQ(out.str(), "alice is called camera from now on.\n");
  more = true;
  EXPECT_EQ(run({"members", "rename", "alice", "camera"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("The policy's rules for alice apply to no member now"));
  EXPECT_THAT(out.str(), HasSubstr("rules for this name apply to this member now"));
  EXPECT_THAT(out.str(), HasSubstr("eps lock sign camera\n"));
}

TEST_F(EpsTool, KnowsAMemberByItsNameInAnyCaseItsAddressesAndItsMac) {
  json members = json::array();
  // A member chooses its name itself: the last one's is the address of the first.
  for (const auto& [name, last] : {std::pair{"alice", "a"}, {"Bob", "b"}, {"bob", "c"}, {"10.0.8.a", "d"}}) {
    const std::string address = std::string("10.0.8.") + last;
    members.push_back({{"name", name},
                       {"address", address},
                       {"address6", std::string("fd43::") + last},
                       {"mac", std::string("02:00:00:00:00:0") + last},
                       {"groups", json::array()}});
  }
  json asked;
  const Daemon server(dir / "server.sock", [&](const json& request) -> json {
    const std::string command = request.value("command", "");
    if (command == "members") return {{"ok", true}, {"status", {{"members", members}}}};
    if (command == "pending") return {{"ok", true}, {"pending", {{{"name", "alice"}}, {{"name", "Bob"}}}}};
    if (command == "policy") return {{"ok", true}, {"text", ""}, {"members", {{"alice", members[0]}}}};
    asked = request;
    return {{"ok", true}};
  });
  const auto name_asked = [&](std::vector<std::string> words, const std::string& wish) {
    std::ranges::replace(words, "NAME", wish);
    asked = {{"name", "nothing was asked"}};
    run(words);
    return asked.value("name", "");
  };
  for (const std::vector<std::string>& words : {std::vector<std::string>{"members", "remove", "NAME"},
                                                {"members", "rename", "NAME", "camera"},
                                                {"members", "allow", "NAME", "bridge"},
                                                {"members", "revoke", "NAME", "bridge"},
                                                {"members", "group", "NAME", "iot"}}) {
    for (const char* wish : {"alice", "ALICE", "10.0.8.a", "FD43::A", "02:00:00:00:00:0A"})
      EXPECT_EQ(name_asked(words, wish), "alice") << words[1] << " " << wish;
    EXPECT_EQ(name_asked(words, "bob"), "bob") << "and not Bob";
    EXPECT_EQ(name_asked(words, "BOB"), "BOB") << "which of the two?";
    EXPECT_EQ(name_asked(words, ""), "") << words[1];
  }
  EXPECT_EQ(name_asked({"members", "approve", "NAME"}, "ALICE"), "alice");
  EXPECT_EQ(name_asked({"members", "deny", "NAME"}, "bob"), "Bob");
  EXPECT_EQ(name_asked({"members", "approve", "NAME"}, ""), "");
  EXPECT_EQ(run({"policy", "test", "Alice", "02:00:00:00:00:0A", "tcp", "80"}), 0) << err.str();
}

TEST_F(EpsTool, SaysThatWhatIsAllowedIsToBeSigned) {
  const Daemon server(dir / "server.sock", [](const json&) -> json { return {{"ok", true}, {"locked", true}}; });
  EXPECT_EQ(run({"members", "allow", "alice", "10.50.0.0/24"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("alice may use 10.50.0.0/24.\n"));
  EXPECT_THAT(out.str(), HasSubstr("eps lock sign alice\n"));
  EXPECT_EQ(run({"members", "allow", "--all", "10.50.0.0/24"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("eps lock sign --all\n"));
}

TEST_F(EpsTool, PrintsTheKey) {
  EXPECT_EQ(run({"key"}), 1);
  EXPECT_THAT(err.str(), HasSubstr("eps: there is no network key at " + dir.path() + "/state/server/network.key: "));
  std::filesystem::create_directories(dir / "state/server");
  dir.write("state/server/network.key", "");
  EXPECT_EQ(run({"key"}), 1);
  dir.write("state/server/network.key", "eps1-abc\n");
  EXPECT_EQ(run({"key"}), 0);
  EXPECT_EQ(out.str(), "eps1-abc\n");
  EXPECT_EQ(run({"key", "--json"}), 0);
  EXPECT_EQ(printed(), (json{{"key", "eps1-abc"}}));
  EXPECT_EQ(run({"key", "--state", dir / "elsewhere"}), 1);
}

TEST_F(EpsTool, WritesTheKeyIntoAFile) {
  std::filesystem::create_directories(dir / "state/server");
  dir.write("state/server/network.key", "eps1-abc\n");
  const std::string conf = dir / "eps.conf";
  EXPECT_EQ(run({"key", "--into", conf}), 0);
  EXPECT_THAT(out.str(), HasSubstr("The configuration file " + conf + " is new"));
  EXPECT_THAT(test::read_text(conf), HasSubstr("\nkey = eps1-abc\n"));
  dir.write("eps.conf", "port = 5");
  EXPECT_EQ(run({"key", "--into", conf}), 0);
  EXPECT_EQ(test::read_text(conf), "port = 5\nkey = eps1-abc\n");
  EXPECT_EQ(run({"key", "--into", conf}), 0);
  EXPECT_EQ(test::read_text(conf), "port = 5\nkey = eps1-abc\n");
  dir.write("eps.conf", "key = eps1-xyz\n");
  EXPECT_EQ(run({"key", "--into", conf}), 0);
  EXPECT_EQ(out.str(), "");
  EXPECT_THAT(err.str(), HasSubstr("is not this server's"));
  EXPECT_EQ(test::read_text(conf), "key = eps1-xyz\n");
  EXPECT_EQ(run({"key", "--into", dir / "none/eps.conf"}), 1);
}

TEST_F(EpsTool, ExplainsInvalidCommands) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "no command is given"},
      {{"stat"}, "unknown command \"stat\"; did you mean \"status\"?"},
      {{"peesr"}, "unknown command \"peesr\"; did you mean \"peers\"?"},
      {{"Doctor"}, "unknown command \"Doctor\"; did you mean \"doctor\"?"},
      {{"pign", "b"}, "unknown command \"pign b\"; did you mean \"ping\"?"},
      {{"xyz"}, "unknown command \"xyz\""},
      {{"status", "now"}, "status takes no argument"},
      {{"peers", "all"}, "peers takes no argument"},
      {{"ping", "a", "b"}, "it is ping NAME"},
      {{"members", "add", "x"},
       "it is members, members remove NAME, members pending, members approve NAME, members deny NAME, members rename "
       "NAME NEW, members allow NAME RANGE, members revoke NAME RANGE or members group NAME [GROUP...]"},
      {{"members", "pendign"}, "unknown command \"members pendign\"; did you mean \"members pending\"?"},
      {{"members", "remove"}, "members remove needs a NAME"},
      {{"members", "rename", "b"}, "members rename needs a NAME and the NEW one"},
      {{"members", "allow", "b"},
       "members allow needs a NAME and a RANGE, for example: eps members allow laptop 192.168.43.50"},
      {{"members", "allow", "--all"},
       "members allow needs a NAME and a RANGE, for example: eps members allow laptop 192.168.43.50"},
      {{"members", "allow", "--all", "b", "192.168.43.50"},
       "members allow needs a NAME and a RANGE, for example: eps members allow laptop 192.168.43.50"},
      {{"members", "revoke"},
       "members revoke needs a NAME and a RANGE, for example: eps members revoke laptop 192.168.43.50"},
      {{"why"}, "why needs a NAME"},
      {{"trust"}, "trust needs a NAME"},
      {{"check"}, "check needs client or server"},
      {{"status", "--jso"}, "unknown option \"--jso\"; did you mean \"--json\"?"},
      {{"status", "--frobnicate"}, "unknown option \"--frobnicate\""},
      {{"status", "--socket"}, "--socket needs a value"},
      {{"peers", "--count", "2"}, "--count is an option of: ping, watch"},
      {{"lock", "status", "--all"}, "--all is an option of: lock sign, members allow, members revoke"},
      {{"keys", "list", "--qr"}, "--qr is an option of: key, keys create, keys rotate"},
      {{"keys", "rotate", "--groups", "web"}, "--groups is an option of: keys create"},
      {{"keys", "create", "--groups", "web,,db"}, "--groups: \"web,,db\" is not a list such as web,guests"},
      {{"keys", "create", "--name", std::string(300, 'x')}, "--name: must have 1 to 63 characters"},
      {{"keys", "create", "--expires", "soon"}, "--expires: \"soon\" is not a time such as 90s, 15m, 24h or 7d"},
  };
  for (const auto& [arguments, sentence] : cases) {
    EXPECT_EQ(run(arguments), 2);
    EXPECT_EQ(err.str(), "eps: " + sentence + "; see eps --help\n");
    EXPECT_EQ(out.str(), "");
  }
}

TEST(Since, IsADayOrATimeAgo) {
  constexpr std::int64_t kNow = 1'795'795'200;
  EXPECT_EQ(parse_since("24h", kNow), kNow - 86400);
  EXPECT_EQ(parse_since("90s", kNow), kNow - 90);
  EXPECT_EQ(parse_since("2026-11-27", kNow), 1'795'737'600);
  for (const char* bad : {"", "h", "2026-02-30", "2026-1-1", "yesterday", "2026-11-2x", "-100-01-01"}) {
    EXPECT_FALSE(parse_since(bad, kNow)) << bad;
  }
}

TEST_F(EpsTool, PrintsTheAuditRecordInParts) {
  const Daemon server(dir / "server.sock", [](const json& request) -> json {
    const auto after = request.value("after", 0U);
    if (after >= 2) return {{"ok", true}, {"entries", json::array()}, {"more", false}};
    const json entry = {{"id", after + 1}, {"time", 1'795'737'600}, {"kind", "administrator"},
                        {"act", "remove"}, {"who", "root"},         {"what", "m" + std::to_string(after + 1)}};
    return {{"ok", true}, {"entries", json::array({entry})}, {"more", true}};
  });
  EXPECT_EQ(run({"audit"}), 0);
  EXPECT_EQ(out.str(),
            "TIME                  WHO   ACT     WHAT\n"
            "2026-11-27 00:00 UTC  root  remove  m1\n"
            "2026-11-27 00:00 UTC  root  remove  m2\n");
  EXPECT_EQ(run({"--json", "audit"}), 0);
  EXPECT_EQ(json::parse(out.str()).size(), 2U);
  EXPECT_EQ(run({"audit", "--since", "yesterday"}), 2);
  EXPECT_THAT(err.str(), HasSubstr("neither a day such as 2026-11-27"));
}

TEST_F(EpsTool, AcceptsNamesInAnyCaseAddressesAndMacs) {
  const Daemon server(dir / "server.sock", server_answer);
  for (const char* wish : {"Alice", "ALICE", "10.0.8.1", "02:00:00:00:00:0A"}) {
    EXPECT_EQ(run({"members", "remove", wish}), 0) << wish;
    EXPECT_THAT(out.str(), testing::StartsWith("alice is removed."));
  }
  EXPECT_EQ(run({"members", "remove", "-dash-"}), 1) << "a name, not an option";
  EXPECT_EQ(err.str(), "eps: There is no member with that name.\n");
  const Daemon client(dir / "client.sock", client_answer);
  for (const char* command : {"why", "ping", "trust"}) {
    EXPECT_EQ(run({command, "alice"}), 1);
    EXPECT_THAT(err.str(), HasSubstr("\"alice\" is this computer itself"));
  }
}

TEST_F(EpsTool, HelpFitsTheTerminal) {
  for (const std::size_t columns : {80U, 40U}) {
    std::ostringstream text;
    ASSERT_EQ(run_tool({"-h"}, {.columns = columns}, text, err), 0);
    std::istringstream lines(text.str());
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), columns) << line;
    EXPECT_THAT(text.str(), HasSubstr("members remove NAME"));
  }
  EXPECT_EQ(run({"help", "ping"}), 0);
  EXPECT_THAT(out.str(), testing::StartsWith("eps ping NAME\n    the round trip to a member"));
  EXPECT_THAT(out.str(), HasSubstr("\n  --count NUMBER       number of pings"));
  EXPECT_EQ(run({"members", "--help"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("eps members remove NAME\n"));
  EXPECT_EQ(run({"--conf", "/etc/eps-b.conf", "--state", "/var/lib/eps-b", "help", "keys", "create"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("--groups GROUP,..."));
  EXPECT_THAT(out.str(), Not(HasSubstr("--count")));
  EXPECT_EQ(run({"help", "pign"}), 2);
  EXPECT_THAT(err.str(), HasSubstr("did you mean \"ping\"?"));
}

TEST_F(EpsTool, HelpAndVersion) {
  for (const char* help : {"help", "--help"}) {
    EXPECT_EQ(run({help}), 0);
    EXPECT_THAT(out.str(), HasSubstr("members remove NAME"));
  }
  for (const char* version : {"version", "--version"}) {
    EXPECT_EQ(run({version}), 0);
    EXPECT_TRUE(out.str().starts_with("EPS Conduits v"));
    EXPECT_EQ(run({version, "--json"}), 0);
    EXPECT_TRUE(json::parse(out.str())["version"].is_string());
  }
}

TEST_F(EpsTool, AnInterruptedAnswerIsAFailure) {
  const Daemon strange(dir / "client.sock", [](const json&) { return json{{"status", 5}}; });
  EXPECT_EQ(run({"peers"}), 1);
  EXPECT_EQ(err.str(), "eps: the daemon refuses\n");
}

}  // namespace
}  // namespace eps::app
