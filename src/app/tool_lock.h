// SPDX-License-Identifier: MIT
#pragma once

// `eps lock`: holds the key of the network lock, which the daemons never see. What it signs it asks of the daemon here;
// the daemon brings what was signed to the server.

#include <string>
#include <vector>

#include "app/tool_base.h"
#include "crypto/secret.h"
#include "model/network_lock.h"
#include "runtime/lock_admin.h"

namespace eps::app {

// Why the member must not be signed beside the others that count; "": nothing speaks against it. Two members with one
// name, key, MAC or address, or further addresses that are another's: a server that was taken over asks for that.
std::string clash_of(const Member& member, const std::vector<runtime::LockReport::Entry>& others);

class LockCommand : private ToolBase {
 public:
  using ToolBase::ToolBase;

  // REQUIRES: the first word is "lock". Returns the exit status.
  int run();

 private:
  using Entries = std::vector<runtime::LockReport::Entry>;

  std::string socket() const { return request_.socket.value_or(defaults_.client_socket); }
  std::string key_path() const { return request_.lock_key.value_or(defaults_.lock_key); }
  Result<runtime::LockReport> report() const;
  Result<crypto::Key> load_key() const;
  Result<crypto::Key> load_or_make_key() const;
  // Sends the change, in as many parts as it takes; the last answer.
  Result<std::string> send(const LockChange& change, const registry::LockChain& known);
  Result<std::string> send_in_parts(LockChange change) const;
  Result<std::string> send_part(const LockChange& change) const;
  int no_report(const Error& error) { return failed(error, "eps-client", socket()); }

  int status();
  int init();
  int accept(const std::string& id);
  int sign(const std::string& wish);
  int print_waiting(const runtime::LockReport& report);
  int key();
  int change_signer(const std::string& text, bool comes);
  std::string sign_policy(const crypto::Key& key, const runtime::LockReport& now, LockChange& change);
  int pin();
  int disable(const std::string& text);
};

}  // namespace eps::app
