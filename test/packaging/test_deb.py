# SPDX-License-Identifier: MIT
"""The .deb in a Debian 12 that has booted: installed, set up, watched, upgraded, removed and purged, in that order.

tools/test-packages runs it.
"""

import json
import re
import stat

import pexpect
import pytest
from machine import ROOT, booted, contents, dependencies, package, run, wait_until

UNITS = ["eps-server", "eps-client"]


@pytest.fixture(scope="module")
def deb():
    return package("eps-conduits_*.deb")


@pytest.fixture(scope="module")
def machine(deb):
    with booted(dependencies(deb)) as machine:
        machine.before = contents(machine.tree)
        machine.install(deb)
        yield machine


def status(machine, program):
    return json.loads(machine.run("eps", "--json", "status")).get(program)


def joined(machine):
    """The client's address, once the server has admitted it."""
    def look():
        client = status(machine, "client")
        return client and client["server"]["connected"] and client["address"]
    return wait_until(look, "the client joins")


def newer(deb, tmp_path):
    """The same package with a higher version."""
    tree = tmp_path / "newer"
    run("dpkg-deb", "--raw-extract", deb, tree)
    control = tree / "DEBIAN/control"
    text = control.read_text()
    version = re.search(r"^Version: (.*)$", text, re.M).group(1)
    control.write_text(text.replace(f"Version: {version}", f"Version: {version}+next"))
    run("dpkg-deb", "--root-owner-group", "--build", tree, tmp_path / "newer.deb")
    return tmp_path / "newer.deb"


def test_lintian_finds_nothing(deb):
    run("lintian", "--allow-root", "--fail-on", "error,warning", deb)


def test_the_configuration_is_not_the_package_s(deb):
    listed = run("dpkg-deb", "--contents", deb)
    assert "./etc" not in listed and "./var" not in listed
    assert "conffiles" not in run("dpkg-deb", "--info", deb)
    assert "./usr/share/doc/eps-conduits/examples/eps.conf" in listed


def test_the_documentation_is_in_it_as_a_site(deb):
    listed = run("dpkg-deb", "--contents", deb)
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert pages == set(re.findall(r"/usr/share/doc/eps-conduits/html/(\S+)\.html", listed)) - {"404"}


def test_packed_again_it_is_the_same(deb):
    first = deb.read_bytes()
    run(ROOT / "tools/package", "deb", timeout=120)
    assert deb.read_bytes() == first


def test_the_installation_starts_nothing(machine):
    for unit in UNITS:
        assert machine.state(unit) == "inactive"
        assert machine.run("systemctl", "is-enabled", unit, check=False).strip() == "disabled"


def test_units_are_valid(machine):
    units = [f"/lib/systemd/system/{unit}.service" for unit in UNITS]
    assert machine.run("systemd-analyze", "verify", *units) == ""
    for unit in UNITS:
        text = machine.run("systemd-analyze", "security", "--no-pager", f"{unit}.service")
        assert float(re.search(r"exposure level .*: ([\d.]+)", text).group(1)) <= 2.5, text


def test_man_pages_and_completion(machine):
    for page in "eps-client.8", "eps-server.8", "eps-configure.sh.8", "eps.1", "eps.conf.5":
        name, _, section = page.rpartition(".")
        assert name in machine.run("man", section, name, timeout=60)
    for command in "eps", "eps-client", "eps-server":
        assert machine.path(f"/usr/share/bash-completion/completions/{command}").exists()
        assert machine.path(f"/usr/share/fish/vendor_completions.d/{command}.fish").exists()
    assert machine.path("/usr/share/zsh/vendor-completions/_eps").exists()


def test_a_client_without_configuration_says_what_is_missing(machine):
    machine.run("systemctl", "start", "eps-client", check=False)
    assert machine.state("eps-client") == "failed", "and does not try again and again"
    assert 'no server is named: write "server = HOST" into /etc/eps.conf' in machine.journal("eps-client")
    machine.run("systemctl", "reset-failed", "eps-client")


def test_setup_through_a_terminal(machine):
    argv = machine.inside("eps-configure.sh")
    talk = pexpect.spawn(argv[0], argv[1:], encoding="utf-8", timeout=60)
    for question, answer in (r"or both\? \[client\]: ", "both"), (r"Network to create.*\]: ", "10.99.8.0/24"), \
                            (r"listen on \[43439\]: ", ""), (r"server \[127.0.0.1\]: ", ""):
        talk.expect(question)
        talk.sendline(answer)
    talk.expect(pexpect.EOF)
    talk.close()
    assert talk.exitstatus == 0, talk.before
    assert "eps-server" in talk.before and "10.99.8.0/24" in talk.before and "On every client:" in talk.before
    for unit in UNITS:
        assert machine.state(unit) == "active", machine.journal(unit)
        assert machine.run("systemctl", "is-enabled", unit).strip() == "enabled"
    assert joined(machine).startswith("10.99.8.")


