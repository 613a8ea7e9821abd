// SPDX-License-Identifier: MIT

// The inbound pipeline as a whole: whatever arrives at the UDP socket, the interface gets exactly what the peer sealed
// for it, each packet once, unaltered, and in the order of its flow.
//
// The first byte chooses offloads and cipher. Then come steps, each a byte whose low three bits give its kind:
//   0-1  the peer seals the next packet (inner_packets.h), and it arrives
//   2    the same through the relay
//   3    an earlier datagram arrives again: | which |
//   4    an earlier datagram arrives altered: | which | at 16 | change |
//   5    bytes arrive: | size 16 | bytes ... |
//   6    bytes in an envelope of a relay, or of a member that this one relays for
//   7    what has arrived so far is read
// Bit 3 keeps a datagram out of the run of the previous one. Each run has its own memory, so that ASan sees a read
// past its end.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/check.h"
#include "dataplane/inbound.h"
#include "fuzz/inner_packets.h"
#include "l2/dhcp.h"
#include "l2/source_guard.h"
#include "session/session.h"
#include "support/inner_frames.h"

namespace {

using namespace eps;
using fuzz::kPeer;
using fuzz::kPeerIp;
using fuzz::kSelf;
using fuzz::kSelfIp;

constexpr Instant kNow{std::chrono::seconds(10)};
constexpr std::uint32_t kIndex = 0x123456;
constexpr std::uint32_t kOwnTag = 0x01020304, kTagA = 0xa, kTagB = 0xb;
constexpr std::size_t kMaxDatagrams = 400;
const Ip4Network kNetwork{{kPeerIp.value & 0xffffff00U}, 24};

Endpoint at(std::uint8_t host) {
  return {IpAddress::from_v4({0xc0000200U + host}), 7000};
}
const Endpoint kDirect = at(1), kRelay = at(2), kMemberA = at(3), kMemberB = at(4);

using ByFlow = std::map<test::Flow, std::vector<Bytes>>;

struct Run {
  Endpoint from;
  std::vector<std::byte> bytes;
  std::size_t segment_size = 0;
  bool open = true;  // another datagram may follow in it
};

class Udp final : public ports::UdpPort {
 public:
  std::size_t receive(std::span<ports::RxDatagram> out) override {
    given_.clear();
    while (!waiting_.empty() && given_.size() < out.size()) {
      Run& run = given_.emplace_back(std::move(waiting_.front()));
      waiting_.pop_front();
      run.bytes.shrink_to_fit();
      out[given_.size() - 1] = {run.from, run.bytes, static_cast<std::uint16_t>(run.segment_size)};
    }
    return given_.size();
  }
  std::size_t send(std::span<const ports::TxDatagram> datagrams) override {
    for (const ports::TxDatagram& d : datagrams) {
      // Only traffic between the two members that this one serves is relayed.
      EPS_CHECK(d.to == kMemberA || d.to == kMemberB);
      EPS_CHECK(!d.bytes.empty());
      const std::size_t step = d.segment_size == 0 ? d.bytes.size() : d.segment_size;
      for (ByteView rest = d.bytes; !rest.empty();) {
        const auto envelope = wire::parse_relay_header(rest);
        EPS_CHECK(envelope && envelope->tag == (d.to == kMemberA ? kTagA : kTagB));
        rest = rest.subspan(std::min(step, rest.size()));
      }
    }
    return datagrams.size();
  }
  std::optional<Side> open_side() override { return std::nullopt; }
  void close_side(ports::SocketId) override {}

  void arrive(const Endpoint& from, ByteView datagram, bool alone) {
    if (datagram.empty()) return;
    const bool follows = !waiting_.empty() && !alone && waiting_.back().open && waiting_.back().from == from &&
                         datagram.size() <= waiting_.back().segment_size && waiting_.back().bytes.size() < 60000;
    Run& run = follows ? waiting_.back() : waiting_.emplace_back(Run{from, {}, datagram.size()});
    run.bytes.insert(run.bytes.end(), datagram.begin(), datagram.end());
    run.open = datagram.size() == run.segment_size;
  }

