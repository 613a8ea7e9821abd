// SPDX-License-Identifier: MIT
#include "app/startup.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <sstream>
#include <string_view>
#include <type_traits>

namespace eps::app {

void hold_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest free number, which is this one.
    (void)!::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

std::vector<std::string> take_arguments(int argc, char** argv) {
  std::vector<std::string> out(argv + (argc > 0 ? 1 : 0), argv + argc);
  const auto hide = [](char* text) { std::memset(text, 'x', std::strlen(text)); };
  for (int i = 1; i < argc; ++i) {
    constexpr std::string_view kKey = "--key";
    const std::string_view argument = argv[i];
    if (argument == kKey && i + 1 < argc) hide(argv[i + 1]);
    if (argument.starts_with("--key=")) hide(argv[i] + kKey.size() + 1);
  }
  return out;
}

Surroundings surroundings() {
  Surroundings here;
  // With its terminator: a name of HOST_NAME_MAX characters is a valid one.
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (::gethostname(name.data(), name.size()) == 0) here.hostname = name.data();
  const auto variable = [](const char* lower, const char* upper) {
    const char* value = std::getenv(lower);
    if (value == nullptr) value = std::getenv(upper);
    return std::string(value == nullptr ? "" : value);
  };
  here.https_proxy = variable("https_proxy", "HTTPS_PROXY");
  here.no_proxy = variable("no_proxy", "NO_PROXY");
  // LoadCredential= in the units.
  if (const char* directory = std::getenv("CREDENTIALS_DIRECTORY")) here.credentials = directory;
  if (winsize size{}; ::isatty(STDOUT_FILENO) == 1 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
    here.columns = size.ws_col;
  }
  return here;
}

int finish_output(const std::string& program, int status) {
  errno = 0;
  std::cout.flush();
  if (std::cout) return status;
  std::cerr << program << ": cannot write to standard output"
            << (errno == 0 ? "" : std::string(": ") + std::strerror(errno)) << "\n";
  return status == 0 ? 1 : status;
}

int tell(Program program, const Stop& stop) {
  (stop.status == 0 ? std::cout : std::cerr) << stop.text << std::flush;
  return finish_output(name_of(program), stop.status);
}

namespace {

// systemd says which device and inode its stream to the journal has.
bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat info {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &info) != 0) return false;
  return std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino) == stream;
}

// Compares the output of describe() line by line; both have the same lines.
template <class Settings>
std::string differing_names(const Settings& a, const Settings& b) {
  std::istringstream before(describe(a)), after(describe(b));
  std::string out, was, is;
  while (std::getline(before, was) && std::getline(after, is)) {
    const std::string name = was.substr(0, was.find(' '));
    const bool live = name == "log-level" || name == "server" ||
                      (std::is_same_v<Settings, runtime::ServerSettings> && name == "relay-limit");
    if (was != is && !live) out += (out.empty() ? "" : ", ") + name;
  }
  return out;
}

}  // namespace

std::string wait_for_restart(const runtime::ClientSettings& running, const runtime::ClientSettings& fresh) {
  const std::string names = differing_names(running, fresh);
  return running.key == fresh.key ? names : names + (names.empty() ? "key" : ", key");
}
std::string wait_for_restart(const runtime::ServerSettings& running, const runtime::ServerSettings& fresh) {
  return differing_names(running, fresh);
}

ops::LogOptions log_options(const runtime::CommonSettings& settings) {
  return {.path = settings.log,
          .format = settings.log_format,
          .level = settings.log_level,
          .terminal = ::isatty(STDERR_FILENO) == 1,
          .journal = stderr_is_journal()};
}

}  // namespace eps::app