def test_the_units_run_as_their_files_say(machine):
    assert machine.show("eps-server", "StatusText") == "Listening on TCP and UDP port 43439"
    assert machine.show("eps-client", "StatusText") == f"eps0 is up with the address {joined(machine)}"
    assert joined(machine) in machine.run("ip", "address", "show", "dev", "eps0")
    user = machine.run("id", "-u", "eps").strip()
    for unit, capabilities in ("eps-server", 0), ("eps-client", 1 << 12):  # CAP_NET_ADMIN
        assert machine.show(unit, "Type") == "notify"
        pid = machine.pid(unit)
        assert machine.proc(pid, "Uid").split() == [user] * 4
        assert int(machine.proc(pid, "CapEff"), 16) == int(machine.proc(pid, "CapPrm"), 16) == capabilities
        assert machine.proc(pid, "NoNewPrivs") == "1"
        # The daemon cannot change anything of the system that it sees, except its own files.
        for path in "/etc", "/usr", "/home", "/var/lib/dpkg":
            assert machine.run("nsenter", "--target", pid, "--mount", "setpriv", f"--reuid={user}", "--clear-groups",
                               "test", "-w", path, check=False) == ""


def test_only_root_reads_the_key(machine):
    conf = machine.path("/etc/eps.conf").stat()
    assert (stat.S_IMODE(conf.st_mode), conf.st_uid) == (0o600, 0)
    key = machine.run("eps", "key").strip()
    assert f"\nkey = {key}\n" in machine.path("/etc/eps.conf").read_text()
    denied = machine.run("setpriv", "--reuid=eps", "--regid=eps", "--clear-groups", "cat", "/etc/eps.conf", check=False)
    assert "Permission denied" in denied
    for unit in UNITS:
        assert key not in machine.journal(unit)


def test_logs_have_the_names_of_the_manual(machine):
    assert "Listening on TCP and UDP port 43439" in machine.run("cat", "/var/log/eps_server.log")
    assert "Admitted by the server" in machine.run("cat", "/var/log/eps_client.log")
    for name in "client", "server":
        assert machine.run("cat", f"/var/log/eps_{name}_0.log") == machine.run("cat", f"/var/log/eps_{name}.log")
        assert f"eps-{name} " in machine.journal(f"eps-{name}"), "the journal has the lines, too"


def test_what_the_options_write_has_the_names_of_the_manual(machine):
    conf = machine.path("/etc/eps.conf")
    text = conf.read_text()
    conf.write_text("scorecard\ninterval = 1\n" + text.replace(
        "[server]", "[server]\nscorecard = /var/log/eps.stats\n"
                    "graphviz = /var/log/eps_network.gv\ngraphviz-interval = 1"))
    machine.run("systemctl", "restart", *UNITS)
    total = r"^total\.bytes_sent=\d+$"
    for path, pattern in (("/var/log/eps.stats", total), ("/var/log/eps_client.stats", total),
                          ("/var/log/eps_network.gv", "graph")):
        def written(path=path, pattern=pattern):
            return re.search(pattern, machine.run("cat", path, check=False), re.M)

        wait_until(written, path)
        assert machine.run("stat", "--dereference", "--format", "%U", path).strip() == "eps"
    conf.write_text(text)
    machine.run("systemctl", "restart", *UNITS)
    joined(machine)


def test_commands_of_the_user_run_in_the_sandbox_of_the_unit(machine):
    conf = machine.path("/etc/eps.conf")
    text = conf.read_text()
    conf.write_text("up = grep -E '^(Uid|CapEff)' /proc/self/status >/run/eps/up\n"
                    'down = "echo $EPS_HOOK $EPS_ADDRESS >/run/eps/down"\n' + text)
    machine.run("systemctl", "restart", "eps-client")
    address = joined(machine).split("/")[0]
    ended = wait_until(lambda: re.search(r"The command of --up .*", machine.journal("eps-client")), "the command ended")
    assert ended.group() == "The command of --up ended with exit status 0."
    assert machine.run("cat", "/run/eps/up").split() == [
        "Uid:", *[machine.run("id", "-u", "eps").strip()] * 4, "CapEff:", "0" * 16]
    conf.write_text(text)
    machine.run("systemctl", "restart", "eps-client")
    assert machine.run("cat", "/run/eps/down").split() == ["down", address]
    joined(machine)


