// eps: the control tool.

#include <iostream>

#include "app/eps_tool.h"

int main(int argc, char** argv) {
  return eps::app::run_tool({argv + (argc > 0 ? 1 : 0), argv + argc}, {}, std::cout, std::cerr);
}
