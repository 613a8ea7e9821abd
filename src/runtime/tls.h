// SPDX-License-Identifier: MIT
#pragma once

// TLS 1.3 (RFC 8446) around one control connection, for firewalls that let nothing else pass. It is an envelope and
// proves nothing: what is inside is encrypted and authenticated by the network key (control/channel.h). So the server
// makes its certificate itself, and no client checks it.
//
// No I/O: bytes in, bytes out. Thread rules: one thread at a time.

#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace eps::runtime {

class Tls {
 public:
  // `name`: the server's name for the ClientHello (RFC 6066), which is readable on the way; "": none.
  static std::unique_ptr<Tls> client(const std::string& name);
  static std::unique_ptr<Tls> server();
  ~Tls();

  // Whether a connection that begins with these bytes is TLS. The control channel's first byte is 0: half the length of
  // a short frame.
  static bool begins(ByteView received) { return !received.empty() && received.front() == std::byte{0x16}; }

  // Encrypts. Before the handshake is over it waits in here.
  void write(ByteView plain);
  // What was received, decrypted; empty while there is not enough of it. Errc::unavailable: the connection cannot go
  // on.
  Result<Bytes> read(ByteView received);
  // What is to be sent, emptied by the call.
  Bytes take_output();

 private:
  struct Impl;
  explicit Tls(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace eps::runtime