def test_a_pre_shared_key_may_be_root_s_alone(machine):
    conf, key = machine.path("/etc/eps.conf"), machine.path("/etc/eps.psk")
    text = conf.read_text()
    key.write_text(43 * "A" + "=\n")
    key.chmod(0o600)
    conf.write_text("psk-file = /etc/eps.psk\n" + text)
    machine.run("systemctl", "restart", "eps-client", check=False)
    wait_until(lambda: "--psk-file /etc/eps.psk: line 1 is all zeros" in machine.journal("eps-client"),
               "it reads the file")
    key.write_text("B" + key.read_text()[1:])
    machine.run("systemctl", "restart", "eps-client")
    joined(machine)
    assert "Peers must have the pre-shared key of /etc/eps.psk." in machine.journal("eps-client")
    key.unlink()
    conf.write_text(text)
    machine.run("systemctl", "restart", "eps-client")
    joined(machine)


@pytest.mark.parametrize("unit", UNITS)
def test_the_watchdog_fires(machine, unit):
    machine.add_to_unit(unit, "WatchdogSec=2\nTimeoutAbortSec=1\nRestartSec=1")
    machine.run("systemctl", "restart", unit)
    pid = machine.pid(unit)
    # Longer than the limit: it does not fire while the daemon runs normally.
    wait_until(lambda: int(machine.run("ps", "-o", "etimes=", "-p", pid)) >= 5, "five seconds pass")
    assert machine.pid(unit) == pid
    machine.run("kill", "-STOP", pid)
    wait_until(lambda: machine.pid(unit) not in (0, pid) and machine.state(unit) == "active",
               "the unit is started again")
    assert "Watchdog timeout" in machine.run("journalctl", "--no-pager", "--unit", unit)
    machine.add_to_unit(unit, "")
    machine.run("systemctl", "restart", unit)
    joined(machine)


@pytest.mark.parametrize("unit, command", [(unit, command) for unit in UNITS for command in (
    ["systemctl", "reload", unit], ["eps", "reload"])])
def test_reload(machine, unit, command):
    """The current file, which the daemons themselves may not read."""
    pid, conf = machine.pid(unit), machine.path("/etc/eps.conf")
    text, log = conf.read_text(), f"/var/log/{unit.replace('-', '_')}.log"
    before = machine.run("cat", log).count("was reread")
    conf.write_text("stats\ninterval = 1\n" + text)
    machine.run(*command)
    wait_until(lambda: "1-second stats:" in machine.run("cat", log), "statistics")
    assert machine.run("cat", log).count("was reread") == before + 1
    conf.write_text("nonsense\n" + text)
    assert "unknown option" in machine.run("eps", "reload", check=False)
    conf.write_text(text)
    machine.run(*command)
    assert machine.pid(unit) == pid and machine.state(unit) == "active"
    machine.run("kill", "-HUP", pid)
    wait_until(lambda: 'run "eps reload" as root' in machine.run("cat", log), "it says how")
    machine.run("truncate", "--size=0", log)


def test_the_server_may_use_a_port_below_1024(machine):
    conf = machine.path("/etc/eps.conf")
    text = conf.read_text()
    conf.write_text(text.replace("[server]", "[server]\nalso-port = 443"))
    machine.run("systemctl", "restart", "eps-server")
    assert machine.show("eps-server", "StatusText").endswith("and on TCP port 443")
    assert int(machine.proc(machine.pid("eps-server"), "CapPrm"), 16) == 0
    conf.write_text(text)
    machine.run("systemctl", "restart", "eps-server")
    joined(machine)


def test_root_may_run_it_by_hand_in_between(machine):
    address = joined(machine)
    machine.run("systemctl", "stop", "eps-client")
    said = machine.run("sh", "-c", "timeout --preserve-status 3 eps-client 2>&1")
    assert "another user has put a link there" in said and "starts." in said, "root follows no link of the user eps"
    assert machine.run("stat", "-c", "%U", "/var/lib/eps/client/counter").strip() == "eps", "it became that user"
    machine.start("eps-client")
    assert joined(machine) == address
    assert machine.run("cat", "/var/log/eps_client.log").count("starts.") == 1, "what root did is not in the unit's log"


def test_it_starts_before_the_network(machine):
    conf = machine.path("/etc/eps.conf")
    text = conf.read_text()
    conf.write_text(text.replace("server = 127.0.0.1", "server = 10.98.0.1"))
    machine.run("systemctl", "restart", "eps-client")
    assert machine.state("eps-client") == "active"
    assert machine.show("eps-client", "StatusText") == "Waiting for the server"
    machine.run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "lan-peer")
    machine.run("ip", "address", "add", "10.98.0.1/24", "dev", "lan")
    machine.run("ip", "link", "set", "lan-peer", "up")
    machine.run("ip", "link", "set", "lan", "up")
    joined(machine)
    machine.run("ip", "link", "delete", "lan")
    conf.write_text(text)
    machine.run("systemctl", "restart", "eps-client")


