// SPDX-License-Identifier: MIT

// How a client treats a server that misbehaves although it holds the right key: its list changes only by complete,
// signed data.

#include "control/client_connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "registry/list_digest.h"
#include "support/seeded_rng.h"

namespace eps::control {
namespace {

using testing::HasSubstr;

Member member(std::uint32_t id) {
  Member m;
  m.id = {id};
  store_be32(m.key.bytes.data(), id);
  m.name = "h" + std::to_string(id);
  m.mac.bytes[0] = std::byte{2};
  store_be32(m.mac.bytes.data() + 2, id);
  m.address = {0x0a000000U + id};
  return m;
}

// The server's side of one connection, which says whatever a test wants.
class ClientConnectionTest : public testing::Test {
 protected:
  ClientConnectionTest() {
    rng_.fill(seed_.writable());
    connect({});
  }

  // A new connection with the state that an earlier one left.
  void connect(const MemberList& held, std::optional<PublicKey> signing_key = std::nullopt) {
    channel_ = {};
    ClientParams params{crypto::generate_key_pair(rng_), {server_.public_key, {}}, "a", "1", true, false, signing_key};
    params.unix_time = [this] { return clock_; };
    client_.emplace(std::move(params), held, rng_);
    Channel framing;
    const auto started = client_->start(now_);
    ByteView in = started.to_send;
    const auto initiation = framing.next_frame(in);
    noise::Responder responder(server_, as_view(kPrologue), rng_);
    EXPECT_TRUE(responder.read_initiation(*initiation));
    Bytes message;
    const auto keys = responder.write_response({}, crypto::Key(), message);
    Bytes frame;
    Channel::put_frame(message, frame);
    channel_.begin_transport(*keys, false);
    const auto answered = client_->on_bytes(frame, now_);
    EXPECT_TRUE(std::holds_alternative<Proved>(answered.events.at(0)));
    EXPECT_TRUE(answered.to_send.empty()) << "it requests nothing yet";
    EXPECT_TRUE(std::holds_alternative<wire::Hello>(answers(client_->say_hello(held, now_)).at(0)));
  }

  ClientConnection::Outputs say(const wire::ControlMessage& message) {
    Bytes frame;
    channel_.seal(wire::encode(message), frame);
    return client_->on_bytes(frame, now_);
  }
  std::vector<wire::ControlMessage> answers(const ClientConnection::Outputs& out) {
    std::vector<wire::ControlMessage> messages;
    ByteView in = out.to_send;
    while (const auto frame = channel_.next_frame(in)) messages.push_back(*wire::decode(*channel_.open(*frame)));
    return messages;
  }

  wire::Welcome welcome() {
    wire::Welcome w;
    w.network = {{}, *parse_ip4_network("10.0.0.0/24"), kDefaultMtu};
    w.self = member(1);
    w.data_port = 7;
    w.signing_key = crypto::signing_public_key(seed_);
    return w;
  }
  // A complete, valid list.
  wire::MemberDelta list(std::uint64_t version, std::vector<Member> members) {
    wire::MemberDelta out{{.from = 0, .to = version, .full = true, .upserts = std::move(members), .removed = {}}};
    MemberList applied;
    EXPECT_TRUE(applied.apply(out.delta));
    out.digest = registry::list_digest(applied.members());
    sign(out, seed_);
    return out;
  }
  void sign(wire::MemberDelta& delta, const crypto::Key& seed) {
    delta.signature =
        crypto::sign(seed, registry::signed_list_message(welcome().network.id, delta.delta.to, delta.digest));
  }
  static std::string refusal(const ClientConnection::Outputs& out) {
    const auto* refused = out.events.empty() ? nullptr : std::get_if<Refused>(&out.events.back());
    EXPECT_EQ(out.close, refused != nullptr);
    return refused != nullptr ? refused->sentence : "";
  }

