// SPDX-License-Identifier: MIT
#pragma once

// Rereads the settings while the daemon runs: on SIGHUP and on `eps reload`. What can change without losing a frame is
// applied; the rest waits for a restart, and is named.

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/result.h"
#include "ops/log.h"

namespace eps::runtime {

// Reads command line and configuration file again; a daemon without access to the file needs its text.
// `wait_for_restart`: names of options that have a new value
// but cannot change while the daemon runs.
struct GivenConf {
  std::string text;
  std::string path = "";  // of the file, if the caller has chosen it
};
using ConfText = std::optional<GivenConf>;
template <class Settings>
struct Reloaded {
  Settings settings;
  std::string wait_for_restart;
};
template <class Settings>
using ReadSettings = std::function<Result<Reloaded<Settings>>(const ConfText& conf)>;

// Reads them, passes them to `apply`, and answers with a sentence, which is also logged.
template <class Settings>
Result<std::string> reload(const ReadSettings<Settings>& read, const ConfText& conf, ops::Log& log,
                           const std::function<void(const Settings&)>& apply) {
  auto reloaded = read(conf);
  if (!reloaded) {
    log.error("The configuration was not reread, and everything stays as it was: " + reloaded.error().what);
    return reloaded.error();
  }
  log.set_level(reloaded->settings.log_level);
  apply(reloaded->settings);
  const std::string& rest = reloaded->wait_for_restart;
  const std::string note =
      "The configuration was reread." + (rest.empty() ? "" : " These changes need a restart: " + rest + ".");
  log.info(note);
  return note;
}

// The text in a request of `eps reload`.
inline ConfText conf_text(const nlohmann::json& request) {
  const auto conf = request.find("conf");
  if (conf == request.end()) return {};
  return GivenConf{conf->get<std::string>(), request.value("conf_path", "")};
}

// Calls back at every such signal.
class SignalWatch {
 public:
  SignalWatch(boost::asio::io_context& io, int signal, std::function<void()> on_signal)
      : signals_(io, signal), on_signal_(std::move(on_signal)) {
    wait();
  }

 private:
  void wait() {
    signals_.async_wait([this](boost::system::error_code e, int) {
      if (e) return;
      on_signal_();
      wait();
    });
  }
  boost::asio::signal_set signals_;
  std::function<void()> on_signal_;
};

}  // namespace eps::runtime
