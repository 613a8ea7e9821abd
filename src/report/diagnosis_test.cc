// SPDX-License-Identifier: MIT
#include "report/diagnosis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/drop_reason.h"
#include "report/text.h"
#include "support/temporary_directory.h"

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
  status["server"]["note"] = "it does not answer at the moment, and another connection to it is tried";
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")),
              HasSubstr("warning  Connected to the server at 192.0.2.1:43439, but it does not answer at the moment"));

  status = client();
  status["server"] = {{"connected", false}, {"endpoint", nullptr}, {"note", "the connection is refused"}};
  auto findings = diagnose(status, "0.2.0");
  EXPECT_EQ(worst(findings), Finding::Level::problem);
  EXPECT_THAT(findings_text(findings), HasSubstr("problem  Not connected to the server: the connection is refused.\n"));
  EXPECT_THAT(findings_text(findings), HasSubstr("the installed version is 0.2.0.\n         Restart it.\n"));

  status["server"] = {
      {"connected", false}, {"endpoint", "192.0.2.1:43439"}, {"note", "192.0.2.1:43439: Connection refused"}};
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")),
              HasSubstr("problem  Not connected to the server: 192.0.2.1:43439: Connection refused.\n"));
  EXPECT_THAT(status_text(status), HasSubstr("not connected: 192.0.2.1:43439: Connection refused\n"));

  status["policy"] = {{"dropped", {{{"line", 0}, {"packets", 3}}}}};
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")),
              HasSubstr("ok       The network's policy dropped 3 frames here"));

  status["server"]["note"] = "Another computer has this key. On one of the two, move the state directory away";
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")), testing::Not(HasSubstr("Is the server running")))
      << "the server says it itself";

  status = client();
  status["observed_endpoint"] = nullptr;
  status["drops"] = {{"congested", 3}, {"overrun", 2}, {"replayed", 1}};
  status["peers"] = json::array({{{"name", "bob"}, {"path", "relayed"}, {"why_relayed", "No way."}}});
  findings = diagnose(status, "0.1.0");
  EXPECT_EQ(worst(findings), Finding::Level::problem);
  const std::string text = findings_text(findings);
  EXPECT_THAT(text, HasSubstr("The server does not answer on UDP"));
  EXPECT_THAT(text, HasSubstr("warning  bob is reached through a relay. No way.\n"));
  EXPECT_THAT(text, HasSubstr("warning  3 packets dropped as congested: a bounded queue, or the kernel's buffer for "
                              "sending, was full.\n"));
  EXPECT_THAT(text, HasSubstr("warning  2 packets dropped as overrun: "));
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
  status["data_port"] = 50263;
  EXPECT_EQ(worst(diagnose(status, "0.1.0")), Finding::Level::warning);
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")),
              HasSubstr("or forward UDP port 50263 to the same port of this computer there"));
}

TEST(Diagnosis, OfAServer) {
  const auto pair = [](int sent, int got) {
    return json{{"from", "a"}, {"to", "b"}, {"recent_packets_sent", sent}, {"recent_packets_received", got}};
  };
  const json other = {{"name", "b"}, {"online", true}, {"version", "0.1.0"}, {"data_endpoint", "192.0.2.6:1"}};
  const json member = {{"name", "a"}, {"online", true}, {"version", "0.1.0"}, {"data_endpoint", "192.0.2.5:1"}};
  json status = {{"program", "eps-server"},
                 {"version", "0.1.0"},
                 {"port", 43439},
                 {"network", {{"address", "10.0.8.0/24"}}},
                 {"members", {member, other}},
                 {"pairs", {pair(99, 0), pair(1000, 990), pair(5, 9)}}};
  EXPECT_EQ(worst(diagnose(status, "0.1.0")), Finding::Level::ok) << findings_text(diagnose(status, "0.1.0"));
  status["troubles"] = {"The disk is full."};
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")), HasSubstr("problem  The disk is full."));
  status.erase("troubles");
  status["pairs"] = {pair(1000, 970)};
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")),
              HasSubstr("Of the last 1000 packets from a to b only 970 arrived."));
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")), HasSubstr(": 2 members, 2 online."));
  status["members"][1]["online"] = false;
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")), Not(HasSubstr("arrived."))) << "b was switched off";
  status["members"][0]["data_endpoint"] = nullptr;
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")), HasSubstr("problem  a is connected, but its UDP does not"));
  status["members"][0]["over_tcp"] = true;
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")), HasSubstr("warning  The UDP of a does not arrive here"));
  status["members"][0]["version"] = "0.0.9";
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")), HasSubstr("warning  a runs version 0.0.9, the server 0.1.0."));
}