  test::SeededRng rng_{5};
  Instant now_{std::chrono::hours(1)};
  crypto::KeyPair server_ = crypto::generate_key_pair(rng_);
  crypto::Key seed_;
  Channel channel_;
  std::int64_t clock_ = 0;
  std::optional<ClientConnection> client_;
};

TEST_F(ClientConnectionTest, AcceptsAValidListAndContinuesFromIt) {
  EXPECT_EQ(say(welcome()).events.size(), 1U);
  EXPECT_EQ(say(list(5, {member(1), member(2)})).events.size(), 1U);
  wire::MemberDelta next = list(6, {member(1), member(3)});
  next.delta = {.from = 5, .to = 6, .full = false, .upserts = {member(3)}, .removed = {{2}}};
  EXPECT_EQ(say(next).events.size(), 1U);
  EXPECT_EQ(client_->members().version(), 6U);
  EXPECT_EQ(client_->members().members().size(), 2U);
}

TEST_F(ClientConnectionTest, TheServerGivesNoKeysUnasked) {
  say(welcome());
  EXPECT_THAT(refusal(say(wire::Rekey{Bytes(48)})), testing::HasSubstr("nobody asked for"));
}

TEST_F(ClientConnectionTest, RejectsAnUnsignedList) {
  say(welcome());
  wire::MemberDelta forged = list(5, {member(1)});
  test::SeededRng other(9);
  crypto::Key seed;
  other.fill(seed.writable());
  sign(forged, seed);
  EXPECT_THAT(refusal(say(forged)), HasSubstr("not signed"));
  EXPECT_TRUE(client_->members().members().empty());
}

TEST_F(ClientConnectionTest, ASignatureForAnotherVersionIsInvalid) {
  say(welcome());
  wire::MemberDelta old = list(5, {member(1)});
  old.delta.to = 6;
  EXPECT_THAT(refusal(say(old)), HasSubstr("not signed"));
}

TEST_F(ClientConnectionTest, RejectsAListBeforeTheWelcome) {
  EXPECT_THAT(refusal(say(list(5, {member(1)}))), HasSubstr("not signed"));
}

TEST_F(ClientConnectionTest, AnUnansweredProbeIsReportedOnceAndTheConnectionContinues) {
  say(welcome());
  EXPECT_TRUE(std::holds_alternative<wire::Ping>(answers(client_->probe(now_)).at(0)));
  EXPECT_TRUE(client_->probe(now_).to_send.empty()) << "one is on its way";
  EXPECT_EQ(client_->next_deadline(), now_ + kLeastAnswerTime);
  now_ = client_->next_deadline();
  const auto silent = client_->on_deadline(now_);
  ASSERT_EQ(silent.events.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<Silent>(silent.events.at(0)));
  EXPECT_FALSE(silent.close);
  const auto heard = say(wire::Pong{});
  ASSERT_EQ(heard.events.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<Heard>(heard.events.at(0)));
  EXPECT_EQ(say(wire::Pong{}).events.size(), 0U);
}

TEST_F(ClientConnectionTest, UnansweredRelayedTrafficTriggersAProbe) {
  say(welcome());
  EXPECT_EQ(answers(client_->relay({Bytes(100)}, now_)).size(), 1U);
  EXPECT_EQ(client_->next_deadline(), now_ + kRelayUnanswered);
  now_ = client_->next_deadline();
  EXPECT_TRUE(std::holds_alternative<wire::Ping>(answers(client_->on_deadline(now_)).at(0)));
  EXPECT_EQ(client_->next_deadline(), now_ + kLeastAnswerTime);
  say(wire::Pong{});
  EXPECT_EQ(client_->next_deadline(), now_ + kPingAfter) << "no traffic, no doubt";
  client_->set_ping_after(kSparsePings);
  EXPECT_EQ(client_->next_deadline(), now_ + kSparsePings);
}

TEST_F(ClientConnectionTest, AChangedSigningKeyIsRefused) {
  connect({}, crypto::signing_public_key(seed_));
  EXPECT_EQ(refusal(say(welcome())), "");
  PublicKey other;
  rng_.fill(other.bytes);
  connect({}, other);
  const auto out = say(welcome());
  EXPECT_THAT(refusal(out), HasSubstr("a different key"));
  EXPECT_TRUE(std::get<Refused>(out.events.at(0)).retry);
}

TEST_F(ClientConnectionTest, AWholeListThatIsOlderThanTheOneHeldIsRefused) {
  MemberList held;
  held.apply(list((5ULL << 32) + 7, {member(1), member(2)}).delta);
  connect(held);
  say(welcome());
  const auto out = say(list((4ULL << 32) + 9, {member(1)}));
  ASSERT_EQ(out.events.size(), 1U);
  EXPECT_THAT(std::get<ListRefused>(out.events[0]).sentence, HasSubstr("4.9 is older than the list 5.7"));
  EXPECT_FALSE(out.close);
  const auto again = say(list((5ULL << 32) + 6, {member(1)}));
  EXPECT_TRUE(again.events.empty() && again.to_send.empty()) << "reported once, and nothing is requested";
  EXPECT_EQ(client_->members().members().size(), 2U);
  say(list(6ULL << 32, {member(1)}));
  EXPECT_EQ(client_->members().members().size(), 1U) << "a newer one is accepted";
}

// As records, which is how a recovered list comes.
class RecoveredList : public ClientConnectionTest {
 protected:
  static constexpr std::int64_t kNow = 1'800'000'000;
  static constexpr std::uint64_t kVersion = std::uint64_t{kNow} << 32;
  static constexpr RecoveryId kNewer{std::byte{7}};

