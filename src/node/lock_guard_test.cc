// SPDX-License-Identifier: MIT
#include "node/lock_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/seeded_rng.h"

namespace eps::node {
namespace {

using registry::LockChain;
using registry::LockSecret;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class LockGuardTest : public testing::Test {
 protected:
  LockGuardTest() {
    rng_.fill(network_.id.bytes);
    network_.network = *parse_ip4_network("10.0.0.0/24");
    for (crypto::Key* seed : {&alice_, &mallory_}) rng_.fill(seed->writable());
    rng_.fill(secret_);
    begin(chain_, alice_, secret_);
    for (std::uint32_t n = 1; n <= 3; ++n) members_.push_back(member(n, n));
  }

  void begin(LockChain& chain, const crypto::Key& seed, const LockSecret& secret) {
    ASSERT_TRUE(chain.append(network_.id, begin_lock(chain, network_.id, seed, {&secret, 1})));
  }
  Member member(std::uint32_t id, std::uint64_t sequence) {
    Member m;
    m.id = {id};
    rng_.fill(m.key.bytes);
    m.name = std::string("m").append(std::to_string(id));
    m.mac = {{std::byte{2}, {}, {}, {}, {}, static_cast<std::byte>(id)}};
    m.address = {0x0a000000U + id};
    sign(m, sequence);
    return m;
  }
  void sign(Member& m, std::uint64_t sequence) {
    m.lock = registry::sign_record(alice_, chain_.id(), network_, m, sequence);
  }
  Member& at(std::uint32_t id) { return members_[id - 1]; }

  // The numbers of those that are refused.
  std::vector<std::uint32_t> look(MembersChanged changed = {true, {}}) {
    MemberList list;
    list.apply({.from = 0, .to = ++version_, .full = true, .upserts = members_, .removed = {}});
    turned_ = guard_.look(network_, list, {1}, changed);
    std::vector<std::uint32_t> out;
    for (const auto& [id, why] : guard_.refused()) out.push_back(id.value);
    return out;
  }
  bool receive(const LockChain& chain) { return guard_.receive(network_.id, chain.entries()); }
  void restart() {
    const std::string kept = guard_.encode(server_);
    auto again = LockGuard::decode(kept, server_);
    ASSERT_TRUE(again) << again.error().what;
    guard_ = std::move(*again);
    EXPECT_EQ(guard_.encode(server_), kept);
  }

  test::SeededRng rng_{5};
  NetworkInfo network_;
  crypto::Key alice_, mallory_;
  LockSecret secret_{};
  LockChain chain_;
  std::vector<Member> members_;
  std::uint64_t version_ = 0;
  PublicKey server_{};
  LockGuard guard_;
  std::vector<MemberId> turned_;
};

TEST_F(LockGuardTest, WithoutALockEverybodyCounts) {
  at(2).lock = {};
  EXPECT_THAT(look(), IsEmpty());
  EXPECT_FALSE(guard_.take_changed());
  EXPECT_TRUE(receive(chain_));
  EXPECT_THAT(look({}), ElementsAre(2U)) << "all are judged by a new chain";
  EXPECT_THAT(turned_, ElementsAre(MemberId{2}));
  sign(at(2), 2);
  EXPECT_THAT(look({false, {{2}}}), IsEmpty());
  EXPECT_THAT(turned_, ElementsAre(MemberId{2}));
  look({false, {{2}}});
  EXPECT_THAT(turned_, IsEmpty());
}

TEST_F(LockGuardTest, AChangedRecordIsRefused) {
  receive(chain_);
  ASSERT_THAT(look(), IsEmpty());
  rng_.fill(at(2).key.bytes);
  ++at(3).address.value;
  EXPECT_THAT(look({false, {{2}, {3}}}), ElementsAre(2U, 3U));
  EXPECT_EQ(guard_.take_warnings().size(), 2U);
  EXPECT_THAT(guard_.refused().at({2}).mend, HasSubstr("eps lock sign m2"));
  look({false, {{2}, {3}}});
  EXPECT_THAT(guard_.take_warnings(), IsEmpty()) << "told once";
}

TEST_F(LockGuardTest, ThePolicyThatASignerSignedLastStays) {
  const auto signed_policy = [&](std::string text, std::uint64_t sequence) {
    NetworkPolicy out{std::move(text), sequence, {}};
    out.signature = crypto::sign(alice_, registry::locked_policy_message(chain_.id(), out));
    return out;
  };
  const NetworkPolicy open{"allow all to all", 0, {}}, narrow{"deny all to all", 0, {}};
  EXPECT_EQ(guard_.policy(open), open) << "without a lock the server's counts";
  receive(chain_);
  EXPECT_EQ(guard_.policy(narrow), narrow) << "it can only narrow what none was signed for";
  const NetworkPolicy first = signed_policy("allow all to m1", 5), second = signed_policy("allow all to m2", 6);
  EXPECT_EQ(guard_.policy(first), first);
  guard_.take_warnings();
  EXPECT_EQ(guard_.policy(open), first);
  EXPECT_EQ(guard_.take_warnings().size(), 1U);
  EXPECT_EQ(guard_.policy({}), first);
  EXPECT_EQ(guard_.policy(second), second);
  EXPECT_EQ(guard_.policy(first), second) << "an older one";
  restart();
  EXPECT_EQ(guard_.policy({}), second);
  NetworkPolicy forged = signed_policy("allow all to m3", 7);
  forged.text = open.text;
  EXPECT_EQ(guard_.policy(forged), second);
  const NetworkPolicy ended = signed_policy("", 8);
  EXPECT_EQ(guard_.policy(ended), ended);
}

TEST_F(LockGuardTest, AMemberInOtherGroupsIsRefused) {
  receive(chain_);
  ASSERT_THAT(look(), IsEmpty());
  at(2).groups = {"admins"};
  EXPECT_THAT(look({false, {{2}}}), ElementsAre(2U));
  sign(at(2), 9);
  EXPECT_THAT(look({false, {{2}}}), IsEmpty());
  at(2).groups.clear();
  EXPECT_THAT(look({false, {{2}}}), ElementsAre(2U));
}

TEST_F(LockGuardTest, ALockIsNeverForgotten) {
  receive(chain_);
  EXPECT_TRUE(guard_.chain_changed());
  EXPECT_TRUE(guard_.take_changed());
  restart();
  at(2).lock = {};
  // Nothing, an empty chain, a shorter one, another lock, and one that parts from it.
  EXPECT_THAT(look(), ElementsAre(2U));
  EXPECT_FALSE(receive({}));
  EXPECT_THAT(guard_.status().troubles, ElementsAre(HasSubstr("an older state")));
  LockChain other;
  begin(other, mallory_, secret_);
  EXPECT_FALSE(receive(other));
  EXPECT_THAT(guard_.status().troubles, ElementsAre(HasSubstr("another network lock")));
  LockChain longer = chain_, fork = chain_;
  const PublicKey mallory = crypto::signing_public_key(mallory_);
  ASSERT_TRUE(longer.append(network_.id, change_signer(chain_, network_.id, alice_, mallory, true)));
  ASSERT_TRUE(receive(longer));
  EXPECT_THAT(guard_.status().troubles, IsEmpty());
  ASSERT_TRUE(fork.append(network_.id, end_lock(chain_, network_.id, secret_)));
  EXPECT_FALSE(receive(fork));
  EXPECT_FALSE(receive(chain_));
  EXPECT_FALSE(guard_.receive({}, longer.entries())) << "of another network";
  EXPECT_TRUE(guard_.on());
  EXPECT_THAT(look(), ElementsAre(2U));
  restart();
  EXPECT_THAT(look(), ElementsAre(2U));
  EXPECT_EQ(guard_.status().signers.size(), 2U);
}

TEST_F(LockGuardTest, ASecretEndsTheLock) {
  receive(chain_);
  at(2).lock = {};
  ASSERT_THAT(look(), ElementsAre(2U));
  LockChain ended = chain_;
  ASSERT_TRUE(ended.append(network_.id, end_lock(chain_, network_.id, secret_)));
  ASSERT_TRUE(receive(ended));
  EXPECT_THAT(look({}), IsEmpty());
  EXPECT_THAT(turned_, ElementsAre(MemberId{2}));
  EXPECT_FALSE(guard_.status().on);
  EXPECT_FALSE(receive(chain_)) << "and it does not come back by itself";
  restart();
  EXPECT_FALSE(guard_.on());
}

TEST_F(LockGuardTest, AnOldRecordIsRefused) {
  receive(chain_);
  const Member old = at(2);
  ++at(2).address.value;
  at(2).address.value += 100;
  sign(at(2), 9);
  ASSERT_THAT(look(), IsEmpty());
  restart();
  at(2) = old;
  EXPECT_THAT(look(), ElementsAre(2U));
  EXPECT_EQ(guard_.next_sequence({2}), 10U);
  sign(at(2), 10);
  EXPECT_THAT(look({false, {{2}}}), IsEmpty());
}

TEST_F(LockGuardTest, WhoWasRemovedComesBackOnlyWithANewSignature) {
  receive(chain_);
  ASSERT_THAT(look(), IsEmpty());
  const Member gone = at(3);
  members_.pop_back();
  look({false, {{3}}});
  restart();
  look();
  members_.push_back(gone);
  EXPECT_THAT(look(), ElementsAre(3U));
  EXPECT_TRUE(guard_.saw_removal_of(at(3)));
  EXPECT_FALSE(guard_.saw_removal_of(at(2)));
  sign(at(3), 4);
  EXPECT_THAT(look({false, {{3}}}), IsEmpty());
  EXPECT_FALSE(guard_.saw_removal_of(at(3)));
}

TEST_F(LockGuardTest, OfTwoWithOneAddressTheNewerSignatureCounts) {
  receive(chain_);
  // A client that has seen neither before.
  const auto clash = [&](std::uint64_t sequence, auto&& change) {
    guard_ = LockGuard();
    receive(chain_);
    members_.resize(3);
    members_.push_back(member(4, sequence));
    change(at(4));
    sign(at(4), sequence);
    return look();
  };
  EXPECT_THAT(clash(2, [&](Member& m) { m.address = at(3).address; }), ElementsAre(4U));
  EXPECT_THAT(clash(9, [&](Member& m) { m.address = at(3).address; }), ElementsAre(3U));
  EXPECT_THAT(clash(3, [&](Member& m) { m.address = at(3).address; }), ElementsAre(3U, 4U)) << "neither is newer";
  EXPECT_THAT(clash(9, [&](Member& m) { m.name = at(3).name; }), ElementsAre(3U));
  EXPECT_THAT(clash(9, [&](Member& m) { m.mac = at(3).mac; }), ElementsAre(3U));
  EXPECT_THAT(clash(9, [&](Member& m) { m.key = at(3).key; }), ElementsAre(3U));
}

TEST_F(LockGuardTest, GrantsThatAreNotSignedDoNotCount) {
  receive(chain_);
  at(2).grants.bridge = true;
  EXPECT_THAT(look(), IsEmpty());
  EXPECT_THAT(guard_.own_addresses_only(), ElementsAre(MemberId{2}));
  EXPECT_THAT(turned_, ElementsAre(MemberId{2}));
  sign(at(2), 9);
  look({false, {{2}}});
  EXPECT_THAT(guard_.own_addresses_only(), IsEmpty());
}

TEST_F(LockGuardTest, ThisComputerWaitsUntilItIsSignedAsItIs) {
  EXPECT_TRUE(guard_.admits(network_, at(1)));
  receive(chain_);
  EXPECT_TRUE(guard_.admits(network_, at(1)));
  Member moved = at(1);
  ++moved.address.value;
  EXPECT_FALSE(guard_.admits(network_, moved));
  NetworkInfo wider = network_;
  wider.network.prefix = 8;
  EXPECT_FALSE(guard_.admits(wider, at(1)));
  at(1).lock = {};
  EXPECT_THAT(look(), IsEmpty()) << "it is no peer";
}

TEST_F(LockGuardTest, AnotherRangeOfTheNetworkIsNotSigned) {
  receive(chain_);
  ASSERT_THAT(look(), IsEmpty());
  network_.network.prefix = 8;
  EXPECT_THAT(look({}), ElementsAre(2U, 3U));
}

TEST_F(LockGuardTest, ALockThatIsExpectedIsOnBeforeItIsSeen) {
  guard_.expect(chain_.id());
  EXPECT_TRUE(guard_.on());
  EXPECT_THAT(look(), ElementsAre(2U, 3U));
  EXPECT_FALSE(guard_.admits(network_, at(1)));
  LockChain other;
  begin(other, mallory_, secret_);
  EXPECT_FALSE(receive(other));
  EXPECT_FALSE(receive({}));
  EXPECT_THAT(guard_.status().troubles, ElementsAre(HasSubstr("does not show the network lock " + guard_.status().id)));
  EXPECT_THAT(look(), ElementsAre(2U, 3U));
  ASSERT_TRUE(receive(chain_));
  EXPECT_THAT(look({}), IsEmpty());
  // Also where it has ended since, and another began.
  guard_ = LockGuard();
  guard_.expect(chain_.id());
  LockChain later = chain_;
  ASSERT_TRUE(later.append(network_.id, end_lock(chain_, network_.id, secret_)));
  ASSERT_TRUE(receive(later));
  EXPECT_FALSE(guard_.on());
}

TEST_F(LockGuardTest, ADamagedFileIsToldAndAnotherServersIsNone) {
  receive(chain_);
  look();
  const std::string kept = guard_.encode(server_);
  PublicKey other{};
  other.bytes[0] = std::byte{1};
  EXPECT_TRUE(LockGuard::decode(kept, other)->chain().empty());
  for (std::size_t i = kept.find("entry"); i < kept.size(); i += 7) {
    std::string damaged = kept;
    damaged[i] = damaged[i] == 'x' ? 'y' : 'x';
    const auto read = LockGuard::decode(damaged, server_);
    EXPECT_TRUE(!read || read->encode(server_) != kept) << i;
    EXPECT_TRUE(!read || read->on()) << i;
  }
  EXPECT_FALSE(LockGuard::decode(kept.substr(0, kept.size() - 3), server_));
  EXPECT_FALSE(LockGuard::decode("", server_)) << "an empty file is a lost one";
}

}  // namespace
}  // namespace eps::node
