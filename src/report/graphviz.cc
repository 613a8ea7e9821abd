// SPDX-License-Identifier: MIT
#include "report/graphviz.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "report/text.h"

namespace eps::report {
namespace {

constexpr std::size_t kMostEdges = 40;     // between members: circo takes 2 s for this many among 200 members, and more
                                           // than a minute for a full mesh of 30
constexpr std::size_t kMostTroubled = 28;  // of these, so that the busiest appear as well
constexpr std::size_t kMostLabels = 12;    // of edges: more make the picture unreadable
constexpr std::size_t kMostTroubledLabels = 8;  // of these
constexpr std::size_t kFewEdges = 15;           // this many may be routed around the boxes; more take too long
constexpr double kMuchLoss = 0.01;              // share of the packets
constexpr std::uint64_t kEnoughForLoss = 20;    // packets needed to judge loss
constexpr std::size_t kReasonWidth = 60;        // characters of a line of a tooltip
constexpr const char* kInk = "#1b2733";
constexpr const char* kFaint = "#7a8794";
constexpr const char* kDirect = "#2e8b57";
constexpr const char* kRelayed = "#d9820f";
constexpr const char* kLossy = "#c0392b";
constexpr const char* kNone = "#a3adb7";
constexpr const char* kControl = "#9db4d0";
// Colours for the members of one LAN; single members are white.
constexpr std::array<const char*, 8> kLans = {"#fdf3d8", "#e2f0fb", "#e8f5e4", "#fbe6ea",
                                              "#eee6f8", "#e0f4f2", "#f9ead9", "#eceff1"};

// Escapes text between tags of an HTML-like label, or in an attribute of them.
std::string html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

// A quoted string of DOT. Backslashes start escapes there, so they are doubled; "\n" becomes a line break.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '"' || c == '\\') {
      out.append("\\").push_back(c);
    } else {
      out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out + "\"";
}

std::string font(const std::string& text, int size, const char* colour) {
  return "<font point-size=\"" + std::to_string(size) + "\" color=\"" + colour + "\">" + text + "</font>";
}

std::string wrapped(std::string_view text, std::size_t width) {
  std::string out;
  std::size_t column = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (column > 0 && column + 1 + word.size() > width) {
      out += '\n';
      column = 0;
    } else if (column > 0) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

std::string milliseconds(Duration d) {
  const double ms = std::chrono::duration<double, std::milli>(d).count();
  return decimals(ms, ms < 10 ? 1 : 0) + " ms";
}

std::uint64_t seconds(Duration d) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(d).count());
}

