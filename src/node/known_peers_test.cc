// SPDX-License-Identifier: MIT
#include "node/known_peers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "support/node_fakes.h"
#include "support/seeded_rng.h"

namespace eps::node {
namespace {

using test::key_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Member member(std::uint32_t id, std::uint32_t of_key, std::string name, std::uint32_t host) {
  Member m;
  m.id = {id};
  m.key = key_of(of_key);
  m.name = std::move(name);
  m.address = {0x0a000000U + host};
  return m;
}

class KnownPeersTest : public testing::Test {
 protected:
  void look(std::vector<Member> members) {
    MemberList list;
    list.apply({.from = 0, .to = ++version_, .full = true, .upserts = std::move(members), .removed = {}});
    known_.look(list, key_of(1), now_);
    refused_.clear();
    for (const auto& [id, why] : known_.refused()) refused_.push_back(id.value);
  }

  const Member self_ = member(1, 1, "a", 1), b_ = member(2, 2, "b", 2), c_ = member(3, 3, "c", 3);
  std::uint64_t version_ = 0;
  KnownPeers known_;
  std::vector<std::uint32_t> refused_;
  Instant now_{std::chrono::hours(1)};
};

TEST_F(KnownPeersTest, ANewMemberIsAcceptedAndThenKnown) {
  look({self_, b_, c_});
  EXPECT_THAT(refused_, IsEmpty());
  EXPECT_TRUE(known_.take_changed());
  look({self_, b_, c_});
  EXPECT_FALSE(known_.take_changed());
  EXPECT_THAT(known_.take_warnings(), IsEmpty());
  EXPECT_THAT(known_.take_notes(), IsEmpty());
}

TEST_F(KnownPeersTest, AMemberWithAnotherKeyIsRefusedWhateverElseMatches) {
  look({self_, b_, c_});
  EXPECT_TRUE(known_.take_changed());
  for (const Member& other : {member(2, 9, "b", 2), member(2, 9, "x", 2), member(2, 9, "b", 9), member(2, 9, "x", 9)}) {
    look({self_, other, c_});
    EXPECT_THAT(refused_, ElementsAre(2U)) << other.name << to_string(other.address);
    EXPECT_FALSE(known_.take_changed()) << "nothing is learned from it";
  }
  EXPECT_THAT(known_.refused().at({2}).mend, HasSubstr("eps trust x"));
  look({self_, b_, c_});
  EXPECT_THAT(refused_, IsEmpty()) << "the known key is back";
}

TEST_F(KnownPeersTest, AnotherNameOfAKnownKeyIsTheSamePeer) {
  look({self_, b_, c_});
  look({self_, member(2, 2, "camera", 2), c_});
  EXPECT_THAT(refused_, IsEmpty());
  EXPECT_THAT(known_.take_warnings(), IsEmpty());
  EXPECT_THAT(known_.take_notes(), IsEmpty());
  EXPECT_THAT(known_.findings(now_), IsEmpty());
  EXPECT_THAT(known_.encode(key_of(9)), HasSubstr("name:camera"));
}

TEST_F(KnownPeersTest, ARefusalIsReportedOnce) {
  look({self_, b_});
  look({self_, member(2, 9, "b", 2)});
  EXPECT_THAT(known_.take_warnings(), ElementsAre(HasSubstr("b (10.0.0.2) is refused. Its key is ")));
  look({self_, member(2, 9, "b", 2), c_});
  EXPECT_THAT(known_.take_warnings(), IsEmpty());
  look({self_, member(2, 10, "b", 2), c_});
  EXPECT_EQ(known_.take_warnings().size(), 1U) << "a third key";
}

TEST_F(KnownPeersTest, MembersThatSwapSomethingAreRefused) {
  look({self_, b_, c_});
  look({self_, member(2, 2, "c", 2), member(3, 3, "b", 3)});
  EXPECT_THAT(refused_, ElementsAre(2U, 3U)) << "names";
  look({self_, member(2, 2, "b", 3), member(3, 3, "c", 2)});
  EXPECT_THAT(refused_, ElementsAre(2U, 3U)) << "addresses";
  look({self_, member(2, 3, "b", 2), member(3, 2, "c", 3)});
  EXPECT_THAT(refused_, ElementsAre(2U, 3U)) << "keys";
}

// In two steps, so that two members never have the same name.
TEST_F(KnownPeersTest, AnAbandonedNameStillBelongsToItsFormerHolder) {
  look({self_, b_, c_});
  look({self_, member(2, 2, "old-b", 2), c_});
  EXPECT_THAT(refused_, IsEmpty()) << "a member may change its name";
  look({self_, member(2, 2, "old-b", 2), member(3, 3, "b", 3)});
  EXPECT_THAT(refused_, ElementsAre(3U));
  look({self_, member(3, 3, "b", 3)});
  EXPECT_THAT(refused_, IsEmpty()) << "the other was removed";
}

TEST_F(KnownPeersTest, ASuccessorIsAcceptedAndReported) {
  look({self_, b_});
  look({self_});
  look({self_, member(7, 9, "b", 2)});
  EXPECT_THAT(refused_, IsEmpty());
  EXPECT_THAT(known_.take_warnings(), ElementsAre(HasSubstr("b (10.0.0.2) was enrolled anew, as member 7")));
  EXPECT_EQ(known_.findings(now_).size(), 1U);
  EXPECT_THAT(known_.findings(now_ + kToldFor + std::chrono::seconds(1)), IsEmpty());
  look({self_, b_, member(7, 9, "b-2", 5)});
  EXPECT_THAT(refused_, ElementsAre(2U)) << "the old one has lost its name to the successor";
  known_.trust(member(7, 9, "b", 2));
  EXPECT_THAT(known_.findings(now_), IsEmpty());
}

TEST_F(KnownPeersTest, AReassignedAddressIsNoted) {
  look({self_, b_});
  look({self_, member(7, 9, "d", 2)});
  EXPECT_THAT(refused_, IsEmpty());
  EXPECT_THAT(known_.take_warnings(), IsEmpty());
  EXPECT_THAT(known_.take_notes(), ElementsAre(HasSubstr("10.0.0.2 was the address of a member that is no more")));
}

// A computer that lost its identity file, and one whose server was restored from an old backup.
TEST_F(KnownPeersTest, APeerWithAnotherNumberButItsKeyAndNameIsAccepted) {
  look({self_, b_, c_});
  look({self_, member(3, 2, "b", 8), member(2, 3, "c", 9)});
  EXPECT_THAT(refused_, IsEmpty());
  look({self_, member(3, 2, "b", 8), member(2, 3, "c", 9), member(10, 10, "b-2", 11)});
  EXPECT_THAT(refused_, IsEmpty());
}

TEST_F(KnownPeersTest, ATrustedKeyReplacesTheOldOne) {
  look({self_, b_});
  look({self_, member(2, 9, "b", 2)});
  known_.trust(member(2, 9, "b", 2));
  look({self_, member(2, 9, "b", 2)});
  EXPECT_THAT(refused_, IsEmpty());
  EXPECT_TRUE(known_.take_changed());
  look({self_, b_});
  EXPECT_THAT(refused_, ElementsAre(2U));
}

TEST_F(KnownPeersTest, AChangeOfOneMemberCostsTheSameInALargeNetwork) {
  for (const std::uint32_t n : {100U, 10'000U}) {
    KnownPeers known;
    std::vector<Member> members = {self_};
    for (std::uint32_t id = 2; id <= n; ++id) members.push_back(member(id, id, "m" + std::to_string(id), id));
    MemberList list;
    list.apply({.from = 0, .to = 1, .full = true, .upserts = members, .removed = {}});
    EXPECT_TRUE(known.look(list, key_of(1), now_).all);
    list.apply({.from = 1, .to = 2, .full = false, .upserts = {member(7, 7, "new", 7)}, .removed = {}});
    EXPECT_THAT(known.look(list, key_of(1), now_, {false, {{7}}}).ids, ElementsAre(MemberId{7}));
    list.apply({.from = 2, .to = 3, .full = false, .upserts = {member(8, 99'999, "m8", 8)}, .removed = {}});
    EXPECT_THAT(known.look(list, key_of(1), now_, {false, {{8}}}).ids, ElementsAre(MemberId{8}));
    EXPECT_TRUE(known.refused().contains({8}));
    list.apply({.from = 3, .to = 4, .full = false, .upserts = {}, .removed = {{9}}});
    EXPECT_THAT(known.look(list, key_of(1), now_, {false, {{9}}}).ids, ElementsAre(MemberId{8}, MemberId{9}))
        << "a refused member may no longer be refused";
  }
}

// Whatever members do to each other: judging only those that changed gives the same result as judging all.
TEST_F(KnownPeersTest, JudgingChangesEqualsJudgingTheWholeList) {
  test::SeededRng rng(5);
  for (int round = 0; round < 200; ++round) {
    KnownPeers whole, parts;
    std::map<std::uint32_t, Member> members;
    for (std::uint32_t id = 2; id < 8; ++id) members[id] = member(id, id, "m" + std::to_string(id), id);
    MemberList list;
    std::uint64_t version = 0;
    std::uint32_t next_id = 8;
    for (int step = 0; step < 30; ++step) {
      std::vector<MemberId> changed;
      for (std::uint64_t n = 1 + rng.below(3); n > 0; --n) {
        const auto below = [&](std::uint64_t limit) { return static_cast<std::uint32_t>(rng.below(limit)); };
        const std::uint32_t id = below(5) == 0 ? next_id++ : 2 + below(next_id - 2);
        changed.push_back({id});
        if (below(4) == 0) {
          members.erase(id);
        } else {
          const std::uint32_t of_key = below(2) == 0 ? id : 2 + below(10);
          members.erase(id);
          const auto has_it = [&](const auto& other) { return other.second.key == key_of(of_key); };
          if (std::ranges::any_of(members, has_it)) continue;  // no key is in a list twice
          members[id] = member(id, of_key, "m" + std::to_string(2 + below(10)), 2 + below(10));
        }
      }
      Delta delta{.from = version, .to = version + 1, .full = true, .upserts = {}, .removed = {}};
      for (const auto& [id, m] : members) delta.upserts.push_back(m);
      ++version;
      list.apply(delta);
      whole.look(list, key_of(1), now_);
      parts.look(list, key_of(1), now_, step == 0 ? MembersChanged{true, {}} : MembersChanged::of(changed));
      std::vector<std::pair<std::uint32_t, std::string>> by_whole, by_parts;
      for (const auto& [id, why] : whole.refused()) by_whole.emplace_back(id.value, why.why);
      for (const auto& [id, why] : parts.refused()) by_parts.emplace_back(id.value, why.why);
      ASSERT_EQ(by_parts, by_whole) << round << " " << step;
      ASSERT_EQ(parts.encode(key_of(100)), whole.encode(key_of(100))) << round << " " << step;
    }
  }
}

TEST_F(KnownPeersTest, IsStoredAsText) {
  look({self_, b_, c_});
  look({self_, member(2, 2, "old-b", 2), c_});
  const PublicKey server = key_of(100);
  const std::string text = known_.encode(server);
  EXPECT_THAT(text, HasSubstr(" address:10.0.0.2 id:2 name:b name:old-b\n"));
  auto again = KnownPeers::decode(text, server);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->encode(server), text);
  EXPECT_FALSE(again->take_changed());
  known_ = std::move(*again);
  look({self_, member(2, 2, "old-b", 2), member(3, 3, "b", 3)});
  EXPECT_THAT(refused_, ElementsAre(3U));
  EXPECT_EQ(KnownPeers::decode(text, key_of(101))->size(), 0U) << "of another network";
}

TEST_F(KnownPeersTest, AnInvalidFileIsNotReadPartially) {
  look({self_, b_, c_});
  const PublicKey server = key_of(100);
  const std::string text = known_.encode(server);
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    if (text[cut - 1] == '\n') continue;
    EXPECT_FALSE(KnownPeers::decode(text.substr(0, cut), server)) << cut;
  }
  const std::string head = text.substr(0, text.find("peer "));
  const std::string good = to_base32(key_of(5).bytes);
  for (const char* line : {"peer x id:2", "peer", "nonsense"}) {
    EXPECT_FALSE(KnownPeers::decode(head + line + "\n", server)) << line;
  }
  for (const char* by : {" id:x", " id:", " name:", " name:a\tb", " address:10.0.0", " color:red", " 7"}) {
    EXPECT_FALSE(KnownPeers::decode(head + "peer " + good + by + "\n", server)) << by;
  }
  EXPECT_FALSE(KnownPeers::decode("peer " + good + " id:2\n", server)) << "of which network?";
  EXPECT_FALSE(KnownPeers::decode("", server)) << "a crash or a full disk has emptied it";
}

TEST_F(KnownPeersTest, OldBindingsAreDropped) {
  for (std::uint32_t n = 2; n < 2 + kMaxKnown + 10; ++n) {
    look({self_, member(n, n, "ci" + std::to_string(n), n), member(9'000'000, 9'000'000, "stays", 9'000'000)});
  }
  EXPECT_LE(known_.size(), kMaxKnown);
  look({self_, member(9'000'000, 5, "stays", 9'000'000)});
  EXPECT_THAT(refused_, ElementsAre(9'000'000U)) << "members in the list are not forgotten";
}

}  // namespace
}  // namespace eps::node
