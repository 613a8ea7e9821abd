// SPDX-License-Identifier: MIT
#include "app/tool_check.h"

#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <thread>

#include "app/conf_file.h"
#include "app/server_conf.h"
#include "app/startup.h"
#include "app/tool_keys.h"
#include "app/version.h"
#include "control/cache_file.h"
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

constexpr std::size_t kMaxKeyFile = 4096;
constexpr std::int64_t kYear2024 = 1704067200;
constexpr std::chrono::milliseconds kDoctorPause{1000};  // between the two looks

// 0, or why no socket of this family can be bound there: EADDRINUSE, EACCES; EAFNOSUPPORT where the kernel lacks the
// family.
int port_trouble(const IpAddress& ip, std::uint16_t port, int kind) {
  const os::UniqueFd fd(::socket(ip.is_v4() ? AF_INET : AF_INET6, kind | SOCK_CLOEXEC, 0));
  if (!fd) return errno;
  const int on = 1;
  if (kind == SOCK_STREAM) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage at{};
  socklen_t size = sizeof(sockaddr_in);
  if (ip.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(at);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    v4.sin_addr.s_addr = htonl(ip.v4().value);
    // As in the daemons: the address may appear only later.
    ::setsockopt(fd.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(at);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&v6.sin6_addr, ip.bytes.data(), sizeof v6.sin6_addr);
    size = sizeof(sockaddr_in6);
    // Each family separately: the IPv6 socket would answer for both, and say nothing if there is no IPv6.
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    ::setsockopt(fd.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
  }
  return ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), size) == 0 ? 0 : errno;
}

struct PortTrouble {
  int error = 0;       // of the family below; 0: the port is free on each family of this kernel
  std::string family;  // "" when both are concerned, or only one was asked
};

// At one address, or at every address of this computer.
PortTrouble port_trouble(const std::optional<IpAddress>& only, std::uint16_t port, int kind) {
  if (only) return {port_trouble(*only, port, kind), ""};
  const int v4 = port_trouble(IpAddress::from_v4({0}), port, kind), v6 = port_trouble(IpAddress{}, port, kind);
  const auto lacking = [](int error) { return error == EAFNOSUPPORT || error == EADDRNOTAVAIL; };
  if (lacking(v4) || lacking(v6)) return {lacking(v4) ? v6 : v4, ""};
  if (v4 == v6) return {v4, ""};
  return v4 != 0 ? PortTrouble{v4, " over IPv4"} : PortTrouble{v6, " over IPv6"};
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

// The output of systemd about the two services; "" if it does not run.
std::string shown_units() {
  struct stat info {};
  if (::stat("/run/systemd/system", &info) != 0) return "";
  constexpr const char* kCommand =
      "systemctl show --property=Id,ActiveState,SubState,Result,ExecMainStatus,UnitFileState eps-client.service "
      "eps-server.service 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(kCommand, "re"), ::pclose);
  std::string out;
  std::array<char, 1024> chunk;
  std::size_t got = 0;
  while (pipe && (got = std::fread(chunk.data(), 1, chunk.size(), pipe.get())) > 0) out.append(chunk.data(), got);
  return out;
}

// 0, or why the interface cannot carry frames: ENODEV, ENETDOWN.
int link_trouble(const std::string& device) {
  const os::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  device.copy(request.ifr_name, sizeof request.ifr_name - 1);
  if (!fd || ::ioctl(fd.get(), SIOCGIFFLAGS, &request) != 0) return errno == ENODEV ? ENODEV : 0;
  return (static_cast<unsigned>(request.ifr_flags) & IFF_UP) != 0 ? 0 : ENETDOWN;
}

// See os::find_collision().
os::Collision clash(const Ip4Network& network, const std::string& own_device, const IpAddress& self) {
  auto socket = os::NetlinkSocket::open();
  if (!socket) return {};
  const int own = own_device.empty() ? 0 : static_cast<int>(::if_nametoindex(own_device.c_str()));
  const auto found = os::find_collision(*socket, network, self, own);
  return found ? *found : os::Collision{};
}

}  // namespace

