// SPDX-License-Identifier: MIT
#include "registry/network_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/seeded_rng.h"

namespace eps::registry {
namespace {

using testing::HasSubstr;

class NetworkLockTest : public testing::Test {
 protected:
  NetworkLockTest() {
    rng_.fill(network_.id.bytes);
    network_.network = *parse_ip4_network("192.168.43.0/24");
    network_.network6 = default_network6(network_.id);
    for (crypto::Key* seed : {&alice_, &bob_}) rng_.fill(seed->writable());
    rng_.fill(secret_);
    rng_.fill(member_.key.bytes);
    member_.id = {7};
    member_.name = "laptop";
    member_.mac = *parse_mac("02:00:00:00:00:07");
    member_.address = *parse_ip4("192.168.43.7");
    member_.grants.ranges = {*parse_ip_network("fd99::/64")};
  }

  static PublicKey public_of(const crypto::Key& seed) { return crypto::signing_public_key(seed); }
  Result<void> append(const Bytes& entry) { return chain_.append(network_.id, entry); }
  void begin() { ASSERT_TRUE(append(begin_lock(chain_, network_.id, alice_, {&secret_, 1}))); }
  void sign(std::uint64_t sequence = 1) {
    member_.lock = sign_record(alice_, chain_.id(), network_, member_, sequence);
  }
  // Every byte of the entry changed, cut off or added makes it none.
  void expect_every_byte_counts(const Bytes& entry) {
    for (std::size_t i = 0; i < entry.size(); ++i) {
      Bytes changed = entry;
      changed[i] ^= std::byte{1};
      LockChain chain = chain_;
      EXPECT_FALSE(chain.append(network_.id, changed)) << "byte " << i;
      EXPECT_EQ(chain.head(), chain_.head());
      EXPECT_FALSE(chain.append(network_.id, ByteView(entry).first(i))) << "cut at " << i;
    }
    Bytes longer = entry;
    longer.push_back({});
    EXPECT_FALSE(append(longer));
  }

