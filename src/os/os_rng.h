// SPDX-License-Identifier: MIT
#pragma once

// Randomness from the kernel.

#include "base/rng.h"

namespace eps::os {

// getrandom(2) on every call. Thread rules: any thread at any time.
class OsRng final : public Rng {
 public:
  void fill(ByteSpan out) override;
};

}  // namespace eps::os
