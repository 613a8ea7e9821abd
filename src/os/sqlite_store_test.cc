// SPDX-License-Identifier: MIT
#include "os/sqlite_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/files.h"
#include "os/temporary_directory.h"

namespace eps::os {
namespace {

using ports::StoreChange;
using ports::StoredState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

PublicKey key(std::uint32_t n) {
  PublicKey out;
  store_be32(out.bytes.data(), n);
  return out;
}

Member member(std::uint32_t n) {
  Member out;
  out.id.value = n;
  out.key = key(n);
  out.name = "member-" + std::to_string(n);
  out.mac.bytes[0] = std::byte{2};
  store_be32(out.mac.bytes.data() + 2, n);
  out.address.value = 0xc0a82b00 + n;
  return out;
}

StoreChange put(std::initializer_list<Member> members) {
  StoreChange change;
  change.put_members = members;
  return change;
}

StoreChange record(std::vector<AuditEntry> entries) {
  StoreChange change;
  change.audit = std::move(entries);
  return change;
}

std::unique_ptr<SqliteStore> open(const std::string& directory) {
  Result<std::unique_ptr<SqliteStore>> store = SqliteStore::open(directory);
  if (!store) {
    ADD_FAILURE() << store.error().what;
    std::abort();
  }
  return std::move(*store);
}

void copy_file(const std::string& from, const std::string& to) {
  const auto content = read_file(from, 1 << 20);
  ASSERT_TRUE(content) << content.error().what;
  ASSERT_TRUE(write_file_atomic(to, *content, 0600));
}

// A crash leaves the write-ahead log; SQLite would replay it over any file in the place of the database.
TEST(SqliteStoreTest, ABackupInThePlaceOfTheDatabaseIsNotMixedWithWhatCameLater) {
  const TemporaryDirectory dir, backup, restored;
  const auto store = open(dir.path());
  int told = 0;
  store->on_unsettled([&] { ++told; });
  ASSERT_TRUE(store->commit(put({member(1)})));
  ASSERT_TRUE(store->commit(put({member(2)})));
  EXPECT_EQ(told, 1);
  ASSERT_TRUE(store->settle());
  copy_file(dir.path() + "/server.db", backup.path() + "/server.db");
  ASSERT_TRUE(store->commit(put({member(3)})));
  EXPECT_EQ(told, 2);
  ASSERT_TRUE(store->settle());
  copy_file(dir.path() + "/server.db-wal", restored.path() + "/server.db-wal");
  copy_file(backup.path() + "/server.db", restored.path() + "/server.db");
  EXPECT_THAT(open(restored.path())->load()->members, ElementsAre(member(1), member(2)));
}

TEST(SqliteStoreTest, AReaderIsNotWaitedFor) {
  const TemporaryDirectory dir;
  const auto store = open(dir.path());
  ASSERT_TRUE(store->commit(put({member(1)})));
  sqlite3* reader = nullptr;
  ASSERT_EQ(sqlite3_open((dir.path() + "/server.db").c_str(), &reader), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(reader, "BEGIN; SELECT * FROM members", nullptr, nullptr, nullptr), SQLITE_OK);
  ASSERT_TRUE(store->commit(put({member(2)})));
  EXPECT_FALSE(store->settle());
  sqlite3_close(reader);
  EXPECT_TRUE(store->settle());
}

// Nothing is acknowledged that would be lost with a file that has no name any more.
TEST(SqliteStoreTest, AReplacedOrRemovedDatabaseTakesNoChange) {
  const TemporaryDirectory dir;
  const auto store = open(dir.path());
  ASSERT_TRUE(store->commit(put({member(1)})));
  ASSERT_TRUE(store->settle());
  copy_file(dir.path() + "/server.db", dir.path() + "/copy");
  ASSERT_EQ(rename((dir.path() + "/copy").c_str(), (dir.path() + "/server.db").c_str()), 0);
  auto done = store->commit(put({member(2)}));
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().what, HasSubstr("server.db was replaced while eps-server had it open; restart"));
  EXPECT_EQ(store->failure(), done.error().what);
  ASSERT_EQ(unlink((dir.path() + "/server.db").c_str()), 0);
  done = store->commit(put({member(2)}));
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().what, HasSubstr("was removed"));
}

