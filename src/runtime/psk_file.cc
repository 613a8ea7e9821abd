// SPDX-License-Identifier: MIT
#include "runtime/psk_file.h"

#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/bytes.h"
#include "os/files.h"

namespace eps::runtime {
namespace {

constexpr std::size_t kTextSize = 44;  // 43 characters of six bits, and one "="
constexpr std::size_t kMaxFile = 256;

}  // namespace

Result<crypto::Key> parse_psk(std::string_view text) {
  const auto wrong = [](const std::string& what) {
    return make_error(Errc::invalid_argument, what + "; \"openssl rand -base64 32\" makes a pre-shared key");
  };
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  // OpenSSL would also accept blanks, and "=" anywhere.
  if (text.size() != kTextSize || text.find('=') != kTextSize - 1)
    return wrong("must hold one line of 44 characters of base64");
  crypto::Secret<kTextSize / 4 * 3> bytes;
  if (EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.writable().data()),
                      reinterpret_cast<const unsigned char*>(text.data()), kTextSize) < 0)
    return wrong("must hold one line of 44 characters of base64");
  crypto::Key key(bytes.view().first<32>());
  if (std::ranges::all_of(key.view(), [](std::byte b) { return b == std::byte{0}; })) return wrong("is all zeros");
  return key;
}

Result<crypto::Key> read_psk(const std::string& path, const std::string& copy) {
  const auto failed = [&](Error error) {
    error.what = "--psk-file " + path + ": " + error.what;
    return error;
  };
  auto text = os::read_file(copy.empty() ? path : copy, kMaxFile);
  if (!text) return failed(text.error());
  // The unit's placeholder for a missing file.
  auto key = *text == "#" ? Result<crypto::Key>(make_error(Errc::not_found,
                                                           "there was no such file when the unit "
                                                           "started it"))
                          : parse_psk(*text);
  crypto::wipe({reinterpret_cast<std::byte*>(text->data()), text->size()});
  if (!key) return failed(key.error());
  return key;
}

bool others_may_read(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && (info.st_mode & (S_IRGRP | S_IROTH)) != 0;
}

}  // namespace eps::runtime
