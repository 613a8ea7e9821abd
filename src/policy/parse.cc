// SPDX-License-Identifier: MIT

// The text of a policy, read.

#include <algorithm>
#include <charconv>
#include <map>

#include "policy/policy.h"

namespace eps::policy {
namespace {

constexpr std::string_view kBlank = " \t\r";

std::string quoted(std::string_view text) {
  std::string out(1, '"');
  for (const char c : text.substr(0, 80)) out += c >= ' ' && c <= '~' ? c : '?';
  return out + '"';
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> out;
  line = line.substr(0, line.find('#'));
  while (true) {
    const std::size_t begin = line.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return out;
    line.remove_prefix(begin);
    const std::size_t size = std::min(line.find_first_of(kBlank), line.size());
    out.push_back(line.substr(0, size));
    line.remove_prefix(size);
  }
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number out{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return out;
}

// Calls `take` for each part between commas, until it returns false.
template <class Take>
bool split(std::string_view list, Take&& take) {
  while (true) {
    const std::size_t comma = list.find(',');
    if (!take(list.substr(0, comma))) return false;
    if (comma == std::string_view::npos) return true;
    list.remove_prefix(comma + 1);
  }
}

std::optional<std::uint8_t> protocol_of(std::string_view word) {
  if (word == "tcp") return kTcp;
  if (word == "udp") return kUdp;
  if (word == "icmp") return kIcmp;
  if (word.starts_with("proto:")) return number_of<std::uint8_t>(word.substr(6));
  return std::nullopt;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

Result<std::vector<PortRange>> ports_of(std::string_view list) {
  std::vector<PortRange> out;
  std::string wrong;
  split(list, [&](std::string_view part) {
    const std::size_t dash = part.find('-');
    const auto first = number_of<std::uint16_t>(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : number_of<std::uint16_t>(part.substr(dash + 1));
    if (!first || !last || *first == 0 || *first > *last) {
      wrong = quoted(part) +
              " is not a valid port: write a number from 1 to 65535 such as 443, a range such as 8000-8100, or "
              "several with commas and without blanks";
      return false;
    }
    if (out.size() == kMaxPortRanges) {
      wrong = "more than " + std::to_string(kMaxPortRanges) + " ports in one list: write a second rule";
      return false;
    }
    out.push_back({*first, *last});
    return true;
  });
  if (!wrong.empty()) return make_error(Errc::invalid_argument, std::move(wrong));
  return out;
}

}  // namespace

class Parser {
 public:
  Result<Policy> read(std::string_view text) {
    if (text.size() > kMaxText) {
      return make_error(Errc::exhausted, "the policy has " + std::to_string(text.size()) + " bytes, and at most " +
                                             std::to_string(kMaxText) +
                                             " are possible: use groups and lists in place of single rules");
    }
    while (!text.empty()) {
      const std::size_t size = std::min(text.find('\n'), text.size());
      ++line_;
      if (auto ok = take_line(text.substr(0, size)); !ok) {
        return make_error(ok.error().code, "line " + std::to_string(line_) + ": " + ok.error().what);
      }
      text.remove_prefix(std::min(text.size(), size + 1));
    }
    for (const auto& [group, line] : used_) {
      if (policy_.has_group(group)) continue;
      return make_error(Errc::invalid_argument, "line " + std::to_string(line) + ": no group " + quoted(group) +
                                                    " is declared: correct the name, or add a line: group " + group);
    }
    if (policy_.rules_.empty()) {
      return make_error(Errc::invalid_argument,
                        "the policy has no rule, so everything would be dropped: add one such as \"allow all to all\", "
                        "or \"deny all to all\" if that is meant");
    }
    return std::move(policy_);
  }

 private:
  using Words = std::span<const std::string_view>;
  static Error wrong(std::string what) { return make_error(Errc::invalid_argument, std::move(what)); }

  Result<void> take_line(std::string_view line) {
    if (!valid_policy_text(line)) {
      return wrong("a character that is not printable ASCII: write everything, including comments, in plain ASCII");
    }
    const std::vector<std::string_view> words = words_of(line);
    if (words.empty()) return {};
    if (words[0] == "group") return take_group(Words(words).subspan(1));
    if (words[0] == "allow" || words[0] == "deny") return take_rule(words);
    return wrong(quoted(words[0]) +
                 " is not a statement: a line begins with group, allow or deny, or with # for a comment");
  }

  Result<void> take_group(Words words) {
    if (words.empty()) return wrong("group without a name: write group NAME, or group NAME MEMBER...");
    if (!valid_group(words[0])) {
      return wrong(quoted(words[0]) + " is not a valid name for a group: 1 to 24 lower-case letters, digits, - and _");
    }
    if (policy_.has_group(words[0])) {
      return wrong("group " + std::string(words[0]) + " is declared twice: put all its members into one line");
    }
    if (policy_.groups_.size() == kMaxGroups) {
      return make_error(Errc::exhausted, "more than " + std::to_string(kMaxGroups) + " groups");
    }
    Policy::Group group{std::string(words[0]), {}};
    for (const std::string_view word : words.subspan(1)) {
      std::string bad;
      split(word, [&](std::string_view name) {
        if (name.empty() && word.ends_with(',')) return true;  // "a, b"
        if (!valid_name(name)) {
          bad = name;
          return false;
        }
        group.members.emplace_back(name);
        return true;
      });
      if (!bad.empty() || word == ",") return wrong(quoted(word) + " is not a member's name; see: eps members");
    }
    policy_.groups_.push_back(std::move(group));
    return {};
  }

  Result<void> take_rule(Words words) {
    if (words.size() < 4 || words[2] != "to") {
      return wrong("a rule is written " + std::string(words[0]) +
                   " FROM to TO [PROTOCOL [PORTS]], with commas and no blanks in lists; for example: " +
                   std::string(words[0]) + " group:iot to hub tcp 443");
    }
    if (policy_.rules_.size() == kMaxRules) {
      return make_error(Errc::exhausted, "more than " + std::to_string(kMaxRules) +
                                             " rules: use groups and lists in place of single ones");
    }
    Rule rule;
    rule.allow = words[0] == "allow";
    rule.line = line_;
    for (const std::string_view word : words) rule.text.append(rule.text.empty() ? "" : " ").append(word);
    if (auto ok = take_side(words[1], rule.from); !ok) return ok;
    if (auto ok = take_side(words[3], rule.to); !ok) return ok;
    for (Words rest = words.subspan(4); !rest.empty();) {
      const bool ports = rest.size() > 1 && is_digit(rest[1][0]);
      auto service = parse_service(rest[0], ports ? rest[1] : "");
      if (!service) return service.error();
      if (rule.services.size() == kMaxServices) {
        return make_error(Errc::exhausted,
                          "more than " + std::to_string(kMaxServices) + " protocols in one rule: write a second one");
      }
      rule.services.push_back(std::move(*service));
      rest = rest.subspan(ports ? 2 : 1);
    }
    policy_.rules_.push_back(std::move(rule));
    return {};
  }

  Result<void> take_side(std::string_view list, Side& side) {
    std::string bad;
    std::size_t count = 0;
    split(list, [&](std::string_view word) {
      if (++count > kMaxSelectors) {
        bad = "more than " + std::to_string(kMaxSelectors) + " entries in one list: use a group";
        return false;
      }
      if (word.starts_with("group:")) {
        const std::string_view group = word.substr(6);
        if (valid_group(group)) {
          side.groups.emplace_back(group);
          used_.try_emplace(std::string(group), line_);
          return true;
        }
      } else if (word.starts_with("member:")) {
        if (valid_name(word.substr(7))) {
          side.members.emplace_back(word.substr(7));
          return true;
        }
      } else if (word == "all") {
        side.all = true;
        return true;
      } else if (const auto network = parse_ip_network(word)) {
        side.networks.push_back(*network);
        return true;
      } else if (word.find('/') != std::string_view::npos) {
        bad = quoted(word) + " is not a range of addresses: write one such as 10.9.0.0/24, without host bits";
        return false;
      } else if (valid_name(word)) {
        side.members.emplace_back(word);
        return true;
      }
      bad = quoted(word) +
            " is not a valid FROM or TO: write all, a member's name, group:NAME, or an address or range such as "
            "10.9.0.0/24; lists have "
            "commas and no blanks";
      return false;
    });
    if (!bad.empty()) return wrong(std::move(bad));
    return {};
  }

  Policy policy_;
  std::uint32_t line_ = 0;
  std::map<std::string, std::uint32_t> used_;  // groups, and where first
};

Result<Policy> Policy::parse(std::string_view text) {
  return Parser().read(text);
}

Result<Service> parse_service(std::string_view protocol, std::string_view ports) {
  const auto number = protocol_of(protocol);
  if (!number) {
    return make_error(
        Errc::invalid_argument,
        quoted(protocol) + " is not a protocol: write tcp, udp, icmp, or the number of another one such as proto:47");
  }
  Service out{*number == kIcmp6 ? kIcmp : *number, {}};
  if (ports.empty()) return out;
  if (*number != kTcp && *number != kUdp) {
    return make_error(Errc::invalid_argument,
                      quoted(ports) + ": only tcp and udp have ports; remove it, or write tcp or udp before it");
  }
  auto list = ports_of(ports);
  if (!list) return list.error();
  out.ports = std::move(*list);
  return out;
}

}  // namespace eps::policy
