// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "report/member_table.h"
#include "report/status_json.h"
#include "report/text.h"
#include "report/watch.h"

namespace eps::report {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

Member member(std::uint32_t id, const std::string& name, const std::string& address, bool online) {
  Member m;
  m.id = {id};
  m.name = name;
  m.address = *parse_ip4(address);
  m.mac = *parse_mac("02:00:00:00:00:0" + std::to_string(id));
  m.online = online;
  m.version = "0.1.0";
  return m;
}

ClientStatus client_status() {
  ClientStatus s;
  s.name = "alice";
  s.version = "0.1.0";
  s.device = "eps0";
  s.self = member(1, "alice", "10.0.8.1", true);
  s.network = NetworkInfo{{}, *parse_ip4_network("10.0.8.0/24"), 1400};
  s.connected = true;
  s.server = parse_endpoint("192.0.2.1:43439");
  s.server_version = "0.1.0";
  s.observed = parse_endpoint("[2001:db8::5]:50000");
  s.list_version = 0xfedcba9876543210;
  s.data_port = 40000;
  s.offloads = {{true, true, false, true, true}, {false, false, true, false, false}};
  s.port_mappings = {{Transport::udp, 40000, *parse_endpoint("203.0.113.1:40000"), "UPnP"}};
  s.uptime = seconds(3700);
  s.traffic = {10, 1'436'434'521, 5, 999, 0, 0};
  s.drops = {{"replayed", 3}};
  PeerStatus bob;
  bob.member = member(2, "bob", "10.0.8.2", true);
  bob.path = PathKind::direct;
  bob.endpoint = parse_endpoint("192.0.2.7:1234");
  bob.since_handshake = seconds(61);
  bob.round_trip = std::chrono::microseconds(1540);
  bob.aead = "aes-256-gcm";
  bob.aead_library = "openssl";
  bob.traffic = {7, 1000, 8, 2000, 0, 0};
  PeerStatus carol;
  carol.member = member(3, "carol", "10.0.8.3", false);
  s.peers = {bob, carol};
  return s;
}

ServerStatus server_status() {
  ServerStatus s;
  s.version = "0.1.0";
  s.network = {{}, *parse_ip4_network("10.0.8.0/24"), 1400};
  s.port = 43439;
  s.offloads.used = {false, false, false, true, true};
  s.uptime = seconds(5);
  s.connections_established = 4;
  s.traffic.packets_forwarded = 3;
  s.traffic.bytes_forwarded = 4500;
  ServerMemberStatus alice{member(1, "alice", "10.0.8.1", true),
                           parse_endpoint("192.0.2.5:4000"),
                           parse_endpoint("192.0.2.5:4001"),
                           {},
                           {},
                           {},
                           false,
                           {}};
  alice.relayed.bytes_forwarded = 4500;
  s.pairs = {{{1}, {2}, 100, 10000, 93, 9300, PathKind::relayed, std::chrono::microseconds(2500), "no way"}};
  s.members = {alice, {member(2, "bob", "10.0.8.2", false), {}, {}, {}, {}, {}, false, {}}};
  s.unix_time = 1'700'086'400;
  s.members[1].last_seen = 1'700'000'000;
  return s;
}

TEST(StatusJson, OfAClient) {
  const json j = to_json(client_status());
  EXPECT_EQ(j["program"], "eps-client");
  EXPECT_EQ(j["address"], "10.0.8.1/24");
  EXPECT_EQ(j["mac"], "02:00:00:00:00:01");
  EXPECT_EQ(j["network"], (json{{"address", "10.0.8.0/24"}, {"mtu", 1400}}));
  EXPECT_EQ(
      j["server"],
      (json{{"connected", true}, {"endpoint", "192.0.2.1:43439"}, {"note", ""}, {"rekeys", 0}, {"version", "0.1.0"}}));
  EXPECT_EQ(j["observed_endpoint"], "[2001:db8::5]:50000");
  EXPECT_EQ(j["list_version"], (0xfedcba98ULL << 20) + 0x76543210);
  EXPECT_LT(j["list_version"], 1ULL << 53) << "a larger number loses digits in most readers of JSON";
  EXPECT_EQ(j["uptime_seconds"], 3700);
  EXPECT_EQ(
      j["port_mappings"],
      json::array(
          {{{"transport", "UDP"}, {"port", 40000}, {"external_endpoint", "203.0.113.1:40000"}, {"method", "UPnP"}}}));
  EXPECT_EQ(j["drops"], (json{{"replayed", 3}}));
  EXPECT_EQ(j["offloads"], (json{{"used", {"csum", "tso", "gso", "gro"}}, {"missing", {"uso"}}}));
  ASSERT_EQ(j["peers"].size(), 2u);
  const json& bob = j["peers"][0];
  EXPECT_EQ(bob["path"], "direct");
  EXPECT_EQ(bob["last_handshake_seconds"], 61);
  EXPECT_DOUBLE_EQ(bob["round_trip_ms"].get<double>(), 1.54);
  EXPECT_EQ(bob["aead"], "aes-256-gcm");
  EXPECT_EQ(bob["traffic"]["bytes_received"], 2000);
  for (const char* unknown : {"endpoint", "last_handshake_seconds", "round_trip_ms", "aead", "aead_library"}) {
    EXPECT_TRUE(j["peers"][1].at(unknown).is_null()) << unknown;
  }
}

// The fields that scripts may rely on: this test changes only when one is added.
TEST(StatusJson, FieldNamesAreStable) {
  const auto names = [](const json& object) {
    std::string out;
    for (const auto& [name, value] : object.items()) out += name + " ";
    return out;
  };
  const json client = to_json(client_status()), server = to_json(server_status());
  EXPECT_EQ(names(client),
            "address address_device connections_established data_port device drops findings list_version lock mac name "
            "nat network "
            "observed_endpoint "
            "offloads peers policy port_mappings program "
            "public_key relay_over_tcp server traffic uptime_seconds version ");
  EXPECT_EQ(names(client["peers"][0]),
            "address aead aead_library allowed endpoint how_to_mend id last_handshake_seconds last_heard_seconds mac "
            "name nat "
            "online over_tcp "
            "path path_mtu policy_drops public_key refused "
            "round_trip_ms traffic unreachable version why_relayed ");
  EXPECT_EQ(names(server),
            "connections_established drops list_version members network offloads pairs pairs_total policy_signed port "
            "port_mappings program relay_limit traffic troubles uptime_seconds version ");
  EXPECT_EQ(names(server["members"][0]),
            "address allowed allowed_signed control_endpoint copy_at data_endpoint endpoint_changes_held ephemeral "
            "expires_in_seconds floods id last_seen "
            "last_seen_seconds mac name online over_tcp public_key relay_limit_drops relay_limited relayed signed "
            "uptime_seconds version ");
  EXPECT_EQ(names(server["pairs"][0]),
            "bytes_received bytes_sent contradictions contradicts from packets_lost packets_received packets_sent path "
            "reason "
            "recent_packets_received recent_packets_sent round_trip_ms to ");
  EXPECT_EQ(names(server["traffic"]),
            "bytes_forwarded bytes_received bytes_sent packets_forwarded packets_received packets_sent ");
}

TEST(StatusJson, HasIpv6WhereTheNetworkHas) {
  ClientStatus s = client_status();
  s.network->network6 = *parse_ip_network("fd43::/64");
  const json j = to_json(s);
  EXPECT_EQ(j["network"]["address6"], "fd43::/64");
  EXPECT_EQ(j["address6"], "fd43::ff:fe00:1");
  EXPECT_THAT(status_text(j), testing::HasSubstr("10.0.8.1/24, fd43::ff:fe00:1 on "));
  EXPECT_THAT(status_text(j), testing::HasSubstr("10.0.8.0/24, fd43::/64, MTU"));
  EXPECT_THAT(peers_text(j, 0), testing::HasSubstr(std::string(j["peers"][0]["address6"])));
  EXPECT_THAT(peers_text(to_json(client_status()), 0), testing::Not(testing::HasSubstr("IPV6")));
}

TEST(StatusJson, OfAClientThatHasNotJoinedYet) {
  ClientStatus s;
  s.server_note = "the connection is refused";
  const json j = to_json(s);
  for (const char* unknown : {"address", "mac", "network", "observed_endpoint"}) EXPECT_TRUE(j.at(unknown).is_null());
  EXPECT_EQ(j["server"]["note"], "the connection is refused");
  EXPECT_TRUE(j["peers"].is_array());
  EXPECT_TRUE(j["drops"].is_object());
  EXPECT_THAT(status_text(j), HasSubstr("not connected: the connection is refused\n"));
}

TEST(StatusJson, PairsOfAServer) {
  EXPECT_EQ(to_json(server_status())["pairs"], json::array({{{"from", "alice"},
                                                             {"to", "bob"},
                                                             {"path", "relayed"},
                                                             {"reason", "no way"},
                                                             {"round_trip_ms", 2.5},
                                                             {"packets_sent", 100},
                                                             {"bytes_sent", 10000},
                                                             {"packets_received", 93},
                                                             {"bytes_received", 9300},
                                                             {"packets_lost", 0},
                                                             {"contradicts", false},
                                                             {"contradictions", 0},
                                                             {"recent_packets_sent", 0},
                                                             {"recent_packets_received", 0}}}))
      << "bob is offline and has not told what became of the last seven";
}

TEST(MemberTable, ListsByAddress) {
  MemberMap members;
  for (const Member& m : {member(1, "carol", "10.0.8.30", false), member(2, "a-long-name", "10.0.8.4", true)}) {
    members.put(m);
  }
  EXPECT_EQ(member_table(members),
            "2 members, 1 online:\n"
            "  10.0.8.4   a-long-name\n"
            "  10.0.8.30  carol        offline");
}

TEST(MemberTable, OfFew) {
  EXPECT_EQ(member_table(MemberList()), "0 members, 0 online");
  EXPECT_EQ(member_table({{MemberId{1}, member(1, "a", "10.0.8.1", true)}}), "1 member, 1 online:\n  10.0.8.1  a");
}

TEST(MemberChangesTest, OneLineAChange) {
  using testing::ElementsAre;
  using testing::IsEmpty;
  MemberMap members;
  const auto set = [&](const Member& m) { members.put(m); };
  MemberChanges changes;
  constexpr Instant kStart{};
  set(member(1, "a", "10.0.8.1", true));
  set(member(2, "b", "10.0.8.2", false));
  EXPECT_THAT(changes.look(members, kStart), ElementsAre("2 members, 1 online: a (10.0.8.1), b (10.0.8.2, offline)."));
  EXPECT_THAT(changes.look(members, kStart), IsEmpty());
  Member newer = *members.find({1});
  newer.version = "0.2.0";
  set(newer);
  EXPECT_THAT(changes.look(members, kStart), IsEmpty()) << "nothing that a list of members shows";
  set(member(2, "b", "10.0.8.2", true));
  set(member(3, "c", "10.0.8.3", true));
  EXPECT_THAT(changes.look(members, kStart),
              ElementsAre("b (10.0.8.2) is online.", "c (10.0.8.3) is a new member, and online."));
  set(member(1, "a", "10.0.8.1", false));
  set(member(2, "bob", "10.0.8.2", true));
  set(member(3, "c", "10.0.8.9", true));
  EXPECT_THAT(changes.look(members, kStart), ElementsAre("a (10.0.8.1) is offline.", "b is called bob (10.0.8.2) now.",
                                                         "c (10.0.8.9) had the address 10.0.8.3 before."));
  members.erase(MemberId{3});
  EXPECT_THAT(changes.look(members, kStart), ElementsAre("c (10.0.8.9) is no longer a member."));
  set(member(1, "a", "10.0.8.1", true));
  set(member(2, "bob", "10.0.8.2", false));
  EXPECT_THAT(changes.look(members, kStart, {false, {{1}}}), ElementsAre("a (10.0.8.1) is online."))
      << "only who is named";
  EXPECT_THAT(changes.look(members, kStart, {false, {{2}}}), ElementsAre("bob (10.0.8.2) is offline."));
  members.erase(MemberId{1});
  EXPECT_THAT(changes.look(members, kStart, {false, {{1}}}), ElementsAre("a (10.0.8.1) is no longer a member."));
  set(member(1, "a", "10.0.8.1", false));
  set(member(2, "bob", "10.0.8.2", true));
  EXPECT_EQ(changes.look(members, kStart).size(), 2U);
  for (std::uint32_t i = 10; i < 30; ++i) {
    set(member(i, "m" + std::to_string(i), "10.0.8." + std::to_string(i), true));
  }
  EXPECT_THAT(changes.look(members, kStart), ElementsAre("22 members, 21 online; 20 changes at once."));
}

TEST(MemberChangesTest, AMemberThatComesAndGoesAllTheTimeIsNotToldEachTime) {
  MemberMap members;
  members.put(member(1, "a", "10.0.8.1", true));
  members.put(member(2, "b", "10.0.8.2", true));
  MemberChanges changes;
  Instant now{};
  changes.look(members, now);
  std::size_t lines = 0;
  bool online = true;
  const auto flap = [&] {
    members.put(member(1, "a", "10.0.8.1", online = !online));
    const auto told = changes.look(members, now);
    lines += told.size();
    return told.empty() ? std::string() : told.front();
  };
  for (int i = 0; i < 500; ++i) flap();
  EXPECT_EQ(lines, static_cast<std::size_t>(kLinesAtOnce));
  members.put(member(2, "b", "10.0.8.2", false));
  EXPECT_THAT(changes.look(members, now), testing::ElementsAre("b (10.0.8.2) is offline.")) << "a pace of its own";
  now += kLinePause;
  EXPECT_THAT(flap(), testing::AllOf(testing::StartsWith("a (10.0.8.1) is offline. 480 such lines before it were"),
                                     testing::EndsWith("at most once a minute.")));
  EXPECT_EQ(flap(), "");
  now += kLinesAtOnce * kLinePause;
  EXPECT_EQ(flap(), "a (10.0.8.1) is offline. One such line before it was left out.");
}

TEST(Text, StatusOfAClient) {
  EXPECT_EQ(status_text(to_json(client_status())),
            "eps-client  0.1.0, up 1 h 1 min\n"
            "name        alice\n"
            "address     10.0.8.1/24 on eps0\n"
            "MAC         02:00:00:00:00:01\n"
            "network     10.0.8.0/24, MTU 1400\n"
            "server      connected to 192.0.2.1:43439\n"
            "UDP port    40000, seen by the server as [2001:db8::5]:50000\n"
            "NAT         mapping unknown, filtering unknown\n"
            "offloads    csum, tso, gso, gro; not in this kernel: uso\n"
            "peers       2, 1 online; 1 direct, 0 relayed\n"
            "router      UDP 203.0.113.1:40000 forwarded to us by UPnP\n"
            "sent        1.44 GB in 10 packets\n"
            "received    999 B in 5 packets\n"
            "dropped     3 replayed\n");
}

TEST(Text, TheAddressIsWhereItIs) {
  json status = to_json(client_status());
  status["address_device"] = "br0";
  EXPECT_THAT(status_text(status), HasSubstr("10.0.8.1/24 on br0\n"));
}

TEST(Text, RelayedOverTcp) {
  ClientStatus client = client_status();
  client.relay_over_tcp = true;
  client.peers[0].path = PathKind::relayed;
  client.peers[0].over_tcp = true;
  EXPECT_THAT(status_text(to_json(client)), testing::HasSubstr("not answered by the server: relayed over TCP\n"));
  EXPECT_THAT(peers_text(to_json(client)), testing::HasSubstr("relayed over TCP  "));
  ServerStatus server = server_status();
  server.members[0].over_tcp = true;
  EXPECT_THAT(members_text(to_json(server)), testing::HasSubstr("  over TCP  "));
}

TEST(Text, StatusOfAServer) {
  EXPECT_EQ(status_text(to_json(server_status())),
            "eps-server   0.1.0, up 5 s\n"
            "network      10.0.8.0/24, MTU 1400\n"
            "port         43439 (TCP and UDP)\n"
            "offloads     gso, gro\n"
            "members      2, 1 online\n"
            "connections  4 since the start\n"
            "sent         0 B in 0 packets\n"
            "received     0 B in 0 packets\n"
            "forwarded    4.50 kB in 3 packets\n");
}

TEST(Text, PeersAndMembers) {
  EXPECT_EQ(
      peers_text(to_json(client_status())),
      "NAME   ADDRESS   MAC                PATH     ENDPOINT        HANDSHAKE      RTT     MTU  SENT                  "
      "RECEIVED\n"
      "bob    10.0.8.2  02:00:00:00:00:02  direct   192.0.2.7:1234  1 min 1 s ago  1.5 ms  -    1.00 kB in 7 packets  "
      "2.00 kB in 8 packets\n"
      "carol  10.0.8.3  02:00:00:00:00:03  offline  -               -              -       -    0 B in 0 packets      "
      "0 B in 0 packets\n");
  EXPECT_EQ(members_text(to_json(server_status())),
            "NAME   ADDRESS   MAC                ONLINE  LAST SEEN  FROM            UDP             RELAYED  VERSION\n"
            "alice  10.0.8.1  02:00:00:00:00:01  yes     now        192.0.2.5:4000  192.0.2.5:4001  4.50 kB  0.1.0\n"
            "bob    10.0.8.2  02:00:00:00:00:02  no      1 d ago    -               -               0 B      0.1.0\n");
  EXPECT_EQ(peers_text(json::object()), "No other member.\n");
  EXPECT_EQ(members_text(json::object()), "No member yet.\n");
}

TEST(Text, MembersThatAreNotSignedOrDoNotStay) {
  ServerStatus s = server_status();
  s.members[1].ephemeral = true;
  s.members[1].expires_in = 420;
  EXPECT_THAT(members_text(to_json(s)),
              testing::AllOf(HasSubstr("VERSION  STATE\n"), HasSubstr("0.1.0    -\n"),
                             HasSubstr("0.1.0    ephemeral, removed in 7 min\n"), testing::Not(HasSubstr("signs"))));
  const json unlocked = to_json(s)["members"];
  EXPECT_EQ(unlocked[1]["expires_in_seconds"], 420);
  EXPECT_TRUE(unlocked[0]["expires_in_seconds"].is_null() && unlocked[0]["signed"].is_null());
  s.locked = true;
  s.members[0].not_signed = NotSigned::grants;
  s.members[1].not_signed = NotSigned::record;
  EXPECT_THAT(members_text(to_json(s)),
              testing::AllOf(HasSubstr("0.1.0    allowed, not signed\n"),
                             HasSubstr("0.1.0    not signed, ephemeral, removed in 7 min\n"),
                             testing::EndsWith("\n\nOn a computer that holds a key of the network lock: eps lock sign "
                                               "NAME, or --all\n")));
  const json locked = to_json(s)["members"];
  EXPECT_TRUE(locked[0]["signed"] == true && locked[0]["allowed_signed"] == false);
  EXPECT_TRUE(locked[1]["signed"] == false && locked[1]["allowed_signed"] == false);
}

TEST(Text, WhySaysHowOldTheNewsIs) {
  json why = {{"peer", {{"name", "bob"}, {"address", "10.0.8.2"}, {"path", "direct"}, {"endpoint", "192.0.2.7:1"}}}};
  why["peer"]["last_heard_seconds"] = 9;
  EXPECT_THAT(why_text(why, 0), HasSubstr("at 192.0.2.7:1, round trip -.\n"));
  why["peer"]["last_heard_seconds"] = 75;
  EXPECT_THAT(why_text(why, 0), HasSubstr("at 192.0.2.7:1, round trip -, last heard 1 min 15 s ago.\n"));
}

TEST(Text, FitsTheTerminal) {
  for (const std::size_t width : {80U, 40U, 20U}) {
    for (const std::string& text :
         {peers_text(to_json(client_status()), width), members_text(to_json(server_status()), width),
          folded(status_text(to_json(client_status())), width)}) {
      std::istringstream lines(text);
      for (std::string line; std::getline(lines, line);) {
        const auto characters = std::ranges::count_if(line, [](char c) { return (c & 0xc0) != 0x80; });
        EXPECT_LE(characters, static_cast<std::ptrdiff_t>(std::max<std::size_t>(width, 36))) << line;
      }
    }
  }
  EXPECT_EQ(peers_text(to_json(client_status()), 40),
            "NAME   ADDRESS   PATH     RTT\n"
            "bob    10.0.8.2  direct   1.5 ms\n"
            "carol  10.0.8.3  offline  -\n");
  EXPECT_EQ(columns({{"a-long-name", "b"}}, 6, {1}), "a-lon\u2026\n");
  EXPECT_EQ(folded("  watch   a table every second\n", 22), "  watch   a table\n          every second\n");
  EXPECT_EQ(folded("one\n\nshort\n", 40), "one\n\nshort\n");
  EXPECT_EQ(folded("ip  10.0.8.1, fd00:1:2:3:4:5 on eps0\n", 17), "ip  10.0.8.1,\n   fd00:1:2:3:4:5\n    on eps0\n");
}

TEST(Watch, ShowsTheBusiestWhereThereIsRoomForFew) {
  json before = to_json(client_status());
  for (int i = 0; i < 30; ++i) {
    json peer = before["peers"][0];
    peer["name"] = "p" + std::to_string(i);
    before["peers"].push_back(peer);
  }
  json now = before;
  now["peers"][20]["traffic"]["bytes_sent"] = 5'001'000U;
  const std::string text = watch_text(before, now, 1, 80, 10);
  EXPECT_EQ(std::ranges::count(text, '\n'), 9);
  EXPECT_TRUE(text.starts_with("alice  out 0 B/s, in 0 B/s\n\nNAME ")) << text;
  EXPECT_THAT(text, HasSubstr("\np18 ")) << "the one that sends";
  EXPECT_TRUE(text.ends_with("\nand 27 more\n")) << text;
  EXPECT_EQ(std::ranges::count(watch_text(before, now, 1), '\n'), 35) << "no terminal, no limit";
}

TEST(Text, BearsWhatItDoesNotKnow) {
  const json strange = {
      {"program", 7}, {"version", json::array()}, {"server", "x"},           {"peers", json::array({1})},
      {"traffic", 1}, {"network", nullptr},       {"uptime_seconds", "old"}, {"drops", {{"a", "b"}}}};
  EXPECT_THAT(status_text(strange), HasSubstr("eps-client  -, up -\n"));
  EXPECT_THAT(peers_text(strange), HasSubstr("NAME"));
  EXPECT_THAT(status_text(json::object()), HasSubstr("network"));
}

TEST(Text, HumanBytes) {
  const std::vector<std::pair<std::uint64_t, std::string>> cases = {
      {0, "0 B"},          {999, "999 B"},        {1000, "1.00 kB"},       {9994, "9.99 kB"},
      {9995, "10.0 kB"},   {99949, "99.9 kB"},    {99950, "100 kB"},       {999499, "999 kB"},
      {999500, "1.00 MB"}, {228757979, "229 MB"}, {1436434521, "1.44 GB"}, {UINT64_MAX, "18.4 EB"}};
  for (const auto& [bytes, text] : cases) EXPECT_EQ(human_bytes(bytes), text);
}

TEST(Text, HumanDuration) {
  const std::vector<std::pair<std::uint64_t, std::string>> cases = {
      {0, "0 s"},    {59, "59 s"},          {60, "1 min"},          {62, "1 min 2 s"}, {3600, "1 h"},
      {3659, "1 h"}, {12000, "3 h 20 min"}, {86399, "23 h 59 min"}, {86400, "1 d"},    {1051200, "12 d 4 h"}};
  for (const auto& [duration, text] : cases) EXPECT_EQ(human_duration(duration), text);
}

TEST(Text, ColumnsCountCharacters) {
  EXPECT_EQ(columns({{"ü", "b"}, {"ab", "", "c"}, {}}), "ü   b\nab     c\n\n");
}

}  // namespace
}  // namespace eps::report
