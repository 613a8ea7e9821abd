#include "app/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <functional>
#include <sstream>

#include "app/option_values.h"
#include "app/startup.h"
#include "app/version.h"
#include "control/network_key.h"
#include "support/temporary_directory.h"

namespace eps::app {
namespace {

using runtime::ClientSettings;
using runtime::ServerSettings;
using test::TemporaryDirectory;
using testing::ElementsAre;
using testing::HasSubstr;
using Arguments = std::vector<std::string>;

std::string network_key() {
  control::NetworkKey key;
  key.server.bytes.fill(std::byte{7});
  key.enrolment.writable()[0] = std::byte{1};
  return control::to_text(key);
}

class Options : public testing::Test {
 protected:
  // The options in the file or on the command line; a client gets what it must have besides.
  Parsed<ClientSettings> client(Arguments arguments, const std::string& conf = "") {
    if (!conf.empty()) dir.write("eps.conf", conf);
    return client_settings(arguments, here());
  }
  Parsed<ClientSettings> complete_client(Arguments arguments, const std::string& conf = "") {
    return client(std::move(arguments), "key = " + network_key() + "\nserver = fallback\n[client]\n" + conf);
  }
  Parsed<ServerSettings> server(Arguments arguments, const std::string& conf = "") {
    if (!conf.empty()) dir.write("eps.conf", conf);
    return server_settings(arguments, here());
  }
  Surroundings here() const { return {.hostname = "my host", .default_conf = dir / "eps.conf"}; }
  std::string conf() const { return dir / "eps.conf"; }

