// SPDX-License-Identifier: MIT
#include "app/tool_ping.h"

#include <algorithm>
#include <thread>

#include "os/clock.h"
#include "os/icmp.h"
#include "report/text.h"
#include "report/watch.h"

namespace eps::app {
namespace {

constexpr std::uint64_t kPings = 5;
constexpr std::chrono::milliseconds kPingTimeout{1000};
constexpr std::chrono::milliseconds kPingPause{200};  // after an answer
constexpr std::chrono::seconds kWatchPause{1};

double milliseconds(Duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}
std::string ms(double value) {
  return report::decimals(value, 2) + " ms";
}

// What is known of a peer that answers no ping, and what to do.
std::string unanswered(const nlohmann::json& peer, const std::string& name) {
  const auto text = [&](const char* field) {
    const auto it = peer.find(field);
    return it != peer.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  std::string out;
  for (const char* field : {"why_relayed", "how_to_mend"}) {
    if (const std::string sentence = text(field); !sentence.empty()) out += sentence + " ";
  }
  for (const auto& sentence : peer.value("policy_drops", nlohmann::json::array())) {
    if (sentence.is_string()) out += sentence.get<std::string>() + " ";
  }
  if (text("path") == "direct" || text("path") == "relayed") {
    out += "There is a conduit: does a firewall on " + name + " drop pings that come through its EPS interface? ";
  }
  return out + "eps why " + name + " shows what was tried; look at eps doctor here and there.";
}

}  // namespace

int PingCommand::run(const std::string& peer) {
  const std::string socket = request_.socket.value_or(defaults_.client_socket);
  // By name or by address.
  const auto look = [&]() -> Result<json> {
    const auto status = ask_status(socket, "peers");
    if (!status) return status.error();
    json entry = entry_of(status->value("peers", json::array()), peer);
    if (!entry.is_null()) return Result<json>(boost::system::in_place_value, std::move(entry));
    if (const std::string us = that_is_us(*status, peer); !us.empty()) return make_error(Errc::invalid_argument, us);
    return make_error(Errc::invalid_argument, "there is no member \"" + quotable(peer) + "\"; see eps peers");
  };
  auto found = look();
  if (!found) return failed(found.error(), "eps-client", socket);
  const auto address = parse_ip4(found->value("address", ""));
  if (!address) return fail("the daemon knows no address of " + quotable(peer));
  auto echo = os::EchoSocket::open(*address);
  if (!echo) return fail(echo.error().what);

  const std::string name = found->value("name", peer);
  if (!request_.json) print(name + " (" + to_string(*address) + ")\n");
  const std::uint64_t count = request_.count.value_or(kPings);
  std::vector<double> round_trips;
  for (std::uint64_t i = 1; i <= count; ++i) {
    const auto answered = echo->ping(static_cast<std::uint16_t>(i), kPingTimeout);
    if (!answered) return fail(answered.error().what);
    if (*answered) round_trips.push_back(milliseconds(**answered));
    if (!request_.json) {
      print("  " + std::to_string(i) + ": " + (*answered ? ms(round_trips.back()) : "no answer") + "\n");
    }
    if (*answered && i < count) std::this_thread::sleep_for(kPingPause);
  }
  // What the path is now: the first ping may have opened it.
  found = look();
  if (!found) return failed(found.error(), "eps-client", socket);
  const json path = found->value("path", json("none")), endpoint = found->value("endpoint", json());
  const json underlay = found->value("round_trip_ms", json());
  const double lost = 100.0 * static_cast<double>(count - round_trips.size()) / static_cast<double>(count);
  json conduit;
  if (!round_trips.empty()) {
    const auto [least, most] = std::ranges::minmax(round_trips);
    double sum = 0;
    for (const double value : round_trips) sum += value;
    conduit = {{"min", least}, {"average", sum / static_cast<double>(round_trips.size())}, {"max", most}};
  }
  const int status = round_trips.empty() ? kExitFailure : 0;
  if (request_.json) {
    print_json({{"name", name},
                {"address", to_string(*address)},
                {"path", path},
                {"endpoint", endpoint},
                {"sent", count},
                {"answered", round_trips.size()},
                {"lost_percent", lost},
                {"conduit_ms", conduit},
                {"underlay_ms", underlay}});
    return status;
  }
  std::string out = std::to_string(count) + " sent, " + std::to_string(round_trips.size()) + " answered, " +
                    report::decimals(lost, 0) + " % lost\n";
  if (!conduit.is_null()) {
    out += "conduit   " + ms(conduit["min"]) + " / " + ms(conduit["average"]) + " / " + ms(conduit["max"]) +
           " (least, average, most)\n";
  }
  out += "underlay  " + (underlay.is_number() ? ms(underlay) : std::string("not measured")) + ", " +
         (path.is_string() ? path.get<std::string>() : "none") +
         (endpoint.is_string() ? " by " + endpoint.get<std::string>() : "") + "\n";
  print(out);
  if (round_trips.empty()) print_folded(unanswered(*found, name) + "\n");
  return status;
}

int WatchCommand::run() {
  // The named socket, else the client of this computer, else its server.
  std::string socket = request_.socket.value_or(defaults_.client_socket);
  auto before = ask_status(socket, "status");
  if (!before && before.error().code == Errc::not_found && !request_.socket) {
    socket = defaults_.server_socket;
    before = ask_status(socket, "status");
  }
  if (!before) return failed(before.error(), "the daemon", socket);
  Instant at = os::now();
  for (std::uint64_t i = 0; !request_.count || i < *request_.count; ++i) {
    std::this_thread::sleep_for(kWatchPause);
    auto now = ask_status(socket, "status");
    if (!now) return failed(now.error(), "the daemon", socket);
    const Instant looked = os::now();
    const double seconds = std::chrono::duration<double>(looked - at).count();
    if (request_.json) {
      // One object a line.
      print(now->dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
    } else {
      constexpr const char* kClear = "\x1b[H\x1b[2J";
      const std::string table = report::watch_text(*before, *now, seconds, width(), height());
      print(defaults_.terminal ? kClear + table : (i == 0 ? "" : "\n") + table);
    }
    if (!out_) return kExitFailure;
    before = std::move(now);
    at = looked;
  }
  return 0;
}

}  // namespace eps::app
