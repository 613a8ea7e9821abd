// SPDX-License-Identifier: MIT

// The server daemon. Control thread: Asio, node::ServerNode, SQLite, the status socket. Workers: the relay.

#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <map>
#include <nlohmann/json.hpp>

#include "control/network_key.h"
#include "dataplane/relay.h"
#include "node/server_node.h"
#include "ops/status_socket.h"
#include "os/address_monitor.h"
#include "os/files.h"
#include "os/interfaces.h"
#include "os/os_rng.h"
#include "os/port_mapper.h"
#include "os/sqlite_store.h"
#include "os/udp.h"
#include "os/underlay_routes.h"
#include "registry/grants.h"
#include "report/member_table.h"
#include "report/pairs.h"
#include "report/status_json.h"
#include "report/text.h"
#include "runtime/audit.h"
#include "runtime/client_streams.h"
#include "runtime/control_loop.h"
#include "runtime/http_pages.h"
#include "runtime/join_admin.h"
#include "runtime/lock_admin.h"
#include "runtime/network_graph.h"
#include "runtime/policy_admin.h"
#include "runtime/privileges.h"
#include "runtime/reporter.h"
#include "runtime/run.h"
#include "runtime/service.h"
#include "runtime/tcp_listener.h"
#include "runtime/unix_time.h"
#include "runtime/worker_pool.h"

namespace eps::runtime {
namespace {

using boost::asio::ip::tcp;
using ErrorCode = boost::system::error_code;

// Backlog of one member's connection: more than the largest list (16,384 members, 10 MB); a member that does not read
// for that long is disconnected and resumes later.
constexpr auto kLookForExpired = std::chrono::seconds(30);
constexpr std::int64_t kDay = 24 * 3600;
constexpr auto kKeepLastSeen = std::chrono::minutes(10);  // between two writes

constexpr std::size_t kManyPairs = 10'000;  // copying them takes several milliseconds

class ServerDaemon {
 public:
  ServerDaemon(const ServerSettings& settings, ops::Log& log, const ReadSettings<ServerSettings>& read_again)
      : settings_(settings), log_(log), read_again_(read_again) {}

  Result<int> run(const std::function<void(const std::string&)>& on_key) {
    if (auto ok = prepare(on_key); !ok) return ok.error();
    for (const auto& listener : listeners_) listener->start([this](tcp::socket socket) { adopt(std::move(socket)); });
    act({});
    start_mapper();
    if (auto ok = watch_network(); !ok) log_.warn(ok.error().what);
    reporter_.apply(settings_);
    graph_.apply(settings_);
    service_.state(listening());
    keep_last_seen();
    expire_members();
    const int code = loop_.run();
    keep_last_seen();
    service_.stopping();
    mapper_.reset();
    workers_.stop();
    return code;
  }

 private:
  Result<void> prepare(const std::function<void(const std::string&)>& on_key);
  Result<void> keep_network_key(const std::string& text) const;
  Result<void> listen();
  std::string listening() const {
    return "Listening on TCP and UDP port " + std::to_string(settings_.port) +
           (settings_.also_port == 0 ? "" : " and on TCP port " + std::to_string(settings_.also_port));
  }
  Result<void> open_queues();
  Result<void> start_workers();
  Result<void> add_worker(ports::UdpPort& port, const std::vector<int>& fds);
  void start_mapper();
  Result<void> watch_network();
  void look_at_network();
  Reporter::Sources sources();
  HttpPages pages();
  void adopt(tcp::socket socket);
  void act(node::ServerOutputs&& out);
  void relay_streams();
  void relay_stream(control::ConnId id);
  ServerStatus status() const;
  void keep_last_seen();
  void expire_members();
  void ask_members();
  Result<std::string> reload(const ConfText& conf);
  ops::StatusSocket::Answer answer(const nlohmann::json& request);
  std::optional<ops::StatusSocket::Answer> answer_report(const std::string& command, const nlohmann::json& request);
  nlohmann::json act_on(const std::string& command, const nlohmann::json& request);
  nlohmann::json change_policy(const std::string& command, const nlohmann::json& request);
  nlohmann::json answer_lock(const std::string& command, const nlohmann::json& request);

