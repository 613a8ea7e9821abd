// SPDX-License-Identifier: MIT
#include "policy/policy.h"

#include <gtest/gtest.h>

namespace eps::policy {
namespace {

const std::vector<std::string> kIot = {"iot"}, kGuests = {"guests"}, kNone = {};
const Subject kCamera{"camera", kIot}, kPrinter{"printer", kIot}, kGuest{"visitor", kGuests}, kHub{"hub", kNone};

Policy read(std::string_view text) {
  auto policy = Policy::parse(text);
  EXPECT_TRUE(policy) << policy.error().what;
  return policy ? std::move(*policy) : Policy();
}

std::string wrong(std::string_view text) {
  const auto policy = Policy::parse(text);
  return policy ? "" : policy.error().what;
}

bool allowed(const Policy& policy, const Subject& from, const Subject& to, std::uint8_t protocol,
             std::optional<std::uint16_t> port = {}) {
  return PairRules(policy, from, to)
      .decide({IpAddress::from_v4({0x0a090001}), IpAddress::from_v4({0x0a090002}), true, protocol, port})
      .allow;
}

TEST(Policy, lets_a_group_reach_one_port_of_one_member_and_nothing_else) {
  const Policy policy = read("group iot\nallow group:iot to hub tcp 443\n");
  EXPECT_TRUE(allowed(policy, kCamera, kHub, kTcp, 443));
  EXPECT_FALSE(allowed(policy, kCamera, kHub, kTcp, 80));
  EXPECT_FALSE(allowed(policy, kCamera, kHub, kUdp, 443));
  EXPECT_FALSE(allowed(policy, kCamera, kPrinter, kTcp, 443));
  EXPECT_FALSE(allowed(policy, kHub, kCamera, kTcp, 443));
  EXPECT_FALSE(allowed(policy, kGuest, kHub, kTcp, 443));
}

TEST(Policy, is_decided_by_the_first_rule_that_matches) {
  const Policy policy = read("group iot\ndeny group:iot to all\nallow all to all\n");
  EXPECT_FALSE(allowed(policy, kCamera, kHub, kTcp, 443));
  EXPECT_TRUE(allowed(policy, kHub, kCamera, kTcp, 443));
  const PairRules rules(policy, kCamera, kHub);
  EXPECT_EQ(policy.name_of(rules.decide({}).rule), "line 2: deny group:iot to all");
}

TEST(Policy, names_the_drop_that_no_rule_causes) {
  const Policy policy = read("allow hub to all");
  const Verdict verdict = PairRules(policy, kCamera, kHub).decide({});
  EXPECT_FALSE(verdict.allow);
  EXPECT_EQ(policy.name_of(verdict.rule), "no rule allows it");
}

TEST(Policy, takes_members_of_a_group_from_its_line_as_well) {
  const Policy policy = read("group servers hub, db1 db2\nallow all to group:servers");
  EXPECT_TRUE(allowed(policy, kCamera, kHub, kUdp, 53));
  EXPECT_TRUE(allowed(policy, kCamera, {"db2", kNone}, kUdp, 53));
  EXPECT_FALSE(allowed(policy, kCamera, kPrinter, kUdp, 53));
}

TEST(Policy, ignores_groups_that_it_does_not_declare) {
  const Policy policy = read("group servers\nallow all to group:servers");
  EXPECT_FALSE(allowed(policy, kHub, kCamera, kUdp, 53));
}

TEST(Policy, reads_lists_ranges_and_several_protocols) {
  const Policy policy = read("allow camera,printer to hub tcp 22,8000-8100 udp 53 icmp proto:47");
  for (const std::uint16_t port : {22, 8000, 8050, 8100}) EXPECT_TRUE(allowed(policy, kPrinter, kHub, kTcp, port));
  EXPECT_FALSE(allowed(policy, kPrinter, kHub, kTcp, 8101));
  EXPECT_TRUE(allowed(policy, kPrinter, kHub, kUdp, 53));
  EXPECT_TRUE(allowed(policy, kPrinter, kHub, kIcmp));
  EXPECT_TRUE(allowed(policy, kPrinter, kHub, kIcmp6));
  EXPECT_TRUE(allowed(policy, kPrinter, kHub, 47));
  EXPECT_FALSE(allowed(policy, kPrinter, kHub, 50));
}

TEST(Policy, matches_no_port_where_a_packet_hides_it) {
  const Policy policy = read("allow all to hub tcp 443\nallow camera to hub tcp");
  EXPECT_FALSE(allowed(policy, kGuest, kHub, kTcp));
  EXPECT_TRUE(allowed(policy, kCamera, kHub, kTcp));
}

TEST(Policy, selects_addresses_whoever_has_them) {
  const Policy policy = read("allow camera to 10.9.0.0/24 tcp 80\nallow camera to fd00::/8");
  EXPECT_TRUE(allowed(policy, kCamera, kGuest, kTcp, 80));
  const PairRules rules(policy, kCamera, kGuest);
  const IpAddress outside = IpAddress::from_v4({0x0a0a0001});
  EXPECT_FALSE(rules.decide({outside, outside, true, kTcp, 80}).allow);
  EXPECT_TRUE(rules.decide({*parse_ip("fd00::1"), *parse_ip("fd00::2"), true, kUdp, 9}).allow);
  EXPECT_FALSE(rules.decide({{}, {}, false, 0, {}}).allow);
}

TEST(Policy, lets_frames_that_are_not_ip_pass_only_by_a_rule_for_everything) {
  const Policy policy = read("allow camera to hub\nallow all to hub tcp 1-65535 udp icmp");
  const Opening other{{}, {}, false, 0, {}};
  EXPECT_TRUE(PairRules(policy, kCamera, kHub).decide(other).allow);
  EXPECT_FALSE(PairRules(policy, kGuest, kHub).decide(other).allow);
}

TEST(Policy, skips_comments_blank_lines_and_carriage_returns) {
  EXPECT_EQ(read("# what\r\n\r\n  \nallow all to all # everything\r\n").rules().size(), 1U);
}

TEST(Policy, says_in_which_line_something_is_wrong_and_how_to_mend_it) {
  EXPECT_EQ(wrong("allow all to all\npermit a to b"),
            "line 2: \"permit\" is not a statement: a line begins with group, allow or deny, or with # for a comment");
  EXPECT_EQ(wrong("allow group:iott to hub"),
            "line 1: no group \"iott\" is declared: correct the name, or add a line: group iott");
  EXPECT_NE(wrong("allow a b"), "");
  EXPECT_NE(wrong("allow a, b to c"), "");
  EXPECT_NE(wrong("allow a to b tcp 70000"), "");
  EXPECT_NE(wrong("allow a to b tcp 90-80"), "");
  EXPECT_NE(wrong("allow a to b tcp 0"), "");
  EXPECT_NE(wrong("allow a to b tcp 80,"), "");
  EXPECT_NE(wrong("allow a to b icmp 8"), "");
  EXPECT_NE(wrong("allow a to b http"), "");
  EXPECT_NE(wrong("allow a to b proto:256"), "");
  EXPECT_NE(wrong("allow a to 10.9.0.1/24"), "");
  EXPECT_NE(wrong("allow a to group:"), "");
  EXPECT_NE(wrong("group A\nallow all to all"), "");
  EXPECT_NE(wrong("group a\ngroup a\nallow all to all"), "");
  EXPECT_NE(wrong("group\nallow all to all"), "");
  EXPECT_NE(wrong("allow \x01 to all"), "");
  EXPECT_NE(wrong("# \x1b[2J\nallow all to all"), "");
}

TEST(Policy, refuses_a_text_without_rules) {
  EXPECT_NE(wrong(""), "");
  EXPECT_NE(wrong("group iot\n# nothing\n"), "");
}

TEST(Policy, has_limits) {
  std::string rules;
  for (std::size_t i = 0; i < kMaxRules; ++i) rules += "deny a to b\n";
  EXPECT_EQ(wrong(rules), "");
  EXPECT_NE(wrong(rules + "deny a to b\n"), "");
  EXPECT_NE(wrong("allow all to all\n" + std::string(kMaxText, '#')), "");
  std::string list = "a";
  for (std::size_t i = 1; i < kMaxSelectors; ++i) list += ",a";
  EXPECT_EQ(wrong("allow " + list + " to b"), "");
  EXPECT_NE(wrong("allow " + list + ",a to b"), "");
}

TEST(Policy, names_the_members_that_the_text_has) {
  EXPECT_EQ(read("group g z\nallow a,b to a\nallow all to member:all").members_named(),
            (std::vector<std::string>{"a", "all", "b", "z"}));
}

}  // namespace
}  // namespace eps::policy
