// SPDX-License-Identifier: MIT
#include "session/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace eps::session {
namespace {

using std::chrono::seconds;

constexpr Instant kStart{seconds(1000)};
constexpr std::uint32_t kInitiatorIndex = 0x00abcd;
constexpr std::uint32_t kResponderIndex = 0xfedcba;

crypto::Key key_of(std::uint8_t fill) {
  crypto::Key key;
  std::ranges::fill(key.writable(), std::byte{fill});
  return key;
}

SessionParams params_of(bool initiator, crypto::AeadKind aead = crypto::AeadKind::chacha20poly1305) {
  SessionParams params;
  params.local_index = initiator ? kInitiatorIndex : kResponderIndex;
  params.remote_index = initiator ? kResponderIndex : kInitiatorIndex;
  params.aead = aead;
  params.send_key = key_of(initiator ? 1 : 2);
  params.receive_key = key_of(initiator ? 2 : 1);
  params.initiator = initiator;
  params.established_at = kStart;
  return params;
}

// Plaintext number i: a kind byte and `size` bytes that differ with i.
Bytes plaintext(std::size_t i, std::size_t size = 60) {
  Bytes out(1 + size, static_cast<std::byte>(i * 7));
  out[0] = std::byte{1};
  if (size > 0) out.back() = static_cast<std::byte>(i);
  return out;
}

// Seals the plaintexts as one batch; the first byte is the `head`. Empty if the session refused.
std::vector<Bytes> seal_all(Session& from, const std::vector<Bytes>& plain, Instant now = kStart) {
  std::vector<Bytes> out;
  std::vector<Seal> items;
  out.reserve(plain.size());
  for (const Bytes& p : plain) {
    out.emplace_back(wire::kDataHeaderSize + p.size() + wire::kTagSize);
    items.push_back({ByteView(p).first(1), ByteView(p).subspan(1), out.back().data()});
  }
  if (!from.seal(items, now)) return {};
  return out;
}

std::vector<Bytes> seal_numbered(Session& from, std::size_t count, Instant now = kStart) {
  std::vector<Bytes> plain;
  for (std::size_t i = 0; i < count; ++i) plain.push_back(plaintext(i));
  return seal_all(from, plain, now);
}

// Opens a copy of one datagram; the plaintext is copied out too.
struct Opened {
  Drop drop = Drop::none;
  Bytes plain;
  bool first = false;
};
Opened open_one(Session& to, Bytes datagram, Instant now = kStart) {
  Open item{.datagram = datagram, .plain = {}, .drop = Drop::none};
  const bool first = to.open({&item, 1}, now);
  return {item.drop, Bytes(item.plain.begin(), item.plain.end()), first};
}

std::vector<Open> items_of(std::vector<Bytes>& datagrams) {
  std::vector<Open> items;
  for (Bytes& d : datagrams) items.push_back({.datagram = d, .plain = {}, .drop = Drop::congested});
  return items;
}

std::uint32_t counter_of(const Bytes& datagram) {
  return load_be32(datagram.data() + 4);
}

class SessionTest : public ::testing::Test {
 protected:
  Session initiator_{params_of(true)};
  Session responder_{params_of(false)};
};

TEST_F(SessionTest, EveryCipherCarriesBatchesOfEverySizeBothWays) {
  for (const crypto::AeadKind kind : crypto::preferred_kinds()) {
    Session initiator(params_of(true, kind));
    Session responder(params_of(false, kind));
    EXPECT_EQ(initiator.aead(), kind);
    std::uint32_t next = 0;
    for (const std::size_t count : {1U, 2U, 44U, 63U, 64U, 65U, 128U, 200U}) {
      for (const auto& [from, to] : {std::pair{&initiator, &responder}, std::pair{&responder, &initiator}}) {
        std::vector<Bytes> plain;
        for (std::size_t i = 0; i < count; ++i) plain.push_back(plaintext(i, i * 7 % 1500));
        std::vector<Bytes> datagrams = seal_all(*from, plain);
        ASSERT_EQ(datagrams.size(), count);
        std::vector<Open> items = items_of(datagrams);
        to->open(items, kStart);
        for (std::size_t i = 0; i < count; ++i) {
          ASSERT_EQ(counter_of(datagrams[i]), next + i);
          ASSERT_EQ(items[i].drop, Drop::none);
          ASSERT_EQ(items[i].plain.data(), datagrams[i].data() + wire::kDataHeaderSize);
          ASSERT_TRUE(equal(items[i].plain, plain[i])) << i;
        }
      }
      next += static_cast<std::uint32_t>(count);
    }
    EXPECT_EQ(initiator.sealed_count(), next);
  }
}

TEST_F(SessionTest, SealsInPlace) {
  const Bytes plain = plaintext(3, 1000);
  Bytes datagram(wire::kDataHeaderSize + plain.size() + wire::kTagSize);
  std::ranges::copy(plain, datagram.begin() + wire::kDataHeaderSize);
  const Seal item{{}, ByteView(datagram).subspan(wire::kDataHeaderSize, plain.size()), datagram.data()};
  ASSERT_TRUE(initiator_.seal({&item, 1}, kStart));
  EXPECT_EQ(to_hex(ByteView(datagram).first(8)), "04fedcba00000000");
  EXPECT_EQ(open_one(responder_, datagram).plain, plain);
}

TEST_F(SessionTest, SealingNothingUsesNoCounter) {
  EXPECT_TRUE(initiator_.seal({}, kStart));
  EXPECT_EQ(initiator_.sealed_count(), 0U);
  EXPECT_FALSE(responder_.open({}, kStart));
}

TEST_F(SessionTest, TheFirstOpenedConfirmsOnce) {
  const std::vector<Bytes> datagrams = seal_numbered(initiator_, 3);
  Bytes forged = datagrams[0];
  forged.back() ^= std::byte{1};
  EXPECT_FALSE(open_one(responder_, forged).first);
  EXPECT_FALSE(responder_.confirmed());
  EXPECT_TRUE(open_one(responder_, datagrams[1]).first);
  EXPECT_TRUE(responder_.confirmed());
  EXPECT_FALSE(open_one(responder_, datagrams[0]).first);
  EXPECT_FALSE(open_one(responder_, datagrams[1]).first);
}

TEST_F(SessionTest, AReplayIsDroppedAcrossBatchesAndInsideOne) {
  const std::vector<Bytes> sealed = seal_numbered(initiator_, 100);
  std::vector<Bytes> doubled = sealed;
  doubled.insert(doubled.end(), sealed.begin(), sealed.end());
  std::vector<Open> items = items_of(doubled);
  EXPECT_TRUE(responder_.open(items, kStart));
  for (std::size_t i = 0; i < items.size(); ++i) {
    ASSERT_EQ(items[i].drop, i < 100 ? Drop::none : Drop::replayed);
    ASSERT_EQ(items[i].plain.empty(), i >= 100);
  }
  for (const Bytes& datagram : sealed) ASSERT_EQ(open_one(responder_, datagram).drop, Drop::replayed);
}

TEST_F(SessionTest, ADatagramIsNotAcceptedByItsSender) {
  Bytes datagram = seal_numbered(initiator_, 1).front();
  EXPECT_EQ(open_one(initiator_, datagram).drop, Drop::unknown_session);
  store_be24(datagram.data() + 1, kInitiatorIndex);
  EXPECT_EQ(open_one(initiator_, datagram).drop, Drop::bad_tag);
}

TEST_F(SessionTest, EveryTruncationIsDroppedAndLeavesTheWindowAlone) {
  const Bytes datagram = seal_numbered(initiator_, 1).front();
  for (std::size_t size = 0; size < datagram.size(); ++size) {
    const Opened opened = open_one(responder_, Bytes(datagram.begin(), datagram.begin() + static_cast<long>(size)));
    EXPECT_EQ(opened.drop, size < wire::kDataOverhead ? Drop::malformed : Drop::bad_tag) << size;
    EXPECT_TRUE(opened.plain.empty());
  }
  Bytes longer = datagram;
  longer.push_back(std::byte{0});
  EXPECT_EQ(open_one(responder_, longer).drop, Drop::bad_tag);
  EXPECT_EQ(open_one(responder_, datagram).plain, plaintext(0));
}

TEST_F(SessionTest, EveryFlippedBitIsDroppedAndLeavesTheWindowAlone) {
  for (const crypto::AeadKind kind : crypto::preferred_kinds()) {
    Session from(params_of(true, kind));
    Session to(params_of(false, kind));
    const Bytes datagram = seal_numbered(from, 1).front();
    for (std::size_t byte = 0; byte < datagram.size(); ++byte) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        Bytes forged = datagram;
        forged[byte] ^= static_cast<std::byte>(1U << bit);
        const Opened opened = open_one(to, forged);
        const Drop want = byte == 0 ? Drop::malformed : byte < 4 ? Drop::unknown_session : Drop::bad_tag;
        ASSERT_EQ(opened.drop, want) << byte << "." << bit;
        ASSERT_TRUE(opened.plain.empty());
      }
    }
    EXPECT_FALSE(to.confirmed());
    EXPECT_EQ(open_one(to, datagram).plain, plaintext(0));
  }
}

