// SPDX-License-Identifier: MIT
#include "os/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>
#include <utility>

#include "os/files.h"
#include "os/sys_error.h"

namespace eps::os {
namespace {

constexpr off_t kMaxCopied = 256 * 1024 * 1024;  // 16,384 members are 3 MB
constexpr int kBusyMilliseconds = 5000;          // while a backup (sqlite3 server.db .backup) reads

constexpr const char* kPragmas =
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = FULL;"  // a commit that returned is on the disk
    "PRAGMA foreign_keys = ON;"
    "PRAGMA trusted_schema = OFF;"
    "PRAGMA cell_size_check = ON;";

// Step n brings a database from format n to n + 1 (PRAGMA user_version); a new database takes all of them. A step that
// was released never changes.
constexpr std::array kMigrations = {
    // The keys of the revoked are kept for ever, so a member's number may go while its key stays.
    "CREATE TABLE members ("
    "  id      INTEGER PRIMARY KEY,"
    "  key     BLOB    NOT NULL UNIQUE CHECK (length(key) = 32),"
    "  name    TEXT    NOT NULL,"
    "  mac     BLOB    NOT NULL UNIQUE CHECK (length(mac) = 6),"
    "  address INTEGER NOT NULL UNIQUE CHECK (address BETWEEN 0 AND 4294967295)"
    ") STRICT;"
    "CREATE TABLE revoked (key BLOB PRIMARY KEY CHECK (length(key) = 32)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;",
    // Times are seconds since 1970; uses = 0: any number, expires = 0: never.
    "CREATE TABLE join_keys ("
    "  id      INTEGER PRIMARY KEY,"
    "  secret  BLOB    NOT NULL CHECK (length(secret) = 16),"
    "  name    TEXT    NOT NULL,"
    "  uses    INTEGER NOT NULL,"
    "  used    INTEGER NOT NULL,"
    "  created INTEGER NOT NULL,"
    "  expires INTEGER NOT NULL,"
    "  revoked INTEGER NOT NULL,"
    "  approve INTEGER NOT NULL"
    ") STRICT;",
    // AUTOINCREMENT: no id is reused, whatever was deleted.
    "CREATE TABLE audit ("
    "  id   INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  time INTEGER NOT NULL,"
    "  kind INTEGER NOT NULL,"
    "  act  TEXT    NOT NULL,"
    "  who  TEXT    NOT NULL,"
    "  what TEXT    NOT NULL"
    ") STRICT;"
    "CREATE INDEX audit_kinds ON audit (kind, id);",
};
constexpr std::int64_t kSchemaVersion = kMigrations.size();

// A prepared statement. Values are bound in order; step() gives its rows, read column by column.
class Statement {
 public:
  Statement(sqlite3* db, const char* sql) {
    // On failure there is no statement, and step() says so through the connection's error.
    sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  // The bound bytes must stay until the statement has run.
  Statement& bind(ByteView bytes) {
    // A null pointer would bind NULL instead of no bytes.
    const void* const data = bytes.empty() ? static_cast<const void*>("") : bytes.data();
    sqlite3_bind_blob64(statement_, ++bound_, data, bytes.size(), SQLITE_STATIC);
    return *this;
  }
  Statement& bind(std::string_view text) {
    sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
    return *this;
  }
  Statement& bind(std::int64_t number) {
    sqlite3_bind_int64(statement_, ++bound_, number);
    return *this;
  }
  Statement& bind(std::uint32_t number) { return bind(std::int64_t{number}); }

  // Runs to the next row: SQLITE_ROW, SQLITE_DONE or an error.
  int step() { return statement_ == nullptr ? SQLITE_ERROR : sqlite3_step(statement_); }
  // Runs a statement that has no rows; ready to be bound again.
  bool run() {
    const bool done = step() == SQLITE_DONE;
    sqlite3_reset(statement_);
    bound_ = 0;
    return done;
  }

  ByteView bytes(int column) {
    const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_, column));
    return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
  }
  std::int64_t number(int column) { return sqlite3_column_int64(statement_, column); }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

template <std::size_t N>
bool copy_exactly(ByteView from, std::array<std::byte, N>& to) {
  if (from.size() != N) return false;
  std::memcpy(to.data(), from.data(), N);
  return true;
}

bool run(sqlite3* db, const char* sql) {
  return sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK;
}

// A damaged database cannot be used or repaired; only a copy helps.
constexpr const char* kDamaged =
    "restore it from a backup, or move it (and its -wal file) away to begin a new network, which every client must "
    "then join anew";

}  // namespace

void SqliteStore::Close::operator()(sqlite3* db) const {
  sqlite3_close(db);
}

SqliteStore::SqliteStore(UniqueFd lock, std::string path) : lock_(std::move(lock)), path_(std::move(path)) {}

SqliteStore::~SqliteStore() = default;

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::string& directory, bool may_create) {
  if (Result<void> made = create_private_directory(directory); !made) return made.error();
  Result<UniqueFd> lock = lock_file(directory + "/lock", "another eps-server uses the state directory " + directory,
                                    "stop it, or give this one a directory of its own with --state");
  if (!lock) return lock.error();
  std::unique_ptr<SqliteStore> store(new SqliteStore(std::move(*lock), directory + "/server.db"));
  struct stat info {};
  const bool there = ::stat(store->path_.c_str(), &info) == 0 && info.st_size > 0;
  if (!there && !may_create) {
    return make_error(Errc::not_found, store->path_ + (errno == ENOENT ? " is gone" : " is empty"));
  }
  Result<void> opened = store->open_database(store->path_);
  if (opened) opened = store->migrate();
  if (opened) opened = sync_directory(directory);
  if (!opened && there && is_unwritable(opened.error())) opened = store->read_copy();
  if (!opened) return opened.error();
  return store;
}

