// SPDX-License-Identifier: MIT
#include "node/sessions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "support/node_fakes.h"
#include "support/seeded_rng.h"

namespace eps::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Instant kStart{std::chrono::hours(1)};

// One of two members, with its state about the other.
struct End {
  End(std::uint32_t number, std::uint64_t first_number = 1) : rng(number) {
    params.self = crypto::generate_key_pair(rng);
    params.aeads = {crypto::AeadKind::chacha20poly1305};
    params.first_handshake_number = first_number;
    self = test::member_of(number, params.self.public_key);
    arrival.from = self.candidates[0].endpoint;
    sessions.emplace(params, counters, notes, rng);
    sessions->set_self({}, self.mac);
  }
  void meets(const End& other) {
    peer = other.self;
    record.emplace(peer.key);
  }
  Bytes initiate(int attempt, Instant now) { return *sessions->initiate(*record, peer, attempt, now); }
  Sessions::Answer answer(const End& from, ByteView datagram, Instant now) {
    auto read = sessions->read_initiation(from.arrival, datagram, now);
    if (!read.initiation) return {read.reply};
    EXPECT_EQ(read.initiation->request.initiator, peer.key);
    return sessions->answer(*record, peer, *read.initiation, datagram, now);
  }
  Sessions::SessionPtr finish(ByteView response, Instant now) {
    const auto parsed = wire::parse_response(response);
    return parsed ? sessions->finish(*record, peer, *parsed, now) : nullptr;
  }
  std::uint64_t drops(Drop reason) const { return counters.drops[static_cast<std::size_t>(reason)].load(); }

  test::SeededRng rng;
  PeersParams params;
  Counters counters;
  std::vector<std::string> notes;
  Member self, peer;
  dataplane::Arrival arrival;  // of what it sends
  std::optional<Sessions> sessions;
  std::optional<Sessions::Record> record;
};

class SessionsTest : public testing::Test {
 protected:
  SessionsTest() {
    a.meets(b);
    b.meets(a);
  }
  // A complete handshake that `a` starts.
  void meet() {
    const auto out = b.answer(a, a.initiate(0, now), now);
    auto session = a.finish(out.reply, now);
    ASSERT_TRUE(session);
    a.sessions->install(*a.record, session, now);
    auto confirmed = b.sessions->confirm(*b.record, session->remote_index());
    ASSERT_TRUE(confirmed);
    b.sessions->install(*b.record, confirmed, now);
  }

  Instant now = kStart;
  End a{1}, b{2};
};

TEST_F(SessionsTest, BothEndsHaveOneSessionAfterAHandshake) {
  meet();
  const auto& ours = a.record->current();
  const auto& theirs = b.record->current();
  EXPECT_TRUE(ours->initiator());
  EXPECT_FALSE(theirs->initiator());
  EXPECT_EQ(ours->remote_index(), theirs->local_index());
  EXPECT_FALSE(a.record->pending());
  EXPECT_EQ(a.sessions->owner_of(ours->local_index()), b.self.id);
  Bytes datagram(wire::kDataOverhead + 1);
  const std::byte kind{1};
  const session::Seal seal{{&kind, 1}, {&kind, 1}, datagram.data()};
  ASSERT_TRUE(ours->seal({&seal, 1}, now));
  session::Open open{datagram, {}};
  EXPECT_TRUE(theirs->open({&open, 1}, now));
}

TEST_F(SessionsTest, EveryCopyIsAnsweredAlikeUntilTheSessionIsUsed) {
  const Bytes initiation = a.initiate(0, now);
  const auto first = b.answer(a, initiation, now);
  const auto second = b.answer(a, initiation, now);
  EXPECT_TRUE(first.made);
  EXPECT_FALSE(second.made);
  EXPECT_EQ(first.reply, second.reply);
  const auto session = a.finish(second.reply, now);
  ASSERT_TRUE(session);
  EXPECT_EQ(a.finish(first.reply, now), nullptr);
  EXPECT_EQ(a.drops(Drop::replayed), 1U);
  b.sessions->install(*b.record, b.sessions->confirm(*b.record, session->remote_index()), now);
  EXPECT_EQ(b.sessions->confirm(*b.record, session->remote_index()), nullptr);
  // A late copy is neither answered nor refused.
  EXPECT_TRUE(b.answer(a, initiation, now).reply.empty());
  EXPECT_EQ(b.drops(Drop::replayed), 1U);
}

TEST_F(SessionsTest, AnInitiationIsRepeatedBeforeANewOneIsMade) {
  const Bytes first = a.initiate(0, now);
  EXPECT_FALSE(a.record->due(now + milliseconds(299)));
  EXPECT_TRUE(a.record->due(now + milliseconds(300)));
  for (int attempt = 1; attempt < kFreshInitiation; ++attempt) EXPECT_EQ(a.initiate(attempt, now), first);
  EXPECT_NE(a.initiate(kFreshInitiation, now), first);
  EXPECT_EQ(a.record->next_deadline(), now + seconds(5));
  a.record->hurry(now);
  EXPECT_EQ(a.record->next_deadline(), now);
  a.sessions->give_up(*a.record);
  EXPECT_TRUE(a.record->given_up());
  EXPECT_EQ(a.record->next_deadline(), kNever);
}