  const TemporaryDirectory dir;
};

template <class Settings>
Settings good(const Parsed<Settings>& parsed) {
  if (const auto* stop = std::get_if<Stop>(&parsed)) {
    ADD_FAILURE() << stop->status << ": " << stop->text;
    return {};
  }
  return std::get<Settings>(parsed);
}

// The sentence of a refusal with exit status 2.
template <class Settings>
std::string refusal(const Parsed<Settings>& parsed, int status = kExitUsage) {
  const auto* stop = std::get_if<Stop>(&parsed);
  if (stop == nullptr) return "(accepted)";
  EXPECT_EQ(stop->status, status);
  EXPECT_TRUE(stop->text.ends_with('\n') && stop->text.find('\n') == stop->text.size() - 1) << stop->text;
  return stop->text.substr(0, stop->text.size() - 1);
}

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
      {"port", "12345", [](auto& s) { return s.port == 12345; }},
      {"server", "192.168.1.42 eps.example.com",
       [](auto& s) {
         return s.servers == Arguments{"192.168.1.42", "eps.example.com"};
       }},
      {"state", "/tmp/st", [](auto& s) { return s.state == "/tmp/st"; }},
      {"device", "conduit7", [](auto& s) { return s.device == "conduit7"; }},
      {"name", "al-ice_1.x", [](auto& s) { return s.name == "al-ice_1.x"; }},
      {"socket", "/tmp/x.sock", [](auto& s) { return s.socket == "/tmp/x.sock"; }},
      {"aead", "chacha20-poly1305", [](auto& s) { return s.aead == "chacha20-poly1305"; }},
      {"interval", "2", [](auto& s) { return s.interval == std::chrono::seconds(2); }},
      {"log-level", "debug", [](auto& s) { return s.log_level == ops::LogLevel::debug; }},
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
      {"network", "172.20.18.0/24", [](auto& s) { return to_string(s.network) == "172.20.18.0/24"; }},
      {"port", "12345", [](auto& s) { return s.port == 12345; }},
      {"sequential", "", [](auto& s) { return s.sequential; }},
      {"upnptimeout", "0", [](auto& s) { return s.upnp_timeout == std::chrono::milliseconds(0); }},
      {"state", "/tmp/st", [](auto& s) { return s.state == "/tmp/st"; }},
      {"socket", "/tmp/x.sock", [](auto& s) { return s.socket == "/tmp/x.sock"; }},
      {"interval", "86400", [](auto& s) { return s.interval == std::chrono::seconds(86400); }},
      {"log-level", "error", [](auto& s) { return s.log_level == ops::LogLevel::error; }},
      {"mtu", "1280", [](auto& s) { return s.mtu == 1280; }},
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

TEST_F(Options, EveryOneOfTheClientInEveryPlace) {
  each_in_every_place<ClientSettings>(
      client_cases(), [this](const Arguments& a, const std::string& f) { return complete_client(a, f); });
}

TEST_F(Options, EveryOneOfTheServerInEveryPlace) {
  each_in_every_place<ServerSettings>(
      server_cases(), [this](const Arguments& a, const std::string& f) { return server(a, "# configuration\n" + f); });
}

TEST_F(Options, TheTableHasNoOtherOnes) {
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
  EXPECT_THAT(good(client({"--server", "2001:db8::1 [::1] fe80::1%eth0 bücher.example"}, key)).servers,
              ElementsAre("2001:db8::1", "::1", "fe80::1%eth0", "bücher.example"));
}

TEST_F(Options, OneFileServesBothPrograms) {
  const std::string file = "key = " + network_key() +
                           "\nserver = eps.example.com\nnetwork = 10.0.8.0/24\nsequential\nmtu = nonsense\n"
                           "device = a/b\n";
  // Each skips what is the other's, values included.
  EXPECT_EQ(good(client({"--device", "eps1"}, file)).device, "eps1");
  EXPECT_TRUE(good(server({"--mtu", "1400"}, file)).sequential);
  EXPECT_EQ(good(server({}, "[client]\nport = nonsense\n[server]\nport = 5\n")).port, 5);
  EXPECT_EQ(refusal(server({}, "[client]\nprot = 5\n")),
            conf() + ":2: unknown option \"prot\"; did you mean \"port\"?");
}

TEST_F(Options, UnknownOnesInTheFileAreNamed) {
  const std::string at = conf() + ":2: unknown option ";
  EXPECT_EQ(refusal(server({}, "\nnetwrok = 10.0.8.0/24")), at + "\"netwrok\"; did you mean \"network\"?");
  EXPECT_EQ(refusal(server({}, "\nservr = a")), at + "\"servr\"; did you mean \"server\"?");
  EXPECT_EQ(refusal(server({}, "\nwireguard = 1")), at + "\"wireguard\"");
  EXPECT_EQ(refusal(server({}, "\n--port = 1")), at + "\"--port\"; did you mean \"port\"?");
  EXPECT_EQ(refusal(server({}, "\nPort = 1")), at + "\"Port\"; did you mean \"port\"?");
  EXPECT_EQ(refusal(server({}, "\np = 1")), at + "\"p\"");
  EXPECT_EQ(refusal(server({}, "\n\x1b[2J = 1")), conf() + ":2: expected a line of the form NAME = VALUE");
  EXPECT_EQ(refusal(server({}, "\n\x1b(B = 1")), at + "\"?(B\"");
  EXPECT_EQ(refusal(server({}, "\n" + std::string(5000, 'x') + " = 1")), at + "\"" + std::string(80, 'x') + "...\"");
}

TEST_F(Options, WrongValuesInTheFileAreNamed) {
  EXPECT_EQ(refusal(server({}, "\n\nport = 65536")),
            conf() + ":3: port = 65536: must be a whole number from 1 to 65535");
  EXPECT_EQ(refusal(server({}, "port")), conf() + ":1: port: needs a value: port = VALUE");
  EXPECT_EQ(refusal(server({}, "port =")), conf() + ":1: port = : must be a whole number from 1 to 65535");
  EXPECT_EQ(refusal(server({}, "port = 1\nport = 1")), conf() + ":2: port = 1: is given twice");
  EXPECT_EQ(refusal(server({}, "conf = /x")), conf() + ":1: \"conf\" can be given on the command line only");
  EXPECT_EQ(refusal(server({}, "help")), conf() + ":1: \"help\" can be given on the command line only");
  EXPECT_EQ(refusal(server({}, "[servers]")), conf() + ":1: unknown section; there are [server] and [client]");
}

TEST_F(Options, WrongArgumentsAreNamed) {
  const std::vector<std::pair<Arguments, std::string>> cases = {
      {{"--prot", "1"}, "eps-server: unknown option \"--prot\"; did you mean \"--port\"?"},
      {{"--por", "1"}, "eps-server: unknown option \"--por\"; did you mean \"--port\"?"},
      {{"--seq"}, "eps-server: unknown option \"--seq\"; see eps-server --help"},
      {{"--wireguard=1"}, "eps-server: unknown option \"--wireguard\"; see eps-server --help"},
      {{"--server", "x"}, "eps-server: --server is an option of eps-client"},
      {{"-p", "1"}, "eps-server: unknown option \"-p\"; see eps-server --help"},
      {{"start"}, "eps-server: unexpected argument \"start\"; see eps-server --help"},
      {{"--stats", "yes"}, "eps-server: unexpected argument \"yes\"; see eps-server --help"},
      {{"--", "x"}, "eps-server: unexpected argument \"x\"; see eps-server --help"},
      {{"--port"}, "eps-server: --port needs a value"},
      {{"--port", "--stats"}, "eps-server: --port needs a value"},
      {{"--conf"}, "eps-server: --conf needs a value"},
      {{"--scorecard", ""}, "eps-server: --scorecard : must be the name of a file or directory"},
      {{"--prt=1"}, "eps-server: unknown option \"--prt\"; did you mean \"--port\"?"},
      {{"--port="}, "eps-server: the argument for option '--port' should follow immediately after the equal sign"},
      {{"--stats=yes"}, "eps-server: option '--stats' does not take any arguments"},
      {{"--port", "1", "--port", "2"}, "eps-server: --port 2: is given twice"},
      {{"--port", "0"}, "eps-server: --port 0: must be a whole number from 1 to 65535"},
      {{"--port", "-1"}, "eps-server: --port -1: must be a whole number from 1 to 65535"},
      {{"--port", "80x"}, "eps-server: --port 80x: must be a whole number from 1 to 65535"},
      {{"--port", "+80"}, "eps-server: --port +80: must be a whole number from 1 to 65535"},
      {{"--port", "99999999999999999999"},
       "eps-server: --port 99999999999999999999: must be a whole number from 1 to 65535"},
      {{"--mtu", "575"}, "eps-server: --mtu 575: must be a whole number from 576 to 9000"},
      {{"--mtu", "9001"}, "eps-server: --mtu 9001: must be a whole number from 576 to 9000"},
      {{"--interval", "0"}, "eps-server: --interval 0: must be a whole number from 1 to 86400"},
      {{"--graphviz-interval", "1.5"}, "eps-server: --graphviz-interval 1.5: must be a whole number from 1 to 86400"},
      {{"--upnptimeout", "60001"}, "eps-server: --upnptimeout 60001: must be a whole number from 0 to 60000"},
      {{"--log-level", "loud"}, "eps-server: --log-level loud: must be trace, debug, info, warn or error"},
      {{"--log", ""}, "eps-server: --log : must be the name of a file or directory"},
      {{"--conf", ""}, "eps-server: --conf : must be the name of a file or directory"},
      {{"--socket", std::string(108, 's')},
       "eps-server: --socket " + std::string(80, 's') + "...: must have at most 107 characters, as every Unix socket"},
  };
  for (const auto& [arguments, sentence] : cases) EXPECT_EQ(refusal(server(arguments)), sentence);
}

TEST_F(Options, Networks) {
  for (const char* good_one : {"192.168.99.0/24", "10.0.8.0/24", "10.0.0.0/8", "172.20.18.4/30", "100.64.0.0/10",
                               "192.168.43.128/25", "128.0.0.0/8", "126.0.0.0/8", "223.255.255.252/30"}) {
    EXPECT_EQ(to_string(good(server({"--network", good_one})).network), good_one);
  }
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"192.168.99.7/24", "is the address of a host; did you mean 192.168.99.0/24?"},
      {"10.1.2.3/8", "is the address of a host; did you mean 10.0.0.0/8?"},
      {"192.168.99.0", "needs the size of the network, such as 192.168.99.0/24"},
      {"192.168.99.0/", "the size of the network must be from /8 to /30"},
      {"192.168.99.0/31", "the size of the network must be from /8 to /30"},
      {"10.0.0.0/7", "the size of the network must be from /8 to /30"},
      {"10.0.0.0/255.0.0.0", "the size of the network must be from /8 to /30"},
      {"10.0.0/24", "must be an IPv4 network such as 192.168.99.0/24"},
      {"fd00::/64", "must be an IPv4 network such as 192.168.99.0/24"},
      {"everything", "must be an IPv4 network such as 192.168.99.0/24"},
      {"", "must be an IPv4 network such as 192.168.99.0/24"},
      {"127.1.0.0/16", "cannot be used: 127.0.0.0/8 is for loopback; choose a private network such as 10.0.8.0/24"},
      {"169.254.7.0/24",
       "cannot be used: 169.254.0.0/16 is for link-local addresses; choose a private network such as 10.0.8.0/24"},
      {"169.0.0.0/8",
       "cannot be used: 169.254.0.0/16 is for link-local addresses; choose a private network such as 10.0.8.0/24"},
      {"239.1.2.0/24", "cannot be used: 224.0.0.0/4 is for multicast; choose a private network such as 10.0.8.0/24"},
      {"0.0.0.0/8", "cannot be used: 0.0.0.0/8 is for \"this\" network; choose a private network such as 10.0.8.0/24"},
      {"255.255.255.0/24",
       "cannot be used: 240.0.0.0/4 is for future use; choose a private network such as 10.0.8.0/24"},
  };
  for (const auto& [text, sentence] : wrong) {
    EXPECT_EQ(refusal(server({"--network", text})), "eps-server: --network " + text + ": " + sentence);
  }
}

