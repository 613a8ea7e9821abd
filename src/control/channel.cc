// SPDX-License-Identifier: MIT
#include "control/channel.h"

#include <algorithm>

#include "base/check.h"
#include "wire/control_messages.h"

namespace eps::control {
namespace {
constexpr std::size_t kLengthSize = 2;
constexpr std::string_view kRekeyPrologue = "eps control rekey 1";
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
  take_keys(keys, initiator);
  binding_ = keys.handshake_hash;
  EPS_CHECK(seal_anew() && open_anew());
}

void Channel::take_keys(const noise::TransportKeys& keys, bool initiator) {
  const crypto::Key& forth = initiator ? keys.initiator_to_responder : keys.responder_to_initiator;
  const crypto::Key& back = initiator ? keys.responder_to_initiator : keys.initiator_to_responder;
  next_seal_ = crypto::make_aead(crypto::AeadKind::chacha20poly1305, forth);
  next_open_ = crypto::make_aead(crypto::AeadKind::chacha20poly1305, back);
  last_hash_ = keys.handshake_hash;
  next_psk_ = keys.next_psk.clone();
}

bool Channel::change(std::unique_ptr<crypto::Aead>& from, std::unique_ptr<crypto::Aead>& to, std::uint64_t& counter) {
  if (!to) return false;
  from = std::move(to);
  counter = 0;
  volume_ = 0;
  return true;
}

// Ties the handshake to this channel and to everything that its keys came from.
Bytes Channel::rekey_prologue() const {
  Bytes out;
  Writer w(out);
  w.bytes(as_view(kRekeyPrologue));
  w.bytes(last_hash_);
  return out;
}

Bytes Channel::begin_rekey(const crypto::KeyPair& self, const PublicKey& server, Rng& rng) {
  EPS_CHECK(transport() && !rekeying());
  Bytes out;
  rekey_.emplace(self, server, rekey_prologue(), rng);
  if (!rekey_->write_initiation({}, out)) out.clear();
  return out;
}

bool Channel::finish_rekey(ByteView message) {
  if (!rekey_) return false;
  const auto done = rekey_->read_response(message, next_psk_);
  rekey_.reset();
  if (done) take_keys(done->keys, true);
  return done.has_value();
}

std::optional<Bytes> Channel::answer_rekey(const crypto::KeyPair& self, const PublicKey& client, ByteView message,
                                           Rng& rng) {
  if (next_open_) return std::nullopt;
  noise::Responder responder(self, rekey_prologue(), rng);
  const auto request = responder.read_initiation(message);
  if (!request || request->initiator != client) return std::nullopt;
  Bytes out;
  const auto keys = responder.write_response({}, next_psk_, out);
  if (!keys) return std::nullopt;
  take_keys(*keys, false);
  return out;
}

std::optional<Bytes> Channel::open(ByteView frame) {
  if (frame.size() < crypto::kTagSize) return std::nullopt;
  Bytes plain(frame.size() - crypto::kTagSize);
  if (worn()) return std::nullopt;
  crypto::OpenItem item{.nonce = opened_++, .aad = {}, .sealed = frame, .out = plain.data(), .ok = false};
  open_->open({&item, 1});
  if (!item.ok) return std::nullopt;
  volume_ += frame.size();
  return plain;
}

void Channel::seal(ByteView plain, Bytes& out) {
  const std::size_t size = plain.size() + crypto::kTagSize;
  EPS_CHECK(transport() && size <= kMaxFrame && sealed_ != ~std::uint64_t{0});
  Writer(out).u16(static_cast<std::uint16_t>(size));
  const std::size_t at = out.size();
  out.resize(at + size);
  const crypto::SealItem item{.nonce = sealed_++, .aad = {}, .head = {}, .body = plain, .out = out.data() + at};
  seal_->seal({&item, 1});
  volume_ += size;
}

}  // namespace eps::control
