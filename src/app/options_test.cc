// SPDX-License-Identifier: MIT
#include "app/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "app/options_fixture.h"
#include "app/version.h"

namespace eps::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <class Settings>
struct Case {
  std::string name, value;  // an empty value: a flag
  std::function<bool(const Settings&)> took;
};

const std::vector<Case<ClientSettings>>& client_cases() {
  static const std::vector<Case<ClientSettings>> cases = {
      {"log", "/tmp/l", [](auto& s) { return s.log == "/tmp/l"; }},
      {"stats", "", [](auto& s) { return s.stats; }},
      {"scorecard", "/tmp/s", [](auto& s) { return s.scorecard == "/tmp/s"; }},
      {"scorecard-format", "json", [](auto& s) { return s.scorecard_format == report::ScorecardFormat::json; }},
      {"http", "[::1]:9100", [](auto& s) { return s.http == parse_endpoint("[::1]:9100"); }},
      {"port", "12345", [](auto& s) { return s.port == 12345; }},
      {"also-port", "443", [](auto& s) { return s.also_port == 443; }},
      {"tls", "", [](auto& s) { return s.tls == true; }},
      {"server", "192.168.1.42 eps.example.com",
       [](auto& s) {
         return s.servers == Arguments{"192.168.1.42", "eps.example.com"};
       }},
      {"state", "/tmp/st", [](auto& s) { return s.state == "/tmp/st"; }},
      {"udp-port", "41000", [](auto& s) { return s.udp_port == 41000; }},
      {"device", "conduit7", [](auto& s) { return s.device == "conduit7"; }},
      {"bridge", "br0", [](auto& s) { return s.bridge == "br0"; }},
      {"up", "logger $EPS_ADDRESS", [](auto& s) { return s.up == "logger $EPS_ADDRESS"; }},
      {"down", "logger down; true", [](auto& s) { return s.down == "logger down; true"; }},
      {"name", "al-ice_1.x", [](auto& s) { return s.name == "al-ice_1.x"; }},
      {"socket", "/tmp/x.sock", [](auto& s) { return s.socket == "/tmp/x.sock"; }},
      {"accept-network", "8.0.0.0/8 fd00::/8", [](auto& s) { return s.accepted.size() == 2; }},
      {"aead", "chacha20-poly1305", [](auto& s) { return s.aead == "chacha20-poly1305"; }},
      {"psk-file", "/etc/eps.psk", [](auto& s) { return s.psk_file == "/etc/eps.psk"; }},
      {"dscp", "off", [](auto& s) { return !s.copy_dscp; }},
      {"interval", "2", [](auto& s) { return s.interval == std::chrono::seconds(2); }},
      {"relay", "", [](auto& s) { return s.relay; }},
      {"proxy", "http://u:p@proxy:3128",
       [](auto& s) { return s.proxy && s.proxy->text() == "proxy:3128" && s.proxy->credentials == "u:p"; }},
      {"offload", "csum,gso",
       [](auto& s) {
         return s.offload == OffloadSet{true, false, false, true, false};
       }},
      {"workers", "3", [](auto& s) { return s.workers == 3; }},
      {"log-level", "debug", [](auto& s) { return s.log_level == ops::LogLevel::debug; }},
      {"log-format", "json", [](auto& s) { return s.log_format == ops::LogFormat::json; }},
      {"upnptimeout", "250", [](auto& s) { return s.upnp_timeout == std::chrono::milliseconds(250); }},
      {"relay-limit", "50mbit", [](auto& s) { return s.relay_limit.bits_per_second == 50'000'000; }},
      {"key", network_key(), [](auto& s) { return s.key == network_key(); }},
  };
  return cases;
}