  test::SeededRng rng_{3};
  NetworkInfo network_;
  crypto::Key alice_, bob_;
  LockSecret secret_;
  LockChain chain_;
  Member member_;
};

TEST_F(NetworkLockTest, EveryByteOfEachKindOfEntryCounts) {
  const Bytes begins = begin_lock(chain_, network_.id, alice_, {&secret_, 1});
  expect_every_byte_counts(begins);
  ASSERT_TRUE(append(begins));
  EXPECT_EQ(chain_.signers(), std::vector{public_of(alice_)});
  const Bytes comes = change_signer(chain_, network_.id, alice_, public_of(bob_), true);
  expect_every_byte_counts(comes);
  ASSERT_TRUE(append(comes));
  const Bytes goes = change_signer(chain_, network_.id, bob_, public_of(alice_), false);
  expect_every_byte_counts(goes);
  ASSERT_TRUE(append(goes));
  EXPECT_EQ(chain_.signers(), std::vector{public_of(bob_)});
  const Bytes ends = end_lock(chain_, network_.id, secret_);
  expect_every_byte_counts(ends);
  ASSERT_TRUE(append(ends));
  EXPECT_FALSE(chain_.on());
}

TEST_F(NetworkLockTest, OnlyASignerChangesSigners) {
  begin();
  EXPECT_FALSE(append(change_signer(chain_, network_.id, bob_, public_of(bob_), true))) << "bob is none";
  ASSERT_TRUE(append(change_signer(chain_, network_.id, alice_, public_of(bob_), true)));
  ASSERT_TRUE(append(change_signer(chain_, network_.id, bob_, public_of(alice_), false)));
  EXPECT_FALSE(append(change_signer(chain_, network_.id, alice_, public_of(alice_), true))) << "alice was one";
  EXPECT_FALSE(append(change_signer(chain_, network_.id, bob_, public_of(bob_), false))) << "nobody would be left";
  EXPECT_FALSE(append(change_signer(chain_, network_.id, bob_, public_of(bob_), true))) << "it is one";
}

TEST_F(NetworkLockTest, OnlyASecretOfTheLockEndsIt) {
  begin();
  LockSecret other = secret_;
  other[0] ^= std::byte{1};
  EXPECT_FALSE(append(end_lock(chain_, network_.id, other)));
  EXPECT_FALSE(append(begin_lock(chain_, network_.id, bob_, {&secret_, 1}))) << "it is on";
  ASSERT_TRUE(append(end_lock(chain_, network_.id, secret_)));
  EXPECT_FALSE(append(end_lock(chain_, network_.id, secret_))) << "it is off";
  // Another lock continues the chain, and what was signed for the first does not count in it.
  member_.lock = sign_record(alice_, chain_.id(), network_, member_, 1);
  ASSERT_TRUE(append(begin_lock(chain_, network_.id, alice_, {&other, 1})));
  EXPECT_FALSE(is_record_signed(chain_, network_, member_));
  EXPECT_FALSE(append(end_lock(chain_, network_.id, secret_))) << "a secret of the lock before";
}

TEST_F(NetworkLockTest, ChainsThatPartDoNotContinueEachOther) {
  begin();
  LockChain one = chain_, two = chain_;
  ASSERT_TRUE(one.append(network_.id, change_signer(chain_, network_.id, alice_, public_of(bob_), true)));
  ASSERT_TRUE(two.append(network_.id, end_lock(chain_, network_.id, secret_)));
  EXPECT_TRUE(one.continues(chain_));
  EXPECT_TRUE(one.continues(one));
  EXPECT_FALSE(chain_.continues(one));
  EXPECT_FALSE(one.continues(two));
  EXPECT_FALSE(two.continues(one));
  EXPECT_FALSE(one.append(network_.id, two.entries().back())) << "an entry has one place in one chain";
  NetworkId other = network_.id;
  other.bytes[0] ^= std::byte{1};
  EXPECT_FALSE(LockChain::of(other, chain_.entries())) << "and in one network";
}

TEST_F(NetworkLockTest, AChainKeepsThroughItsBytes) {
  begin();
  ASSERT_TRUE(append(change_signer(chain_, network_.id, alice_, public_of(bob_), true)));
  const Bytes kept = encode_chain(chain_);
  const auto again = decode_chain(network_.id, kept);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->head(), chain_.head());
  EXPECT_EQ(again->signers(), chain_.signers());
  EXPECT_FALSE(decode_chain(network_.id, ByteView(kept).first(kept.size() - 1)));
}

TEST_F(NetworkLockTest, AChainThatIsFullCanStillBeEnded) {
  begin();
  bool in = false;
  Result<void> last;
  do {
    last = append(change_signer(chain_, network_.id, alice_, public_of(bob_), !in));
    in = !in;
  } while (last);
  EXPECT_EQ(chain_.entries().size(), kMaxLockEntries - 1);
  EXPECT_THAT(last.error().what, HasSubstr("eps lock disable"));
  EXPECT_TRUE(append(end_lock(chain_, network_.id, secret_)));
}

TEST_F(NetworkLockTest, EveryFieldOfARecordIsSigned) {
  begin();
  sign();
  ASSERT_TRUE(is_record_signed(chain_, network_, member_));
  ASSERT_TRUE(are_grants_signed(chain_, member_));
  const auto record_fails = [&](const char* what, auto&& change) {
    Member m = member_;
    NetworkInfo network = network_;
    change(m, network);
    EXPECT_FALSE(is_record_signed(chain_, network, m)) << what;
  };
  record_fails("id", [](Member& m, NetworkInfo&) { m.id = {8}; });
  record_fails("key", [](Member& m, NetworkInfo&) { m.key.bytes[31] ^= std::byte{1}; });
  record_fails("name", [](Member& m, NetworkInfo&) { m.name = "laptoq"; });
  record_fails("MAC", [](Member& m, NetworkInfo&) { m.mac.bytes[5] ^= std::byte{1}; });
  record_fails("address", [](Member& m, NetworkInfo&) { ++m.address.value; });
  record_fails("sequence", [](Member& m, NetworkInfo&) { ++m.lock.sequence; });
  record_fails("signature", [](Member& m, NetworkInfo&) { m.lock.record = crypto::Signature{std::byte{1}}; });
  record_fails("none", [](Member& m, NetworkInfo&) { m.lock = {}; });
  record_fails("range", [](Member&, NetworkInfo& n) { n.network.prefix = 16; });
  record_fails("base", [](Member&, NetworkInfo& n) { n.network.base.value += 256; });
  record_fails("IPv6", [](Member&, NetworkInfo& n) { n.network6->base.bytes[3] ^= std::byte{1}; });
  const auto grants_fail = [&](const char* what, auto&& change) {
    Member m = member_;
    change(m);
    EXPECT_FALSE(are_grants_signed(chain_, m)) << what;
  };
  grants_fail("more", [](Member& m) { m.grants.ranges.push_back(*parse_ip_network("192.168.43.9")); });
  grants_fail("wider", [](Member& m) { m.grants.ranges[0].length = 48; });
  grants_fail("bridge", [](Member& m) { m.grants.bridge = true; });
  grants_fail("id", [](Member& m) { m.id = {8}; });
  grants_fail("key", [](Member& m) { m.key.bytes[0] ^= std::byte{1}; });
  grants_fail("sequence", [](Member& m) { ++m.lock.sequence; });
  grants_fail("none", [](Member& m) { m.lock.grants = {}; });
  Member fewer = member_;
  fewer.grants = {};
  EXPECT_TRUE(is_record_signed(chain_, network_, fewer)) << "to take grants back needs no signature";
  // The one signature is not taken for the other.
  Member swapped = member_;
  std::swap(swapped.lock.record, swapped.lock.grants);
  EXPECT_FALSE(is_record_signed(chain_, network_, swapped));
  EXPECT_FALSE(are_grants_signed(chain_, swapped));
}

TEST_F(NetworkLockTest, ASignerThatIsNoneAnyMoreHasSignedNothing) {
  begin();
  sign();
  ASSERT_TRUE(append(change_signer(chain_, network_.id, alice_, public_of(bob_), true)));
  EXPECT_TRUE(is_record_signed(chain_, network_, member_));
  ASSERT_TRUE(append(change_signer(chain_, network_.id, bob_, public_of(alice_), false)));
  EXPECT_FALSE(is_record_signed(chain_, network_, member_));
  member_.lock = sign_record(bob_, chain_.id(), network_, member_, 2);
  EXPECT_TRUE(is_record_signed(chain_, network_, member_));
}

TEST_F(NetworkLockTest, TextsAndMarksKeepTheirMeaning) {
  begin();
  sign(9);
  EXPECT_EQ(parse_signer(signer_text(public_of(alice_))), public_of(alice_));
  EXPECT_EQ(parse_secret(secret_text(secret_)), secret_);
  EXPECT_FALSE(parse_signer(secret_text(secret_)));
  EXPECT_FALSE(parse_secret("eps-unlock1-aaaa"));
  EXPECT_EQ(decode_mark(encode_mark(member_.lock)), member_.lock);
  EXPECT_FALSE(decode_mark({}));
}

}  // namespace
}  // namespace eps::registry