TEST_F(SessionTest, AForgedCounterDoesNotMoveTheWindow) {
  const std::vector<Bytes> datagrams = seal_numbered(initiator_, 64);
  for (const std::uint32_t counter : {64U, 20000U, 0xffffffffU}) {
    Bytes forged = datagrams[0];
    store_be32(forged.data() + 4, counter);
    EXPECT_EQ(open_one(responder_, forged).drop, Drop::bad_tag);
  }
  for (std::size_t i = 0; i < datagrams.size(); ++i) ASSERT_EQ(open_one(responder_, datagrams[i]).plain, plaintext(i));
}

TEST_F(SessionTest, AMixedBatchGivesEachItemItsOwnReason) {
  std::vector<Bytes> datagrams = seal_numbered(initiator_, 6);
  EXPECT_EQ(open_one(responder_, datagrams[5]).drop, Drop::none);
  datagrams[0].resize(wire::kDataOverhead - 1);
  datagrams[1][0] = std::byte{1};
  datagrams[2][3] ^= std::byte{1};
  datagrams[3].back() ^= std::byte{1};
  std::vector<Open> items = items_of(datagrams);
  EXPECT_FALSE(responder_.open(items, kStart));
  const std::vector<Drop> want = {Drop::malformed, Drop::malformed, Drop::unknown_session,
                                  Drop::bad_tag,   Drop::none,      Drop::replayed};
  for (std::size_t i = 0; i < items.size(); ++i) EXPECT_EQ(items[i].drop, want[i]) << i;
  EXPECT_TRUE(equal(items[4].plain, plaintext(4)));
}