// SQLite can read a database with an unmerged write-ahead log only if it may write next to it. So this reads a copy in
// memory, which is gone when it returns.
Result<void> SqliteStore::read_copy() {
  db_.reset();
  std::string directory = "/dev/shm/eps-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) {
    directory = "/tmp/eps-XXXXXX";
    if (::mkdtemp(directory.data()) == nullptr) return sys_error("cannot read " + path_ + " by a copy of it", errno);
  }
  const std::string copy = directory + "/server.db";
  Result<void> done;
  for (const char* part : {"", "-wal"}) {
    struct stat info {};
    const bool sized = ::stat((path_ + part).c_str(), &info) == 0 && info.st_size <= kMaxCopied;
    const auto content = read_file(path_ + part, sized ? static_cast<std::size_t>(info.st_size) : 0);
    if (!content && *part != '\0' && content.error().code == Errc::not_found) continue;
    done = content ? write_file_atomic(copy + part, *content, 0600) : Result<void>(content.error());
    if (!done) break;
  }
  if (done) done = open_database(copy);
  if (done) done = migrate();
  if (done) {
    auto state = load_open();
    if (state) read_ = std::move(*state);
    if (!state) done = state.error();
  }
  db_.reset();
  for (const char* part : {"", "-wal", "-shm"}) ::unlink((copy + part).c_str());
  ::rmdir(directory.c_str());
  return done;
}

Result<void> SqliteStore::open_database(const std::string& path) {
  {
    // Made here, as SQLite would make it readable for all; its -wal and -shm files take the mode of this one.
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return sys_error("cannot open " + path, errno, "run eps-server as the user who owns its state directory");
  }
  sqlite3* db = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, nullptr);
  db_.reset(db);
  if (opened != SQLITE_OK) return error("open");
  opened_ = file_id(path);
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, kBusyMilliseconds);
  if (!run(db, kPragmas)) return error("open");
  Statement check(db, "PRAGMA quick_check(1)");
  if (check.step() != SQLITE_ROW) return error("check");
  if (as_text(check.bytes(0)) != "ok") {
    return make_error(Errc::corrupt, path_ + " is damaged (" + std::string(as_text(check.bytes(0))) + "); " + kDamaged);
  }
  return {};
}

Result<void> SqliteStore::migrate() {
  std::int64_t version = 0;
  {
    Statement read(db_.get(), "PRAGMA user_version");
    if (read.step() != SQLITE_ROW) return error("read");
    version = read.number(0);
  }
  if (version > kSchemaVersion || version < 0) {
    return make_error(Errc::unsupported, path_ + " was written by a newer eps-server (format " +
                                             std::to_string(version) + ", this one knows " +
                                             std::to_string(kSchemaVersion) + "); install that version again");
  }
  if (version == kSchemaVersion) return {};
  std::string steps = "BEGIN IMMEDIATE;";
  for (auto at = static_cast<std::size_t>(version); at < kMigrations.size(); ++at) steps += kMigrations[at];
  steps += "PRAGMA user_version = " + std::to_string(kSchemaVersion) + "; COMMIT";
  if (run(db_.get(), steps.c_str())) return {};
  Error failed = error("set up");
  run(db_.get(), "ROLLBACK");
  return failed;
}

Result<ports::StoredState> SqliteStore::load() {
  if (read_) return std::move(*std::exchange(read_, std::nullopt));
  return load_open();
}