TEST(SqliteStoreTest, KeepsEveryFieldAcrossAReopen) {
  const TemporaryDirectory dir;
  Member first = member(1);
  first.address.value = 0xffffffff;
  StoreChange change = put({first, member(0xffffff)});
  change.revoke = {key(9), key(8), key(9)};
  change.put_meta = {{"empty", {}}, {"id", Bytes{std::byte{0}, std::byte{255}}}};
  {
    const auto store = open(dir.path());
    EXPECT_TRUE(store->load()->members.empty());
    ASSERT_TRUE(store->commit(change));
  }
  const StoredState state = *open(dir.path())->load();
  EXPECT_THAT(state.members, ElementsAre(first, member(0xffffff)));
  EXPECT_THAT(state.revoked, ElementsAre(key(8), key(9)));
  EXPECT_EQ(state.meta, change.put_meta);
}

TEST(SqliteStoreTest, ChangesExistingRows) {
  const TemporaryDirectory dir;
  const auto store = open(dir.path());
  StoreChange change = put({member(1), member(2), member(3)});
  change.revoke = {key(4), key(5)};
  change.put_meta = {{"a", Bytes(1)}, {"b", Bytes(1)}};
  ASSERT_TRUE(store->commit(change));

  // Two members exchange their addresses, a new one takes the key of a removed one.
  Member one = member(1), two = member(2), four = member(4);
  std::swap(one.address, two.address);
  four.key = key(3);
  change = put({one, two, four});
  change.remove_members = {{3}};
  change.unrevoke = {key(4)};
  change.put_meta = {{"b", Bytes(2)}};
  ASSERT_TRUE(store->commit(change));
  const StoredState state = *store->load();
  EXPECT_THAT(state.members, ElementsAre(one, two, four));
  EXPECT_THAT(state.revoked, ElementsAre(key(5)));
  EXPECT_EQ(state.meta, (std::map<std::string, Bytes>{{"a", Bytes(1)}, {"b", Bytes(2)}}));
}

TEST(SqliteStoreTest, AChangeIsWholeOrAbsent) {
  const TemporaryDirectory dir;
  const auto store = open(dir.path());
  ASSERT_TRUE(store->commit(put({member(1)})));
  Member clash = member(3);
  clash.address = member(1).address;
  StoreChange change = put({member(2), clash});
  change.put_meta = {{"a", Bytes(1)}};
  const Result<void> refused = store->commit(change);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  EXPECT_EQ(store->failure(), "") << "the disk works";
  EXPECT_THAT(store->load()->members, ElementsAre(member(1)));
  EXPECT_TRUE(store->commit(put({member(2)})));  // and it goes on
}

TEST(SqliteStoreTest, ASecondServerIsRefused) {
  const TemporaryDirectory dir;
  const auto store = open(dir.path());
  const auto second = SqliteStore::open(dir.path());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::in_use);
  EXPECT_THAT(second.error().what, HasSubstr("another eps-server"));
}

