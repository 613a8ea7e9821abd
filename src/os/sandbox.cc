// SPDX-License-Identifier: MIT

// Landlock as in Documentation/userspace-api/landlock.rst of Linux, seccomp as in seccomp_filter.rst there.

#include "os/sandbox.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <system_error>

#include "os/output_file.h"
#include "os/sys_error.h"
#include "os/system_calls.h"
#include "os/unique_fd.h"

namespace eps::os {

namespace fs = std::filesystem;

bool can_be_restricted() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__SANITIZE_HWADDRESS__)
  return false;
#elif defined(__has_feature)
  return !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer));
#else
  return true;
#endif
}

namespace {

// Of <linux/landlock.h>, which in Debian 12 does not have the newer ones.
constexpr long kCreateRuleset = 444, kAddRule = 445, kRestrictSelf = 446;
constexpr std::uint32_t kVersion = 1, kPathBeneath = 1;

std::atomic<bool> restricted = false;

// A filter that somebody else has set, such as a unit's, may end whoever makes a call that it does not know.
bool may_call(long call) {
  if (::prctl(PR_GET_SECCOMP) == 0) return true;
  const pid_t child = ::fork();
  if (child == 0) {
    (void)::syscall(call, nullptr, 0, kVersion);
    ::_exit(0);
  }
  int status = -1;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return child > 0 && WIFEXITED(status);
}

constexpr std::uint64_t kExecute = 1U << 0, kWriteFile = 1U << 1, kReadFile = 1U << 2, kReadDir = 1U << 3,
                        kRemoveDir = 1U << 4, kRemoveFile = 1U << 5, kMakeChar = 1U << 6, kMakeDir = 1U << 7,
                        kMakeReg = 1U << 8, kMakeSock = 1U << 9, kMakeFifo = 1U << 10, kMakeBlock = 1U << 11,
                        kMakeSym = 1U << 12, kTruncate = 1U << 14, kIoctlDev = 1U << 15;
constexpr std::uint64_t kScopeAbstractSocket = 1U << 0, kScopeSignal = 1U << 1;
constexpr int kTruncateSince = 3, kIoctlDevSince = 5, kScopesSince = 6;  // of the interface's versions

struct RulesetAttributes {
  std::uint64_t fs = 0, net = 0, scoped = 0;
};
struct [[gnu::packed]] PathBeneath {
  std::uint64_t allowed = 0;
  std::int32_t parent = -1;
};

constexpr std::uint64_t kRead = kReadFile | kReadDir;
// A directory is opened to make what changed in it durable, and mkostemp() opens for reading too.
constexpr std::uint64_t kReplace = kRead | kWriteFile | kTruncate | kMakeReg | kMakeSym | kRemoveFile;
constexpr std::uint64_t kTree = kReplace | kMakeDir | kRemoveDir;
constexpr std::uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate | kIoctlDev;  // on a file, not below

class Ruleset {
 public:
  Ruleset() {
    version_ = static_cast<int>(::syscall(kCreateRuleset, nullptr, 0, kVersion));
    if (version_ < 1) return;
    handled_ = kExecute | kWriteFile | kRead | kRemoveDir | kRemoveFile | kMakeChar | kMakeDir | kMakeReg | kMakeSock |
               kMakeFifo | kMakeBlock | kMakeSym;
    if (version_ >= kTruncateSince) handled_ |= kTruncate;
    if (version_ >= kIoctlDevSince) handled_ |= kIoctlDev;
    RulesetAttributes attributes{handled_, 0, 0};
    if (version_ >= kScopesSince) {
      const char* const notify = std::getenv("NOTIFY_SOCKET");
      attributes.scoped = kScopeSignal | (notify != nullptr && *notify == '@' ? 0 : kScopeAbstractSocket);
    }
    // An older kernel refuses a size that it does not know.
    const std::size_t size = version_ >= kScopesSince ? sizeof attributes : sizeof attributes.fs;
    fd_.reset(static_cast<int>(::syscall(kCreateRuleset, &attributes, size, 0)));
  }

  bool works() const { return static_cast<bool>(fd_); }

  // The file or the directory with all below it; none if it is missing.
  void allow(const std::string& path, std::uint64_t access) {
    const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) return;
    if (!S_ISDIR(info.st_mode)) access &= kOfFiles;
    const PathBeneath rule{access & handled_, fd.get()};
    if (rule.allowed != 0) (void)::syscall(kAddRule, fd_.get(), kPathBeneath, &rule, 0);
  }