TEST_F(Options, ValuesOfTheClient) {
  const auto says = [this](const std::string& option, const std::string& value) {
    const std::string text = refusal(complete_client({"--" + option, value}));
    const std::string head = "eps-client: --" + option + " " + value + ": ";
    EXPECT_TRUE(text.starts_with(head)) << text;
    return text.substr(std::min(head.size(), text.size()));
  };
  const std::string device = "must have 1 to 15 characters and no blank, '/', ':' or '%'";
  for (const char* bad : {"", "eps/0", "sixteen-letters-", "eps 0", "eps%d", ".", "..", "e:0", "\xc3\xbc"}) {
    EXPECT_EQ(says("device", bad), device);
  }
  EXPECT_EQ(good(complete_client({"--device", "fifteen-letters"})).device, "fifteen-letters");
  EXPECT_EQ(says("name", "al ice"), "must have 1 to 63 letters, digits, '-', '_' or '.'; did you mean al-ice?");
  EXPECT_EQ(says("aead", "AES"), "must be auto, aes-256-gcm, aes-128-gcm or chacha20-poly1305");
  for (const char* aead : {"auto", "aes-256-gcm", "aes-128-gcm", "chacha20-poly1305"}) {
    EXPECT_EQ(good(complete_client({"--aead", aead})).aead, aead);
  }
  const std::string host = "must be an IP address or the name of a computer, or several separated by blanks";
  for (const char* bad : {"a/b", "-x", "fe80::1%", "eps0%eth0", ".", "a!b"}) {
    EXPECT_EQ(says("server", bad), host);
  }
  for (const char* bad : {"eps.example.com:43439", "192.0.2.1:43439", "[2001:db8::1]:43439"}) {
    EXPECT_EQ(says("server", bad), "is given without a port: that is the option port");
  }
  EXPECT_EQ(says("server", "a,b"), "several servers are separated by blanks");
  EXPECT_EQ(says("server", ""), "needs an IP address or the name of a computer");
  EXPECT_EQ(says("server", "1 2 3 4 5 6 7 8 9 a b c d e f g h"), "names more than 16 servers");
  Arguments many;
  for (int i = 0; i < 17; ++i) many.insert(many.end(), {"--server", "a"});
  EXPECT_EQ(refusal(complete_client(many)), "eps-client: more than 16 names and addresses of the server are given");
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
  EXPECT_EQ(refusal(client({}, "server = a\n[server]\nkey = " + network_key())), missing);
  EXPECT_EQ(good(client({}, "server = a\nkey =  " + network_key() + "  # from the server\n")).key, network_key());
  EXPECT_EQ(good(client({}, "server = a\nkey = \" " + network_key() + " \"")).key, network_key());
}

