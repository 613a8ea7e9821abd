// SPDX-License-Identifier: MIT
#pragma once

// The file of --psk-file: one line, 32 bytes in base64 (44 characters), as "openssl rand -base64 32" and "wg genpsk"
// make them.

#include <string>
#include <string_view>

#include "base/result.h"
#include "crypto/secret.h"

namespace eps::runtime {

// Errc::invalid_argument, without the text, if it is not such a line, or is all zeros.
Result<crypto::Key> parse_psk(std::string_view text);

// `copy`: the path of the service manager's copy; "": none. The sentences name `path`.
Result<crypto::Key> read_psk(const std::string& path, const std::string& copy);

// Whether users other than its owner may read the file.
bool others_may_read(const std::string& path);

}  // namespace eps::runtime
