// SPDX-License-Identifier: MIT

// eps-client: this computer's member of the network.

#include "app/startup.h"
#include "os/heap.h"
#include "runtime/run.h"

int main(int argc, char** argv) {
  using namespace eps;
  app::hold_standard_descriptors();
  os::return_freed_memory();
  const auto arguments = app::take_arguments(argc, argv);
  const auto here = app::surroundings();
  const auto parsed = app::client_settings(arguments, here);
  if (const auto* stop = std::get_if<app::Stop>(&parsed)) return app::tell(app::Program::client, *stop);
  const auto& settings = std::get<runtime::ClientSettings>(parsed);
  ops::Log log(app::log_options(settings));
  app::log_start(log, app::Program::client, settings);
  return runtime::run_client(settings, log, app::read_again(app::client_settings, arguments, here, settings));
}
