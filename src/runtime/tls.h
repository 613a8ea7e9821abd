// SPDX-License-Identifier: MIT
#pragma once

// TLS 1.3 (RFC 8446) around one control connection, for firewalls that let nothing else pass. It is an envelope and
// proves nothing: its content is encrypted and authenticated with the network key (control/channel.h). So the server
// creates its own certificate, and no client checks it.
//
// No I/O: bytes in, bytes out. Thread rules: one thread at a time.

#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace eps::runtime {

class Tls {
 public:
  // `name`: the server's name for the ClientHello (RFC 6066), which is sent in clear; "": none.
  static std::unique_ptr<Tls> client(const std::string& name);
  static std::unique_ptr<Tls> server();
  ~Tls();

  // Whether a connection that starts with these bytes is TLS. The control channel's first byte is 0: the upper half of
  // the length of a short frame.
  static bool begins(ByteView received) { return !received.empty() && received.front() == std::byte{0x16}; }

  // Encrypts. Until the handshake is complete, the data waits in here.
  void write(ByteView plain);
  // Received data, decrypted; empty while incomplete. Errc::unavailable: the connection cannot
  // continue.
  Result<Bytes> read(ByteView received);
  // Data to send, emptied by the call.
  Bytes take_output();
  // Whether the handshake is complete.
  bool agreed() const;

 private:
  struct Impl;
  explicit Tls(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace eps::runtime
