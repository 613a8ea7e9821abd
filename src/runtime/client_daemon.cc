// SPDX-License-Identifier: MIT

// The client daemon. Control thread: Asio, node::ClientNode, netlink, the status socket. Workers: TAP and UDP.

#include <algorithm>
#include <boost/asio/post.hpp>
#include <nlohmann/json.hpp>

#include "dataplane/inbound.h"
#include "dataplane/outbound.h"
#include "node/client_node.h"
#include "os/port_mapper.h"
#include "report/member_table.h"
#include "report/status_json.h"
#include "runtime/client_commands.h"
#include "runtime/client_ports.h"
#include "runtime/data_plane.h"
#include "runtime/foundation.h"
#include "runtime/hooks.h"
#include "runtime/http_pages.h"
#include "runtime/kept_state.h"
#include "runtime/network_watch.h"
#include "runtime/reporter.h"
#include "runtime/run.h"
#include "runtime/server_link.h"
#include "runtime/tcp_stream.h"
#include "runtime/unix_time.h"

namespace eps::runtime {
namespace {

constexpr auto kLoopsAgain = std::chrono::minutes(1);  // in the log
constexpr auto kKeepAgain = std::chrono::seconds(5);   // pause before writing again what could not be written
constexpr auto kJoinPatience = std::chrono::seconds(5);

class ClientDaemon {
 public:
  // `base` outlives it.
  ClientDaemon(Foundation<ClientSettings>& base, ClientPorts ports) : base_(base), ports_(std::move(ports)) {
    published_.on_publish([this] { data_.wake_all(); });
    if (auto ways = ports_.link->ways_out()) ways_out_ = std::move(*ways);
    ports_.reports.socket->start([this](const nlohmann::json& request) { return commands_(request); });
    if (ports_.reports.http) ports_.reports.http->start(pages());
  }
  ~ClientDaemon() { data_.stop(); }  // the workers use what is destroyed next
  ClientDaemon(const ClientDaemon&) = delete;
  ClientDaemon& operator=(const ClientDaemon&) = delete;

  Result<int> run() {
    // The workers start with the remaining privileges.
    base_.privileges.give_up(log_, true);
    if (auto ok = start_workers(); !ok) return ok.error();
    look_at_network();
    start_mapper();
    reporter_.apply(settings_);
    patience_.arm(os::now() + kJoinPatience);
    const int code = loop_.run();
    service_.stopping();
    // `down` may still use the network, and ask for the status.
    loop_.io().restart();
    if (hooks_.end([this] { loop_.io().stop(); })) loop_.run();
    hooks_.finish();
    node::ClientOutputs last;
    last.keep_known = node_.unkept_known();
    if (auto lock = node_.unkept_lock()) keeper_.keep_lock(std::move(*lock));
    last.keep_network = node_.unkept_network();
    keep(last);
    keeper_.write();
    mapper_.reset();
    data_.stop();
    // The interface, its address and route vanish with the TAP's descriptors.
    ports_.link->restore();
    return code;
  }

 private:
  ServerLink::Handlers server_handlers();
  Result<void> start_workers();
  DataPlane::Task task(os::LinuxTap& tap, ports::UdpPort& port);
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
  std::string bridge_firewall();
  std::function<nlohmann::json()> status();
  void interface_is_gone();
  void tell_waiting() {
    if (!loop_.io().stopped() && node_.link() == 0) service_.state("Waiting for the server");
  }
  Result<std::string> reload(const ConfText& conf);
  void keep(node::ClientOutputs& out);
  void write_kept() { keep_again_.arm(keeper_.write() ? kNever : os::now() + kKeepAgain); }
  const std::string& device() const { return ports_.taps.front()->name(); }