 private:
  std::deque<Run> waiting_;
  std::deque<Run> given_;
};

class Tap final : public ports::TapPort {
 public:
  explicit Tap(l2::Offloads offloads) : offloads_(offloads) {}
  std::size_t read(std::span<ports::TapFrame>) override { return 0; }
  std::size_t write(std::span<const ports::TapWrite> frames) override {
    for (const ports::TapWrite& write : frames) {
      test::check_write(write);
      EPS_CHECK(offloads_.checksum || (!write.meta.checksum_partial && write.meta.gso == ports::Gso::none));
      EPS_CHECK(offloads_.tso || (write.meta.gso != ports::Gso::tcp4 && write.meta.gso != ports::Gso::tcp6));
      EPS_CHECK(offloads_.uso || write.meta.gso != ports::Gso::udp);
      for (Bytes& packet : test::cut(test::joined(write.pieces), write.meta)) {
        packet = test::canonical(std::move(packet));
        written[test::flow_of(packet)].push_back(std::move(packet));
      }
    }
    return frames.size();
  }

  const l2::Offloads& offloads() const { return offloads_; }
  ByFlow written;

 private:
  const l2::Offloads offloads_;
};

std::shared_ptr<session::Session> session_of(crypto::AeadKind aead, bool initiator) {
  session::SessionParams params;
  params.local_index = initiator ? 1 : kIndex;
  params.remote_index = initiator ? kIndex : 1;
  params.aead = aead;
  std::ranges::fill(params.send_key.writable(), std::byte{initiator ? std::uint8_t{1} : std::uint8_t{2}});
  std::ranges::fill(params.receive_key.writable(), std::byte{initiator ? std::uint8_t{2} : std::uint8_t{1}});
  params.initiator = initiator;
  params.established_at = kNow;
  return std::make_shared<session::Session>(std::move(params));
}

class Node {
 public:
  Node(crypto::AeadKind aead, l2::Offloads offloads) : tap_(offloads), sender_(session_of(aead, true)) {
    auto table = std::make_shared<dataplane::PeerTable>();
    table->self_mac = kSelf;
    table->self_address = kSelfIp;
    table->network = kNetwork;
    table->relays = {{kServerRelay, kRelay, 0, kOwnTag}};
    auto serves = std::make_shared<dataplane::RelayTable>();
    for (const auto& [id, tag, endpoint] : {std::tuple(8U, kTagA, kMemberA), std::tuple(9U, kTagB, kMemberB)}) {
      serves->put({{id}, tag, endpoint, 0, std::make_shared<Counters>()});
    }
    table->serves = std::move(serves);
    auto activity = std::make_shared<dataplane::PeerActivity>();
    dataplane::Peer& peer = table->peers.emplace_back();
    peer.id = {7};
    peer.mac = kPeer;
    peer.address = kPeerIp;
    peer.session = session_of(aead, false);
    peer.to = kDirect;
    peer.activity = std::move(activity);
    table->by_mac[kPeer] = 0;
    table->by_index[kIndex] = {table->peers[0].session, 0};
    published_.publish(std::move(table));
  }

  // The rest of the input; all of it was there at once.
  void live(Reader in) {
    fuzz::Packets packets(in);
    for (Bytes plain; sent_.size() < kMaxDatagrams && packets.in().remaining() > 0;) {
      const std::uint8_t step = packets.in().u8();
      const bool alone = (step & 8) != 0;
      switch (step & 7) {
        case 0:
        case 1:
        case 2:
          if (!packets.next(plain)) return;
          if (!plain.empty()) genuine(plain, (step & 7) == 2, alone);
          break;
        case 3:
          again(packets.in().u8(), alone);
          break;
        case 4: {
          const std::uint8_t which = packets.in().u8();
          const std::uint16_t place = packets.in().u16();
          altered(which, place, packets.in().u8(), alone);
          break;
        }
        case 5:
        case 6: {
          const std::size_t size = packets.in().u16();
          forged(packets.in().bytes(std::min(size, packets.in().remaining())), step, alone);
          break;
        }
        default:
          pump();
      }
    }
  }

