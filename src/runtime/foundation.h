// SPDX-License-Identifier: MIT
#pragma once

// What a daemon has before it opens anything, and until it ends.

#include <functional>
#include <string>
#include <string_view>

#include "ops/background.h"
#include "ops/log.h"
#include "os/os_rng.h"
#include "runtime/control_loop.h"
#include "runtime/privileges.h"
#include "runtime/reload.h"
#include "runtime/service.h"

namespace eps::runtime {

template <class Settings>
struct Foundation {
  // `part`: the daemon's directory in that of the state. REQUIRES: no other threads; what is passed by reference
  // outlives it.
  Foundation(const Settings& s, ops::Log& l, const ReadSettings<Settings>& r, std::string_view part)
      : settings(s), log(l), read_again(r), privileges(s, part) {}

  // Reads the configuration again; `apply` receives what can change while the daemon runs.
  Result<std::string> reload(const ConfText& conf, const std::function<void(const Settings&)>& apply) {
    service.reloading();
    auto note = runtime::reload<Settings>(read_again, privileges.conf(conf), log, apply);
    service.reloaded();
    return note;
  }

  const Settings& settings;
  ops::Log& log;
  const ReadSettings<Settings>& read_again;
  os::OsRng rng;
  Privileges privileges;
  ControlLoop loop;
  ops::Background background{loop.io()};
  Service service{loop.io()};
};

}  // namespace eps::runtime
