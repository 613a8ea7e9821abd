// SPDX-License-Identifier: MIT
#include "app/option_values.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "app/options_fixture.h"

namespace eps::app {
namespace {

TEST_F(Options, UnknownOptionsInTheFileAreNamed) {
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
  EXPECT_EQ(refusal(server({}, "tls = maybe")), conf() + ":1: tls = maybe: must be auto, true or false");
  EXPECT_EQ(good(server({}, "tls = auto")).tls, std::nullopt);
  EXPECT_EQ(good(server({}, "tls = no")).tls, false);
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
      {{"--tls=yes"}, "eps-server: option '--tls' does not take any arguments"},
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
      {{"--mtu", "575"}, "eps-server: --mtu 575: must be a whole number from 576 to 65500"},
      {{"--mtu", "65501"}, "eps-server: --mtu 65501: must be a whole number from 576 to 65500"},
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
      {"fd00::1/64", "must be an IPv6 network of /64 without the bits of a host, such as fd43::/64, or an IPv4 one"},
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
  EXPECT_EQ(to_string(*networks_value("fd43::/64")->v6), "fd43::/64");
  EXPECT_FALSE(networks_value("fd43::/64")->v4);
  EXPECT_EQ(to_string(*networks_value("2001:db8::/64, 10.0.8.0/24")->v4), "10.0.8.0/24");
  for (const char* bad : {"fd43::/48", "fd43::1/64", "fe80::/64", "ff02::/64", "fd43::", "fd43::/64,fd44::/64",
                          "10.0.8.0/24,10.0.9.0/24", "10.0.8.0/24,", ",", "::ffff:0:0/64"}) {
    EXPECT_FALSE(networks_value(bad)) << bad;
  }
  const std::string device = "must have 1 to 15 characters and no blank, '/', ':' or '%'";
  for (const char* bad : {"", "eps/0", "sixteen-letters-", "eps 0", "eps%d", ".", "..", "e:0", "\xc3\xbc"}) {
    EXPECT_EQ(says("device", bad), device);
  }
  EXPECT_EQ(good(complete_client({"--device", "fifteen-letters"})).device, "fifteen-letters");
  EXPECT_EQ(says("name", "al ice"), "must have 1 to 63 letters, digits, '-', '_' or '.'; did you mean al-ice?");
  const std::string accepted = "must be private, any, or networks such as 203.0.113.0/24, separated by blanks";
  for (const char* bad : {"8.0.0.1/8", "8.0.0.0", "publc", "private,any"})
    EXPECT_EQ(says("accept-network", bad), accepted);
  const auto takes = [&](const char* value, const char* network) {
    const auto all = good(complete_client({"--accept-network", value})).accepted;
    const Ip4Network n = *parse_ip4_network(network);
    return !why_not_accepted(all, {.id = {}, .network = n}, {n.base.value + 1});
  };
  EXPECT_TRUE(takes("any", "8.0.0.0/8"));
  EXPECT_TRUE(takes("private 8.1.0.0/16", "8.1.2.0/24"));
  EXPECT_TRUE(takes("private 8.1.0.0/16", "100.64.0.0/10"));
  EXPECT_FALSE(takes("private 8.1.0.0/16", "8.0.0.0/8"));
  EXPECT_FALSE(takes("::/0", "10.0.0.0/8"));
  EXPECT_EQ(says("aead", "AES"), "must be auto, aes-256-gcm, aes-128-gcm or chacha20-poly1305");
  for (const char* aead : {"auto", "aes-256-gcm", "aes-128-gcm", "chacha20-poly1305"}) {
    EXPECT_EQ(good(complete_client({"--aead", aead})).aead, aead);
  }
  EXPECT_EQ(says("dscp", "46"), "must be copy or off");
  const std::string offload = "must be auto, none, or some of csum, tso, uso, gso and gro, separated by commas";
  for (const char* bad : {"", "all", "none,gso", "auto,gso", "gso,", ",gso", "gso gro", "TSO", "-gro"}) {
    EXPECT_EQ(says("offload", bad), offload) << bad;
  }
  for (const char* bad : {"tso", "uso", "gso,tso"}) {
    EXPECT_EQ(
        says("offload", bad),
        "tso and uso need csum: super-frames have no finished checksum; did you mean csum," + std::string(bad) + "?");
  }
  for (const char* offloads : {"none", "csum", "csum,tso", "csum,uso", "gso", "gro", "csum,tso,uso,gso,gro"}) {
    EXPECT_EQ(to_string(good(complete_client({"--offload", offloads})).offload.value()), offloads);
  }
  EXPECT_EQ(to_string(good(complete_client({"--offload", "gro, gso"})).offload.value()), "gso,gro");
  const std::string host = "must be an IP address or the name of a computer, or several separated by blanks";
  for (const char* bad : {"a/b", "-x", "2001:db8::1%", "eps0%eth0", ".", "a!b"}) {
    EXPECT_EQ(says("server", bad), host);
  }
  for (const char* bad : {"fe80::1", "fe80::1%eth0", "[fe80::1%eth0]"}) {
    EXPECT_EQ(says("server", bad), "must not be an IPv6 link-local address: choose another one of the server");
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

}  // namespace
}  // namespace eps::app
