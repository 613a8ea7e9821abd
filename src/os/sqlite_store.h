// SPDX-License-Identifier: MIT
#pragma once

// The server's durable state in one SQLite database, server.db. It holds the network's identity: the directory is for
// its owner only.

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "os/unique_fd.h"
#include "ports/store.h"

struct sqlite3;

namespace eps::os {

class SqliteStore final : public ports::Store {
 public:
  // Makes the directory (0700) and the database (0600) if they are missing, the database only if `may_create`;
  // otherwise Errc::not_found if it is missing or empty. Errc::in_use while another server has it open, Errc::corrupt
  // for a damaged file, Errc::unsupported for one that a newer program wrote. If the disk is full or read-only, the
  // content is read nevertheless, and commit() fails until it can be written.
  static Result<std::unique_ptr<SqliteStore>> open(const std::string& directory, bool may_create = true);
  ~SqliteStore() override;

  // REQUIRES: called once.
  Result<ports::StoredState> load() override;
  // After an error the change is not stored, unless the disk failed: then only a restart shows whether it is.
  Result<void> commit(const ports::StoreChange& change) override;
  // Moves what commit() wrote from the write-ahead log into server.db and empties the log; until then a backup that is
  // copied into the place of server.db after a crash would be mixed with the log. Takes some 10 ms. False if somebody
  // reads the database now, as for a backup: to be called again.
  bool settle();
  // Called by the commit() after which there is something to settle.
  void on_unsettled(std::function<void()> then) { on_unsettled_ = std::move(then); }
  // Why the last change that could be saved was not; "": it was.
  const std::string& failure() const { return failure_; }
  Result<std::vector<AuditEntry>> audit(const ports::AuditQuery& query) override;

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  struct FileId {
    dev_t device = 0;
    ino_t inode = 0;
    bool operator==(const FileId&) const = default;
  };
  static FileId file_id(const std::string& path);  // all 0: there is none
  SqliteStore(UniqueFd lock, std::string path);
  Result<void> open_database(const std::string& path);
  Result<void> migrate();
  Result<void> read_copy();
  Result<ports::StoredState> load_open();
  bool apply(const ports::StoreChange& change);
  bool record(const std::vector<AuditEntry>& entries);
  Result<void> write(const ports::StoreChange& change);
  Result<void> reopen();
  Result<void> check_in_place() const;
  Error error(const char* tried) const;

  UniqueFd lock_;  // outlives the database
  const std::string path_;
  std::unique_ptr<sqlite3, Close> db_;      // null: it cannot be written
  std::optional<ports::StoredState> read_;  // its content, if it cannot be written
  std::string failure_;
  bool unsettled_ = false;
  std::function<void()> on_unsettled_ = [] {};
  FileId opened_;  // path_, when it was opened
};

}  // namespace eps::os
