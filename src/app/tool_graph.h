// SPDX-License-Identifier: MIT
#pragma once

// Pictures, by programs of others that need not be installed.

#include <string>

#include "base/result.h"

namespace eps::app {

// Lets Graphviz draw `dot` into `file`; `form` is "png" or "svg". As os::write_output() writes: a regular file is
// replaced once the picture is whole.
Result<void> draw(const std::string& dot, const std::string& form, const std::string& file);

// Lets qrencode print `text` as a QR code to this program's standard output, in lines of half blocks for a terminal.
Result<void> print_qr(const std::string& text);

}  // namespace eps::app
