#include "mesh/path_message.h"

namespace eps::mesh {

std::array<std::byte, kPathMessageSize> encode(const PathMessage& message) {
  std::array<std::byte, kPathMessageSize> out{};
  out[0] = static_cast<std::byte>(message.op);
  store_be64(&out[1], message.id);
  std::memcpy(&out[9], message.seen_from.ip.bytes.data(), 16);
  store_be16(&out[25], message.seen_from.port);
  return out;
}

std::optional<PathMessage> decode_path_message(ByteView bytes) {
  Reader in(bytes);
  PathMessage message;
  const std::uint8_t op = in.u8();
  message.id = in.u64();
  message.seen_from.ip.bytes = in.array<16>();
  message.seen_from.port = in.u16();
  if (!in.done() || (op != 1 && op != 2)) return std::nullopt;
  message.op = static_cast<PathMessage::Op>(op);
  return message;
}

}  // namespace eps::mesh