def test_a_client_of_another_network_has_a_unit_and_a_file_of_its_own(machine):
    machine.run("systemctl", "stop", "eps-client")
    key = machine.run("eps", "key").strip()
    machine.run("mkdir", "--parents", "/etc/eps.conf.d")
    conf = machine.path("/etc/eps.conf.d/lab.conf")
    conf.write_text(f"server = 127.0.0.1\nkey = {key}\nname = lab\ndevice = eps-lab\n")
    conf.chmod(0o600)
    machine.start("eps-client@lab")
    assert machine.show("eps-client@lab", "StatusText").startswith("eps-lab is up with the address 10.99.8.")
    wait_until(lambda: "lab" in machine.run("eps", "members"), "the server knows it")
    assert "on eps-lab" in machine.run("eps", "--socket", "/run/eps/lab.sock", "status")
    conf.write_text("stats\n" + conf.read_text())
    machine.run("systemctl", "reload", "eps-client@lab")
    assert "was reread" in machine.run("cat", "/var/log/eps/eps_client_lab.log")
    conf.write_text("nonsense\n" + conf.read_text())
    assert "/etc/eps.conf.d/lab.conf:1: unknown option" in machine.run(
        "eps", "reload", "--socket", "/run/eps/lab.sock", check=False)
    assert "configuration file is /etc/eps.conf.d/lab.conf, not /etc/eps.conf" in machine.run(
        "eps", "reload", "--socket", "/run/eps/lab.sock", "--conf", "/etc/eps.conf", check=False)
    machine.run("systemctl", "stop", "eps-client@lab")
    assert "eps-lab" not in machine.run("ip", "link")
    machine.run("eps", "members", "remove", "lab")
    machine.run("rm", "-r", "/etc/eps.conf.d", "/var/lib/eps/lab", "/var/log/eps/eps_client_lab.log")
    machine.start("eps-client")
    joined(machine)


def test_setup_again_by_options(machine):
    before = {unit: machine.pid(unit) for unit in UNITS}
    assert "stays as it is" in machine.run("eps-configure.sh", "--server", "--client")
    assert {unit: machine.pid(unit) for unit in UNITS} == before, "what did not change goes on"
    machine.run("eps-configure.sh", "--client", "--name", "alice")
    wait_until(lambda: "alice" in machine.run("eps", "members"), "the server knows the new name")
    assert machine.pid("eps-server") == before["eps-server"]


def test_setup_says_what_does_not_start(machine):
    machine.run("systemctl", "stop", "eps-server", "eps-client")
    machine.path("/etc/eps.conf").open("a").write("nonsense = 5\n")
    said = machine.run("eps-configure.sh", "--server", check=False)
    assert "eps-server would not start with this" in said and 'unknown option "nonsense"' in said
    conf = machine.path("/etc/eps.conf")
    conf.write_text(conf.read_text().replace("nonsense = 5\n", ""))
    machine.run("eps-configure.sh", "--server", "--client")
    joined(machine)


def test_upgrade(machine, deb, tmp_path):
    address, key = joined(machine), machine.run("eps", "key")
    pids = [machine.pid(unit) for unit in UNITS]
    machine.install(newer(deb, tmp_path))
    assert machine.run("dpkg-query", "--show", "eps-conduits").strip().endswith("+next")
    for unit, pid in zip(UNITS, pids, strict=True):
        assert machine.pid(unit) not in (0, pid), f"{unit} runs the new program"
    assert joined(machine) == address and machine.run("eps", "key") == key
    # A stopped one is not started.
    machine.run("systemctl", "stop", "eps-client")
    machine.install(newer(deb, tmp_path_of(tmp_path)))
    assert machine.state("eps-client") == "inactive" and machine.state("eps-server") == "active"
    machine.start("eps-client")


def tmp_path_of(tmp_path):
    (tmp_path / "again").mkdir()
    return tmp_path / "again"


def test_removal_keeps_the_files_of_the_daemons(machine, deb):
    address, pids = joined(machine), [machine.pid(unit) for unit in UNITS]
    machine.run("dpkg", "--remove", "eps-conduits")
    for pid in pids:
        assert machine.run("ps", "-o", "comm=", "-p", pid, check=False) == ""
    kept = {"/etc/eps.conf", "/var/lib/eps/server/server.db", "/var/lib/eps/client/identity", "/var/log/eps_server.log"}
    now = contents(machine.tree)
    assert kept <= now.keys()
    assert not [path for path in now if re.match(r"/(?:usr|lib)/.*eps", path) and path not in machine.before]
    machine.install(deb)
    machine.run("systemctl", "start", *UNITS)
    assert joined(machine) == address


def test_purge_leaves_nothing(machine):
    machine.run("dpkg", "--purge", "eps-conduits")
    for unit in UNITS:
        machine.run("rm", "-r", f"/etc/systemd/system/{unit}.service.d")  # this test's own
    after = contents(machine.tree)
    assert after == machine.before, sorted(after.items() ^ machine.before.items())
    assert not machine.run("pgrep", "eps-", check=False)
