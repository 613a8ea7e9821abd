// SPDX-License-Identifier: MIT

// The network lock in the server's hands.

#include <gmock/gmock.h>

#include "registry/registry_fixture.h"

namespace eps::registry {
namespace {

using testing::HasSubstr;

class RegistryLockTest : public RegistryTest {
 protected:
  void SetUp() override {
    config_.sequential = true;
    open();
    rng_.fill(seed_.writable());
    rng_.fill(secret_);
    a_ = join(1, "a");
    b_ = join(2, "b");
  }

  LockChange marks(std::vector<MemberId> ids, std::uint64_t sequence, const crypto::Hash& lock) {
    LockChange out;
    out.lock = lock;
    for (const MemberId id : ids) {
      out.marks.emplace_back(id, sign_record(seed_, lock, registry_->network(), *registry_->find(id), sequence));
    }
    return out;
  }
  LockChange init() {
    const Bytes entry = begin_lock(registry_->lock(), registry_->network().id, seed_, {&secret_, 1});
    LockChain next = registry_->lock();
    EXPECT_TRUE(next.append(registry_->network().id, entry));
    LockChange out = marks({a_.id}, 5, next.id());
    out.entries.push_back(entry);
    return out;
  }
  // By a, accepted.
  void lock() {
    ASSERT_TRUE(registry_->change_lock(init(), a_.id));
    ASSERT_FALSE(registry_->lock().on()) << "a member only proposes";
    const auto id = init().lock;
    ASSERT_TRUE(registry_->change_lock(marks({b_.id}, 5, id), a_.id));
    ASSERT_TRUE(registry_->accept_lock(lock_id_text(id)));
  }
  bool is_signed(MemberId id) const {
    return is_record_signed(registry_->lock(), registry_->network(), *registry_->find(id));
  }