  Foundation<ClientSettings>& base_;
  const ClientSettings& settings_ = base_.settings;
  ops::Log& log_ = base_.log;
  ControlLoop& loop_ = base_.loop;
  Service& service_ = base_.service;
  ClientPorts ports_;
  Hooks hooks_{log_, settings_.up, settings_.down};
  // Units ordered after this one wait for the interface, but not for an unreachable server.
  DeadlineTimer patience_{loop_.io(), [this] {
                            if (!service_.ready()) tell_waiting();
                          }};
  NetworkWatch network_watch_{loop_.io(), std::move(ports_.monitor), [this] { look_at_network(); }};
  Keeper keeper_{*ports_.state, log_};
  DeadlineTimer keep_again_{loop_.io(), [this] { write_kept(); }};
  bool configured_ = false;          // the interface was set up once
  bool started_ = false;             // the node
  os::NetlinkLink::Report network_;  // as last seen
  std::uint64_t told_loops_ = 0;     // the part of the counter that was logged
  Instant loops_told_at_{};
  std::string told_not_allowed_;
  std::set<std::string> ways_out_;
  report::MemberChanges member_changes_;
  dataplane::PublishedPeers published_;
  DataPlane data_{
      loop_.io(),
      std::move(ports_.udp),
      {[this](std::vector<dataplane::Upcall> upcalls) { act(node_.on_upcalls(std::move(upcalls), os::now())); },
       [this] { relay_stream(); }}};
  const PublicKey server_key_{ports_.params.key.server};
  node::ClientNode node_{std::move(ports_.params), data_.port(), base_.rng};
  ServerLink server_{loop_.io(), settings_.servers, settings_.proxy, server_handlers()};
  std::optional<os::PortMapper> mapper_;
  Reporter reporter_{loop_.io(), base_.background, log_, sources()};
  ClientCommands commands_{{node_, [this](node::ClientOutputs out) { act(std::move(out)); },
                            [this] { return status(); }, [this](const ConfText& conf) { return reload(conf); }}};
  SignalWatch hangups_{loop_.io(), SIGHUP, [this] { (void)reload({}); }};
  SignalWatch asked_{loop_.io(), SIGUSR1, [this] { log_.info(report::member_table(node_.members())); }};
};

ServerLink::Handlers ClientDaemon::server_handlers() {
  return {[this](control::LinkId link, const Endpoint& server, std::vector<IpAddress> all) {
            act(node_.on_connected(link, server, std::move(all), os::now()));
          },
          [this](const std::string& why) {
            act(node_.on_dialed_all(why, os::now()));
            tell_waiting();
          },
          [this](control::LinkId link, ByteView bytes) { act(node_.on_server_bytes(link, bytes, os::now())); },
          [this](control::LinkId link, const std::string& why) {
            act(node_.on_server_closed(link, why, os::now()));
            tell_waiting();
          },
          [this](control::LinkId) { relay_stream(); }};
}

Result<void> ClientDaemon::start_workers() {
  if (const std::size_t count = ports_.taps.size(); count > 1) {
    log_.info("Frames are moved by " + std::to_string(count) + " threads.");
  }
  return data_.start(node_.counters(),
                     [this](std::size_t worker, ports::UdpPort& port) { return task(*ports_.taps[worker], port); });
}

DataPlane::Task ClientDaemon::task(os::LinuxTap& tap, ports::UdpPort& port) {
  const os::TapOptions& in_use = tap.options();
  const l2::Offloads offloads{in_use.tso, in_use.uso, in_use.checksum};
  auto outbound = std::make_shared<dataplane::Outbound>(tap, port, node_.counters(), data_.udp().local_port());
  auto inbound = std::make_shared<dataplane::Inbound>(tap, port, node_.counters(), offloads);
  auto view = std::make_shared<dataplane::PublishedPeers::View>();
  const auto pump = [this, &tap, outbound, inbound, view, told = false](Instant now,
                                                                        dataplane::Upcalls& upcalls) mutable {
    const std::size_t received = inbound->pump(published_, *view, now, upcalls);
    const std::size_t moved = received + outbound->pump(published_, *view, now, upcalls);
    if (!tap.attached() && !std::exchange(told, true)) boost::asio::post(loop_.io(), [this] { interface_is_gone(); });
    return moved;
  };
  return {pump, {tap.fd()}};
}

void ClientDaemon::interface_is_gone() {
  log_.error("The network interface " + device() +
             " was deleted while eps-client used it; start eps-client again, which makes a new one.");
  loop_.stop(1);
}

HttpPages ClientDaemon::pages() {
  HttpPages out;
  out.ailment = [this] {
    const ClientStatus s = node_.status(os::now());
    return s.connected ? "" : "Not connected to the server: " + s.server_note + ".";
  };
  out.figures = [this] {
    return [s = node_.status(os::now()), at = unix_time()] { return report::figures_of(s, std::nullopt, at); };
  };
  out.network = [this] { return status(); };
  return out;
}

Reporter::Sources ClientDaemon::sources() {
  Reporter::Sources out;
  out.totals = [this] {
    const ClientStatus s = node_.status(os::now());
    return report::Totals{s.traffic, s.connections_established};
  };
  out.figures = [this](const report::Passed& passed, std::int64_t unix_time) {
    return [s = node_.status(os::now()), passed, unix_time] { return report::figures_of(s, passed, unix_time); };
  };
  return out;
}

void ClientDaemon::start_mapper() {
  if (settings_.upnp_timeout.count() == 0) return;
  os::PortMapperOptions options;
  options.ports = {{Transport::udp, data_.udp().local_port()}};
  options.timeout = settings_.upnp_timeout;
  mapper_.emplace(std::move(options), [this](os::PortMapper::Report report) {
    boost::asio::post(loop_.io(), [this, r = std::move(report)]() mutable {
      // Most networks have no such router, and a client works without.
      if (!r.note.empty()) log_.write(r.mappings.empty() ? ops::LogLevel::debug : ops::LogLevel::info, r.note);
      act(node_.on_mapped(std::move(r.mappings), os::now()));
    });
  });
}

// Something waits to be relayed inside the control connection, or there is room in it again.
void ClientDaemon::relay_stream() {
  act(node_.on_stream_room(kStreamRoom - std::min(server_.backlog(node_.link()), kStreamRoom), os::now()));
}

void ClientDaemon::tell_link(const MembersChanged& changed) {
  const MemberList& list = node_.members();
  std::map<MemberId, std::optional<os::NetlinkLink::Neighbour>> members;
  const auto add = [&](MemberId id, const Member* member) {
    auto& neighbour = members[id];
    if (member != nullptr && !node_.refuses(id)) neighbour = {member->address, member->mac};
  };
  if (changed.all) {
    for (const auto& [id, member] : list.members()) add(id, &member);
    ports_.link->set_members(members);
  } else {
    for (const MemberId id : changed.ids) add(id, list.find(id));
    ports_.link->update_members(members);
  }
  if (ports_.link->collides()) network_watch_.look_by(os::now());
}

void ClientDaemon::act(node::ClientOutputs out) {
  // Before anything follows from it.
  if (out.keep_lock) {
    keeper_.keep_lock(std::move(*out.keep_lock));
    write_kept();
  }
  node_.counters().drop(Drop::congested, dataplane::execute(std::move(out.commit), published_, data_.port()));
  for (const std::string& note : out.notes) log_.info(note);
  for (const std::string& warning : out.warnings) log_.warn(warning);
  if (out.woke && mapper_) mapper_->network_changed();
  if (out.members_changed.any()) tell_link(out.members_changed);
  // Before the node's next step: the first frame may arrive as soon as the interface is up.
  if (out.link) configure(*out.link, out.fatal);
  tell_loops();
  if (const std::string sentence = not_allowed(); sentence != std::exchange(told_not_allowed_, sentence)) {
    if (!sentence.empty()) {
      log_.warn(sentence);
    } else if (node_.may_bridge()) {
      log_.info("The server allows this member to bridge: machines behind " + settings_.bridge +
                " are on the network.");
    }
  }
  keep(out);
  for (auto& [link, bytes] : out.to_server) server_.send(link, std::move(bytes));
  for (const control::LinkId link : out.disconnect) server_.close(link);
  if (out.stop_dialing) server_.stop_dialing();
  if (out.members_changed.any()) {
    for (const std::string& change : member_changes_.look(node_.members().members(), os::now(), out.members_changed)) {
      log_.info(change);
    }
  }
  if (out.fatal) {
    log_.error(*out.fatal);
    return loop_.stop(1);
  }
  if (out.connect) server_.dial(server_ports());
  if (out.look_at_groups) act(node_.on_groups(ports_.link->group_filter(), os::now()));
  loop_.wake_at(node_.next_deadline(), [this] { act(node_.on_deadline(os::now())); });
}

void ClientDaemon::keep(node::ClientOutputs& out) {
  if (!out.enrolled && !out.keep_known && !out.keep_network) return;
  if (out.enrolled) keeper_.keep_enrolment(server_key_);
  if (out.keep_known) keeper_.keep_known(std::move(*out.keep_known));
  if (out.keep_network) keeper_.keep_network(std::move(*out.keep_network));
  write_kept();
}

// In the order in which they are tried. On the port of HTTPS a firewall may let only TLS pass, which a server of an
// older version does not support.
std::vector<ServerPort> ClientDaemon::server_ports() const {
  std::vector<ServerPort> ports;
  const auto add = [&ports](std::uint16_t number, bool tls) {
    if (std::ranges::find(ports, ServerPort{number, tls}) == ports.end()) ports.push_back({number, tls});
  };
  for (const std::uint16_t number : {settings_.port, settings_.also_port, node_.also_port()}) {
    if (number == 0) continue;
    if (tls_at(number, settings_)) add(number, true);
    if (!settings_.tls.value_or(false)) add(number, false);
  }
  return ports;
}

// A working interface is not abandoned because of what others do to it: whatever fails is retried at the next
// change.
void ClientDaemon::configure(const ports::LinkConfig& config, std::optional<std::string>& fatal) {
  if (auto done = ports_.link->configure(config); !done) {
    if (configured_) {
      log_.warn(done.error().what);
    } else if (!fatal) {
      fatal = done.error().what;
    }
  } else {
    configured_ = true;
    hooks_.set(hook_variables(config));
  }
  network_watch_.look_by(os::now());
  if (!fatal) {
    service_.state(device() + " is up with the address " + to_string(config.address) + "/" +
                   std::to_string(config.network.prefix));
  }
}

Hooks::Variables ClientDaemon::hook_variables(const ports::LinkConfig& config) const {
  Hooks::Variables out = {"EPS_INTERFACE=" + device(), "EPS_ADDRESS=" + to_string(config.address),
                          "EPS_NETWORK=" + to_string(config.network), "EPS_MTU=" + std::to_string(config.mtu),
                          "EPS_NAME=" + node_.name()};
  if (config.address6 != IpAddress()) out.push_back("EPS_ADDRESS6=" + to_string(config.address6));
  if (!settings_.bridge.empty()) out.push_back("EPS_BRIDGE=" + settings_.bridge);
  return out;
}

void ClientDaemon::look_at_network() {
  if (mapper_) mapper_->network_changed();
  os::NetlinkLink::Report report = ports_.link->reconcile(os::now());
  for (const std::string& note : report.notes) log_.warn(note);
  if (report.again != kNever) network_watch_.look_by(report.again);
  if (report.inside != network_.inside || report.uplinks != network_.uplinks ||
      report.underlay.addresses != network_.underlay.addresses) {
    data_.udp().set_interfaces({report.inside, report.uplinks});
    const bool rerouted = report.uplinks != network_.uplinks;
    data_.udp().forget_local_addresses(rerouted ? std::span<const IpAddress>() : report.underlay.addresses);
  }
  if (!data_.udp().marked()) {
    report.troubles.push_back("This computer's kernel does not let EPS mark what it sends (SO_MARK): a route through " +
                              device() + " may cut the conduits off.");
  }
  network_ = std::move(report);
  node_.set_inside(network_.underlay.inside, network_.underlay.tunnels, os::now());
  bool rerouted = false;
  if (auto ways = ports_.link->ways_out()) {
    rerouted = *ways != ways_out_;
    ways_out_ = std::move(*ways);
  }
  const bool first = !std::exchange(started_, true);
  act(first ? node_.start(network_.underlay.addresses, os::now())
            : node_.on_local_addresses(network_.underlay.addresses, os::now(), rerouted && !first));
  act(node_.on_groups(ports_.link->group_filter(), os::now()));
}

// Datagrams that run into EPS itself are dropped at once, and always have one cause, which must be named.
void ClientDaemon::tell_loops() {
  const auto count = node_.counters().drops[static_cast<std::size_t>(Drop::looped)].load(std::memory_order_relaxed);
  const Instant now = os::now();
  if (count == told_loops_ || (told_loops_ > 0 && now - loops_told_at_ < kLoopsAgain)) return;
  log_.warn("A loop: " + std::to_string(count - told_loops_) + " datagrams between the computers were routed into " +
            device() +
            ", and were dropped. Look for a route, a rule, a bridge or another tunnel that sends them there (ip route "
            "get ADDRESS mark 0x45500000).");
  told_loops_ = count;
  loops_told_at_ = now;
}

// Bridging, as configured by the user; "": it works.
std::string ClientDaemon::not_allowed() const {
  if (settings_.bridge.empty() || node_.link() == 0 || node_.may_bridge()) return "";
  return device() + " should become a port of " + settings_.bridge +
         ", but the server does not allow this member to bridge: only what this computer itself sends passes. Allow it "
         "there with: eps members allow " +
         node_.name() + " bridge";
}

// A firewall between the ports of the bridge, which its user has forgotten or never knew; "": none, or it passes what
// machines there send.
std::string ClientDaemon::bridge_firewall() {
  if (network_.bridge.empty() || !node_.may_bridge()) return "";
  for (const int version : {4, 6}) {
    const std::string chain = node_.machine_passed(version) ? "" : ports_.bridge_firewall.dropping_chain(version);
    if (chain.empty()) continue;
    const std::string& bridge = network_.bridge;
    const std::string sysctl = os::BridgeFirewall::sysctl_of(version);
    return "Nothing over IPv" + std::to_string(version) + " has come from machines on the bridge " + bridge +
           ". What it forwards passes the firewall of this computer as well (" + sysctl + " is 1), where the chain " +
           chain + " drops what no rule accepts: nft insert rule " + chain + " iifname " + bridge + " oifname " +
           bridge + " accept, or sysctl -w " + sysctl + "=0";
  }
  return "";
}

// Takes a snapshot; the result turns that into JSON, in any thread.
std::function<nlohmann::json()> ClientDaemon::status() {
  auto told = network_.troubles;
  told.insert(told.end(), {not_allowed(), bridge_firewall(), log_.failure(), reporter_.failure()});
  std::erase(told, "");
  if (!keeper_.failure().empty()) told.push_back("A restart would forget what is new: " + keeper_.failure() + ".");
  ClientStatus now = node_.status(os::now());
  if (now.lock) told.insert(told.end(), now.lock->troubles.begin(), now.lock->troubles.end());
  return [s = std::move(now), told = std::move(told), tls = server_.tls(node_.link()), on = network_.address_on] {
    nlohmann::json out = report::to_json(s);
    out["server"]["tls"] = tls;
    if (!on.empty()) out["address_device"] = on;
    out["troubles"] = told;
    return out;
  };
}

Result<std::string> ClientDaemon::reload(const ConfText& conf) {
  return base_.reload(conf, [this](const ClientSettings& fresh) {
    reporter_.apply(fresh);
    if (server_.set_servers(fresh.servers, fresh.proxy)) act(node_.on_new_servers(os::now()));
  });
}

}  // namespace

int run_client(const ClientSettings& settings, ops::Log& log, const ReadSettings<ClientSettings>& read_again) {
  return run_to_end(log, "eps-client", [&]() -> Result<int> {
    Foundation<ClientSettings> base(settings, log, read_again, "client");
    auto ports = ClientPorts::open(base);
    if (!ports) return ports.error();
    return ClientDaemon(base, std::move(*ports)).run();
  });
}

}  // namespace eps::runtime
