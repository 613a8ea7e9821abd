#pragma once

// The machine's network configuration through rtnetlink: ours is set, the other interfaces' is only read.

#include <memory>
#include <string>
#include <vector>

#include "os/interfaces.h"
#include "os/netlink.h"
#include "ports/link.h"

namespace eps::os {

// Frames that wait in the TAP device for us to read them. Bounded, as they are delay: 500 full frames of 1400 bytes
// are 0.7 MB, a millisecond at 6 Gbit/s. (Super-frames count as one.)
inline constexpr std::uint32_t kTxQueueLength = 500;

class NetlinkLink final : public ports::LinkPort {
 public:
  // `device`: the name of the EPS interface, which exists by the time of configure().
  static Result<std::unique_ptr<NetlinkLink>> open(std::string device);

  Result<void> configure(const ports::LinkConfig& config) override;
  std::vector<IpAddress> local_addresses() override;

 private:
  NetlinkLink(std::string device, NetlinkSocket socket);
  Result<void> configure_link(const ports::LinkConfig& config, Interface& own);
  Result<void> set_up(int index, bool up);
  Result<void> configure_address(const ports::LinkConfig& config, int own);
  Result<void> change_address(std::uint16_t type, std::uint16_t flags, Ip4 address, std::uint8_t prefix, int own);
  Result<void> ensure_route(const ports::LinkConfig& config, int own);

  // By its number once it was found: it may get another name while we run.
  bool is_own(const Interface& interface) const {
    return index_ != 0 ? interface.index == index_ : interface.name == device_;
  }

  std::string device_;
  int index_ = 0;
  NetlinkSocket socket_;
};

}  // namespace eps::os