template <class Settings>
const Settings* CheckCommand::accepted(const Parsed<Settings>& parsed, const std::string& program) {
  if (const auto* settings = std::get_if<Settings>(&parsed)) {
    ok("Every option of " + program + " has a valid value.");
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
  std::vector<std::string> arguments;
  if (request_.conf) arguments = {"--conf", path};
  if (!file(path, program)) {
    // That is all there is to say.
  } else if (program == Program::client) {
    const auto parsed = client_settings(arguments, here);
    if (const auto* settings = accepted(parsed, name_of(program))) client(*settings);
  } else {
    const auto parsed = server_settings(arguments, here);
    if (const auto* settings = accepted(parsed, name_of(program))) server(*settings);
  }
  if (request_.json) {
    print_json(report::findings_json(findings_));
  } else {
    print_folded(report::findings_text(findings_));
  }
  return report::worst(findings_) == Finding::Level::problem ? kExitFailure : 0;
}

bool CheckCommand::file(const std::string& path, Program program) {
  const std::string missing = "There is no " + path;
  struct stat info {};
  const bool there = ::stat(path.c_str(), &info) == 0;
  if (!there && errno != ENOENT) return true;  // reading it says why
  if (!there) {
    if (program == Program::server) {
      warning(missing + ".", "eps-server makes it.");
    } else if (!request_.conf) {
      warning(missing + ".", "A client can run from the command line alone.");
    } else {
      problem(missing + ", and eps-client does not start without the file that --conf names.",
              "Is its name right? If it is, write it, as man eps.conf says.");
      return false;
    }
  } else if ((info.st_mode & 077) != 0) {
    warning("Users other than its owner can read " + path + ", which may hold the network key.", "chmod 600 " + path);
  } else {
    ok(path + " is there, and only its owner can read it.");
  }
  return true;
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
  if (settings.log != "-") writable(settings.log, "log");
  writable(settings.socket, "socket");
  if (settings.scorecard) writable(*settings.scorecard, "scorecard");
  if (runtime::unix_time() < kYear2024) {
    warning("The clock of this computer is wrong.",
            "Set it. The network works nevertheless, but the times in the log are wrong.");
  }
}

void CheckCommand::client(const runtime::ClientSettings& settings) {
  common(settings, "/client");
  if (::access("/dev/net/tun", R_OK | W_OK) != 0) {
    problem(std::string("/dev/net/tun cannot be opened: ") + std::strerror(errno) + ".",
            "Run with sudo; where it is missing: modprobe tun, or pass it into the container.");
  }
  if (!os::has_net_admin()) {
    problem("The capability to create a network interface (CAP_NET_ADMIN) is missing.", "Run with sudo.");
  } else {
    ok("It may create a network interface.");
  }
  if (settings.udp_port != 0 && !ask_status(settings.socket, "status")) {
    port(settings.udp_port, SOCK_DGRAM, "udp-port");
  }
  const auto content = os::read_file(settings.state + "/client/network", control::kMaxCacheFile);
  const auto cache = content ? control::decode_cache_file(as_view(*content)) : Result<NetworkCache>(content.error());
  if (cache) network(cache->network.network, settings.device, IpAddress::from_v4(cache->self.address));
  for (const std::string& server : settings.servers) {
    if (resolves(server)) {
      ok("The server's name or address " + server + " is understood.");
    } else {
      warning("The server's name " + server + " does not resolve now.",
              "Check the spelling. eps-client keeps trying, so the name may resolve later.");
    }
  }
}

void CheckCommand::server(const runtime::ServerSettings& settings) {
  common(settings, "/server");
  if (settings.graphviz) writable(*settings.graphviz, "diagram");
  key(settings);
  if (ask_status(request_.socket.value_or(settings.socket), "status")) {
    ok("eps-server runs already; its ports are not checked.");
  } else {
    port(settings.port, SOCK_DGRAM, "port");
    port(settings.port, SOCK_STREAM, "port");
    if (settings.also_port != 0) port(settings.also_port, SOCK_STREAM, "also-port");
    if (settings.http) port(settings.http->port, SOCK_STREAM, "http", settings.http->ip);
  }
  network(settings.network, "", {});
}

// Whether the clients that read the file have this server's key.
void CheckCommand::key(const runtime::ServerSettings& settings) {
  const std::string path = settings.state + "/server/network.key";
  const auto text = os::read_file(path, kMaxKeyFile);
  if (!text && text.error().code == Errc::not_found) return ok("eps-server makes the network's key when it starts.");
  if (!text) return problem(text.error().what + ".", "Run with sudo.");
  const auto outcome = find_conf_key(settings.conf, trim(std::string_view(*text).substr(0, text->find('\n'))));
  const auto note = note_of(outcome, settings.conf, settings.state);
  if (note.warning) return warning(note.text, "");
  ok(*outcome == KeyFileOutcome::present ? note.text : "eps-server writes the network key into " + settings.conf + ".");
}

void CheckCommand::port(std::uint16_t number, int kind, const std::string& option, const std::optional<IpAddress>& at) {
  const std::string name = (kind == SOCK_STREAM ? "TCP port " : "UDP port ") + std::to_string(number);
  const PortTrouble trouble = port_trouble(at, number, kind);
  if (trouble.error == 0) return ok(name + " is free.");
  if (trouble.error == EACCES) return problem(name + " is one that only root may use.", "Run with sudo.");
  if (trouble.error != EADDRINUSE) {
    return problem(name + " cannot be opened" + trouble.family + ": " + std::strerror(trouble.error) + ".",
                   "Choose another with --" + option + ".");
  }
  problem(name + " is in use" + trouble.family + ".",
          "See who has it with ss -lntup, or choose another with --" + option + ".");
}

void CheckCommand::network(const Ip4Network& network, const std::string& own_device, const IpAddress& self) {
  const auto [with, remedy] = clash(network, own_device, self);
  if (with.empty())
    return ok("No other interface or route of this computer has addresses of " + to_string(network) + ".");
  if (own_device.empty()) {
    return warning("The network " + to_string(network) + " overlaps " + with + " of this computer.",
                   "Members in that network cannot join: choose another --network.");
  }
  if (!remedy.empty()) return problem(os::kOwnElsewhere + with + ".", remedy);
  problem("The EPS network " + to_string(network) + " overlaps " + with + " of this computer.",
          "Start eps-server with another --network, or take this computer out of the other one.");
}

int DoctorCommand::run() {
  std::vector<std::string> sockets = {defaults_.client_socket, defaults_.server_socket};
  if (request_.socket) sockets = {*request_.socket};
  std::vector<Result<json>> before;
  for (const std::string& socket : sockets) before.push_back(ask_status(socket, "status"));
  // Only the growth of a counter between two readings says something about the present.
  if (std::ranges::any_of(before, [](const Result<json>& status) { return status.has_value(); })) {
    std::this_thread::sleep_for(kDoctorPause);
  }
  json all = json::object();
  auto worst = Finding::Level::ok;
  std::string text;
  const auto take = [&](const std::string& who, const std::vector<Finding>& findings) {
    worst = std::max(worst, report::worst(findings));
    text += (text.empty() ? "" : "\n") + report::findings_text(findings);
    all[who] = report::findings_json(findings);
  };
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    if (!before[i] && before[i].error().code == Errc::not_found) continue;
    if (!before[i]) return fail(before[i].error().what);
    const auto status = ask_status(sockets[i], "status");
    if (!status) return fail(status.error().what);
    auto findings = report::diagnose(*status, version(), &*before[i]);
    look_around(*status, findings);
    if (const std::string waits = who_waits(sockets[i]); !waits.empty()) {
      findings.push_back({Finding::Level::warning, waits + ".",
                          "eps members pending lists them; then eps members approve NAME, or eps members deny NAME."});
    }
    take(status->value("program", sockets[i]), findings);
  }
  // A daemon that does not run cannot be asked, but systemd knows why.
  if (const auto units = request_.socket ? std::vector<Finding>() : report::unit_findings(shown_units());
      !units.empty()) {
    take("services", units);
  }
  if (all.empty()) {
    return not_running("no daemon runs here; eps check client and eps check server show what may keep it from starting",
                       sockets.front());
  }
  request_.json ? print_json(all) : print_folded(text);
  return worst == Finding::Level::problem ? kExitFailure : 0;
}

