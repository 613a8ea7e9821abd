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
constexpr std::size_t kMaxFile = 1024 * 1024;
constexpr std::string_view kBlanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// What is wrong with it, as the end of a sentence; "": nothing.
std::string decode_key(std::string_view text, crypto::Key& key) {
  constexpr const char* kWrong = "does not end with 44 characters of base64";
  // OpenSSL would also accept blanks, and "=" anywhere.
  if (text.size() != kTextSize || text.find('=') != kTextSize - 1) return kWrong;
  crypto::Secret<kTextSize / 4 * 3> bytes;
  if (EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.writable().data()),
                      reinterpret_cast<const unsigned char*>(text.data()), kTextSize) < 0) {
    return kWrong;
  }
  key = crypto::Key(bytes.view().first<32>());
  return std::ranges::all_of(key.view(), [](std::byte b) { return b == std::byte{0}; }) ? "is all zeros" : "";
}

// Of a line: likewise.
std::string take_line(std::string_view line, node::PresharedKeys& keys) {
  crypto::Key key;
  const std::size_t blank = line.find_last_of(kBlanks);
  if (std::string wrong = decode_key(line.substr(blank + 1), key); !wrong.empty()) return wrong;
  if (blank == std::string_view::npos) {
    return keys.add(std::move(key)) ? "" : "is a second key for every peer";
  }
  const std::string peer(trimmed(line.substr(0, blank)));
  PublicKey of;
  const auto raw = from_base32(peer);
  const bool by_key = raw && raw->size() == of.bytes.size();
  if (by_key) std::ranges::copy(*raw, of.bytes.begin());
  if (!by_key && !valid_name(peer)) return "begins with neither the name of a member nor a public key";
  const bool first = by_key ? keys.add(of, std::move(key)) : keys.add(peer, std::move(key));
  return first ? "" : "is a second key for the same peer";
}

}  // namespace

Result<node::PresharedKeys> parse_psk(std::string_view text) {
  const auto wrong = [](const std::string& what) {
    return make_error(Errc::invalid_argument,
                      what +
                          "; a line is a pre-shared key, as \"openssl rand -base64 32\" makes it, or a peer's name or "
                          "public key and then the pre-shared key for that peer");
  };
  node::PresharedKeys keys;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = trimmed(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(text.size(), text.find('\n')));
    if (!text.empty()) text.remove_prefix(1);
    if (line.empty() || line.front() == '#') continue;
    if (const std::string what = take_line(line, keys); !what.empty()) {
      return wrong("line " + std::to_string(number) + " " + what);
    }
  }
  if (!keys.of_all() && keys.of_single_peers() == 0) return wrong("holds no key");
  return keys;
}

Result<node::PresharedKeys> read_psk(const std::string& path, const std::string& copy) {
  const auto failed = [&](Error error) {
    error.what = "--psk-file " + path + ": " + error.what;
    return error;
  };
  auto text = os::read_file(copy.empty() ? path : copy, kMaxFile);
  if (!text) return failed(text.error());
  // The unit's placeholder for a missing file.
  auto keys = *text == "#" ? Result<node::PresharedKeys>(make_error(Errc::not_found,
                                                                    "there was no such file when the unit "
                                                                    "started it"))
                           : parse_psk(*text);
  crypto::wipe({reinterpret_cast<std::byte*>(text->data()), text->size()});
  if (!keys) return failed(keys.error());
  return keys;
}

bool others_may_read(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && (info.st_mode & (S_IRGRP | S_IROTH)) != 0;
}

}  // namespace eps::runtime