TEST(Diagnosis, APeerThatIsOnlineAndOutOfReach) {
  json status = client();
  status["peers"] = {{{"name", "bob"}, {"online", true}, {"path", "none"}, {"unreachable", false}},
                     {{"name", "carol"},
                      {"online", true},
                      {"path", "none"},
                      {"unreachable", true},
                      {"why_relayed", "The handshake is not answered yet, attempt 4."}}};
  const std::string text = findings_text(diagnose(status, "0.1.0"));
  EXPECT_THAT(text, HasSubstr("problem  carol is online, but has no path: packets to it are lost. The handshake is "
                              "not answered yet, attempt 4.\n         eps why carol shows what was tried"));
  EXPECT_THAT(text, Not(HasSubstr("bob"))) << "nothing was sent to it";
}

TEST(Diagnosis, APeerWithAnotherKey) {
  json status = client();
  status["peers"] = {{{"name", "bob"},
                      {"online", true},
                      {"path", "none"},
                      {"refused", true},
                      {"why_relayed", "Its key is another."},
                      {"how_to_mend", "Ask them."}}};
  const auto findings = diagnose(status, "0.1.0");
  EXPECT_EQ(worst(findings), Finding::Level::problem);
  EXPECT_THAT(findings_text(findings), HasSubstr("problem  bob is refused. Its key is another.\n         Ask them.\n"));
}

TEST(Diagnosis, CountersThatGrow) {
  json before = client(), now = client();
  before["uptime_seconds"] = now["uptime_seconds"] = 86400;
  for (const char* reason : {"unauthorised", "no_peer", "malformed"}) {
    before["drops"] = {{reason, 20}};
    now["drops"] = {{reason, 20}};
    EXPECT_EQ(worst(diagnose(now, "0.1.0", &before)), Finding::Level::ok) << reason << " long ago";
    now["drops"] = {{reason, 29}};
    EXPECT_THAT(findings_text(diagnose(now, "0.1.0", &before)),
                HasSubstr(std::string("warning  29 packets dropped as ") + reason + ", 9 of them just now: "));
  }
  now["uptime_seconds"] = 120;
  now["drops"] = {{"unauthorised", 7}};
  EXPECT_THAT(findings_text(diagnose(now, "0.1.0")), HasSubstr("with several: upgrade it"));
}

TEST(Diagnosis, AdviceFitsTheRouterAndTheMtu) {
  json status = client();
  status["nat"]["mapping"] = "per destination";
  status["port_mappings"] = {{{"external_endpoint", "203.0.113.7:4000"}, {"method", "UPnP"}}};
  EXPECT_EQ(worst(diagnose(status, "0.1.0")), Finding::Level::ok) << "the router already forwards the port";
  status["network"] = {{"address", "10.0.8.0/24"}, {"mtu", 1279}};
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")), HasSubstr("no IPv6 inside the network"));
}

TEST(Diagnosis, ANetworkThatIsNearlyFull) {
  json status = {{"program", "eps-server"}, {"version", "0.1.0"}, {"network", {{"address", "10.5.0.0/29"}}}};
  for (int i = 1; i <= 6; ++i) {
    status["members"].push_back({{"name", "ci-" + std::to_string(i)},
                                 {"online", i == 6},
                                 {"data_endpoint", "192.0.2.6:1"},
                                 {"last_seen", 1'700'000'000 + i},
                                 {"last_seen_seconds", 86400 * (7 - i)}});
  }
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")),
              HasSubstr("problem  6 of the 6 addresses of 10.5.0.0/29 are in use. ci-1 was last seen 6 d ago. A new "
                        "computer can join only by displacing one that has been away for long.\n"));
  status["members"].erase(1);
  EXPECT_EQ(worst(diagnose(status, "0.1.0")), Finding::Level::ok) << "one of six is left";
}

TEST(Diagnosis, AMemberThatExistsTwice) {
  json status = {{"program", "eps-server"}, {"version", "0.1.0"}};
  status["members"].push_back({{"name", "a"}, {"online", true}, {"data_endpoint", "192.0.2.6:1"}});
  EXPECT_EQ(worst(diagnose(status, "0.1.0")), Finding::Level::ok);
  status["members"][0]["copy_at"] = "192.0.2.7";
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")),
              HasSubstr("problem  a exists twice: another computer, at 192.0.2.7, comes with the same key.\n"));
}