TEST_F(SessionsTest, AForgedResponseUsesUpTheInitiationButEndsNothing) {
  auto reply = b.answer(a, a.initiate(0, now), now).reply;
  reply[20] ^= std::byte{1};
  EXPECT_EQ(a.finish(reply, now), nullptr);
  EXPECT_EQ(a.drops(Drop::bad_tag), 1U);
  EXPECT_TRUE(a.record->pending());
  EXPECT_FALSE(a.sessions->repeats(*a.record, 1));
  const auto again = b.answer(a, a.initiate(1, now), now);
  EXPECT_TRUE(again.made);
  EXPECT_TRUE(a.finish(again.reply, now));
}

TEST_F(SessionsTest, APeerThatCountsFromAnOldNumberIsToldAndStartsOver) {
  End later{1, 1000};
  later.meets(b);
  ASSERT_TRUE(b.answer(later, later.initiate(0, now), now).made);
  (void)a.initiate(0, now);  // draws the same random numbers as the first one of its later run
  const auto refused = b.answer(a, a.initiate(0, now), now);
  EXPECT_FALSE(refused.made);
  ASSERT_FALSE(refused.reply.empty());
  EXPECT_TRUE(a.sessions->take_number_reply(*a.record, a.peer, refused.reply, now));
  EXPECT_EQ(a.notes.size(), 1U);
  ASSERT_TRUE(a.sessions->set_back(now));
  EXPECT_NE(a.sessions->set_back(now)->what.find("earlier snapshot or backup: c2 knows"), std::string::npos);
  EXPECT_FALSE(later.sessions->set_back(now));
  EXPECT_TRUE(b.answer(a, a.initiate(0, now), now).made);
  EXPECT_FALSE(a.sessions->take_number_reply(*a.record, a.peer, refused.reply, now)) << "it is of the one before";
}

TEST_F(SessionsTest, AnInitiationForAnotherMacIsNotAnswered) {
  b.peer.mac.bytes[5] ^= std::byte{1};
  EXPECT_TRUE(b.answer(a, a.initiate(0, now), now).reply.empty());
  EXPECT_EQ(b.drops(Drop::malformed), 1U);
}

TEST_F(SessionsTest, WithoutACipherInCommonThereIsASentence) {
  End c{3};
  c.params.aeads = {crypto::AeadKind::aes256gcm};
  c.meets(b);
  b.meets(c);
  EXPECT_TRUE(b.answer(c, c.initiate(0, now), now).reply.empty());
  ASSERT_EQ(b.notes.size(), 1U);
  EXPECT_NE(b.notes[0].find("no cipher in common"), std::string::npos);
}

TEST_F(SessionsTest, APreSharedKeyMismatchIsReportedOnceAtBothEnds) {
  b.params.psks.add(crypto::Key());
  const Bytes initiation = a.initiate(0, now);
  for (int i = 0; i < 2; ++i) {
    const auto refused = b.answer(a, initiation, now);
    EXPECT_FALSE(refused.made);
    EXPECT_LT(refused.reply.size(), initiation.size());
    EXPECT_EQ(a.finish(refused.reply, now), nullptr);
  }
  EXPECT_EQ(a.record->psk_mismatch(), PskMismatch::peer_alone);
  EXPECT_EQ(b.record->psk_mismatch(), PskMismatch::self_alone);
  ASSERT_EQ(a.notes.size(), 1U);
  ASSERT_EQ(b.notes.size(), 1U);
  EXPECT_NE(a.notes[0].find("has a pre-shared key for this computer (--psk-file), which has none for"),
            std::string::npos);
  // Restarted with it.
  a.params.psks.add(crypto::Key());
  meet();
  EXPECT_EQ(a.record->psk_mismatch(), PskMismatch::none);
  EXPECT_EQ(b.record->psk_mismatch(), PskMismatch::none);
}

crypto::Key key_of(char letter) {
  const std::string text(32, letter);
  return crypto::Key(as_view(text).first<32>());
}

TEST_F(SessionsTest, TwoPeersHaveAKeyOfTheirOwnBesideThatOfAll) {
  a.params.psks.add(key_of('x'));
  b.params.psks.add(key_of('y'));
  a.params.psks.add(b.self.key, key_of('z'));
  b.params.psks.add(a.self.name, key_of('z'));
  meet();
  EXPECT_EQ(a.record->psk_mismatch(), PskMismatch::none);
  EXPECT_TRUE(a.notes.empty());
}