TEST_F(Options, AWrongKeyIsNotRepeated) {
  const std::string wrong = network_key().substr(0, 40) + "zzzz" + network_key().substr(44);
  const std::vector<std::string> sentences = {
      refusal(client({"--server", "a", "--key", wrong})),
      refusal(client({"--server", "a", "--key=" + wrong})),
      refusal(client({}, "server = a\nkey = " + wrong)),
      refusal(client({}, "server = a\n" + wrong)),
      refusal(client({}, "server = a\nkey " + wrong)),
      refusal(client({}, "server = a\n" + wrong + " = 5")),
      refusal(client({}, "server = a\nlog-level = " + wrong)),
      refusal(client({"--server", "a", wrong})),
      refusal(client({"--" + wrong})),
      refusal(client({"--server", "a/" + wrong})),
      refusal(client({"--key", wrong, "--key", wrong})),
      refusal(server({"--key", wrong})),
  };
  for (const std::string& sentence : sentences) {
    EXPECT_NE(sentence, "(accepted)");
    EXPECT_EQ(sentence.find(wrong.substr(5, 12)), std::string::npos) << sentence;
  }
  EXPECT_THAT(sentences[0], testing::StartsWith("eps-client: --key: The network key "));
  EXPECT_THAT(sentences[2], testing::StartsWith(conf() + ":2: key: The network key "));
}

