#include "os/privilege.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace eps::os {

bool has_net_admin() {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return false;
  return (data[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN)) != 0;
}

Result<void> require_net_admin() {
  if (has_net_admin()) return {};
  return make_error(Errc::permission,
                    "eps-client may not create its network interface: it lacks CAP_NET_ADMIN; run it with sudo or "
                    "through its systemd unit (in a container: --cap-add=NET_ADMIN --device=/dev/net/tun)");
}

}  // namespace eps::os