TEST(PresharedKeys, ThePublicKeyComesBeforeTheNameAndBothBeforeTheKeyOfAll) {
  const auto is = [](const std::optional<crypto::Key>& key, char letter) {
    return key && equal(key->view(), key_of(letter).view());
  };
  Member peer = test::member_of(2, crypto::generate_key_pair(*std::make_unique<test::SeededRng>(2)).public_key);
  PresharedKeys keys;
  EXPECT_FALSE(keys.of(peer));
  EXPECT_TRUE(keys.add(std::string("other"), key_of('o')));
  EXPECT_FALSE(keys.of(peer)) << "the key of another peer";
  EXPECT_TRUE(keys.add(key_of('a')));
  EXPECT_FALSE(keys.add(key_of('b')));
  EXPECT_TRUE(is(keys.of(peer), 'a'));
  EXPECT_TRUE(keys.add(peer.name, key_of('n')));
  EXPECT_FALSE(keys.add(peer.name, key_of('n')));
  EXPECT_TRUE(is(keys.of(peer), 'n'));
  EXPECT_TRUE(keys.add(peer.key, key_of('k')));
  EXPECT_TRUE(is(keys.clone().of(peer), 'k'));
  EXPECT_EQ(keys.of_single_peers(), 3U);
}

TEST_F(SessionsTest, UnderLoadAnInitiatorMustProveItsEndpoint) {
  for (int i = 0; i < kLoadLimit; ++i) (void)b.answer(a, a.initiate(0, now), now);
  const auto asked = b.answer(a, a.initiate(0, now), now);
  ASSERT_FALSE(asked.reply.empty());
  EXPECT_FALSE(asked.made);
  EXPECT_TRUE(a.sessions->take_cookie_reply(*a.record, asked.reply, now));
  now += milliseconds(500);
  EXPECT_TRUE(b.answer(a, a.initiate(0, now), now).made);
}

TEST_F(SessionsTest, AFloodOfForgedInitiationsLeavesCookiesForThePeers) {
  const Bytes initiation = a.initiate(0, now);
  dataplane::Arrival forged = a.arrival;
  int offered = 0;
  for (std::uint32_t n = 0; n < 2 * kCookieRate; ++n) {
    forged.from.ip = IpAddress::from_v4({0x0a420000U + n});
    if (b.sessions->wants_addresses(now)) b.sessions->set_addresses({a.arrival.from.ip}, now);
    offered += b.sessions->read_initiation(forged, initiation, now).reply.empty() ? 0 : 1;
  }
  EXPECT_EQ(offered, kCookieRate);
  EXPECT_FALSE(b.sessions->read_initiation(a.arrival, initiation, now).reply.empty());
}

TEST_F(SessionsTest, ASessionStillOpensForAWhileAfterItStopsSealing) {
  meet();
  const std::uint32_t index = a.record->current()->local_index();
  EXPECT_EQ(a.record->next_deadline(), now + session::kSendUntil);
  now += session::kSendUntil;
  EXPECT_TRUE(a.sessions->expire(*a.record, now));
  EXPECT_EQ(a.record->current(), nullptr);
  EXPECT_EQ(a.record->receiving().size(), 1U);
  EXPECT_TRUE(a.sessions->owner_of(index));
  EXPECT_FALSE(a.sessions->expire(*a.record, now));
  EXPECT_EQ(a.record->receiving().size(), 1U);
  now = kStart + session::kReceiveUntil;
  EXPECT_FALSE(a.sessions->expire(*a.record, now)) << "it could not seal any more";
  EXPECT_TRUE(a.record->receiving().empty());
  EXPECT_FALSE(a.sessions->owner_of(index));
}

TEST_F(SessionsTest, FewOldSessionsAreKept) {
  EXPECT_TRUE(a.sessions->install(*a.record, test::session_of(true, now), now));
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(a.sessions->install(*a.record, test::session_of(true, now), now));
  EXPECT_EQ(a.record->receiving().size(), 5U);
}

TEST_F(SessionsTest, EverythingEndsWithTheMember) {
  meet();
  (void)a.initiate(0, now);
  const std::uint32_t index = a.record->current()->local_index();
  a.sessions->end(*a.record);
  EXPECT_TRUE(a.record->receiving().empty());
  EXPECT_FALSE(a.record->pending());
  EXPECT_FALSE(a.sessions->owner_of(index));
}

TEST_F(SessionsTest, AnInitiationOfAnUnknownKeyIsReadAgainForAShortTime) {
  b.sessions->keep_for_later(a.arrival, a.initiate(0, now), now);
  b.sessions->keep_for_later(a.arrival, a.initiate(0, now), now + milliseconds(200));
  EXPECT_EQ(b.sessions->take_early(now + milliseconds(301)).size(), 1U);
  EXPECT_EQ(b.drops(Drop::no_peer), 1U);
  EXPECT_TRUE(b.sessions->take_early(now + milliseconds(301)).empty());
  for (int i = 0; i < 20; ++i) b.sessions->keep_for_later(a.arrival, {}, now);
  EXPECT_EQ(b.sessions->take_early(now).size(), 16U);
}

}  // namespace
}  // namespace eps::node