  void finish() {
    while (pump() > 0) {
    }
    EPS_CHECK(tap_.written == expected_);
    const auto drops = nonzero_drops(counters_);
    EPS_CHECK(counters_.packets_received.load() == delivered_ + counters_.packets_forwarded.load());
    EPS_CHECK(!drops.contains("congested"));
  }

 private:
  struct Sent {
    Endpoint from;
    Bytes datagram;
  };

  std::size_t pump() {
    dataplane::Upcalls upcalls;
    return inbound_.pump(published_, view_, kNow, upcalls);
  }

  void genuine(const Bytes& plain, bool relayed, bool alone) {
    const std::size_t envelope = relayed ? wire::kRelayHeaderSize : 0;
    Bytes datagram(envelope + wire::kDataHeaderSize + plain.size() + wire::kTagSize);
    if (relayed) wire::put_relay_header(datagram.data(), {{7}, kOwnTag});
    const session::Seal seal{{}, plain, datagram.data() + envelope};
    EPS_CHECK(sender_->seal({&seal, 1}, kNow));
    expect(plain);
    sent_.push_back({relayed ? kRelay : kDirect, datagram});
    udp_.arrive(sent_.back().from, datagram, alone);
  }

  // What the interface must get from it, if anything.
  void expect(Bytes plain) {
    if (plain[0] == static_cast<std::byte>(wire::Kind::control)) return;
    l2::Inner inner;
    if (l2::decode(plain, kSelf, kPeer, inner) != Drop::none) return;
    l2::Owner sender{kPeer, kPeerIp};
    sender.dhcp = l2::DhcpRight::addresses;  // nobody may serve DHCP
    sender.network = kNetwork;
    if (!l2::for_us(inner, kSelf) || l2::check_source(inner, sender) != Drop::none) return;
    l2::keep_only_addresses(inner);
    Bytes packet = test::canonical(inner);
    expected_[test::flow_of(packet)].push_back(std::move(packet));
    ++delivered_;
  }

  void again(std::size_t which, bool alone) {
    if (sent_.empty()) return;
    const Sent& sent = sent_[which % sent_.size()];
    udp_.arrive(sent.from, sent.datagram, alone);
  }

  void altered(std::size_t which, std::size_t place, std::uint8_t change, bool alone) {
    if (sent_.empty() || change == 0) return;
    Sent sent = sent_[which % sent_.size()];
    sent.datagram[place % sent.datagram.size()] ^= std::byte{change};
    udp_.arrive(sent.from, sent.datagram, alone);
  }

  void forged(ByteView bytes, std::uint8_t step, bool alone) {
    if ((step & 7) == 5) return udp_.arrive((step & 16) != 0 ? kRelay : kDirect, bytes, alone);
    Bytes datagram(wire::kRelayHeaderSize);
    const bool served = (step & 32) != 0;
    wire::put_relay_header(datagram.data(), {{served ? 9U : 7U}, served ? kTagA : kOwnTag});
    datagram.insert(datagram.end(), bytes.begin(), bytes.end());
    udp_.arrive(served ? kMemberA : kRelay, datagram, alone);
  }

  Udp udp_;
  Tap tap_;
  Counters counters_;
  std::shared_ptr<session::Session> sender_;
  dataplane::PublishedPeers published_;
  dataplane::PublishedPeers::View view_;
  dataplane::Inbound inbound_{tap_, udp_, counters_, tap_.offloads()};
  std::deque<Sent> sent_;
  ByFlow expected_;
  std::uint64_t delivered_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<crypto::AeadKind> kinds = crypto::preferred_kinds();
  Reader in(std::as_bytes(std::span(data, size)));
  const std::uint8_t choice = in.u8();
  Node node(kinds[choice / 8 % kinds.size()], {(choice & 1) == 0, (choice & 2) == 0, (choice & 4) == 0});
  node.live(in);
  node.finish();
  return 0;
}