  crypto::Key seed_;
  LockSecret secret_{};
  Member a_, b_;
};

TEST_F(RegistryLockTest, ALockThatAMemberProposesIsOnWhenItIsAccepted) {
  EXPECT_EQ(registry_->accept_lock("nothing").error().code, Errc::not_found);
  const auto root = registry_->root();
  lock();
  EXPECT_TRUE(registry_->lock().on());
  EXPECT_TRUE(is_signed(a_.id) && is_signed(b_.id));
  EXPECT_NE(registry_->root(), root) << "clients that come back hear of the signatures";
  open();
  EXPECT_TRUE(registry_->lock().on());
  EXPECT_TRUE(is_signed(a_.id) && is_signed(b_.id));
  const auto record = registry_->audit({});
  ASSERT_TRUE(record);
  EXPECT_EQ(record->back().act, "lock on");
  EXPECT_THAT(record->back().what, HasSubstr("2 of 2 members are signed"));
}

TEST_F(RegistryLockTest, TheEndOfASignedPolicyIsToBeSigned) {
  lock();
  EXPECT_EQ(registry_->policy_signed(), std::nullopt) << "there never was one";
  const auto sign = [&](std::uint64_t sequence) {
    LockChange change;
    change.lock = registry_->lock().id();
    change.policy_sequence = sequence;
    change.policy_signature =
        crypto::sign(seed_, locked_policy_message(change.lock, {registry_->policy().text, sequence, {}}));
    ASSERT_TRUE(registry_->change_lock(change, a_.id));
  };
  ASSERT_TRUE(registry_->set_policy("allow all to a\n"));
  EXPECT_EQ(registry_->policy_signed(), false);
  ASSERT_TRUE(registry_->set_policy(""));
  EXPECT_EQ(registry_->policy_signed(), std::nullopt) << "nobody followed it";
  ASSERT_TRUE(registry_->set_policy("allow all to a\n"));
  sign(6);
  EXPECT_EQ(registry_->policy_signed(), true);
  ASSERT_TRUE(registry_->set_policy(""));
  EXPECT_EQ(registry_->policy_signed(), false) << "the members go on with it";
  open();
  EXPECT_EQ(registry_->policy_signed(), false);
  sign(7);
  EXPECT_EQ(registry_->policy_signed(), true);
}

TEST_F(RegistryLockTest, AServerRestoredFromBeforeTheLockTakesItAgainIfAnAdministratorAccepts) {
  test::MemoryStore backup = store_;
  lock();
  crypto::Key other;
  rng_.fill(other.writable());
  const LockChain begun = registry_->lock();
  LockChange more;
  more.entries = {
      change_signer(begun, registry_->network().id, seed_, PublicKey{crypto::signing_public_key(other)}, true)};
  ASSERT_TRUE(registry_->change_lock(more, a_.id));
  const LockChain full = registry_->lock();
  LockChange whole;
  whole.entries = full.entries();
  EXPECT_FALSE(registry_->change_lock(whole, b_.id)) << "nothing is new";

  registry_.reset();
  store_ = backup;
  open();
  ASSERT_FALSE(registry_->lock().on());
  EXPECT_FALSE(registry_->change_lock(marks({a_.id, b_.id}, 9, full.id()), a_.id));
  ASSERT_TRUE(registry_->change_lock(whole, a_.id));
  EXPECT_FALSE(registry_->lock().on()) << "a member only proposes";
  ASSERT_TRUE(registry_->change_lock(marks({a_.id, b_.id}, 9, full.id()), a_.id));
  ASSERT_TRUE(registry_->accept_lock(lock_id_text(full.id())));
  EXPECT_EQ(registry_->lock().entries(), full.entries());
  EXPECT_TRUE(is_signed(a_.id) && is_signed(b_.id));

  LockChange ended = whole;
  ended.entries.push_back(end_lock(full, registry_->network().id, secret_));
  registry_.reset();
  store_ = backup;
  open();
  EXPECT_FALSE(registry_->change_lock(ended, a_.id)) << "nothing to accept";
}

TEST_F(RegistryLockTest, AServerWithAnOlderStateOfTheLockTakesWhatFollows) {
  lock();
  const LockChain begun = registry_->lock();
  LockChange whole;
  whole.entries = begun.entries();
  crypto::Key other;
  rng_.fill(other.writable());
  whole.entries.push_back(
      change_signer(begun, registry_->network().id, seed_, PublicKey{crypto::signing_public_key(other)}, true));
  ASSERT_TRUE(registry_->change_lock(whole, b_.id));
  EXPECT_EQ(registry_->lock().signers().size(), 2U);
}

TEST_F(RegistryLockTest, WhatNoSignerSignedIsRefusedWhole) {
  lock();
  const Member c = join(3, "c");
  EXPECT_FALSE(is_signed(c.id));
  rng_.fill(seed_.writable());
  EXPECT_FALSE(registry_->change_lock(marks({c.id}, 6, registry_->lock().id()), a_.id));
  EXPECT_EQ(registry_->find(c.id)->lock, LockMark{});
  EXPECT_FALSE(registry_->change_lock({}, a_.id)) << "nothing";
}

TEST_F(RegistryLockTest, AnOlderSignatureDoesNotReplaceANewerOne) {
  lock();
  ASSERT_TRUE(registry_->change_lock(marks({b_.id}, 7, registry_->lock().id()), a_.id));
  EXPECT_FALSE(registry_->change_lock(marks({b_.id}, 7, registry_->lock().id()), a_.id));
  EXPECT_FALSE(registry_->change_lock(marks({b_.id}, 6, registry_->lock().id()), a_.id));
  EXPECT_EQ(registry_->find(b_.id)->lock.sequence, 7U);
}

TEST_F(RegistryLockTest, KnowsWhatIsNotSigned) {
  const auto lacks = [&](MemberId id) { return registry_->not_signed(*registry_->find(id)); };
  EXPECT_EQ(lacks(a_.id), NotSigned::nothing) << "there is no lock";
  lock();
  const Member c = join(3, "c");
  EXPECT_EQ(lacks(a_.id), NotSigned::nothing);
  EXPECT_EQ(lacks(c.id), NotSigned::record);
  ASSERT_TRUE(registry_->change_lock(marks({c.id}, 6, registry_->lock().id()), a_.id));
  EXPECT_EQ(lacks(c.id), NotSigned::nothing);
  ASSERT_TRUE(registry_->grant("c", *parse_ip_network("10.6.0.0/24")));
  EXPECT_EQ(lacks(c.id), NotSigned::grants);
  ASSERT_TRUE(registry_->give_name("b", "camera"));
  EXPECT_EQ(lacks(b_.id), NotSigned::record);
  ASSERT_TRUE(registry_->change_lock(
      {.entries = {end_lock(registry_->lock(), registry_->network().id, secret_)}, .lock = {}, .marks = {}},
      std::nullopt));
  EXPECT_EQ(lacks(c.id), NotSigned::nothing);
}

TEST_F(RegistryLockTest, ASignedNameStays) {
  lock();
  EXPECT_FALSE(registry_->join_writes(b_.key, "other"));
  EXPECT_EQ(join(2, "other").name, "b");
  EXPECT_TRUE(is_signed(b_.id));
}

TEST_F(RegistryLockTest, AGivenNameIsToBeSigned) {
  lock();
  ASSERT_TRUE(registry_->give_name("b", "camera"));
  EXPECT_FALSE(is_signed(b_.id));
  ASSERT_TRUE(registry_->change_lock(marks({b_.id}, 6, registry_->lock().id()), a_.id));
  EXPECT_TRUE(is_signed(b_.id));
  EXPECT_EQ(join(2, "b").name, "camera");
}

TEST_F(RegistryLockTest, ASecretEndsTheLockAndIsInTheRecord) {
  lock();
  LockSecret wrong{};
  const auto end = [&](const LockSecret& secret) {
    return LockChange{
        .entries = {end_lock(registry_->lock(), registry_->network().id, secret)}, .lock = {}, .marks = {}};
  };
  EXPECT_FALSE(registry_->change_lock(end(wrong), std::nullopt));
  ASSERT_TRUE(registry_->change_lock(end(secret_), std::nullopt));
  EXPECT_FALSE(registry_->lock().on());
  EXPECT_EQ(registry_->audit({})->back().act, "lock off");
  open();
  EXPECT_FALSE(registry_->lock().on());
  EXPECT_EQ(join(2, "other").name, "other");
}

TEST_F(RegistryLockTest, NothingChangesThatCannotBeStored) {
  ASSERT_TRUE(registry_->change_lock(init(), a_.id));
  store_.fail = true;
  EXPECT_FALSE(registry_->accept_lock(lock_id_text(init().lock)));
  EXPECT_FALSE(registry_->lock().on());
  EXPECT_EQ(registry_->find(a_.id)->lock, LockMark{});
  store_.fail = false;
  EXPECT_TRUE(registry_->accept_lock(lock_id_text(init().lock)));
}

}  // namespace
}  // namespace eps::registry