TEST_F(Options, TheKeyIsOverwrittenInTheArguments) {
  std::string program = "eps-client", option = "--key", value = network_key(), joined = "--key=" + network_key();
  std::array<char*, 5> argv = {program.data(), option.data(), value.data(), joined.data(), nullptr};
  EXPECT_THAT(take_arguments(4, argv.data()), ElementsAre("--key", network_key(), "--key=" + network_key()));
  EXPECT_EQ(value, std::string(value.size(), 'x'));
  EXPECT_EQ(joined, "--key=" + std::string(value.size(), 'x'));
  std::string last = "--key";
  std::array<char*, 3> no_value = {program.data(), last.data(), nullptr};
  EXPECT_THAT(take_arguments(2, no_value.data()), ElementsAre("--key"));
  EXPECT_TRUE(take_arguments(0, no_value.data() + 2).empty());
}

TEST_F(Options, NoKeyGetsIntoTheLog) {
  ClientSettings settings = good(complete_client({"--stats", "--log-level", "trace", "--log", dir / "l.log"}));
  testing::internal::CaptureStderr();
  ops::Log log({.path = settings.log, .level = settings.log_level, .terminal = true});
  log_start(log, Program::client, settings);
  const std::string all = testing::internal::GetCapturedStderr() + test::read_text(dir / "l.log");
  EXPECT_THAT(all, HasSubstr("debug - Settings:\n"));
  EXPECT_THAT(all, HasSubstr("key = (not logged)\n"));
  EXPECT_EQ(all.find("eps1-"), std::string::npos);
  EXPECT_EQ(all.find(network_key().substr(5, 12)), std::string::npos);
}

