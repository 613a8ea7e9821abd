// SPDX-License-Identifier: MIT

// eps-server: admits the members of one network and introduces them to each other.

#include "app/server_conf.h"
#include "app/startup.h"
#include "os/heap.h"
#include "runtime/run.h"

int main(int argc, char** argv) {
  using namespace eps;
  app::hold_standard_descriptors();
  os::return_freed_memory();
  const app::Surroundings here = app::surroundings();
  const auto arguments = app::take_arguments(argc, argv);
  const auto parsed = app::server_settings(arguments, here);
  if (const auto* stop = std::get_if<app::Stop>(&parsed)) return app::tell(app::Program::server, *stop);
  const auto& settings = std::get<runtime::ServerSettings>(parsed);
  ops::Log log(app::log_options(settings));
  app::log_start(log, app::Program::server, settings);
  const auto again = app::read_again(app::server_settings, arguments, here, settings);
  return runtime::run_server(settings, log, again, [&](const std::string& key) {
    // The unit writes it, with "eps key --into": this process may not.
    if (!app::copy_of_conf(here, settings.conf).empty()) return;
    const auto note = app::note_of(app::ensure_conf_key(settings.conf, key), settings.conf, settings.state);
    log.write(note.warning ? ops::LogLevel::warn : ops::LogLevel::info, note.text);
  });
}
