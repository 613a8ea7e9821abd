// SPDX-License-Identifier: MIT
#pragma once

// The network's policy: which member may open which connections to which other. A text of lines, read here into rules
// and evaluated without I/O; docs/policy.md describes the language.
//
//   group NAME [MEMBER...]                     declares a group, perhaps with members besides those assigned to it
//   allow|deny FROM to TO [PROTOCOL [PORTS]]...
//
// The first rule that matches the opening of a connection decides; where none does, it is dropped. Answers are not the
// policy's concern but the flow table's (dataplane/flow_guard.h).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_network.h"
#include "base/result.h"
#include "model/network.h"

namespace eps::policy {

inline constexpr std::size_t kMaxText = kMaxPolicyText;
inline constexpr std::size_t kMaxRules = 2000;
inline constexpr std::size_t kMaxGroups = 256;
inline constexpr std::size_t kMaxSelectors = 64;   // of one side of a rule
inline constexpr std::size_t kMaxServices = 16;    // of a rule
inline constexpr std::size_t kMaxPortRanges = 32;  // of a service

struct PortRange {
  std::uint16_t first = 0, last = 0;
  bool operator==(const PortRange&) const = default;
};

// `icmp` in a policy is of both families.
inline constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmp6 = 58;

struct Service {
  std::uint8_t protocol = 0;     // of IP
  std::vector<PortRange> ports;  // empty: all; of TCP and UDP only
  bool operator==(const Service&) const = default;
};

// One side of a rule.
struct Side {
  bool all = false;
  std::vector<std::string> members;
  std::vector<std::string> groups;
  std::vector<IpNetwork> networks;  // addresses in the packet, whoever has them
};

struct Rule {
  bool allow = false;
  Side from, to;
  std::vector<Service> services;  // empty: everything, including what is not IP
  std::uint32_t line = 0;         // in the text, from 1
  std::string text;               // as written, with single spaces
};

// A member as rules see it.
struct Subject {
  std::string_view name;
  std::span<const std::string> groups;  // that it was assigned to
};

// What opens a connection.
struct Opening {
  IpAddress from, to;
  bool ip = true;                          // otherwise only rules without addresses and services match
  std::uint8_t protocol = 0;               // of IP
  std::optional<std::uint16_t> port = {};  // the destination's; nullopt: it has none, or hides it
};

struct Verdict {
  bool allow = false;
  std::uint16_t rule = 0;  // index; Policy::rules().size(): none matched
  bool operator==(const Verdict&) const = default;
};

class Policy;

// The rules that concern connections from one member to another, in order. REQUIRES: the policy outlives it.
class PairRules {
 public:
  PairRules(const Policy& policy, const Subject& from, const Subject& to);
  Verdict decide(const Opening& opening) const;

 private:
  struct Entry {
    std::uint16_t rule = 0;
    bool any_from = false, any_to = false;  // whatever the address
  };
  const Policy* policy_;
  std::vector<Entry> entries_;
};

class Policy {
 public:
  // Errc::invalid_argument: "line N: ...", what is wrong and how to mend it. Errc::exhausted: beyond a limit.
  static Result<Policy> parse(std::string_view text);

  const std::vector<Rule>& rules() const { return rules_; }
  // Whether the text declares it.
  bool has_group(std::string_view group) const;
  bool is_in(const Subject& subject, std::string_view group) const;
  bool selects(const Side& side, const Subject& subject) const;
  // "line 7: deny all to db", or "no rule allows it".
  std::string name_of(std::uint16_t rule) const;
  // Names of members that the text has, each once.
  std::vector<std::string> members_named() const;

 private:
  struct Group {
    std::string name;
    std::vector<std::string> members;
  };
  friend class Parser;
  std::vector<Rule> rules_;
  std::vector<Group> groups_;
};

// "tcp 443", "udp 53", "icmp", or "proto:47"; for `eps policy test`. Errc::invalid_argument.
Result<Service> parse_service(std::string_view protocol, std::string_view ports);

}  // namespace eps::policy
