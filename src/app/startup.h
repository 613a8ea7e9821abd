// SPDX-License-Identifier: MIT
#pragma once

// Shared by the daemons' main().

#include <string>
#include <vector>

#include "app/options.h"
#include "ops/log.h"
#include "runtime/reload.h"

namespace eps::app {

// Puts something that can be neither read nor written into the place of closed standard descriptors: the next file or
// socket would get their number, and with it what is meant for the terminal. To be called first in main().
void hold_standard_descriptors();
// The arguments after the program's name. A network key among them is overwritten in `argv`, where `ps` shows it.
std::vector<std::string> take_arguments(int argc, char** argv);
Surroundings surroundings();
// Prints and returns the exit status.
int tell(Program program, const Stop& stop);
// Flushes standard output. If that fails (a full disk, a closed pipe) the program says so on standard error, and fails
// if it would have succeeded.
int finish_output(const std::string& program, int status);

// The log file, and the terminal if there is one.
ops::LogOptions log_options(const runtime::CommonSettings& settings);

template <class Settings>
void log_start(ops::Log& log, Program program, const Settings& settings) {
  log.info(name_of(program) + " " + settings.version + " starts.");
  log.debug("Settings:\n" + describe(settings));
}

// The names of the options that differ and take effect only at the next start.
std::string wait_for_restart(const runtime::ClientSettings& running, const runtime::ClientSettings& fresh);
std::string wait_for_restart(const runtime::ServerSettings& running, const runtime::ServerSettings& fresh);

// Reads the settings again as main() did; `parse` is client_settings or server_settings.
template <class Settings>
runtime::ReadSettings<Settings> read_again(Parsed<Settings> (*parse)(const std::vector<std::string>&,
                                                                     const Surroundings&),
                                           std::vector<std::string> arguments, Surroundings here, Settings running) {
  return [=](const runtime::ConfText& conf) -> Result<runtime::Reloaded<Settings>> {
    Surroundings now = here;
    // The copy is as old as the daemon.
    if (!conf && !copy_of_conf(here, running.conf).empty()) {
      return make_error(Errc::permission, "this daemon may not read " + running.conf +
                                              "; run \"eps reload\" as root, or \"systemctl reload\"");
    }
    const std::string own = full_path(running.conf);
    if (conf && !conf->path.empty() && conf->path != own) {
      return make_error(Errc::invalid_argument,
                        "this daemon's configuration file is " + own + ", not " + conf->path + "; name it with --conf");
    }
    if (conf) now.conf_text = conf->text;
    auto parsed = parse(arguments, now);
    if (const auto* stop = std::get_if<Stop>(&parsed)) {
      return make_error(Errc::invalid_argument, stop->text.substr(0, stop->text.find('\n')));
    }
    auto& fresh = std::get<Settings>(parsed);
    return runtime::Reloaded<Settings>{fresh, wait_for_restart(running, fresh)};
  };
}

}  // namespace eps::app
