// SPDX-License-Identifier: MIT
#include "control/admission.h"

#include <algorithm>
#include <iterator>

namespace eps::control {
namespace {

constexpr const char* kWrongEnrolment =
    "The server did not accept the network key: its enrolment part is wrong or was replaced. Copy the key again from "
    "the server (eps key).";

constexpr Duration kAskAgain = std::chrono::milliseconds(100);

}  // namespace

void Admission::begin() {
  dialing_ = true;
  failures_.clear();
}

Admission::Outputs Admission::on_connected(LinkId link, const Endpoint& server, std::vector<IpAddress> addresses,
                                           ClientParams params, const MemberList& held, Instant now) {
  Outputs out;
  const bool first_join = !params.enrolled;
  const auto doubt = unclear_.find(server);
  if (doubt != unclear_.end() && doubt->second == Doubt::stranger) params.enrolled = true;
  const auto [it, added] = attempts_.try_emplace(
      link, Attempt{server, std::move(addresses), ClientConnection(std::move(params), held, rng_), first_join});
  take(link, it->second.connection.start(now), held, out, now);
  return out;
}

Admission::Outputs Admission::on_bytes(LinkId link, ByteView bytes, const MemberList& held, Instant now) {
  Outputs out;
  const auto it = attempts_.find(link);
  if (it != attempts_.end()) take(link, it->second.connection.on_bytes(bytes, now), held, out, now);
  return out;
}

Admission::Outputs Admission::on_closed(LinkId link, const std::string& why, const MemberList& held, Instant now) {
  Outputs out;
  const auto it = attempts_.find(link);
  if (it == attempts_.end()) return out;
  take(link, it->second.connection.on_closed(why), held, out, now);
  if (attempts_.contains(link)) fail(link, closed_because(why), held, out, now);
  return out;
}

Admission::Outputs Admission::on_dialed_all(const std::string& why) {
  Outputs out;
  if (!dialing_) return out;
  dialing_ = false;
  if (!why.empty()) failures_ = why + (failures_.empty() ? "" : "; ") + failures_;
  end_if_in_vain(out);
  return out;
}

Admission::Outputs Admission::on_deadline(const MemberList& held, Instant now) {
  Outputs out;
  std::vector<LinkId> due;
  for (const auto& [link, attempt] : attempts_) {
    if (now >= attempt.connection.next_deadline()) due.push_back(link);
  }
  for (const LinkId link : due) {
    const auto it = attempts_.find(link);
    if (it != attempts_.end()) take(link, it->second.connection.on_deadline(now), held, out, now);
  }
  const auto spare = [](const auto& entry) { return entry.second.proved; };
  if (asking_ != 0 && now >= asked_at_ + kHelloPatience && std::ranges::count_if(attempts_, spare) > 1) {
    fail(asking_, "the server does not answer", held, out, now);
  }
  return out;
}

Instant Admission::next_deadline() const {
  Instant at = kNever;
  std::size_t proved = 0;
  for (const auto& [link, attempt] : attempts_) {
    at = std::min(at, attempt.connection.next_deadline());
    proved += attempt.proved ? 1 : 0;
  }
  return asking_ != 0 && proved > 1 ? std::min(at, asked_at_ + kHelloPatience) : at;
}

std::vector<LinkId> Admission::stop() {
  std::vector<LinkId> links;
  for (const auto& [link, attempt] : attempts_) links.push_back(link);
  attempts_.clear();
  asking_ = 0;
  dialing_ = false;
  return links;
}

void Admission::take(LinkId link, ClientConnection::Outputs from, const MemberList& held, Outputs& out, Instant now) {
  if (!from.to_send.empty()) out.to_send.emplace_back(link, std::move(from.to_send));
  Attempt& attempt = attempts_.at(link);
  for (std::size_t i = 0; i < from.events.size(); ++i) {
    const ClientEvent& event = from.events[i];
    if (std::holds_alternative<Proved>(event)) {
      attempt.proved = true;
      if (asking_ == 0) ask_next(held, out, now);
    } else if (std::holds_alternative<Welcomed>(event)) {
      const auto rest = from.events.begin() + static_cast<std::ptrdiff_t>(i);
      out.won.emplace(Won{link, attempt.server, std::move(attempt.addresses), std::move(attempt.connection), {}});
      std::move(rest, from.events.end(), std::back_inserter(out.won->events));
      attempts_.erase(link);
      std::ranges::copy(stop(), std::back_inserter(out.to_close));
      unclear_.clear();
      return;
    } else if (const auto* refused = std::get_if<Refused>(&event)) {
      std::optional<Doubt> doubt;
      if (const auto node = unclear_.extract(attempt.server)) doubt = node.mapped();
      if (refused->forget_enrolment && doubt == Doubt::stranger && attempt.first_join) {
        unclear_[attempt.server] = Doubt::proved_since;
        return fail(link, "it is the server, and is asked again to admit this computer", held, out, now);
      }
      if (refused->by_server || !refused->retry) return end(*refused, out);
      if (refused->wrong_answer && attempt.first_join) {
        if (doubt == Doubt::proved_since) return end({kWrongEnrolment, false}, out);
        if (!doubt) unclear_[attempt.server] = Doubt::stranger;
      }
      return fail(link, refused->sentence, held, out, now);
    }
  }
}

void Admission::fail(LinkId link, const std::string& why, const MemberList& held, Outputs& out, Instant now) {
  failures_ += (failures_.empty() ? "" : "; ") + to_string(attempts_.at(link).server) + ": " + why;
  attempts_.erase(link);
  out.to_close.push_back(link);
  if (asking_ == link) {
    asking_ = 0;
    ask_next(held, out, now);
  }
  end_if_in_vain(out);
}

void Admission::ask_next(const MemberList& held, Outputs& out, Instant now) {
  const auto next = std::ranges::find_if(attempts_, [](const auto& entry) { return entry.second.proved; });
  if (next == attempts_.end()) return;
  asking_ = next->first;
  asked_at_ = now;
  auto hello = next->second.connection.say_hello(held, now);
  out.to_send.emplace_back(next->first, std::move(hello.to_send));
}

void Admission::end(Refused why, Outputs& out) {
  std::ranges::copy(stop(), std::back_inserter(out.to_close));
  out.lost = std::move(why);
}

void Admission::end_if_in_vain(Outputs& out) {
  if (running() || out.lost) return;
  Refused why{failures_.empty() ? "no address of the server is known" : failures_};
  // Whoever was in its place is gone: there is nothing to wait for.
  const auto proved = [](const auto& entry) { return entry.second == Doubt::proved_since; };
  if (std::ranges::any_of(unclear_, proved)) why.come_back = kAskAgain;
  end(std::move(why), out);
}

}  // namespace eps::control
