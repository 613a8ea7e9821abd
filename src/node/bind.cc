// SPDX-License-Identifier: MIT
#include "node/bind.h"

#include <algorithm>
#include <utility>

#include "crypto/primitives.h"
#include "wire/datagram.h"

namespace eps::node {

void Bind::begin(MemberId self, crypto::Key key, const Endpoint& server, std::optional<Endpoint> other, Instant now) {
  if (server != main_.to) main_.observed.reset();
  self_ = self;
  key_ = std::move(key);
  main_.to = server;
  other_.to = other.value_or(Endpoint{});
  number_ = bind_since_ = 0;
  for (Target* target : {&main_, &other_}) target->answered = target->echo = target->echoed_since = 0;
  refresh(now);
}

void Bind::refresh(Instant now) {
  bound_ = false;
  if (!main_.to.valid()) {
    main_.next = other_.next = second_.next = kNever;
    return;
  }
  main_.unanswered = 0;
  leave_sockets();
  other_.observed.reset();
  other_.unanswered = 0;
  other_.next = kNever;
  second_ = {};
  second_since_ = 0;
  let_in_ = false;
  ask_main(now);
  if (other_.to.valid()) ask_other(now);
}

void Bind::verify(Instant now) {
  if (!bound() || main_.unanswered > 0 || now - answered_at_ < kBindVerifyPause) return;
  ask_main(now);
}

void Bind::renew(Instant now) {
  if (!bound() || renewals_ > 0) return;
  renewals_ = kBindRenewals;
  ask_main(now);
}

// A new data socket: everything starts over.
void Bind::leave_sockets() {
  if (main_.socket != 0) left_.push_back(main_.socket);
  if (spare_) out_.close_side(*spare_);
  spare_.reset();
  by_spare_ = false;
  renewals_ = 0;
  main_.socket = second_.socket = 0;
}

void Bind::use_socket(ports::SocketId socket, Instant now) {
  if (main_.socket != 0) left_.push_back(main_.socket);
  main_.socket = socket;
  spare_.reset();
  by_spare_ = false;
  renewals_ = 0;
  // What was learned about the NAT belongs to another socket.
  const Endpoint second = second_.to;
  second_ = {};
  second_.to = second;
  second_.socket = socket;
  if (second.valid()) second_.next = now + kNatTestAfter;
  second_since_ = 0;
  let_in_ = false;
}

// The server answers in the other family and no longer in this one: bind there.
bool Bind::take_other_family(Instant now) {
  if (!other_.observed || other_.unanswered > 0) return false;
  leave_sockets();
  std::swap(main_, other_);
  second_ = {};
  second_since_ = 0;
  let_in_ = false;
  bound_ = false;
  main_.unanswered = 0;
  bind_since_ = number_ + 1;
  ask_main(now);
  return true;
}

void Bind::ask(Target& target, bool observe_only, Instant now) {
  target.number = ++number_;
  asked_at_[number_ % asked_at_.size()] = now;
  const bool twice = &target == &nat_target() && second_since_ == 0;  // nothing is known about the NAT yet
  auto request = wire::make_bind_request({self_, target.number, observe_only, twice, true, target.echo});
  const auto mac = crypto::mac16(key_.view(), {ByteView(request).first(request.size() - wire::kMacSize)});
  std::copy(mac.begin(), mac.end(), request.end() - wire::kMacSize);
  out_.send({target.to, request, 0, &target == &main_ && by_spare_ ? *spare_ : target.socket});
  ++target.unanswered;
}

// After the next request.
Duration Bind::retry_pause() const {
  if (bound()) return std::max(kBoundRetry, round_trip_ / 2);
  const int tried = main_.unanswered - (lost_after() - kBindLost);
  return kBindRetry[std::min(static_cast<std::size_t>(std::max(tried, 0)), kBindRetry.size() - 1)];
}

void Bind::ask_main(Instant now) {
  const Duration pause = retry_pause();
  const bool renews = renewals_ > 0 && !lost();
  renewals_ = renews ? renewals_ - 1 : 0;
  // Alternate between the two sockets once one has failed.
  by_spare_ = renews || (lost() && !by_spare_);
  if (by_spare_ && !spare_) {
    if (const auto side = out_.open_side()) spare_ = side->socket;
    by_spare_ = spare_.has_value();
  }
  ask(main_, false, now);
  if (renews) {
    --main_.unanswered;  // nothing is wrong with the one in use
    main_.next = now + kBindOtherSocketAfter;
    return;
  }
  const bool other_socket_is_next = main_.unanswered == lost_after();
  main_.next = now + (other_socket_is_next ? kBindOtherSocketAfter : pause);
  // Where the other family did not answer before, it may by now.
  if (lost() && !take_other_family(now) && other_.to.valid()) other_.next = now;
}

void Bind::ask_other(Instant now) {
  ask(other_, true, now);
  // Nothing is relayed there, so an unanswered request is not urgent.
  other_.next = now + (other_.unanswered < kBindLost ? std::chrono::seconds(1) : 3 * kBindKeepalive);
}

void Bind::ask_second(Instant now) {
  ask(second_, true, now);
  if (second_since_ == 0) second_since_ = second_.number;
  const int doublings = std::min(second_.unanswered - 1, 16);
  second_.next = now + std::min(kMaxNatTestPause, kNatTestPause * (1 << doublings));
}

bool Bind::on_reply(const Endpoint& from, ports::SocketId socket, ByteView datagram, Instant now) {
  const auto reply = wire::parse_bind_reply(datagram);
  if (!reply || reply->member != self_ || reply->number > number_) return false;
  const auto mac = crypto::mac16(key_.view(), {datagram.first(datagram.size() - wire::kMacSize)});
  if (!crypto::constant_time_equal(mac, datagram.last(wire::kMacSize))) return false;
  const bool by_second = reply->second_port != 0 && from.port == reply->second_port && from.port != main_.to.port;
  if (by_second) {
    if (second_since_ == 0 || reply->number < second_since_) {
      let_in_ = true;
    } else {
      second_.observed = reply->observed;
      second_.next = kNever;
    }
    return true;
  }
  const bool by_other = other_.to.valid() && reply->observed.ip.is_v4() == other_.to.ip.is_v4();
  Target& target = by_other ? other_ : main_;
  // A reply to an earlier request is just as good: on a slow path the next request is already out.
  if (reply->number <= target.answered) return true;
  target.answered = reply->number;
  if (number_ - reply->number < asked_at_.size()) round_trip_ = now - asked_at_[reply->number % asked_at_.size()];
  target.observed = reply->observed;
  target.unanswered = 0;
  const bool renews = &target == &main_ && renewals_ > 0 && socket != spare_;
  target.next = now + (renews ? kBindOtherSocketAfter : kBindKeepalive);
  if (reply->second_port != 0 && !second_.to.valid() && &target == &nat_target()) {
    second_.to = {target.to.ip, reply->second_port};
    second_.socket = target.socket;
    second_.next = now + kNatTestAfter;
  }
  const bool binds = !by_other && reply->number >= bind_since_;
  if (binds && socket != main_.socket && spare_ == socket) use_socket(socket, now);
  if (reply->echo && *reply->echo != 0 && *reply->echo != target.echo) {
    target.echo = *reply->echo;
    target.echoed_since = number_ + 1;
    by_other ? ask_other(now) : ask_main(now);
    return true;
  }
  if (!binds || reply->number < target.echoed_since) return true;
  bound_ = true;
  answered_at_ = now;
  return true;
}

void Bind::on_deadline(Instant now) {
  if (now >= main_.next) ask_main(now);
  if (now >= other_.next) ask_other(now);
  if (now >= second_.next) ask_second(now);
}

std::vector<Endpoint> Bind::all_observed() const {
  std::vector<Endpoint> out;
  if (bound() && main_.observed) out.push_back(*main_.observed);
  if (other_.observed) out.push_back(*other_.observed);
  return out;
}

NatStatus Bind::nat() const {
  NatStatus nat;
  const auto& observed = nat_target().observed;
  if (!bound() || !observed) return nat;
  if (std::ranges::count(local_, *observed) > 0) {
    nat.mapping = NatMapping::none;
  } else if (second_.observed) {
    nat.mapping = second_.observed == observed ? NatMapping::independent : NatMapping::per_destination;
  }
  if (let_in_) {
    nat.filtering = NatFiltering::open;
  } else if (second_since_ != 0) {
    nat.filtering = NatFiltering::per_port;
  }
  return nat;
}

}  // namespace eps::node
