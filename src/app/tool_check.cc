#include "app/tool_check.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "app/startup.h"
#include "app/version.h"
#include "os/files.h"
#include "os/interfaces.h"
#include "os/netlink.h"
#include "os/path_mtu.h"
#include "os/privilege.h"
#include "os/unique_fd.h"
#include "runtime/unix_time.h"

namespace eps::app {
namespace {

namespace fs = std::filesystem;
using report::Finding;

constexpr std::int64_t kYear2024 = 1704067200;
// What a frame of the interface's MTU becomes at most: see wire/datagram.h.
constexpr std::uint32_t kOverhead4 = 79, kOverhead6 = 99;

bool port_is_free(std::uint16_t port, int kind) {
  const os::UniqueFd fd(::socket(AF_INET6, kind | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, kind == SOCK_STREAM ? sizeof on : 0);
  sockaddr_in6 at{};
  at.sin6_family = AF_INET6;
  at.sin6_port = htons(port);
  return !fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 || errno != EADDRINUSE;
}

bool resolves(const std::string& host) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> freer(found, [](addrinfo* list) {
    if (list != nullptr) ::freeaddrinfo(list);
  });
  return error == 0;
}

// "10.0.8.5/24 on eth0" where an interface that is none of ours has an address in the network; "" where none has.
std::string clash(const Ip4Network& network, const std::string& own_device) {
  auto socket = os::NetlinkSocket::open();
  if (!socket) return "";
  const auto interfaces = os::list_interfaces(*socket);
  const auto addresses = os::list_addresses(*socket, AF_INET);
  if (!interfaces || !addresses) return "";
  for (const os::InterfaceAddress& a : *addresses) {
    const auto on = std::ranges::find(*interfaces, a.index, &os::Interface::index);
    // Taps are members of the network.
    if (on == interfaces->end() || on->name == own_device || on->kind == "tun" || !a.address.is_v4()) continue;
    Ip4Network other{a.address.v4(), a.prefix};
    other.base.value &= other.mask();
    if (network.overlaps(other)) return to_string(a.address) + "/" + std::to_string(a.prefix) + " on " + on->name;
  }
  return "";
}

}  // namespace

template <class Settings>
const Settings* CheckCommand::accepted(const Parsed<Settings>& parsed, const std::string& program) {
  if (const auto* settings = std::get_if<Settings>(&parsed)) {
    ok("Every option of " + program + " has a value that it can have.");
    return settings;
  }
  std::string sentence = std::get<Stop>(parsed).text;
  sentence.erase(sentence.find_last_not_of('\n') + 1);
  problem(sentence, "");
  return nullptr;
}

int CheckCommand::run(Program program) {
  const Surroundings here = surroundings();
  const std::string path = request_.conf.value_or(defaults_.conf);
  file(path);
  std::vector<std::string> arguments;
  if (request_.conf) arguments = {"--conf", path};
  if (program == Program::client) {
    const auto parsed = client_settings(arguments, here);
    if (const auto* settings = accepted(parsed, name_of(program))) client(*settings);
  } else {
    const auto parsed = server_settings(arguments, here);
    if (const auto* settings = accepted(parsed, name_of(program))) server(*settings);
  }
  if (request_.json) {
    print_json(report::findings_json(findings_));
  } else {
    print(report::findings_text(findings_));
  }
  return report::worst(findings_) == Finding::Level::problem ? kExitFailure : 0;
}

void CheckCommand::file(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return warning("There is no " + path + ".", "eps-server makes it; a client can do with the command line alone.");
  }
  if ((info.st_mode & 077) != 0) {
    return warning("Others than its owner can read " + path + ", in which the network key may stand.",
                   "chmod 600 " + path);
  }
  ok(path + " is there, and only its owner can read it.");
}

// Where a file would be made: in the nearest directory that exists.
void CheckCommand::writable(const std::string& path, const std::string& what) {
  fs::path at = fs::absolute(path);
  std::error_code e;
  while (!at.empty() && at != at.root_path() && !fs::exists(at, e)) at = at.parent_path();
  // The file itself, or a directory to make it in.
  const bool usable = at == fs::absolute(path) || fs::is_directory(at, e);
  errno = ENOTDIR;
  if (usable && ::access(at.c_str(), W_OK) == 0) return;
  problem("The " + what + " " + path + " cannot be written: " + at.string() + ": " + std::strerror(errno) + ".",
          "Run with sudo, or choose another place.");
}

