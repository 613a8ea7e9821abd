// SPDX-License-Identifier: MIT
#include "runtime/hooks.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "os/command.h"
#include "os/privilege.h"

namespace eps::runtime {
namespace {

std::string path_variable() {
  const char* const path = std::getenv("PATH");
  return std::string("PATH=") +
         (path == nullptr ? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" : path);
}

}  // namespace

Hooks::Hooks(ops::Log& log, std::string up, std::string down, std::chrono::milliseconds patience)
    : log_(log),
      up_(std::move(up)),
      down_(std::move(down)),
      patience_(patience),
      cancel_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (up_.empty() && down_.empty()) return;
  helper_.emplace(os::HelperProcess::start("eps-hooks", [this, first = true](auto request, int cancel) mutable {
    // exec drops the capabilities that the process does not have, except for root.
    if (std::exchange(first, false)) os::drop_network_capabilities();
    return serve(request, cancel);
  }));
}

Hooks::~Hooks() {
  finish();
}

void Hooks::set(Variables variables) {
  if (up_.empty() && down_.empty()) return;
  {
    const Lock lock(mutex_);
    if (ending_) return;
    wanted_ = std::move(variables);
  }
  changed_.notify_one();
  if (thread_.joinable()) return;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& e) {
    log_.warn(std::string("The commands of --up and --down cannot run: ") + e.what() + ".");
  }
}

void Hooks::finish() {
  if (end(nullptr)) thread_.join();
}

bool Hooks::end(std::function<void()> ended) {
  if (!thread_.joinable()) return false;
  {
    const Lock lock(mutex_);
    wanted_.reset();
    ending_ = true;
    ended_ = std::move(ended);
  }
  ::eventfd_write(cancel_.get(), 1);
  changed_.notify_one();
  return true;
}

void Hooks::run() {
  std::optional<Variables> applied;
  while (true) {
    const bool is_down = applied.has_value();
    Variables variables;
    {
      const Lock lock(mutex_);
      while (!ending_ && applied == wanted_) changed_.wait(mutex_);
      if (applied == wanted_) {
        if (ended_) ended_();
        return;
      }
      variables = is_down ? *std::exchange(applied, std::nullopt) : *wanted_;
      if (!is_down) applied = variables;
    }
    if (is_down) {
      run_one("down", down_, std::move(variables), -1);
    } else {
      run_one("up", up_, std::move(variables), cancel_.get());
    }
  }
}

// In the helper. A request: the option, then each variable with its end. An answer: how it ended and the code, or "!"
// and why it did not run.
std::string Hooks::serve(std::string_view request, int cancel) const {
  Variables words;
  while (!request.empty()) {
    words.emplace_back(request.substr(0, request.find('\0')));
    request.remove_prefix(std::min(request.size(), words.back().size() + 1));
  }
  const std::string command = words.front() == "up" ? up_ : down_;
  words.erase(words.begin());
  const auto end = os::run_command(command, words, patience_, cancel);
  if (!end) return "!" + end.error().what;
  return std::to_string(static_cast<int>(end->how)) + std::to_string(end->code);
}

void Hooks::run_one(const std::string& option, const std::string& command, Variables variables, int cancel) {
  if (command.empty()) return;
  variables.push_back("EPS_HOOK=" + option);
  variables.push_back(path_variable());
  std::string request = option + '\0';
  for (const std::string& variable : variables) request += variable + '\0';
  const auto answer = *helper_ ? (*helper_)->ask(request, cancel) : Result<std::string>(helper_->error());
  const std::string subject = "The command of --" + option + " ";
  if (!answer) return log_.warn(subject + "did not run: " + answer.error().what + ".");
  if (answer->starts_with('!')) return log_.warn(subject + "did not run: " + answer->substr(1) + ".");
  using How = os::CommandEnd::How;
  const os::CommandEnd end{static_cast<How>(answer->front() - '0'), std::stoi(answer->substr(1))};
  switch (end.how) {
    case How::exited:
      return log_.write(end.code == 0 ? ops::LogLevel::info : ops::LogLevel::warn,
                        subject + "ended with exit status " + std::to_string(end.code) + ".");
    case How::signalled:
      return log_.warn(subject + "was ended by signal " + std::to_string(end.code) + ".");
    case How::timed_out:
      return log_.warn(subject + "was killed: it did not end within " +
                       std::to_string(std::chrono::ceil<std::chrono::seconds>(patience_).count()) + " s.");
    case How::cancelled:
      return log_.warn(subject + "was killed: it had not ended when eps-client did.");
  }
}

}  // namespace eps::runtime
