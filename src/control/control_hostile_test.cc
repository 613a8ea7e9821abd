// SPDX-License-Identifier: MIT

// What cannot or must not work: each refusal reaches the client as one clear sentence, strangers get no answer and cost
// little, and any modification in transit ends the connection.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/control_fixture.h"

namespace eps::control {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class ControlHostile : public ControlTest {
 protected:
  // A stranger's connection, from an address of its own unless one is given.
  ConnId stranger(std::optional<Endpoint> from = {}) {
    const ConnId id = next_id_++;
    take(server_->on_open(
        id, from.value_or(Endpoint{IpAddress::from_v4({0x0b000000U + static_cast<std::uint32_t>(id)}), 7}), now_));
    return id;
  }
  void send(ConnId id, ByteView bytes) { take(server_->on_bytes(id, bytes, now_)); }

  // The first frame of a client that knows the server's key.
  struct Prover {
    crypto::KeyPair keys;
    noise::Initiator handshake;
    Bytes frame;
  };
  Prover prover(std::uint8_t version, std::uint8_t purpose) {
    crypto::KeyPair keys = crypto::generate_key_pair(rng_);
    noise::Initiator handshake(keys, registry_->identity().keys.public_key, as_view(kPrologue), rng_);
    Bytes message;
    const std::array payload = {std::byte{version}, std::byte{purpose}};
    EXPECT_TRUE(handshake.write_initiation(payload, message));
    Bytes frame;
    Channel::put_frame(message, frame);
    return {std::move(keys), std::move(handshake), std::move(frame)};
  }
  // The channel on the prover's side, after the server's response.
  Channel finish(Prover& p, ConnId id, Purpose purpose) {
    Channel channel;
    ByteView in = sent_[id];
    const auto frame = channel.next_frame(in);
    EXPECT_TRUE(frame);
    const crypto::Key psk =
        purpose == Purpose::first_join ? enrolment_psk(network_key().enrolment.view()) : crypto::Key();
    auto done = p.handshake.read_response(*frame, psk);
    EXPECT_TRUE(done);
    if (done) channel.begin_transport(done->keys, true);
    sent_[id].erase(sent_[id].begin(), sent_[id].end() - static_cast<std::ptrdiff_t>(in.size()));
    return channel;
  }
  std::vector<wire::ControlMessage> read_all(Channel& channel, ConnId id) {
    std::vector<wire::ControlMessage> out;
    ByteView in = sent_[id];
    while (const auto frame = channel.next_frame(in)) {
      const auto plain = channel.open(*frame);
      EXPECT_TRUE(plain);
      if (plain) out.push_back(*wire::decode(*plain));
    }
    sent_[id].clear();
    return out;
  }
  std::string last_event() const { return events_.empty() ? "" : events_.back().sentence; }
};

TEST_F(ControlHostile, AKeyOfAnotherServer) {
  TestClient& a = add("a");
  a.network_key.server = crypto::generate_key_pair(rng_).public_key;
  connect(a);
  ASSERT_TRUE(a.refused);
  EXPECT_THAT(a.refused->sentence, HasSubstr("hung up without proving"));
  EXPECT_TRUE(a.refused->retry) << "nobody has proved that it is the server";
  EXPECT_TRUE(sent_[a.id].empty()) << "a stranger gets no answer";
  EXPECT_THAT(last_event(), AllOf(HasSubstr("10.0.0.1:40000"), HasSubstr("does not hold this network's key")));
  EXPECT_TRUE(registry_->members().empty());
}

TEST_F(ControlHostile, AWrongEnrolmentSecret) {
  TestClient& a = add("a");
  rng_.fill(a.network_key.enrolment.writable());
  const int commits = store_.commits;
  connect(a);
  ASSERT_TRUE(a.refused);
  EXPECT_TRUE(a.refused->retry) << "this answer may not be the server's";
  EXPECT_TRUE(a.refused->wrong_answer);
  EXPECT_EQ(store_.commits, commits);
  EXPECT_TRUE(registry_->members().empty());
}

TEST_F(ControlHostile, AnUnusableServerKey) {
  TestClient& a = add("a");
  a.network_key.server = {};
  a.connection.emplace(ClientParams{a.keys.clone(), a.network_key.clone(), a.name, a.version, false}, a.held, rng_);
  take(a, a.connection->start(now_));
  ASSERT_TRUE(a.refused);
  EXPECT_FALSE(a.refused->retry);
  EXPECT_THAT(a.refused->sentence, HasSubstr("eps key"));
}

TEST_F(ControlHostile, AFullPool) {
  config_.network = *parse_ip4_network("10.9.9.0/30");
  start_server();
  join("a");
  TestClient& b = join("b");
  TestClient& c = add("c");
  connect(c);
  ASSERT_TRUE(c.refused);
  EXPECT_TRUE(c.refused->retry) << "somebody may be removed";
  EXPECT_THAT(c.refused->sentence, AllOf(HasSubstr("10.9.9.0/30 is full"), HasSubstr("eps members remove NAME")));
  EXPECT_FALSE(c.refused->sentence.ends_with('.')) << "it is a reason within a sentence";
  EXPECT_THAT(last_event(), HasSubstr("is full"));
  take(*server_->remove(b.self->name, now_));
  run();
  connect(c);
  EXPECT_TRUE(c.connected());
}

TEST_F(ControlHostile, AStoreThatFails) {
  TestClient& a = add("a");
  store_.fail = true;
  connect(a);
  ASSERT_TRUE(a.refused);
  EXPECT_TRUE(a.refused->retry);
  EXPECT_THAT(a.refused->sentence, HasSubstr("disk is full"));
  store_.fail = false;
  connect(a);
  EXPECT_TRUE(a.connected());
}

TEST_F(ControlHostile, AnotherVersionOfTheProtocolIsReported) {
  for (const Purpose purpose : {Purpose::first_join, Purpose::member}) {
    const ConnId id = stranger();
    Prover p = prover(9, static_cast<std::uint8_t>(purpose));
    send(id, p.frame);
    Channel channel = finish(p, id, purpose);
    const auto messages = read_all(channel, id);
    ASSERT_EQ(messages.size(), 1U);
    EXPECT_THAT(std::get<wire::Refused>(messages[0]).sentence,
                AllOf(HasSubstr("version 9"), HasSubstr("version 1"), HasSubstr("Update")));
    EXPECT_TRUE(was_closed(id));
  }
}

TEST_F(ControlHostile, APurposeThatThisVersionLacksIsClosed) {
  for (const std::uint8_t purpose : {0, 3, 255}) {
    const ConnId id = stranger();
    send(id, prover(kVersion, purpose).frame);
    EXPECT_TRUE(was_closed(id));
    EXPECT_TRUE(sent_[id].empty());
  }
}

// Replaying another client's first message yields an answer that cannot be used; nothing is stored, nobody is admitted.
TEST_F(ControlHostile, AReplayedFirstMessageAdmitsNobody) {
  TestClient& a = add("a");
  open(a);
  const Bytes recorded = a.to_server;
  run();
  ASSERT_TRUE(a.connected());
  const std::uint64_t version = registry_->version();
  const int commits = store_.commits;
  const ConnId id = stranger();
  send(id, recorded);
  Bytes forged;
  Channel::put_frame(Bytes(60), forged);
  send(id, forged);
  EXPECT_TRUE(was_closed(id));
  EXPECT_THAT(last_event(), HasSubstr("did not prove the network key"));
  EXPECT_EQ(registry_->version(), version);
  EXPECT_EQ(store_.commits, commits);
  EXPECT_TRUE(a.connected());
}

TEST_F(ControlHostile, NothingIsDoneWithoutHello) {
  for (const wire::ControlMessage& message :
       std::vector<wire::ControlMessage>{wire::Ping{}, wire::Candidates{}, wire::Resync{}, wire::UnknownMessage{}}) {
    const ConnId id = stranger();
    Prover p = prover(kVersion, 1);
    send(id, p.frame);
    Channel channel = finish(p, id, Purpose::first_join);
    Bytes frame;
    channel.seal(wire::encode(message), frame);
    send(id, frame);
    EXPECT_TRUE(was_closed(id));
    EXPECT_TRUE(read_all(channel, id).empty());
  }
  EXPECT_TRUE(registry_->members().empty());
}

TEST_F(ControlHostile, AfterHelloAMessageThatExceedsALimitEndsTheConnection) {
  const Bytes mandatory = *from_hex("08019206020801");
  const Bytes skipped = *from_hex("9206020801");
  const Bytes too_long = wire::encode(wire::Hello{std::string(64, 'a'), "", 0});
  const Bytes hello = wire::encode(wire::Hello{"a", "1", 0});
  for (const auto& [plain, ends] : {std::pair{mandatory, true}, {skipped, false}, {too_long, true}, {hello, true}}) {
    const ConnId id = stranger();
    Prover p = prover(kVersion, 1);
    send(id, p.frame);
    Channel channel = finish(p, id, Purpose::first_join);
    Bytes frames;
    channel.seal(hello, frames);
    channel.seal(plain, frames);
    send(id, frames);
    advance(kGatherJoins);
    EXPECT_EQ(was_closed(id), ends) << to_hex(plain);
  }
}

TEST_F(ControlHostile, GarbageGetsNoAnswerAndIsClosed) {
  for (int round = 0; round < 200; ++round) {
    const ConnId id = stranger();
    Bytes garbage(1 + rng_.below(600));
    rng_.fill(garbage);
    if (rng_.below(2) == 0 && garbage.size() > 2)
      store_be16(garbage.data(), static_cast<std::uint16_t>(garbage.size() - 2));
    for (ByteView rest = garbage; !rest.empty();) {
      const std::size_t n = std::min<std::size_t>(rest.size(), 1 + rng_.below(200));
      send(id, rest.first(n));
      rest = rest.subspan(n);
    }
    EXPECT_TRUE(sent_[id].empty());
    now_ += seconds(5);
    take(server_->on_deadline(now_));
    EXPECT_TRUE(was_closed(id));
  }
  EXPECT_TRUE(registry_->members().empty());
  EXPECT_EQ(server_->next_deadline() == kNever || server_->next_deadline() > now_, true);
}

TEST_F(ControlHostile, AtMost512BytesAreAcceptedBeforeAuthentication) {
  const ConnId id = stranger();
  Bytes bytes(kMaxUnauthenticatedBytes);
  store_be16(bytes.data(), 60000);
  send(id, bytes);
  EXPECT_FALSE(was_closed(id));
  send(id, Bytes(1));
  EXPECT_TRUE(was_closed(id));
  EXPECT_THAT(last_event(), HasSubstr("sent too much"));
  // Even if the first message was valid.
  const ConnId second = stranger();
  send(second, prover(kVersion, 1).frame);
  Bytes long_frame(450);
  store_be16(long_frame.data(), 60000);
  send(second, long_frame);
  EXPECT_TRUE(was_closed(second));
}

TEST_F(ControlHostile, TlsIsNamedWhereItIsNotTaken) {
  const ConnId id = stranger();
  send(id, Bytes{std::byte{0x16}, std::byte{3}, std::byte{1}});
  EXPECT_TRUE(was_closed(id));
  EXPECT_THAT(last_event(), AllOf(HasSubstr("speaks TLS"), HasSubstr("start eps-server with --tls")));
}

TEST_F(ControlHostile, TheLongestHonestHelloFits) {
  TestClient& a = add(std::string(kMaxNameSize, 'n'));
  a.version = std::string(kMaxVersionSize, 'v');
  ASSERT_TRUE(a.held.apply({.from = 0, .to = ~std::uint64_t{0}, .full = true, .upserts = {}, .removed = {}}));
  connect(a);
  EXPECT_TRUE(a.connected() && a.self);
}

TEST_F(ControlHostile, AtMostFiveSecondsPassBeforeAuthenticationHoweverBusy) {
  const ConnId id = stranger();
  const Bytes frame = prover(kVersion, 1).frame;
  for (std::size_t i = 0; i < 50; ++i) {
    send(id, ByteView(frame).subspan(i, 1));
    now_ += milliseconds(99);
    take(server_->on_deadline(now_));
  }
  EXPECT_FALSE(was_closed(id));
  EXPECT_EQ(server_->next_deadline(), now_ + milliseconds(50));
  now_ += milliseconds(50);
  take(server_->on_deadline(now_));
  EXPECT_TRUE(was_closed(id));
  EXPECT_THAT(last_event(), HasSubstr("within 5 seconds"));
}

TEST_F(ControlHostile, StrangersOfOneSourceAreDisplacedByLaterOnes) {
  const auto of_subnet = [](int n) { return *parse_endpoint("[2001:db8:1:1::" + std::to_string(n) + "]:9"); };
  std::vector<ConnId> v4, v6;
  for (std::size_t i = 0; i < kMaxStrangersPerSource; ++i) {
    v4.push_back(stranger(parse_endpoint("198.51.100.1:" + std::to_string(i + 1))));
    v6.push_back(stranger(of_subnet(static_cast<int>(i + 1))));
  }
  EXPECT_FALSE(was_closed(stranger(parse_endpoint("198.51.100.1:999"))));
  EXPECT_FALSE(was_closed(v4[0])) << "it has not had time to say anything";
  now_ += kProveWithin;
  EXPECT_FALSE(was_closed(stranger(parse_endpoint("198.51.100.2:1"))));
  EXPECT_FALSE(was_closed(stranger(parse_endpoint("[2001:db8:1:2::1]:1"))));
  EXPECT_FALSE(was_closed(v4[0])) << "other sources do not matter";
  EXPECT_FALSE(was_closed(stranger(parse_endpoint("198.51.100.1:1000"))));
  EXPECT_TRUE(was_closed(v4[0]));
  EXPECT_FALSE(was_closed(v4[1]));
  EXPECT_THAT(last_event(), HasSubstr("33 from there have not shown the network key"));
  EXPECT_FALSE(was_closed(stranger(of_subnet(9999))));
  EXPECT_TRUE(was_closed(v6[0])) << "a /64 is one source";
  // Beyond the second limit, the oldest is displaced at once.
  for (std::size_t i = 0; i < 2 * kMaxStrangersAtOnce; ++i) {
    EXPECT_FALSE(was_closed(stranger(parse_endpoint("198.51.100.3:" + std::to_string(i + 1)))));
  }
  // Clients that know the server's key do not block others behind the same address.
  for (std::size_t i = 0; i < 3 * kMaxStrangersPerSource; ++i) {
    const ConnId id = stranger(parse_endpoint("198.51.100.7:" + std::to_string(i + 1)));
    EXPECT_FALSE(was_closed(id)) << i;
    send(id, prover(kVersion, 1).frame);
  }
}

TEST_F(ControlHostile, AFloodFromEverywhereDisplacesTheOldestStrangers) {
  TestClient& member = join("member");
  TestClient& slow = add("slow");
  open(slow);
  take(server_->on_bytes(slow.id, slow.to_server, now_));  // its key is proved as far as the first message can
  slow.to_server.clear();
  now_ += milliseconds(1);
  const ConnId first = stranger();
  for (std::size_t i = 0; i < 2 * kMaxUnauthenticated; ++i) {
    now_ += milliseconds(1);
    EXPECT_FALSE(was_closed(stranger()));
  }
  EXPECT_TRUE(was_closed(first));
  EXPECT_FALSE(was_closed(slow.id));
  run();
  EXPECT_TRUE(slow.connected() && slow.self);
  EXPECT_TRUE(member.connected());
  EXPECT_LE(count(ServerEvent::Kind::rejected), kMaxRejectionsTold) << "nor do they flood the log";
}

TEST_F(ControlHostile, ManyThatKnowTheServersKeyDoNotDisplaceMembers) {
  TestClient& member = join("member");
  const Prover p = prover(kVersion, 1);
  ConnId first = 0;
  for (std::size_t i = 0; i <= kMaxUnauthenticated; ++i) {
    const ConnId id = stranger();
    if (i == 0) first = id;
    send(id, p.frame);
  }
  EXPECT_TRUE(was_closed(first));
  EXPECT_FALSE(was_closed(member.id));
}

TEST_F(ControlHostile, RejectionsAreLoggedInFullUpToALimitAndThenCounted) {
  for (std::size_t i = 0; i < kMaxRejectionsTold + 7; ++i) {
    Bytes garbage;
    Channel::put_frame(Bytes(10), garbage);
    send(stranger(), garbage);
  }
  EXPECT_EQ(count(ServerEvent::Kind::rejected), kMaxRejectionsTold);
  advance(kRejectionPeriod);
  EXPECT_EQ(count(ServerEvent::Kind::rejected), kMaxRejectionsTold + 1);
  EXPECT_THAT(last_event(), StartsWith("7 more connections"));
  EXPECT_EQ(server_->next_deadline(), kNever);
}

// Each byte of a complete first connection, in both directions, is changed once: whatever happens, nobody is admitted
// under a wrong key, and a changed sealed byte ends the connection.
TEST_F(ControlHostile, AnyChangedByteEndsTheConnection) {
  const crypto::KeyPair keys = crypto::generate_key_pair(rng_);
  for (const bool to_server : {true, false}) {
    for (std::size_t at = 0;; ++at) {
      TestClient& c = add("c");
      c.keys = keys.clone();
      open(c);
      std::size_t passed = 0;
      bool changed = false;
      for (int flights = 0; flights < 4 && c.connected(); ++flights) {
        for (const bool direction : {true, false}) {
          Bytes bytes = std::exchange(direction ? c.to_server : c.to_client, {});
          if (direction == to_server && at >= passed && at < passed + bytes.size()) {
            bytes[at - passed] ^= static_cast<std::byte>(1U << rng_.below(8));
            changed = true;
          }
          if (direction == to_server) passed += bytes.size();
          if (direction) {
            take(server_->on_bytes(c.id, bytes, now_));
          } else if (c.connected()) {
            take(c, c.connection->on_bytes(bytes, now_));
          }
        }
      }
      if (!changed) {
        EXPECT_TRUE(c.self) << at << (c.refused ? c.refused->sentence : " no answer");
        EXPECT_GT(at, to_server ? 120U : 400U);
        break;
      }
      // After a changed length an end may wait for more: the deadlines end that, even while bytes keep coming.
      advance(seconds(41));
      EXPECT_FALSE(c.connected()) << at;
      clients_.pop_back();
    }
  }
}

TEST_F(ControlHostile, AConnectionMayBeCutAtAnyByte) {
  TestClient& a = join("a");
  hang_up(a);
  for (std::size_t cut = 0; cut < 330; cut += 3) {
    open(a);
    std::size_t left = cut;
    for (int flights = 0; flights < 4 && a.connected(); ++flights) {
      Bytes forth = std::exchange(a.to_server, {});
      take(server_->on_bytes(a.id, forth, now_));
      Bytes back = std::exchange(a.to_client, {});
      back.resize(std::min(back.size(), left));
      left -= back.size();
      take(a, a.connection->on_bytes(back, now_));
    }
    if (a.connected()) take(a, a.connection->on_closed(""));
    EXPECT_FALSE(a.connected());
    ASSERT_TRUE(a.refused);
    EXPECT_EQ(a.refused->sentence.find("without proving") != std::string::npos, cut < 2U + 49U) << cut;
    advance(milliseconds(100));
  }
  connect(a);
  EXPECT_TRUE(a.connected());
  EXPECT_EQ(registry_->members().size(), 1U);
  advance(milliseconds(50));
  expect_all_agree();
}

// An enrolled client does not blame its key for a modification in transit.
TEST_F(ControlHostile, AForgedAnswerToAnEnrolledClient) {
  TestClient& a = join("a");
  open(a);
  Bytes forged;
  Channel::put_frame(Bytes(49), forged);
  take(a, a.connection->on_bytes(forged, now_));
  ASSERT_TRUE(a.refused);
  EXPECT_TRUE(a.refused->retry);
  EXPECT_FALSE(a.refused->forget_enrolment);
}

TEST_F(ControlHostile, AClientThatGetsNoAnswerGivesUp) {
  TestClient& a = add("a");
  open(a);
  EXPECT_EQ(a.connection->next_deadline(), now_ + kAdmitWithin);
  now_ += kAdmitWithin;
  take(a, a.connection->on_deadline(now_));
  ASSERT_TRUE(a.refused);
  EXPECT_TRUE(a.refused->retry);
}

TEST_F(ControlHostile, NewKeysThatTheServerDoesNotMake) {
  Prover p = prover(kVersion, static_cast<std::uint8_t>(Purpose::first_join));
  Channel channel;
  ConnId id = 0;
  const auto say = [&](const wire::ControlMessage& message) {
    Bytes out;
    channel.seal(wire::encode(message), out);
    send(id, out);
  };
  const auto join_again = [&] {
    const auto purpose = registry_->members().empty() ? Purpose::first_join : Purpose::member;
    crypto::KeyPair keys = p.keys.clone();
    p.handshake = noise::Initiator(keys, registry_->identity().keys.public_key, as_view(kPrologue), rng_);
    Bytes message, frame;
    EXPECT_TRUE(
        p.handshake.write_initiation(std::array{std::byte{kVersion}, static_cast<std::byte>(purpose)}, message));
    Channel::put_frame(message, frame);
    id = stranger();
    send(id, frame);
    channel = finish(p, id, purpose);
    say(wire::Hello{"x", "1"});
    advance(seconds(2));
    read_all(channel, id);
  };
  const auto question = [&](const crypto::KeyPair& keys) {
    return wire::Rekey{channel.begin_rekey(keys, registry_->identity().keys.public_key, rng_)};
  };
  const auto rejection = [&] {
    const auto last = std::find_if(events_.rbegin(), events_.rend(),
                                   [](const ServerEvent& e) { return e.kind == ServerEvent::Kind::rejected; });
    return last == events_.rend() ? "" : last->sentence;
  };
  join_again();
  say(wire::Rekey{});
  EXPECT_THAT(rejection(), HasSubstr("not agreed on"));
  EXPECT_TRUE(was_closed(id));

  join_again();
  say(question(crypto::generate_key_pair(rng_)));
  EXPECT_THAT(rejection(), HasSubstr("not its own"));
  EXPECT_TRUE(was_closed(id));

  join_again();
  say(question(p.keys));
  const auto answers = read_all(channel, id);
  ASSERT_EQ(answers.size(), 1U);
  ASSERT_TRUE(channel.finish_rekey(std::get<wire::Rekey>(answers[0]).handshake));
  say(wire::Rekey{});
  channel.seal_anew();
  channel.open_anew();
  say(wire::Ping{});
  EXPECT_EQ(read_all(channel, id).size(), 1U);
  advance(kRekeyPause / 2 - milliseconds(1));
  EXPECT_FALSE(was_closed(id));
  say(question(p.keys));
  EXPECT_THAT(rejection(), HasSubstr("too often"));
  EXPECT_TRUE(was_closed(id));
}

TEST_F(ControlTest, AClientAcceptsPublicAddressesOnlyIfItsUserDoes) {
  config_.network = *parse_ip4_network("8.0.0.0/8");
  start_server();
  TestClient& a = add("a");
  connect(a);
  EXPECT_FALSE(a.self);
  ASSERT_TRUE(a.refused);
  EXPECT_NE(a.refused->sentence.find("\"accept-network = 8.0.0.0/8\""), std::string::npos) << a.refused->sentence;
  EXPECT_TRUE(a.refused->retry) << "an administrator may fix it";
  a.accepted = {*parse_ip_network("8.0.0.0/8")};
  connect(a);
  EXPECT_TRUE(a.self);
}

}  // namespace
}  // namespace eps::control
