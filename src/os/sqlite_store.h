#pragma once

// The server's durable state in one SQLite database, server.db. It holds the network's identity: the directory is for
// its owner only.

#include <memory>
#include <string>

#include "os/unique_fd.h"
#include "ports/store.h"

struct sqlite3;

namespace eps::os {

class SqliteStore final : public ports::Store {
 public:
  // Makes the directory (0700) and the database (0600) where they are missing. Errc::in_use while another server has
  // it open, Errc::corrupt for a damaged file, Errc::unsupported for one that a newer program wrote.
  static Result<std::unique_ptr<SqliteStore>> open(const std::string& directory);
  ~SqliteStore() override;

  Result<ports::StoredState> load() override;
  // After an error the change is not there, unless the disk failed: then a restart tells.
  Result<void> commit(const ports::StoreChange& change) override;

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  SqliteStore(UniqueFd lock, std::string path);
  Result<void> open_database();
  Result<void> migrate();
  bool apply(const ports::StoreChange& change);
  Error error(const char* tried) const;

  UniqueFd lock_;  // outlives the database
  const std::string path_;
  std::unique_ptr<sqlite3, Close> db_;
};

}  // namespace eps::os