TEST_F(SessionTest, ReorderedDatagramsOpenAsFarAsTheWindowReaches) {
  const std::size_t count = ReplayWindow::kSize + 100;
  std::vector<Bytes> datagrams = seal_numbered(initiator_, count);
  std::vector<Bytes> shuffled(datagrams.begin() + 100, datagrams.end());
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(1));
  std::vector<Open> items = items_of(shuffled);
  responder_.open(items, kStart);
  for (const Open& item : items) ASSERT_EQ(item.drop, Drop::none);
  for (std::size_t i = 0; i < 100; ++i) ASSERT_EQ(open_one(responder_, datagrams[i]).drop, Drop::replayed) << i;
}

TEST_F(SessionTest, EndsByTime) {
  const Bytes early = seal_numbered(initiator_, 1).front();
  const Bytes late = seal_numbered(initiator_, 1, kStart + kSendUntil - Duration(1)).front();
  EXPECT_FALSE(initiator_.may_send(kStart + kSendUntil));
  EXPECT_TRUE(seal_numbered(initiator_, 1, kStart + kSendUntil).empty());
  EXPECT_EQ(initiator_.sealed_count(), 2U);

  EXPECT_EQ(open_one(responder_, late, kStart + kReceiveUntil - Duration(1)).drop, Drop::none);
  EXPECT_FALSE(responder_.may_receive(kStart + kReceiveUntil));
  const Opened expired = open_one(responder_, early, kStart + kReceiveUntil);
  EXPECT_EQ(expired.drop, Drop::expired);
  EXPECT_TRUE(expired.plain.empty());
}

TEST_F(SessionTest, TheInitiatorAsksForNewKeysFirst) {
  EXPECT_FALSE(initiator_.wants_rekey(kStart + seconds(110) - Duration(1)));
  EXPECT_TRUE(initiator_.wants_rekey(kStart + seconds(110)));
  EXPECT_FALSE(responder_.wants_rekey(kStart + seconds(115) - Duration(1)));
  EXPECT_TRUE(responder_.wants_rekey(kStart + seconds(115)));
}

TEST_F(SessionTest, EndsByCountAndABatchThatDoesNotFitSealsNothing) {
  SessionParams params = params_of(true);
  params.rekey_after_packets = 50;
  params.send_packets = 100;
  Session session(std::move(params));
  EXPECT_EQ(seal_numbered(session, 49).size(), 49U);
  EXPECT_FALSE(session.wants_rekey(kStart));
  EXPECT_EQ(seal_numbered(session, 41).size(), 41U);
  EXPECT_TRUE(session.wants_rekey(kStart));

  std::vector<Bytes> out(11, Bytes(100, std::byte{0xee}));
  const Bytes plain = plaintext(0);
  std::vector<Seal> items;
  for (Bytes& datagram : out) items.push_back({ByteView(plain).first(1), ByteView(plain).subspan(1), datagram.data()});
  EXPECT_FALSE(session.seal(items, kStart));
  for (const Bytes& datagram : out) EXPECT_EQ(datagram, Bytes(100, std::byte{0xee}));
  EXPECT_EQ(session.sealed_count(), 90U);

  EXPECT_TRUE(session.seal(std::span(items).first(10), kStart));
  EXPECT_EQ(counter_of(out[9]), 99U);
  EXPECT_FALSE(session.may_send(kStart));
  EXPECT_FALSE(session.seal(std::span(items).first(1), kStart));
  EXPECT_EQ(session.sealed_count(), 100U);
  EXPECT_TRUE(session.may_receive(kStart));
}

