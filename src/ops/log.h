// SPDX-License-Identifier: MIT
#pragma once

// The log of a daemon. One entry is
//
//   2014-06-23 20:31:59.634678 [0x00003f32:0x00007fe87f970780] info - text
//
// local time with microseconds, process and thread in hexadecimal; the text may span several lines.
//
// The active file is NAME_0.EXT, and the configured path, NAME.EXT, is a symbolic link to it. When it is full it
// becomes NAME_1.EXT, the previous one NAME_2.EXT and so on; the oldest is deleted.
//
// With the format json each entry is one line: {"time","level","pid","message"}, the time in UTC.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace eps::ops {

enum class LogFormat : std::uint8_t { text, json };
std::optional<LogFormat> parse_log_format(std::string_view name);
std::string_view name_of(LogFormat format);

enum class LogLevel : std::uint8_t { trace, debug, info, warn, error };
std::string_view name_of(LogLevel level);
std::optional<LogLevel> parse_log_level(std::string_view name);

struct LogOptions {
  std::string path;  // "": no file; "-": standard output
  LogFormat format = LogFormat::text;
  LogLevel level = LogLevel::info;
  bool terminal = false;                         // also to standard error; otherwise errors only
  bool journal = false;                          // standard error is the journal: all go there, with priorities
  std::size_t max_file_size = 10 * 1024 * 1024;  // a file is closed before the entry that would exceed it
  std::size_t max_files = 5;                     // including the active one
};

// Thread-safe. An entry is in the file when the call returns.
class Log {
 public:
  // Never fails: if the file cannot be opened, `problem()` says why and the entries go to standard error.
  explicit Log(const LogOptions& options);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void trace(std::string_view text) { write(LogLevel::trace, text); }
  void debug(std::string_view text) { write(LogLevel::debug, text); }
  void info(std::string_view text) { write(LogLevel::info, text); }
  void warn(std::string_view text) { write(LogLevel::warn, text); }
  void error(std::string_view text) { write(LogLevel::error, text); }
  void write(LogLevel level, std::string_view text);

  void set_level(LogLevel level);
  bool enabled(LogLevel level) const;
  const std::optional<Error>& problem() const;
  // Why entries do not reach the configured file now, as a sentence; "": they do.
  std::string failure() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace eps::ops
