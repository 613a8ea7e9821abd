// SPDX-License-Identifier: MIT

// What an event of one member costs the server's control thread must not grow with the number of members: the pages of
// memory are counted that it touches. What goes to all members goes in rounds, and is not counted.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "support/pages_touched.h"
#include "support/server_node_bed.h"

namespace eps::node {
namespace {

using std::chrono::seconds;

// A member that holds no list: it seals what it says, and opens nothing but what admits it.
struct Light {
  std::uint32_t number = 0;
  std::string name;
  crypto::KeyPair keys;
  control::ConnId id = 0;
  control::Channel channel;
  wire::Welcome welcome;
  std::uint64_t binds = 0;
  MemberId self() const { return welcome.self.id; }
  Endpoint from(std::uint16_t port = 4000) const { return {IpAddress::from_v4({0x0b000000U + number}), port}; }
};

class Network : test::ServerNodeBed {
 public:
  // Enrolled and connected.
  explicit Network(std::uint32_t members) : ServerNodeBed("10.0.0.0/8", {.version = "1"}) {
    std::vector<registry::JoinRequest> all;
    for (std::uint32_t n = 0; n < members; ++n) {
      Light& m = add("m" + std::to_string(n));
      all.push_back({m.keys.public_key, m.name, "1", registry::kNetworkKeyId});
    }
    for (const auto& joined : registry_->join_all(all)) EXPECT_TRUE(std::holds_alternative<Member>(joined));
    for (Light& m : members_) connect(m);
  }
  Light& add(std::string name) {
    Light& m = members_.emplace_back();
    m.number = static_cast<std::uint32_t>(members_.size());
    m.name = std::move(name);
    m.keys = crypto::generate_key_pair(rng_);
    return m;
  }
  Light& next() { return members_[next_++]; }
  registry::Registry& registry() { return *registry_; }
  ServerNode& node() { return *node_; }
  dataplane::StreamPort& port() { return port_; }
  Instant now() const { return now_; }

  // Both steps of a connection, from a client that holds the list. REQUIRES: the key is a member's.
  void connect(Light& m) {
    (void)connect(m, [](const auto& step) { step(); });
  }
  template <class Run>
  void connect(Light& m, Run&& run) {
    m.id = ++last_id_;
    m.channel = {};
    noise::Initiator handshake(m.keys, control::network_key_of(*registry_).server, as_view(control::kPrologue), rng_);
    const std::array payload = {std::byte{control::kVersion}, static_cast<std::byte>(control::Purpose::member)};
    Bytes message, first;
    EXPECT_TRUE(handshake.write_initiation(payload, message));
    control::Channel::put_frame(message, first);
    ServerOutputs out;
    run([&] {
      out = node_->on_open(m.id, m.from(), now_);
      out.merge(node_->on_bytes(m.id, first, now_));
    });
    ByteView answer = out.to_send.at(0).second;
    m.channel.begin_transport(handshake.read_response(*m.channel.next_frame(answer), {})->keys, true);
    wire::Hello hello{m.name, "1", registry_->records_version(), false, kOwnFeatures, registry_->root()};
    const Bytes second = sealed(m, hello);
    run([&] { out = node_->on_bytes(m.id, second, now_); });
    ByteView welcome = out.to_send.at(0).second;
    auto decoded = wire::decode(*m.channel.open(*m.channel.next_frame(welcome)));
    if (auto* admitted = std::get_if<wire::Welcome>(&*decoded)) m.welcome = std::move(*admitted);
  }
  static Bytes sealed(Light& m, const wire::ControlMessage& message) {
    Bytes out;
    m.channel.seal(wire::encode(message), out);
    return out;
  }
  static dataplane::Upcall bind(Light& m, std::uint16_t port) {
    const auto request = wire::make_bind_request({m.self(), ++m.binds, false, false, true});
    Bytes bytes(request.begin(), request.end());
    const auto mac = crypto::mac16(m.welcome.bind_key, {ByteView(bytes).first(bytes.size() - wire::kMacSize)});
    std::copy(mac.begin(), mac.end(), bytes.end() - wire::kMacSize);
    return dataplane::HandshakeDatagram{{m.from(port), 0, {}, {}}, std::move(bytes)};
  }
  // Everybody has just been told everything, so that the next round is some time away.
  void begin_pause() {
    const std::string old = std::exchange(members_[0].name, "first" + std::to_string(++rounds_));
    ASSERT_TRUE(node_->give_name(old, members_[0].name, now_));
    while (node_->next_deadline() < now_ + seconds(10)) {
      now_ = std::max(now_, node_->next_deadline());
      (void)node_->on_deadline(now_);
    }
    if (now_ - pinged_ < seconds(20)) return;
    pinged_ = now_;
    for (Light& m : members_) (void)node_->on_bytes(m.id, sealed(m, wire::Ping{}), now_);
  }

