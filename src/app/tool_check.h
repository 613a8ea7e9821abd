// SPDX-License-Identifier: MIT
#pragma once

#include "app/tool_base.h"
#include "report/diagnosis.h"

namespace eps::app {

// `eps check client|server`: would the daemon start? Nothing is started or changed.
class CheckCommand : private ToolBase {
 public:
  using ToolBase::ToolBase;
  int run(Program program);

 private:
  void ok(const std::string& what) { add(report::Finding::Level::ok, what, ""); }
  void warning(const std::string& what, const std::string& mend) { add(report::Finding::Level::warning, what, mend); }
  void problem(const std::string& what, const std::string& mend) { add(report::Finding::Level::problem, what, mend); }
  void add(report::Finding::Level level, const std::string& what, const std::string& mend) {
    findings_.push_back({level, what, mend});
  }
  template <class Settings>
  const Settings* accepted(const Parsed<Settings>& parsed, const std::string& program);
  // False: there is none, and the program does not start without it.
  bool file(const std::string& path, Program program);
  void common(const runtime::CommonSettings& settings, const std::string& directory);
  void writable(const std::string& path, const std::string& what);
  void client(const runtime::ClientSettings& settings);
  void server(const runtime::ServerSettings& settings);
  void key(const runtime::ServerSettings& settings);
  // `at`: an address of this computer; without one, all of them.
  void port(std::uint16_t number, int kind, const std::string& option, const std::optional<IpAddress>& at = {});
  // `own_device` is the EPS interface; "": this computer is the server.
  // `self`: this computer's address in it, unspecified if it has none.
  void network(const Ip4Network& network, const std::string& own_device, const IpAddress& self);

  std::vector<report::Finding> findings_;
};

// `eps doctor`: what is wrong with the daemons that run here.
class DoctorCommand : private ToolBase {
 public:
  using ToolBase::ToolBase;
  int run();

 private:
  void look_around(const json& status, std::vector<report::Finding>& findings) const;
};

}  // namespace eps::app