void CheckCommand::common(const runtime::CommonSettings& settings, const std::string& directory) {
  writable(settings.state + directory, "state directory");
  writable(settings.log, "log");
  writable(settings.socket, "socket");
  if (settings.scorecard) writable(*settings.scorecard, "scorecard");
  if (runtime::unix_time() < kYear2024) {
    warning("The clock of this computer is wrong.", "Set it; the network works all the same, but the log misleads.");
  }
}

void CheckCommand::client(const runtime::ClientSettings& settings) {
  common(settings, "/client");
  if (::access("/dev/net/tun", R_OK | W_OK) != 0) {
    problem(std::string("/dev/net/tun cannot be opened: ") + std::strerror(errno) + ".",
            "Run with sudo; where it is missing: modprobe tun, or pass it into the container.");
  }
  if (!os::has_net_admin()) {
    problem("The capability to make a network interface (CAP_NET_ADMIN) is missing.", "Run with sudo.");
  } else {
    ok("It may make a network interface.");
  }
  for (const std::string& server : settings.servers) {
    if (!resolves(server)) {
      warning("The server's name " + server + " does not resolve now.",
              "Is it right? eps-client goes on trying, so it may resolve later.");
    }
  }
}

void CheckCommand::server(const runtime::ServerSettings& settings) {
  common(settings, "/server");
  if (settings.graphviz) writable(*settings.graphviz, "diagram");
  if (ask_status(settings.socket, "status")) {
    ok("eps-server runs already; its port is not looked at.");
  } else {
    for (const auto& [kind, name] : {std::pair(SOCK_STREAM, "TCP"), std::pair(SOCK_DGRAM, "UDP")}) {
      if (port_is_free(settings.port, kind)) continue;
      problem(std::string(name) + " port " + std::to_string(settings.port) + " is in use.",
              "See who has it with ss -lntup, or choose another with --port.");
    }
  }
  if (const std::string with = clash(settings.network, ""); !with.empty()) {
    warning("The network " + to_string(settings.network) + " overlaps " + with + " of this computer.",
            "Members in that network cannot join: choose another --network.");
  }
}

int DoctorCommand::run() {
  std::vector<std::string> sockets = {defaults_.client_socket, defaults_.server_socket};
  if (request_.socket) sockets = {*request_.socket};
  json all = json::object();
  auto worst = Finding::Level::ok;
  std::string text;
  for (const std::string& socket : sockets) {
    const auto status = ask_status(socket, "status");
    if (!status && status.error().code == Errc::not_found) continue;
    if (!status) return fail(status.error().what);
    auto findings = report::diagnose(*status, version());
    look_around(*status, findings);
    worst = std::max(worst, report::worst(findings));
    text += (text.empty() ? "" : "\n") + report::findings_text(findings);
    all[status->value("program", socket)] = report::findings_json(findings);
  }
  if (all.empty()) {
    return not_running("no daemon runs here; eps check client and eps check server tell what may keep it from starting",
                       sockets.front());
  }
  request_.json ? print_json(all) : print(text);
  return worst == Finding::Level::problem ? kExitFailure : 0;
}

// What the daemon does not know of itself: the network of this computer.
void DoctorCommand::look_around(const json& status, std::vector<Finding>& findings) const {
  const json network = status.value("network", json());
  if (status.value("program", "") != "eps-client" || !network.is_object()) return;
  const auto address = parse_ip4_network(network.value("address", ""));
  if (address) {
    if (const std::string with = clash(*address, status.value("device", "")); !with.empty()) {
      findings.push_back({Finding::Level::problem,
                          "The EPS network " + to_string(*address) + " overlaps " + with + " of this computer.",
                          "Start eps-server with another --network, or take this computer out of the other one."});
    }
  }
  const json server = status.value("server", json::object()).value("endpoint", json());
  const auto endpoint = server.is_string() ? parse_endpoint(server.get<std::string>()) : std::nullopt;
  const auto mtu = endpoint ? os::path_mtu(*endpoint) : std::nullopt;
  if (!mtu) return;
  const std::uint32_t needed = network.value("mtu", 0U) + (endpoint->ip.is_v4() ? kOverhead4 : kOverhead6);
  if (*mtu >= needed) {
    findings.push_back(
        {Finding::Level::ok, "Packets of " + std::to_string(*mtu) + " bytes go to the server whole.", ""});
  } else {
    findings.push_back({Finding::Level::warning,
                        "Packets of " + std::to_string(*mtu) + " bytes go to the server whole, full frames need " +
                            std::to_string(needed) + ": they go in fragments, which some networks drop.",
                        "Start eps-server with --mtu " + std::to_string(*mtu - (needed - network.value("mtu", 0U))) +
                            ", which all members then take."});
  }
}

}  // namespace eps::app
