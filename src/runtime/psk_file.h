// SPDX-License-Identifier: MIT
#pragma once

// The file of --psk-file: pre-shared keys of 32 bytes in base64 (44 characters), as "openssl rand -base64 32" and "wg
// genpsk" make them.
//
//   KEY          the key for every peer without one of its own
//   PEER KEY     the key for one peer: its public key, as "eps --json status" shows it there, or its name
//
// Blank lines, and those that begin with #, say nothing.

#include <string>
#include <string_view>

#include "base/result.h"
#include "node/preshared_keys.h"

namespace eps::runtime {

// Errc::invalid_argument, without the text, if a line is neither, if a peer has two keys, if a key is all zeros, or if
// there is none.
Result<node::PresharedKeys> parse_psk(std::string_view text);

// `copy`: the path of the service manager's copy; "": none. The sentences name `path`.
Result<node::PresharedKeys> read_psk(const std::string& path, const std::string& copy);

// Whether users other than its owner may read the file.
bool others_may_read(const std::string& path);

}  // namespace eps::runtime