TEST(SqliteStoreTest, FilesAreForTheOwnerOnly) {
  const TemporaryDirectory dir;
  const std::string path = dir.path() + "/state";
  const auto store = open(path);
  ASSERT_TRUE(store->commit(put({member(1)})));
  for (const char* name : {"/server.db", "/server.db-wal", "/lock"}) {
    struct stat info {};
    ASSERT_EQ(::stat((path + name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 0777U, 0600U) << name;
  }
}

TEST(SqliteStoreTest, ADamagedFileIsReportedWithItsPath) {
  const TemporaryDirectory dir;
  const std::string path = dir.path() + "/server.db";
  ASSERT_TRUE(write_file_atomic(path, std::string(8192, 'x'), 0600));
  const auto rubbish = SqliteStore::open(dir.path());
  ASSERT_FALSE(rubbish);
  EXPECT_EQ(rubbish.error().code, Errc::corrupt);
  EXPECT_THAT(rubbish.error().what, HasSubstr(path));
  EXPECT_THAT(rubbish.error().what, HasSubstr("backup"));

  ASSERT_EQ(::unlink(path.c_str()), 0);
  {
    const auto store = open(dir.path());
    for (std::uint32_t i = 1; i <= 500; ++i) ASSERT_TRUE(store->commit(put({member(i)})));
  }
  std::string content = *read_file(path, 10 << 20);
  std::fill(content.begin() + 8192, content.begin() + 16384, '\x5a');
  ASSERT_TRUE(write_file_atomic(path, content, 0600));
  const auto damaged = SqliteStore::open(dir.path());
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, Errc::corrupt);
}

TEST(SqliteStoreTest, ANewerFormatIsLeftUntouched) {
  const TemporaryDirectory dir;
  { const auto store = open(dir.path()); }
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open((dir.path() + "/server.db").c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "PRAGMA user_version = 99", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
  const auto newer = SqliteStore::open(dir.path());
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, Errc::unsupported);
  EXPECT_THAT(newer.error().what, HasSubstr("99"));
}

TEST(SqliteStoreTest, TheAuditRecordGrowsWithTheChangesAndIsReadInParts) {
  const TemporaryDirectory dir;
  const auto entry = [](std::int64_t time, AuditEntry::Kind kind = AuditEntry::Kind::administrator) {
    return AuditEntry{0, time, kind, "remove", "root", "m" + std::to_string(time)};
  };
  {
    const auto store = open(dir.path());
    StoreChange change = put({member(1)});
    change.audit = {entry(100), entry(200)};
    ASSERT_TRUE(store->commit(change));
    change.put_members.push_back(member(1));  // twice: the change fails, and its entry with it
    change.audit = {entry(250)};
    ASSERT_FALSE(store->commit(change));
    ASSERT_TRUE(store->commit(record({entry(300)})));
  }
  struct stat info {};
  ASSERT_EQ(::stat((dir.path() + "/server.db").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  const auto store = open(dir.path());
  const auto all = store->audit({});
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 3U);
  AuditEntry first = entry(100);
  first.id = (*all)[0].id;
  EXPECT_EQ((*all)[0], first);
  EXPECT_EQ((*all)[2].what, "m300");
  EXPECT_EQ(store->audit({.after = first.id})->size(), 2U);
  EXPECT_EQ(store->audit({.after = 0, .since = 200})->size(), 2U);
  EXPECT_EQ(store->audit({.after = 0, .since = 0, .limit = 1})->front().what, "m100");
}

TEST(SqliteStoreTest, NoKindOfEntryCrowdsOutAnother) {
  const TemporaryDirectory dir;
  const auto store = open(dir.path());
  ASSERT_TRUE(store->commit(record({{0, 1, AuditEntry::Kind::administrator, "remove", "root", "b"}})));
  StoreChange many;
  for (std::size_t i = 0; i < kMaxAuditEntries + 10; ++i) {
    many.audit.push_back({0, 2, AuditEntry::Kind::rename, "rename", "a", "b"});
  }
  ASSERT_TRUE(store->commit(many));
  ASSERT_TRUE(store->commit(record({{0, 3, AuditEntry::Kind::rename, "rename", "a", "c"}})));
  const auto all = *store->audit({.after = 0, .since = 0, .limit = 2 * kMaxAuditEntries});
  EXPECT_EQ(all.size(), kMaxAuditEntries + 1);
  EXPECT_EQ(all.front().act, "remove");
  EXPECT_EQ(all.back().what, "c");
}

// A child commits member after member and reports each; killed at any moment, all that it reported are there.
TEST(SqliteStoreTest, AcknowledgedChangeSurvivesAKill) {
  for (int round = 0; round < 5; ++round) {
    const TemporaryDirectory dir;
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(pipe[0]);
      const auto store = open(dir.path());
      for (std::uint32_t i = 1;; ++i) {
        StoreChange change = put({member(i)});
        change.put_meta["last"] = Bytes(i % 250);
        if (!store->commit(change) || ::write(pipe[1], &i, sizeof(i)) != sizeof(i)) ::_exit(1);
      }
    }
    ::close(pipe[1]);
    std::uint32_t acknowledged = 0;
    while (acknowledged < static_cast<std::uint32_t>(20 + 31 * round)) {
      ASSERT_EQ(::read(pipe[0], &acknowledged, sizeof(acknowledged)), static_cast<ssize_t>(sizeof(acknowledged)));
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    while (::read(pipe[0], &acknowledged, sizeof(acknowledged)) == static_cast<ssize_t>(sizeof(acknowledged))) {
    }
    ::close(pipe[0]);
    const StoredState state = *open(dir.path())->load();
    ASSERT_GE(state.members.size(), acknowledged);
    ASSERT_LE(state.members.size(), acknowledged + 1);  // one may have been in progress
    for (std::uint32_t i = 0; i < state.members.size(); ++i) EXPECT_EQ(state.members[i], member(i + 1));
    EXPECT_EQ(state.meta.at("last").size(), state.members.size() % 250) << "half a change";
  }
}

}  // namespace
}  // namespace eps::os
