#pragma once

// The messages with which two members test the ways between them. They travel sealed in their session (wire
// Kind::control), directly or through the relay, and an answer is as large as its question.
//
//   | op 8 | id 64 | ip 128 | port 16 |      ping: ip and port are zero; pong: where the ping came from, zero when it
//                                            came through the relay

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/types.h"

namespace eps::mesh {

struct PathMessage {
  enum class Op : std::uint8_t { ping = 1, pong = 2 };
  Op op = Op::ping;
  std::uint64_t id = 0;
  Endpoint seen_from;
};

inline constexpr std::size_t kPathMessageSize = 1 + 8 + 16 + 2;

std::array<std::byte, kPathMessageSize> encode(const PathMessage& message);
std::optional<PathMessage> decode_path_message(ByteView bytes);

}  // namespace eps::mesh