  bool enforce() { return ::syscall(kRestrictSelf, fd_.get(), 0) == 0; }

 private:
  int version_ = 0;
  std::uint64_t handled_ = 0;
  UniqueFd fd_;
};

std::string directory_of(const std::string& path) {
  std::error_code failed;
  return fs::absolute(path, failed).parent_path();
}

void allow_output(Ruleset& rules, const std::string& path) {
  if (path.empty() || path == "-") return;
  rules.allow(directory_of(path), kReplace);
  // Where links lead.
  const auto place = find_output(path);
  if (!place) return;
  if (place->special) {
    rules.allow(place->path, kWriteFile);
  } else {
    rules.allow(directory_of(place->path), kReplace);
  }
}

// Whatever name leads there, by whichever links.
void allow_input(Ruleset& rules, const std::string& path) {
  if (path.empty()) return;
  rules.allow(directory_of(path), kReadFile);
  std::error_code failed;
  const fs::path real = fs::canonical(path, failed);
  if (!failed) rules.allow(real.parent_path(), kReadFile);
}

}  // namespace

std::string restrict_files(const Reach& reach) {
  if (!can_be_restricted()) return {};
  if (!may_call(kCreateRuleset)) return "whoever started the program does not allow it Landlock";
  Ruleset rules;
  if (!rules.works()) return "this kernel has no Landlock";
  for (const std::string& tree : reach.trees) rules.allow(tree, kTree);
  for (const std::string& output : reach.outputs) allow_output(rules, output);
  for (const std::string& socket : reach.sockets) rules.allow(directory_of(socket), kRemoveFile);
  for (const std::string& input : reach.inputs) allow_input(rules, input);
  // What getaddrinfo() and its modules read, as of systemd-resolved, NetworkManager, resolvconf, connman and sssd.
  for (const char* tree :
       {"/etc", "/usr", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store", "/proc", "/sys", "/run/systemd/resolve",
        "/run/NetworkManager", "/run/resolvconf", "/run/connman", "/var/lib/sss/mc"}) {
    rules.allow(tree, kRead);
  }
  for (const char* file : {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"}) allow_input(rules, file);
  for (const char* device : {"/dev/urandom", "/dev/random", "/dev/zero"}) rules.allow(device, kReadFile);
  rules.allow("/dev/null", kReadFile | kWriteFile | kTruncate);
  rules.allow("/dev/net/tun", kReadFile | kWriteFile | kIoctlDev);
  if (!rules.enforce()) return "Landlock cannot be used: " + errno_text(errno);
  restricted = true;
  return {};
}

bool files_are_restricted() {
  return restricted;
}

namespace {

// The filter's program: loads, comparisons and returns.
class Filter {
 public:
  void load(std::size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); }
  // Of the argument's lower half: what is compared here is an int or flags.
  void load_argument(std::size_t number) { load(offsetof(seccomp_data, args) + 8 * number + kLowHalf); }
  void refuse(int error) { add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error)); }
  void allow() { add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW); }
  void mask(std::uint32_t bits) { add(BPF_ALU | BPF_AND | BPF_K, bits); }
  // Skips the next `count` instructions if what was loaded is (or is not) this.
  void skip_if(std::uint32_t value, std::uint8_t count) { add(BPF_JMP | BPF_JEQ | BPF_K, value, count, 0); }
  void skip_unless(std::uint32_t value, std::uint8_t count) { add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count); }
  void skip_below(std::uint32_t value, std::uint8_t count) { add(BPF_JMP | BPF_JGE | BPF_K, value, 0, count); }
  void skip_above(std::uint32_t value, std::uint8_t count) { add(BPF_JMP | BPF_JGT | BPF_K, value, count, 0); }

  // For one system call, whose part `make` adds and ends. Its number is still loaded behind it.
  template <class Make>
  void of(long call, const Make& make) {
    const std::size_t at = code_.size();
    skip_unless(static_cast<std::uint32_t>(call), 0);
    make();
    code_[at].jf = static_cast<std::uint8_t>(code_.size() - at - 1);
  }

  bool install() {
    sock_fprog program{static_cast<unsigned short>(code_.size()), code_.data()};
    return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
  }

 private:
  static constexpr std::size_t kLowHalf = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 4;
  void add(int code, std::uint32_t k, std::uint8_t jt = 0, std::uint8_t jf = 0) {
    code_.push_back({static_cast<std::uint16_t>(code), jt, jf, k});
  }
  std::vector<sock_filter> code_;
};

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t kArchitecture = 0;
#endif
constexpr std::uint32_t kX32Bit = 0x40000000;
constexpr std::uint32_t kSetIdBits = S_ISUID | S_ISGID;
constexpr std::uint32_t kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                      CLONE_NEWPID | CLONE_NEWNET | 0x80 /* CLONE_NEWTIME */;

