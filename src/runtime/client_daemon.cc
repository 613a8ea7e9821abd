// SPDX-License-Identifier: MIT

// The client daemon. Control thread: Asio, node::ClientNode, netlink, the status socket. Workers: TAP and UDP.

#include <algorithm>
#include <boost/asio/post.hpp>
#include <nlohmann/json.hpp>

#include "dataplane/inbound.h"
#include "dataplane/outbound.h"
#include "node/client_node.h"
#include "ops/status_socket.h"
#include "os/address_monitor.h"
#include "os/client_state.h"
#include "os/link.h"
#include "os/os_rng.h"
#include "os/port_mapper.h"
#include "os/privilege.h"
#include "os/tap.h"
#include "os/udp.h"
#include "report/member_table.h"
#include "report/status_json.h"
#include "runtime/control_loop.h"
#include "runtime/hooks.h"
#include "runtime/http_pages.h"
#include "runtime/kept_state.h"
#include "runtime/lock_admin.h"
#include "runtime/policy_admin.h"
#include "runtime/privileges.h"
#include "runtime/reporter.h"
#include "runtime/run.h"
#include "runtime/server_link.h"
#include "runtime/service.h"
#include "runtime/tcp_stream.h"
#include "runtime/unix_time.h"
#include "runtime/worker_pool.h"

namespace eps::runtime {
namespace {

constexpr auto kLoopsAgain = std::chrono::minutes(1);  // in the log
constexpr auto kKeepAgain = std::chrono::seconds(5);   // pause before writing again what could not be written
constexpr auto kJoinPatience = std::chrono::seconds(5);

class ClientDaemon {
 public:
  ClientDaemon(const ClientSettings& settings, ops::Log& log, const ReadSettings<ClientSettings>& read_again)
      : settings_(settings), log_(log), read_again_(read_again) {}

  Result<int> run() {
    if (auto ok = prepare(); !ok) return ok.error();
    look_at_network();
    start_mapper();
    reporter_.apply(settings_);
    patience_.arm(os::now() + kJoinPatience);
    const int code = loop_.run();
    node::ClientOutputs last;
    last.keep_known = node_->unkept_known();
    if (auto lock = node_->unkept_lock()) keeper_->keep_lock(std::move(*lock));
    last.keep_network = node_->unkept_network();
    keep(last);
    keeper_->write();
    service_.stopping();
    hooks_.finish();  // `down` may still use the network
    mapper_.reset();
    // The workers first: they use what is destroyed next. The interface, its address and route vanish with the TAP's
    // descriptors.
    workers_.stop();
    link_->restore();
    return code;
  }

 private:
  Result<void> prepare();
  Result<node::ClientParams> load_state();
  Result<void> open_status();
  Result<void> open_link();
  void make_server_link();
  OffloadStatus offloads_in_use();
  Result<void> open_data_ports(const std::optional<NetworkCache>& cache);
  Result<void> start_workers();
  Result<void> add_worker(os::LinuxTap& tap, ports::UdpPort& port, const std::vector<int>& fds);
  void start_mapper();
  Reporter::Sources sources();
  HttpPages pages();
  void act(node::ClientOutputs out);
  void tell_link(const MembersChanged& changed);
  void relay_stream();
  std::vector<ServerPort> server_ports() const;
  void look_at_network();
  void configure(const ports::LinkConfig& config, std::optional<std::string>& fatal);
  Hooks::Variables hook_variables(const ports::LinkConfig& config) const;
  void tell_loops();
  std::string not_allowed() const;
  std::function<nlohmann::json()> status();
  void interface_is_gone();
  void tell_waiting() {
    if (!loop_.io().stopped() && node_->link() == 0) service_.state("Waiting for the server");
  }
  Result<std::string> reload(const ConfText& conf);
  void keep(node::ClientOutputs& out);
  void write_kept() { keep_again_.arm(keeper_->write() ? kNever : os::now() + kKeepAgain); }
  ops::StatusSocket::Answer answer(const nlohmann::json& request);
  nlohmann::json change_lock(const nlohmann::json& request);