TEST_F(SessionTest, TooManyForgeriesCloseIt) {
  SessionParams params = params_of(false);
  params.max_failed_opens = 5;
  Session session(std::move(params));
  const std::vector<Bytes> datagrams = seal_numbered(initiator_, 2);
  EXPECT_EQ(open_one(session, datagrams[0]).drop, Drop::none);
  Bytes forged = datagrams[1];
  forged[20] ^= std::byte{1};
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(session.may_receive(kStart));
    EXPECT_EQ(open_one(session, forged).drop, Drop::bad_tag);
  }
  EXPECT_FALSE(session.may_receive(kStart));
  EXPECT_FALSE(session.may_send(kStart));
  EXPECT_TRUE(session.wants_rekey(kStart));
  EXPECT_EQ(open_one(session, datagrams[1]).drop, Drop::expired);
}

TEST(SessionDeathTest, MisuseIsABug) {
  SessionParams params = params_of(true);
  params.remote_index = wire::kMaxIndex + 1;
  EXPECT_DEATH(Session(std::move(params)), "kMaxIndex");
  Session session(params_of(true));
  Bytes out(wire::kDataOverhead);
  const Seal empty{{}, {}, out.data()};
  EXPECT_DEATH((void)session.seal({&empty, 1}, kStart), "empty");
}

constexpr int kThreads = 4;

template <class Work>
void on_threads(Work work) {
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) threads.emplace_back([&work, t] { work(t); });
  for (std::thread& thread : threads) thread.join();
}

TEST(SessionThreads, NoCounterIsSealedTwiceAndEachBatchIsConsecutive) {
  constexpr std::uint32_t kLimit = 10007;  // not a multiple of any batch size below
  SessionParams params = params_of(true);
  params.send_packets = kLimit;
  Session session(std::move(params));
  std::vector<std::vector<std::uint32_t>> counters(kThreads);
  on_threads([&](int t) {
    for (std::size_t count = 1 + static_cast<std::size_t>(t);; count = count % 70 + 1) {
      const std::vector<Bytes> datagrams = seal_numbered(session, count);
      if (datagrams.empty() && count == 1) return;
      for (std::size_t i = 0; i < datagrams.size(); ++i) {
        ASSERT_EQ(counter_of(datagrams[i]), counter_of(datagrams[0]) + i);
        counters[static_cast<std::size_t>(t)].push_back(counter_of(datagrams[i]));
      }
    }
  });
  std::set<std::uint32_t> all;
  for (const auto& of_thread : counters) {
    for (const std::uint32_t counter : of_thread) ASSERT_TRUE(all.insert(counter).second) << counter;
  }
  EXPECT_EQ(all.size(), kLimit);
  EXPECT_EQ(*all.rbegin(), kLimit - 1);
}

// Every thread gets every datagram, each in an order of its own.
TEST(SessionThreads, NoDatagramIsAcceptedTwiceAndOneThreadConfirms) {
  Session from(params_of(true));
  Session to(params_of(false));
  const std::vector<Bytes> datagrams = seal_numbered(from, 4000);
  std::vector<std::vector<std::uint32_t>> accepted(kThreads);
  std::atomic<int> confirmations{0};
  on_threads([&](int t) {
    std::vector<Bytes> mine = datagrams;
    std::shuffle(mine.begin(), mine.end(), std::mt19937(static_cast<unsigned>(t)));
    std::vector<Open> items = items_of(mine);
    for (std::span<Open> rest = items; !rest.empty();) {
      const std::span<Open> batch = rest.first(std::min<std::size_t>(rest.size(), 44));
      rest = rest.subspan(batch.size());
      if (to.open(batch, kStart)) ++confirmations;
      for (const Open& item : batch) {
        if (item.drop == Drop::none) {
          accepted[static_cast<std::size_t>(t)].push_back(load_be32(item.datagram.data() + 4));
        } else {
          ASSERT_EQ(item.drop, Drop::replayed);
        }
      }
    }
  });
  std::set<std::uint32_t> all;
  for (const auto& of_thread : accepted) {
    for (const std::uint32_t counter : of_thread) ASSERT_TRUE(all.insert(counter).second) << counter;
  }
  EXPECT_EQ(all.size(), datagrams.size());
  EXPECT_EQ(confirmations.load(), 1);
}

}  // namespace
}  // namespace eps::session
