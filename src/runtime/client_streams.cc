// SPDX-License-Identifier: MIT
#include "runtime/client_streams.h"

#include <algorithm>
#include <utility>

namespace eps::runtime {

control::ConnId ClientStreams::add(boost::asio::ip::tcp::socket socket, bool may_become_tls) {
  const control::ConnId id = next_++;
  auto stream = std::make_shared<TcpStream>(std::move(socket), kMaxBacklog);
  if (may_become_tls) stream->accept_tls();
  stream->answers(waiting_);
  streams_.emplace(id, std::move(stream));
  return id;
}

void ClientStreams::start(control::ConnId id, TcpStream::Handlers handlers) {
  const auto stream = streams_.at(id);
  handlers.on_closed = [this, id, on_closed = std::move(handlers.on_closed)](const std::string& why) {
    streams_.erase(id);
    on_closed(why);
  };
  stream->start(std::move(handlers));
}

std::optional<std::size_t> ClientStreams::backlog(control::ConnId id) const {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return std::nullopt;
  return it->second->backlog();
}

void ClientStreams::send(control::ConnId id, Bytes bytes) {
  if (const auto it = streams_.find(id); it != streams_.end()) it->second->send(std::move(bytes));
}

void ClientStreams::close(control::ConnId id) {
  if (auto stream = streams_.extract(id)) stream.mapped()->close();
}

std::optional<std::string> ClientStreams::enforce_limit() {
  if (*waiting_ <= max_backlogs_) return std::nullopt;
  const auto most = std::ranges::max_element(streams_, {}, [](const auto& s) { return s.second->backlog(); });
  if (most == streams_.end()) return std::nullopt;
  most->second->end("the other end has stopped reading");
  return "A client is disconnected because it does not read: " + std::to_string(most->second->backlog()) +
         " bytes wait for it, and " + std::to_string(*waiting_) + " for all clients together.";
}

}  // namespace eps::runtime