  wire::Records records(std::uint64_t version, std::vector<Member> members, const RecoveryId& recovery) {
    wire::Records out{{.from = 0, .to = version, .full = true, .upserts = std::move(members), .removed = {}}};
    registry::MerkleTree tree;
    for (const Member& m : out.delta.upserts) tree.put(m.id, registry::record_hash(m));
    out.root = tree.root();
    out.signature =
        crypto::sign(seed_, registry::signed_records_message(welcome().network.id, recovery, version, out.root));
    return out;
  }
  wire::Welcome recovered(const crypto::Hash& binding) {
    wire::Welcome w = welcome();
    w.recovery = kNewer;
    w.recovery_proof = crypto::sign(seed_, registry::signed_recovery_message(w.network.id, kNewer, binding));
    return w;
  }
  MemberList held(std::uint64_t version, const RecoveryId& recovery = {}) {
    MemberList out;
    out.begin_anew(recovery);
    out.apply(list(version, {member(1), member(2)}).delta);
    return out;
  }
  static std::string refused(const ClientConnection::Outputs& out) {
    const auto* why = out.events.empty() ? nullptr : std::get_if<ListRefused>(&out.events[0]);
    return why != nullptr ? why->sentence : "";
  }
};

TEST_F(RecoveredList, ReplacesEvenTheGreatestVersion) {
  connect(held(~std::uint64_t{0}));
  say(recovered(channel_.binding()));
  const auto out = say(records(kVersion, {member(1)}, kNewer));
  EXPECT_EQ(client_->members().version(), kVersion);
  EXPECT_EQ(client_->members().recovery(), kNewer);
  EXPECT_EQ(client_->members().members().size(), 1U);
  ASSERT_EQ(out.events.size(), 2U);
  EXPECT_THAT(std::get<ListReplaced>(out.events[0]).sentence, HasSubstr("began the list anew"));
  EXPECT_TRUE(std::get<ListChanged>(out.events[1]).delta.full);

  // From now on the older beginning counts no more, though its version is greater and its signature right.
  EXPECT_THAT(refusal(say(records(~std::uint64_t{0}, {member(3)}, {}))), HasSubstr("not signed"));
}

TEST_F(RecoveredList, NeedsAProofForThisConnection) {
  connect(held(~std::uint64_t{0}));
  const crypto::Hash recorded = channel_.binding();
  connect(held(~std::uint64_t{0}));
  ASSERT_NE(channel_.binding(), recorded);
  say(recovered(recorded));
  EXPECT_THAT(refused(say(records(kVersion, {member(1)}, kNewer))), HasSubstr("does not prove"));
  EXPECT_EQ(client_->members().version(), ~std::uint64_t{0});
  EXPECT_TRUE(say(records(kVersion, {member(1)}, kNewer)).events.empty()) << "told once";

  connect(held(~std::uint64_t{0}));
  wire::Welcome without = recovered(channel_.binding());
  without.recovery_proof.reset();
  say(without);
  EXPECT_NE(refused(say(records(kVersion, {member(1)}, kNewer))), "");
}

TEST_F(RecoveredList, IsNotLeftForAnOlderBeginningWithoutAProof) {
  connect(held(kVersion, kNewer));
  say(welcome());
  EXPECT_THAT(refused(say(records(~std::uint64_t{0}, {member(3)}, {}))), HasSubstr("from before the recovery"));
  EXPECT_EQ(client_->members().recovery(), kNewer);
  connect(held(kVersion, kNewer));
  say(welcome());
  EXPECT_NE(refused(say(list(~std::uint64_t{0}, {member(3)}))), "") << "nor in the form of version 0.1";
  EXPECT_EQ(client_->members().recovery(), kNewer);

  // A server that was restored from a backup of before proves that it is the server.
  connect(held(kVersion, kNewer));
  wire::Welcome restored = welcome();
  restored.recovery_proof =
      crypto::sign(seed_, registry::signed_recovery_message(restored.network.id, {}, channel_.binding()));
  say(restored);
  say(records(kVersion - 1, {member(3)}, {}));
  EXPECT_EQ(client_->members().version(), kVersion - 1);
}

TEST_F(RecoveredList, IsAskedForWhole) {
  connect(held(kVersion + 5));
  say(recovered(channel_.binding()));
  wire::Records part = records(kVersion, {member(1), member(2)}, kNewer);
  part.delta.upserts.clear();
  part.delta.full = false;
  part.delta.from = kVersion + 5;
  const auto asked = answers(say(part));
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<wire::Resync>(asked[0]));
  say(records(kVersion, {member(1), member(2)}, kNewer));
  EXPECT_EQ(client_->members().version(), kVersion);
}

// Without any recovery: a version that no clock can have given yet binds nobody.
TEST_F(RecoveredList, AListFromTheFutureIsLeftForOneOfThePresent) {
  const auto after = [&](std::uint64_t held_epoch, std::uint64_t epoch, std::int64_t clock) {
    clock_ = clock;
    connect(held(held_epoch << 32));
    say(welcome());
    const auto out = say(records(epoch << 32, {member(1)}, {}));
    const bool followed = client_->members().version() == epoch << 32;
    EXPECT_EQ(followed, refused(out).empty());
    return followed;
  };
  EXPECT_TRUE(after(0xffff'ffff, kNow, kNow));
  EXPECT_TRUE(after(kNow + kMaxAhead + 2, kNow, kNow + 1));
  EXPECT_FALSE(after(kNow + kMaxAhead, kNow, kNow)) << "the server's clock may be ahead a little";
  EXPECT_FALSE(after(kNow + 1, kNow, kNow));
  EXPECT_FALSE(after(kNow + 1, kNow, kNow - 365 * 86400)) << "a clock that is behind: both are from the future";
  EXPECT_FALSE(after(kMaxAhead + 2, 1, 0)) << "there is no clock";
  EXPECT_FALSE(after(kMaxAhead + 1002, 1, 1000)) << "a clock that is wrong";
}

TEST_F(ClientConnectionTest, AWholeListThatContradictsItsDigestEndsTheConnection) {
  say(welcome());
  wire::MemberDelta other = list(5, {member(1), member(2)});
  other.delta.upserts.pop_back();
  EXPECT_THAT(refusal(say(other)), HasSubstr("contradicts"));
  EXPECT_TRUE(client_->members().members().empty());
}

TEST_F(ClientConnectionTest, AChangeThatDoesNotFitRequestsTheWholeListOnce) {
  say(welcome());
  say(list(5, {member(1)}));
  wire::MemberDelta change = list(8, {member(1), member(2)});
  change.delta.full = false;
  change.delta.from = 7;  // not the version that we hold
  const auto asked = answers(say(change));
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<wire::Resync>(asked[0]));
  EXPECT_TRUE(answers(say(change)).empty());
  EXPECT_EQ(client_->members().version(), 5U);
  say(list(8, {member(1), member(2)}));
  EXPECT_EQ(client_->members().version(), 8U);
  EXPECT_EQ(answers(say(change)).size(), 1U) << "and again when it happens again";
}

TEST_F(ClientConnectionTest, PartsBecomeVisibleTogetherOrNotAtAll) {
  say(welcome());
  wire::MemberDelta last = list(5, {member(1), member(2)});
  wire::MemberDelta first = last;
  first.last = false;
  first.delta.upserts = {member(1)};
  last.delta.upserts = {member(2)};
  EXPECT_TRUE(say(first).events.empty());
  EXPECT_TRUE(client_->members().members().empty());
  EXPECT_EQ(say(last).events.size(), 1U);
  EXPECT_EQ(client_->members().members().size(), 2U);
}

TEST_F(ClientConnectionTest, PartsOfDifferentChangesAreRefused) {
  say(welcome());
  wire::MemberDelta first = list(5, {member(1)});
  first.last = false;
  say(first);
  EXPECT_THAT(refusal(say(list(6, {member(2)}))), HasSubstr("do not belong together"));
}

TEST_F(ClientConnectionTest, EndlessPartsAreRefused) {
  say(welcome());
  wire::MemberDelta part = list(5, {});
  part.last = false;
  part.delta.removed.assign(wire::kMaxRemovedPerDelta, {1});
  std::string why;
  int parts = 0;
  for (; why.empty() && parts < 100; ++parts) why = refusal(say(part));
  EXPECT_THAT(why, HasSubstr("do not belong together"));
  EXPECT_LT(parts, 10);
}

TEST_F(ClientConnectionTest, APingIsAnsweredAndUnknownMessagesAreSkipped) {
  const auto pong = answers(say(wire::Ping{}));
  ASSERT_EQ(pong.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<wire::Pong>(pong[0]));
  const auto skipped = say(wire::UnknownMessage{});
  EXPECT_TRUE(skipped.to_send.empty() && skipped.events.empty() && !skipped.close);
}

TEST_F(ClientConnectionTest, AfterTheEndNothingHappens) {
  EXPECT_EQ(refusal(say(wire::Refused{wire::RefusalCode::full, "No room."})), "No room");
  EXPECT_TRUE(say(welcome()).events.empty());
  EXPECT_TRUE(client_->on_closed("").events.empty());
  EXPECT_TRUE(client_->on_deadline(now_ + std::chrono::hours(1)).events.empty());
  EXPECT_TRUE(client_->announce({}, now_).to_send.empty());
  EXPECT_EQ(client_->next_deadline(), kNever);
}

}  // namespace
}  // namespace eps::control