const std::vector<Case<ServerSettings>>& server_cases() {
  static const std::vector<Case<ServerSettings>> cases = {
      {"log", "/tmp/l", [](auto& s) { return s.log == "/tmp/l"; }},
      {"stats", "", [](auto& s) { return s.stats; }},
      {"scorecard", "/tmp/s", [](auto& s) { return s.scorecard == "/tmp/s"; }},
      {"graphviz", "/tmp/eps_network.gv", [](auto& s) { return s.graphviz == "/tmp/eps_network.gv"; }},
      {"network", "172.20.18.0/24,fd43::/64",
       [](auto& s) { return to_string(s.network) == "172.20.18.0/24" && to_string(*s.network6) == "fd43::/64"; }},
      {"scorecard-format", "json", [](auto& s) { return s.scorecard_format == report::ScorecardFormat::json; }},
      {"http", "[::1]:9100", [](auto& s) { return s.http == parse_endpoint("[::1]:9100"); }},
      {"port", "12345", [](auto& s) { return s.port == 12345; }},
      {"also-port", "443", [](auto& s) { return s.also_port == 443; }},
      {"tls", "", [](auto& s) { return s.tls == true; }},
      {"sequential", "", [](auto& s) { return s.sequential; }},
      {"upnptimeout", "0", [](auto& s) { return s.upnp_timeout == std::chrono::milliseconds(0); }},
      {"state", "/tmp/st", [](auto& s) { return s.state == "/tmp/st"; }},
      {"socket", "/tmp/x.sock", [](auto& s) { return s.socket == "/tmp/x.sock"; }},
      {"interval", "86400", [](auto& s) { return s.interval == std::chrono::seconds(86400); }},
      {"log-level", "error", [](auto& s) { return s.log_level == ops::LogLevel::error; }},
      {"log-format", "json", [](auto& s) { return s.log_format == ops::LogFormat::json; }},
      {"mtu", "1280", [](auto& s) { return s.mtu == 1280; }},
      {"workers", "64", [](auto& s) { return s.workers == 64; }},
      {"offload", "none", [](auto& s) { return s.offload == kNoOffloads; }},
      {"relay-limit", "50mbit,100GB/day", [](auto& s) { return to_string(s.relay_limit) == "50mbit,100GB/day"; }},
      {"expire-after", "90", [](auto& s) { return s.expire_after == 90; }},
      {"graphviz-interval", "7", [](auto& s) { return s.graphviz_interval == std::chrono::seconds(7); }},
  };
  return cases;
}

template <class Settings, class Parse>
void each_in_every_place(const std::vector<Case<Settings>>& cases, Parse parse) {
  for (const Case<Settings>& c : cases) {
    SCOPED_TRACE(c.name);
    const std::string line = c.value.empty() ? c.name + "\n" : c.name + " = " + c.value + "\n";
    Arguments two_words = {"--" + c.name}, one_word = two_words;
    if (!c.value.empty()) {
      two_words.push_back(c.value);
      one_word = {"--" + c.name + "=" + c.value};
    }
    EXPECT_TRUE(c.took(good(parse(two_words, ""))));
    EXPECT_TRUE(c.took(good(parse(one_word, ""))));
    EXPECT_TRUE(c.took(good(parse({}, line))));
    EXPECT_FALSE(c.name != "key" && c.took(good(parse({}, ""))));
  }
}

TEST_F(Options, EveryClientOptionInEveryPlace) {
  each_in_every_place<ClientSettings>(
      client_cases(), [this](const Arguments& a, const std::string& f) { return complete_client(a, f); });
}

TEST_F(Options, EveryServerOptionInEveryPlace) {
  each_in_every_place<ServerSettings>(
      server_cases(), [this](const Arguments& a, const std::string& f) { return server(a, "# configuration\n" + f); });
}

TEST_F(Options, TheTableHasNoOtherOptions) {
  for (const OptionSpec& spec : option_table()) {
    if (spec.command_line_only) continue;
    const auto in = [&](const auto& cases) {
      return std::ranges::any_of(cases, [&](const auto& c) { return c.name == spec.name; });
    };
    EXPECT_EQ(spec.is_of(Program::client), in(client_cases())) << spec.name;
    EXPECT_EQ(spec.is_of(Program::server), in(server_cases())) << spec.name;
  }
}

TEST_F(Options, DefaultsOfTheManual) {
  const ServerSettings s = good(server({}));
  EXPECT_EQ(s.log, "/var/log/eps_server.log");
  EXPECT_EQ(s.port, 43439);
  EXPECT_EQ(to_string(s.network), "192.168.43.0/24");
  EXPECT_EQ(s.upnp_timeout.count(), 1000);
  EXPECT_EQ(s.socket, "/run/eps/server.sock");
  EXPECT_EQ(s.state, "/var/lib/eps");
  EXPECT_EQ(s.mtu, kDefaultMtu);
  EXPECT_EQ(s.interval.count(), 60);
  EXPECT_EQ(s.graphviz_interval.count(), 300);
  EXPECT_FALSE(s.stats || s.scorecard || s.graphviz || s.sequential);
  EXPECT_EQ(s.conf, conf());
  EXPECT_EQ(s.version, version());
  const ClientSettings c = good(complete_client({}));
  EXPECT_EQ(c.log, "/var/log/eps_client.log");
  EXPECT_EQ(c.socket, "/run/eps/client.sock");
  EXPECT_EQ(c.device, "eps0");
  EXPECT_EQ(c.name, "my-host");
  EXPECT_EQ(c.aead, "auto");
  EXPECT_FALSE(c.offload || s.offload);
  EXPECT_EQ(Surroundings().default_conf, "/etc/eps.conf");
}

