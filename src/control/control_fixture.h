// SPDX-License-Identifier: MIT
#pragma once

// A server and clients back to back: bytes wait in queues and are delivered in pieces of random size, and only a test
// moves the clock. The store outlives the server.

#include <gtest/gtest.h>

#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/client_connection.h"
#include "control/server.h"
#include "support/memory_store.h"
#include "support/seeded_rng.h"

namespace eps::control {

// One computer: its key and its state across connections, as in node::ClientNode.
struct TestClient {
  std::string name;
  crypto::KeyPair keys;
  NetworkKey network_key;
  bool enrolled = false;
  std::string version = "0.1.0";
  Endpoint from;
  MemberList held;
  Features features = kOwnFeatures;
  std::uint64_t run = 0;
  std::vector<IpNetwork> accepted = private_networks();
  Duration rekey_after = kRekeyAfter;
  std::uint64_t rekey_after_bytes = kRekeyAfterBytes;

  ConnId id = 0;
  std::optional<ClientConnection> connection;
  Bytes to_server;
  Bytes to_client;
  bool server_closed = false;

  // What the last connection reported.
  std::optional<Member> self;
  std::optional<NetworkInfo> network;
  Bytes bind_key;
  std::uint32_t relay_tag = 0;
  std::optional<Refused> refused;
  int lists = 0;
  std::vector<Bytes> relayed;
  TrafficReport report;  // its answer when asked

  bool connected() const { return connection.has_value(); }
  const MemberList& members() const { return connection ? connection->members() : held; }
};

class ControlTest : public testing::Test {
 protected:
  ControlTest() {
    config_.network = *parse_ip4_network("192.168.43.0/24");
    start_server();
  }

  // Also a restart: stops the server and starts it again. Its clients notice.
  void start_server() {
    for (TestClient& c : clients_) hang_up(c);
    server_.reset();
    registry_.reset();
    auto opened = registry::Registry::open(store_, config_, rng_);
    ASSERT_TRUE(opened) << opened.error().what;
    registry_ = std::move(*opened);
    server_.emplace(*registry_, server_config_, rng_);
  }

  NetworkKey network_key() const { return network_key_of(*registry_); }

  TestClient& add(std::string name) {
    TestClient& c = clients_.emplace_back();
    c.name = std::move(name);
    c.keys = crypto::generate_key_pair(rng_);
    c.network_key = network_key();
    c.from = {IpAddress::from_v4({0x0a000000U + static_cast<std::uint32_t>(clients_.size())}), 40000};
    return c;
  }

  // Connects and delivers until nothing is in transit.
  void connect(TestClient& c) {
    open(c);
    run();
    // The server batches the writes of joins that come close together.
    if (c.connection && !c.self && !c.server_closed) advance(kGatherJoins);
  }
  TestClient& join(std::string name) {
    TestClient& c = add(std::move(name));
    connect(c);
    EXPECT_TRUE(c.connected() && c.self) << (c.refused ? c.refused->sentence : "no answer");
    return c;
  }

  // Connects; nothing is delivered yet.
  void open(TestClient& c) {
    hang_up(c);
    c.id = next_id_++;
    c.to_server.clear();
    c.to_client.clear();
    c.server_closed = false;
    c.self.reset();
    c.refused.reset();
    ClientParams params{c.keys.clone(), c.network_key.clone(), c.name, c.version, c.enrolled};
    params.features = c.features;
    params.run = c.run;
    params.accepted = c.accepted;
    params.rekey_after = c.rekey_after;
    params.rekey_after_bytes = c.rekey_after_bytes;
    c.connection.emplace(std::move(params), c.held, rng_);
    take(server_->on_open(c.id, c.from, now_));
    take(c, c.connection->start(now_));
  }

  // The client disappears without a word.
  void hang_up(TestClient& c) {
    if (!c.connection) return;
    c.held = c.connection->members();
    c.connection.reset();
    if (server_) take(server_->on_closed(c.id, now_));
  }

  void announce(TestClient& c, std::vector<Candidate> candidates) {
    take(c, c.connection->announce(std::move(candidates), now_));
    run();
  }

