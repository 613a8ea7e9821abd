// SPDX-License-Identifier: MIT
#include "runtime/psk_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "os/files.h"

namespace eps::runtime {
namespace {

constexpr std::size_t kTextSize = 44;  // 43 characters of six bits and one "="
constexpr std::size_t kMaxFile = 256;

// -1: not of base64.
int value_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

}  // namespace

Result<crypto::Key> parse_psk(std::string_view text) {
  const auto wrong = [](const std::string& what) {
    return make_error(Errc::invalid_argument, what + "; \"openssl rand -base64 32\" makes a pre-shared key");
  };
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  if (text.size() != kTextSize || text.back() != '=') return wrong("must hold one line of 44 characters of base64");
  text.remove_suffix(1);
  crypto::Key key;
  std::uint32_t bits = 0;
  int have = 0;
  std::size_t at = 0;
  for (const char c : text) {
    const int value = value_of(c);
    if (value < 0) return wrong("must hold one line of 44 characters of base64");
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    have += 6;
    if (have < 8) continue;
    have -= 8;
    key.writable()[at++] = static_cast<std::byte>(bits >> have & 0xff);
  }
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
  // The unit's stand-in for a file that is not there.
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
