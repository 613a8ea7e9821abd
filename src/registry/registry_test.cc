// SPDX-License-Identifier: MIT

// Who is admitted, under which address and name, and what survives a restart.

#include "registry/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "registry/registry_fixture.h"

namespace eps::registry {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST_F(RegistryTest, RemembersWhenMembersWereLastSeen) {
  open();
  const Member a = join(1, "a"), b = join(2, "b");
  const int commits = store_.commits;
  for (int i = 0; i < 100; ++i) registry_->saw(a.id, 1'700'000'000 + i);
  EXPECT_EQ(store_.commits, commits) << "not every sign of life is written";
  ASSERT_TRUE(registry_->keep_last_seen());
  ASSERT_TRUE(registry_->keep_last_seen());
  EXPECT_EQ(store_.commits, commits + 1) << "nothing new is not written";
  open();
  EXPECT_EQ(registry_->last_seen(a.id), 1'700'000'099);
  EXPECT_EQ(registry_->last_seen(b.id), std::nullopt);
  ASSERT_TRUE(registry_->remove("a"));
  EXPECT_EQ(registry_->last_seen(a.id), std::nullopt);
}

TEST_F(RegistryTest, MakesAnIdentityOnceAndKeepsIt) {
  open();
  const Bytes secret(registry_->identity().keys.secret.view().begin(), registry_->identity().keys.secret.view().end());
  const JoinKey enrolment = *registry_->join_keys().find(kNetworkKeyId);
  const PublicKey signing = registry_->signing_key();
  const NetworkId id = registry_->network().id;
  EXPECT_NE(id, NetworkId{});
  open();
  EXPECT_TRUE(equal(registry_->identity().keys.secret.view(), secret));
  EXPECT_EQ(*registry_->join_keys().find(kNetworkKeyId), enrolment);
  EXPECT_EQ(registry_->signing_key(), signing);
  EXPECT_EQ(registry_->network().id, id);
}

TEST_F(RegistryTest, AnIncompleteStateIsNotReplaced) {
  open();
  auto state = *store_.load();
  state.meta.erase("identity.ed25519");
  test::MemoryStore damaged;
  ports::StoreChange change;
  change.put_meta = state.meta;
  ASSERT_TRUE(damaged.commit(change));
  const auto opened = Registry::open(damaged, config_, rng_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::corrupt);
  EXPECT_THAT(opened.error().what, AllOf(HasSubstr("identity.ed25519"), HasSubstr("backup")));
}

TEST_F(RegistryTest, DoesNotStartIfItsIdentityCannotBeStored) {
  store_.fail = true;
  EXPECT_FALSE(Registry::open(store_, config_, rng_));
}

TEST_F(RegistryTest, RefusesNetworksThatItCannotServe) {
  for (const char* network : {"10.0.0.0/31", "10.0.0.1/32", "0.0.0.0/0", "10.0.0.0/7"}) {
    config_.network = parse_ip4_network(network).value_or(Ip4Network{{0x0a000000}, 7});
    const auto opened = Registry::open(store_, config_, rng_);
    ASSERT_FALSE(opened) << network;
    EXPECT_THAT(opened.error().what, AllOf(HasSubstr("--network"), HasSubstr("/8 to /30")));
  }
  EXPECT_EQ(store_.commits, 0);
}

TEST_F(RegistryTest, AKnownKeyKeepsEverything) {
  open();
  const Member first = join(1, "alpha");
  EXPECT_EQ(first.name, "alpha");
  EXPECT_EQ(first.mac.bytes[0], std::byte{0x02});
  const Member again = std::get<Member>(try_join(1, "alpha", false));
  EXPECT_EQ(again.id, first.id);
  EXPECT_EQ(again.mac, first.mac);
  EXPECT_EQ(again.address, first.address);
  EXPECT_EQ(registry_->members().size(), 1U);
}

TEST_F(RegistryTest, ANewKeyNeedsTheEnrolmentSecret) {
  open();
  const int commits = store_.commits;
  EXPECT_EQ(refusal(1, "host", false).code, Refusal::Code::unknown_key);
  EXPECT_TRUE(registry_->members().empty());
  EXPECT_EQ(store_.commits, commits);
}

TEST_F(RegistryTest, SequentialGivesTheLowestFreeAddress) {
  config_.sequential = true;
  open();
  for (std::uint32_t n = 1; n <= 4; ++n) EXPECT_EQ(join(n).address.value, 0xc0a82b00U + n);
  ASSERT_TRUE(registry_->remove("host-2"));
  EXPECT_EQ(join(9).address.value, 0xc0a82b02U);
  EXPECT_EQ(join(10).address.value, 0xc0a82b05U);
}

// Every pool up to /22 is filled to its last address, at random and in order: no duplicates, none outside, none
// reserved, and then a refusal that says what to do.
TEST_F(RegistryTest, PoolsFillToTheLastAddress) {
  for (const bool sequential : {false, true}) {
    for (std::uint8_t prefix = 22; prefix <= 30; ++prefix) {
      test::MemoryStore store;
      config_ = {.network = {{0x0a0a0000}, prefix}, .sequential = sequential, .mtu = kDefaultMtu};
      registry_ = *Registry::open(store, config_, rng_);
      std::set<Ip4> addresses;
      for (std::uint32_t n = 1; n <= config_.network.host_count(); ++n) {
        const Ip4 address = join(n, "h" + std::to_string(n)).address;
        EXPECT_TRUE(config_.network.contains(address));
        EXPECT_NE(address, config_.network.base);
        EXPECT_NE(address, config_.network.broadcast());
        EXPECT_TRUE(addresses.insert(address).second);
      }
      const Refusal full = refusal(0xffffff);
      EXPECT_EQ(full.code, Refusal::Code::full);
      EXPECT_THAT(full.sentence, AllOf(HasSubstr(std::to_string(config_.network.host_count()) + " addresses"),
                                       HasSubstr("eps members remove NAME"), HasSubstr("--network")));
      // The one free address is found, wherever it is.
      const Ip4 freed = registry_->remove("h" + std::to_string(1 + rng_.below(config_.network.host_count())))->address;
      EXPECT_EQ(join(0xfffffe).address, freed);
    }
  }
}

TEST_F(RegistryTest, TheLargestNetworksWork) {
  config_.network = *parse_ip4_network("10.0.0.0/8");
  open();
  std::set<Ip4> addresses;
  for (std::uint32_t n = 1; n <= 200; ++n) addresses.insert(join(n, "h" + std::to_string(n)).address);
  EXPECT_EQ(addresses.size(), 200U);
  EXPECT_GT(addresses.rbegin()->value - addresses.begin()->value, 1U << 22) << "drawn from the whole pool";
}

TEST_F(RegistryTest, MacsAreLocalUnicastAndUnique) {
  open();
  std::set<Mac> macs;
  for (std::uint32_t n = 1; n <= 200; ++n) {
    const Mac mac = join(n).mac;
    EXPECT_EQ(mac.bytes[0], std::byte{0x02});
    EXPECT_TRUE(macs.insert(mac).second);
  }
}

TEST_F(RegistryTest, ADuplicateNameGetsANumberAndKeepsIt) {
  open();
  join(1, "web");
  EXPECT_EQ(join(2, "web").name, "web-2");
  EXPECT_EQ(join(3, "web").name, "web-3");
  EXPECT_EQ(join(2, "web").name, "web-2");
  ASSERT_TRUE(registry_->remove("web"));
  EXPECT_EQ(join(2, "web").name, "web-2") << "people rely on it";
  open();
  EXPECT_EQ(join(3, "web").name, "web-3");
  EXPECT_EQ(join(4, "web").name, "web");
}

TEST_F(RegistryTest, ANumberThatSomebodyChoseIsNotAssignedAgain) {
  open();
  join(1, "web-2");
  join(2, "web");
  EXPECT_EQ(join(3, "web").name, "web-3");
}

TEST_F(RegistryTest, LongNamesStayUniqueStableAndShortEnough) {
  open();
  const std::string longest(kMaxNameSize, 'n');
  join(1, longest);
  for (std::uint32_t n = 2; n <= 12; ++n) {
    const std::string name = join(n, longest).name;
    EXPECT_EQ(name.size(), kMaxNameSize);
    EXPECT_TRUE(name.ends_with("-" + std::to_string(n))) << name;
  }
  for (std::uint32_t n = 2; n <= 12; ++n) EXPECT_TRUE(join(n, longest).name.ends_with("-" + std::to_string(n)));
}

TEST_F(RegistryTest, AMemberThatChangesItsNameIsRenamed) {
  open();
  const Member before = join(1, "old");
  const crypto::Hash digest = registry_->digest();
  EXPECT_EQ(join(1, "new").name, "new");
  EXPECT_EQ(registry_->find(before.id)->address, before.address);
  EXPECT_EQ(registry_->find_name("old"), nullptr);
  EXPECT_NE(registry_->digest(), digest);
  EXPECT_EQ(join(1, "new-1").name, "new-1");
  EXPECT_EQ(join(1, "new").name, "new") << "numbers begin at 2";
  open();
  EXPECT_NE(registry_->find_name("new"), nullptr) << "durable";
}

TEST_F(RegistryTest, NamesAreMadeSafe) {
  open();
  EXPECT_EQ(join(1, "my host\n\"; rm -rf").name, "my-host----rm--rf");
  EXPECT_EQ(join(2, "").name, "member");
  EXPECT_EQ(join(3, std::string(300, 'x')).name.size(), kMaxNameSize);
}

TEST_F(RegistryTest, ARemovedKeyIsRefusedAndItsAddressIsFreed) {
  config_.sequential = true;
  open();
  const Member gone = join(1, "gone");
  join(2, "stays");
  const auto removed = registry_->remove("gone");
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->id, gone.id);
  for (int restart = 0; restart < 2; ++restart) {
    const Refusal why = refusal(1, "gone");
    EXPECT_EQ(why.code, Refusal::Code::revoked);
    EXPECT_THAT(why.sentence, AllOf(HasSubstr("removed"), HasSubstr("state directory")));
    EXPECT_EQ(refusal(1, "gone", false).code, Refusal::Code::revoked);
    EXPECT_TRUE(registry_->is_revoked(key(1)));
    open();
  }
  const Member next = join(3, "next");
  EXPECT_EQ(next.address, gone.address);
  EXPECT_NE(next.id, gone.id) << "ids are never reused";
}

TEST_F(RegistryTest, TheIdOfARemovedMemberIsNotReusedAfterARestart) {
  open();
  join(1);
  const MemberId gone = join(2, "gone").id;
  ASSERT_TRUE(registry_->remove("gone"));
  open();
  EXPECT_GT(join(3).id, gone);
}

TEST_F(RegistryTest, RemovingNobodyIsAnError) {
  open();
  const auto removed = registry_->remove("nobody");
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, Errc::not_found);
  EXPECT_THAT(removed.error().what, AllOf(HasSubstr("nobody"), HasSubstr("eps members")));
}

TEST_F(RegistryTest, NothingHappensThatTheStoreRejects) {
  open();
  const Member known = join(1, "known");
  const std::uint64_t version = registry_->version();
  const crypto::Hash digest = registry_->digest();
  store_.fail = true;
  const Refusal why = refusal(2, "new");
  EXPECT_EQ(why.code, Refusal::Code::store_failed);
  EXPECT_THAT(why.sentence, AllOf(HasSubstr("disk is full"), HasSubstr("on the server")));
  EXPECT_FALSE(registry_->remove("known"));
  EXPECT_EQ(registry_->members().size(), 1U);
  EXPECT_EQ(registry_->find(known.id)->name, "known");
  EXPECT_FALSE(registry_->is_revoked(key(1)));
  EXPECT_EQ(registry_->version(), version);
  EXPECT_EQ(registry_->digest(), digest);
  EXPECT_EQ(join(1, "renamed").name, "known") << "a member stays one, under the stored name";
  store_.fail = false;
  EXPECT_EQ(join(2, "new").id.value, known.id.value + 1) << "the failed join used nothing up";
}

TEST_F(RegistryTest, ARestartKeepsMembersButNotWhoIsOnline) {
  open();
  const Member a = join(1, "a");
  registry_->set_online(a.id, true);
  registry_->set_candidates(a.id, {{Candidate::Kind::local, *parse_endpoint("10.1.1.1:5")}});
  open();
  const Member* kept = registry_->find_name("a");
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(kept->id, a.id);
  EXPECT_EQ(kept->key, a.key);
  EXPECT_EQ(kept->mac, a.mac);
  EXPECT_EQ(kept->address, a.address);
  EXPECT_FALSE(kept->online);
  EXPECT_TRUE(kept->candidates.empty());
  EXPECT_GT(join(2, "b").id, a.id);
}

// Clients refuse a number that returns with another key.
TEST_F(RegistryTest, AServerRestoredFromABackupReusesNoNumber) {
  open();
  join(1, "a");
  const test::MemoryStore backup = store_;
  std::set<MemberId> given;
  for (int life = 0; life < 4; ++life) {
    store_ = backup;
    open();
    for (std::uint32_t n = 2; n < 5; ++n) EXPECT_TRUE(given.insert(join(n).id).second) << "in life " << life;
  }
}

TEST_F(RegistryTest, AServerRestoredFromABackupIsAheadOfItsEarlierVersions) {
  config_.started_at = 1000;
  open();
  const ports::StoredState backup = *store_.load();
  config_.started_at = 1000;  // within the same second, or with a stopped clock
  open();
  EXPECT_EQ(registry_->version() >> 32, 1001U);
  config_.started_at = 0;  // the clock was set back
  open();
  const std::uint64_t last = registry_->version();
  EXPECT_EQ(last >> 32, 1002U);
  registry_.reset();
  test::MemoryStore restored;
  ports::StoreChange change;
  change.put_meta = backup.meta;
  change.put_join_keys = backup.join_keys;
  ASSERT_TRUE(restored.commit(change));
  config_.started_at = 2000;
  auto opened = Registry::open(restored, config_, rng_);
  ASSERT_TRUE(opened);
  EXPECT_GT((*opened)->version(), last);
}

TEST_F(RegistryTest, NoClockDrivesTheEpochAway) {
  config_.started_at = 1'800'000'000;
  open();
  for (const std::uint32_t wrong : {0xffff'ffffU, 0xf000'0001U, 2'200'000'000U}) {
    config_.started_at = wrong;
    const std::uint64_t before = registry_->version();
    open();
    EXPECT_EQ(registry_->version() >> 32, (before >> 32) + 1) << wrong;
  }
  config_.started_at = 1'800'000'100;
  open();
  EXPECT_EQ(registry_->version() >> 32, 1'800'000'100U) << "the clock is correct again";
}

TEST_F(RegistryTest, AnEpochDrivenToTheEndByAnOlderVersionStaysUsable) {
  open();
  for (const std::uint64_t epoch : {0xffff'ffffULL, 0x1'0000'0000ULL}) {
    Bytes stored;
    Writer(stored).u64(epoch);
    ports::StoreChange change;
    change.put_meta["epoch"] = stored;
    ASSERT_TRUE(store_.commit(change));
    config_.started_at = 1'800'000'000;
    open();
    EXPECT_EQ(registry_->version(), 0xffff'ffffULL << 32 | 1'800'000'000);
    const std::uint64_t before = registry_->version();
    join(static_cast<std::uint32_t>(epoch % 7 + 1), "a");
    config_.started_at += 100;
    open();
    EXPECT_GT(registry_->version(), before);
  }
}

TEST_F(RegistryTest, AReadOnlyStoreServesExistingMembers) {
  open();
  join(1, "a");
  const std::uint64_t before = registry_->version();
  store_.fail = true;
  open();
  ASSERT_TRUE(registry_->unsaved());
  EXPECT_GT(registry_->version(), before);
  EXPECT_EQ(join(1, "another name").name, "a") << "what cannot be stored does not change";
  EXPECT_FALSE(registry_->remove("a"));
  store_.fail = false;
  const std::uint64_t unsaved = registry_->version() >> 32;
  join(2, "b");
  open();
  EXPECT_GT(registry_->version() >> 32, unsaved) << "the first change wrote the epoch";
}

TEST_F(RegistryTest, ALostNetworkIsNotReplacedSilently) {
  config_.had_network = "the key shows that there was one";
  auto opened = Registry::open(store_, config_, rng_);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().what.find("the key shows"), std::string::npos);
  config_.had_network.reset();
  ports::StoreChange change;
  change.put_members.push_back(Member{});
  ASSERT_TRUE(store_.commit(change));
  EXPECT_FALSE(Registry::open(store_, config_, rng_)) << "members without an identity";
}

TEST_F(RegistryTest, AChangedNetworkKeepsTheHostPartIfPossible) {
  config_.sequential = true;
  open();
  for (std::uint32_t n = 1; n <= 20; ++n) join(n, "h" + std::to_string(n));
  config_.network = *parse_ip4_network("10.0.8.0/27");
  config_.mtu = 1300;
  open();
  EXPECT_EQ(registry_->network().mtu, 1300);
  for (std::uint32_t n = 1; n <= 20; ++n) {
    EXPECT_EQ(registry_->find_name("h" + std::to_string(n))->address.value, 0x0a000800U + n);
  }
  const int commits = store_.commits;
  open();
  EXPECT_EQ(store_.commits, commits + 1) << "the new addresses are durable: only the epoch is written";
}

TEST_F(RegistryTest, AChangedNetworkWithoutThatHostPartAssignsAnyFreeAddress) {
  config_.network = *parse_ip4_network("10.0.0.0/8");
  open();
  for (std::uint32_t n = 1; n <= 14; ++n) join(n, "h" + std::to_string(n));
  config_.network = *parse_ip4_network("172.16.1.16/28");
  open();
  std::set<Ip4> addresses;
  for (const auto& [id, m] : registry_->members()) {
    EXPECT_TRUE(config_.network.contains(m.address));
    EXPECT_NE(m.address, config_.network.base);
    EXPECT_NE(m.address, config_.network.broadcast());
    addresses.insert(m.address);
  }
  EXPECT_EQ(addresses.size(), 14U);
  EXPECT_EQ(refusal(99).code, Refusal::Code::full);
}

TEST_F(RegistryTest, AServerWithANetworkTooSmallForItsMembersDoesNotStart) {
  open();
  for (std::uint32_t n = 1; n <= 7; ++n) join(n);
  const RegistryConfig before = config_;
  config_.network = *parse_ip4_network("10.0.8.0/29");
  const auto opened = Registry::open(store_, config_, rng_);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().what, AllOf(HasSubstr("10.0.8.0/29"), HasSubstr("room for 6"), HasSubstr("7 are enrolled"),
                                         HasSubstr("--network"), HasSubstr("eps members remove NAME")));
  config_ = before;
  open();
  EXPECT_EQ(registry_->members().size(), 7U) << "nobody was lost by the attempt";
}

TEST_F(RegistryTest, MembersAreLimited) {
  config_.network = *parse_ip4_network("10.0.0.0/8");
  ports::StoreChange all;
  for (std::uint32_t n = 1; n <= kMaxMembers; ++n) {
    Member m;
    m.id = {n};
    m.key = key(n);
    m.name = "h" + std::to_string(n);
    store_be32(m.mac.bytes.data() + 2, n);
    m.address = {0x0a000000U + n};
    all.put_members.push_back(m);
  }
  open();  // creates the identity
  ports::StoredState state = *store_.load();
  class Full final : public ports::Store {
   public:
    ports::StoredState state;
    Result<ports::StoredState> load() override { return state; }
    Result<void> commit(const ports::StoreChange&) override { return {}; }
    Result<std::vector<AuditEntry>> audit(const ports::AuditQuery&) override { return std::vector<AuditEntry>(); }
  } full;
  full.state = state;
  full.state.members = all.put_members;
  registry_ = *Registry::open(full, config_, rng_);
  const Refusal why = refusal(0xffffff);
  EXPECT_EQ(why.code, Refusal::Code::full);
  EXPECT_THAT(why.sentence, AllOf(HasSubstr("16384 members"), HasSubstr("eps members remove NAME")));
  ASSERT_TRUE(registry_->remove("h77"));
  EXPECT_GT(join(0xffffff, "late").id.value, kMaxMembers) << "no stored id is reused";
}

}  // namespace
}  // namespace eps::registry