// What the daemon cannot know: the network configuration of this computer.
void DoctorCommand::look_around(const json& status, std::vector<Finding>& findings) const {
  const json network = status.value("network", json());
  if (status.value("program", "") != "eps-client" || !network.is_object()) return;
  const std::string device = status.value("device", "");
  // Until a signer of the network lock has signed this computer, its interface stays down.
  const bool waits = status.value("lock", json()).is_object() && status["lock"].value("waits", false);
  const bool is_to_be_up = !device.empty() && !status.value("address", json()).is_null() && !waits;
  if (const int trouble = is_to_be_up ? link_trouble(device) : 0) {
    findings.push_back({Finding::Level::problem,
                        "The interface " + device + (trouble == ENODEV ? " is not here" : " is down") +
                            ": no frame of this computer enters the network.",
                        trouble == ENODEV ? "Was it deleted, or moved into another network namespace?"
                                          : "sudo ip link set " + device + " up"});
  }
  const auto address = parse_ip4_network(network.value("address", ""));
  if (address) {
    const json own = status.value("address", json());
    const std::string text = own.is_string() ? own.get<std::string>() : "";
    const IpAddress self = parse_ip(text.substr(0, text.find('/'))).value_or(IpAddress{});
    // Of its own address elsewhere the daemon itself tells.
    if (const auto [with, remedy] = clash(*address, device, self); !with.empty() && remedy.empty()) {
      findings.push_back({Finding::Level::problem,
                          "The EPS network " + to_string(*address) + " overlaps " + with + " of this computer.",
                          "Start eps-server with another --network, or take this computer out of the other one."});
    }
  }
  const json server = status.value("server", json::object()).value("endpoint", json());
  const auto endpoint = server.is_string() ? parse_endpoint(server.get<std::string>()) : std::nullopt;
  const auto mtu = endpoint ? os::path_mtu(*endpoint) : std::nullopt;
  if (!mtu) return;
  findings.push_back({Finding::Level::ok,
                      "The network takes packets of " + std::to_string(*mtu) +
                          " bytes to the server, as far as this computer knows; larger frames are cut.",
                      ""});
}

}  // namespace eps::app