Result<ports::StoredState> SqliteStore::load_open() {
  ports::StoredState state;
  bool valid = true;
  int step;
  Statement members(db_.get(), "SELECT id, key, name, mac, address FROM members ORDER BY id");
  while ((step = members.step()) == SQLITE_ROW) {
    Member& member = state.members.emplace_back();
    member.id.value = static_cast<std::uint32_t>(members.number(0));
    valid =
        copy_exactly(members.bytes(1), member.key.bytes) && copy_exactly(members.bytes(3), member.mac.bytes) && valid;
    member.name = as_text(members.bytes(2));
    member.address.value = static_cast<std::uint32_t>(members.number(4));
  }
  if (step != SQLITE_DONE) return error("read");
  Statement revoked(db_.get(), "SELECT key FROM revoked ORDER BY key");
  while ((step = revoked.step()) == SQLITE_ROW) {
    valid = copy_exactly(revoked.bytes(0), state.revoked.emplace_back().bytes) && valid;
  }
  if (step != SQLITE_DONE) return error("read");
  Statement keys(db_.get(),
                 "SELECT id, secret, name, uses, used, created, expires, revoked, approve FROM join_keys ORDER BY id");
  while ((step = keys.step()) == SQLITE_ROW) {
    JoinKey& key = state.join_keys.emplace_back();
    key.id = static_cast<std::uint32_t>(keys.number(0));
    valid = copy_exactly(keys.bytes(1), key.secret) && valid;
    key.name = as_text(keys.bytes(2));
    key.uses = static_cast<std::uint32_t>(keys.number(3));
    key.used = static_cast<std::uint32_t>(keys.number(4));
    key.created = keys.number(5);
    key.expires = keys.number(6);
    key.revoked = keys.number(7) != 0;
    key.approve = keys.number(8) != 0;
  }
  if (step != SQLITE_DONE) return error("read");
  Statement meta(db_.get(), "SELECT name, value FROM meta");
  while ((step = meta.step()) == SQLITE_ROW) {
    const ByteView value = meta.bytes(1);
    state.meta.emplace(as_text(meta.bytes(0)), Bytes(value.begin(), value.end()));
  }
  if (step != SQLITE_DONE) return error("read");
  if (!valid) return make_error(Errc::corrupt, path_ + " holds a key or address of a wrong length; " + kDamaged);
  return state;
}

// If it could not be written at the start.
Result<void> SqliteStore::reopen() {
  if (db_) return {};
  Result<void> opened = open_database(path_);
  if (opened) opened = migrate();
  if (!opened) db_.reset();
  return opened;
}

Result<std::vector<AuditEntry>> SqliteStore::audit(const ports::AuditQuery& query) {
  if (Result<void> opened = reopen(); !opened) return opened.error();
  std::vector<AuditEntry> out;
  Statement read(db_.get(),
                 "SELECT id, time, kind, act, who, what FROM audit WHERE id > ? AND time >= ? ORDER BY id LIMIT ?");
  read.bind(static_cast<std::int64_t>(query.after)).bind(query.since).bind(static_cast<std::int64_t>(query.limit));
  int step;
  while ((step = read.step()) == SQLITE_ROW) {
    AuditEntry& entry = out.emplace_back();
    entry.id = static_cast<std::uint64_t>(read.number(0));
    entry.unix_time = read.number(1);
    entry.kind = static_cast<AuditEntry::Kind>(read.number(2));
    entry.act = as_text(read.bytes(3));
    entry.who = as_text(read.bytes(4));
    entry.what = as_text(read.bytes(5));
  }
  if (step != SQLITE_DONE) return error("read");
  return out;
}

Result<void> SqliteStore::commit(const ports::StoreChange& change) {
  auto written = write(change);
  // An inconsistent change is its sender's fault, not the disk's.
  if (written || written.error().code != Errc::invalid_argument) failure_ = written ? "" : written.error().what;
  return written;
}

SqliteStore::FileId SqliteStore::file_id(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? FileId{info.st_dev, info.st_ino} : FileId{};
}

// What is written to a file that has lost its name is lost with it.
Result<void> SqliteStore::check_in_place() const {
  const FileId now = file_id(path_);
  if (now == opened_) return {};
  return make_error(Errc::unavailable, path_ + " was " + (now == FileId{} ? "removed" : "replaced") +
                                           " while eps-server had it open; restart eps-server, which goes on with "
                                           "what is there then");
}

bool SqliteStore::settle() {
  if (!db_ || !unsettled_) return true;
  // Readers are not waited for.
  sqlite3_busy_timeout(db_.get(), 0);
  const int done = sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  sqlite3_busy_timeout(db_.get(), kBusyMilliseconds);
  unsettled_ = done != SQLITE_OK;
  return !unsettled_;
}

Result<void> SqliteStore::write(const ports::StoreChange& change) {
  if (Result<void> opened = reopen(); !opened) return opened;
  if (Result<void> in_place = check_in_place(); !in_place) return in_place;
  if (run(db_.get(), "BEGIN IMMEDIATE") && apply(change) && run(db_.get(), "COMMIT")) {
    if (!std::exchange(unsettled_, true)) on_unsettled_();
    return {};
  }
  Error failed = error("write");
  run(db_.get(), "ROLLBACK");  // fails where SQLite has rolled back itself
  return failed;
}

