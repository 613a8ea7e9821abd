#pragma once

// What the daemons' main() have in common.

#include <string>
#include <vector>

#include "app/options.h"
#include "ops/log.h"

namespace eps::app {

// The arguments after the program's name. A network key among them is overwritten in `argv`, where `ps` shows it.
std::vector<std::string> take_arguments(int argc, char** argv);
Surroundings surroundings();
// Prints and returns the exit status.
int tell(const Stop& stop);

// The log file, and the terminal if there is one.
ops::LogOptions log_options(const runtime::CommonSettings& settings);

template <class Settings>
void log_start(ops::Log& log, Program program, const Settings& settings) {
  log.info(name_of(program) + " " + settings.version + " starts.");
  log.debug("Settings:\n" + describe(settings));
  for (const std::string& note : settings.not_yet_notes) log.warn(note);
}

}  // namespace eps::app
