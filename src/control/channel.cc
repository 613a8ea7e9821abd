#include "control/channel.h"

#include "base/check.h"

namespace eps::control {

bool Channel::feed(ByteView bytes, std::size_t limit) {
  if (received_.size() - taken_ + bytes.size() > limit) return false;
  if (taken_ > 0) {
    received_.erase(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(taken_));
    taken_ = 0;
  }
  received_.insert(received_.end(), bytes.begin(), bytes.end());
  return true;
}

std::optional<Bytes> Channel::next_frame() {
  const ByteView waiting = ByteView(received_).subspan(taken_);
  if (waiting.size() < 2) return std::nullopt;
  const std::size_t size = load_be16(waiting.data());
  if (waiting.size() < 2 + size) return std::nullopt;
  const ByteView body = waiting.subspan(2, size);
  taken_ += 2 + size;
  return Bytes(body.begin(), body.end());
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
