// SPDX-License-Identifier: MIT

// The versioned list: what a client that holds some version receives, and what the server signs.

#include <gtest/gtest.h>

#include "registry/list_digest.h"
#include "registry/registry_fixture.h"

namespace eps::registry {
namespace {

class RegistryDelta : public RegistryTest {
 protected:
  RegistryDelta() { open(); }

  void expect_same(const MemberList& list) const {
    EXPECT_EQ(list.version(), registry_->version());
    EXPECT_EQ(list.members(), registry_->members());
    EXPECT_EQ(list_digest(list.members()), registry_->digest());
  }

  void pull(MemberList& list) const {
    EXPECT_TRUE(list.apply(registry_->delta_since(list.version())));
    expect_same(list);
  }
};

TEST_F(RegistryDelta, ANewcomerGetsTheWholeListAndThenChangesOnly) {
  for (std::uint32_t n = 1; n <= 5; ++n) join(n, "h" + std::to_string(n));
  MemberList list;
  EXPECT_TRUE(registry_->delta_since(0).full);
  pull(list);
  registry_->set_online(list.find_name("h3")->id, true);
  const Delta online = registry_->delta_since(list.version());
  EXPECT_FALSE(online.full);
  ASSERT_EQ(online.upserts.size(), 1U);
  EXPECT_EQ(online.upserts[0].name, "h3");
  pull(list);
  const MemberId gone = registry_->remove("h4")->id;
  EXPECT_EQ(registry_->delta_since(list.version()).removed, std::vector{gone});
  EXPECT_TRUE(registry_->delta_since(list.version()).upserts.empty());
  pull(list);
  EXPECT_TRUE(registry_->delta_since(list.version()).upserts.empty());
}

TEST_F(RegistryDelta, VersionsNeverGoBackAndEpochsAreNotMixed) {
  join(1);
  MemberList list;
  pull(list);
  const std::uint64_t before = registry_->version();
  open();
  EXPECT_GT(registry_->version(), before);
  EXPECT_EQ(registry_->version() >> 32, (before >> 32) + 1);
  EXPECT_TRUE(registry_->delta_since(before).full);
  EXPECT_TRUE(registry_->delta_since(registry_->version() + 1).full) << "a version that never was";
  pull(list);
}

TEST_F(RegistryDelta, WithoutAChangeTheVersionStays) {
  const Member m = join(1);
  registry_->set_online(m.id, true);
  registry_->set_candidates(m.id, {{Candidate::Kind::local, *parse_endpoint("10.1.1.1:5")}});
  const std::uint64_t version = registry_->version();
  registry_->set_online(m.id, true);
  registry_->set_candidates(m.id, {{Candidate::Kind::local, *parse_endpoint("10.1.1.1:5")}});
  registry_->set_online({4242}, true);
  registry_->set_candidates({4242}, {});
  EXPECT_EQ(registry_->version(), version);
}

TEST_F(RegistryDelta, CandidatesAreCutAndEndWithTheConnection) {
  const Member m = join(1);
  registry_->set_online(m.id, true);
  registry_->set_candidates(m.id, std::vector<Candidate>(kMaxCandidates + 5));
  EXPECT_EQ(registry_->find(m.id)->candidates.size(), kMaxCandidates);
  registry_->set_online(m.id, false);
  EXPECT_TRUE(registry_->find(m.id)->candidates.empty());
}

TEST_F(RegistryDelta, TombstonesAreBoundedAndAClientFurtherBehindGetsTheWholeList) {
  join(0xfffff, "stays");
  MemberList far_behind;
  pull(far_behind);
  join(0, "first");
  ASSERT_TRUE(registry_->remove("first"));
  MemberList just_there;
  pull(just_there);
  for (std::uint32_t n = 1; n <= kMaxTombstones; ++n) {
    join(n, "x");
    ASSERT_TRUE(registry_->remove("x"));
  }
  EXPECT_TRUE(registry_->delta_since(far_behind.version()).full);
  const Delta all = registry_->delta_since(just_there.version());
  EXPECT_FALSE(all.full);
  EXPECT_EQ(all.removed.size(), kMaxTombstones);
  pull(far_behind);
  pull(just_there);
}

// Readers that pull at random moments see the same list as the registry, whatever happens in between.
TEST_F(RegistryDelta, AnyMixOfChangesConverges) {
  std::array<MemberList, 4> readers;
  for (int step = 0; step < 3000; ++step) {
    const auto n = static_cast<std::uint32_t>(rng_.below(30));
    const Member* m = registry_->members().empty()
                          ? nullptr
                          : &std::next(registry_->members().begin(),
                                       static_cast<std::ptrdiff_t>(rng_.below(registry_->members().size())))
                                 ->second;
    switch (rng_.below(6)) {
      case 0:
        (void)try_join(static_cast<std::uint32_t>(step) << 8 | n, "h" + std::to_string(n));
        break;
      case 1:
        if (m != nullptr) {
          EXPECT_TRUE(registry_->remove(std::string(m->name)));
        }
        break;
      case 2:
        if (m != nullptr) (void)registry_->join({m->key, "renamed" + std::to_string(n), "2"});
        break;
      case 3:
        if (m != nullptr) registry_->set_online(m->id, rng_.below(2) == 0);
        break;
      case 4:
        if (m != nullptr) {
          registry_->set_candidates(m->id, {{Candidate::Kind::local, {{}, static_cast<std::uint16_t>(n + 1)}}});
        }
        break;
      default:
        if (rng_.below(50) == 0) open();
    }
    if (rng_.below(3) == 0) pull(readers[rng_.below(readers.size())]);
  }
  for (MemberList& reader : readers) pull(reader);
}

TEST_F(RegistryDelta, TheSignatureIsForThisVersion) {
  const Member m = join(1);
  const auto holds = [&](std::uint64_t version, const crypto::Signature& signature) {
    return crypto::verify(registry_->signing_key(),
                          signed_list_message(registry_->network().id, version, registry_->digest()), signature);
  };
  const crypto::Signature first = registry_->signature();
  EXPECT_TRUE(holds(registry_->version(), first));
  const std::uint64_t version = registry_->version();
  registry_->set_online(m.id, true);
  EXPECT_TRUE(holds(registry_->version(), registry_->signature()));
  EXPECT_TRUE(holds(version, first));
  EXPECT_FALSE(holds(registry_->version(), first));
}

TEST(ListDigest, CoversStableFieldsOnly) {
  Member m;
  m.id = {5};
  m.name = "a";
  const auto digest = [](const Member& member) { return list_digest(MemberMap{{member.id, member}}); };
  const crypto::Hash before = digest(m);
  const auto changes = [&](auto&& change) {
    Member copy = m;
    change(copy);
    return digest(copy) != before;
  };
  EXPECT_TRUE(changes([](Member& c) { c.id = {6}; }));
  EXPECT_TRUE(changes([](Member& c) { c.key.bytes[31] = std::byte{1}; }));
  EXPECT_TRUE(changes([](Member& c) { c.name = "b"; }));
  EXPECT_TRUE(changes([](Member& c) { c.mac.bytes[5] = std::byte{1}; }));
  EXPECT_TRUE(changes([](Member& c) { c.address = {1}; }));
  EXPECT_FALSE(changes([](Member& c) { c.online = true; }));
  EXPECT_FALSE(changes([](Member& c) { c.version = "2"; }));
  EXPECT_FALSE(changes([](Member& c) { c.candidates.resize(2); }));
}

}  // namespace
}  // namespace eps::registry
