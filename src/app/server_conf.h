// SPDX-License-Identifier: MIT
#pragma once

// The server creates its configuration file if it is missing and makes sure that the network key is in it, so that
// there is one place to copy the key from.

#include <string>
#include <string_view>

#include "base/result.h"
#include "control/network_key.h"

namespace eps::app {

enum class KeyFileOutcome {
  created,  // the file was missing
  added,    // the line was missing
  present,  // nothing to do
  differs,  // the file has another key, which is left alone: the server's state counts
};

// REQUIRES: `key` is the text of the server's own network key. What is written has mode 0600.
Result<KeyFileOutcome> ensure_conf_key(const std::string& path, std::string_view key);
// The outcome that ensure_conf_key() would have. Nothing is written.
Result<KeyFileOutcome> find_conf_key(const std::string& path, std::string_view key);
// A client that reads the file takes `key`, which is this network's own, in the place of every earlier one; a lock that
// a key names stays. Join keys, keys of other servers and everything else are left alone. False: a client takes another
// server's key from the file. A missing file is not made.
Result<bool> replace_conf_key(const std::string& path, const control::NetworkKey& key);

// The log message for it; `warning`: an administrator should act. It does not contain the key.
struct KeyFileNote {
  bool warning = false;
  std::string text;
};
KeyFileNote note_of(const Result<KeyFileOutcome>& outcome, const std::string& path, const std::string& state);

// Every option of both programs with its default, commented out, and the one line with the key ("": a comment too).
std::string conf_template(std::string_view key);

}  // namespace eps::app