// What the help prints as a default is what holds.
TEST_F(Options, PrintedDefaultsHold) {
  for (const OptionSpec& spec : option_table()) {
    if (spec.kind != OptionSpec::Kind::value || spec.command_line_only || spec.name == "name") continue;
    SCOPED_TRACE(spec.name);
    const std::string option = "--" + std::string(spec.name);
    if (!spec.server.value.empty()) {
      EXPECT_EQ(describe(good(server({option, std::string(spec.server.value)}))), describe(good(server({}))));
    }
    if (!spec.client.value.empty()) {
      EXPECT_EQ(describe(good(complete_client({option, std::string(spec.client.value)}))),
                describe(good(complete_client({}))));
    }
  }
}

TEST_F(Options, ExamplesOfTheManual) {
  const ServerSettings s = good(server(
      {"--stats", "--scorecard", "/var/log/eps_server.stats", "--port", "12545", "--network", "192.168.99.0/24"}));
  EXPECT_TRUE(s.stats);
  EXPECT_EQ(s.scorecard, "/var/log/eps_server.stats");
  EXPECT_EQ(s.port, 12545);
  EXPECT_EQ(to_string(s.network), "192.168.99.0/24");
  const ClientSettings c =
      good(client({"--stats", "--scorecard", "/var/log/eps_client.stats", "--port", "12345", "--server", "10.0.1.1"},
                  "key = " + network_key()));
  EXPECT_THAT(c.servers, ElementsAre("10.0.1.1"));
  EXPECT_EQ(c.port, 12345);
  EXPECT_EQ(c.scorecard, "/var/log/eps_client.stats");
}

TEST_F(Options, OptionalValuesAreOptional) {
  EXPECT_EQ(good(server({"--scorecard"})).scorecard, "/var/log/eps_server.stats");
  EXPECT_EQ(good(complete_client({"--scorecard"})).scorecard, "/var/log/eps_client.stats");
  EXPECT_EQ(good(server({"--graphviz"})).graphviz, "/var/log/eps.gv");
  const ServerSettings both = good(server({"--scorecard", "--graphviz", "/tmp/x.gv", "--stats"}));
  EXPECT_EQ(both.scorecard, "/var/log/eps_server.stats");
  EXPECT_EQ(both.graphviz, "/tmp/x.gv");
  EXPECT_TRUE(both.stats);
  for (const char* on : {"scorecard", "scorecard = true", "scorecard = yes"}) {
    EXPECT_EQ(good(server({}, on)).scorecard, "/var/log/eps_server.stats") << on;
  }
  EXPECT_FALSE(good(server({}, "scorecard = off")).scorecard);
  EXPECT_FALSE(good(server({}, "scorecard\n[server]\nscorecard = no")).scorecard);
  EXPECT_EQ(good(server({"--scorecard=/tmp/a"}, "scorecard = no")).scorecard, "/tmp/a");
}

TEST_F(Options, FlagsInTheFile) {
  for (const char* on : {"stats", "stats = true", "stats=yes", "stats = on", "stats = 1"}) {
    EXPECT_TRUE(good(server({}, on)).stats) << on;
  }
  for (const char* off : {"stats = false", "stats=no", "stats = off", "stats = 0"}) {
    EXPECT_FALSE(good(server({}, off)).stats) << off;
    EXPECT_TRUE(good(server({"--stats"}, off)).stats) << off;
  }
  EXPECT_EQ(refusal(server({}, "\nstats = maybe")),
            conf() + ":2: stats = maybe: must be true, yes, on or 1, or false, no, off or 0");
}

TEST_F(Options, CommandLineWinsOverSectionWinsOverRest) {
  const std::string file = "port = 1\n[server]\nport = 2\n[client]\nport = 3\n";
  EXPECT_EQ(good(server({}, "port = 1\n")).port, 1);
  EXPECT_EQ(good(server({}, file)).port, 2);
  EXPECT_EQ(good(server({"--port", "4"}, file)).port, 4);
  EXPECT_EQ(good(client({}, "key = " + network_key() + "\nserver = s\n" + file)).port, 3);
  // A wrong value that something stronger replaces does not matter, a wrong name does.
  EXPECT_EQ(good(server({"--port", "4"}, "port = x")).port, 4);
  EXPECT_THAT(refusal(server({"--port", "4"}, "prot = x")), HasSubstr(":1: unknown option \"prot\""));
}

TEST_F(Options, ServersAddUpWithinOnePlace) {
  const std::string key = "key = " + network_key() + "\n";
  EXPECT_THAT(good(client({"--server", "a b", "--server=c"}, key)).servers, ElementsAre("a", "b", "c"));
  EXPECT_THAT(good(client({}, key + "server = a\nserver =  b   c \n")).servers, ElementsAre("a", "b", "c"));
  EXPECT_THAT(good(client({}, key + "server = a\n[client]\nserver = b\n")).servers, ElementsAre("b"));
  EXPECT_THAT(good(client({"--server", "x"}, key + "server = a\nserver = b")).servers, ElementsAre("x"));
  EXPECT_THAT(good(client({"--server", "2001:db8::1 [::1] 2001:db8::2%eth0 bücher.example"}, key)).servers,
              ElementsAre("2001:db8::1", "::1", "2001:db8::2%eth0", "bücher.example"));
}

