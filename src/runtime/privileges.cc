// SPDX-License-Identifier: MIT
#include "runtime/privileges.h"

#include <unistd.h>

#include <cstdlib>

#include "base/limits.h"
#include "os/files.h"
#include "os/privilege.h"

namespace eps::runtime {
namespace {

constexpr const char* kUser = "eps";  // of the packages
// Where a scorecard and a picture go by default, which a reload can switch on.
constexpr const char* kDefaultOutputs = "/var/log";

}  // namespace

Privileges::Privileges(const CommonSettings& settings, std::string_view part)
    : settings_(settings), state_(settings.state + "/" + std::string(part)) {
  if (::geteuid() != 0) return;
  // An answer: "t" and the text, or "!".
  auto reader = os::HelperProcess::start("eps-conf", [this](std::string_view, int) {
    const auto text = os::read_file(settings_.conf, os::kMaxHelperMessage - 1);
    return text ? "t" + *text : std::string("!");
  });
  if (reader) reader_.emplace(std::move(*reader));
}

void Privileges::give_up(ops::Log& log, bool net_admin, const std::vector<std::string>& more_outputs) {
  os::Needs needs{.net_admin = net_admin,
                  .state = state_,
                  .outputs = {settings_.log, settings_.scorecard.value_or("")},
                  .later = {std::string(kDefaultOutputs) + "/eps.stats"},
                  .sockets = {settings_.socket},
                  .user = kUser};
  needs.outputs.insert(needs.outputs.end(), more_outputs.begin(), more_outputs.end());
  if (!reader_) needs.inputs = {settings_.conf};
  // LoadCredential= in the units; the file's own name does not matter.
  if (const char* copies = std::getenv("CREDENTIALS_DIRECTORY")) needs.inputs.push_back(std::string(copies) + "/copy");
  const os::Kept kept = os::keep_only(needs);
  if (!kept.user.empty()) log.info("Runs as the user " + kept.user + " from now on.");
  if (!kept.stays.empty()) log.info("Stays root, because " + kept.stays + ".");
  if (!kept.closed.empty()) {
    log.info("Root keeps the privilege to write to files of others, because " + kept.closed + " is not its own.");
  }
  if (!kept.all_files.empty()) log.info("Files are not restricted: " + kept.all_files + ".");
  if (!kept.all_calls.empty()) log.info("System calls are not restricted: " + kept.all_calls + ".");
}

ConfText Privileges::conf(const ConfText& given) const {
  if (!reader_) return settings_.conf_copied ? given : std::nullopt;
  const auto answer = reader_->ask("?");
  if (!answer || !answer->starts_with('t')) return std::nullopt;
  return GivenConf{answer->substr(1)};
}

}  // namespace eps::runtime
