// SPDX-License-Identifier: MIT
#include "crypto/secret.h"

#include <openssl/crypto.h>

namespace eps::crypto {

void wipe(ByteSpan bytes) {
  OPENSSL_cleanse(bytes.data(), bytes.size());
}

bool constant_time_equal(ByteView a, ByteView b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace eps::crypto
