// SPDX-License-Identifier: MIT
#pragma once

// For control_messages.cc: the conversions of a traffic report.

#include "model/traffic_report.h"

namespace eps::wire {
namespace proto {
class Report;
}

// False for a value that breaks a limit.
bool take(const proto::Report& from, TrafficReport& to);
void put(const TrafficReport& from, proto::Report& to);

}  // namespace eps::wire