TEST_F(Options, WhatDoesNothingYetIsSaidOnce) {
  const auto note = [](const std::string& name) { return "The option " + name + " does nothing yet in this version."; };
  EXPECT_TRUE(good(server({})).not_yet_notes.empty());
  EXPECT_TRUE(good(server({}, "stats = no\nscorecard = no")).not_yet_notes.empty());
  EXPECT_THAT(good(server({"--stats", "--scorecard", "--graphviz", "--upnptimeout", "1000"})).not_yet_notes,
              ElementsAre(note("stats"), note("scorecard"), note("graphviz"), note("upnptimeout")));
  EXPECT_THAT(good(server({}, "interval = 5\ngraphviz-interval = 7\n")).not_yet_notes,
              ElementsAre(note("interval"), note("graphviz-interval")));
  EXPECT_THAT(good(complete_client({"--stats"}, "scorecard = /tmp/x\n")).not_yet_notes,
              ElementsAre(note("stats"), note("scorecard")));
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

TEST_F(Options, HelpAndVersion) {
  for (const Arguments& arguments : {Arguments{"--help"}, Arguments{"--version", "--help", "--port", "nonsense"}}) {
    const auto parsed = server(arguments, "nonsense");
    const auto* stop = std::get_if<Stop>(&parsed);
    ASSERT_NE(stop, nullptr);
    EXPECT_EQ(stop->status, 0);
    EXPECT_EQ(stop->text, test::read_text(std::string(EPS_TEST_DATA) + "/help_server.txt"));
  }
  const auto help = client({"--help"});
  EXPECT_EQ(std::get<Stop>(help).text, test::read_text(std::string(EPS_TEST_DATA) + "/help_client.txt"));
  const auto parsed = client({"--version"});
  EXPECT_EQ(std::get<Stop>(parsed).status, 0);
  EXPECT_EQ(std::get<Stop>(parsed).text, "EPS Conduits v" + std::string(version()) + "\n");
}

// The manual's help, word by word, with blanks taken as the manual's web page takes them.
TEST_F(Options, HelpHasTheLinesOfTheManualInTheirOrder) {
  const auto squeezed = [](const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
      std::istringstream words(line);
      std::string joined;
      for (std::string word; words >> word;) joined += (joined.empty() ? "" : " ") + word;
      lines.push_back(joined);
    }
    return lines;
  };
  const std::vector<std::string> head = {"Common options:",
                                         "--conf arg (=/etc/eps.conf)",
                                         "filename from which additional EPS configuration will be read",
                                         "--help show this help message",
                                         "--version show version information",
                                         "Logging and statistics:"};
  const auto logging = [](const std::string& program) {
    return std::vector<std::string>{"--log arg (=/var/log/eps_" + program + ".log)",
                                    "file to which logging messages will be written (file is auto-rotated)",
                                    "--stats log statistics every 60 seconds",
                                    "--scorecard [=arg(=/var/log/eps_" + program + ".stats)]",
                                    "file where statistics scorecard is written every 60 seconds"};
  };
  const std::vector<std::string> client_part = {"Client options:", "--port arg (=43439) TCP/UDP port of the server",
                                                "--server arg IP address (or hostname) of the server"};
  const std::vector<std::string> server_part = {
      "Server options:",
      "--graphviz [=arg(=/var/log/eps.gv)]",
      "file to which a Graphviz-format network diagram is written every 5 minutes",
      "--network arg (=192.168.43.0/24)",
      "network (with mask) to create",
      "--port arg (=43439) TCP/UDP listening port to bind",
      "--sequential new clients will be assign IP addresses sequentially (.1, .2, .3, etc) instead of from within the "
      "pool",
      "--upnptimeout arg (=1000)",
      "UPnP timeout in milliseconds (set to zero to disable UPnP support)"};
  const auto holds = [&](const std::string& help, const std::string& program, const std::vector<std::string>& part) {
    std::vector<std::string> manual = head;
    for (const auto& more : {logging(program), part}) manual.insert(manual.end(), more.begin(), more.end());
    const auto lines = squeezed(help);
    auto at = lines.begin();
    for (const std::string& line : manual) {
      at = std::find(at, lines.end(), line);
      if (at == lines.end()) ADD_FAILURE() << "missing or out of order: " << line;
    }
  };
  holds(std::get<Stop>(client({"--help"})).text, "client", client_part);
  holds(std::get<Stop>(server({"--help"})).text, "server", server_part);
}

}  // namespace
}  // namespace eps::app
