// SPDX-License-Identifier: MIT
#pragma once

// Tables for people, made from the JSON that a daemon answers (status_json.h). Fields that are missing, because the
// daemon is of another version, show as "-".

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace eps::report {

std::string status_text(const nlohmann::json& status);  // of a client or a server
// `width`: characters of a line at most; 0: as wide as it comes. The least important columns are left out first.
std::string peers_text(const nlohmann::json& status, std::size_t width = 0);    // of a client
std::string members_text(const nlohmann::json& status, std::size_t width = 0);  // of a server
// Of the answer to "why" (status_json.h): the verdict, what to do, each way with what was tried, the events.
std::string why_text(const nlohmann::json& why, std::size_t width = 0);

// SI units, three figures: "0 B", "999 B", "1.50 kB", "12.3 MB", "123 GB".
std::string human_bytes(std::uint64_t bytes);
// "1 packet", "2 packets".
std::string counted(std::uint64_t number, std::string_view noun);
// The two largest units: "0 s", "59 s", "1 min 2 s", "3 h 20 min", "12 d 4 h".
std::string human_duration(std::uint64_t seconds);

// With so many digits behind the point.
std::string decimals(double value, int digits);

// Columns as wide as their widest cell, two blanks between, no blanks at a line's end. Widths are counted in UTF-8
// characters.
std::string columns(const std::vector<std::vector<std::string>>& rows);
// The same in lines of `width` characters (0: any): without as many of the `dispensable` columns, the first one first,
// as it takes, and cut where that is not enough.
std::string columns(std::vector<std::vector<std::string>> rows, std::size_t width,
                    std::vector<std::size_t> dispensable);
// Lines longer than `width` (0: none is) go on in the next one, below what stands behind their first gap.
std::string folded(std::string_view text, std::size_t width);

}  // namespace eps::report
