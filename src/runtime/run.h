// SPDX-License-Identifier: MIT
#pragma once

// The daemons: the nodes of node/ wired to Linux, from start to SIGTERM.

#include <functional>
#include <string>

#include "ops/log.h"
#include "runtime/reload.h"
#include "runtime/settings.h"

namespace eps::runtime {

// Runs until SIGTERM or SIGINT (0) or until it cannot continue (1, after one line in the log).
int run_client(const ClientSettings& settings, ops::Log& log, const ReadSettings<ClientSettings>& read_again);

// `on_key` receives the network key's text before the server listens: it is in the configuration file from the moment
// that anybody can connect.
int run_server(const ServerSettings& settings, ops::Log& log, const ReadSettings<ServerSettings>& read_again,
               const std::function<void(const std::string& key)>& on_key);

}  // namespace eps::runtime