TEST_F(Options, OneFileServesBothPrograms) {
  const std::string file = "key = " + network_key() +
                           "\nserver = eps.example.com\nnetwork = 10.0.8.0/24\nsequential\nmtu = nonsense\n"
                           "device = a/b\n";
  // Each skips what is the other's, values included.
  EXPECT_EQ(good(client({"--device", "eps1"}, file)).device, "eps1");
  EXPECT_TRUE(good(server({"--mtu", "1400"}, file)).sequential);
  EXPECT_EQ(good(server({}, "[client]\nport = nonsense\n[server]\nport = 5\n")).port, 5);
  // A line in the wrong section would count for nobody.
  for (const auto& refused : {refusal(client({}, "[client]\nnetwork = 10.0.8.0/24\n")),
                              refusal(server({}, "[client]\nnetwork = 10.0.8.0/24\n"))}) {
    EXPECT_EQ(refused, conf() + ":2: \"network\" is an option of eps-server, but is in the section [client]");
  }
  EXPECT_EQ(refusal(client({}, "[server]\nkey = x\n")),
            conf() + ":2: \"key\" is an option of eps-client, but is in the section [server]");
  EXPECT_EQ(refusal(server({}, "[client]\nprot = 5\n")),
            conf() + ":2: unknown option \"prot\"; did you mean \"port\"?");
}

TEST_F(Options, ServerTcpPortsMustDiffer) {
  EXPECT_EQ(refusal(server({"--port", "443", "--also-port", "443"})),
            "eps-server: port and also-port are both 443; they must differ");
  EXPECT_EQ(refusal(server({"--http", "43439"})), "eps-server: port and http are both 43439; they must differ");
  EXPECT_EQ(refusal(server({}, "also-port = 443\nhttp = 10.0.8.1:443")),
            "eps-server: also-port and http are both 443; they must differ");
  EXPECT_EQ(good(server({"--also-port", "443", "--http", "9100"})).also_port, 443);
}

TEST_F(Options, AClientNeedsServerAndKey) {
  EXPECT_EQ(refusal(client({})),
            "eps-client: no server is named: write \"server = HOST\" into " + conf() + " or use --server HOST");
  const std::string missing =
      "eps-client: the network key is missing: copy the line \"key = eps1-...\" from the server's configuration file, "
      "or "
      "what \"eps key\" prints there, into " +
      conf();
  EXPECT_EQ(refusal(client({"--server", "a"})), missing);
  EXPECT_EQ(good(client({}, "server = a\nkey =  " + network_key() + "  # from the server\n")).key, network_key());
  EXPECT_EQ(good(client({}, "server = a\nkey = \" " + network_key() + " \"")).key, network_key());
}

TEST_F(Options, HttpIsForThisComputerUnlessAnAddressIsGiven) {
  EXPECT_EQ(good(server({})).http, std::nullopt);
  EXPECT_EQ(good(server({"--http", "9100"})).http, parse_endpoint("127.0.0.1:9100"));
  EXPECT_EQ(good(server({"--http", "0.0.0.0:9100"})).http, parse_endpoint("0.0.0.0:9100"));
  for (const char* bad : {"0", "65536", "localhost:9100", "127.0.0.1", "127.0.0.1:0", "::1:9100x", ""}) {
    EXPECT_THAT(refusal(server({"--http", bad})), HasSubstr("must be a port such as 9100")) << bad;
  }
}

TEST_F(Options, ConfigurationFiles) {
  EXPECT_EQ(refusal(client({"--conf", dir / "none"})),
            "eps-client: --conf " + dir.path() + "/none: there is no such configuration file");
  EXPECT_EQ(good(server({"--conf", dir / "none"})).conf, dir / "none");
  const std::string other = dir.write("other.conf", "port = 99\n");
  EXPECT_EQ(good(server({"--conf", other}, "port = 1\n")).port, 99);
  EXPECT_EQ(good(server({"--conf=" + other, "--port", "5"})).port, 5);
  EXPECT_EQ(good(server({"--conf", "/dev/null"})).port, 43439);
  EXPECT_THAT(refusal(server({"--conf", dir.path()})), HasSubstr("eps-server: cannot read " + dir.path()));
  dir.write("large.conf", std::string(2 << 20, '#'));
  EXPECT_THAT(refusal(server({"--conf", dir / "large.conf"}), kExitFailure), HasSubstr("longer than"));
}

}  // namespace
}  // namespace eps::app
