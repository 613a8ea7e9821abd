// SPDX-License-Identifier: MIT
#pragma once

// The TAP device: Ethernet frames to and from the kernel, with virtio offload metadata, so that a 64 KB super-frame
// crosses in one system call. The device is not persistent: it goes away with the last queue that is open.

#include <net/if.h>
#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/unique_fd.h"
#include "ports/tap.h"

namespace eps::os {

// What the kernel may leave undone in the frames it gives us. Each is a request: unsupported ones are dropped (USO
// needs Linux 6.2), and tso and uso need checksum. A frame that we write may use all of it whatever the switches,
// except for UDP super-frames, which only a kernel with USO accepts.
struct TapOptions {
  bool checksum = true;  // frames may come with a partial checksum
  bool tso = true;       // TCP super-frames
  bool uso = true;       // UDP super-frames
  // With more than one the device is multi-queue; open() opens the first, add_queue() each further one.
  int queues = 1;
};

class LinuxTap final : public ports::TapPort {
 public:
  // Creates the device `name` (or, with "", one that the kernel names) and attaches to it. It is down at first.
  static Result<std::unique_ptr<LinuxTap>> open(const std::string& name, const TapOptions& options = {});
  // Another queue of the same device. REQUIRES: opened with queues > 1.
  Result<std::unique_ptr<LinuxTap>> add_queue() const;

  std::size_t read(std::span<ports::TapFrame> out) override;
  bool drained() const override { return drained_; }
  bool down() const override { return down_; }
  std::size_t write(std::span<const ports::TapWrite> frames) override;

  // False once a read found that the interface was deleted: it stays readable and returns nothing. For the reader.
  bool attached() const { return attached_; }
  int fd() const { return fd_.get(); }               // readable when a frame waits
  const std::string& name() const { return name_; }  // of the interface
  int ifindex() const { return ifindex_; }
  const TapOptions& options() const { return options_; }  // in force, as granted by the kernel

 private:
  LinuxTap(UniqueFd fd, const TapOptions& wish);
  static Result<std::unique_ptr<LinuxTap>> attach(const std::string& name, const TapOptions& wish, int flags);
  Result<void> set_offloads();
  bool write_one(const ports::TapWrite& frame, bool& give_up);

  UniqueFd fd_;
  TapOptions options_;
  std::string name_;
  int ifindex_ = 0;
  // For the reader: one arena in which a read packs its frames one after the other. Not touched, so not resident, until
  // used.
  std::unique_ptr<std::byte[]> arena_;
  bool drained_ = true;
  bool down_ = false;
  bool attached_ = true;
  // For the writer: header and pieces of the frame being written; grows to the longest list seen.
  std::vector<iovec> iov_;
};

}  // namespace eps::os