TEST(Diagnosis, AMemberBeyondTheLimitForRelaying) {
  json status = {{"program", "eps-server"}, {"version", "0.1.0"}, {"relay_limit", "50mbit"}};
  status["members"].push_back({{"name", "a"}, {"online", true}, {"data_endpoint", "192.0.2.6:1"}});
  status["members"][0]["relay_limit_drops"] = 1234;
  EXPECT_EQ(worst(diagnose(status, "0.1.0")), Finding::Level::ok) << "it was long ago";
  status["members"][0]["relay_limited"] = true;
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")),
              HasSubstr("warning  a sends more through the relay here than 50mbit: 1234 packets dropped so far.\n"));
}

TEST(Diagnosis, MembersThatTheNetworkLockDoesNotCover) {
  json status = {{"program", "eps-server"}, {"version", "0.1.0"}};
  for (const char* name : {"a", "b", "c"}) {
    status["members"].push_back({{"name", name}, {"signed", true}, {"allowed_signed", true}});
  }
  EXPECT_EQ(worst(diagnose(status, "0.1.0")), Finding::Level::ok);
  status["members"][0]["allowed_signed"] = false;
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")),
              HasSubstr("may use only their own addresses: a.\n         On a computer that holds a key of the lock: "
                        "eps lock sign a\n"));
  for (int i : {1, 2}) status["members"][i]["signed"] = status["members"][i]["allowed_signed"] = false;
  EXPECT_THAT(
      findings_text(diagnose(status, "0.1.0")),
      HasSubstr(
          "the others refuse them: b, c.\n         On a computer that holds a key of the lock: eps lock sign --all\n"));
  for (json& m : status["members"]) m["signed"] = m["allowed_signed"] = nullptr;
  EXPECT_EQ(worst(diagnose(status, "0.1.0")), Finding::Level::ok) << "there is no lock";
}

TEST(Diagnosis, APolicyThatTheNetworkLockDoesNotCover) {
  json status = {{"program", "eps-server"}, {"version", "0.1.0"}, {"policy_signed", false}};
  EXPECT_THAT(findings_text(diagnose(status, "0.1.0")),
              testing::AllOf(
                  HasSubstr("warning  The policy, or that there is none any more, is not signed by the network lock"),
                  HasSubstr("where a key of the lock is: eps lock sign --policy\n")));
  for (const json& well : {json(true), json(nullptr)}) {
    status["policy_signed"] = well;
    EXPECT_EQ(worst(diagnose(status, "0.1.0")), Finding::Level::ok);
  }
}

TEST(Diagnosis, OfServices) {
  EXPECT_TRUE(unit_findings("").empty());
  const auto findings = unit_findings(
      "Id=eps-client.service\nActiveState=active\nSubState=running\nResult=success\nExecMainStatus=0\n"
      "UnitFileState=enabled\n\nId=eps-server.service\nActiveState=failed\nSubState=failed\nResult=exit-code\n"
      "ExecMainStatus=2\nUnitFileState=enabled\n");
  EXPECT_THAT(findings_text(findings),
              HasSubstr("problem  The service eps-server.service has failed (exit-code, exit status 2).\n"));
  EXPECT_EQ(findings.size(), 1U);
  EXPECT_EQ(worst(unit_findings("Id=eps-client.service\nActiveState=activating\nSubState=auto-restart\n")),
            Finding::Level::problem);
  EXPECT_EQ(worst(unit_findings("Id=eps-client.service\nActiveState=inactive\nUnitFileState=enabled\n")),
            Finding::Level::warning);
  EXPECT_TRUE(unit_findings("Id=eps-client.service\nActiveState=inactive\nUnitFileState=disabled\n").empty());
}

// docs/api.md describes each reason as the programs do.
TEST(Diagnosis, TheDocumentHasEveryReason) {
  const std::string document = test::read_text(std::string(EPS_TEST_DATA) + "/../../docs/api.md");
  const std::size_t begin = document.find("The reasons in `drops`:"), end = document.find("| server | |");
  ASSERT_TRUE(begin < end && end != std::string::npos);
  std::string table = "The reasons in `drops`:\n\n| reason | |\n|---|---|\n";
  for (const DropReason& reason : drop_reasons()) {
    table += std::string("| `") + reason.name + "` | " + reason.meaning + " |\n";
  }
  EXPECT_EQ(document.substr(begin, end - begin), table + "\n");
}

TEST(Diagnosis, ToleratesUnknownFields) {
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
