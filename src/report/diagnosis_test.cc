#include "report/diagnosis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace eps::report {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

json client() {
  return {{"program", "eps-client"},
          {"version", "0.1.0"},
          {"name", "alice"},
          {"address", "10.0.8.1/24"},
          {"server", {{"connected", true}, {"endpoint", "192.0.2.1:43439"}, {"note", ""}}},
          {"observed_endpoint", "203.0.113.7:4000"},
          {"nat", {{"mapping", "endpoint-independent"}, {"filtering", "unknown"}}},
          {"port_mappings", json::array()},
          {"peers", json::array({{{"name", "bob"}, {"path", "direct"}}})},
          {"drops", json::object()}};
}

TEST(Diagnosis, OfAHealthyClient) {
  const auto findings = diagnose(client(), "0.1.0");
  EXPECT_EQ(worst(findings), Finding::Level::ok);
  EXPECT_EQ(findings_text(findings),
            "ok       eps-client 0.1.0 runs.\n"
            "ok       Connected to the server at 192.0.2.1:43439 and admitted as alice with 10.0.8.1/24.\n"
            "ok       UDP reaches the server, which sees this computer as 203.0.113.7:4000.\n"
            "ok       NAT: mapping endpoint-independent, filtering unknown.\n"
            "ok       1 peer is reached directly.\n");
}

TEST(Diagnosis, OfAClientInTrouble) {
  json status = client();
  status["server"] = {{"connected", false}, {"endpoint", nullptr}, {"note", "the connection is refused"}};
  auto findings = diagnose(status, "0.2.0");
  EXPECT_EQ(worst(findings), Finding::Level::problem);
  EXPECT_THAT(findings_text(findings), HasSubstr("problem  Not connected to the server: the connection is refused.\n"));
  EXPECT_THAT(findings_text(findings), HasSubstr("the installed version is 0.2.0.\n         Restart it.\n"));

  status = client();
  status["observed_endpoint"] = nullptr;
  status["drops"] = {{"congested", 3}, {"overrun", 2}, {"replayed", 1}};
  status["peers"] = json::array({{{"name", "bob"}, {"path", "relayed"}, {"why_relayed", "No way."}}});
  findings = diagnose(status, "0.1.0");
  EXPECT_EQ(worst(findings), Finding::Level::problem);
  const std::string text = findings_text(findings);
  EXPECT_THAT(text, HasSubstr("The server does not answer on UDP"));
  EXPECT_THAT(text, HasSubstr("warning  bob is reached through a relay. No way.\n"));
  EXPECT_THAT(text, HasSubstr("warning  3 packets were dropped because a queue was full.\n"));
  EXPECT_THAT(text, HasSubstr("warning  2 runs of datagrams were lost because they came faster than this computer"));
  EXPECT_THAT(text, Not(HasSubstr("replayed")));

  status["relay_over_tcp"] = true;
  EXPECT_EQ(worst(diagnose(status, "0.1.0")), Finding::Level::warning);
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")), HasSubstr("goes through the TCP connection"));

  status = client();
  status["server"]["version"] = "0.3.0";
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")),
              HasSubstr("warning  The server runs version 0.3.0, this computer 0.1.0.\n"));

  status = client();
  status["nat"]["mapping"] = "per destination";
  EXPECT_EQ(worst(diagnose(status, "0.1.0")), Finding::Level::warning);
}

TEST(Diagnosis, OfAServer) {
  const auto pair = [](int sent, int got) {
    return json{{"from", "a"}, {"to", "b"}, {"packets_sent", sent}, {"packets_received", got}};
  };
  const json member = {{"name", "a"}, {"online", true}, {"version", "0.1.0"}, {"data_endpoint", "192.0.2.5:1"}};
  json status = {{"program", "eps-server"}, {"version", "0.1.0"},
                 {"port", 43439},           {"network", {{"address", "10.0.8.0/24"}}},
                 {"members", {member}},     {"pairs", {pair(99, 0), pair(1000, 990), pair(5, 9)}}};
  EXPECT_EQ(worst(diagnose(status, "0.1.0")), Finding::Level::ok) << findings_text(diagnose(status, "0.1.0"));
  status["pairs"] = {pair(1000, 970)};
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")), HasSubstr("Of 1000 packets from a to b only 970 arrived."));
  status["members"][0]["data_endpoint"] = nullptr;
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")), HasSubstr("problem  a is connected, but its UDP does not"));
  status["members"][0]["over_tcp"] = true;
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")), HasSubstr("warning  The UDP of a does not arrive here"));
  status["members"][0]["version"] = "0.0.9";
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")), HasSubstr("warning  a runs version 0.0.9, the server 0.1.0."));
}

TEST(Diagnosis, BearsWhatItDoesNotKnow) {
  for (const json& strange : {json::object(), json{{"program", 7}, {"peers", "x"}, {"server", 1}, {"drops", {1}}},
                              json{{"program", "eps-server"}, {"members", {1}}, {"pairs", {"x"}}}}) {
    EXPECT_FALSE(diagnose(strange, "0.1.0").empty());
  }
}

TEST(Diagnosis, AsJson) {
  EXPECT_EQ(findings_json({{Finding::Level::warning, "a", "b"}, {Finding::Level::ok, "c", ""}}),
            json::array({{{"level", "warning"}, {"what", "a"}, {"mend", "b"}},
                         {{"level", "ok"}, {"what", "c"}, {"mend", nullptr}}}));
}

}  // namespace
}  // namespace eps::report