void refuse_arguments(Filter& f) {
  f.of(SYS_socket, [&] {
    f.load_argument(0);
    for (const std::uint32_t family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK}) {
      f.skip_unless(family, 1);
      f.allow();
    }
    f.refuse(EAFNOSUPPORT);
  });
  // Threads, and no processes.
  f.of(SYS_clone, [&] {
    f.load_argument(0);
    f.mask(kNamespaces | CLONE_THREAD);
    f.skip_unless(CLONE_THREAD, 1);
    f.allow();
    f.refuse(EPERM);
  });
  // No signals to others.
  for (const long call : {SYS_kill, SYS_tgkill}) {
    f.of(call, [&] {
      f.load_argument(0);
      f.skip_unless(static_cast<std::uint32_t>(::getpid()), 1);
      f.allow();
      f.refuse(EPERM);
    });
  }
  // No memory that is written and executed, nor one after the other.
  f.of(SYS_mmap, [&] {
    f.load_argument(2);
    f.mask(PROT_WRITE | PROT_EXEC);
    f.skip_unless(PROT_WRITE | PROT_EXEC, 1);
    f.refuse(EPERM);
    f.allow();
  });
  f.of(SYS_mprotect, [&] {
    f.load_argument(2);
    f.mask(PROT_EXEC);
    f.skip_if(0, 1);
    f.refuse(EPERM);
    f.allow();
  });
  // No words into the terminal that root looks at.
  f.of(SYS_ioctl, [&] {
    f.load_argument(1);
    for (const std::uint32_t request : {TIOCSTI, TIOCLINUX}) {
      f.skip_unless(request, 1);
      f.refuse(EPERM);
    }
    f.allow();
  });
  // No file that others run with these rights.
  const auto no_set_id = [&](long call, std::size_t mode) {
    f.of(call, [&] {
      f.load_argument(mode);
      f.mask(kSetIdBits);
      f.skip_if(0, 1);
      f.refuse(EPERM);
      f.allow();
    });
  };
  no_set_id(SYS_fchmod, 1);
  no_set_id(SYS_fchmodat, 2);
  no_set_id(SYS_mkdirat, 2);
  const auto no_set_id_made = [&](long call, std::size_t flags) {
    f.of(call, [&] {
      f.load_argument(flags);
      f.mask(O_CREAT);
      f.skip_unless(0, 1);
      f.allow();
      f.load_argument(flags + 1);
      f.mask(kSetIdBits);
      f.skip_if(0, 1);
      f.refuse(EPERM);
      f.allow();
    });
  };
  no_set_id_made(SYS_openat, 2);
#ifdef SYS_open
  no_set_id(SYS_chmod, 1);
  no_set_id(SYS_mkdir, 1);
  no_set_id_made(SYS_open, 1);
#endif
}

}  // namespace

std::string restrict_system_calls() {
  if (!can_be_restricted()) return {};
  if (kArchitecture == 0) return "there is no filter of system calls for this architecture";
  Filter f;
  f.load(offsetof(seccomp_data, arch));
  f.skip_if(kArchitecture, 1);
  f.refuse(ENOSYS);
  f.load(offsetof(seccomp_data, nr));
#ifdef __x86_64__
  f.skip_below(kX32Bit, 1);
  f.refuse(ENOSYS);
#endif
  refuse_arguments(f);
  // Runs of numbers. The kernel remembers which are allowed at once (since Linux 5.11).
  std::vector<std::uint32_t> calls(kSystemCalls.begin(), kSystemCalls.end());
  std::ranges::sort(calls);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const std::uint32_t first = calls[i];
    while (i + 1 < calls.size() && calls[i + 1] <= calls[i] + 1) ++i;
    f.skip_below(first, 2);
    f.skip_above(calls[i], 1);
    f.allow();
  }
  f.refuse(ENOSYS);
  return f.install() ? "" : "seccomp cannot be used: " + errno_text(errno);
}

}  // namespace eps::os
