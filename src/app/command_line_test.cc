// SPDX-License-Identifier: MIT
#include "app/command_line.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "app/options_fixture.h"
#include "app/version.h"

namespace eps::app {
namespace {

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
TEST_F(Options, HelpHasTheLinesOfTheManualInOrder) {
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
