// SPDX-License-Identifier: MIT

// The server before authentication: whatever strangers send, in whatever pieces, nobody is admitted, nothing is stored,
// clients without the server's key get no byte, and every connection is closed in time.
//
// The input is a series of | mode 8 | size 16 | bytes ... |. The mode says how the bytes are used; its highest bit
// delivers them one at a time.
//   0  a new connection, from the address that the first byte selects; it becomes the current one
//   1  they are sent unchanged
//   2  they are sent as a frame
//   3  they are the payload of a genuine first message: of a client that has the server's key, but is no member and
//      does not know the enrolment secret
//   4  they are the difference to such a message: near misses
//   5  they are sent sealed, after the server's answer; none at all: a genuine Hello
//   6  the clock moves by the first byte

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "base/check.h"
#include "control/server.h"
#include "support/memory_store.h"
#include "support/seeded_rng.h"

namespace {

using namespace eps;

constexpr std::size_t kMaxSteps = 60;

// The same for all inputs: none may change it.
struct Network {
  Network() {
    auto opened = registry::Registry::open(store, {.network = {{0x0a000000}, 24}}, rng);
    EPS_CHECK(opened.has_value());
    registry = std::move(*opened);
    version = registry->version();
    commits = store.commits;
  }
  void check_unchanged() const {
    EPS_CHECK(registry->members().empty() && registry->version() == version && store.commits == commits);
  }
  test::SeededRng rng{1};
  test::MemoryStore store;
  std::unique_ptr<registry::Registry> registry;
  std::uint64_t version = 0;
  int commits = 0;
  crypto::KeyPair stranger = crypto::generate_key_pair(rng);
};

class Strangers {
 public:
  explicit Strangers(const Network& network) : network_(network), server_(*network.registry, {}, rng_) { open(0); }

  void step(std::uint8_t mode, ByteView bytes) {
    const std::uint8_t first = bytes.empty() ? std::uint8_t{0} : std::to_integer<std::uint8_t>(bytes[0]);
    piecewise_ = mode >= 0x80;
    switch (mode % 0x80 % 7) {
      case 0:
        return open(first);
      case 1:
        return send(bytes);
      case 2:
        return send_frame(bytes);
      case 3:
        return send_frame(initiation(bytes));
      case 4:
        return send_frame(near_miss(bytes));
      case 5:
        return send_sealed(bytes);
      default:
        return wait(first * std::chrono::milliseconds(20));
    }
  }

  void finish() {
    wait(control::kAuthenticateWithin);
    EPS_CHECK(open_.empty());
    for (const control::ServerEvent& event : events_) {
      EPS_CHECK(event.kind == control::ServerEvent::Kind::rejected);
      EPS_CHECK(std::ranges::all_of(event.sentence, [](char c) { return c >= ' ' && c <= '~'; }));
    }
  }

 private:
  void open(std::uint8_t source) {
    at_ = ++last_id_;
    open_.insert(at_);
    received_.clear();
    handshake_.reset();
    channel_ = {};
    fresh_ = true;
    holds_the_key_ = false;
    take(server_.on_open(at_, {IpAddress::from_v4({0xc6336400U + source}), 7}, now_));
  }

  void take(const control::Server::Outputs& out) {
    for (const auto& [id, bytes] : out.to_send) {
      EPS_CHECK(id == at_ && holds_the_key_);
      received_.insert(received_.end(), bytes.begin(), bytes.end());
    }
    for (const control::ConnId id : out.to_close) EPS_CHECK(open_.erase(id) == 1);
    events_.insert(events_.end(), out.events.begin(), out.events.end());
  }

  void send(ByteView bytes) {
    if (!bytes.empty()) fresh_ = false;
    // A separate copy, so that ASan sees a read past the end.
    for (std::size_t n = 0; !bytes.empty(); bytes = bytes.subspan(n)) {
      n = piecewise_ ? 1 : bytes.size();
      const Bytes piece(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
      take(server_.on_bytes(at_, piece, now_));
    }
  }

  void send_frame(ByteView body) {
    Bytes frame;
    control::Channel::put_frame(body.first(std::min(body.size(), control::Channel::kMaxFrame)), frame);
    send(frame);
  }

  Bytes initiation(ByteView payload) {
    Bytes out;
    noise::Initiator handshake(keys_, network_.registry->identity().keys.public_key, as_view(control::kPrologue), rng_);
    EPS_CHECK(handshake.write_initiation(payload.first(std::min<std::size_t>(payload.size(), 600)), out));
    if (fresh_) {
      holds_the_key_ = true;
      handshake_.emplace(std::move(handshake));
    }
    return out;
  }

  // Empty instead of the genuine message itself, which would correctly be answered.
  Bytes near_miss(ByteView difference) {
    const bool held = holds_the_key_;
    const Bytes genuine = initiation(std::array{std::byte{control::kVersion}, std::byte{2}});
    holds_the_key_ = held;
    handshake_.reset();
    Bytes out(difference.begin(), difference.end());
    out.resize(genuine.size());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] ^= genuine[i];
    if (out == genuine) return {};
    return out;
  }

  // The prover's side of the channel: none before the response, nor if the response needs the enrolment secret.
  void read_answer() {
    Reader in(received_);
    const ByteView frame = in.bytes(in.u16());
    if (channel_.transport() || !handshake_ || !in.ok() || frame.empty()) return;
    if (const auto done = handshake_->read_response(frame, crypto::Key())) channel_.begin_transport(done->keys, true);
  }

  void send_sealed(ByteView plain) {
    read_answer();
    if (!channel_.transport()) return;
    const Bytes hello = wire::encode(wire::Hello{"stranger", "1", 0});
    Bytes frame;
    channel_.seal(plain.empty() ? ByteView(hello) : plain.first(std::min(plain.size(), wire::kMaxControlMessage)),
                  frame);
    send(frame);
  }

  void wait(Duration time) {
    now_ += time;
    take(server_.on_deadline(now_));
    EPS_CHECK(server_.next_deadline() > now_);
  }

  const Network& network_;
  test::SeededRng rng_{2};
  control::Server server_;
  const crypto::KeyPair& keys_ = network_.stranger;
  Instant now_{std::chrono::hours(1)};
  std::set<control::ConnId> open_;
  std::vector<control::ServerEvent> events_;
  bool piecewise_ = false;
  // Of the current connection.
  control::ConnId at_ = 0;
  control::ConnId last_id_ = 0;
  Bytes received_;
  std::optional<noise::Initiator> handshake_;
  control::Channel channel_;
  bool fresh_ = true;           // nothing was sent on it yet
  bool holds_the_key_ = false;  // its first bytes were a genuine first message
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Network network;
  Strangers strangers(network);
  Reader in(std::as_bytes(std::span(data, size)));
  for (std::size_t steps = 0; in.remaining() > 0 && steps < kMaxSteps; ++steps) {
    const std::uint8_t mode = in.u8();
    const std::size_t n = in.u16();
    strangers.step(mode, in.bytes(std::min(n, in.remaining())));
  }
  strangers.finish();
  network.check_unchanged();
  return 0;
}
