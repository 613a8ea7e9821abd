// SPDX-License-Identifier: MIT
#pragma once

// Errors of system calls, all worded alike: "what was tried: why it failed; how to mend it".

#include <string>
#include <string_view>

#include "base/result.h"

namespace eps::os {

// The text of an errno, thread-safe.
std::string errno_text(int sys);

// The kind of failure that an errno means.
Errc code_of(int sys);

// "<tried>: <strerror>[; <remedy>]" with the kind that the errno means.
Error sys_error(std::string_view tried, int sys, std::string_view remedy = {});

}  // namespace eps::os