  void run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (TestClient& c : clients_) moved = deliver(c) || moved;
    }
  }

  // Moves the clock from deadline to deadline; everything in transit arrives in between.
  void advance(Duration by) {
    const Instant until = now_ + by;
    run();
    for (;;) {
      Instant next = server_->next_deadline();
      for (TestClient& c : clients_) {
        if (c.connection) next = std::min(next, c.connection->next_deadline());
      }
      if (next > until) break;
      now_ = std::max(now_, next);
      take(server_->on_deadline(now_));
      for (TestClient& c : clients_) {
        if (c.connection && now_ >= c.connection->next_deadline()) take(c, c.connection->on_deadline(now_));
      }
      run();
    }
    now_ = until;
  }

  void take(Server::Outputs out) {
    for (auto& [id, bytes] : out.to_send) {
      ++messages_sent_;
      if (TestClient* c = find(id)) c->to_client.insert(c->to_client.end(), bytes.begin(), bytes.end());
      sent_[id].insert(sent_[id].end(), bytes.begin(), bytes.end());
    }
    for (const ConnId id : out.to_close) {
      closed_.push_back(id);
      if (TestClient* c = find(id)) c->server_closed = true;
    }
    for (const ServerEvent& event : out.events) events_.push_back(event);
    for (auto& report : out.reports) reports_.push_back(std::move(report));
    relay_here_.insert(relay_here_.end(), out.relay_here.begin(), out.relay_here.end());
    relayed_.insert(relayed_.end(), out.relayed.begin(), out.relayed.end());
  }

  void take(TestClient& c, ClientConnection::Outputs out) {
    c.to_server.insert(c.to_server.end(), out.to_send.begin(), out.to_send.end());
    for (ClientEvent& event : out.events) {
      if (auto* welcome = std::get_if<Welcomed>(&event)) {
        c.self = welcome->self;
        c.network = welcome->network;
        c.bind_key.assign(welcome->bind_key.view().begin(), welcome->bind_key.view().end());
        c.relay_tag = welcome->relay_tag;
        c.enrolled = true;
      } else if (const auto* relayed = std::get_if<Relayed>(&event)) {
        c.relayed.insert(c.relayed.end(), relayed->datagrams.begin(), relayed->datagrams.end());
      } else if (std::holds_alternative<ReportRequested>(event)) {
        take(c, c.connection->report(c.report, now_));
      } else if (auto* refused = std::get_if<Refused>(&event)) {
        c.refused = *refused;
        if (refused->forget_enrolment) c.enrolled = false;
      } else if (std::holds_alternative<Proved>(event)) {
        take(c, c.connection->say_hello(c.held, now_));
      } else if (std::holds_alternative<ListChanged>(event)) {
        ++c.lists;
      }
    }
    if (!out.close) return;
    hang_up(c);
  }

  // Every connected client holds the same list as the registry.
  void expect_all_agree() const {
    for (const TestClient& c : clients_) {
      if (!c.connection) continue;
      EXPECT_EQ(c.members().version(),
                c.features.has(Feature::records) ? registry_->records_version() : registry_->version())
          << c.name;
      EXPECT_EQ(c.members().members(), registry_->members()) << c.name;
    }
  }

  bool was_closed(ConnId id) const { return std::find(closed_.begin(), closed_.end(), id) != closed_.end(); }
  std::size_t count(ServerEvent::Kind kind) const {
    return static_cast<std::size_t>(
        std::count_if(events_.begin(), events_.end(), [&](const ServerEvent& e) { return e.kind == kind; }));
  }

  test::MemoryStore store_;
  test::SeededRng rng_{11};
  registry::RegistryConfig config_;
  ServerConfig server_config_{"0.1.0", kDefaultPort};
  std::unique_ptr<registry::Registry> registry_;
  std::optional<Server> server_;
  std::vector<std::pair<MemberId, TrafficReport>> reports_;
  std::vector<std::pair<MemberId, bool>> relay_here_;
  std::vector<std::pair<MemberId, std::vector<Bytes>>> relayed_;
  std::list<TestClient> clients_;
  Instant now_{std::chrono::hours(1)};
  ConnId next_id_ = 1;
  std::map<ConnId, Bytes> sent_;
  std::vector<ConnId> closed_;
  std::vector<ServerEvent> events_;
  std::size_t messages_sent_ = 0;

 private:
  TestClient* find(ConnId id) {
    for (TestClient& c : clients_) {
      if (c.connection && c.id == id) return &c;
    }
    return nullptr;
  }

  Bytes take_piece(Bytes& queue) {
    const std::size_t n = std::min<std::size_t>(queue.size(), 1 + rng_.below(rng_.below(4) == 0 ? 7 : 3000));
    const auto end = queue.begin() + static_cast<std::ptrdiff_t>(n);
    Bytes piece(queue.begin(), end);
    queue.erase(queue.begin(), end);
    return piece;
  }

  bool deliver(TestClient& c) {
    if (!c.connection) return false;
    bool moved = false;
    if (!c.to_server.empty() && !c.server_closed) {
      const Bytes piece = take_piece(c.to_server);
      take(server_->on_bytes(c.id, piece, now_));
      moved = true;
    }
    if (c.connection && !c.to_client.empty()) {
      const Bytes piece = take_piece(c.to_client);
      take(c, c.connection->on_bytes(piece, now_));
      moved = true;
    } else if (c.connection && c.server_closed) {
      take(c, c.connection->on_closed(""));
      moved = true;
    }
    return moved;
  }
};

}  // namespace eps::control