 private:
  Instant pinged_ = now_;
  std::deque<Light> members_;
  std::size_t next_ = 1;
  int rounds_ = 0;
  control::ConnId last_id_ = 0;
};

class Costs {
 public:
  explicit Costs(Network& network) : network_(network) {}
  // The least of some times: a pool of memory that is being refilled, or a hash table that grows, is another matter.
  template <class Prepare>
  void of(const std::string& event, Prepare&& prepare) {
    for (int n = 0; n < 3; ++n) {
      network_.begin_pause();
      std::uint64_t all = 0;
      prepare(network_.next(), [&](const auto& step) { all += test::count_pages(step).value_or(0); });
      least_[event] = n == 0 ? all : std::min(least_[event], all);
    }
  }
  const std::map<std::string, std::uint64_t>& least() const { return least_; }

 private:
  Network& network_;
  std::map<std::string, std::uint64_t> least_;
};

std::map<std::string, std::uint64_t> costs_among(std::uint32_t members) {
  Network network(members);
  Costs costs(network);
  ServerNode& node = network.node();
  const auto says = [&](const std::string& event, const auto& message_of) {
    costs.of(event, [&](Light& m, const auto& count) {
      const Bytes bytes = Network::sealed(m, message_of(m));
      ServerOutputs out;
      count([&] { out = node.on_bytes(m.id, bytes, network.now()); });
      EXPECT_TRUE(out.to_close.empty());
    });
  };
  says("a ping", [](const Light&) { return wire::Ping{}; });
  says("a want", [](const Light&) { return wire::Want{{{7}, {8}}}; });
  says("relayed datagrams", [](const Light&) { return wire::Relay{{Bytes(100), Bytes(100)}}; });
  says("candidates", [](const Light&) {
    return wire::Candidates{{{Candidate::Kind::local, *parse_endpoint("10.9.9.9:1000")}}};
  });
  says("UDP is blocked", [](const Light&) { return wire::RelayHere{true}; });
  costs.of("relayed to a control connection", [&](Light& m, const auto& count) {
    const Bytes datagram(100);
    const std::vector<ports::TxDatagram> datagrams = {{dataplane::stream_endpoint(m.self()), datagram}};
    std::size_t sent = 0;
    count([&] {
      (void)network.port().send(datagrams);
      for (const control::ConnId id : node.streams_waiting(network.now())) {
        sent += node.on_stream_room(id, 10'000, network.now()).to_send.size();
      }
    });
    EXPECT_EQ(sent, 1U);
  });
  costs.of("a bind", [&](Light& m, const auto& count) {
    const std::vector moves = {Network::bind(m, 1000)};
    const std::vector stays = {Network::bind(m, 1000)};
    count([&] { (void)node.on_upcalls(moves, network.now()); });
    count([&] { (void)node.on_upcalls(stays, network.now()); });
    EXPECT_EQ(network.registry().find(m.self())->candidates.size(), 1U);
  });
  costs.of("a new name", [&](Light& m, const auto& count) {
    count([&] { EXPECT_TRUE(node.give_name(m.name, m.name + "-new", network.now())); });
  });
  costs.of("a permission", [&](Light& m, const auto& count) {
    count([&] { EXPECT_TRUE(node.permit(m.name, Permission::bridge, true, network.now())); });
  });
  costs.of("it leaves", [&](Light& m, const auto& count) {
    count([&] { (void)node.on_closed(m.id, network.now()); });
    EXPECT_FALSE(network.registry().find(m.self())->online);
  });
  costs.of("it returns", [&](Light& m, const auto& count) {
    (void)node.on_closed(m.id, network.now());
    network.begin_pause();
    network.connect(m, count);
    EXPECT_TRUE(network.registry().find(m.self())->online);
  });
  costs.of("it is removed",
           [&](Light& m, const auto& count) { count([&] { EXPECT_TRUE(node.remove(m.name, network.now())); }); });
  costs.of("a stranger", [&](Light&, const auto& count) {
    Light& m = network.add("stranger");
    network.connect(m, count);
    EXPECT_EQ(network.registry().find_key(m.keys.public_key), nullptr);
  });
  // In the registry alone: the server sends it everybody's record.
  costs.of("a first join", [&](Light& gone, const auto& count) {
    EXPECT_TRUE(network.registry().remove(gone.name));
    const registry::JoinRequest request{network.add("").keys.public_key, "m", "1", registry::kNetworkKeyId};
    count([&] { EXPECT_TRUE(std::holds_alternative<Member>(network.registry().join(request))); });
  });
  return costs.least();
}

// Both sizes are beyond what fits into a few pages, and beyond the members who are all told everything.
TEST(ServerNodeScale, AnEventOfOneMemberCostsTheSameInALargeNetwork) {
  if (!test::count_pages([] {})) GTEST_SKIP() << "nothing tells here which pages are touched";
  constexpr std::uint32_t kFew = 2500, kMany = 10'000;
  static_assert(kFew > control::kTellAll);
  const auto among_few = costs_among(kFew);
  const auto among_many = costs_among(kMany);
  for (const auto& [event, few] : among_few) {
    const std::uint64_t many = among_many.at(event);
    if (std::getenv("EPS_SHOW_TIMES") != nullptr) {
      std::printf("%-32s %4lu pages among %u, %4lu among %u\n", event.c_str(), few, kFew, many, kMany);
    }
    // Trees are two levels deeper, and which entries share a page depends on the machine. A look at every node of the
    // smallest map of the members touches 120 pages more.
    EXPECT_LT(many, few + few / 2 + 25) << event;
  }
}

}  // namespace
}  // namespace eps::node
