// SPDX-License-Identifier: MIT
#include "ops/log.h"

#include <pthread.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <mutex>
#include <nlohmann/json.hpp>

#include "ops/rolling_file.h"

namespace eps::ops {
namespace {

constexpr std::array<std::string_view, 5> kLevelNames = {"trace", "debug", "info", "warn", "error"};

spdlog::level::level_enum to_spdlog(LogLevel level) {
  return static_cast<spdlog::level::level_enum>(level);
}
static_assert(static_cast<int>(LogLevel::error) == SPDLOG_LEVEL_ERROR && SPDLOG_LEVEL_TRACE == 0);

// Text may come from elsewhere: no control character except tab and the line feed of a multi-line entry reaches a
// terminal.
void append_text(spdlog::string_view_t text, spdlog::memory_buf_t& out) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
    } else {
      out.push_back(c);
    }
  }
}

// Everything of an entry after its time.
class EntryTail final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& msg, const std::tm&, spdlog::memory_buf_t& out) override {
    // The sinks run in the thread that logs, so pthread_self() is its id.
    fmt::format_to(std::back_inserter(out), "[0x{:08x}:0x{:016x}] {} - ", static_cast<unsigned>(::getpid()),
                   static_cast<std::uint64_t>(::pthread_self()), kLevelNames[static_cast<std::size_t>(msg.level)]);
    append_text(msg.payload, out);
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override { return std::make_unique<EntryTail>(); }
};

std::unique_ptr<spdlog::formatter> entry_formatter() {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::local, "\n");
  formatter->add_flag<EntryTail>('*').set_pattern("%Y-%m-%d %H:%M:%S.%f %*");
  return formatter;
}

std::string utc(std::chrono::system_clock::time_point at) {
  using namespace std::chrono;
  const auto day = floor<days>(at);
  const year_month_day date{day};
  const hh_mm_ss time{floor<microseconds>(at - day)};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                     time.minutes().count(), time.seconds().count(), time.subseconds().count());
}

class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& out) override {
    const nlohmann::ordered_json entry = {{"time", utc(msg.time)},
                                          {"level", kLevelNames[static_cast<std::size_t>(msg.level)]},
                                          {"pid", ::getpid()},
                                          {"message", std::string(msg.payload.begin(), msg.payload.end())}};
    const std::string line = entry.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    out.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonFormatter>(); }
};

// For the journal, which adds time and process itself: sd-daemon(3), a priority before each line.
class JournalFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& out) override {
    static constexpr std::array<char, 5> kPriorities = {'7', '7', '6', '4', '3'};  // as kLevelNames
    spdlog::memory_buf_t clean;
    append_text(msg.payload, clean);
    std::string_view text(clean.data(), clean.size());
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      fmt::format_to(std::back_inserter(out), "<{}>{}\n", kPriorities[static_cast<std::size_t>(msg.level)], line);
    }
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JournalFormatter>(); }
};

class FileSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FileSink(RollingFile file) : file_(std::move(file)) {}

  std::string failure() {
    const std::lock_guard lock(mutex_);
    return failing_ ? std::string(kLost) : file_.astray();
  }

 private:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t entry;
    formatter_->format(msg, entry);
    const std::string before = file_.astray();
    const bool written = file_.append({entry.data(), entry.size()});
    if (const std::string& astray = file_.astray(); !astray.empty() && astray != before) {
      const std::string line = astray + "\n";
      (void)!::write(STDERR_FILENO, line.data(), line.size());
    }
    if (written) {
      failing_ = false;
    } else if (!failing_) {
      // Once each time that it stops working.
      failing_ = true;
      const std::string line = std::string(kLost) + "\n";
      (void)!::write(STDERR_FILENO, line.data(), line.size());
    }
  }
  void flush_() override {}

  static constexpr std::string_view kLost = "The log file cannot be written; entries are lost. Is the disk full?";
  RollingFile file_;
  bool failing_ = false;
};

class DescriptorSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit DescriptorSink(int fd) : fd_(fd) {}

 private:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t entry;
    formatter_->format(msg, entry);
    (void)!::write(fd_, entry.data(), entry.size());
  }
  void flush_() override {}

  int fd_;
};

constexpr std::array<std::string_view, 2> kFormatNames = {"text", "json"};

std::unique_ptr<spdlog::formatter> formatter_of(LogFormat format) {
  if (format == LogFormat::json) return std::make_unique<JsonFormatter>();
  return entry_formatter();
}

}  // namespace

std::string_view name_of(LogFormat format) {
  return kFormatNames[static_cast<std::size_t>(format)];
}

std::optional<LogFormat> parse_log_format(std::string_view name) {
  for (std::size_t i = 0; i < kFormatNames.size(); ++i) {
    if (kFormatNames[i] == name) return static_cast<LogFormat>(i);
  }
  return std::nullopt;
}

std::string_view name_of(LogLevel level) {
  return kLevelNames[static_cast<std::size_t>(level)];
}

std::optional<LogLevel> parse_log_level(std::string_view name) {
  for (std::size_t i = 0; i < kLevelNames.size(); ++i) {
    if (kLevelNames[i] == name) return static_cast<LogLevel>(i);
  }
  return std::nullopt;
}

struct Log::Impl {
  spdlog::logger logger{"eps"};
  bool terminal = false;
  std::optional<Error> problem;
  std::shared_ptr<FileSink> file;  // null: none
};

Log::Log(const LogOptions& options) : impl_(std::make_unique<Impl>()) {
  Impl& impl = *impl_;
  impl.terminal = options.terminal;
  if (options.path == "-") {
    impl.logger.sinks().push_back(std::make_shared<DescriptorSink>(STDOUT_FILENO));
  } else if (!options.path.empty()) {
    auto file = RollingFile::open(options.path, options.max_file_size, options.max_files);
    if (file) {
      impl.file = std::make_shared<FileSink>(std::move(*file));
      impl.logger.sinks().push_back(impl.file);
    } else {
      impl.problem = file.error();
      impl.terminal = true;
    }
  }
  for (const auto& sink : impl.logger.sinks()) sink->set_formatter(formatter_of(options.format));
  // Standard output already shows everything.
  if (options.path != "-") {
    auto standard_error = std::make_shared<DescriptorSink>(STDERR_FILENO);
    standard_error->set_level(impl.terminal || options.journal ? spdlog::level::trace : spdlog::level::err);
    standard_error->set_formatter(options.journal
                                      ? std::unique_ptr<spdlog::formatter>(std::make_unique<JournalFormatter>())
                                      : formatter_of(options.format));
    impl.logger.sinks().push_back(std::move(standard_error));
  }
  set_level(options.level);
  if (impl.problem) warn(impl.problem->what);
}

Log::~Log() = default;

void Log::write(LogLevel level, std::string_view text) {
  // This overload takes the text literally; in a format string, braces would fail.
  impl_->logger.log(spdlog::source_loc{}, to_spdlog(level), spdlog::string_view_t(text.data(), text.size()));
}

void Log::set_level(LogLevel level) {
  impl_->logger.set_level(to_spdlog(level));
}
bool Log::enabled(LogLevel level) const {
  return impl_->logger.should_log(to_spdlog(level));
}
const std::optional<Error>& Log::problem() const {
  return impl_->problem;
}
std::string Log::failure() const {
  return impl_->file ? impl_->file->failure() : "";
}

}  // namespace eps::ops
