// SPDX-License-Identifier: MIT
#include "os/privilege.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <system_error>

#include "os/sandbox.h"
#include "os/unique_fd.h"

namespace eps::os {

namespace {

using Sets = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

__user_cap_header_struct this_thread() {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  return header;
}

namespace fs = std::filesystem;

// Who uses files by their modes alone, ignoring ACLs.
struct Who {
  uid_t user = 0;
  gid_t group = static_cast<gid_t>(-1);  // none

  // Whether they may do `wanted` (S_IWUSR and the like) there.
  bool may(const std::string& path, mode_t wanted) const {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return true;
    if (info.st_uid == user) return (info.st_mode & wanted) == wanted;
    const mode_t theirs = info.st_gid == group ? wanted >> 3 : wanted >> 6;
    return (info.st_mode & theirs) == theirs;
  }

  // The first directory on the way to `path` that they may not enter, or `path`'s own if they may not write there.
  std::string closed_directory(const fs::path& path, bool write) const {
    for (fs::path parent = path.parent_path(); parent != parent.parent_path(); parent = parent.parent_path()) {
      const bool own = parent == path.parent_path();
      if (!may(parent, S_IXUSR | (own && write ? S_IWUSR : 0U))) return parent;
    }
    return {};
  }

  std::string closed_file(const std::string& path, bool write) const {
    if (path.empty() || path.starts_with("/dev/") || path.starts_with("/proc/") || path == "-") return {};
    std::error_code failed;
    const fs::path whole = fs::weakly_canonical(fs::absolute(path, failed), failed);
    if (failed) return path;
    if (std::string directory = closed_directory(whole, write); !directory.empty()) return directory;
    return may(whole, write ? S_IWUSR : S_IRUSR) ? "" : whole.string();
  }

  std::string closed_below(const std::string& directory) const {
    std::error_code failed;
    const fs::path whole = fs::weakly_canonical(fs::absolute(directory, failed), failed);
    if (failed) return directory;
    if (std::string above = closed_directory(whole, false); !above.empty()) return above;
    if (!may(whole, S_IRWXU)) return whole;
    for (auto it = fs::recursive_directory_iterator(whole, failed); !failed && it != fs::end(it);
         it.increment(failed)) {
      const mode_t wanted = it->is_directory(failed) ? S_IRWXU : S_IRUSR | S_IWUSR;
      if (!it->is_symlink(failed) && !may(it->path(), wanted)) return it->path();
    }
    return failed ? directory : "";
  }

  // The first that is closed to them, "" if there is none.
  std::string closed_output(const Needs& needs) const {
    std::string found;
    for (const std::string& file : needs.outputs) {
      if (found.empty()) found = closed_file(file, true);
    }
    for (const std::string& socket : needs.sockets) {
      std::error_code failed;
      if (found.empty()) found = closed_directory(fs::weakly_canonical(fs::absolute(socket, failed), failed), true);
    }
    return found;
  }
  std::string closed(const Needs& needs) const {
    std::string found = closed_below(needs.state);
    if (found.empty()) found = closed_output(needs);
    for (const std::string& file : needs.inputs) {
      if (found.empty()) found = closed_file(file, false);
    }
    return found;
  }
};

// Whom `name` means; nullopt: nobody, or root.
std::optional<Who> find_user(const std::string& name) {
  if (name.empty()) return std::nullopt;
  const passwd* entry = ::getpwnam(name.c_str());
  if (entry == nullptr || entry->pw_uid == 0) return std::nullopt;
  return Who{entry->pw_uid, entry->pw_gid};
}

// What root has made there. Not what has other names elsewhere.
void give_roots_files(const std::string& directory, const Who& to) {
  const auto give = [&](const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0 || info.st_uid != 0) return;
    if (!S_ISDIR(info.st_mode) && (!S_ISREG(info.st_mode) || info.st_nlink > 1)) return;
    (void)!::fchownat(fd.get(), "", to.user, to.group, AT_EMPTY_PATH);
  };
  give(directory);
  std::error_code failed;
  for (auto it = fs::recursive_directory_iterator(directory, failed); !failed && it != fs::end(it);
       it.increment(failed)) {
    give(it->path());
  }
}

// Why this process has to stay root; "": it needs not.
std::string why_root(const Needs& needs, const Who& user) {
  const auto not_usable = [&](const std::string& what) { return what + " is closed to the user " + needs.user; };
  if (const std::string output = user.closed_output(needs); !output.empty()) return not_usable(output);
  // More queues of the interface may be opened.
  if (needs.net_admin && !user.may("/dev/net/tun", S_IRUSR | S_IWUSR)) return not_usable("/dev/net/tun");
  const std::string above = fs::path(needs.state).parent_path();
  struct stat info {};
  if (::stat(above.c_str(), &info) == 0 && info.st_uid == user.user) give_roots_files(needs.state, user);
  const std::string kept = user.closed_below(needs.state);
  return kept.empty() ? "" : not_usable(kept);
}

// The capabilities stay permitted until capset().
bool become(const Who& user) {
  return ::prctl(PR_SET_KEEPCAPS, 1) == 0 && ::setgroups(0, nullptr) == 0 &&
         ::setresgid(user.group, user.group, user.group) == 0 && ::setresuid(user.user, user.user, user.user) == 0;
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

Kept keep_only(const Needs& needs) {
  Kept out;
  std::uint64_t keep = needs.net_admin ? 1ULL << CAP_NET_ADMIN : 0;
  const bool root = ::geteuid() == 0;
  const auto user = root ? find_user(needs.user) : std::nullopt;
  if (user) out.stays = why_root(needs, *user);
  const bool changes = user && out.stays.empty();
  if (root && !changes) out.closed = Who().closed(needs);
  // What is made there is given to the directory's owner.
  if (!out.closed.empty()) keep |= 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_CHOWN;
  (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // Up to the last one that the kernel knows. It needs CAP_SETPCAP: without that, no_new_privs remains.
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if ((keep >> capability & 1) == 0) (void)::prctl(PR_CAPBSET_DROP, capability);
  }
  if (changes) {
    out.user = become(*user) ? needs.user : "";
    if (out.user.empty()) out.stays = "the kernel does not let it be " + needs.user;
    (void)::prctl(PR_SET_KEEPCAPS, 0);
  }
  auto header = this_thread();
  Sets sets{};
  if (::syscall(SYS_capget, &header, sets.data()) == 0) {
    for (std::size_t i = 0; i < sets.size(); ++i) {
      const auto kept = static_cast<__u32>(keep >> (32 * i));
      sets[i].permitted &= kept;
      sets[i].effective = sets[i].permitted;
      sets[i].inheritable = 0;  // and with it the ambient set
    }
    (void)::syscall(SYS_capset, &header, sets.data());  // dropping is always allowed
  }
  (void)::prctl(PR_SET_DUMPABLE, 0);
  Reach reach{{needs.state}, needs.outputs, needs.sockets, needs.inputs};
  reach.outputs.insert(reach.outputs.end(), needs.later.begin(), needs.later.end());
  out.all_files = restrict_files(reach);
  out.all_calls = restrict_system_calls();
  return out;
}

Result<void> require_net_admin() {
  if (has_net_admin()) return {};
  return make_error(Errc::permission,
                    "eps-client may not create its network interface: it lacks CAP_NET_ADMIN; run it with sudo or "
                    "through its systemd unit (in a container: --cap-add=NET_ADMIN --device=/dev/net/tun)");
}

}  // namespace eps::os
