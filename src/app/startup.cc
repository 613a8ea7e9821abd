#include "app/startup.h"

#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string_view>

namespace eps::app {

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
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (::gethostname(name.data(), name.size() - 1) == 0) here.hostname = name.data();
  // LoadCredential=eps.conf in the units.
  if (const char* directory = std::getenv("CREDENTIALS_DIRECTORY")) {
    const std::string copy = std::string(directory) + "/eps.conf";
    if (::access(copy.c_str(), F_OK) == 0) here.conf_credential = copy;
  }
  return here;
}

int tell(const Stop& stop) {
  (stop.status == 0 ? std::cout : std::cerr) << stop.text << std::flush;
  return stop.status;
}

ops::LogOptions log_options(const runtime::CommonSettings& settings) {
  return {.path = settings.log, .level = settings.log_level, .terminal = ::isatty(STDERR_FILENO) == 1};
}

}  // namespace eps::app
