// SPDX-License-Identifier: MIT
#include "app/version.h"

namespace eps::app {

std::string_view version() {
  return EPS_VERSION;
}
std::string version_line() {
  return "EPS Conduits v" + std::string(version());
}

}  // namespace eps::app
