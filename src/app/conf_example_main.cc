// SPDX-License-Identifier: MIT

// Prints the example of the configuration file that the packages ship.

#include <iostream>

#include "app/server_conf.h"

int main() {
  std::cout << eps::app::conf_template("") << std::flush;
  return std::cout ? 0 : 1;
}