  const ClientSettings& settings_;
  ops::Log& log_;
  const ReadSettings<ClientSettings>& read_again_;
  os::OsRng rng_;
  Privileges privileges_{settings_, "client"};
  ControlLoop loop_;
  ops::Background background_{loop_.io()};
  Service service_{loop_.io()};
  // Units ordered after this one wait for the interface, but not for an unreachable server.
  DeadlineTimer patience_{loop_.io(), [this] {
                            if (!service_.ready()) tell_waiting();
                          }};
  SettleTimer settle_{loop_.io(), [this] { look_at_network(); }};
  std::optional<os::ClientState> state_;
  std::optional<Keeper> keeper_;
  DeadlineTimer keep_again_{loop_.io(), [this] { write_kept(); }};
  std::unique_ptr<os::LinuxTap> tap_;
  std::unique_ptr<os::LinuxUdp> udp_;
  std::optional<dataplane::StreamPort> port_;
  std::unique_ptr<os::NetlinkLink> link_;
  Hooks hooks_{log_, settings_.up, settings_.down};
  bool configured_ = false;          // the interface was set up once
  bool started_ = false;             // the node
  os::NetlinkLink::Report network_;  // as last seen
  std::uint64_t told_loops_ = 0;     // the part of the counter that was logged
  Instant loops_told_at_{};
  std::string told_not_allowed_;
  std::set<std::string> ways_out_;
  std::unique_ptr<os::AddressMonitor> monitor_;
  dataplane::PublishedPeers published_;
  std::optional<node::ClientNode> node_;
  std::optional<ServerLink> server_;
  std::unique_ptr<ops::StatusSocket> socket_;
  std::unique_ptr<ops::HttpServer> http_;
  std::optional<ReadableWatch> monitor_watch_;
  std::optional<os::PortMapper> mapper_;
  Reporter reporter_{loop_.io(), background_, log_, sources()};
  SignalWatch hangups_{loop_.io(), SIGHUP, [this] { (void)reload({}); }};
  SignalWatch asked_{loop_.io(), SIGUSR1, [this] { log_.info(report::member_table(node_->members())); }};
  // What each further worker owns; the first uses tap_ and port_.
  struct Queue {
    std::unique_ptr<os::LinuxTap> tap;
    std::unique_ptr<os::LinuxUdp> udp;
    std::unique_ptr<dataplane::StreamPort::Queue> port;
  };
  std::vector<Queue> queues_;
  WorkerPool workers_{loop_.io(), [this](std::vector<dataplane::Upcall> upcalls) {
                        act(node_->on_upcalls(std::move(upcalls), os::now()));
                      }};
  PublicKey server_key_;
  std::uint32_t lock_ticket_ = 0;
  report::MemberChanges member_changes_;
};

Result<void> ClientDaemon::prepare() {
  if (auto ok = os::require_net_admin(); !ok) return ok;
  auto params = load_state();
  if (!params) return params.error();
  if (auto ok = open_status(); !ok) return ok;
  params->known = load_known(*state_, server_key_, log_);
  auto lock = load_lock(*state_, server_key_);
  if (!lock) return lock.error();
  params->lock = std::move(*lock);
  params->cache = load_network(*state_, log_);
  if (params->cache) {
    const NetworkCache& known = *params->cache;
    if (const auto why = why_not_accepted(params->accepted, known.network, known.self.address)) {
      return make_error(Errc::invalid_argument, "According to the stored state of the network, " + *why);
    }
  }
  if (auto ok = open_data_ports(params->cache); !ok) return ok;
  params->device = tap_->name();
  params->data_port = udp_->local_port();
  params->offloads = offloads_in_use();
  if (auto ok = open_link(); !ok) return ok;
  published_.on_publish([this] { workers_.wake_all(); });
  node_.emplace(std::move(*params), *port_, rng_);
  make_server_link();
  // The workers start with the remaining privileges.
  privileges_.give_up(log_, true);
  return start_workers();
}

Result<node::ClientParams> ClientDaemon::load_state() {
  auto key = control::parse_network_key(settings_.key);
  if (!key) return key.error();
  server_key_ = key->server;

  auto state = os::ClientState::open(settings_.state + "/client");
  if (!state) return state.error();
  state_ = std::move(*state);
  keeper_.emplace(*state_, log_);
  auto params = load_params(settings_, std::move(*key), *state_, rng_, log_);
  if (params) params->run = rng_.u64();
  return params;
}

Result<void> ClientDaemon::open_status() {
  auto socket = ops::StatusSocket::open(loop_.io(), background_, settings_.socket, "eps-client",
                                        [this](const nlohmann::json& request) { return answer(request); });
  if (!socket) return socket.error();
  socket_ = std::move(*socket);
  if (!settings_.http) return {};
  auto http = ops::HttpServer::open(loop_.io(), background_, *settings_.http, pages());
  if (!http) return http.error();
  http_ = std::move(*http);
  return {};
}

Result<void> ClientDaemon::open_link() {
  auto link = os::NetlinkLink::open(tap_->name(), settings_.bridge);
  if (!link) return link.error();
  link_ = std::move(*link);
  if (auto ways = link_->ways_out()) ways_out_ = std::move(*ways);
  auto monitor = os::AddressMonitor::open();
  if (!monitor) return monitor.error();
  monitor_ = std::move(*monitor);
  monitor_watch_.emplace(loop_.io(), monitor_->fd(), [this] {
    if (monitor_->drain()) settle_.changed(os::now());
  });
  return {};
}

void ClientDaemon::make_server_link() {
  server_.emplace(
      loop_.io(), settings_.servers, settings_.proxy,
      ServerLink::Handlers{
          [this](control::LinkId link, const Endpoint& server, std::vector<IpAddress> all) {
            act(node_->on_connected(link, server, std::move(all), os::now()));
          },
          [this](const std::string& why) {
            act(node_->on_dialed_all(why, os::now()));
            tell_waiting();
          },
          [this](control::LinkId link, ByteView bytes) { act(node_->on_server_bytes(link, bytes, os::now())); },
          [this](control::LinkId link, const std::string& why) {
            act(node_->on_server_closed(link, why, os::now()));
            tell_waiting();
          },
          [this](control::LinkId) { relay_stream(); }});
}

Result<void> ClientDaemon::open_data_ports(const std::optional<NetworkCache>& cache) {
  const OffloadSet wish = settings_.offload.value_or(OffloadSet());
  const auto workers = static_cast<int>(worker_count(settings_.workers));
  auto tap = os::LinuxTap::open(settings_.device,
                                {.checksum = wish.csum, .tso = wish.tso, .uso = wish.uso, .queues = workers});
  if (!tap) return tap.error();
  tap_ = std::move(*tap);
  // Peers that cannot ask the server look for this one at its old port.
  os::UdpOptions options{
      .port = cache ? cache->data_port : std::uint16_t{0}, .gso = wish.gso, .gro = wish.gro, .queues = workers > 1};
  auto udp = os::LinuxUdp::open(options);
  if (!udp && options.port != 0) {
    options.port = 0;
    udp = os::LinuxUdp::open(options);
  }
  if (!udp) return udp.error();
  udp_ = std::move(*udp);
  port_.emplace(
      *udp_, [this] { boost::asio::post(loop_.io(), [this] { relay_stream(); }); }, [this] { workers_.wake(); });
  return {};
}

OffloadStatus ClientDaemon::offloads_in_use() {
  const os::TapOptions& tap = tap_->options();
  const OffloadStatus out = offload_status(settings_.offload.value_or(OffloadSet()),
                                           {tap.checksum, tap.tso, tap.uso, udp_->gso(), udp_->gro()});
  tell_missing(log_, settings_, out);
  return out;
}

Result<void> ClientDaemon::start_workers() {
  const std::size_t count = worker_count(settings_.workers);
  if (count > 1) log_.info("Frames are moved by " + std::to_string(count) + " threads.");
  for (std::size_t i = 1; i < count; ++i) {
    auto tap = tap_->add_queue();
    if (!tap) return tap.error();
    auto udp = udp_->add_queue();
    if (!udp) return udp.error();
    auto port = std::make_unique<dataplane::StreamPort::Queue>(*port_, **udp);
    queues_.push_back({std::move(*tap), std::move(*udp), std::move(port)});
  }
  if (auto ok = add_worker(*tap_, *port_, {tap_->fd(), udp_->fd(), udp_->side_fd()}); !ok) return ok;
  for (const Queue& queue : queues_) {
    if (auto ok = add_worker(*queue.tap, *queue.port, {queue.tap->fd(), queue.udp->fd()}); !ok) return ok;
  }
  return {};
}

Result<void> ClientDaemon::add_worker(os::LinuxTap& tap, ports::UdpPort& port, const std::vector<int>& fds) {
  const os::TapOptions& in_use = tap.options();
  const l2::Offloads offloads{in_use.tso, in_use.uso, in_use.checksum};
  auto outbound = std::make_shared<dataplane::Outbound>(tap, port, node_->counters(), udp_->local_port());
  auto inbound = std::make_shared<dataplane::Inbound>(tap, port, node_->counters(), offloads);
  auto view = std::make_shared<dataplane::PublishedPeers::View>();
  const auto pump = [this, &tap, outbound, inbound, view, told = false](Instant now,
                                                                        dataplane::Upcalls& upcalls) mutable {
    const std::size_t received = inbound->pump(published_, *view, now, upcalls);
    const std::size_t moved = received + outbound->pump(published_, *view, now, upcalls);
    if (!tap.attached() && !std::exchange(told, true)) boost::asio::post(loop_.io(), [this] { interface_is_gone(); });
    return moved;
  };
  return workers_.add(fds, node_->counters(), pump);
}

void ClientDaemon::interface_is_gone() {
  log_.error("The network interface " + tap_->name() +
             " was deleted while eps-client used it; start eps-client again, which makes a new one.");
  loop_.stop(1);
}

HttpPages ClientDaemon::pages() {
  HttpPages out;
  out.ailment = [this] {
    const ClientStatus s = node_->status(os::now());
    return s.connected ? "" : "Not connected to the server: " + s.server_note + ".";
  };
  out.figures = [this] {
    return [s = node_->status(os::now()), at = unix_time()] { return report::figures_of(s, std::nullopt, at); };
  };
  out.network = [this] { return status(); };
  return out;
}

Reporter::Sources ClientDaemon::sources() {
  Reporter::Sources out;
  out.totals = [this] {
    const ClientStatus s = node_->status(os::now());
    return report::Totals{s.traffic, s.connections_established};
  };
  out.figures = [this](const report::Passed& passed, std::int64_t unix_time) {
    return [s = node_->status(os::now()), passed, unix_time] { return report::figures_of(s, passed, unix_time); };
  };
  return out;
}

void ClientDaemon::start_mapper() {
  if (settings_.upnp_timeout.count() == 0) return;
  os::PortMapperOptions options;
  options.ports = {{Transport::udp, udp_->local_port()}};
  options.timeout = settings_.upnp_timeout;
  mapper_.emplace(std::move(options), [this](os::PortMapper::Report report) {
    boost::asio::post(loop_.io(), [this, r = std::move(report)]() mutable {
      // Most networks have no such router, and a client works without.
      if (!r.note.empty()) log_.write(r.mappings.empty() ? ops::LogLevel::debug : ops::LogLevel::info, r.note);
      act(node_->on_mapped(std::move(r.mappings), os::now()));
    });
  });
}

// Something waits to be relayed inside the control connection, or there is room in it again.
void ClientDaemon::relay_stream() {
  if (!workers_.running()) return;
  act(node_->on_stream_room(kStreamRoom - std::min(server_->backlog(node_->link()), kStreamRoom), os::now()));
}

void ClientDaemon::tell_link(const MembersChanged& changed) {
  const MemberList& list = node_->members();
  std::map<MemberId, std::optional<os::NetlinkLink::Neighbour>> members;
  const auto add = [&](MemberId id, const Member* member) {
    auto& neighbour = members[id];
    if (member != nullptr && !node_->refuses(id)) neighbour = {member->address, member->mac};
  };
  if (changed.all) {
    for (const auto& [id, member] : list.members()) add(id, &member);
    link_->set_members(members);
  } else {
    for (const MemberId id : changed.ids) add(id, list.find(id));
    link_->update_members(members);
  }
  if (link_->collides()) settle_.by(os::now());
}

void ClientDaemon::act(node::ClientOutputs out) {
  // Before anything follows from it.
  if (out.keep_lock) {
    keeper_->keep_lock(std::move(*out.keep_lock));
    write_kept();
  }
  node_->counters().drop(Drop::congested, dataplane::execute(std::move(out.commit), published_, *port_));
  for (const std::string& note : out.notes) log_.info(note);
  for (const std::string& warning : out.warnings) log_.warn(warning);
  if (out.woke && mapper_) mapper_->network_changed();
  if (out.members_changed.any()) tell_link(out.members_changed);
  // Before the node's next step: the first frame may arrive as soon as the interface is up.
  if (out.link) configure(*out.link, out.fatal);
  tell_loops();
  if (const std::string sentence = not_allowed(); sentence != std::exchange(told_not_allowed_, sentence)) {
    if (!sentence.empty()) log_.warn(sentence);
  }
  keep(out);
  for (auto& [link, bytes] : out.to_server) server_->send(link, std::move(bytes));
  for (const control::LinkId link : out.disconnect) server_->close(link);
  if (out.stop_dialing) server_->stop_dialing();
  if (out.members_changed.any()) {
    for (const std::string& change : member_changes_.look(node_->members().members(), out.members_changed)) {
      log_.info(change);
    }
  }
  if (out.fatal) {
    log_.error(*out.fatal);
    return loop_.stop(1);
  }
  if (out.connect) server_->dial(server_ports());
  if (out.look_at_groups) act(node_->on_groups(link_->group_filter(), os::now()));
  loop_.wake_at(node_->next_deadline(), [this] { act(node_->on_deadline(os::now())); });
}

void ClientDaemon::keep(node::ClientOutputs& out) {
  if (!out.enrolled && !out.keep_known && !out.keep_network) return;
  if (out.enrolled) keeper_->keep_enrolment(server_key_);
  if (out.keep_known) keeper_->keep_known(std::move(*out.keep_known));
  if (out.keep_network) keeper_->keep_network(std::move(*out.keep_network));
  write_kept();
}

// In the order in which they are tried. On the port of HTTPS a firewall may let only TLS pass, which a server of an
// older version does not support.
std::vector<ServerPort> ClientDaemon::server_ports() const {
  std::vector<ServerPort> ports;
  const auto add = [&ports](std::uint16_t number, bool tls) {
    if (std::ranges::find(ports, ServerPort{number, tls}) == ports.end()) ports.push_back({number, tls});
  };
  for (const std::uint16_t number : {settings_.port, settings_.also_port, node_->also_port()}) {
    if (number == 0) continue;
    if (tls_at(number, settings_)) add(number, true);
    if (!settings_.tls.value_or(false)) add(number, false);
  }
  return ports;
}

// A working interface is not abandoned because of what others do to it: whatever fails is retried at the next
// change.
void ClientDaemon::configure(const ports::LinkConfig& config, std::optional<std::string>& fatal) {
  if (auto done = link_->configure(config); !done) {
    if (configured_) {
      log_.warn(done.error().what);
    } else if (!fatal) {
      fatal = done.error().what;
    }
  } else {
    configured_ = true;
    hooks_.set(hook_variables(config));
  }
  settle_.by(os::now());
  if (!fatal) {
    service_.state(tap_->name() + " is up with the address " + to_string(config.address) + "/" +
                   std::to_string(config.network.prefix));
  }
}

Hooks::Variables ClientDaemon::hook_variables(const ports::LinkConfig& config) const {
  Hooks::Variables out = {"EPS_INTERFACE=" + tap_->name(), "EPS_ADDRESS=" + to_string(config.address),
                          "EPS_NETWORK=" + to_string(config.network), "EPS_MTU=" + std::to_string(config.mtu),
                          "EPS_NAME=" + node_->name()};
  if (config.address6 != IpAddress()) out.push_back("EPS_ADDRESS6=" + to_string(config.address6));
  if (!settings_.bridge.empty()) out.push_back("EPS_BRIDGE=" + settings_.bridge);
  return out;
}

void ClientDaemon::look_at_network() {
  if (mapper_) mapper_->network_changed();
  os::NetlinkLink::Report report = link_->reconcile(os::now());
  for (const std::string& note : report.notes) log_.warn(note);
  if (report.again != kNever) settle_.by(report.again);
  if (report.inside != network_.inside || report.uplinks != network_.uplinks ||
      report.underlay.addresses != network_.underlay.addresses) {
    udp_->set_interfaces({report.inside, report.uplinks});
    const bool rerouted = report.uplinks != network_.uplinks;
    udp_->forget_local_addresses(rerouted ? std::span<const IpAddress>() : report.underlay.addresses);
  }
  if (!udp_->marked()) {
    report.troubles.push_back("This computer's kernel does not let EPS mark what it sends (SO_MARK): a route through " +
                              tap_->name() + " may cut the conduits off.");
  }
  network_ = std::move(report);
  node_->set_inside(network_.underlay.inside, network_.underlay.tunnels, os::now());
  bool rerouted = false;
  if (auto ways = link_->ways_out()) {
    rerouted = *ways != ways_out_;
    ways_out_ = std::move(*ways);
  }
  const bool first = !std::exchange(started_, true);
  act(first ? node_->start(network_.underlay.addresses, os::now())
            : node_->on_local_addresses(network_.underlay.addresses, os::now(), rerouted && !first));
  act(node_->on_groups(link_->group_filter(), os::now()));
}

// Datagrams that run into EPS itself are dropped at once, and always have one cause, which must be named.
void ClientDaemon::tell_loops() {
  const auto count = node_->counters().drops[static_cast<std::size_t>(Drop::looped)].load(std::memory_order_relaxed);
  const Instant now = os::now();
  if (count == told_loops_ || (told_loops_ > 0 && now - loops_told_at_ < kLoopsAgain)) return;
  log_.warn("A loop: " + std::to_string(count - told_loops_) + " datagrams between the computers were routed into " +
            tap_->name() +
            ", and were dropped. Look for a route, a rule, a bridge or another tunnel that sends them there (ip route "
            "get ADDRESS mark 0x45500000).");
  told_loops_ = count;
  loops_told_at_ = now;
}

// Bridging, as configured by the user; "": it works.
std::string ClientDaemon::not_allowed() const {
  if (settings_.bridge.empty() || node_->link() == 0 || node_->may_bridge()) return "";
  return tap_->name() + " should become a port of " + settings_.bridge +
         ", but the server does not allow this member to bridge: only what this computer itself sends passes. Allow it "
         "there with: eps members allow " +
         node_->name() + " bridge";
}

// Takes a snapshot; the result turns that into JSON, in any thread.
std::function<nlohmann::json()> ClientDaemon::status() {
  auto told = network_.troubles;
  told.insert(told.end(), {not_allowed(), log_.failure(), reporter_.failure()});
  std::erase(told, "");
  if (!keeper_->failure().empty()) told.push_back("A restart would forget what is new: " + keeper_->failure() + ".");
  ClientStatus now = node_->status(os::now());
  if (now.lock) told.insert(told.end(), now.lock->troubles.begin(), now.lock->troubles.end());
  return [s = std::move(now), told = std::move(told), tls = server_->tls(node_->link()), on = network_.address_on] {
    nlohmann::json out = report::to_json(s);
    out["server"]["tls"] = tls;
    if (!on.empty()) out["address_device"] = on;
    out["troubles"] = told;
    return out;
  };
}

Result<std::string> ClientDaemon::reload(const ConfText& conf) {
  service_.reloading();
  auto note =
      runtime::reload<ClientSettings>(read_again_, privileges_.conf(conf), log_, [this](const ClientSettings& fresh) {
        reporter_.apply(fresh);
        server_->set_servers(fresh.servers, fresh.proxy);
      });
  service_.reloaded();
  return note;
}

// The server's answer comes later: lock_report() has it.
nlohmann::json ClientDaemon::change_lock(const nlohmann::json& request) {
  auto change = lock_change_of(request);
  if (!change) return {{"ok", false}, {"error", "Bad request: not a change of the network lock."}};
  node::ClientOutputs out;
  const auto proposed = node_->propose_lock(++lock_ticket_, std::move(*change), out, os::now());
  act(std::move(out));
  if (!proposed) return {{"ok", false}, {"error", proposed.error().what}};
  return {{"ok", true}, {"ticket", lock_ticket_}};
}

ops::StatusSocket::Answer ClientDaemon::answer(const nlohmann::json& request) {
  using nlohmann::json;
  const std::string command = request.value("command", "");
  if (command == "status" || command == "peers") {
    return [status = status()] { return json{{"ok", true}, {"status", status()}}; };
  }
  if (command == "why") {
    const std::string peer = request.value("peer", "");
    const auto why = node_->why(peer, os::now());
    if (why) return json{{"ok", true}, {"why", report::to_json(*why)}};
    return json{{"ok", false}, {"error", "there is no member \"" + peer + "\"; see eps peers"}};
  }
  if (command == "trust") {
    node::ClientOutputs out;
    const auto done = node_->trust(request.value("peer", ""), out, os::now());
    act(std::move(out));
    if (!done) return json{{"ok", false}, {"error", done.error().what}};
    return json{{"ok", true}, {"note", *done}};
  }
  if (command == "policy") {
    return policy_report(node_->policy(), node_->members().members(), node_->status(os::now()).policy);
  }
  if (command == "lock") return lock_report(*node_);
  if (command == "lock_change") return change_lock(request);
  if (command == "reload") {
    const auto note = reload(conf_text(request));
    if (!note) return json{{"ok", false}, {"error", note.error().what}};
    return json{{"ok", true}, {"program", "eps-client"}, {"note", *note}};
  }
  return json{{"ok", false},
              {"error", "eps-client does not know the command \"" + command +
                            "\": it is one of eps-server, whose socket --socket can name, or of a newer version"}};
}

}  // namespace

int run_client(const ClientSettings& settings, ops::Log& log, const ReadSettings<ClientSettings>& read_again) {
  return run_to_end(log, "eps-client", [&] {
    ClientDaemon daemon(settings, log, read_again);
    return daemon.run();
  });
}

}  // namespace eps::runtime