  const ServerSettings& settings_;
  ops::Log& log_;
  const ReadSettings<ServerSettings>& read_again_;
  os::OsRng rng_;
  Privileges privileges_{settings_, "server"};
  ControlLoop loop_;
  ops::Background background_{loop_.io()};
  Service service_{loop_.io()};
  std::vector<std::unique_ptr<TcpListener>> listeners_;
  std::unique_ptr<os::SqliteStore> store_;
  std::unique_ptr<registry::Registry> registry_;
  std::unique_ptr<os::LinuxUdp> udp_;
  std::optional<dataplane::StreamPort> port_;
  dataplane::PublishedRelay published_;
  std::optional<node::ServerNode> node_;
  ClientStreams streams_;
  std::unique_ptr<ops::StatusSocket> socket_;
  std::unique_ptr<ops::HttpServer> http_;
  // What each further worker owns; the first uses port_.
  struct Queue {
    std::unique_ptr<os::LinuxUdp> udp;
    std::unique_ptr<dataplane::StreamPort::Queue> port;
  };
  std::vector<Queue> queues_;
  WorkerPool workers_{loop_.io(), [this](const std::vector<dataplane::Upcall>& upcalls) {
                        act(node_->on_upcalls(upcalls, os::now()));
                      }};
  std::optional<os::NetlinkSocket> netlink_;
  os::LinuxUdp::Interfaces interfaces_;
  std::vector<IpAddress> addresses_;
  SettleTimer settle_{loop_.io(), [this] { look_at_network(); }};
  std::unique_ptr<os::AddressMonitor> monitor_;
  std::optional<ReadableWatch> monitor_watch_;
  std::optional<os::PortMapper> mapper_;
  Reporter reporter_{loop_.io(), background_, log_, sources()};
  SignalWatch hangups_{loop_.io(), SIGHUP, [this] {
                         registry_->set_actor({"SIGHUP", unix_time()});
                         (void)reload({});
                       }};
  SignalWatch asked_{loop_.io(), SIGUSR1, [this] { log_.info(report::member_table(registry_->members())); }};
  NetworkGraph graph_{loop_.io(), background_, log_, [this] { return status(); }, [this] { return node_->pairs(); }};
  std::vector<PortMapping> port_mappings_;
  std::string keep_failure_, expiry_failure_;  // the last ones logged
  DeadlineTimer seen_timer_{loop_.io(), [this] { keep_last_seen(); }};
  DeadlineTimer expiry_timer_{loop_.io(), [this] { expire_members(); }};
};

// Evidence that this server had a network, and how to begin another; nullopt for a first start.
std::optional<std::string> find_earlier_network(const ServerSettings& settings) {
  const std::string directory = settings.state + "/server";
  const std::string file = directory + "/network.key";
  std::string shows, remedy;
  if (::access(file.c_str(), F_OK) == 0) {
    shows = file;
    remedy = "remove " + file;
  }
  if (!settings.configured_key.empty()) {
    const std::string line = "the line \"key = ...\" in " + settings.conf;
    shows += (shows.empty() ? "" : " and ") + line;
    remedy += (remedy.empty() ? "" : " and ") + ("remove " + line);
  }
  if (shows.empty()) return std::nullopt;
  return shows + " shows that there was one. Restore " + directory +
         "/server.db from a backup and start again. To begin another network instead, which every client must join "
         "anew with another key, " +
         remedy;
}

Result<void> ServerDaemon::prepare(const std::function<void(const std::string&)>& on_key) {
  const std::string directory = settings_.state + "/server";
  const auto had_network = find_earlier_network(settings_);
  auto store = os::SqliteStore::open(directory, !had_network);
  if (!store && had_network && store.error().code == Errc::not_found) {
    return make_error(Errc::corrupt, "The network is lost: " + store.error().what + ", but " + *had_network + ".");
  }
  if (!store) return store.error();
  store_ = std::move(*store);
  registry::RegistryConfig config{settings_.network, settings_.sequential, settings_.mtu};
  config.network6 = settings_.network6;
  config.had_network = had_network;
  config.started_as = "eps-server " + settings_.version + " on port " + std::to_string(settings_.port) +
                      " for the network " + to_string(settings_.network) + ", MTU " + std::to_string(settings_.mtu);
  const auto wall_clock = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
  config.epoch_floor = static_cast<std::uint32_t>(std::clamp<std::int64_t>(wall_clock.count(), 0, 0xffffffff));
  auto registry = registry::Registry::open(*store_, config, rng_);
  if (!registry) return registry.error();
  registry_ = std::move(*registry);
  if (const auto& unsaved = registry_->unsaved()) {
    log_.warn(unsaved->what +
              "; the server starts from the stored state. Nobody new can join, and nobody can be removed, "
              "until that is fixed.");
  }

  const std::string key = control::to_text(control::network_key_of(*registry_));
  if (auto saved = keep_network_key(key); !saved) {
    if (!os::is_unwritable(saved.error())) return saved;
    log_.warn(saved.error().what);
  }

  auto socket = ops::StatusSocket::open(loop_.io(), background_, settings_.socket, "eps-server",
                                        [this](const nlohmann::json& request) { return answer(request); });
  if (!socket) return socket.error();
  socket_ = std::move(*socket);
  if (settings_.http) {
    auto http = ops::HttpServer::open(loop_.io(), background_, *settings_.http, pages());
    if (!http) return http.error();
    http_ = std::move(*http);
  }
  const OffloadSet wish = settings_.offload.value_or(OffloadSet());
  auto udp = os::LinuxUdp::open(
      {.port = settings_.port, .gso = wish.gso, .gro = wish.gro, .queues = worker_count(settings_.workers) > 1});
  if (!udp) return udp.error();
  udp_ = std::move(*udp);
  port_.emplace(
      *udp_, [this] { boost::asio::post(loop_.io(), [this] { relay_streams(); }); }, [this] { workers_.wake(); });
  if (auto ok = open_queues(); !ok) return ok;
  on_key(key);
  if (auto listening = listen(); !listening) return listening;
  // The capabilities were for buffer sizes and ports below 1024: all sockets are open now. The workers start with the
  // remaining ones.
  privileges_.give_up(log_, false, {settings_.graphviz.value_or("")});
  const OffloadStatus offloads =
      offload_status({false, false, false, wish.gso, wish.gro}, {false, false, false, udp_->gso(), udp_->gro()});
  tell_missing(log_, settings_, offloads);
  node_.emplace(*registry_,
                node::ServerParams{settings_.version, settings_.port, settings_.also_port, offloads, unix_time,
                                   settings_.relay_limit},
                *port_, rng_, published_, os::now());
  log_.info(listening() + " for the network " + to_string(settings_.network) + "; " +
            report::counted(registry_->members().size(), "member") + " enrolled.");
  if (settings_.mtu < kMinIp6Mtu) {
    log_.warn("With --mtu " + std::to_string(settings_.mtu) + " there is no IPv6 inside the network, which needs " +
              std::to_string(kMinIp6Mtu) + ". The default suits any path: larger frames are cut to its size.");
  }
  return start_workers();
}

Result<void> ServerDaemon::keep_network_key(const std::string& text) const {
  const std::string path = settings_.state + "/server/network.key";
  const auto kept = os::read_file(path, text.size() + 1);
  if (kept && *kept == text + "\n") return {};
  return os::write_file_atomic(path, text + "\n", 0600);
}

Result<void> ServerDaemon::listen() {
  const auto add = [&](std::uint16_t port, const char* option) -> Result<void> {
    auto listener = TcpListener::open(loop_.io(), port, option);
    if (!listener) return listener.error();
    listeners_.push_back(std::move(*listener));
    return {};
  };
  if (auto ok = add(settings_.port, "--port"); !ok || settings_.also_port == 0) return ok;
  return add(settings_.also_port, "--also-port");
}

Result<void> ServerDaemon::open_queues() {
  for (std::size_t i = 1; i < worker_count(settings_.workers); ++i) {
    auto udp = udp_->add_queue();
    if (!udp) return udp.error();
    auto port = std::make_unique<dataplane::StreamPort::Queue>(*port_, **udp);
    queues_.push_back({std::move(*udp), std::move(port)});
  }
  return {};
}

Result<void> ServerDaemon::start_workers() {
  if (auto ok = add_worker(*port_, {udp_->fd(), udp_->side_fd()}); !ok) return ok;
  for (const Queue& queue : queues_) {
    if (auto ok = add_worker(*queue.port, {queue.udp->fd()}); !ok) return ok;
  }
  return {};
}

Result<void> ServerDaemon::add_worker(ports::UdpPort& port, const std::vector<int>& fds) {
  auto relay = std::make_shared<dataplane::Relay>(port, node_->counters());
  auto view = std::make_shared<dataplane::PublishedRelay::View>();
  return workers_.add(fds, node_->counters(), [this, relay, view](Instant now, dataplane::Upcalls& upcalls) {
    return relay->pump(published_, *view, now, upcalls);
  });
}

HttpPages ServerDaemon::pages() {
  HttpPages out;
  out.ailment = [] { return ""; };  // it answers
  out.figures = [this] { return [s = status(), at = unix_time()] { return report::figures_of(s, std::nullopt, at); }; };
  out.network = [this] { return [s = status()] { return report::to_json(s); }; };
  out.graph = [this] { return graph_.text(); };
  return out;
}

Reporter::Sources ServerDaemon::sources() {
  Reporter::Sources out;
  out.totals = [this] {
    const auto [traffic, connections] = node_->totals();
    return report::Totals{traffic, connections};
  };
  out.figures = [this](const report::Passed& passed, std::int64_t unix_time) {
    return [s = status(), passed, unix_time] { return report::figures_of(s, passed, unix_time); };
  };
  out.after = [this] { ask_members(); };
  return out;
}

void ServerDaemon::start_mapper() {
  if (settings_.upnp_timeout.count() == 0) return;
  os::PortMapperOptions options;
  options.ports = {{Transport::tcp, settings_.port}, {Transport::udp, settings_.port}};
  if (settings_.also_port != 0) options.ports.push_back({Transport::tcp, settings_.also_port});
  options.same_port = true;  // the one announced to clients
  options.timeout = settings_.upnp_timeout;
  mapper_.emplace(std::move(options), [this](os::PortMapper::Report report) {
    boost::asio::post(loop_.io(), [this, r = std::move(report)]() mutable {
      if (!r.note.empty()) log_.info(r.note);
      port_mappings_ = std::move(r.mappings);
    });
  });
}

// Which interfaces lead outside and which into EPS itself, if a client runs on this computer as well.
Result<void> ServerDaemon::watch_network() {
  auto netlink = os::NetlinkSocket::open();
  if (!netlink) return netlink.error();
  netlink_.emplace(std::move(*netlink));
  auto monitor = os::AddressMonitor::open();
  if (!monitor) return monitor.error();
  monitor_ = std::move(*monitor);
  monitor_watch_.emplace(loop_.io(), monitor_->fd(), [this] {
    if (monitor_->drain()) settle_.changed(os::now());
  });
  look_at_network();
  return {};
}

void ServerDaemon::look_at_network() {
  if (mapper_) mapper_->network_changed();
  const auto kernel = os::look_at_kernel(*netlink_);
  if (!kernel) return;  // until the next change
  const std::set<int> inside = os::inside_interfaces(*kernel, os::kEpsGroup, 0);
  const std::vector<int> out = os::uplinks(*kernel, inside);
  os::LinuxUdp::Interfaces interfaces{{inside.begin(), inside.end()}, {out.begin(), out.end()}};
  std::vector<IpAddress> addresses;
  for (const os::InterfaceAddress& address : kernel->addresses) addresses.push_back(address.address);
  if (interfaces == interfaces_ && addresses == addresses_) return;
  // A container that starts brings addresses of its own; those that the members were answered from stay as they are.
  const bool rerouted = interfaces.uplinks != interfaces_.uplinks;
  interfaces_ = std::move(interfaces);
  addresses_ = std::move(addresses);
  udp_->set_interfaces(interfaces_);
  udp_->forget_local_addresses(rerouted ? std::span<const IpAddress>() : addresses_);
}

void ServerDaemon::adopt(tcp::socket socket) {
  ErrorCode gone;
  const Endpoint from = to_endpoint(socket.remote_endpoint(gone));
  const std::uint16_t port = gone ? 0 : socket.local_endpoint(gone).port();
  if (gone) return;
  const control::ConnId id = streams_.add(std::move(socket), tls_at(port, settings_));
  act(node_->on_open(id, from, os::now()));
  if (!streams_.contains(id)) return;
  streams_.start(
      id, {[this, id](ByteView bytes) { act(node_->on_bytes(id, bytes, os::now())); },
           [this, id](const std::string&) { act(node_->on_closed(id, os::now())); }, [this, id] { relay_stream(id); }});
}

// Something waits to be relayed inside control connections.
void ServerDaemon::relay_streams() {
  if (!workers_.running()) return;
  for (const control::ConnId id : node_->streams_waiting(os::now())) relay_stream(id);
}

void ServerDaemon::relay_stream(control::ConnId id) {
  const auto backlog = streams_.backlog(id);
  if (!backlog || *backlog >= kStreamRoom || !node_->stream_waits(id)) return;
  act(node_->on_stream_room(id, kStreamRoom - *backlog, os::now()));
}

void ServerDaemon::act(node::ServerOutputs&& out) {
  for (const std::string& note : out.notes) log_.info(note);
  for (auto& [id, bytes] : out.to_send) streams_.send(id, std::move(bytes));
  for (const control::ConnId id : out.to_close) streams_.close(id);
  if (const auto ended = streams_.enforce_limit()) log_.warn(*ended);
  loop_.wake_at(node_->next_deadline(), [this] { act(node_->on_deadline(os::now())); });
}

// After a crash it is at most this old.
void ServerDaemon::keep_last_seen() {
  const auto kept = node_->keep_last_seen(os::now());
  const std::string failure = kept ? "" : kept.error().what;
  if (!failure.empty() && failure != keep_failure_)
    log_.warn("The times when members were last seen cannot be saved: " + failure);
  keep_failure_ = failure;
  seen_timer_.arm(os::now() + kKeepLastSeen);
}

void ServerDaemon::expire_members() {
  auto expired = node_->expire(settings_.expire_after * kDay, os::now());
  const std::string failure = expired ? "" : expired.error().what;
  if (!failure.empty() && failure != expiry_failure_)
    log_.warn("Members that were away too long cannot be removed: " + failure);
  expiry_failure_ = failure;
  if (expired) act(std::move(*expired));
  expiry_timer_.arm(os::now() + kLookForExpired);
}

// Their counters. The answers arrive long before the next interval ends.
void ServerDaemon::ask_members() {
  graph_.before_reports(node_->pairs_told() > kManyPairs);
  act(node_->request_reports(os::now()));
}

ServerStatus ServerDaemon::status() const {
  ServerStatus out = node_->status(os::now());
  out.port_mappings = port_mappings_;
  if (!store_->failure().empty()) {
    out.troubles.push_back("Nobody can join or be removed; the last change could not be saved: " + store_->failure() +
                           ".");
  }
  out.troubles.insert(out.troubles.end(), {log_.failure(), reporter_.failure(), graph_.failure()});
  std::erase(out.troubles, "");
  return out;
}

Result<std::string> ServerDaemon::reload(const ConfText& conf) {
  service_.reloading();
  auto note =
      runtime::reload<ServerSettings>(read_again_, privileges_.conf(conf), log_, [this](const ServerSettings& fresh) {
        reporter_.apply(fresh);
        graph_.apply(fresh);
        node_->set_relay_limit(fresh.relay_limit);
      });
  if (auto kept = registry_->note_act("reload", note ? *note : note.error().what); !kept) log_.warn(kept.error().what);
  service_.reloaded();
  return note;
}

ops::StatusSocket::Answer ServerDaemon::answer(const nlohmann::json& request) {
  const std::string command = request.value("command", "");
  if (auto report = answer_report(command, request)) return std::move(*report);
  return act_on(command, request);
}

// From a snapshot, because it takes long in a large network.
std::optional<ops::StatusSocket::Answer> ServerDaemon::answer_report(const std::string& command,
                                                                     const nlohmann::json& request) {
  using nlohmann::json;
  if (command == "status") {
    return [s = status()] { return json{{"ok", true}, {"status", report::to_json(s)}}; };
  }
  if (command == "members") {
    return [s = node_->status(os::now(), false)] { return json{{"ok", true}, {"status", report::to_json(s)}}; };
  }
  if (command == "pairs") {
    const MemberId of{request.value("member", std::uint32_t{0})};
    const json after = request.value("after", json::array({0U, 0U}));
    const std::pair<MemberId, MemberId> behind{{after.at(0).get<std::uint32_t>()}, {after.at(1).get<std::uint32_t>()}};
    return [page = node_->pairs_page(of, behind)] {
      json out = {{"ok", true}, {"pairs", report::pairs_json(page.status, page.status.pairs)}};
      if (page.next) out["next"] = {page.next->first.value, page.next->second.value};
      return out;
    };
  }
  if (command == "graph") {
    return [draw = graph_.text()] { return json{{"ok", true}, {"dot", draw()}}; };
  }
  return std::nullopt;
}

nlohmann::json ServerDaemon::answer_lock(const std::string& command, const nlohmann::json& request) {
  if (command == "lock") return lock_report(*registry_);
  node::ServerOutputs out;
  const auto change = command == "lock_change" ? lock_change_of(request) : LockChange{};
  if (!change) return {{"ok", false}, {"error", "Bad request: not a change of the network lock."}};
  const auto done = command == "lock_change" ? node_->change_lock(*change, out, os::now())
                                             : node_->accept_lock(request.value("id", ""), out, os::now());
  act(std::move(out));
  if (!done) return {{"ok", false}, {"error", done.error().what}};
  return {{"ok", true}, {"note", *done}};
}

nlohmann::json ServerDaemon::change_policy(const std::string& command, const nlohmann::json& request) try {
  auto changed = command == "set_policy"
                     ? node_->set_policy(request.at("text").get<std::string>(), os::now())
                     : node_->set_groups(request.value("name", ""),
                                         request.at("groups").get<std::vector<std::string>>(), os::now());
  if (!changed) return {{"ok", false}, {"error", changed.error().what}};
  act(std::move(*changed));
  return {{"ok", true}, {"locked", registry_->lock().on()}};
} catch (const nlohmann::json::exception&) {
  return {{"ok", false}, {"error", "Bad request: " + command + " has a value of the wrong type."}};
}

nlohmann::json ServerDaemon::act_on(const std::string& command, const nlohmann::json& request) {
  registry_->set_actor({who_asks(request), unix_time()});
  if (command == "audit") return answer_audit(*registry_, request);
  if (command == "refresh") {
    ask_members();
    return {{"ok", true}};
  }
  if (command == "remove") {
    auto removed = node_->remove(request.value("name", ""), os::now());
    if (!removed) return {{"ok", false}, {"error", removed.error().what}};
    act(std::move(*removed));
    return {{"ok", true}};
  }
  if (command == "rename") {
    const std::string name = request.value("name", ""), given = request.value("new_name", "");
    const bool was_in_policy = registry_->policy_has(name);
    auto renamed = node_->give_name(name, given, os::now());
    if (!renamed) return {{"ok", false}, {"error", renamed.error().what}};
    act(std::move(*renamed));
    return {{"ok", true},
            {"locked", registry_->lock().on() && name != given},
            {"gained_rules", registry_->policy_has(given)},
            {"lost_rules", was_in_policy && name != given}};
  }
  if (command == "recover") {
    auto done = node_->recover(os::now());
    if (!done) return {{"ok", false}, {"error", done.error().what}};
    act(std::move(*done));
    return {{"ok", true}, {"list_version", list_version_text(registry_->version())}};
  }
  if (command == "allow" || command == "revoke") {
    const std::string text = request.value("range", "");
    const std::string name = request.value("name", "");
    const bool given = command == "allow";
    const bool all = request.value("all", false);
    const auto range = parse_ip_network(text);
    const auto permission = parse_permission(text);
    if (all && permission) {
      return {{"ok", false},
              {"error", text + " is for one member at a time: eps members " + command + " NAME " + text}};
    }
    if (!range && !permission) return {{"ok", false}, {"error", registry::why_no_range(text)}};
    auto changed = all     ? node_->grant_all(*range, given, os::now())
                   : range ? node_->grant(name, *range, given, os::now())
                           : node_->permit(name, *permission, given, os::now());
    if (!changed) return {{"ok", false}, {"error", changed.error().what}};
    act(std::move(*changed));
    return {{"ok", true}, {"locked", registry_->lock().on()}};
  }
  if (command == "policy") return policy_report(registry_->policy(), registry_->members(), std::nullopt);
  if (command == "set_policy" || command == "set_groups") return change_policy(command, request);
  if (command == "lock" || command == "lock_change" || command == "lock_accept") return answer_lock(command, request);
  const JoinAdmin admin{*registry_, unix_time, [this](const std::string& sentence) { log_.info(sentence); },
                        [this](const std::string& text) { return keep_network_key(text); }};
  if (auto done = answer_join_command(admin, request)) {
    act(node_->on_deadline(os::now()));  // the members hear of a new one
    return *done;
  }
  if (command == "reload") {
    const auto note = reload(conf_text(request));
    if (!note) return {{"ok", false}, {"error", note.error().what}};
    return {{"ok", true}, {"program", "eps-server"}, {"note", *note}};
  }
  return {{"ok", false},
          {"error", "eps-server does not know the command \"" + command +
                        "\": it is one of eps-client, whose socket --socket can name, or of a newer version"}};
}

}  // namespace

int run_server(const ServerSettings& settings, ops::Log& log, const ReadSettings<ServerSettings>& read_again,
               const std::function<void(const std::string& key)>& on_key) {
  return run_to_end(log, "eps-server", [&] {
    ServerDaemon daemon(settings, log, read_again);
    return daemon.run(on_key);
  });
}

}  // namespace eps::runtime
