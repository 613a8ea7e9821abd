// SPDX-License-Identifier: MIT
#include "control/channel.h"

#include <algorithm>

#include "base/check.h"
#include "wire/control_messages.h"

namespace eps::control {
namespace {
constexpr std::size_t kLengthSize = 2;
constexpr std::string_view kBusy = "eps busy";
static_assert(wire::kMaxControlMessage + crypto::kTagSize <= Channel::kMaxFrame);
}  // namespace

Bytes make_busy(Duration pause) {
  Bytes out;
  Writer w(out);
  w.bytes(as_view(kBusy));
  w.u32(static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::milliseconds>(pause).count()));
  return out;
}

std::optional<Duration> parse_busy(ByteView frame) {
  if (frame.size() != kBusy.size() + 4 || as_text(frame.first(kBusy.size())) != kBusy) return std::nullopt;
  return std::min<Duration>(std::chrono::milliseconds(load_be32(frame.data() + kBusy.size())), kMaxBusyPause);
}

std::optional<Bytes> Channel::next_frame(ByteView& received) {
  const auto take = [&](std::size_t until) {
    const std::size_t n = std::min(until - partial_.size(), received.size());
    partial_.insert(partial_.end(), received.begin(), received.begin() + static_cast<std::ptrdiff_t>(n));
    received = received.subspan(n);
    return partial_.size() == until;
  };
  if (partial_.size() < kLengthSize && !take(kLengthSize)) return std::nullopt;
  if (!take(kLengthSize + load_be16(partial_.data()))) return std::nullopt;
  Bytes body(partial_.begin() + kLengthSize, partial_.end());
  partial_.clear();
  return body;
}

void Channel::put_frame(ByteView body, Bytes& out) {
  EPS_CHECK(body.size() <= kMaxFrame);
  Writer w(out);
  w.u16(static_cast<std::uint16_t>(body.size()));
  w.bytes(body);
}

void Channel::begin_transport(const noise::TransportKeys& keys, bool initiator) {
  const crypto::Key& forth = initiator ? keys.initiator_to_responder : keys.responder_to_initiator;
  const crypto::Key& back = initiator ? keys.responder_to_initiator : keys.initiator_to_responder;
  seal_ = crypto::make_aead(crypto::AeadKind::chacha20poly1305, forth);
  open_ = crypto::make_aead(crypto::AeadKind::chacha20poly1305, back);
}

std::optional<Bytes> Channel::open(ByteView frame) {
  if (frame.size() < crypto::kTagSize) return std::nullopt;
  Bytes plain(frame.size() - crypto::kTagSize);
  crypto::OpenItem item{.nonce = opened_++, .aad = {}, .sealed = frame, .out = plain.data(), .ok = false};
  open_->open({&item, 1});
  if (!item.ok) return std::nullopt;
  return plain;
}

void Channel::seal(ByteView plain, Bytes& out) {
  const std::size_t size = plain.size() + crypto::kTagSize;
  EPS_CHECK(transport() && size <= kMaxFrame);
  Writer(out).u16(static_cast<std::uint16_t>(size));
  const std::size_t at = out.size();
  out.resize(at + size);
  const crypto::SealItem item{.nonce = sealed_++, .aad = {}, .head = {}, .body = plain, .out = out.data() + at};
  seal_->seal({&item, 1});
}

}  // namespace eps::control
