#include "node/bind.h"

#include <algorithm>

#include "crypto/primitives.h"
#include "wire/datagram.h"

namespace eps::node {

void Bind::begin(MemberId self, crypto::Key key, const Endpoint& server, Instant now) {
  if (server != server_) observed_.reset();
  self_ = self;
  key_ = std::move(key);
  server_ = server;
  number_ = 0;
  answered_ = 0;
  refresh(now);
}

void Bind::refresh(Instant now) {
  if (!server_.valid()) return;
  unanswered_ = 0;
  bound_ = false;
  ask(now);
}

void Bind::verify(Instant now) {
  if (!bound() || unanswered_ > 0 || now - answered_at_ < kBindVerifyPause) return;
  ask(now);
}

void Bind::ask(Instant now) {
  auto request = wire::make_bind_request({self_, ++number_});
  const auto mac = crypto::mac16(key_.view(), {ByteView(request).first(request.size() - wire::kMacSize)});
  std::copy(mac.begin(), mac.end(), request.end() - wire::kMacSize);
  const ports::TxDatagram out{server_, request, 0};
  udp_.send({&out, 1});
  const auto pause = std::min<std::size_t>(static_cast<std::size_t>(unanswered_), kBindRetry.size() - 1);
  next_ = now + kBindRetry[pause];
  ++unanswered_;
}

bool Bind::on_reply(ByteView datagram, Instant now) {
  const auto reply = wire::parse_bind_reply(datagram);
  // An answer to an earlier question is as good: on a slow path the next one is out already.
  if (!reply || reply->member != self_ || reply->number > number_ || reply->number <= answered_) return false;
  const auto mac = crypto::mac16(key_.view(), {datagram.first(datagram.size() - wire::kMacSize)});
  if (!crypto::constant_time_equal(mac, datagram.last(wire::kMacSize))) return false;
  answered_ = reply->number;
  observed_ = reply->observed;
  unanswered_ = 0;
  bound_ = true;
  answered_at_ = now;
  next_ = now + kBindKeepalive;
  return true;
}

void Bind::on_deadline(Instant now) {
  if (now >= next_) ask(now);
}

}  // namespace eps::node