std::string utc(std::int64_t unix_time) {
  using namespace std::chrono;
  const sys_seconds at{std::chrono::seconds(unix_time)};
  const auto day = floor<days>(at);
  const year_month_day date{day};
  const hh_mm_ss time{floor<minutes>(at - day)};
  const auto two = [](auto n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  return std::to_string(static_cast<int>(date.year())) + "-" + two(static_cast<unsigned>(date.month())) + "-" +
         two(static_cast<unsigned>(date.day())) + " " + two(time.hours().count()) + ":" + two(time.minutes().count()) +
         " UTC";
}

// One direction of an edge.
struct Direction {
  PairStatus total;
  std::uint64_t bytes_per_second = 0;
  double loss = 0;  // share of the packets of the last interval; without an earlier status, since the start
};

// The two directions between two members, the lower id first.
struct Edge {
  Direction out, back;
  PathKind path() const { return std::max(out.total.path, back.total.path); }
  double loss() const { return std::max(out.loss, back.loss); }
  // Relayed, or losing packets: what people look for.
  bool troubled() const { return path() == PathKind::relayed || loss() >= kMuchLoss; }
  std::uint64_t bytes() const { return out.total.bytes_sent + back.total.bytes_sent; }
  std::uint64_t rate() const { return out.bytes_per_second + back.bytes_per_second; }
  // From either side, the first that has one.
  std::optional<Duration> round_trip() const {
    return out.total.round_trip ? out.total.round_trip : back.total.round_trip;
  }
  // The direction whose sender explains why it is relayed; nullptr if neither does.
  const PairStatus* reason() const {
    if (path() != PathKind::relayed) return nullptr;
    for (const Direction* d : {&out, &back}) {
      if (!d->total.reason.empty()) return &d->total;
    }
    return nullptr;
  }
};

// Of one member, with all others combined.
struct Traffic {
  std::uint64_t sent = 0, received = 0;            // bytes
  std::uint64_t sent_rate = 0, received_rate = 0;  // bytes a second
  std::size_t direct = 0, relayed = 0;             // peers
};

class Picture {
 public:
  Picture(const ServerStatus& status, const std::optional<Earlier>& earlier, std::int64_t unix_time)
      : status_(status), unix_time_(unix_time) {
    for (const ServerMemberStatus& m : status.members) {
      by_id_[m.member.id] = &m;
      if (m.member.online) lans_[lan_of(m)].push_back(&m);
    }
    std::erase_if(lans_, [](const auto& lan) { return lan.first.empty() || lan.second.size() < 2; });
    collect_edges(earlier);
  }

  std::string draw() {
    std::string out =
        "graph eps {\n"
        "  graph [charset=\"UTF-8\", bgcolor=\"white\", overlap=prism, splines=" +
        std::string(drawn_.size() <= kFewEdges ? "true" : "line") +
        ", outputorder=edgesfirst, pad=0.4,\n"
        "         nodesep=0.4, ranksep=0.8, sep=\"+14\", mindist=0.9, labelloc=b,\n"
        "         fontname=\"Helvetica,Arial,sans-serif\", fontsize=" +
        std::to_string(legend_size()) + ", fontcolor=\"" + kInk +
        "\",\n"
        "         label=" +
        legend() +
        "];\n"
        "  node [shape=box, style=\"rounded,filled\", fillcolor=\"white\", color=\"" +
        kFaint +
        "\", penwidth=1.2, margin=\"0.14,0.08\",\n"
        "        fontname=\"Helvetica,Arial,sans-serif\", fontsize=12, fontcolor=\"" +
        kInk +
        "\"];\n"
        "  edge [fontname=\"Helvetica,Arial,sans-serif\", fontsize=10, fontcolor=\"" +
        kInk + "\"];\n\n" + server_node();
    std::set<const ServerMemberStatus*> in_a_lan;
    std::size_t number = 0;
    std::string hubs;
    for (const auto& [lan, members] : lans_) {
      const char* const colour = kLans[number % kLans.size()];
      out += "  subgraph cluster_" + std::to_string(number++) +
             " {\n    label=\"\"; style=\"rounded,dashed\"; color=\"" + kFaint + "\"; fontcolor=\"" + kFaint +
             "\"; margin=14;\n";
      const std::string hub = "lan" + std::to_string(number);
      out += "    " + hub + " [label=" + quoted(lan) + ", shape=ellipse, fillcolor=\"" + colour +
             "\", fontsize=10, color=\"" + kControl + "\", margin=\"0.05,0.03\"];\n";
      hubs += "  server -- " + hub + control_style(1.5);
      for (const ServerMemberStatus* m : members) {
        out += "  " + member_node(*m, colour);
        hub_[m->member.id] = hub;
        in_a_lan.insert(m);
      }
      out += "  }\n";
    }
    for (const ServerMemberStatus& m : status_.members) {
      if (!in_a_lan.contains(&m)) out += member_node(m, "white");
    }
    out += "\n" + hubs;
    for (const ServerMemberStatus& m : status_.members) {
      const auto hub = hub_.find(m.member.id);
      const std::string end = " -- m" + std::to_string(m.member.id.value);
      if (m.member.online) out += "  " + (hub == hub_.end() ? "server" : hub->second) + end + control_style(1.2);
    }
    for (const auto& [ids, edge] : edges_) {
      if (drawn_.contains(&edge)) out += member_edge(ids, edge);
    }
    return out + "}\n";
  }

 private:
  // A key for members whose datagrams come from one address or one private network: they are behind one router. "":
  static std::string lan_of(const ServerMemberStatus& m) {
    const auto& at = m.data ? m.data : m.control;
    if (!at) return "";
    const IpAddress& ip = at->ip;
    if (!ip.is_v4()) {
      IpAddress network;
      std::copy_n(ip.bytes.begin(), 8, network.bytes.begin());
      return to_string(network) + "/64";
    }
    for (const auto& range :
         {Ip4Network{{0x0a000000}, 8}, Ip4Network{{0xac100000}, 12}, Ip4Network{{0xc0a80000}, 16}}) {
      if (range.contains(ip.v4())) return to_string(Ip4Network{{ip.v4().value & 0xffffff00}, 24});
    }
    return "behind " + to_string(ip);
  }

  void collect_edges(const std::optional<Earlier>& earlier) {
    std::map<std::pair<MemberId, MemberId>, const PairStatus*> before;
    if (earlier && earlier->ago.count() > 0) {
      for (const PairStatus& p : earlier->pairs) before[{p.from, p.to}] = &p;
    }
    for (const PairStatus& p : status_.pairs) {
      if (!by_id_.contains(p.from) || !by_id_.contains(p.to)) continue;
      Direction d{p, 0, 0};
      std::uint64_t sent = p.packets_sent, received = p.packets_received;
      const auto it = before.find({p.from, p.to});
      const PairStatus was = it == before.end() ? PairStatus{} : *it->second;  // a new pair started from nothing
      sent -= std::min(sent, p.unheard);
      if (earlier && earlier->ago.count() > 0) {
        const std::uint64_t bytes = p.bytes_sent - std::min(p.bytes_sent, was.bytes_sent);
        d.bytes_per_second = bytes * 1000 / static_cast<std::uint64_t>(earlier->ago.count());
        sent = p.packets_sent - std::min(p.packets_sent, was.packets_sent);
        received -= std::min(received, was.packets_received);
      }
      // With few packets the share is meaningless, and what an absent member received is unknown.
      if (sent > received && sent >= kEnoughForLoss && by_id_.at(p.to)->member.online) {
        d.loss = static_cast<double>(sent - received) / static_cast<double>(sent);
      }
      count(p, was, earlier);
      Edge& edge = edges_[std::minmax(p.from, p.to)];
      (p.from < p.to ? edge.out : edge.back) = std::move(d);
    }
    std::erase_if(edges_, [](const auto& e) { return e.second.path() == PathKind::none && e.second.bytes() == 0; });
    for (const auto& [ids, edge] : edges_) {
      for (const MemberId id : {ids.first, ids.second}) {
        traffic_[id].direct += edge.path() == PathKind::direct ? 1 : 0;
        traffic_[id].relayed += edge.path() == PathKind::relayed ? 1 : 0;
      }
    }
    // Troubled edges and the busiest are drawn, the first of these with labels.
    std::vector<const Edge*> order;
    for (const auto& [ids, edge] : edges_) order.push_back(&edge);
    std::ranges::stable_sort(order, [](const Edge* a, const Edge* b) {
      const auto rank = [](const Edge* e) {
        return std::tuple(e->troubled(), e->path() != PathKind::none, e->rate(), e->bytes());
      };
      return rank(a) > rank(b);
    });
    drawn_ = first_of(order, kMostEdges, kMostTroubled);
    std::erase_if(order, [this](const Edge* e) { return !drawn_.contains(e); });
    labelled_ = first_of(order, kMostLabels, kMostTroubledLabels);
    std::erase_if(order, [this](const Edge* e) { return !labelled_.contains(e); });
    for (const Edge* e : order) {
      if (const std::string why = reason(*e); !why.empty() && std::ranges::find(reasons_, why) == reasons_.end()) {
        reasons_.push_back(why);
      }
    }
  }

  // Picks from an ordered list, with at most `troubled` of the troubled ones unless there is room for all.
  static std::set<const Edge*> first_of(const std::vector<const Edge*>& order, std::size_t most, std::size_t troubled) {
    std::set<const Edge*> out;
    std::size_t in_trouble = 0;
    for (const Edge* e : order) {
      if (order.size() > most && e->troubled() && ++in_trouble > troubled) continue;
      if (out.size() < most) out.insert(e);
    }
    return out;
  }

  void count(const PairStatus& p, const PairStatus& was, const std::optional<Earlier>& earlier) {
    Traffic &from = traffic_[p.from], &to = traffic_[p.to];
    from.sent += p.bytes_sent;
    to.received += p.bytes_received;
    if (!earlier || earlier->ago.count() <= 0) return;
    const auto rate = [&](std::uint64_t now, std::uint64_t before) {
      return (now - std::min(now, before)) * 1000 / static_cast<std::uint64_t>(earlier->ago.count());
    };
    from.sent_rate += rate(p.bytes_sent, was.bytes_sent);
    to.received_rate += rate(p.bytes_received, was.bytes_received);
  }

  std::string name(MemberId id) const { return by_id_.at(id)->member.name; }

  // Why it is relayed, as reported by the named member; "" if it is not.
  std::string reason(const Edge& edge) const {
    const PairStatus* said = edge.reason();
    return said == nullptr ? "" : name(said->from) + ": " + said->reason;
  }

  std::string server_node() const {
    const std::string text =
        "<b>eps-server</b><br/>" +
        font(html(to_string(status_.network.network)) + " · port " + std::to_string(status_.port) + "<br/>" +
                 html(status_.version) + " · up " + human_duration(seconds(status_.uptime)),
             10, "#d7e3f4");
    return "  server [label=<" + text + ">, fillcolor=\"#28476b\", color=\"#28476b\", fontcolor=\"white\"];\n\n";
  }

  std::string member_node(const ServerMemberStatus& m, const char* colour) const {
    const auto& at = m.data ? m.data : m.control;
    std::string small = html(to_string(m.member.address));
    if (!m.member.online) {
      small += "<br/>offline";
    } else {
      if (at) small += "<br/>" + html(to_string(*at));
      if (!m.member.version.empty()) small += "<br/>" + html(m.member.version);
      if (m.uptime) small += " · up " + human_duration(seconds(*m.uptime));
    }
    if (const auto it = traffic_.find(m.member.id); it != traffic_.end()) {
      const Traffic& t = it->second;
      small += "<br/>sent " + human_bytes(t.sent) + ", " + human_bytes(t.sent_rate) + "/s<br/>received " +
               human_bytes(t.received) + ", " + human_bytes(t.received_rate) + "/s";
      if (t.direct + t.relayed > 0) {
        small += "<br/>" + std::to_string(t.direct) + " direct, " + std::to_string(t.relayed) + " relayed";
      }
    }
    return "  m" + std::to_string(m.member.id.value) + " [label=<<b>" + html(m.member.name) + "</b><br/>" +
           font(small, 10, kFaint) + ">, fillcolor=\"" + colour + "\"" +
           (m.member.online ? "" : ", style=\"rounded,filled,dashed\", fontcolor=\"" + std::string(kFaint) + "\"") +
           "];\n";
  }

  static std::string control_style(double length) {
    return " [color=\"" + std::string(kControl) + "\", penwidth=0.6, weight=4, len=" + decimals(length, 1) + "];\n";
  }

  std::string direction_text(const Direction& d) const {
    return name(d.total.from) + " → " + name(d.total.to) + "  " + human_bytes(d.total.bytes_sent) + ", " +
           human_bytes(d.bytes_per_second) + "/s" + (d.loss > 0 ? ", " + percent(d.loss) + " lost" : "");
  }
  static std::string percent(double share) { return decimals(share * 100, share < 0.1 ? 1 : 0) + " %"; }

  // The lines of both directions; what is known about the path.
  std::string edge_text(const Edge& edge, bool with_reason) const {
    std::string out;
    for (const Direction* d : {&edge.out, &edge.back}) {
      if (d->total.from.value != 0) out += direction_text(*d) + "\n";
    }
    out += edge.path() == PathKind::none ? "no session now" : name_of(edge.path());
    // Measurements from before the session ended no longer apply.
    if (const auto round_trip = edge.path() == PathKind::none ? std::nullopt : edge.round_trip())
      out += ", " + milliseconds(*round_trip);
    if (const std::string why = reason(edge); !why.empty()) {
      out += with_reason ? "\n" + wrapped(why, kReasonWidth) : " " + mark(why);
    }
    return out;
  }

  // A labelled edge runs through a node with its text, so that no engine draws one text over another.
  std::string member_edge(const std::pair<MemberId, MemberId>& ids, const Edge& edge) const {
    const PathKind path = edge.path();
    const bool labelled = labelled_.contains(&edge);
    const std::string colour = edge.loss() >= kMuchLoss    ? kLossy
                               : path == PathKind::direct  ? kDirect
                               : path == PathKind::relayed ? kRelayed
                                                           : kNone;
    // Ten times the traffic adds half a point.
    const std::uint64_t traffic = edge.rate() != 0 ? edge.rate() : edge.bytes() / 1000;
    const double width = 1 + std::min(4.0, std::log10(1 + static_cast<double>(traffic)) / 2);
    const std::string from = "m" + std::to_string(ids.first.value), to = "m" + std::to_string(ids.second.value);
    const std::string style = " [color=\"" + colour + (labelled ? "" : "70") + "\", penwidth=" + decimals(width, 1) +
                              (path == PathKind::none      ? ", style=dotted"
                               : path == PathKind::relayed ? ", style=dashed"
                                                           : "") +
                              ", tooltip=" + quoted(edge_text(edge, true));
    if (!labelled) return "  " + from + " -- " + to + style + ", len=2.4];\n";
    const std::string text = from + to;
    return "  " + text + " [label=" + quoted(edge_text(edge, false)) + ", color=\"" + colour +
           "\", fontsize=10, penwidth=0.8, margin=\"0.09,0.04\"];\n  " + from + " -- " + text + " -- " + to + style +
           ", len=1.1];\n";
  }

  // "①" for the first reason of the legend.
  std::string mark(const std::string& reason) const {
    const auto it = std::ranges::find(reasons_, reason);
    const auto number = static_cast<std::size_t>(it - reasons_.begin());
    if (number >= 20) return "";
    std::string out = "\u2460";
    out.back() = static_cast<char>(out.back() + static_cast<char>(number));
    return out;
  }

  std::string legend() const {
    std::size_t online = 0, direct = 0, relayed = 0;
    for (const ServerMemberStatus& m : status_.members) online += m.member.online ? 1 : 0;
    for (const auto& [ids, edge] : edges_) {
      direct += edge.path() == PathKind::direct ? 1 : 0;
      relayed += edge.path() == PathKind::relayed ? 1 : 0;
    }
    const auto line = [this](const char* stroke, const char* colour, const std::string& text) {
      return font(stroke, legend_size(), colour) + " " + text;
    };
    std::string out = "<<br/><b>EPS network " + html(to_string(status_.network.network)) + "</b>  ·  " +
                      counted(status_.members.size(), "member") + ", " + std::to_string(online) + " online  ·  " +
                      utc(unix_time_) + "<br/>" + line("━━━", kDirect, std::to_string(direct) + " direct") + "    " +
                      line("╍╍╍", kRelayed, std::to_string(relayed) + " relayed") + "    " +
                      line("┈┈┈", kNone, "no session now") + "    " + line("━━━", kLossy, "loses packets") + "    " +
                      line("───", kControl, "control connection");
    if (drawn_.size() < edges_.size()) {
      out += "<br/>Of " + std::to_string(edges_.size()) + " conduits " + std::to_string(drawn_.size()) +
             " are drawn: relayed and losing ones first, then the busiest.";
    }
    return out + reasons() + ">";
  }

  // Readable in a picture of this size.
  int legend_size() const {
    const std::size_t members = status_.members.size();
    return members > 30 ? 26 : members > 6 ? 18 : 13;
  }

  std::string reasons() const {
    std::string out;
    for (const std::string& reason : reasons_)
      out += "<br/>" + font(mark(reason) + " " + html(reason), legend_size() - 3, kInk);
    return out;
  }

  const ServerStatus& status_;
  std::int64_t unix_time_;
  std::map<MemberId, const ServerMemberStatus*> by_id_;
  std::map<std::string, std::vector<const ServerMemberStatus*>> lans_;
  std::map<std::pair<MemberId, MemberId>, Edge> edges_;
  std::map<MemberId, Traffic> traffic_;
  std::set<const Edge*> drawn_, labelled_;
  std::vector<std::string> reasons_;     // of the labelled relayed ones
  std::map<MemberId, std::string> hub_;  // of those on one LAN
};

}  // namespace

std::string graphviz_text(const ServerStatus& status, const std::optional<Earlier>& earlier, std::int64_t unix_time) {
  return Picture(status, earlier, unix_time).draw();
}

}  // namespace eps::report
