// SPDX-License-Identifier: MIT
#include "os/privilege.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <system_error>

namespace eps::os {

namespace {

using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

__user_cap_header_struct this_thread() {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  return header;
}

// Whether root may do `wanted` (S_IWUSR and the like) there by the mode alone, ignoring groups and ACLs.
bool root_may(const std::string& path, mode_t wanted) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return true;
  if (info.st_uid == 0 && (info.st_mode & wanted) == wanted) return true;
  const mode_t of_others = wanted >> 6;
  return info.st_uid != 0 && (info.st_mode & of_others) == of_others;
}

namespace fs = std::filesystem;

// The first directory on the way to `path` that root may not enter, or `path`'s own if it may not write there.
std::string closed_directory(const fs::path& path, bool write) {
  for (fs::path parent = path.parent_path(); parent != parent.parent_path(); parent = parent.parent_path()) {
    const bool own = parent == path.parent_path();
    if (!root_may(parent, S_IXUSR | (own && write ? S_IWUSR : 0U))) return parent;
  }
  return {};
}

std::string closed_file(const std::string& path, bool write) {
  if (path.empty() || path.starts_with("/dev/") || path.starts_with("/proc/") || path == "-") return {};
  std::error_code failed;
  const fs::path whole = fs::weakly_canonical(fs::absolute(path, failed), failed);
  if (failed) return path;
  if (std::string directory = closed_directory(whole, write); !directory.empty()) return directory;
  return root_may(whole, write ? S_IWUSR : S_IRUSR) ? "" : whole.string();
}

std::string closed_below(const std::string& directory) {
  std::error_code failed;
  const fs::path whole = fs::weakly_canonical(fs::absolute(directory, failed), failed);
  if (failed) return directory;
  if (std::string above = closed_directory(whole, false); !above.empty()) return above;
  if (!root_may(whole, S_IRWXU)) return whole;
  for (auto it = fs::recursive_directory_iterator(whole, failed); !failed && it != fs::end(it); it.increment(failed)) {
    const mode_t wanted = it->is_directory(failed) ? S_IRWXU : S_IRUSR | S_IWUSR;
    if (!it->is_symlink(failed) && !root_may(it->path(), wanted)) return it->path();
  }
  return failed ? directory : "";
}

// "" if root needs no CAP_DAC_OVERRIDE.
std::string first_closed(const Needs& needs) {
  std::string closed = closed_below(needs.state);
  for (const std::string& file : needs.files) {
    if (closed.empty()) closed = closed_file(file, true);
  }
  for (const std::string& file : needs.reads) {
    if (closed.empty()) closed = closed_file(file, false);
  }
  return closed;
}

}  // namespace

bool has_net_admin() {
  auto header = this_thread();
  Sets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
  return (sets[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN)) != 0;
}

void drop_network_capabilities() {
  auto header = this_thread();
  Sets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return;
  for (const int capability : {CAP_NET_ADMIN, CAP_NET_BIND_SERVICE}) {
    __user_cap_data_struct& half = sets[CAP_TO_INDEX(capability)];
    const auto others = ~static_cast<__u32>(CAP_TO_MASK(capability));
    half.effective &= others;
    half.permitted &= others;
    half.inheritable &= others;  // and with it the ambient set
  }
  (void)::syscall(SYS_capset, &header, sets.data());  // dropping is always allowed
}

std::string keep_only(const Needs& needs) {
  std::uint64_t keep = needs.net_admin ? 1ULL << CAP_NET_ADMIN : 0;
  std::string closed = ::geteuid() == 0 ? first_closed(needs) : "";
  // What is made there is given to the directory's owner.
  if (!closed.empty()) keep |= 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_CHOWN;
  (void)::prctl(PR_SET_DUMPABLE, 0);
  if (!needs.runs_commands) {
    (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    // Up to the last one that the kernel knows. It needs CAP_SETPCAP: without that, no_new_privs remains.
    for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
      if ((keep >> capability & 1) == 0) (void)::prctl(PR_CAPBSET_DROP, capability);
    }
  }
  auto header = this_thread();
  Sets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return closed;
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const auto kept = static_cast<__u32>(keep >> (32 * i));
    sets[i].effective &= kept;
    sets[i].permitted &= kept;
    sets[i].inheritable = 0;  // and with it the ambient set
  }
  (void)::syscall(SYS_capset, &header, sets.data());  // dropping is always allowed
  return closed;
}

Result<void> require_net_admin() {
  if (has_net_admin()) return {};
  return make_error(Errc::permission,
                    "eps-client may not create its network interface: it lacks CAP_NET_ADMIN; run it with sudo or "
                    "through its systemd unit (in a container: --cap-add=NET_ADMIN --device=/dev/net/tun)");
}

}  // namespace eps::os