// REQUIRES: within a transaction.
bool SqliteStore::apply(const ports::StoreChange& change) {
  sqlite3* const db = db_.get();
  Statement remove(db, "DELETE FROM members WHERE id = ?");
  Statement put(db, "INSERT INTO members (id, key, name, mac, address) VALUES (?, ?, ?, ?, ?)");
  Statement revoke(db, "INSERT INTO revoked (key) VALUES (?) ON CONFLICT DO NOTHING");
  Statement unrevoke(db, "DELETE FROM revoked WHERE key = ?");
  Statement remove_key(db, "DELETE FROM join_keys WHERE id = ?");
  Statement put_key(db,
                    "INSERT OR REPLACE INTO join_keys (id, secret, name, uses, used, created, expires, revoked, "
                    "approve) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  Statement put_meta(db,
                     "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value");
  for (const MemberId id : change.remove_members) {
    if (!remove.bind(id.value).run()) return false;
  }
  // All old rows are deleted before the new ones are inserted, so that members may exchange unique values.
  for (const Member& member : change.put_members) {
    if (!remove.bind(member.id.value).run()) return false;
  }
  for (const Member& member : change.put_members) {
    put.bind(member.id.value).bind(member.key.bytes).bind(std::string_view(member.name));
    if (!put.bind(member.mac.bytes).bind(member.address.value).run()) return false;
  }
  for (const PublicKey& key : change.revoke) {
    if (!revoke.bind(key.bytes).run()) return false;
  }
  for (const PublicKey& key : change.unrevoke) {
    if (!unrevoke.bind(key.bytes).run()) return false;
  }
  for (const std::uint32_t id : change.remove_join_keys) {
    if (!remove_key.bind(id).run()) return false;
  }
  for (const JoinKey& key : change.put_join_keys) {
    put_key.bind(key.id).bind(key.secret).bind(std::string_view(key.name)).bind(key.uses).bind(key.used);
    put_key.bind(key.created).bind(key.expires).bind(std::int64_t{key.revoked}).bind(std::int64_t{key.approve});
    if (!put_key.run()) return false;
  }
  for (const auto& [name, value] : change.put_meta) {
    if (!put_meta.bind(std::string_view(name)).bind(value).run()) return false;
  }
  return record(change.audit);
}

// REQUIRES: within a transaction.
bool SqliteStore::record(const std::vector<AuditEntry>& entries) {
  if (entries.empty()) return true;
  Statement put(db_.get(), "INSERT INTO audit (time, kind, act, who, what) VALUES (?, ?, ?, ?, ?)");
  Statement give_up(db_.get(),
                    "DELETE FROM audit WHERE kind = ?1 AND id <= (SELECT id FROM audit WHERE kind = ?1 "
                    "ORDER BY id DESC LIMIT 1 OFFSET ?2)");
  std::set<std::int64_t> kinds;
  for (const AuditEntry& entry : entries) {
    const auto kind = static_cast<std::int64_t>(entry.kind);
    kinds.insert(kind);
    put.bind(entry.unix_time).bind(kind).bind(std::string_view(entry.act)).bind(std::string_view(entry.who));
    if (!put.bind(std::string_view(entry.what)).run()) return false;
  }
  return std::ranges::all_of(kinds, [&](std::int64_t kind) {
    return give_up.bind(kind).bind(static_cast<std::int64_t>(kMaxAuditEntries)).run();
  });
}

// What the connection reports about its last call, which failed.
Error SqliteStore::error(const char* tried) const {
  const int code = sqlite3_extended_errcode(db_.get());
  int sys = sqlite3_system_errno(db_.get());
  if ((code & 0xff) == SQLITE_FULL && sys == 0) sys = ENOSPC;
  const std::string what =
      std::string("cannot ") + tried + " " + path_ + ": " + (db_ ? sqlite3_errmsg(db_.get()) : "out of memory");
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return make_error(Errc::corrupt, what + "; " + kDamaged, sys);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return make_error(Errc::in_use, what + "; stop the other program that has it open", sys);
    case SQLITE_FULL:
      return make_error(Errc::exhausted, what + "; make room on the disk", sys);
    case SQLITE_NOMEM:
      return make_error(Errc::exhausted, what, sys);
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return make_error(Errc::permission, what + "; run eps-server as the user who owns its state directory", sys);
    case SQLITE_CONSTRAINT:
      return make_error(Errc::invalid_argument, what, sys);
    default:
      return make_error(Errc::unavailable, what, sys);
  }
}

}  // namespace eps::os
